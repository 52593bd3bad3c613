"""From a plan to a verdict: export in the source environment, import in the target's, prove in a fresh process.

Each stage is usable alone (``export``, ``import``, ``verify``); ``migrate`` runs all three.
"""

from __future__ import annotations

import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import harness
from harness import backends, dialects, report, training, verify
from harness.backends import Environment, Progress
from harness.bundle import Bundle, is_graph
from harness.dialects import Translation
from harness.envspec import EnvSpec
from harness.errors import CATALOGUE, Exit, HarnessError
from harness.job import Job, Worker
from harness.plan import FORMS, Options, Plan, form_of, given_name
from harness.report import pages, story
from harness.supplied import TARGET_OBJECTS
from harness.verify import Evidence, code, floor, reach
from harness.verify.tolerance import noticed
from harness.worker.tfworker.arrays import ArrayReader, DigestError
from harness.worker.tfworker.files import FormatError, read_json, write_json
from harness.worker.tfworker.topology import leaves
from harness.worker.tfworker.transforms import ROUNDING
from harness.workspace import FULL, LOST, Workspace

#: written beside a model that needs it to load
LAYERS_MODULE = "harness_layers.py"
#: the evidence of one saved form, and the folder of what was replayed -> the evidence that counts
Review = Callable[[Evidence, Path], list[Evidence]]


@dataclass(kw_only=True)
class Stages:
    """What the stages of one run share: workers, the folder, the report in the making.

    ``objects`` is the Python file without which the saved model does not load, or None.
    """

    space: Workspace
    options: Options
    progress: Progress
    stack: ExitStack
    report: dict[str, Any]
    backend: str = "auto"
    fetch_python: bool = False
    objects: Path | None = None
    digests: list[list[str]] | None = None
    renamed: list[tuple[list[str], str]] = field(default_factory=list)
    training: training.Stage | None = None
    bundle: Bundle | None = None
    rounded: str | None = None
    not_exact: dict[str, str | None] = field(default_factory=dict)
    configs: dict[str, Any] = field(default_factory=dict)
    #: what is done now, for messages
    stage: str = "start"
    _count: int = field(default=0)

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Add the seconds that a stage takes to the report."""
        started = time.monotonic()
        self.stage = name
        try:
            yield
        finally:
            spent = time.monotonic() - started
            timings = self.report["timings_s"]
            timings[name] = round(timings.get(name, 0.0) + spent, 3)

    def environment(self, spec: EnvSpec) -> Environment:
        """The environment of a spec, built if need be."""
        made = backends.ensure(
            spec, self.backend, self.progress, fetch_python=self.fetch_python, untrusted=self.options.untrusted
        )
        entry = {"name": spec.name, "backend": made.backend, "key": made.key, **made.origin}
        if entry not in self.report["environments"]:
            self.report["environments"].append(entry)
        return made

    def start(self, environment: Environment, flavour: str) -> Worker:
        """A worker that begins to import TensorFlow now, while the job is written; it is ended with the run."""
        self._count += 1
        scratch = self.space.jobs / f"worker-{self._count}-{environment.spec.name}"
        return self.stack.enter_context(Worker(environment, scratch, flavour=flavour, limits=self.options.limits))

    def run(self, worker: Worker, name: str, op: Mapping[str, Any], files: Mapping[str, Path]) -> Any:
        """The result of a job of one operation; ``files`` are given to it as ``in/NAME``."""
        job = Job.create(self.space.jobs, name)
        for inner, path in files.items():
            job.give(path, inner)
        job.ops.append(dict(op))
        done = worker.run(job, timeout_s=self.options.timeout_s, progress=lambda s: self.progress(f"{name}: {s}"))
        for step, seconds in done.timings_s.items():
            self.report["timings_s"][f"{name}: {step}"] = seconds
        return done


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a run ended."""

    report: dict[str, Any]
    folder: Path

    @property
    def exit_status(self) -> int:
        """The exit status of the command line."""
        return report.exit_status(self.report)


def migrate(plan: Plan, progress: Progress, command: list[str], *, fetch_python: bool = False) -> Outcome:
    """Run a plan to its verdict.

    Raises:
        HarnessError: only for faults of the call (output folder, samples); every other end is an Outcome.
    """

    def body(stages: Stages) -> None:
        source, target = stages.environment(plan.source_env), stages.environment(plan.target_env)
        bundle = export_bundle(stages, plan, stages.start(source, plan.source_env.keras_flavour))
        build_and_prove(stages, bundle, plan.target_env, target)

    return run_stages(plan.out, plan.options, progress, command, plan.backend, body, plan.inputs, fetch_python)


