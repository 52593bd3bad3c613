"""The host's side of a job, against real processes that stand in for workers; no TensorFlow."""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from harness.backends.base import Limits
from harness.backends.local import LocalProcess
from harness.errors import HarnessError
from harness.job import Job, Worker, declared, remove

#: A worker of few words: ``act(folder)`` says what it does with a job.
STAND_IN = """
import json, os, signal, sys, time
def respond(folder, value, status=0):
    with open(os.path.join(folder, "response.json"), "w") as stream:
        stream.write(value if isinstance(value, str) else json.dumps(value))
    with open(os.path.join(folder, "exit"), "w") as stream:
        stream.write(str(status))
def step(folder, name):
    with open(os.path.join(folder, "events.jsonl"), "a") as stream:
        stream.write(json.dumps({"event": "step", "name": name}) + "\\n")
for line in sys.stdin:
    folder = line.strip()
    act(folder)
"""


@dataclass
class Spec:
    name: str = "tf1.15"


@dataclass
class StandIn:
    """An environment whose worker is a few lines of today's Python."""

    folder: Path
    act: str
    spec: Spec = field(default_factory=Spec)
    wrong: str | None = None
    backend: str = "venv"

    def start(self, scratch: Path, flavour: str, limits: Limits) -> LocalProcess:
        home = scratch / "home"
        home.mkdir()
        return LocalProcess(self.command(["--serve", flavour]), {"HOME": str(home)}, scratch, limits)

    def damage(self) -> str | None:
        return self.wrong

    def replay(self, folder: Path) -> str:
        return shlex.join(self.command([str(folder)]))

    def command(self, worker_args: Any) -> list[str]:
        script = self.folder / "worker.py"
        body = textwrap.indent(textwrap.dedent(self.act), "    ")
        head, loop = STAND_IN.split("for line", 1)
        script.write_text(f"{head}def act(folder):\n{body}\nfor line{loop}")
        return [sys.executable, str(script), *worker_args]


Start = Callable[[str], Worker]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    workers: list[Worker] = []

    def make(act: str) -> Worker:
        (tmp_path / "stand-in").mkdir()
        workers.append(Worker(StandIn(tmp_path / "stand-in", act), tmp_path / "scratch", flavour="tf.keras"))  # type: ignore[arg-type]
        return workers[-1]

    yield make
    for worker in workers:
        worker.stop()


@pytest.fixture
def job(tmp_path: Path) -> Job:
    made = Job.create(tmp_path / "run" / "jobs", "export")
    made.ops.append({"op": "check"})
    return made


OK = 'respond(folder, {"ok": True, "results": [json.load(open(os.path.join(folder, "request.json")))], "timings_s": {"a": 1.5}})'


def test_the_request_goes_out_and_the_results_come_back(start: Start, job: Job) -> None:
    done = start(OK).run(job, timeout_s=30)
    assert done.results == [{"protocol": 1, "ops": [{"op": "check"}]}]
    assert done.timings_s == {"a": 1.5}


def test_progress_is_heard_in_order(start: Start, job: Job) -> None:
    heard: list[str] = []
    act = f'step(folder, "load"); time.sleep(0.3); step(folder, "write"); time.sleep(0.3); {OK}'
    start(act).run(job, timeout_s=30, progress=heard.append)
    assert heard == ["load", "write"]


def test_several_jobs_run_in_one_process(start: Start, tmp_path: Path) -> None:
    worker = start('respond(folder, {"ok": True, "results": [os.getpid()]})')
    pids = {worker.run(Job.create(tmp_path / "jobs", f"j{i}"), timeout_s=30).results[0] for i in range(3)}
    assert pids == {worker.running.pid}


def failed(worker: Worker, job: Job, timeout_s: float = 30) -> HarnessError:
    with pytest.raises(HarnessError) as caught:
        worker.run(job, timeout_s=timeout_s)
    return caught.value


