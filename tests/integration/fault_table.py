"""The fault table: each test that causes a fault compares what came of it with its row of ``tests/golden/faults.json``.

``FAULTS_UPDATE=1`` writes the rows instead; ``python docs/generate.py`` then makes ``docs/faults.md`` of them.
"""

from __future__ import annotations

import inspect
import json
import os
import re
import shutil
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from command_line import ROOT, Done
from filelock import FileLock

from harness.errors import CATALOGUE

GOLDEN = ROOT / "tests" / "golden" / "faults.json"


@dataclass(frozen=True, kw_only=True)
class Row:
    """What came of a fault in a stage.

    Attributes:
        fault, stage, backend: which one.
        exit_status: of the command; negative for a signal that ended it.
        code: of the error, or the status of the report, or ``-`` where nothing could be said.
        message: the error's message, with what differs from run to run left out.
        test: name of the test that causes it.
    """

    fault: str
    stage: str
    backend: str
    exit_status: int
    code: str
    message: str
    test: str

    @property
    def name(self) -> tuple[str, str, str]:
        return self.fault, self.stage, self.backend


def rows() -> list[Row]:
    """The accepted table."""
    return [Row(**row) for row in json.loads(GOLDEN.read_text())] if GOLDEN.exists() else []


def said(done: Done, folder: Path) -> tuple[str, str]:
    """Code and message of a command that ended with an error, as the terminal showed them."""
    found = re.search(r"^([a-z-]+): (.*)$", done.text, flags=re.MULTILINE)
    if not found or found[1] not in CATALOGUE:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        return "-", plain(lines[0], folder) if lines else ""
    return found[1], plain(found[2], folder)


def plain(message: str, folder: Path) -> str:
    """Without what differs from machine to machine and from run to run."""
    message = message.replace(str(folder), "…")
    message = re.sub(r"\S*/(envs|staging|site-packages|logs)/\S+/", r"…/", message)
    message = re.sub(r"\.partial-[\w-]+", ".partial", message)
    message = re.sub(r"Connection\w+Error\(\d+, '[^']*'\)", "…", message)  # reset or refused: which one comes first
    return re.sub(r"-[0-9a-f]{16}\b", "", message)


def record(row: Row) -> None:
    """Hold ``row`` against the accepted one, or accept it."""
    if os.environ.get("FAULTS_UPDATE"):
        with FileLock(Path(tempfile.gettempdir()) / "faults.json.lock"):
            table = {known.name: known for known in rows()} | {row.name: row}
            text = json.dumps([asdict(table[name]) for name in sorted(table)], indent=1, ensure_ascii=False)
            GOLDEN.write_text(text + "\n")
        return
    accepted = {known.name: known for known in rows()}
    assert accepted.get(row.name) == row, "the table is out of date: run with FAULTS_UPDATE=1, read the difference"


def row(name: str, stage: str, done: Done, folder: Path, backend: str = "venv") -> Row:
    """The row of a command that ended, in the test that calls this."""
    code, message = said(done, folder) if done.status else ("works", "")
    return observed(name, stage, done.status, code, message, backend)


def observed(name: str, stage: str, status: int, code: str, message: str, backend: str = "venv") -> Row:
    """A row of the test that calls this."""
    caller = next(frame.function for frame in inspect.stack() if frame.function.startswith("test_"))
    return Row(fault=name, stage=stage, backend=backend, exit_status=status, code=code, message=message, test=caller)


def linked(environment: Path, folder: Path, package: str) -> Path:
    """The packages' folder of a copy of an environment, which shares all but ``package`` with it."""
    (packages,) = environment.glob("lib/python*/site-packages")
    mine = folder / packages.relative_to(environment)
    mine.mkdir(parents=True)
    for name in ("env.json", "pyvenv.cfg"):
        shutil.copy(environment / name, folder / name)
    shutil.copytree(environment / "bin", folder / "bin", symlinks=True)
    for entry in packages.iterdir():
        if entry.name == package:
            shutil.copytree(entry, mine / entry.name)
        else:
            (mine / entry.name).symlink_to(entry)
    return mine


def started_below(folder: Path) -> list[int]:
    """Processes of workers and builds in ``folder``: it is in their environment, or in what they were called with."""
    found, here = [], str(folder).encode()
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                told = (entry / "environ").read_bytes() + (entry / "cmdline").read_bytes()
                if here in told and ") Z " not in (entry / "stat").read_text():
                    found.append(int(entry.name))
        except OSError:
            continue
    return found


def nothing_runs(folder: Path) -> None:
    limit = time.monotonic() + 20
    while left := started_below(folder):
        assert time.monotonic() < limit, left
        time.sleep(0.05)
