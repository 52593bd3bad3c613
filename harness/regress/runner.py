"""Runs cases through warm workers: one thread feeds the source environment, one the target's."""

from __future__ import annotations

import queue
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import harness
from harness import dialects, verify
from harness.backends import Environment
from harness.bundle import Bundle
from harness.engine import build_op, double_of, replay_op, rounded_weights
from harness.errors import Exit, HarnessError
from harness.job import Job, remove
from harness.plan import FORMS, Options, given_name, reader_of, with_formats
from harness.regress.cases import ZOO, Case
from harness.regress.golden import SAMPLES, disagreement, samples_of
from harness.regress.naive import Naive
from harness.regress.warm import WarmWorker
from harness.report import outputs as report_outputs
from harness.verify.code import difference
from harness.worker.tfworker.arrays import ArrayReader
from harness.worker.tfworker.files import read_json, write_json


@dataclass(frozen=True, kw_only=True)
class CaseResult:
    """How one case ended.

    Attributes:
        code: of the error, or ``golden`` where the source model is not the one whose outputs were recorded.
        max_rel: the largest difference of an output, as a share of its largest value.
        seconds: busy time of both sides.
        golden: whether outputs recorded by others took part.
        naive: by flavour, what a plain ``load_model`` gives: ``status`` (right, silent, fails), ``max_rel``, ``reason``.
    """

    id: str
    source: str
    target: str
    status: str
    layers: tuple[str, ...]
    code: str | None = None
    reason: str | None = None
    first_divergent: str | None = None
    max_rel: float | None = None
    seconds: float = 0.0
    golden: bool = False
    naive: dict[str, dict[str, Any]] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The result as the matrix file writes it."""
        return asdict(self)


@dataclass(kw_only=True)
class PairRun:
    """One pair of environments over many cases.

    Attributes:
        naive, naive_suites: whether, and of which suites, files are loaded plainly as well.
        keep: keep the job folders of verified and refused cases too.
        reader, worker: processes of the source and the target that outlive this run; its own where there are none.
    """

    source: Environment
    target: Environment
    root: Path
    options: Options
    naive: bool = False
    naive_suites: frozenset[str] = frozenset({ZOO})
    keep: bool = False
    reader: WarmWorker | None = None
    worker: WarmWorker | None = None
    _stopping: threading.Event = field(default_factory=threading.Event)

    def run(self, cases: Iterable[Case], report: Callable[[CaseResult], None] | None = None) -> list[CaseResult]:
        """A result for every case, in order; never raises for what a case does."""
        todo = list(cases)
        ready: queue.Queue[_Exported | None] = queue.Queue(maxsize=8)
        results: list[CaseResult] = []
        reader = self.reader or self._warm(self.source, "source")
        exporter = threading.Thread(target=self._export_all, args=(todo, reader, ready), daemon=True)
        exporter.start()
        worker = self.worker or self._warm(self.target, "target")
        naive = Naive(self.target, self.root / "naive", self.options) if self._has_both() else None
        try:
            worker.start()
            while (item := ready.get()) is not None:
                result = self._judged(item, worker, naive)
                results.append(result)
                if result.status in ("verified", "refused") and not self.keep:
                    remove(item.folder)
                if report:
                    report(result)
            exporter.join()
        finally:
            self._stopping.set()
            if exporter.is_alive() or not self.reader:
                reader.stop()  # after Ctrl-C it still has a job
            while exporter.is_alive():  # it may wait for a place in the queue
                _drain(ready)
                exporter.join(timeout=0.1)
            if not self.worker:
                worker.stop()
            if naive:
                naive.stop()
        return results

    def _has_both(self) -> bool:
        """Whether plain loads are asked for, and the target's packages hold both Keras 3 and tf_keras."""
        return self.naive and self.target.spec.keras_flavour in ("keras3", "tf_keras")

    def _warm(self, environment: Environment, folder: str) -> WarmWorker:
        flavour, limits = environment.spec.keras_flavour, self.options.limits
        return WarmWorker(environment, self.root / folder, flavour=flavour, limits=limits)

    def _judged(self, item: _Exported, worker: WarmWorker, naive: Naive | None) -> CaseResult:
        bundle = item.bundle if isinstance(item.bundle, Bundle) else None
        # The naive loads have a process of their own: what a file does to that one is no fault of the migration.
        pending = naive.submit(item.case, item.folder, bundle) if naive and self._loads_naively(item.case) else None
        started = time.monotonic()
        result = self._finish(item, worker)
        spent = round(item.spent_s + time.monotonic() - started, 3)
        return replace(result, seconds=spent, naive=pending.result() if pending else {})

    def _loads_naively(self, case: Case) -> bool:
        return case.suite in self.naive_suites and case.weights is None

    def _export_all(self, cases: list[Case], worker: WarmWorker, ready: queue.Queue[_Exported | None]) -> None:
        try:
            for number, case in enumerate(cases):
                if self._stopping.is_set():
                    break
                started = time.monotonic()
                folder = self.root / "jobs" / f"{number:05d}-{_safe(case.id)}"
                outcome: Bundle | HarnessError
                try:
                    outcome = self._export(case, folder, worker)
                except HarnessError as error:
                    outcome = error
                except Exception as error:  # noqa: BLE001 - one case must not end the matrix
                    outcome = HarnessError("internal", f"{type(error).__name__}: {error}")
                ready.put(_Exported(case=case, folder=folder, spent_s=time.monotonic() - started, bundle=outcome))
        finally:
            if not self.reader:
                worker.stop()
            ready.put(None)

    def _export(self, case: Case, folder: Path, worker: WarmWorker) -> Bundle:
        """The bundle of a case, its golden inputs among the probes where they fit."""
        folder.mkdir(parents=True)
        samples = folder / "samples.npz"
        given = samples_of(case, samples)
        try:
            return self._export_with(case, folder, worker, samples if given else None)
        except HarnessError as error:
            if error.code != "samples-invalid":
                raise
            remove(folder / "export")
            return self._export_with(case, folder, worker, None)

    def _export_with(self, case: Case, folder: Path, worker: WarmWorker, samples: Path | None) -> Bundle:
        spec = self.source.spec
        job = Job.create(folder, "export")
        op = {
            "op": reader_of(case.kind, spec),
            "source": job.give(case.path, given_name(case.kind, case.path)),
            "source_name": case.path.name,
            "bundle": "out/bundle",
            "flavour": spec.keras_flavour,
            "dialect": spec.dialect,
            "environment": spec.name,
            "harness_version": harness.__version__,
            "layer_budget": self.options.layer_budget,
            "proof": self.options.proof,
        }
        if case.weights:
            op |= {"weights": job.give(case.weights, "weights.h5"), "weights_name": case.weights.name}
        if samples:
            op["samples"] = job.give(samples, "samples.npz")
        files: dict[str, Path] = {}
        self.options.code.add_to(op, files)
        for inner, path in files.items():
            job.give(path, inner)
        job.ops.append(op)
        worker.run(job, self.options.timeout_s)
        return Bundle.open(job.folder / "out" / "bundle")

    def _finish(self, item: _Exported, worker: WarmWorker) -> CaseResult:
        if isinstance(item.bundle, HarnessError):
            return self._ended(item.case, item.bundle)
        try:
            wrong = disagreement(item.case, item.bundle)
            if wrong:
                return self._result(item.case, "diverged", code="golden", reason=wrong, golden=True)
            return self._import(item.case, item.folder, item.bundle, worker)
        except HarnessError as error:
            return self._ended(item.case, error)
        except Exception as error:  # noqa: BLE001 - one case must not end the matrix
            return self._result(item.case, "failed", code="internal", reason=f"{type(error).__name__}: {error}")

    def _ended(self, case: Case, error: HarnessError) -> CaseResult:
        status = "refused" if error.kind.exit_status == Exit.REFUSED else "failed"
        reason = " | ".join([error.message, *error.details[:12]])
        return self._result(case, status, code=error.code, reason=reason)

    def _result(self, case: Case, status: str, **more: Any) -> CaseResult:
        return CaseResult(
            id=case.id,
            source=self.source.spec.name,
            target=self.target.spec.name,
            status=status,
            layers=case.layers,
            **more,
        )

    def _translated(self, case: Case, bundle: Bundle) -> dialects.Translation:  # noqa: ARG002
        """What is built in the target; ``case`` is for tests, which damage it."""
        model = bundle.manifest["model"]
        arrays, new = bundle.manifest["arrays"], self.target.spec.dialect
        return dialects.translate(model["graph"], arrays, model["dialect"], new, self.options.translation)

    def _import(self, case: Case, folder: Path, bundle: Bundle, worker: WarmWorker) -> CaseResult:
        done = self._translated(case, bundle)
        if done.obstacles:
            reasons = [f"{o.layer} ({o.class_name}): {o.reason}. {o.remedy}" for o in done.obstacles]
            return self._result(case, "refused", code="layer-unsupported", reason=" | ".join(reasons))
        spec = self.target.spec
        form = with_formats(Options(), spec).formats[0]
        path = f"out/{FORMS[form][1]}"
        job = Job.create(folder, "import")
        job.give(bundle.folder, "bundle")
        write_json(str(job.folder / "in" / "plan.json"), {"graph": done.graph, "weights": done.weights})
        job.ops += [
            build_op(spec, {form: path}),
            replay_op(
                spec,
                form,
                path,
                done.renamed,
                eager=True,
                **double_of(bundle, self.options, rounded_weights(done.weights)),
            ),
        ]
        files: dict[str, Path] = {}
        for op in job.ops:
            self.options.code.add_to_target(op, files)
        for inner, given in files.items():
            job.give(given, inner)
        build, replay = worker.run(job, self.options.timeout_s).results
        weights, digests = build["weights"], build["weights"]["digests"]
        lost = list((Counter(map(tuple, digests)) - Counter(map(tuple, replay["digests"]))).elements())
        entries = read_json(str(job.folder / "out" / "outputs.json"))["arrays"]
        shapes = {entry["name"]: entry["full_shape"] for entry in entries if "full_shape" in entry}
        evidence = verify.judge(bundle, ArrayReader(str(job.folder / "out"), entries), shapes, form=form)
        rows = report_outputs([evidence])
        first = evidence.first_divergent
        differs = [f"{row['layer']}: {found}" for row in build["supplied"] if (found := difference(row))]
        bad = differs + [row["reason"] for row in rows if not row["ok"]] or ([first.comparison.reason] if first else [])
        bad += [f"{len(names)} weights are not equal" for names in (weights["unequal"], lost) if names]
        return self._result(
            case,
            "verified" if evidence.ok and not bad else "diverged",
            reason="; ".join(str(b) for b in bad) or None,
            first_divergent=f"{first.layer} ({first.class_name})" if first else None,
            max_rel=max((row["max_rel"] for row in rows), default=0.0),
            golden=any(row["name"] == SAMPLES for row in bundle.manifest["probes"]["sets"]),
        )


@dataclass(frozen=True, kw_only=True)
class _Exported:
    """What the source side hands on: a bundle, or why there is none."""

    case: Case
    folder: Path
    spent_s: float
    bundle: Bundle | HarnessError


def _drain(ready: queue.Queue[Any]) -> None:
    while True:
        try:
            ready.get_nowait()
        except queue.Empty:
            return


def _safe(name: str) -> str:
    """A case's id as a file name: readable, short enough for any file system."""
    return re.sub(r"[^\w.-]+", "_", name)[:120]
