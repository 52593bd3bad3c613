"""The worker's side of a job, in the real old and new environments: what the host may rely on."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import pytest

from harness.backends import WORKER_FOLDER, Environment
from harness.errors import CATALOGUE, HarnessError
from harness.job import Job, Worker

pytestmark = [pytest.mark.integration, pytest.mark.parametrize("name", ["tf1.12", "tf1.15", "tf2.21"], scope="module")]

VERSIONS = {"tf1.12": "1.12.3", "tf1.15": "1.15.5", "tf2.21": "2.21.0"}


@pytest.fixture(scope="module")
def env(environment: Callable[[str], Environment], name: str) -> Environment:
    return environment(name)


@pytest.fixture
def job(tmp_path: Path) -> Path:
    for part in ("in", "out"):
        (tmp_path / "job" / part).mkdir(parents=True)
    return tmp_path / "job"


def run(env: Environment, job: Path, request: Any) -> tuple[int, dict[str, Any] | None, str]:
    """Exit status, response and standard error of one job, run alone."""
    text = request if isinstance(request, str) else json.dumps(request)
    (job / "request.json").write_text(text)
    done = subprocess.run(
        env.command([str(job)]), env=env.environ(job), capture_output=True, text=True, check=False, cwd=job
    )
    response = job / "response.json"
    return done.returncode, json.loads(response.read_text()) if response.exists() else None, done.stderr


def test_an_unknown_operation_is_refused_by_a_list_of_the_known(env: Environment, job: Path) -> None:
    status, response, _ = run(env, job, {"protocol": 1, "ops": [{"op": "os.system"}]})
    assert (status, response and response["ok"]) == (10, False)
    error = response["error"] if response else {}
    assert (error["code"], error["message"]) == ("worker-protocol", "this worker has no operation 'os.system'")
    assert "read_keras_h5" in error["details"]
    assert error["traceback"] is None


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ("{", "request unreadable: request.json is not valid JSON: "),
        ('{"protocol": 1, "protocol": 1}', "request unreadable: request.json is not valid JSON: the key 'protocol' "),
        ("[]", "request unreadable: request.json is no object"),
        ({"protocol": 1}, "request unreadable: ops is no list of objects"),
        ({"protocol": 1, "ops": ["check"]}, "request unreadable: ops is no list of objects"),
        ({"protocol": 2, "ops": []}, "request unreadable: protocol 2; this worker speaks 1"),
        ({"ops": []}, "request unreadable: protocol None; this worker speaks 1"),
    ],
)
def test_a_request_that_cannot_be_read_has_its_own_status(
    env: Environment, job: Path, request_: Any, message: str
) -> None:
    status, response, said = run(env, job, request_)
    assert (status, response) == (11, None)
    assert message in said
    assert "Traceback" not in said


def test_a_folder_that_is_not_there_is_an_unreadable_request(env: Environment, tmp_path: Path) -> None:
    done = subprocess.run(
        env.command([str(tmp_path / "none")]), env=env.environ(tmp_path), capture_output=True, text=True, check=False
    )
    assert done.returncode == 11
    assert done.stderr.startswith("request unreadable: ")


def test_a_request_without_operations_is_done(env: Environment, job: Path) -> None:
    status, response, _ = run(env, job, {"protocol": 1, "ops": []})
    assert (status, response) == (0, {"protocol": 1, "ok": True, "results": [], "timings_s": {}})


def test_a_bug_travels_with_its_traceback(env: Environment, job: Path) -> None:
    status, response, _ = run(env, job, {"protocol": 1, "ops": [{"op": "replay"}, {"op": "check"}]})
    assert status == 10
    error = response["error"] if response else {}
    assert error["code"] == "worker-bug"
    assert error["traceback"].startswith("Traceback (most recent call last):\n")


@pytest.fixture(scope="module")
def worker(env: Environment, tmp_path_factory: pytest.TempPathFactory) -> Any:
    flavour = env.spec.keras_flavour if env.spec.name.startswith("tf1") else "keras3"
    with Worker(env, tmp_path_factory.mktemp("serve") / "scratch", flavour=flavour) as started:
        yield started


def weights_only(path: Path) -> Path:
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [b"dense"]
    return path


def test_one_process_serves_several_jobs_and_survives_refusals(
    env: Environment, worker: Worker, name: str, tmp_path: Path
) -> None:
    flavour = env.spec.keras_flavour if name.startswith("tf1") else "keras3"

    def check(title: str) -> Any:
        job = Job.create(tmp_path, title)
        job.ops.append({"op": "check", "flavour": flavour})
        return worker.run(job, timeout_s=120).results[0]

    first = check("first")
    assert first["tensorflow"] == VERSIONS[name]
    refused = Job.create(tmp_path, "refused")
    refused.give(weights_only(tmp_path / "weights.h5"), "model.h5")
    refused.ops.append({"op": "read_keras_h5", "source": "in/model.h5", "bundle": "out/bundle", "flavour": flavour})
    with pytest.raises(HarnessError) as caught:
        worker.run(refused, timeout_s=120)
    assert caught.value.code == "source-weights-only"
    assert caught.value.message == "model.h5 has no model_config attribute"
    assert not (refused.folder / "out" / "bundle").exists()
    unreadable = Job.create(tmp_path, "unreadable")
    unreadable.ops.append("check")  # type: ignore[arg-type]
    with pytest.raises(HarnessError) as caught:
        worker.run(unreadable, timeout_s=120)
    assert caught.value.code == "worker-protocol"
    assert "request unreadable: ops is no list of objects" in caught.value.details
    assert check("last") == first
    assert (tmp_path / "last" / "exit").read_text() == "0\n"
    assert (tmp_path / "refused" / "exit").read_text() == "10\n"
    assert worker.running.look() is None


def test_every_declared_code_is_in_the_catalogue(name: str) -> None:
    codes = {
        line.split('"')[1]
        for path in (WORKER_FOLDER / "tfworker").glob("*.py")
        for line in path.read_text().replace("(\n", "(").splitlines()
        if re.search(r'Refusal\(\s*"', line)  # some codes are in variables
    }
    assert {code for code in codes if code not in CATALOGUE} == set()


def test_noise_goes_to_the_log_of_its_job_and_the_response_comes_last(
    env: Environment, name: str, job: Path, tmp_path: Path
) -> None:
    # A site customisation stands in for a TensorFlow that writes to both streams, from Python and from C.
    noise = 'import os, sys\nprint("printed"); sys.stderr.write("complained\\\\n"); os.write(1, b"from C\\\\n")\n'
    start = (
        f"import sys; sys.argv = ['worker', '--serve']; sys.path.insert(0, {str(WORKER_FOLDER)!r})\n"
        "import tfworker.check as check, tfworker.protocol as protocol\n"
        "def noisy(request, context):\n"
        + "".join(f"    {line}\n" for line in noise.replace("\\\\n", "\\n").splitlines())
        + "    context.step('noise')\n    return {'steps': open('events.jsonl').read().count('noise')}\n"
        "check.check = noisy\n"
        "sys.exit(protocol.serve(sys.stdin))\n"
    )
    (job / "request.json").write_text(json.dumps({"protocol": 1, "ops": [{"op": "check"}]}))
    done = subprocess.run(
        [str(env.python), "-s", "-B", "-c", start],
        input=f"{job}\n\n",
        env=env.environ(tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    log = (job / "worker.log").read_text()
    assert {"printed", "complained", "from C"} <= set(log.splitlines())
    response = json.loads((job / "response.json").read_text())
    assert response["results"] == [{"steps": 1}]
    assert set(response["timings_s"]) == {"noise"}
    order = [(job / file).stat().st_mtime_ns for file in ("events.jsonl", "response.json", "exit")]
    assert order == sorted(order)
    assert not (job / "response.json.partial").exists()


def test_a_crash_is_told_by_its_signal_and_costs_one_job(env: Environment, name: str, tmp_path: Path) -> None:
    flavour = env.spec.keras_flavour if name.startswith("tf1") else "keras3"
    with Worker(env, tmp_path / "scratch", flavour=flavour) as crashing:
        job = Job.create(tmp_path, "job")
        job.ops.append({"op": "check", "flavour": flavour})
        time.sleep(0.1)  # whether it imports TensorFlow or computes already: the message is the same
        os.kill(crashing.running.pid, signal.SIGSEGV)
        with pytest.raises(HarnessError) as caught:
            crashing.run(job, timeout_s=60)
    assert caught.value.code == "worker-crashed"
    assert caught.value.message.startswith(
        f"The worker for the job job in {name} was killed by signal 11 (SIGSEGV); its last step was: "
    )


def test_a_worker_ends_when_its_host_is_gone(env: Environment, name: str, tmp_path: Path) -> None:
    """Whatever it does, and its children with it."""
    start = (
        f"import sys; sys.argv = ['worker', '--serve']; sys.path.insert(0, {str(WORKER_FOLDER)!r})\n"
        "import subprocess, time, tfworker.protocol as protocol\n"
        "protocol.end_with(0)\n"
        "child = subprocess.Popen(['sleep', '600'], stdin=subprocess.DEVNULL)\n"
        "print(child.pid); sys.stdout.flush()\n"
        "time.sleep(600)\n"
    )
    process = subprocess.Popen(
        [str(env.python), "-s", "-B", "-c", start], stdin=subprocess.PIPE, env=env.environ(tmp_path),
        stdout=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    child = int(process.stdout.readline())
    process.stdin.close()
    assert process.wait(timeout=60) == -signal.SIGKILL
    process.stdout.close()
    limit = time.monotonic() + 10
    while Path(f"/proc/{child}/status").exists() and "State:\tZ" not in Path(f"/proc/{child}/status").read_text():
        assert time.monotonic() < limit
        time.sleep(0.01)