def export(plan: Plan, progress: Progress, command: list[str], *, fetch_python: bool = False) -> Outcome:
    """Only the first stage: the bundle stands in ``OUT/bundle``. A finished export counts as verified."""

    def body(stages: Stages) -> None:
        reader = stages.start(stages.environment(plan.source_env), plan.source_env.keras_flavour)
        export_bundle(stages, plan, reader)
        stages.report["status"] = "verified"
        stages.report["not_checked"] = ["nothing was built yet: import the bundle to get a verdict"]

    return run_stages(plan.out, plan.options, progress, command, plan.backend, body, plan.inputs, fetch_python)


def import_bundle(
    folder: Path, target: EnvSpec, out: Path, options: Options, progress: Progress, command: list[str], *, backend: str
) -> Outcome:
    """The later stages: build from a bundle and prove the result."""
    from harness import graph_engine

    def body(stages: Stages) -> None:
        environment = stages.environment(target)
        if is_graph(folder):
            graph_engine.build_and_prove(stages, graph_engine.open_bundle(stages, folder), target, environment)
        else:
            build_and_prove(stages, open_bundle(stages, folder), target, environment)

    return run_stages(out, options, progress, command, backend, body, [folder])


def verify_model(
    model: Path, reference: Path | Plan, target: EnvSpec, out: Path, options: Options, progress: Progress,
    command: list[str], *, backend: str,
) -> Outcome:  # fmt: skip
    """Only the proof: an existing model against a bundle, or against a model that is exported first as its plan says."""
    if not model.exists():
        raise HarnessError("source-missing", f"There is no model at {model}.")
    from harness import graph_engine

    form = form_of(model)

    def body(stages: Stages) -> None:
        if isinstance(reference, Plan):
            source = reference.source_env
            bundle = export_bundle(stages, reference, stages.start(stages.environment(source), source.keras_flavour))
        elif is_graph(reference):
            bundle = graph_engine.open_bundle(stages, reference)
            fresh = stages.start(stages.environment(target), target.keras_flavour)
            graph_engine.prove(stages, bundle, model.resolve(), fresh, target)
            return
        else:
            bundle = open_bundle(stages, reference)
        fresh = stages.start(stages.environment(target), target.keras_flavour)
        stages.report["not_checked"].append("weights: only what the model computes was compared")
        stages.objects = options.code.target_objects
        prove(stages, bundle, {form: model.resolve()}, fresh, target)

    given = reference.inputs if isinstance(reference, Plan) else [reference]
    return run_stages(out, options, progress, command, backend, body, [model, *given])


def run_stages(
    out: Path, options: Options, progress: Progress, command: list[str], backend: str, body: Callable[[Stages], None],
    inputs: list[Path], fetch_python: bool = False,
) -> Outcome:  # fmt: skip
    """Run ``body`` in a new workspace; how it ends, errors included, is the outcome's report.

    Raises:
        HarnessError: only for faults of the call.
    """
    given = inputs + ([options.samples] if options.samples else [])
    with Workspace(out, given) as space, ExitStack() as stack:
        stages = Stages(
            space=space, options=options, progress=progress, stack=stack, report=report.new(command), backend=backend,
            fetch_python=fetch_python,
        )  # fmt: skip
        try:
            with stages.timed("total"):
                stages.stage = "start"
                body(stages)
        except HarnessError as error:
            if error.kind.exit_status is Exit.USAGE:
                raise  # a fault of the call, found late: like any other of them it leaves nothing behind
            report.set_error(stages.report, error)
        except (OSError, FormatError) as error:
            report.set_error(stages.report, _foreseen(error, stages.stage))
        finally:
            stages.stack.close()
        return Outcome(report=stages.report, folder=_publish(stages))


