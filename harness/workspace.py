"""The output folder: written beside its final place and moved there whole, or not at all."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from harness.errors import HarnessError
from harness.job import remove

REPORT = "report.json"
_MARK = "report_schema"
#: what the system says when a disk, a quota or the allowed file size is exhausted
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Workspace:
    """A folder in the making next to ``out``; use as a context manager. ``inputs`` are never inside what is replaced.

    Leaving without :meth:`publish` deletes it: the previous content of ``out`` is never touched by a run that
    did not get to its end.
    """

    def __init__(self, out: Path, inputs: Iterable[Path] = ()) -> None:
        self.out = Path(os.path.abspath(out))
        self.inputs = tuple(inputs)
        self.path = self.out.with_name(f".{self.out.name}.partial-{os.getpid()}-{uuid.uuid4().hex[:8]}")
        self.jobs = self.path / "jobs"

    def __enter__(self) -> Workspace:
        _check_target(self.out)
        _check_inputs(self.out, self.inputs)
        try:
            self.out.parent.mkdir(parents=True, exist_ok=True)
            _sweep(self.out)
            self.jobs.mkdir(parents=True)
        except OSError as error:
            raise _unwritable(self.out, error) from error
        return self

    def __exit__(self, *_: object) -> None:
        remove(self.path)

    def final(self, status: str) -> Path:
        """Where a result of this status goes: one that is not verified never replaces one that is."""
        if status != "verified" and _status(self.out) == "verified":
            return self.out.with_name(f"{self.out.name}.{status}")
        return self.out

    def publish(self, report: dict[str, Any], *, keep_jobs: bool, also: Mapping[str, str] | None = None) -> Path:
        """Write the report and move the folder to its final place, which is returned.

        ``also`` are further texts by file name, such as other forms of the report.

        Raises:
            HarnessError: output-occupied, no-space, output-unwritable; nothing is left then.
        """
        if not keep_jobs:
            remove(self.jobs)
        final = self.final(report["status"])
        _check_target(final)
        _check_inputs(final, self.inputs)
        try:
            (self.path / REPORT).write_text(json.dumps(report, indent=1, allow_nan=False) + "\n", encoding="utf-8")
            for name, text in (also or {}).items():
                (self.path / name).write_text(text, encoding="utf-8")
            _replace(self.path, final)
        except OSError as error:
            raise _unwritable(final, error) from error
        return final


def _check_target(out: Path) -> None:
    if not out.exists() and not out.is_symlink():
        return
    if out.is_dir() and (_status(out) is not None or not any(out.iterdir())):
        return
    what = "a file" if not out.is_dir() else "a folder with other content"
    raise HarnessError("output-occupied", f"{out} is {what}, not an earlier result of the harness.")


def _check_inputs(out: Path, inputs: Iterable[Path]) -> None:
    """Refuse to replace a folder that holds what is read: it would be gone afterwards."""
    whole = out.resolve()
    for path in inputs:
        if whole == path.resolve() or whole in path.resolve().parents:
            raise HarnessError("output-occupied", f"{out} holds the input {path}, and would be replaced.")


def _status(out: Path) -> str | None:
    """The status of the result in a folder; None if there is none."""
    try:
        report = json.loads((out / REPORT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return str(report["status"]) if isinstance(report, dict) and _MARK in report else None


def _sweep(out: Path) -> None:
    """Delete what runs that were killed left beside ``out``; bring back a result that one had just moved aside."""
    pattern = re.compile(re.escape(f".{out.name}.") + r"(?:partial|old)-(\d+)-[0-9a-f]{8}")
    for entry in out.parent.iterdir():
        match = pattern.fullmatch(entry.name)
        if match and not _alive(int(match[1])):
            if ".old-" in entry.name and not out.exists():
                os.rename(entry, out)
            else:
                remove(entry)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _replace(new: Path, final: Path) -> None:
    old = final.with_name(f".{final.name}.old-{os.getpid()}-{uuid.uuid4().hex[:8]}")
    if final.exists():
        os.rename(final, old)
    try:
        os.rename(new, final)
    except OSError:
        if old.exists():
            os.rename(old, final)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _unwritable(out: Path, error: OSError) -> HarnessError:
    if error.errno in FULL:
        return HarnessError("no-space", f"There is no space left to create {out}.")
    why = f"{error.filename} is a file" if isinstance(error, FileExistsError) else error.strerror
    return HarnessError("output-unwritable", f"{out} cannot be created: {why}.")
