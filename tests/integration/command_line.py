"""The command line as a user calls it, from tests."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = Path(__file__).resolve().parent / "scripts"


#: of tests that look at worker processes, or break what a virtual environment is made of
venv_only = pytest.mark.skipif(
    os.environ.get("HARNESS_BACKEND", "venv") not in ("venv", "auto"), reason="about processes of this machine"
)
#: the forms of the report that every results folder holds
REPORTS = {"report.json", "report.html", "report.md", "report.xml"}


@dataclass(frozen=True, kw_only=True)
class Done:
    """A command line that ended."""

    status: int
    stdout: str
    stderr: str
    pid: int = 0

    @property
    def report(self) -> dict[str, Any]:
        """What ``--json`` printed."""
        return dict(json.loads(self.stdout))

    @property
    def text(self) -> str:
        return self.stdout + self.stderr


@dataclass(frozen=True, kw_only=True)
class Run:
    """A finished run and its results folder."""

    done: Done
    out: Path

    @property
    def report(self) -> dict[str, Any]:
        return dict(json.loads((self.out / "report.json").read_text()))


Harness = Callable[..., Done]
Once = Callable[[str, Callable[[Path], None]], Path]


def ctrl_c_works() -> None:
    # A shell starts background jobs with SIGINT ignored, and Python then leaves it so.
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def start(
    *arguments: object,
    cwd: Path,
    preexec: Callable[[], None] = ctrl_c_works,
    prefix: tuple[str, ...] = (),
    program: tuple[str, ...] = ("-m", "harness"),
    environ: Mapping[str, str] | None = None,
) -> subprocess.Popen[str]:
    """``python -m harness ARGUMENTS`` in a folder, started; below the program ``prefix`` if given."""
    return subprocess.Popen(
        [*prefix, sys.executable, *program, *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), **(environ or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=preexec,  # noqa: PLW1509 - tests that use it start no threads
    )


def end(process: subprocess.Popen[str], timeout_s: float = 300.0) -> Done:
    """How a started command line ended."""
    stdout, stderr = process.communicate(timeout=timeout_s)
    return Done(status=process.returncode, stdout=stdout, stderr=stderr, pid=process.pid)


def content(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Bytes and modification time of every file below a folder."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def descendants(process: int) -> Iterator[tuple[int, list[str]]]:
    """The processes below one, each with its command: between a host and its worker stands a keeper.

    What ends while it is looked at is left out: a host also starts children that live for milliseconds.
    """
    for task in Path(f"/proc/{process}/task").glob("*/children"):
        with suppress(FileNotFoundError, ProcessLookupError):
            for child in map(int, task.read_text().split()):
                with suppress(FileNotFoundError, ProcessLookupError):
                    yield child, Path(f"/proc/{child}/cmdline").read_bytes().decode().split("\0")
                yield from descendants(child)