def _publish(stages: Stages) -> Path:
    """Write the report in all its forms and move the folder to its final place.

    Raises:
        HarnessError: what had ended the run, if anything had, else why there is no report.
    """
    keep = stages.options.keep_jobs or stages.report["status"] in ("failed", "diverged")
    _point_at_final(stages)
    also = pages.render(stages.report, stages.bundle)
    try:
        return stages.space.publish(stages.report, keep_jobs=keep, also=also)
    except HarnessError as error:
        first = stages.report["error"]
        if first is None:
            raise
        details = [line for line in first["details"] if not line.startswith("job folder:")]
        details.append(f"no report and no job folder was left: {error.message}")
        remedies = [CATALOGUE[first["code"]].remedy, error.remedy]
        remedy = " ".join(
            remedies[first["code"] in (error.code, "worker-crashed") :]
        )  # no job folder is there to look at
        raise HarnessError(first["code"], first["message"], details=details, remedy=remedy) from error


def _point_at_final(stages: Stages) -> None:
    """What the error names must hold where the folder ends up, not where it was made."""
    error = stages.report["error"]
    if error:
        made, final = str(stages.space.path), str(stages.space.final(stages.report["status"]))
        for key in ("message", "remedy"):
            error[key] = error[key].replace(made, final)
        error["details"] = [line.replace(made, final) for line in error["details"]]


def _foreseen(error: OSError | FormatError, stage: str) -> HarnessError:
    """The typed form of what may go wrong with files on the host's side."""
    if isinstance(error, FormatError):
        return HarnessError("bundle-corrupt" if isinstance(error, DigestError) else "bundle-invalid", f"{error}.")
    what = f"(stage {stage}), while the host used {error.filename or 'the output'}"
    if error.errno in FULL:
        return HarnessError("no-space", f"The disk filled up {what}.")
    if error.errno in LOST:
        return HarnessError("output-lost", f"{error.strerror} {what}.")
    return HarnessError("internal", f"{type(error).__name__}: {error}")


def export_bundle(stages: Stages, plan: Plan, worker: Worker) -> Bundle:
    options, name = plan.options, given_name(plan.artifact.kind, plan.source)
    files = {name: plan.source}
    op: dict[str, Any] = {
        "op": plan.reader,
        "source": f"in/{name}",
        "source_name": plan.source.name,
        "bundle": "out/bundle",
        "flavour": plan.source_env.keras_flavour,
        "dialect": plan.source_env.dialect,
        "environment": plan.source_env.name,
        "harness_version": harness.__version__,
        "layer_budget": options.layer_budget,
        "training": options.training,
        "notice": noticed(),
        "proof": options.proof,
    }
    if plan.weights:
        files["weights.h5"] = plan.weights
        op |= {"weights": "in/weights.h5", "weights_name": plan.weights.name}
    if options.samples:
        files["samples.npz"] = options.samples
        op["samples"] = "in/samples.npz"
    options.code.add_to(op, files)
    bundle = open_bundle(stages, run_export(stages, worker, op, files))
    if plan.note:
        stages.report["source"]["note"] = plan.note
    return bundle


def run_export(stages: Stages, worker: Worker, op: Mapping[str, Any], files: Mapping[str, Path]) -> Path:
    """The bundle that an export job makes, in the run's own folder; the worker is ended."""
    folder = stages.space.path / "bundle"
    with stages.timed("export"):
        done = stages.run(worker, "export", op, files)
        worker.stop()
        os.rename(done.folder / "out" / "bundle", folder)
    return folder


def open_bundle(stages: Stages, folder: Path) -> Bundle:
    """A bundle, entered into the report."""
    bundle = stages.bundle = Bundle.open(folder)
    if folder.parent != stages.space.path:
        bundle.check_arrays()  # it may have travelled; one that was just made is checked by whoever reads it
    manifest = bundle.manifest
    stages.report["source"] = dict(manifest["source"])
    stages.report["from"] = report.environment(manifest["producer"]["environment"], manifest["producer"])
    stages.report["probes"] = [
        {"name": s["name"], "holds": s["holds"], "seed": manifest["probes"]["seed"]} for s in manifest["probes"]["sets"]
    ]
    for change in manifest["source"].get("replaced_layers", ()):
        line = f"{change['layer']}: {change['before']} runs on GPUs only; the reference is {change['after']} with its weights"
        stages.report["not_checked"].append(line)
    stages.report["not_checked"] += [f"read with {note}" for note in manifest["source"].get("repaired", ())]
    stages.report["not_checked"] += manifest["source"].get("left_behind", ())
    if renamed := manifest["source"].get("weights_renamed"):
        line = f"weights went to layers by their order; {len(renamed)} have other names in the file: {', '.join(renamed[:5])}"
        stages.report["not_checked"].append(line + (", …" if len(renamed) > 5 else ""))
    drawing = dict.fromkeys("/".join(row["layer"]) for s in manifest["probes"]["sets"] for row in s.get("noise", ()))
    stages.report["not_checked"] += [
        f"{layer}: it draws random numbers at inference; both sides were given the same, its own generator gives others"
        for layer in drawing
    ]
    stages.report["not_checked"] += [
        f"{'/'.join(path)}: training it further: TensorFlow 2.21 gives no gradient for a weight that is read by a loop in a loop"
        for path, layer in leaves(manifest["model"]["graph"])
        if layer.get("carried", {}).get("nested_loops")
    ]
    stages.report["not_checked"] += [f"probe dropped: {reason}" for reason in manifest["probes"]["dropped"]]
    if folder.parent == stages.space.path:
        entry = report.file_artifact(folder / "SHA256SUMS", stages.space.path, "bundle")
        stages.report["artifacts"].append({**entry, "path": "bundle"})
    return bundle


