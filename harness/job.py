"""Jobs, seen from the host: write a job folder, have a worker run it, read what came of it.

The contract stands in ``docs/protocol.md`` and in ``harness/worker/tfworker/protocol.py``.
"""

from __future__ import annotations

import json
import os
import signal
import stat
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.backends import Environment
from harness.backends.base import NO_LIMITS, Limits
from harness.errors import CATALOGUE, HarnessError
from harness.worker.tfworker.files import FormatError, read_json, write_json

PROTOCOL = 1
#: a worker that had no room for its response (tfworker/protocol.py)
EXIT_FULL = 12
LOG_TAIL = 30
#: of progress: read at once, and shown of one step
_EVENTS_BYTES, _STEP_CHARACTERS = 1 << 20, 200
#: what allocators and TensorFlow write when they get none
_NO_MEMORY = ("std::bad_alloc", "MemoryError", "OOM when allocating", "Cannot allocate memory")
#: codes of what may happen to any job: the message says to which
_ANY_JOB = ("no-space", "output-lost", "memory-exhausted")
#: how folders are opened that may be somebody else's by now
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
Progress = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class JobResult:
    """What a finished job gave."""

    folder: Path
    results: list[Any]
    timings_s: dict[str, float]


@dataclass(kw_only=True)
class Job:
    """A job folder in the making."""

    folder: Path
    name: str
    ops: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def create(cls, root: Path, name: str) -> Job:
        """An empty job folder ``root/name``."""
        folder = root / name
        for part in ("in", "out"):
            (folder / part).mkdir(parents=True)
        return cls(folder=folder, name=name)

    def give(self, path: Path, name: str) -> str:
        """Make a file or folder of the host readable as ``in/name``; returns that relative path.

        What lies in the same run's folder is linked relatively: the folder still moves to its final place.
        """
        real, link, run = path.resolve(), self.folder / "in" / name, self.folder.parent.parent.resolve()
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(real, link.parent.resolve()) if run in real.parents else real)
        return f"in/{name}"

    def write(self) -> None:
        """Write ``request.json``: from here on the folder can be run."""
        write_json(str(self.folder / "request.json"), {"protocol": PROTOCOL, "ops": self.ops})


class Worker:
    """A worker process in an environment: started early, so that TensorFlow is imported when the job comes.

    Use as a context manager; leaving it ends the process and everything that it started.
    """

    def __init__(self, environment: Environment, scratch: Path, *, flavour: str, limits: Limits = NO_LIMITS) -> None:
        self.environment = environment
        scratch.mkdir(parents=True)
        self.running = environment.start(scratch, flavour, limits)

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End the worker and everything that it started."""
        self.running.stop()

    def run(self, job: Job, *, timeout_s: float, progress: Progress | None = None) -> JobResult:
        """The result of ``job``.

        Raises:
            HarnessError: what the worker declared (refusals), or worker-crashed, worker-timeout, worker-protocol.
        """
        job.write()
        self.running.submit(job.folder)
        self._wait(job, timeout_s, progress)
        try:
            return _read(job)
        except HarnessError as error:
            if error.code == "worker-bug" and (wrong := self.environment.damage()):
                raise _unhealthy(job, self, wrong, error.details) from error
            raise

    def _wait(self, job: Job, timeout_s: float, progress: Progress | None) -> None:
        """Return when the job has ended; the process dying or the limit passing is an error."""
        limit = time.monotonic() + timeout_s
        events = _Events(job.folder / "events.jsonl")
        pause = 0.002
        while not (job.folder / "exit").exists():
            status = self.running.look()
            for step in events.new():
                if progress:
                    progress(step)
            if status is not None:
                if (job.folder / "exit").exists():
                    return
                raise _crash(job, self, status, events.last)
            if time.monotonic() > limit:
                self.stop()
                raise HarnessError(
                    "worker-timeout",
                    f"The job {job.name} in {self.environment.spec.name} took longer than {timeout_s:g} s; "
                    f"its last step was: {events.last or 'starting'}.",
                    details=_where(job, self),
                )
            time.sleep(pause)
            pause = min(pause * 1.5, 0.05)


class _Events:
    """New lines of an events file."""

    def __init__(self, path: Path) -> None:
        self.path, self.offset, self.last = path, 0, ""

    def new(self) -> list[str]:
        try:
            with self.path.open("rb") as stream:
                stream.seek(self.offset)
                data = stream.read(_EVENTS_BYTES)
        except FileNotFoundError:
            return []
        complete = data if len(data) == _EVENTS_BYTES else data[: data.rfind(b"\n") + 1]
        self.offset += len(complete)
        steps = [step for step in map(_step, complete.splitlines()) if step]
        self.last = steps[-1] if steps else self.last
        return steps


def _step(line: bytes) -> str | None:
    """What a line of events.jsonl names; None for what no worker of ours writes: a model's code can write there too."""
    try:
        return str(json.loads(line)["name"])[:_STEP_CHARACTERS]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def _tail(path: Path) -> list[str]:
    if not path.exists():
        return []
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - 8192))
        return stream.read().decode("utf-8", "replace").splitlines()[-LOG_TAIL:]


def _where(job: Job, worker: Worker) -> list[str]:
    log = job.folder / "worker.log"
    lines = _tail(log) or _tail(worker.running.log)
    return [f"job folder: {job.folder}", *(f"log: {line}" for line in lines)]


