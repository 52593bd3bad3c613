"""The job folder, seen from the worker.

``request.json``  ``{"protocol": 1, "ops": [{"op": name, ...}, ...]}``; all paths relative to the job folder
``in/ out/``      the only places read and written
``events.jsonl``  append-only, flushed: ``{"event": "step", "name": ..., "time_s": ...}``
``worker.log``    everything printed, by Python or C++
``response.json`` written last: ``{"protocol": 1, "ok": true, "results": [...], "timings_s": {...}}`` or
                  ``{"ok": false, "error": {"code", "message", "details", "remedy", "traceback"}}``

Exit status: 0 done, 10 response not ok, 11 request unreadable or of another protocol, 12 no space for the response.
"""

import errno
import importlib
import json
import os
import select
import shutil
import signal
import sys
import threading
import time
import traceback
from typing import Any, Dict, List

from .arrays import DigestError
from .errors import Refusal
from .files import FormatError, read_json, write_json

PROTOCOL = 1
EXIT_OK, EXIT_ERROR, EXIT_UNREADABLE, EXIT_FULL = 0, 10, 11, 12

#: operation -> module; each module has a function of the operation's name. An allow-list, nothing else is run.
OPERATIONS = {
    "read_keras_h5": "read_keras_h5",
    "read_keras_arch": "read_keras_arch",
    "read_keras3": "read_keras3",
    "build_model": "build_model",
    "read_weights": "read_weights",
    "describe_model": "fill_model",
    "fill_model": "fill_model",
    "try_plans": "fill_model",
    "replay": "replay",
    "replay_layers": "isolate",
    "replay_training": "training_target",
    "read_saved_model": "read_graphs",
    "read_hub_module": "read_graphs",
    "read_checkpoint": "read_graphs",
    "read_frozen_graph": "read_graphs",
    "build_graph": "build_graph",
    "replay_graph": "replay_graph",
    "replay_lifted": "replay_lifted",
    "naive_load": "demo",
    "naive_matrix": "naive",
    "make_demo": "demo",
    "check": "check",
}


class Context(object):
    """What an operation may use besides its request: progress events and timings."""

    def __init__(self) -> None:
        self.started = time.time()
        self.timings = {}  # type: Dict[str, float]
        self._step = None  # type: Any

    def step(self, name: str) -> None:
        """Say what begins now; shown live, and the last thing known after a crash."""
        self._close()
        self._step = (name, time.time())
        with open("events.jsonl", "a") as stream:
            stream.write(
                json.dumps({"event": "step", "name": name, "time_s": round(time.time() - self.started, 3)}) + "\n"
            )

    def _close(self) -> None:
        if self._step:
            name, since = self._step
            self.timings[name] = self.timings.get(name, 0.0) + round(time.time() - since, 3)
            self._step = None

    def finish(self) -> Dict[str, float]:
        """Seconds spent in each step."""
        self._close()
        return self.timings


def run_job(folder: str) -> int:
    """Run the operations of one job folder and write its response; returns the exit status."""
    try:
        os.chdir(folder)
        ops = _operations(read_json("request.json"))
    except (FormatError, EnvironmentError) as error:
        sys.stderr.write("request unreadable: %s\n" % error)
        return EXIT_UNREADABLE
    context = Context()
    try:
        results = [_run_op(op, context) for op in ops]
        response = {"protocol": PROTOCOL, "ok": True, "results": results}  # type: Dict[str, Any]
    except Refusal as refusal:
        response = {"protocol": PROTOCOL, "ok": False, "error": dict(refusal.as_json(), traceback=None)}
    except FormatError as error:
        response = _failure("bundle-corrupt" if isinstance(error, DigestError) else "bundle-invalid", str(error))
    except Exception as error:  # the host has to see every failure as data
        response = _failure(_code_of(error), "%s: %s" % (type(error).__name__, error))
    response["timings_s"] = context.finish()
    try:
        write_json("response.json", response)
    except EnvironmentError as error:
        # No room to say so, nor in the log: what was made is of no use any more, and makes some.
        shutil.rmtree("out", ignore_errors=True)
        try:
            write_json("response.json", _failure(_code_of(error), "%s: %s" % (type(error).__name__, error)))
        except EnvironmentError:
            return EXIT_FULL
        return EXIT_ERROR
    return EXIT_OK if response["ok"] else EXIT_ERROR


def _operations(request: Any) -> List[Dict[str, Any]]:
    """The operations of a request. Raises FormatError for another protocol, or another form."""
    if not isinstance(request, dict):
        raise FormatError("request.json is no object")
    if request.get("protocol") != PROTOCOL:
        raise FormatError("protocol %r; this worker speaks %d" % (request.get("protocol"), PROTOCOL))
    ops = request.get("ops")
    if not isinstance(ops, list) or not all(isinstance(op, dict) for op in ops):
        raise FormatError("ops is no list of objects")
    return ops


def _code_of(error: BaseException) -> str:
    """The code of an error that is not this program's fault, else worker-bug. HDF5 and TensorFlow tell in words only."""
    kinds = [
        ("no-space", (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)),
        ("output-lost", (errno.EROFS, errno.EIO)),
        ("memory-exhausted", (errno.ENOMEM,)),
    ]
    words = [("memory-exhausted", word) for word in ("OOM when allocating", "std::bad_alloc")]
    words += [(code, os.strerror(number)) for code, numbers in kinds for number in numbers]
    if isinstance(error, MemoryError):
        return "memory-exhausted"
    for code, numbers in kinds:
        if isinstance(error, EnvironmentError) and error.errno in numbers:
            return code
    return next((code for code, word in words if word in str(error)), "worker-bug")


def _failure(code: str, message: str) -> Dict[str, Any]:
    # A traceback is for bugs; a damaged file or a full disk is nobody's bug.
    trace = traceback.format_exc() if code == "worker-bug" else None
    error = {"code": code, "message": message, "details": [], "remedy": None, "traceback": trace}
    return {"protocol": PROTOCOL, "ok": False, "error": error}


def _run_op(op: Dict[str, Any], context: Context) -> Any:
    if op.get("op") not in OPERATIONS:
        raise Refusal("worker-protocol", "this worker has no operation %r" % op.get("op"), sorted(OPERATIONS))
    module = importlib.import_module("tfworker." + OPERATIONS[op["op"]])
    return getattr(module, op["op"])(op, context)


def end_with(descriptor: int) -> None:
    """End this process and its children as soon as the other end of a pipe is closed, even in the middle of a job."""

    def watch() -> None:
        poll = select.poll()
        poll.register(descriptor, 0)  # no event but the end
        poll.poll()
        if os.getpgrp() == os.getpid():
            os.killpg(os.getpid(), signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)

    thread = threading.Thread(target=watch)
    thread.daemon = True
    thread.start()


def _flush() -> None:
    """What was printed goes to its log, if there is room for it."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except EnvironmentError:
            pass


def serve(stream: Any) -> int:
    """Run the job folders named on ``stream``, one a line, until it ends; a job's output goes to its own log."""
    for line in iter(stream.readline, ""):
        folder = line.strip()
        if not folder:
            continue
        try:
            log = os.open(os.path.join(folder, "worker.log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        except EnvironmentError as error:
            if _code_of(error) == "no-space":
                return EXIT_FULL
            raise
        _flush()
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.close(log)
        status = run_job(folder)
        # Before Python 3.9 standard error is buffered too; what is left in it would end up in the next job's log.
        _flush()
        if status == EXIT_FULL:
            return status  # nor is there room for the file below
        with open(os.path.join(folder, "exit"), "w") as done:
            done.write("%d\n" % status)
    return EXIT_OK
