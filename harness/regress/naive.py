"""What users get without the harness: plain loads of the old file, side by side with the migration."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from harness.backends import Environment
from harness.bundle import Bundle
from harness.errors import HarnessError
from harness.job import Job
from harness.plan import Options
from harness.regress.cases import Case
from harness.regress.warm import WarmWorker

#: name in tables, and what the worker is asked for
FLAVOURS = {"keras3": "Keras 3", "tf_keras": "tf_keras"}
#: above this share of the largest value an output is wrong, not rounded
WRONG_ABOVE = 1e-4

Outcome = dict[str, Any]


class Naive:
    """Loads every case in each flavour, in a process and a thread of its own; a crash costs one cell."""

    def __init__(self, environment: Environment, root: Path, options: Options) -> None:
        self.worker = WarmWorker(environment, root, flavour="keras3", limits=options.limits)
        self.timeout_s = options.timeout_s
        self._pool = ThreadPoolExecutor(1)
        self._pool.submit(self.worker.start)

    def submit(self, case: Case, folder: Path, bundle: Bundle | None) -> Future[dict[str, Outcome]]:
        """The coming results by flavour; none where nothing recorded could be compared with."""
        return self._pool.submit(self._all, case, folder, bundle)

    def _all(self, case: Case, folder: Path, bundle: Bundle | None) -> dict[str, Outcome]:
        if bundle is None and case.golden is None:
            return {}
        return {flavour: self._one(case, folder, bundle, flavour) for flavour in FLAVOURS}

    def _one(self, case: Case, folder: Path, bundle: Bundle | None, flavour: str) -> Outcome:
        job = Job.create(folder, f"naive-{flavour}")
        op = {"op": "naive_matrix", "model": job.give(case.path, "model.h5"), "flavour": flavour}
        if bundle is not None:
            op["bundle"] = job.give(bundle.folder, "bundle")
        elif case.golden is not None:
            op["golden"] = job.give(case.golden, "golden.npz")
        job.ops.append(op)
        try:
            return judged(self.worker.run(job, self.timeout_s).results[0])
        except HarnessError as error:
            return {"status": "fails", "max_rel": None, "reason": error.message}

    def stop(self) -> None:
        """End the thread and the process."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        self.worker.stop()


def judged(found: Mapping[str, Any]) -> Outcome:
    """The outcome of one plain load: ``right``, ``silent`` (it loads, and computes something else) or ``fails``."""
    if found["error"] is not None:
        return {"status": "fails", "max_rel": None, "reason": found["error"]}
    off = found["max_rel"]
    if off is None:
        return {"status": "silent", "max_rel": None, "reason": "other shapes, or not the same numbers are finite"}
    status = "right" if off <= WRONG_ABOVE else "silent"
    return {"status": status, "max_rel": off, "reason": None}