def _crash(job: Job, worker: Worker, status: int, last: str) -> HarnessError:
    """The error for a worker that ended without an answer; looks for what is known of the reason."""
    name = worker.environment.spec.name
    if status == EXIT_FULL:
        return HarnessError("no-space", f"The disk filled up while the job {job.name} ran in {name}.")
    if status > 0 and (wrong := worker.environment.damage()):
        return _unhealthy(job, worker, wrong, _where(job, worker))
    how = f"ended with status {status}"
    if status < 0:
        how = f"was killed by signal {-status} ({signal.Signals(-status).name})"
    why = worker.running.why()
    code, where = why.code if why else "worker-crashed", _where(job, worker)
    if code == "worker-crashed" and any(word in line for line in where for word in _NO_MEMORY):
        code = "memory-exhausted"
    replay = f"The job folder was kept; run that job alone with: {worker.environment.replay(job.folder)}"
    return HarnessError(
        code,
        f"The worker for the job {job.name} in {name} {how}; its last step was: {last or 'starting'}."
        + (f" {why.sentence}" if why else ""),
        details=where,
        remedy=replay if code == "worker-crashed" else f"{CATALOGUE[code].remedy} {replay}",
    )


def _unhealthy(job: Job, worker: Worker, wrong: str, details: Sequence[str]) -> HarnessError:
    name, backend = worker.environment.spec.name, worker.environment.backend
    return HarnessError(
        "environment-unhealthy",
        f"The job {job.name} failed because its environment is damaged ({name}, {backend}): {wrong}.",
        details=details,
        remedy=f"Run `envs remove {name} --backend {backend}`, then run this again: the environment is rebuilt.",
    )


def _read(job: Job) -> JobResult:
    """The response of a finished job. Raises HarnessError for a response that is not ok."""
    try:
        response = _shaped(read_json(str(job.folder / "response.json")))
    except (FormatError, OSError) as error:
        raise HarnessError(
            "worker-protocol",
            f"The job {job.name} left no readable response: {error}",
            details=_tail(job.folder / "worker.log"),
        ) from error
    if not response["ok"]:
        raise declared(response["error"], job)
    return JobResult(folder=job.folder, results=response["results"], timings_s=response["timings_s"])


def _shaped(response: Any) -> dict[str, Any]:
    """A response of the form that docs/protocol.md gives, as far as all jobs share it. Raises FormatError."""
    if not isinstance(response, dict) or not isinstance(response.get("ok"), bool):
        raise FormatError("response.json is not of the agreed form: it does not say whether it is ok")
    forms: dict[str, type] = {"results": list} if response["ok"] else {"error": dict}
    response = {"timings_s": {}, **dict(response)}
    wrong = [name for name, kind in (forms | {"timings_s": dict}).items() if not isinstance(response.get(name), kind)]
    error = response.get("error")
    if isinstance(error, dict):
        parts = {"code": str, "message": str, "details": list | None, "remedy": str | None, "traceback": str | None}
        wrong += [f"error.{name}" for name, kind in parts.items() if not isinstance(error.get(name), kind)]
    if wrong:
        raise FormatError(f"response.json is not of the agreed form: {', '.join(wrong)}")
    return dict(response)


def declared(error: Mapping[str, Any], job: Job) -> HarnessError:
    """The typed error that a worker declared in its response."""
    code = error["code"] if error["code"] in CATALOGUE else "worker-bug"
    details = [str(line) for line in error.get("details") or ()]
    if error.get("traceback"):
        details += str(error["traceback"]).strip().splitlines()
        details.append(f"job folder: {job.folder}")
    message = str(error["message"])
    if code in _ANY_JOB:
        message = f"{CATALOGUE[code].means.rstrip('.')} (job {job.name}): {message}"
    return HarnessError(code, message, details=details, remedy=error.get("remedy"))


def remove(path: Path) -> None:
    """Delete a file or a folder tree of any depth, as far as that is allowed, if it is there; links are not followed."""
    if not path.is_dir() or path.is_symlink():
        path.unlink(missing_ok=True)
        return
    with suppress(OSError):
        top = os.open(path, _FOLDER)
        try:
            _empty(top)
        finally:
            os.close(top)
        path.rmdir()


def _empty(top: int) -> None:
    """Delete what is in an open folder. Folders inside move up into it first: no path and no stack grows with the depth."""
    waiting = _clear(top, top)
    while waiting:
        name = waiting.pop()
        with suppress(OSError):
            inner = os.open(name, _FOLDER, dir_fd=top)
            try:
                waiting += _clear(inner, top)
            finally:
                os.close(inner)
            os.rmdir(name, dir_fd=top)


def _clear(folder: int, top: int) -> list[str]:
    """Delete the files in an open folder; returns the names of its folders, which are in ``top`` now."""
    found = []
    for name in os.listdir(folder):
        with suppress(OSError):
            if not stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
                os.unlink(name, dir_fd=folder)
                continue
            os.chmod(name, 0o700, dir_fd=folder)  # a folder that is read only neither moves nor empties
            moved = name if folder == top else uuid.uuid4().hex
            os.rename(name, moved, src_dir_fd=folder, dst_dir_fd=top)
            found.append(moved)
    return found
