"""Runs cases through warm workers: one thread feeds the source environment, one the target's."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import harness
from harness import dialects, verify
from harness.backends import Environment
from harness.bundle import Bundle
from harness.errors import Exit, HarnessError
from harness.job import Job, JobResult, Worker, remove
from harness.plan import Options
from harness.regress.cases import Case
from harness.report import outputs as report_outputs
from harness.worker.tfworker.arrays import ArrayReader
from harness.worker.tfworker.files import read_json, write_json

#: jobs after which a worker process is replaced: TensorFlow's memory grows with every graph
RECYCLE_AFTER = 100


@dataclass(frozen=True, kw_only=True)
class CaseResult:
    """How one case ended."""

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

    def as_json(self) -> dict[str, Any]:
        """The result as the matrix file writes it."""
        return asdict(self)


class WarmWorker:
    """A worker that is replaced after a crash, a timeout, or many jobs."""

    def __init__(self, environment: Environment, root: Path, *, flavour: str) -> None:
        self.environment, self.root, self.flavour = environment, root, flavour
        self._worker: Worker | None = None
        self._jobs = self._starts = 0

    def run(self, job: Job, timeout_s: float) -> JobResult:
        """The result of a job, in a live process."""
        if self._worker is not None and (self._jobs >= RECYCLE_AFTER or self._worker.process.poll() is not None):
            self.stop()
        if self._worker is None:
            self._starts += 1
            self._jobs = 0
            scratch = self.root / f"{self.environment.spec.name}-{self._starts}"
            self._worker = Worker(self.environment, scratch, flavour=self.flavour)
        self._jobs += 1
        return self._worker.run(job, timeout_s=timeout_s)

    def stop(self) -> None:
        """End the process."""
        if self._worker is not None:
            self._worker.stop()
            self._worker = None


@dataclass(kw_only=True)
class PairRun:
    """One pair of environments over many cases."""

    source: Environment
    target: Environment
    root: Path
    options: Options

    def run(self, cases: Iterable[Case], report: Callable[[CaseResult], None] | None = None) -> list[CaseResult]:
        """A result for every case, in order; never raises for what a case does."""
        todo = list(cases)
        ready: queue.Queue[tuple[Case, Path, float, Bundle | HarnessError] | None] = queue.Queue(maxsize=8)
        results: list[CaseResult] = []
        exporter = threading.Thread(target=self._export_all, args=(todo, ready), daemon=True)
        exporter.start()
        worker = WarmWorker(self.target, self.root / "target", flavour="keras3")
        try:
            while (item := ready.get()) is not None:
                case, folder, spent, bundle = item
                started = time.monotonic()
                result = self._finish(case, folder, bundle, worker)
                result = CaseResult(**{**vars(result), "seconds": round(spent + time.monotonic() - started, 3)})
                results.append(result)
                if result.status in ("verified", "refused"):
                    remove(folder)
                if report:
                    report(result)
        finally:
            worker.stop()
        exporter.join()
        return results

    def _export_all(self, cases: list[Case], ready: queue.Queue[Any]) -> None:
        worker = WarmWorker(self.source, self.root / "source", flavour=self.source.spec.keras_flavour)
        try:
            for case in cases:
                started = time.monotonic()
                folder = self.root / "jobs" / case.id.replace("/", "__")
                outcome: Bundle | HarnessError
                try:
                    outcome = self._export(case, folder, worker)
                except HarnessError as error:
                    outcome = error
                except Exception as error:  # noqa: BLE001 - one case must not end the matrix
                    outcome = HarnessError("internal", f"{type(error).__name__}: {error}")
                ready.put((case, folder, time.monotonic() - started, outcome))
        finally:
            worker.stop()
            ready.put(None)

    def _export(self, case: Case, folder: Path, worker: WarmWorker) -> Bundle:
        spec = self.source.spec
        job = Job.create(folder, "export")
        job.give(case.path, "model.h5")
        job.ops.append(
            {
                "op": "read_keras_h5",
                "source": "in/model.h5",
                "source_name": case.path.name,
                "bundle": "out/bundle",
                "flavour": spec.keras_flavour,
                "dialect": spec.dialect,
                "environment": spec.name,
                "harness_version": harness.__version__,
                "layer_budget": self.options.layer_budget,
            }
        )
        worker.run(job, self.options.timeout_s)
        return Bundle.open(job.folder / "out" / "bundle")

    def _finish(self, case: Case, folder: Path, bundle: Bundle | HarnessError, worker: WarmWorker) -> CaseResult:
        if isinstance(bundle, HarnessError):
            return self._ended(case, bundle)
        try:
            return self._import(case, folder, bundle, worker)
        except HarnessError as error:
            return self._ended(case, error)
        except Exception as error:  # noqa: BLE001 - one case must not end the matrix
            return self._result(case, "failed", code="internal", reason=f"{type(error).__name__}: {error}")

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

    def _import(self, case: Case, folder: Path, bundle: Bundle, worker: WarmWorker) -> CaseResult:
        model = bundle.manifest["model"]
        done = dialects.translate(
            model["graph"],
            bundle.manifest["arrays"],
            model["dialect"],
            self.target.spec.dialect,
            self.options.translation,
        )
        if done.obstacles:
            reasons = [f"{o.layer} ({o.class_name}): {o.reason}. {o.remedy}" for o in done.obstacles]
            return self._result(case, "refused", code="layer-unsupported", reason=" | ".join(reasons))
        job = Job.create(folder, "import")
        job.give(bundle.folder, "bundle")
        write_json(str(job.folder / "in" / "plan.json"), {"graph": done.graph, "weights": done.weights})
        job.ops += [
            {"op": "build_keras3", "bundle": "in/bundle", "plan": "in/plan.json", "model": "out/model.keras"},
            {
                "op": "replay",
                "model": "out/model.keras",
                "format": "keras",
                "bundle": "in/bundle",
                "outputs": "out/outputs.npz",
                "index": "out/outputs.json",
                "layers": True,
            },
        ]
        weights = worker.run(job, self.options.timeout_s).results[0]["weights"]
        entries = read_json(str(job.folder / "out" / "outputs.json"))["arrays"]
        shapes = {entry["name"]: entry["full_shape"] for entry in entries if "full_shape" in entry}
        evidence = verify.judge(bundle, ArrayReader(str(job.folder / "out"), entries), shapes, form="keras")
        rows = report_outputs([evidence])
        worst = max((row["max_rel"] for row in rows), default=0.0)
        first = evidence.first_divergent
        ok = evidence.ok and not weights["unequal"]
        bad = [row["reason"] for row in rows if not row["ok"]] or ([first.comparison.reason] if first else [])
        return self._result(
            case,
            "verified" if ok else "diverged",
            reason="; ".join(str(b) for b in bad) or None,
            first_divergent=f"{first.layer} ({first.class_name})" if first else None,
            max_rel=worst,
        )
