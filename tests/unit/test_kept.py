"""What a command started is ended with it: when it ends, when it is ended, when its host is killed; in whatever session it is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.backends.base import NO_LIMITS
from harness.backends.kept import Kept
from harness.backends.local import LocalProcess

ROOT = Path(__file__).parents[2]
#: a child in its group, one in a session of its own, and one that is nobody's child any more; then the command's own process
COMMAND = """
import os, subprocess, sys, time
def tell():
    with open("pids", "a") as stream:
        stream.write("%d\\n" % os.getpid())
def wait():
    tell()
    time.sleep(600)
    os._exit(0)
if not os.fork():
    wait()
if not os.fork():
    os.setsid()
    if not os.fork():
        wait()
    wait()
middle = os.fork()
if not middle:
    os.setsid()
    if not os.fork():
        wait()
    os._exit(0)
os.waitpid(middle, 0)
open("pids", "a").close()
while len(open("pids").read().split()) < 4:
    time.sleep(0.01)
tell()
"""
HOST = """
import sys
from pathlib import Path
from harness.backends.venvbuild import Build
from harness.envspec import load_specs
here = Path(sys.argv[1])
build = Build(load_specs()["tf1.15"], Path(sys.executable), here / "env", here / "log", {"HOME": str(here)}, print)
build._run([sys.executable, "-c", sys.argv[2]], build.environ)
"""


def runs(pid: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


def until(met: Callable[[], bool], what: object = "") -> None:
    limit = time.monotonic() + 60
    while not met():
        assert time.monotonic() < limit, what
        time.sleep(0.01)


def started(folder: Path, count: int = 5) -> list[int]:
    """The processes of a command, once they all are there."""
    told = folder / "pids"
    until(lambda: told.exists() and len(told.read_text().split()) == count)
    return [int(pid) for pid in told.read_text().split()]


def gone(pids: list[int]) -> bool:
    return not any(map(runs, pids))


def kept(folder: Path, program: str) -> Kept:
    with (folder / "log").open("wb") as log:
        return Kept([sys.executable, "-c", program], environ={}, cwd=folder, output=log)


def test_all_are_ended_with_the_command_and_its_status_is_told(tmp_path: Path) -> None:
    for number, (end, status) in enumerate({"os._exit(7)": 7, "os.abort()": -6, "os.kill(os.getpid(), 9)": -9}.items()):
        folder = tmp_path / str(number)
        folder.mkdir()
        process = kept(folder, COMMAND + end)
        try:
            assert process.process.wait(30) == status
            assert gone(started(folder))
        finally:
            process.stop()


def test_all_are_ended_when_the_command_is_stopped(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    worker = LocalProcess([sys.executable, "-c", COMMAND + "time.sleep(600)"], {}, tmp_path, NO_LIMITS)
    pids = started(tmp_path)
    assert worker.pid == pids[-1]
    assert worker.look() is None
    worker.stop()
    assert gone(pids)
    worker.stop()


def test_a_keeper_that_is_killed_leaves_no_command_to_its_host(tmp_path: Path) -> None:
    process = kept(tmp_path, COMMAND + "time.sleep(600)")
    pids = started(tmp_path)
    assert process.pid == pids[-1]
    os.kill(process.process.pid, signal.SIGKILL)
    process.stop()
    until(lambda: not runs(pids[-1]))
    for pid in filter(runs, pids):  # what had left its group: nobody is left who knows of it
        os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_process_of_a_build_outlives_its_host(tmp_path: Path, number: signal.Signals) -> None:
    command = [sys.executable, "-c", HOST, str(tmp_path), COMMAND + "time.sleep(600)"]
    host = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    try:
        pids = started(tmp_path)
        assert all(map(runs, pids))
        host.send_signal(number)
        assert host.wait(30) != 0
        until(lambda: gone(pids), pids)
    finally:
        host.kill()
        host.wait()


def test_a_build_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    host = HOST.replace("build.environ)", "build.environ, timeout_s=3)")
    subprocess.run([sys.executable, "-c", host, str(tmp_path), COMMAND + "time.sleep(600)"], cwd=ROOT, check=True)
    assert gone(started(tmp_path))
    assert "ended after 3 s" in (tmp_path / "log").read_text()
