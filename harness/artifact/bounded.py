"""Files of unknown origin are read in a child process: bounded in memory and time, and it may crash.

libhdf5 is a large program in C. A damaged file can make it loop for ever, beyond Ctrl-C, or end the process that it runs in.
The child is forked, which costs milliseconds, and answers with one line of JSON, which is bounded as well and checked
against the types that are expected (:mod:`harness.artifact.codec`).
"""

from __future__ import annotations

import faulthandler
import gc
import json
import os
import resource
import select
import signal
import threading
import time
import traceback
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn, TypeVar, cast

from harness.artifact import codec, keras_config, sniffing
from harness.artifact.kinds import Artifact
from harness.artifact.memory import address_space
from harness.artifact.text import shown
from harness.errors import CATALOGUE, HarnessError
from harness.worker.tfworker.files import separators

T = TypeVar("T")

#: what the child may use: processor time, time, and memory beyond what the host has at the fork
PROCESSOR_SECONDS, SECONDS, MEMORY_BYTES = 60, 180, 448 << 20
#: its answer: bytes, and separators of values, each of which costs the host up to 100 bytes
REPLY_BYTES, REPLY_VALUES = 24 << 20, 2_000_000
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_END = b"\n"
#: a pipe has to be closed in the host before another child inherits its end
_forking = threading.Lock()
_inside = False


def sniff(path: Path) -> Artifact:
    """Return what the file or folder at ``path`` is; see :func:`harness.artifact.sniffing.sniff`.

    Of an architecture only names and classes are told, and nothing of a bundle's manifest.

    Raises:
        HarnessError: as there; ``source-truncated`` where the reader crashed, or took more than it may.
    """
    return replace(bounded(lambda: told(sniffing.sniff(path)), Artifact, path.name), path=path)


def told(found: Artifact) -> Artifact:
    """What the host gets of it."""
    config = found.model_config
    known = None if config is None else keras_config.skeleton(config)
    return replace(found, model_config=known, model_config_text=None, manifest=None)


def bounded(read: Callable[[], T], kind: Any, name: str) -> T:
    """What ``read`` returns in a child process; ``kind`` is its type, ``name`` that of the file in messages.

    Raises:
        HarnessError: what ``read`` raises; ``source-truncated`` where it crashed, or took more than it may;
            ``source-unsupported-format`` for an answer that is too large; ``internal`` for any other exception.
    """
    if _inside:
        return read()
    raw, status = _run(read, name)
    if not raw.endswith(_END):
        raise _broken(name, _ended(status))
    try:
        found, error = _parsed(raw, kind)
    except (ValueError, RecursionError, codec.CodecError) as problem:
        raise _broken(name, "its reader gave an answer that is none") from problem
    if error:
        raise error
    return cast("T", found)


def _parsed(raw: bytes, kind: Any) -> tuple[Any, HarnessError | None]:
    """What an answer holds. Raises ValueError, RecursionError or CodecError for one that is none."""
    if separators(raw) > REPLY_VALUES:
        raise ValueError("too many values")
    found, error = codec.decode(tuple[list[Any], tuple[str, str, tuple[str, ...], str] | None], json.loads(raw))
    if error is None and len(found) == 1:
        return codec.decode(kind, found[0]), None
    if error is None or error[0] not in CATALOGUE:
        raise ValueError("neither facts nor an error")
    code, message, details, remedy = error
    return None, HarnessError(code, message, details=details, remedy=remedy)


def _broken(name: str, reason: str) -> HarnessError:
    message = f'"{shown(name)}" could not be read: {reason}. The file is damaged, or made to do that.'
    return HarnessError("source-truncated", message)


def _ended(status: int | None) -> str:
    if status is None:
        return f"its reader took more than {SECONDS} s"
    number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    if number == signal.SIGXCPU:
        return f"its reader took more than {PROCESSOR_SECONDS} s of processor time"
    if number:
        return f"its reader crashed with {signal.Signals(number).name}"
    return _too_much_memory()


def _too_much_memory() -> str:
    return f"its reader took more than {MEMORY_BYTES >> 20} MB of memory"


