"""The command line with one fault in it, at a chosen moment: ``python faulty.py MOMENT FAULT -- ARGUMENTS``.

MOMENT  ``job:NAME`` (at the first step that the job tells), ``submit:NAME`` (when it was handed over), ``translate``,
        ``report`` (before it is written), ``swap`` (before the result takes its place), ``build`` (packages are being
        installed), ``image`` (one is being built), ``always``
FAULT   ``worker:SIGNAL``, ``host:SIGNAL``, ``end:PID``, ``fill:FOLDER``, ``read-only:MOUNT``, ``allocate``, ``clock``, ``none``

Nothing else is changed: what follows is what the harness does about it.
"""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness import cli, dialects, job, workspace
from harness.backends import imagebuild
from harness.backends.venv import VenvEnvironment
from harness.backends.venvbuild import Build
from harness.report import pages

#: run in the worker before it: memory without end in any job, for which no TensorFlow has to be imported
ALLOCATE = """
import tfworker.protocol as protocol
def allocate(op, context):
    context.step("allocate")
    kept = []
    while True:
        kept.append(bytearray(1 << 24))
protocol._run_op = allocate
sys.argv = sys.argv[:2]
"""
#: and a clock that is in 1970 and in 2100 by turns
CLOCK = """
import itertools, time
turns = itertools.cycle([86400.0, 4102444800.0])
time.time = lambda: next(turns)
"""
_WORKER = "import sys; sys.path.insert(0, {folder!r}); sys.argv[0] = 'worker'\n{code}\nimport runpy; runpy.run_path({folder!r}, run_name='__main__')"


def fill(folder: Path) -> None:
    """Take the last byte of the file system of ``folder``."""
    with (folder / "filler").open("wb", buffering=0) as stream:
        for size in (1 << 16, 1 << 9, 1):
            try:
                while True:
                    stream.write(b"0" * size)
            except OSError:
                continue


def signalled(number: str) -> signal.Signals:
    return signal.Signals[number]


def fault(kind: str, argument: str) -> Callable[[job.Worker | None], None]:
    """What happens at the moment; it is given the worker that runs a job, if one does."""

    def happen(worker: job.Worker | None) -> None:
        if kind == "worker":
            assert worker is not None
            running: Any = worker.running
            if running.pid is None:
                running.container.kill(argument)
            else:
                os.kill(running.pid, signalled(argument))
        elif kind == "host":
            os.kill(os.getpid(), signalled(argument))
        elif kind == "end":
            os.kill(int(argument), signal.SIGKILL)
        elif kind == "fill":
            fill(Path(argument))
        elif kind == "read-only":
            subprocess.run(["mount", "-o", "remount,ro", argument], check=True)

    return happen


def in_every_worker(code: str) -> None:
    command = VenvEnvironment.command

    def wrapped(self: VenvEnvironment, worker_args: Any) -> list[str]:
        python, *flags, folder = command(self, ())
        return [python, *flags, "-c", _WORKER.format(folder=folder, code=code), *worker_args]

    VenvEnvironment.command = wrapped  # type: ignore[method-assign]


def before(owner: Any, name: str, happen: Callable[[job.Worker | None], None]) -> None:
    whole = getattr(owner, name)

    def with_fault(*arguments: Any, **options: Any) -> Any:
        setattr(owner, name, whole)
        happen(None)
        return whole(*arguments, **options)

    setattr(owner, name, with_fault)


def in_job(name: str, happen: Callable[[job.Worker | None], None], *, first_step: bool) -> None:
    wait = job.Worker._wait

    def with_fault(self: job.Worker, one: job.Job, timeout_s: float, progress: Any) -> None:
        todo = [happen] if one.name.startswith(name) else []
        if todo and not first_step:
            todo.pop()(self)

        def told(step: str) -> None:
            if todo:
                todo.pop()(self)
            if progress:
                progress(step)

        wait(self, one, timeout_s, told)

    job.Worker._wait = with_fault  # type: ignore[method-assign]


def arrange(moment: str, kind: str, argument: str) -> None:
    where, _, name = moment.partition(":")
    happen = fault(kind, argument)
    if kind == "allocate":
        in_every_worker(ALLOCATE)
    elif kind == "clock":
        turns = itertools.cycle([86400.0, 4102444800.0])
        time.time = lambda: next(turns)
        in_every_worker(CLOCK)
    elif where == "always":
        assert kind == "none"
    elif where in ("job", "submit"):
        in_job(name, happen, first_step=where == "job")
    elif where == "build":
        before(Build, "_install", lambda _: threading.Timer(0.3, happen, [None]).start())
    elif where == "image":
        before(imagebuild, "_follow", happen)
    else:
        owners = {"translate": (dialects, "translate"), "report": (pages, "render"), "swap": (workspace, "_exchange")}
        before(*owners[where], happen)


if __name__ == "__main__":
    arrange(sys.argv[1], *sys.argv[2].partition(":")[::2])
    sys.argv[1:] = sys.argv[4:]
    cli.main()
