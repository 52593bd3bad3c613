"""Wall time and memory of a command and everything that it starts, sampled from /proc (Linux)."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

PAUSE_S = 0.1
_KIB = 1024


@dataclass(kw_only=True)
class Process:
    """One process of the tree.

    Attributes:
        label: the environment of its interpreter, or ``host``.
        started: order of appearance.
        peak_rss: bytes, the kernel's own high-water mark: heap, libraries and mapped files.
        peak_private: bytes, largest sampled RssAnon: what only this process holds, without the page cache.
    """

    label: str
    started: int
    peak_rss: int = 0
    peak_private: int = 0


@dataclass(kw_only=True)
class Usage:
    """What running a command took.

    Attributes:
        seconds: wall time.
        peak_memory: bytes, largest sampled sum over the tree: the private memory of every process, and the mapped
            files (libraries) once for each environment. Unlike Pss it does not depend on who else maps them.
        status: exit status.
    """

    seconds: float = 0.0
    peak_memory: int = 0
    status: int = 0
    output: str = ""
    processes: dict[int, Process] = field(default_factory=dict)

    @property
    def host(self) -> Process:
        """The process that was started."""
        return min(self.processes.values(), key=lambda p: p.started)


def run(argv: Sequence[str], *, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> Usage:
    """The usage of a command; its output is kept, and shown when it fails."""
    usage, stop = Usage(), threading.Event()
    started = time.monotonic()
    with subprocess.Popen(
        argv, env=env, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        sampler = threading.Thread(target=_sample, args=(process.pid, usage, stop))
        sampler.start()
        usage.output = process.communicate()[0]
        usage.seconds = time.monotonic() - started
        stop.set()
        sampler.join()
    usage.status = process.returncode
    return usage


def _sample(root: int, usage: Usage, stop: threading.Event) -> None:
    while not stop.is_set():
        private, files = 0, {}
        for pid in _tree(root):
            try:
                status = _look(pid, usage)
            except (OSError, KeyError):  # it ended while it was looked at
                continue
            label = usage.processes[pid].label
            private += status["RssAnon"]
            files[label] = max(files.get(label, 0), status["RssFile"])
        usage.peak_memory = max(usage.peak_memory, private + sum(files.values()))
        stop.wait(PAUSE_S)


def _tree(root: int) -> list[int]:
    found, queue = [], [root]
    while queue:
        pid = queue.pop()
        found.append(pid)
        for task in Path(f"/proc/{pid}/task").glob("*/children"):
            try:
                queue.extend(int(child) for child in task.read_text().split())
            except OSError:
                continue
    return found


def _look(pid: int, usage: Usage) -> dict[str, int]:
    """Enter what one process holds; returns its memory by kind, in bytes. Raises KeyError for one that has ended."""
    rows = (line.split() for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    status = {row[0].rstrip(":"): int(row[1]) * _KIB for row in rows if len(row) == 3 and row[2] == "kB"}
    if pid not in usage.processes:
        usage.processes[pid] = Process(label="", started=len(usage.processes))
    process = usage.processes[pid]
    process.peak_rss = max(process.peak_rss, status["VmHWM"])
    process.peak_private = max(process.peak_private, status["RssAnon"])
    process.label = _label(pid) or process.label  # asked each time: a child has its parent's name until it calls exec
    return status


def _label(pid: int) -> str:
    """The folder of the interpreter's environment without its key (``tf1.15``), ``host``, or nothing if it has ended."""
    program = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode()
    if not program:
        return ""
    parts = Path(program).parts
    return parts[-3].rsplit("-", 1)[0] if "envs" in parts else "host"
