"""Processes of this machine that leave nothing behind: not when they end, not when they are ended, not when the host is killed.

Between the host and a command stands its keeper, this file run as a program. Whatever descends from the command comes back to the
keeper when its parent ends (``PR_SET_CHILD_SUBREAPER``), in whatever session it is, and is killed when the command has ended or the
host is gone, which the keeper learns from the end of a socket. The host's own Python runs it, with the standard library only.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import resource
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
#: for the keeper to end what there is, before its group is killed and the rest given up
_PATIENCE_S = 10.0


class Kept:
    """A command and all that it starts.

    Attributes:
        process: the keeper; its exit status is the command's, a signal included.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        environ: Mapping[str, str],
        cwd: Path,
        output: IO[Any],
        stdin: int = subprocess.DEVNULL,
        limits: Mapping[int, int] | None = None,
        processors: Sequence[int] = (),
    ) -> None:
        if not os.access(argv[0], os.X_OK):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), argv[0])
        order = {"argv": list(argv), "environ": dict(environ), "limits": list((limits or {}).items())}
        # The keeper's Python may need the caller's path of libraries; the command gets its own variables only.
        libraries = {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}
        self._life, theirs = socket.socketpair()
        self._pid: int | None = None
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-B", __file__, str(theirs.fileno())],
                stdin=stdin,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=cwd,
                env={**environ, **libraries},
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # Ctrl-C reaches the host only, which then ends all of this
            )
        try:
            self._life.sendall(json.dumps({**order, "processors": list(processors)}).encode() + b"\n")
        except OSError:
            pass  # it has ended already, which its status tells

    @property
    def pid(self) -> int:
        """The command's process; the keeper's where there is none."""
        return self._told(_PATIENCE_S) or self.process.pid

    def _told(self, patience_s: float) -> int | None:
        if self._pid is None:
            try:
                self._life.settimeout(patience_s)
                self._pid = int(self._life.recv(20))
            except (OSError, ValueError):
                return None
        return self._pid

    def stop(self) -> None:
        """End the command and all that it started; may be called again."""
        command = self._told(0)
        self._life.close()
        try:
            status = self.process.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = self.process.wait()
        if command and status == -signal.SIGKILL:
            _kill_group(command)  # a keeper that was killed has left its command there


def _kill_group(number: int) -> None:
    try:
        os.killpg(number, signal.SIGKILL)
    except ProcessLookupError:
        pass


def _main(life: int) -> None:
    os.set_inheritable(life, False)
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    words = b""
    while not words.endswith(b"\n"):
        some = os.read(life, 1 << 16)
        if not some:
            return
        words += some
    command = _start(json.loads(words))
    os.dup2(os.open(os.devnull, os.O_RDWR), 0)
    try:
        os.write(life, b"%d\n" % command)
    except OSError:
        pass  # the host is gone, which is seen below
    status = _follow(command, life)
    _end_all()
    if status is None:
        number = int(signal.SIGKILL)
    elif os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
    else:
        os._exit(os.WEXITSTATUS(status))
    if number != signal.SIGKILL:
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def _start(order: dict[str, Any]) -> int:
    if order["processors"]:
        os.sched_setaffinity(0, order["processors"])
    command = os.posix_spawn(
        order["argv"][0],
        order["argv"],
        order["environ"],
        setpgroup=0,  # a worker that ends its whole group does not end its keeper
        setsigdef=[signal.SIGPIPE, signal.SIGXFSZ],  # Python ignores them, and a child would as well
    )
    for what, value in order["limits"]:
        try:
            hard = resource.prlimit(command, what)[1]
            value = value if hard == resource.RLIM_INFINITY else min(value, hard)  # noqa: PLW2901 - the system's own bound
            resource.prlimit(command, what, (value, value))
        except ProcessLookupError:
            break
    return command


def _follow(command: int, life: int) -> int | None:
    """The status with which the command ended; None once the host is gone, or wants it ended."""
    woken, wake = os.pipe()
    for end in (woken, wake):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    while True:
        try:
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                if ended[0] == command:
                    return ended[1]
        except ChildProcessError:
            return None
        ready = select.select([life, woken], [], [])[0]
        if life in ready:
            return None
        os.read(woken, 512)


def _end_all() -> None:
    """Kill children until there are none: those of a killed one come to us, and have their turn."""
    limit = time.monotonic() + _PATIENCE_S / 2
    while time.monotonic() < limit:
        for child in _children():
            try:
                os.kill(child, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                continue
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.001)


def _children() -> list[int]:
    ours = os.getpid()
    try:
        with open(f"/proc/{ours}/task/{ours}/children", encoding="ascii") as listed:  # noqa: PTH123 - no pathlib needed
            return [int(pid) for pid in listed.read().split()]
    except OSError:
        return [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if _parent(pid) == ours]  # noqa: PTH208


def _parent(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as told:  # noqa: PTH123
            return int(told.read().rpartition(")")[2].split()[1])
    except (OSError, IndexError):
        return 0


if __name__ == "__main__":
    _main(int(sys.argv[1]))