def build_and_prove(
    stages: Stages, bundle: Bundle, target: EnvSpec, environment: Environment, review: Review | None = None
) -> None:
    """One TensorFlow at a time: starting the next one early saves seconds and costs a third more memory."""
    builder = stages.start(environment, target.keras_flavour)
    model = _import(stages, bundle, target, builder)
    builder.stop()
    prove(stages, bundle, model, stages.start(environment, target.keras_flavour), target, review)


def translation_of(bundle: Bundle, target: EnvSpec, options: Options) -> Translation:
    """The bundle's model in the target's dialect.

    Raises:
        HarnessError: layer-unsupported with every obstacle, pair-unsupported.
    """
    model = bundle.manifest["model"]
    done = dialects.translate(
        model["graph"], bundle.manifest["arrays"], model["dialect"], target.dialect, options.translation
    )
    if done.obstacles:
        raise HarnessError(
            "layer-unsupported",
            f"{len(done.obstacles)} layers have no exact equivalent in {target.name}.",
            details=[f"{o.layer} ({o.class_name}): {o.reason}. Way forward: {o.remedy}." for o in done.obstacles],
        )
    return done


def _import(stages: Stages, bundle: Bundle, target: EnvSpec, worker: Worker) -> dict[str, Path]:
    """Build and save the model; returns the saved forms by format."""
    with stages.timed("translate"):
        done = translation_of(bundle, target, stages.options)
    stages.report["ledger"] = report.ledger(done.ledger)
    stages.renamed, stages.rounded = done.renamed, rounded_weights(done.weights)
    stages.report["code"] = report.code(bundle.manifest)
    plan = stages.space.jobs / "plan.json"
    stages.training = training.Stage.of(bundle, done, target, stages.options)
    stages.report["ledger"] += report.ledger(stages.training.ledger)
    write_json(str(plan), {"graph": done.graph, "weights": done.weights, "training": stages.training.as_json()})
    forms = {form: f"out/{FORMS[form][1]}" for form in _provable_forms(stages, bundle)}
    op, files = build_op(target, forms), {"bundle": bundle.folder, "plan.json": plan}
    stages.options.code.add_to_target(op, files)
    with stages.timed("import"):
        job = stages.run(worker, "import", op, files)
    result = job.results[0]
    stages.training = stages.training.built(result["training"])
    stages.digests = result["weights"].pop("digests")
    stages.report["weights"] = result["weights"]
    stages.report["to"] = report.environment(target.name, result["versions"])
    code.settle(stages.report, result["ways"], result["supplied"])
    stages.report["not_checked"] += result["kept"]
    if "carried" in result["ways"].values():
        _beside(stages, job.folder / "out" / LAYERS_MODULE, LAYERS_MODULE)
    if "source" in result["ways"].values():
        assert stages.options.code.target_objects is not None
        needs(stages, stages.options.code.target_objects)
    return {form: job.folder / path for form, path in forms.items()}


def _beside(stages: Stages, module: Path, name: str) -> None:
    """Put a module that the saved model needs beside it."""
    made = Path(shutil.copyfile(module, stages.space.path / name))
    stages.report["artifacts"].append(report.file_artifact(made, stages.space.path, "python"))


def needs(stages: Stages, objects: Path) -> None:
    """Note that the saved model loads with the classes and functions of a file only, and put a copy of it beside."""
    stages.objects = objects
    _beside(stages, objects, TARGET_OBJECTS)