@pytest.mark.parametrize(
    ("name", "hint"), [("SIGKILL", " The system may have run out of memory."), ("SIGSEGV", ""), ("SIGABRT", "")]
)
def test_a_crash_names_signal_last_step_and_log(start: Start, job: Job, name: str, hint: str) -> None:
    number = getattr(signal, name).value
    act = f"""
        step(folder, "load the model")
        open(os.path.join(folder, "worker.log"), "w").write("first\\nlast words\\n")
        os.kill(os.getpid(), {number})
    """
    error = failed(start(act), job)
    assert error.code == "worker-crashed"
    assert error.message == (
        f"The worker for the job export in tf1.15 was killed by signal {number} ({name}); "
        f"its last step was: load the model.{hint}"
    )
    assert error.details == (f"job folder: {job.folder}", "log: first", "log: last words")
    assert error.remedy.startswith("The job folder was kept; run that job alone with: ")
    assert error.remedy.endswith(str(job.folder))


def test_a_worker_that_never_started_shows_what_it_said(start: Start, job: Job) -> None:
    error = failed(start("sys.exit(3)"), job)
    assert error.message == "The worker for the job export in tf1.15 ended with status 3; its last step was: starting."


def test_a_worker_that_never_started_in_a_damaged_environment_says_so(tmp_path: Path, job: Job) -> None:
    environment = StandIn(tmp_path, "sys.exit(1)", wrong="numpy is missing")
    with Worker(environment, tmp_path / "scratch", flavour="tf.keras") as worker:
        error = failed(worker, job)
    assert error.code == "environment-unhealthy"
    assert error.message.endswith("its environment is damaged (tf1.15, venv): numpy is missing.")
    assert "envs remove tf1.15" in error.remedy


@pytest.mark.parametrize("words", ["terminate called after throwing an instance of 'std::bad_alloc'", "MemoryError"])
def test_a_worker_that_got_no_memory_says_so(start: Start, job: Job, words: str) -> None:
    error = failed(start(f"open(os.path.join(folder, 'worker.log'), 'w').write({words!r}); os.abort()"), job)
    assert error.code == "memory-exhausted"
    assert "--memory" in error.remedy


def test_a_worker_without_room_for_its_answer_tells_by_its_status(start: Start, job: Job) -> None:
    error = failed(start("sys.exit(12)"), job)
    assert (error.code, error.message) == ("no-space", "The disk filled up while the job export ran in tf1.15.")


def test_a_worker_that_is_dead_already_is_a_crash(start: Start, job: Job) -> None:
    worker = start(OK)
    worker.running.process.kill()
    worker.running.process.wait()
    assert failed(worker, job).code == "worker-crashed"


def test_the_time_limit_ends_the_process_and_its_children(start: Start, job: Job, tmp_path: Path) -> None:
    act = f"""
        step(folder, "predict")
        import subprocess
        child = subprocess.Popen(["sleep", "600"])
        open({str(tmp_path / "child")!r}, "w").write(str(child.pid))
        time.sleep(600)
    """
    worker = start(act)
    error = failed(worker, job, timeout_s=2)
    assert error.code == "worker-timeout"
    assert error.message == "The job export in tf1.15 took longer than 2 s; its last step was: predict."
    assert worker.running.process.returncode == -signal.SIGKILL
    stat = Path(f"/proc/{(tmp_path / 'child').read_text()}/stat")
    deadline = time.monotonic() + 10  # SIGKILL is sent to the whole group, and each process dies in its own time
    while stat.exists() and ") Z " not in stat.read_text():
        assert time.monotonic() < deadline, "the child still runs"
        time.sleep(0.01)


@pytest.mark.parametrize("response", ["", "{", "[1, NaN]", '{"ok": true, "ok": false}'])
def test_a_response_that_cannot_be_read_is_a_broken_protocol(start: Start, job: Job, response: str) -> None:
    error = failed(start(f"respond(folder, {response!r})"), job)
    assert error.code == "worker-protocol"
    assert error.message.startswith("The job export left no readable response: response.json is not valid JSON: ")


@pytest.mark.parametrize(
    ("response", "wrong"),
    [
        ("[1]", "whether it is ok"),
        ("{}", "whether it is ok"),
        ('{"ok": 1}', "whether it is ok"),
        ('{"ok": true}', "results"),
        ('{"ok": true, "results": {}, "timings_s": []}', "results, timings_s"),
        ('{"ok": false, "error": "no"}', "error"),
        ('{"ok": false, "error": {"code": 1, "message": "m", "details": "d"}}', "error.code, error.details"),
    ],
)
def test_a_response_of_another_form_is_a_broken_protocol(start: Start, job: Job, response: str, wrong: str) -> None:
    """What runs in a worker may be a model's own code, which can write the response too."""
    error = failed(start(f"respond(folder, {response!r})"), job)
    assert error.code == "worker-protocol"
    assert error.message.endswith(wrong)


