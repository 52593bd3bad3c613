"""A worker process for many jobs: replaced when it died, has run many jobs, or has grown too large."""

from __future__ import annotations

from pathlib import Path

from harness.backends import Environment, Limits
from harness.backends.base import NO_LIMITS
from harness.job import Job, JobResult, Worker

#: jobs after which a worker process is replaced: TensorFlow's memory grows with every graph
RECYCLE_AFTER = 200
#: resident bytes above which it is replaced sooner: three of them have to fit beside each other
RECYCLE_ABOVE = 2 << 30


def recycle_due(jobs: int, resident: int | None) -> bool:
    """Whether a worker has done its share: by count, or by resident bytes where they are known."""
    return jobs >= RECYCLE_AFTER or (resident is not None and resident > RECYCLE_ABOVE)


def resident_bytes(pid: int | None) -> int | None:
    """The memory that a process holds, as Linux counts it; None where it cannot be told."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    for line in status.splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) << 10
    return None


class WarmWorker:
    """A worker that is replaced after a crash, a timeout, many jobs, or growth."""

    def __init__(self, environment: Environment, root: Path, *, flavour: str, limits: Limits = NO_LIMITS) -> None:
        self.environment, self.root, self.flavour, self.limits = environment, root, flavour, limits
        self._worker: Worker | None = None
        self._jobs = 0
        self.starts = 0

    def start(self) -> Worker:
        """A live process: the one that runs, or a new one, which begins to import TensorFlow now."""
        worker = self._worker
        if worker is not None:
            dead = worker.running.look() is not None
            if dead or recycle_due(self._jobs, resident_bytes(worker.running.pid)):
                self.stop()
                worker = None
        if worker is None:
            self.starts += 1
            self._jobs = 0
            scratch = self.root / f"{self.environment.spec.name}-{self.starts}"
            self._worker = worker = Worker(self.environment, scratch, flavour=self.flavour, limits=self.limits)
        return worker

    def run(self, job: Job, timeout_s: float) -> JobResult:
        """The result of a job; raises what :meth:`harness.job.Worker.run` raises."""
        worker = self.start()
        self._jobs += 1
        return worker.run(job, timeout_s=timeout_s)

    def stop(self) -> None:
        """End the process; from any thread."""
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.stop()