def _provable_forms(stages: Stages, bundle: Bundle) -> tuple[str, ...]:
    """The saved forms to build: a full proof adds a SavedModel, but not of a model that draws random numbers."""
    forms = stages.options.formats
    draws = any(row.get("noise") for row in bundle.manifest["probes"]["sets"])
    if stages.options.proof == "full" and draws and len(forms) > 1:
        stages.report["not_checked"].append("a SavedModel: it draws its own random numbers")
        return tuple(form for form in forms if form != "saved_model")
    return forms


def build_op(target: EnvSpec, forms: Mapping[str, str]) -> dict[str, Any]:
    """The operation that builds a model and saves it in ``forms`` (form -> path in the job)."""
    inputs = {"bundle": "in/bundle", "plan": "in/plan.json"}
    return {"op": "build_model", "flavour": target.keras_flavour, **inputs, "forms": dict(forms)}


def replay_op(target: EnvSpec, form: str, model: str, renamed: Any, **more: Any) -> dict[str, Any]:
    """The operation that loads a saved model and runs every probe through it."""
    return {
        "op": "replay",
        "flavour": target.keras_flavour,
        "model": model,
        "format": form,
        "bundle": "in/bundle",
        "outputs": "out/outputs.npz",
        "index": "out/outputs.json",
        "layers": True,
        "renamed": renamed,
        **more,
    }


def double_of(bundle: Bundle, options: Options, rounded: str | None) -> dict[str, str]:
    """What asks ``replay`` for float64, where the bundle has that, it is wanted, and the weights allow it."""
    told = bundle.manifest["probes"].get("double")
    wanted = options.proof != "quick" and told is not None and not told["skipped"] and rounded is None
    return {"double": "out/double.npz"} if wanted else {}


def rounded_weights(moves: Mapping[str, Mapping[str, Any]]) -> str | None:
    """Why a target's weights are others than the source's in float64 (they were rounded on their way), or None."""
    names = [n for n, move in moves.items() if any(step["op"] in ROUNDING for step in move["transforms"])]
    return f"{len(names)} weights are rounded on their way, {names[0]} among them" if names else None


def prove(
    stages: Stages, bundle: Bundle, model: Mapping[str, Path], worker: Worker, target: EnvSpec,
    review: Review | None = None,
) -> None:  # fmt: skip
    """Replay every saved form, judge, and put the model under the name that its verdict allows.

    ``review`` says what of the evidence counts, and adds its own.
    """
    evidence = []
    with stages.timed("prove"):
        for form, path in model.items():
            found = _replay(stages, bundle, form, path, worker, target, model.get("keras"))
            evidence += review(found, stages.space.jobs / f"replay-{form}" / "out") if review else [found]
    made = stages.report
    made["outputs"], made["layers"] = report.outputs(evidence), report.layers(evidence)
    report.add_configs(made["layers"], bundle, stages.configs)
    made["noise_floor"] = floor.section(stages.options.proof, bundle, evidence, stages.not_exact)
    made["not_checked"] += story.not_exact(made["noise_floor"])
    made["proven"] = reach.proven(bundle, layers=made["layers"] is not None, required=stages.options.require_proven)
    _prove_training(stages, bundle, model, worker)
    weights = made["weights"]
    equal = weights is None or (weights["equal"] == weights["total"] and not weights["unequal"])
    trains = made["training"] is None or made["training"]["ok"]
    same = not any(row.get("differs") for row in made["code"])
    made["status"] = "verified" if equal and trains and same and all(item.ok for item in evidence) else "diverged"
    if made["status"] == "verified":
        reach.check_required(made["proven"])
    for form, path in model.items():
        if stages.space.path in path.parents:
            mark = "" if made["status"] == "verified" else ".diverged"
            final = stages.space.path / f"{path.stem}{mark}{path.suffix}"
            links = [
                link
                for link in stages.space.jobs.glob("*/in/*")
                if link.is_symlink() and link.resolve() == path.resolve()
            ]
            os.rename(path, final)
            for link in links:  # the jobs can be run again
                _link(link, final)
            made["artifacts"].append(report.file_artifact(final, stages.space.path, form))