def test_progress_that_no_worker_writes_is_left_out(start: Start, job: Job) -> None:
    said = ["[", "5", '{"name": "fine"}', '{"step": 1}', "[" * 100_000, "\udcff"]
    heard: list[str] = []
    act = f"""
    with open(os.path.join(folder, "events.jsonl"), "w", errors="surrogateescape") as stream:
        stream.write("\\n".join({said!r}) + "\\n")
    time.sleep(0.3)
    {OK}
    """
    start(act).run(job, timeout_s=30, progress=heard.append)
    assert heard == ["fine"]


def test_no_response_at_all_is_a_broken_protocol(start: Start, job: Job) -> None:
    act = 'respond(folder, "{}"); os.unlink(os.path.join(folder, "response.json"))'
    assert failed(start(act), job).code == "worker-protocol"


def test_a_refusal_travels_as_data(start: Start, job: Job) -> None:
    refusal = {"code": "layer-unsupported", "message": "m", "details": ["a", "b"], "remedy": "r", "traceback": None}
    error = failed(
        start(
            f"respond(folder, {json.dumps({'ok': False, 'error': refusal}).replace('null', 'None').replace('false', 'False')}, 10)"
        ),
        job,
    )
    assert (error.code, error.message, error.details, error.remedy) == ("layer-unsupported", "m", ("a", "b"), "r")


def test_an_unknown_code_is_a_bug_of_the_worker_with_its_traceback(job: Job) -> None:
    error = declared({"code": "new-code", "message": "m", "traceback": "Traceback\n  line\nValueError: x\n"}, job)
    assert error.code == "worker-bug"
    assert error.details == ("Traceback", "  line", "ValueError: x", f"job folder: {job.folder}")


def test_a_worker_may_be_held_to_some_processors(tmp_path: Path, job: Job) -> None:
    stand_in, act = tmp_path / "stand-in", 'respond(folder, {"ok": True, "results": [len(os.sched_getaffinity(0))]})'
    stand_in.mkdir()
    environment: Any = StandIn(stand_in, act)
    with Worker(environment, tmp_path / "scratch", flavour="", limits=Limits(cpus=0.5)) as worker:
        assert worker.run(job, timeout_s=30).results == [1]


def test_stopping_twice_is_harmless(start: Start) -> None:
    worker = start(OK)
    worker.stop()
    worker.stop()
    assert worker.running.process.returncode is not None


def test_files_of_the_run_are_linked_so_that_its_folder_can_move(job: Job, tmp_path: Path) -> None:
    inside, outside = tmp_path / "run" / "bundle", tmp_path / "model.h5"
    inside.mkdir()
    outside.write_text("m")
    assert job.give(inside, "bundle") == "in/bundle"
    job.give(outside, "model.h5")
    moved = (tmp_path / "run").rename(tmp_path / "out")
    given = moved / "jobs" / "export" / "in"
    assert (given / "bundle").resolve() == moved / "bundle"
    assert (given / "model.h5").read_text() == "m"
    assert (given / "model.h5").readlink().is_absolute()


def test_remove_follows_no_links(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "kept")
    for name in ("link", "missing"):
        remove(tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_remove_takes_a_tree_of_any_depth(tmp_path: Path) -> None:
    """1,200 levels: more than Python's stack and, by the lengths of their names, than a path holds."""
    here = os.open(tmp_path, os.O_RDONLY)
    for name in ["tree", *["d" * 20] * 1200]:
        os.mkdir(name, dir_fd=here)
        inner = os.open(name, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(here)
    remove(tmp_path / "tree")
    assert list(tmp_path.iterdir()) == []


def test_remove_follows_no_links_inside_a_tree_and_takes_what_is_read_only(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").touch()
    (tmp_path / "tree" / "a" / "b").mkdir(parents=True)
    for folder in ("tree", "tree/a", "tree/a/b"):
        (tmp_path / folder / "link").symlink_to(tmp_path / "kept")
    (tmp_path / "tree" / "a" / "b").chmod(0o500)
    (tmp_path / "tree" / "a").chmod(0o500)
    remove(tmp_path / "tree")
    assert [path.name for path in tmp_path.rglob("*")] == ["kept", "file"]
