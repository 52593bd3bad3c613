"""The output folder: written beside its final place and moved there whole, or not at all."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import os
import re
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from harness.errors import HarnessError
from harness.job import remove
from harness.worker.tfworker.files import JSON_LIMIT, FormatError, size_of_regular

REPORT = "report.json"
_MARK = "report_schema"
#: what the system says when a disk, a quota or the allowed file size is exhausted
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
#: what it says when a file system that took files takes none any more
LOST = (errno.EROFS, errno.EIO)
#: renameat2(2): swap two names in one step
_EXCHANGE, _HERE = 2, -100


class Workspace:
    """A folder in the making next to ``out``; use as a context manager. ``inputs`` are never inside what is replaced.

    Leaving without :meth:`publish` deletes it: the previous content of ``out`` is never touched by a run that
    did not get to its end.
    """

    def __init__(self, out: Path, inputs: Iterable[Path] = ()) -> None:
        self.out = Path(os.path.abspath(out))
        if not self.out.name:
            raise HarnessError("output-occupied", f"{out} is the root of the file system, and cannot be replaced.")
        self.inputs = tuple(inputs)
        self.path = self.out.with_name(f".{self.out.name}.partial-{os.getpid()}-{uuid.uuid4().hex[:8]}")
        self.jobs = self.path / "jobs"
        self._alive: int | None = None

    def __enter__(self) -> Workspace:
        try:
            _check_target(self.out)
            _check_inputs(self.out, self.inputs)
            self.out.parent.mkdir(parents=True, exist_ok=True)
            with _locked(self.out.parent):
                _sweep(self.out)
                self.jobs.mkdir(parents=True)
                # Held as long as this process lives, however it ends; says so to other runs.
                self._alive = _hold(self.path)
        except BaseException as error:  # Ctrl-C as well: nobody else tidies up yet
            with suppress(OSError):
                remove(self.path)
            if isinstance(error, OSError):
                raise _unwritable(self.out, error) from error
            raise
        return self

    def __exit__(self, *_: object) -> None:
        remove(self.path)
        if self._alive is not None:
            os.close(self._alive)

    def final(self, status: str) -> Path:
        """Where a result of this status goes: one that is not verified never replaces one that is."""
        if status != "verified" and _status(self.out) == "verified":
            return self.out.with_name(f"{self.out.name}.{status}")
        return self.out

    def publish(self, report: dict[str, Any], *, keep_jobs: bool, also: Mapping[str, str] | None = None) -> Path:
        """Write the report and move the folder to its final place, which is returned.

        ``also`` are further texts by file name, such as other forms of the report.

        Raises:
            HarnessError: output-occupied, no-space, output-lost, output-unwritable; nothing is left then.
        """
        if not keep_jobs:
            remove(self.jobs)
        final = self.final(report["status"])
        try:
            (self.path / REPORT).write_text(json.dumps(report, indent=1, allow_nan=False) + "\n", encoding="utf-8")
            for name, text in (also or {}).items():
                # A name on the command line may be no text: half a surrogate pair stands for a byte.
                (self.path / name).write_text(text, encoding="utf-8", errors="backslashreplace")
            # What another run has published meanwhile counts: it is looked at and replaced in one piece.
            with _locked(self.out.parent):
                final = self.final(report["status"])
                _check_target(final)
                _check_inputs(final, self.inputs)
                _replace(self.path, final)
        except OSError as error:
            if error.errno in LOST:
                raise HarnessError(
                    "output-lost", f"The report of {final} cannot be written: {error.strerror}."
                ) from error
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
    path = out / REPORT
    try:
        report = json.loads(path.read_bytes()) if size_of_regular(str(path)) <= JSON_LIMIT else None
    except (OSError, ValueError, RecursionError, FormatError):
        return None
    status = report.get("status") if isinstance(report, dict) and _MARK in report else None
    return status if isinstance(status, str) else None


def _sweep(out: Path) -> None:
    """Delete what runs that were killed left beside ``out``; bring back a result that one had just moved aside.

    Under the lock of the parent folder: a result is moved aside under that lock only.
    """
    pattern = re.compile(re.escape(f".{out.name}.") + r"(?:partial|old)-\d+-[0-9a-f]{8}")
    for entry in out.parent.iterdir():
        if not pattern.fullmatch(entry.name):
            continue
        if ".old-" in entry.name and not out.exists():
            os.rename(entry, out)
        elif (free := _hold(entry)) is not None:
            remove(entry)
            os.close(free)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Holds other runs off the names in ``folder``; leaves no file there, and nothing when its holder dies."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError as error:
            if error.errno not in (errno.ENOTSUP, errno.ENOLCK, errno.EINVAL, errno.EBADF):
                raise  # some network file systems lock no folders: then two runs on one output are the user's risk
        yield
    finally:
        os.close(descriptor)


def _hold(folder: Path) -> int | None:
    """A descriptor that marks ``folder`` as in use until it is closed; None if another one does."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_NONBLOCK)  # nobody writes to a pipe of that name
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def _replace(new: Path, final: Path) -> None:
    """Put ``new`` in the place of ``final``: at every moment one of both stands there, where the system can swap."""
    if not final.exists():
        os.rename(new, final)
    elif _exchange(new, final):
        remove(new)
    else:
        old = final.with_name(f".{final.name}.old-{os.getpid()}-{uuid.uuid4().hex[:8]}")
        os.rename(final, old)
        try:
            os.rename(new, final)
        except BaseException:  # Ctrl-C as well
            if not final.exists():
                os.rename(old, final)
            raise
        remove(old)


def _exchange(one: Path, other: Path) -> bool:
    """Whether both names were swapped; False where the C library or the file system cannot."""
    swap = getattr(ctypes.CDLL(None), "renameat2", None)
    return swap is not None and swap(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE) == 0


def _unwritable(out: Path, error: OSError) -> HarnessError:
    if error.errno in FULL:
        return HarnessError("no-space", f"There is no space left to write the report of {out}.")
    why = f"{error.filename} is a file" if isinstance(error, FileExistsError) else error.strerror
    return HarnessError("output-unwritable", f"{out} cannot be created: {why}.")
