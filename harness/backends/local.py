"""A worker as a process of this machine, which is ended with all that it started."""

from __future__ import annotations

import math
import os
import resource
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

from harness.backends.base import Limits, Reason
from harness.backends.kept import Kept

#: of the machine's memory, where the user sets no limit: a model that allocates without end leaves the rest its own
MEMORY_SHARE = 0.9


def _physical_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _bounds(limits: Limits) -> dict[int, int]:
    """What the kernel bounds for a single process; children inherit each bound, and do not share it."""
    # Private writable memory. TensorFlow maps far more address space than it uses: RLIMIT_AS would stop it.
    bounds = {resource.RLIMIT_DATA: limits.memory or int(_physical_bytes() * MEMORY_SHARE)}
    return bounds if limits.storage is None else {**bounds, resource.RLIMIT_FSIZE: limits.storage}


def _processors(limits: Limits) -> list[int]:
    """The first of those that this process may use, as many as are allowed; none of them stands for all."""
    return sorted(os.sched_getaffinity(0))[: math.ceil(limits.cpus)] if limits.cpus else []


class LocalProcess:
    """See :class:`harness.backends.base.Running`; reads and writes job folders where they are."""

    def __init__(self, argv: list[str], environ: Mapping[str, str], scratch: Path, limits: Limits) -> None:
        self.log, self.limits = scratch / "start.log", limits
        with self.log.open("wb") as log:
            self.kept = Kept(
                argv,
                environ=environ,
                cwd=scratch,
                output=log,
                stdin=subprocess.PIPE,
                limits=_bounds(limits),
                processors=_processors(limits),
            )
        self.process = self.kept.process

    @property
    def pid(self) -> int:
        """The worker's process."""
        return self.kept.pid

    def submit(self, folder: Path) -> None:
        """Write the folder's path to the worker's standard input."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(f"{folder}\n".encode())
            self.process.stdin.flush()
        except BrokenPipeError:
            self.process.wait()

    def look(self) -> int | None:
        """The exit status, or None while the process runs; the files are where the host reads them."""
        return self.process.poll()

    def why(self) -> Reason | None:
        """The system's killer of processes, or the limit, where the signal speaks for one of them."""
        status = self.process.poll()
        if status == -signal.SIGKILL:
            return Reason("worker-crashed", "The system may have run out of memory.")
        if self.limits.memory and status in (-signal.SIGABRT, -signal.SIGSEGV):
            # What cannot be allocated ends C++ code in one of these ways.
            return Reason(
                "worker-crashed", f"It may have needed more than the {self.limits.memory / 1e9:.1f} GB of `--memory`."
            )
        return None

    def stop(self) -> None:
        """End the worker and all that it started; one that is idle ends by itself when its input closes."""
        stdin = self.process.stdin
        if stdin is not None and not stdin.closed:
            try:
                stdin.close()
            except BrokenPipeError:
                pass
        self.kept.stop()
