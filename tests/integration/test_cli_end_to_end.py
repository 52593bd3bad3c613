"""What a user, an impatient user, and the system's out-of-memory killer get from the command line."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest
from command_line import REPORTS, Harness, Run, content, descendants, end, start, venv_only

from harness import report as reports
from harness.envspec import EnvSpec
from harness.plan import make_plan

pytestmark = pytest.mark.integration

MODEL = Path("k_face_big_xception") / "model.hdf5"


@pytest.fixture
def source(corpus: Path) -> EnvSpec:
    """The environment that reads MODEL."""
    return make_plan(corpus / MODEL).source_env


def until(found: Callable[[], object], limit_s: float = 120.0) -> object:
    """What ``found`` returns, once it is something."""
    limit = time.monotonic() + limit_s
    while time.monotonic() < limit:
        value = found()
        if value:
            return value
        time.sleep(0.005)
    raise AssertionError("waited in vain")


def workers_of(pid: int) -> dict[int, str]:
    """Process id and environment name of the workers that a host process started."""
    return {
        child: Path(command[0]).parts[-3].rpartition("-")[0]
        for child, command in descendants(pid)
        if "--serve" in command
    }


def alive(pid: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def reading(folder: Path) -> bool:
    """Whether the source worker is at work: it has said what it does."""
    return any(path.stat().st_size for path in folder.glob(".*.partial-*/jobs/export/events.jsonl"))


@venv_only
def test_a_killed_worker_is_named_and_an_earlier_result_stays(
    corpus: Path, source: EnvSpec, mini: Run, tmp_path: Path
) -> None:
    shutil.copytree(mini.out, tmp_path / "out")
    before = content(tmp_path / "out")
    process = start("migrate", corpus / MODEL, "--out", "out", "--json", cwd=tmp_path)
    until(lambda: reading(tmp_path))
    workers = workers_of(process.pid)
    (victim,) = [pid for pid, name in workers.items() if name == source.name]
    os.kill(victim, signal.SIGKILL)
    done = end(process)

    assert done.status == 5, done.text
    report = done.report
    error = report["error"]
    assert (report["status"], error["code"]) == ("failed", "worker-crashed")
    what, _, last = error["message"].partition("; its last step was: ")
    assert what == f"The worker for the job export in {source.name} was killed by signal 9 (SIGKILL)"
    assert last.endswith(". The system may have run out of memory.")
    assert content(tmp_path / "out") == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "out.failed"]
    assert not [pid for pid in workers if alive(pid)]

    written = json.loads((tmp_path / "out.failed" / "report.json").read_text())
    jsonschema.validate(written, reports.schema())
    # The job folder is where the message says, and the command that it gives runs that job to its end.
    job = tmp_path / "out.failed" / "jobs" / "export"
    assert error["details"][0] == f"job folder: {job}"
    command = error["remedy"].removeprefix("The job folder was kept; run that job alone with: ")
    shutil.rmtree(job / "out")
    (job / "out").mkdir()
    again = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert json.loads((job / "response.json").read_text())["ok"] is True


@venv_only
def test_ctrl_c_ends_everything_and_leaves_nothing(corpus: Path, source: EnvSpec, tmp_path: Path) -> None:
    process = start("migrate", corpus / MODEL, "--out", "out", cwd=tmp_path)
    until(lambda: reading(tmp_path))
    workers = workers_of(process.pid)
    assert source.name in workers.values()
    process.send_signal(signal.SIGINT)
    done = end(process)
    # The line break stands behind the ^C that a terminal shows.
    assert (done.status, done.stdout, done.stderr) == (130, "", "\nInterrupted. Nothing half-written was left.\n")
    assert list(tmp_path.iterdir()) == []
    assert not [pid for pid in workers if alive(pid)]


def test_a_job_above_its_time_limit_is_ended(run: Harness, corpus: Path, source: EnvSpec, tmp_path: Path) -> None:
    done = run("migrate", corpus / MODEL, "--out", "out", "--timeout", "0.5", "--json")
    assert done.status == 5, done.text
    report = done.report
    jsonschema.validate({key: report[key] for key in report if key != "folder"}, reports.schema())
    assert (report["status"], report["error"]["code"]) == ("failed", "worker-timeout")
    assert report["error"]["message"].startswith(
        f"The job export in {source.name} took longer than 0.5 s; its last step was: "
    )
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_json_is_all_that_stands_on_standard_output(run: Harness, mini: Run, tmp_path: Path) -> None:
    done = run("import", mini.out / "bundle", "--out", "out", "--json")
    report = done.report
    assert done.status == 0
    assert done.stderr == ""
    assert report.pop("folder") == str(tmp_path / "out")
    assert report == json.loads((tmp_path / "out" / "report.json").read_text())


def test_a_result_replaces_an_earlier_one(run: Harness, mini: Run, tmp_path: Path) -> None:
    shutil.copytree(mini.out, tmp_path / "out")
    done = run("import", mini.out / "bundle", "--out", "out")
    assert done.status == 0, done.text
    # An import makes no bundle: what stands there now is the result of this run alone.
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"model.keras", *REPORTS}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_kept_job_folders_hold_no_dead_link(run: Harness, mini: Run, tmp_path: Path) -> None:
    done = run("import", mini.out / "bundle", "--out", "out", "--keep-jobs")
    assert done.status == 0, done.text
    links = [path for path in (tmp_path / "out" / "jobs").rglob("*") if path.is_symlink()]
    assert len(links) >= 4
    assert [link for link in links if not link.exists()] == []


def test_a_plan_starts_nothing_and_says_what_would_be_done(
    run: Harness, corpus: Path, source: EnvSpec, tmp_path: Path
) -> None:
    done = run("plan", corpus / MODEL)
    assert done.status == 0
    assert done.stdout.splitlines()[0] == (
        f"1. read model.hdf5 (a whole Keras model in HDF5) in {source.name} (TensorFlow {source.tensorflow}, "
        f"Python {source.python}) with read_keras_h5"
    )
    assert len(done.stdout.splitlines()) == 6
    assert list(tmp_path.iterdir()) == []
