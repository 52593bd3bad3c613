"""From weights to a verdict: read, match, fill a model in the source environment, fill or translate it for the target."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import harness
from harness import engine, matching, report
from harness.artifact.checkpoints import checkpoint_files
from harness.backends import Progress
from harness.bundle import Bundle
from harness.engine import Outcome, Stages
from harness.errors import HarnessError
from harness.job import Worker
from harness.plan import FORMS
from harness.verify import Evidence
from harness.verify.floor import borrowed
from harness.verify.tolerance import Bounds, noticed
from harness.weights import reference, selection, table
from harness.weights.expected import Expected, comparisons
from harness.weights.plan import Script, WeightsPlan
from harness.worker.tfworker.arrays import ArrayReader
from harness.worker.tfworker.files import read_json, write_json


@dataclass(frozen=True, kw_only=True)
class Arrays:
    """Arrays that a worker is given: a folder, and where its index stands."""

    folder: Path
    index: str
    key: str
    entries: list[dict[str, Any]]

    @classmethod
    def of_bundle(cls, bundle: Bundle) -> Arrays:
        """The weights of a bundle."""
        entries = [dict(entry) for entry in bundle.manifest["arrays"] if "role" in entry]
        return cls(folder=bundle.folder, index="manifest.json", key="arrays", entries=entries)


def load_weights(plan: WeightsPlan, progress: Progress, command: list[str], *, fetch_python: bool = False) -> Outcome:
    """Run a plan to its verdict.

    Raises:
        HarnessError: only for faults of the call; every other end is an Outcome.
    """
    expected = Expected(plan.expected) if plan.expected else None
    run = _Load(plan, expected)
    return engine.run_stages(
        plan.out, plan.options, progress, command, plan.backend, run.body, plan.inputs, fetch_python
    )


class _Load:
    """One run: what its steps hand on to one another."""

    def __init__(self, plan: WeightsPlan, expected: Expected | None) -> None:
        self.plan, self.expected = plan, expected
        self.rules = plan.rules
        self.samples: dict[str, Any] = {}
        self.worker: Worker | None = None

    def body(self, stages: Stages) -> None:
        bundle, arrays = self._source(stages)
        plan = self.plan
        if plan.target_model is None:
            assert bundle is not None
            tensors = stages.report["weights"]
            engine.build_and_prove(
                stages, bundle, plan.target_env, stages.environment(plan.target_env), self._review(bundle)
            )
            if tensors and stages.report["weights"]:
                stages.report["weights"].update({key: tensors[key] for key in ("tensors", "missing", "unused")})
        else:
            self._target(stages, plan.target_model, bundle, arrays)

    # -- source

    def _source(self, stages: Stages) -> tuple[Bundle | None, Arrays]:
        plan = self.plan
        if plan.bundle:
            bundle = engine.open_bundle(stages, plan.bundle)
            return bundle, Arrays.of_bundle(bundle)
        worker = stages.start(stages.environment(plan.source_env), plan.source_env.keras_flavour)
        if plan.whole:
            bundle = engine.export_bundle(stages, plan.whole, worker)
            return bundle, Arrays.of_bundle(bundle)
        arrays = self._read(stages, worker)
        found: Bundle | None = None
        if plan.source_model:
            found = self._fill_source(stages, worker, arrays)
            arrays = Arrays.of_bundle(found)
            self.rules = matching.Rules()  # they were for the names of the file
        worker.stop()
        return found, arrays

    def _read(self, stages: Stages, worker: Worker) -> Arrays:
        files: dict[str, Path] = {}
        sources = []
        for number, (path, _, form) in enumerate(self.plan.sources):
            if form == "checkpoint":
                inner = f"{number}"
                for part in checkpoint_files(path):
                    files[inner + part.name.removeprefix(path.name)] = part
            else:
                inner = f"{number}{path.suffix.lower()}"
                files[inner] = path
            sources.append({"path": f"in/{inner}", "name": path.name, "format": form})
        op = {
            "op": "read_weights",
            "sources": sources,
            "out": "out/weights",
            "flavour": self.plan.source_env.keras_flavour,
        }
        with stages.timed("export"):
            job = stages.run(worker, "read", op, files)
        folder = job.folder / "out" / "weights"
        described = read_json(str(folder / "weights.json"))
        first = next(iter(described["sources"]), None) or _checkpoint_entry(self.plan.sources[0])
        stages.report["source"] = {
            **first,
            "keras_version": described["keras_version"],
            "backend": described["backend"],
        }
        stages.report["source"]["files"] = described["sources"]
        self.skipped = described["skipped"]
        return Arrays(folder=folder, index="weights.json", key="tensors", entries=described["tensors"])

    def _fill_source(self, stages: Stages, worker: Worker, arrays: Arrays) -> Bundle:
        plan, spec = self.plan, self.plan.source_env
        op, files = self._model(plan.source_model, spec.keras_flavour)
        self.worker = worker
        described = self._describe(stages, worker, "describe-source", op, files)
        if self.expected and self.expected.inputs:
            self.samples = self.expected.named("inputs", described["inputs"])
        op |= {
            "op": "fill_model", "bundle": "out/bundle", "dialect": spec.dialect, "environment": spec.name,
            "harness_version": harness.__version__, "layer_budget": plan.options.layer_budget, "training": "off", "notice": noticed(),
            "proof": plan.options.proof,
            "source": f"in/{next(iter(files))}", "source_entry": stages.report["source"],
        }  # fmt: skip
        samples = self._sample_file(stages)
        if samples:
            files["samples.npz"], op["samples"] = samples, "in/samples.npz"
        rows = []
        if plan.by_order:
            op |= {"h5": "in/weights.h5", "backend": plan.policies.backend}
            files["weights.h5"] = plan.sources[0][0]
        else:
            rows = self._matched(stages, arrays, described, op, files, "source")
        with stages.timed("export"):
            job = stages.run(worker, "fill-source", op, files)
            os.rename(job.folder / "out" / "bundle", stages.space.path / "bundle")
        result = job.results[0]["weights"]
        _require_equal(result)
        stages.report["weights"] = self._weights(rows, result)
        notes = list(stages.report["not_checked"])
        bundle = engine.open_bundle(stages, stages.space.path / "bundle")
        stages.report["not_checked"] = [*notes, *[n for n in stages.report["not_checked"] if n not in notes]]
        return bundle

    def _sample_file(self, stages: Stages) -> Path | None:
        if not self.samples:
            return self.plan.options.samples
        path = stages.space.jobs / "samples.npz"
        np.savez(path, **self.samples)
        return path

    # -- both sides

    def _model(self, model: Script | Path | None, flavour: str) -> tuple[dict[str, Any], dict[str, Path]]:
        if isinstance(model, Script):
            return {"flavour": flavour, **model.op}, {"builder.py": model.path}
        assert model is not None
        inner = "architecture" + model.suffix.lower()
        return {"flavour": flavour, "architecture": f"in/{inner}", "architecture_name": model.name}, {inner: model}

    def _describe(
        self, stages: Stages, worker: Worker, name: str, op: Mapping[str, Any], files: Mapping[str, Path]
    ) -> dict[str, Any]:
        job = stages.run(worker, name, {**op, "op": "describe_model"}, files)
        return dict(job.results[0])

    def _matched(
        self,
        stages: Stages,
        arrays: Arrays,
        described: Mapping[str, Any],
        op: dict[str, Any],
        files: dict[str, Path],
        side: str,
    ) -> list[dict[str, Any]]:
        """Match, stop at what is not allowed, and enter the plan into a request; returns the rows of the report."""
        policies = self.plan.policies
        variables = matching.variables_of(described["variables"])
        found = matching.match(
            arrays.entries, variables, self.rules, ordered=len(self.plan.sources) > 1, cast=policies.cast,
            only=policies.only if self.rules is self.plan.rules else (),
        )  # fmt: skip
        if found.alternatives and self.expected and not found.problems:
            found = self._decided(stages, found, arrays, described, op, files)
        self.matching = found
        rows = table.rows(found, policies.on_missing)
        stages.report["weights"] = table.section(rows, found)
        if self.plan.write_mapping and self.rules is self.plan.rules:
            table.write_mapping(self.plan.write_mapping, found)
        table.require(found, policies, side)
        frozen = selection.frozen(variables, policies.freeze)
        fills = [{"layer": list(v.layer), "role": v.role, "fill": policies.on_missing} for v in found.missing]
        fills += [{"layer": list(v.layer), "role": v.role, "fill": "keep"} for v in found.skipped]
        file = self._plan_file(stages, side, found.moves, fills, frozen)
        op |= {"plan": "in/plan.json", "arrays": {"folder": "in/arrays", "index": arrays.index, "key": arrays.key}}
        files |= {"plan.json": file, "arrays": arrays.folder}
        stages.report["not_checked"] += table.not_checked(found, policies.on_missing)
        return rows

    def _plan_file(
        self, stages: Stages, name: str, moves: Sequence[matching.Move], fills: Any = (), frozen: Any = ()
    ) -> Path:
        file = stages.space.jobs / f"plan-{name}.json"
        made = {
            "moves": [move.as_plan() for move in moves],
            "fills": list(fills),
            "frozen": [list(path) for path in frozen],
        }
        write_json(str(file), made)
        return file

    def _decided(
        self, stages: Stages, found: matching.Matching, arrays: Arrays, described: Mapping[str, Any], op: Mapping[str, Any],
        files: Mapping[str, Path],
    ) -> matching.Matching:  # fmt: skip
        """The matching with the pairing that gives the expected outputs, if it is the only one that does."""
        assert self.expected is not None
        keep = [{"layer": list(v.layer), "role": v.role, "fill": "keep"} for v in (*found.missing, *found.skipped)]
        plans = {
            f"plan-{number}.json": self._plan_file(stages, f"try-{number}", [*found.moves, *chosen], keep)
            for number, chosen in enumerate(found.alternatives)
        }
        inputs = self._expected_inputs(described)
        samples = stages.space.jobs / "tried.npz"
        np.savez(samples, **inputs)
        given = {"folder": "in/arrays", "index": arrays.index, "key": arrays.key}
        wanted = {
            **op, "op": "try_plans", "plans": [f"in/{name}" for name in plans], "arrays": given,
            "samples": "in/tried.npz", "outputs": "out/tried.npz",
        }  # fmt: skip
        assert self.worker is not None
        job = stages.run(self.worker, "try", wanted, {**files, **plans, "arrays": arrays.folder, "tried.npz": samples})
        reader = ArrayReader(str(job.folder / "out"), job.results[0]["arrays"])
        outputs = self.expected.named("outputs", described["outputs"])
        right, bounds = [], Bounds(reference.graph(described))
        for number, chosen in enumerate(found.alternatives):
            got = [reader.get(f"{number}/{index}") for index in range(len(outputs))]
            if all(row.ok for row in comparisons(outputs, got, bounds)):
                right.append(chosen)
        if len(right) == 1:
            return found.decided(right[0])
        count = f"{len(right)} of {len(found.alternatives)} pairings give the expected outputs"
        return dataclasses.replace(found, ambiguous=[*found.ambiguous, count])

    def _expected_inputs(self, described: Mapping[str, Any]) -> dict[str, Any]:
        assert self.expected is not None
        if self.expected.inputs:
            return self.expected.named("inputs", described["inputs"])
        if self.plan.options.samples is None:
            raise HarnessError("expected-invalid", f"{self.expected.path} holds outputs and no inputs.")
        return reference.samples(self.plan.options.samples, described["inputs"])

    def _weights(self, rows: list[dict[str, Any]], result: Mapping[str, Any]) -> dict[str, Any]:
        if not rows:
            return table.by_order(result)
        return table.filled(rows, self.matching, result)

    # -- target

    def _target(self, stages: Stages, script: Script, bundle: Bundle | None, arrays: Arrays) -> None:
        plan, spec = self.plan, self.plan.target_env
        environment = stages.environment(spec)
        worker = stages.start(environment, spec.keras_flavour)
        op, files = self._model(script, spec.keras_flavour)
        self.worker = worker
        described = self._describe(stages, worker, "describe-target", op, files)
        before = stages.report["weights"]
        rows = self._matched(stages, arrays, described, op, files, "target")
        op |= {"op": "fill_model", "forms": {form: f"out/{FORMS[form][1]}" for form in plan.options.formats}}
        with stages.timed("import"):
            job = stages.run(worker, "fill-target", op, files)
        worker.stop()
        result = job.results[0]
        stages.digests = result["digests"]
        stages.report["weights"] = self._weights(rows, result["weights"])
        if before and before["tensors"]:
            stages.report["weights"].update({key: before[key] for key in ("tensors", "missing", "unused")})
        stages.report["to"] = report.environment(spec.name, result["versions"])
        forms = {form: job.folder / path for form, path in op["forms"].items()}
        shared = selection.Shared.of(self.matching, described, arrays.entries, bundle)
        if bundle is None:
            bundle = self._reference(stages, described)
        elif shared.partial:
            if not shared.layers and plan.policies.proof == "outputs":
                raise HarnessError("proof-missing", "No layer of the new model must give what one of the source gives.")
            shared.note(stages.report["not_checked"])
        stages.renamed = shared.renamed
        if result["code"]:
            engine.needs(stages, script.path)
        fresh = stages.start(environment, spec.keras_flavour)
        engine.prove(stages, bundle, forms, fresh, spec, self._review(bundle, shared))

    def _reference(self, stages: Stages, described: Mapping[str, Any]) -> Bundle:
        """What there is to compare with if no source model was run: the user's outputs, or nothing."""
        inputs = self._expected_inputs(described) if self.expected else {}
        outputs = self.expected.named("outputs", described["outputs"]) if self.expected else {}
        if not self.expected:
            stages.report["not_checked"].append(
                "outputs: nothing to compare with was given (--proof weights); that the architecture is the one that the "
                "weights were trained in is the builder's word"
            )
        return reference.write(stages.space.jobs / "reference", described, inputs, outputs)

    def _review(self, bundle: Bundle, shared: selection.Shared | None = None) -> engine.Review:
        def review(found: Evidence, out: Path) -> list[Evidence]:
            if shared is not None and shared.partial:
                found = shared.only(found)
            return [*self._against_expected(found, bundle, out)]

        return review

    def _against_expected(self, found: Evidence, bundle: Bundle, out: Path) -> list[Evidence]:
        """The evidence with the expected outputs among the outputs."""
        if self.expected is None:
            return [found]
        manifest = bundle.manifest
        if not any(row["name"] == "samples" for row in manifest["probes"]["sets"]):
            raise HarnessError("expected-invalid", f"{self.expected.path} holds outputs, and the inputs are not known.")
        replayed = ArrayReader(str(out), read_json(str(out / "outputs.json"))["arrays"])
        specs = manifest["model"]["outputs"]
        got = [replayed.get(f"probe/samples/outputs/{index}") for index in range(len(specs))]
        rows = comparisons(self.expected.named("outputs", specs), got, Bounds(manifest["model"]["graph"]))
        exact = {c.name.removeprefix("samples/"): c.float64 for c in found.outputs if c.name.startswith("samples/")}
        rows = [borrowed(row, exact.get(row.name.removeprefix("expected/"))) for row in rows]
        return [Evidence(**{**vars(found), "outputs": (*found.outputs, *rows)})]


def _checkpoint_entry(source: tuple[Path, Any, str]) -> dict[str, Any]:
    path, found, form = source
    return {"kind": form, "file": path.name, "bytes": found.size_bytes, "sha256": found.sha256}


def _require_equal(result: Mapping[str, Any]) -> None:
    if result["unequal"]:
        raise HarnessError("weights-mismatch", "The source model did not take its weights.", details=result["unequal"])


__all__ = ["load_weights"]
