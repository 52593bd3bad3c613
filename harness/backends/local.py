"""A worker as a process of this machine, in a process group of its own."""

from __future__ import annotations

import math
import os
import resource
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

from harness.backends.base import Limits, Reason

#: of the machine's memory, where the user sets no limit: a model that allocates without end leaves the rest its own
MEMORY_SHARE = 0.9


def _physical_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


class LocalProcess:
    """See :class:`harness.backends.base.Running`; reads and writes job folders where they are."""

    def __init__(self, argv: list[str], environ: Mapping[str, str], scratch: Path, limits: Limits) -> None:
        self.log, self.limits = scratch / "start.log", limits
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                argv,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=scratch,
                env=environ,
                start_new_session=True,  # Ctrl-C reaches the host only, which then ends the whole group
            )
        self._limit(limits)

    @property
    def pid(self) -> int:
        """The worker's process."""
        return self.process.pid

    def _limit(self, limits: Limits) -> None:
        """What the kernel bounds for a single process; children inherit each bound, and do not share it."""
        wanted = {
            resource.RLIMIT_CORE: 0,
            # Private writable memory. TensorFlow maps far more address space than it uses: RLIMIT_AS would stop it.
            resource.RLIMIT_DATA: limits.memory or int(_physical_bytes() * MEMORY_SHARE),
            resource.RLIMIT_FSIZE: limits.storage,
        }
        try:
            for what, value in wanted.items():
                if value is not None:
                    resource.prlimit(self.process.pid, what, (value, value))
            if limits.cpus:
                allowed = sorted(os.sched_getaffinity(self.process.pid))
                os.sched_setaffinity(self.process.pid, allowed[: math.ceil(limits.cpus)])
        except ProcessLookupError:
            return  # it has ended already, which `look` tells

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
        """End the process group; a worker that is idle ends by itself when its input closes."""
        stdin = self.process.stdin
        if stdin is not None and not stdin.closed:
            try:
                stdin.close()
            except BrokenPipeError:
                pass
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