def _prove_training(stages: Stages, bundle: Bundle, model: Mapping[str, Path], worker: Worker) -> None:
    """The optimizer that the fresh process loads from each saved form, and steps with it; the worst stands in the report."""
    stage = stages.training
    if stage is None:
        return
    stages.report["training"] = None
    for form in [form for form in model if form != "saved_model"] if stage.provable else []:
        plan, name = stages.space.jobs / "plan.json", FORMS[form][1]
        op = stage.request(f"in/{name}")
        files = {"bundle": bundle.folder, "plan.json": plan, name: model[form], **_loads_with(stages, op)}
        with stages.timed("prove"):
            job = stages.run(worker, f"training-{form}", op, files)
        section = stage.section(bundle, job.results[0], job.folder / "out")
        if stages.report["training"] is None or not section["ok"]:
            stages.report["training"] = section
    if stages.report["training"] is None:
        stages.report["training"] = stage.unproved(bundle)
    for path in stage.write_module(stages.space.path):
        stages.report["artifacts"].append(report.file_artifact(path, stages.space.path, "python"))


def _persisted(stages: Stages, loaded: list[list[str]] | None) -> None:
    """Count a weight as unequal if the fresh process loaded other bytes than were assigned."""
    if stages.digests is not None and loaded is not None:
        left = Counter(map(tuple, stages.digests)) - Counter(map(tuple, loaded))
        lost = sorted(path for path, _ in left.elements())
        stages.report["weights"]["unequal"] += [f"{path}: not the same after saving and loading" for path in lost]


def _link(link: Path, path: Path) -> None:
    link.unlink()
    link.symlink_to(os.path.relpath(path, link.parent))


def _replay(
    stages: Stages, bundle: Bundle, form: str, path: Path, worker: Worker, target: EnvSpec, native: Path | None
) -> Evidence:
    name, inner = f"replay-{form}", FORMS[form][1]
    recorded = bool(bundle.manifest["probes"]["layers"]["records"])
    op = replay_op(
        target,
        form,
        f"in/{inner}",
        stages.renamed,
        layers=recorded and form != "saved_model",
        configs=recorded and form != "saved_model",
        **double_of(bundle, stages.options, stages.rounded),
    )
    files = {"bundle": bundle.folder, inner: path, **_loads_with(stages, op)}
    if "double" in op and form == "saved_model" and target.keras_flavour == "keras3":
        del op["double"]
        if native and stages.options.proof == "full":
            files["beside.keras"] = native
            op |= {"beside": "in/beside.keras", "double": "out/double.npz"}
    job = stages.run(worker, name, op, files)
    result = job.results[0]
    stages.report["to"] = stages.report["to"] or report.environment(target.name, result["versions"])
    _persisted(stages, result["digests"])
    stages.configs = stages.configs or result.get("configs", {})
    stages.not_exact[form] = stages.rounded or _not_exact(form, target, result.get("double"))
    stages.report["not_checked"] += [
        f"{layer}: the model has no layer of that name" for layer in result["layers_missing"]
    ]
    stages.report["not_checked"] += [
        f"{change['layer']}: {target.name} has no CPU kernel for it; {change['after']} was computed"
        for change in result.get("transposed", ())
    ]
    evidence = _judged(bundle, job.folder / "out", form)
    if evidence.suspects:
        alone = {**op, "op": "replay_layers", "arrays": evidence.suspects}
        job = stages.run(worker, f"replay-{form}-layers", alone, files)
        evidence = evidence.settled(_judged(bundle, job.folder / "out", form))
    return Evidence(**{**vars(evidence), "layers_missing": tuple(result["layers_missing"])})


def _not_exact(form: str, target: EnvSpec, told: Mapping[str, Any] | None) -> str | None:
    """Why a saved form was not computed in float64, or None."""
    if told is not None:
        return None if told["skipped"] is None else str(told["skipped"])
    if form == "saved_model":
        return "a SavedModel holds functions, which keep their type; --proof full exports one in float64"
    return f"{target.name} was not asked for it"


def _loads_with(stages: Stages, op: dict[str, Any]) -> dict[str, Path]:
    """The files that a process needs to load the saved model, entered into its operation."""
    if stages.objects is None:
        return {}
    op["objects"] = f"in/{TARGET_OBJECTS}"
    return {TARGET_OBJECTS: stages.objects}


def _judged(bundle: Bundle, out: Path, form: str) -> Evidence:
    """The evidence of what a job replayed."""
    entries = read_json(str(out / "outputs.json"))["arrays"]
    shapes = {entry["name"]: entry["full_shape"] for entry in entries if "full_shape" in entry}
    return verify.judge(bundle, ArrayReader(str(out), entries), shapes, form=form)