def _run(read: Callable[[], Any], name: str) -> tuple[bytes, int | None]:
    """The child's answer and status; None if it took too long."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)  # no handler runs half in the host, half in the child
    try:
        with _forking, warnings.catch_warnings():
            # Python warns of forks beside threads. The child takes no lock that another thread may hold: it imports, logs
            # and prints nothing, and no other thread of the host uses libhdf5.
            warnings.simplefilter("ignore", DeprecationWarning)
            answer, out = os.pipe()
            pid = os.fork()
            if pid == 0:
                _child(read, name, out)
            os.close(out)
        raw, in_time, ended = b"", False, False
        try:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            raw, in_time, ended = _received(answer, time.monotonic() + SECONDS)
        finally:
            os.close(answer)
            status = _reaped(pid, by_itself=ended)  # after Ctrl-C as well, which libhdf5 does not hear
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return raw, status if in_time else None


def _received(answer: int, deadline: float) -> tuple[bytes, bool, bool]:
    """One line, or what came before the end or the deadline; whether that was not reached; whether the end was."""
    blocks, size, waiting = [b""], 0, select.poll()
    waiting.register(answer, select.POLLIN)
    while not blocks[-1].endswith(_END) and size <= REPLY_BYTES:
        if not waiting.poll(max(0.0, deadline - time.monotonic()) * 1000):
            return b"", False, False
        block = os.read(answer, 1 << 20)
        if not block:
            return b"".join(blocks), True, True
        blocks.append(block)
        size += len(block)
    return b"".join(blocks), True, False


def _reaped(pid: int, *, by_itself: bool) -> int:
    """The status of the child; one that is ending has a second for it, any other is ended."""
    for _ in range(1000 * by_itself):
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return status
        time.sleep(0.001)
    os.kill(pid, signal.SIGKILL)
    return os.waitpid(pid, 0)[1]


def _child(read: Callable[[], Any], name: str, out: int) -> NoReturn:
    """Answer and end; nothing of the host's runs here, and nothing is tidied up that the host still needs."""
    global _inside  # noqa: PLW0603 - of this process
    status = 1
    try:
        _inside = True
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        faulthandler.disable()
        nothing = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):  # the C library and libhdf5 write there when they fail
            os.dup2(nothing, stream)
        gc.freeze()  # the host's objects are not copied by a look at them
        _limit()
        with os.fdopen(out, "wb") as stream_out:
            stream_out.write(_answer(read, name))
        status = 0
    finally:
        os._exit(status)


def _limit() -> None:
    def at_most(what: int, wanted: int, beyond: int = 0) -> None:
        limits = [limit for limit in resource.getrlimit(what) if limit != resource.RLIM_INFINITY]
        resource.setrlimit(what, (min([wanted, *limits]), min([wanted + beyond, *limits[-1:]])))

    at_most(resource.RLIMIT_CORE, 0)
    at_most(resource.RLIMIT_FSIZE, 0)
    at_most(resource.RLIMIT_CPU, PROCESSOR_SECONDS, beyond=5)  # SIGXCPU comes first, and tells why
    in_use = address_space()
    at_most(resource.RLIMIT_AS if in_use else resource.RLIMIT_DATA, in_use + MEMORY_BYTES)


def _answer(read: Callable[[], Any], name: str) -> bytes:
    try:
        raw = json.dumps([[codec.encode(read())], None], separators=(",", ":")).encode("ascii")
        if len(raw) < REPLY_BYTES and separators(raw) <= REPLY_VALUES:
            return raw + _END
        error = HarnessError(
            "source-unsupported-format",
            f'"{shown(name)}" lists more names and shapes than are taken: {len(raw):,} bytes of them.',
        )
    except HarnessError as raised:
        error = raised
    except MemoryError:
        error = _broken(name, _too_much_memory())
    except Exception as bug:  # noqa: BLE001 - told to the host, which ends with it
        where = [
            f"{frame.name} in {Path(frame.filename).name}:{frame.lineno}"
            for frame in traceback.extract_tb(bug.__traceback__)
        ]
        message = f'Reading "{shown(name)}" failed unexpectedly: {type(bug).__name__}: {shown(str(bug), 200)}.'
        error = HarnessError("internal", message, details=where[-4:])
    return json.dumps([[], [error.code, error.message, list(error.details), error.remedy]]).encode("ascii") + _END
