"""The Docker backend on a real engine: the same results, and programs that try to get out."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import docker
import pytest
from command_line import Harness

from harness import backends
from harness.backends import Environment
from harness.backends.base import Limits
from harness.backends.container import LABEL
from harness.backends.docker import NAME, DockerBackend
from harness.envspec import EnvSpec
from harness.errors import HarnessError
from harness.job import Job, Worker

pytestmark = [
    pytest.mark.integration,
    # The engine's client library leaves sockets of failed and of streamed requests to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]

ENABLE = "install docker.io and debootstrap, start dockerd, then: .ci/offline-base 3.7 && .ci/offline-base 3.13"
OFFLINE = "offline-python:{python}"


@pytest.fixture(scope="module", autouse=True)
def base() -> Iterator[None]:
    """An engine, and a base for images: the user's, or the one that .ci/offline-base makes."""
    if reason := DockerBackend().why_unavailable():
        pytest.skip(f"{reason} To run these tests, {ENABLE}")
    if "HARNESS_PYTHON_IMAGE" not in os.environ:
        os.environ["HARNESS_PYTHON_IMAGE"] = OFFLINE
    yield
    if os.environ["HARNESS_PYTHON_IMAGE"] == OFFLINE:
        del os.environ["HARNESS_PYTHON_IMAGE"]


@pytest.fixture(scope="module")
def image(specs: dict[str, EnvSpec]) -> Callable[[str], Environment]:
    return lambda name: backends.ensure(specs[name], "docker")


@pytest.fixture
def client() -> Iterator[docker.DockerClient]:
    client = docker.from_env()
    yield client
    client.close()


def test_both_backends_give_the_same_bits(run: Harness, rich_model: Callable[[str], Path], tmp_path: Path) -> None:
    model, found = rich_model("tf1.15"), []
    for backend in ("venv", "docker"):
        done = run("migrate", model, "--backend", backend, "--out", tmp_path / backend)
        assert done.status == 0, done.text
        report = json.loads((tmp_path / backend / "report.json").read_text())
        arrays = [(tmp_path / backend / "bundle" / name).read_bytes() for name in ("weights.npz", "probes.npz")]
        found.append((arrays, report["outputs"], report["layers"], report["weights"]))
    assert found[0] == found[1]
    owners = {(path.stat().st_uid, path.stat().st_gid) for path in (tmp_path / "docker").rglob("*")}
    assert owners == {(os.getuid(), os.getgid())}


def test_an_image_is_found_again_checked_and_listed(image: Callable[[str], Environment], run: Harness) -> None:
    built = image("tf1.15")
    started = time.monotonic()
    assert image("tf1.15") == built
    assert time.monotonic() - started < 20  # no build: that takes a minute
    assert DockerBackend().check(built.spec) is None
    assert (built.spec.name, built.key) in [(i.name, i.key) for i in DockerBackend().installed()]
    rows = json.loads(run("envs", "list", "--backend", "docker", "--json").stdout)["environments"]
    assert {row["name"] for row in rows if row["created"]} >= {"tf1.15"}


def test_images_of_older_locks_are_pruned(client: docker.DockerClient, image: Callable[[str], Environment], specs: dict[str, EnvSpec]) -> None:  # fmt: skip
    kept = image("tf1.15")
    old, _ = client.images.build(
        fileobj=io.BytesIO(f"FROM {os.environ['HARNESS_PYTHON_IMAGE'].replace('{python}', '3.7')}".encode()),
        rm=True, labels={NAME: "tf1.15", "tf-migration-harness.key": "0" * 16}, tag="tf-migration-harness/tf1.15:old",
    )  # fmt: skip
    assert "tf-migration-harness/tf1.15:old" in old.tags
    assert "tf-migration-harness/tf1.15:old" in DockerBackend().prune(specs.values())
    assert DockerBackend().find(kept.spec) == kept


def test_a_base_that_is_not_there_is_named(specs: dict[str, EnvSpec], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_PYTHON_IMAGE", "localhost:1/none:{python}")
    with pytest.raises(HarnessError) as caught:
        backends.ensure(specs["tf1.15"], "docker")
    assert caught.value.code == "environment-build-failed"
    assert "localhost:1/none:3.7" in caught.value.message
    assert "HARNESS_PYTHON_IMAGE" in caught.value.remedy


#: what a hostile program tries, and what it must find
TRIALS = {
    "network": "import socket; socket.create_connection(('1.1.1.1', 53), 2)",
    "name look-up": "import socket; socket.getaddrinfo('example.org', 80)",
    "another interface": "import os; assert set(os.listdir('/sys/class/net')) != {'lo'}",
    "write to the system": "open('/usr/local/lib/x', 'w')",
    "write to the worker": "open('/job/worker/tfworker/protocol.py', 'a')",
    "replace the worker": "import os; os.rename('/job/worker', '/job/old')",
    "write to the source": "open(JOB + '/in/model.h5', 'a')",
    "become root": "import os; os.setuid(0)",
    "mount": "import subprocess; subprocess.run(['mount', '-t', 'tmpfs', 'x', '/mnt'], check=True)",
    "see the host": "import os; assert [p for p in os.listdir('/proc') if p.isdigit() and int(p) > 200000]",
    "run from the temporary folder": (
        "import os, shutil, subprocess; shutil.copy('/bin/true', '/tmp/x'); subprocess.run(['/tmp/x'], check=True)"
    ),
    "fill the temporary folder": "open('/tmp/x', 'wb').write(b'0' * (1 << 30)); open('/tmp/y', 'wb').write(b'0' * (1 << 20))",
}


def test_a_program_in_the_container_cannot(image: Callable[[str], Environment], tmp_path: Path) -> None:
    """The trials run where a model's code would run: in the worker's process."""
    (tmp_path / "model.h5").write_text("source")
    with hostile(image("tf1.15"), tmp_path, TRIALS, Limits()) as (worker, job):
        done = worker.run(job, timeout_s=120)
    assert done.results == [dict.fromkeys(TRIALS, "refused")]


class hostile:
    """A worker whose operation ``check`` runs the given programs, each after the other."""

    def __init__(self, environment: Environment, folder: Path, programs: Mapping[str, str], limits: Limits) -> None:
        self.environment, self.folder, self.programs, self.limits = environment, folder, programs, limits

    def __enter__(self) -> tuple[Worker, Job]:
        code = self.folder / "worker"
        shutil.copytree(backends.WORKER_FOLDER, code, ignore=shutil.ignore_patterns("__pycache__"))
        (code / "tfworker" / "check.py").write_text(
            "import os\n"
            "def check(request, context):\n"
            "    context.step('the trial')\n"
            "    results = {}\n"
            f"    for name, program in sorted({dict(self.programs)!r}.items()):\n"
            "        try:\n"
            "            exec(program, {'JOB': os.getcwd()})\n"
            "            results[name] = 'done'\n"
            "        except (Exception, SystemExit):\n"
            "            results[name] = 'refused'\n"
            "    return results\n"
        )
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr("harness.backends.container.WORKER_FOLDER", code)
        job = Job.create(self.folder / "jobs", "trial")
        if (self.folder / "model.h5").exists():
            job.give(self.folder / "model.h5", "model.h5")
        job.ops.append({"op": "check"})
        self.worker = Worker(self.environment, self.folder / "scratch", flavour="", limits=self.limits)
        return self.worker, job

    def __exit__(self, *_: object) -> None:
        self.worker.stop()
        self.patch.undo()


def failure(
    environment: Environment, folder: Path, program: str, limits: Limits, timeout_s: float = 60
) -> HarnessError:
    with (
        hostile(environment, folder, {"the trial": program}, limits) as (worker, job),
        pytest.raises(HarnessError) as caught,
    ):
        worker.run(job, timeout_s=timeout_s)
    return caught.value


def test_allocating_without_end_ends_with_the_limit_named(
    image: Callable[[str], Environment], tmp_path: Path, client: docker.DockerClient
) -> None:
    program = "kept = []\nwhile True: kept.append(bytearray(1 << 26))"
    error = failure(image("tf1.15"), tmp_path, program, Limits(memory=1 << 29))
    assert error.code == "worker-crashed"
    assert "The container's memory of 0.5 GB was used up." in error.message
    assert "the trial" in error.message
    assert not client.containers.list(all=True, filters={"label": LABEL})


def test_a_program_that_never_ends_is_ended(
    image: Callable[[str], Environment], tmp_path: Path, client: docker.DockerClient
) -> None:
    error = failure(image("tf1.15"), tmp_path, "while True: pass", Limits(), timeout_s=3)
    assert error.code == "worker-timeout"
    assert not client.containers.list(all=True, filters={"label": LABEL})


def test_processes_without_end_are_bounded(image: Callable[[str], Environment], tmp_path: Path) -> None:
    program = "import os\nfor _ in range(100000): os.fork() or __import__('time').sleep(600)"
    with hostile(image("tf1.15"), tmp_path, {"the trial": program}, Limits(processes=100)) as (worker, job):
        done = worker.run(job, timeout_s=60)
    assert done.results == [{"the trial": "refused"}]


def test_output_without_end_is_bounded(image: Callable[[str], Environment], tmp_path: Path) -> None:
    program = "f = open(JOB + '/out/big', 'wb')\nwhile True: f.write(b'0' * (1 << 20)); f.flush()"
    with (
        hostile(image("tf1.15"), tmp_path, {"the trial": program}, Limits(storage=1 << 26)) as (worker, job),
        pytest.raises(HarnessError) as caught,
    ):
        worker.run(job, timeout_s=60)
    assert caught.value.code in ("worker-protocol", "worker-bug", "no-space", "worker-crashed")


def test_a_host_that_is_killed_leaves_nothing_running(
    image: Callable[[str], Environment], tmp_path: Path, client: docker.DockerClient
) -> None:
    """The container ends by itself when the connection that holds its input is gone."""
    image("tf1.15")
    script = (
        "import sys, time\nfrom pathlib import Path\nfrom harness import backends, envspec\nfrom harness.job import Worker\n"
        "spec = envspec.load_specs()['tf1.15']\n"
        f"w = Worker(backends.ensure(spec, 'docker'), Path({str(tmp_path / 'scratch')!r}), flavour='tf.keras')\n"
        "print('up', flush=True)\ntime.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == b"up\n"
        assert client.containers.list(filters={"label": LABEL})
        process.kill()
    deadline = time.monotonic() + 30
    while client.containers.list(filters={"label": LABEL}):
        assert time.monotonic() < deadline, "the container still runs"
        time.sleep(0.2)
    for left in client.containers.list(all=True, filters={"label": LABEL}):
        left.remove(force=True, v=True)


def test_untrusted_files_are_opened_in_a_container_or_not_at_all(
    run: Harness, rich_model: Callable[[str], Path], tmp_path: Path
) -> None:
    done = run("migrate", rich_model("tf1.15"), "--untrusted", "--backend", "venv", "--out", tmp_path / "no")
    assert done.status == 4
    assert "nothing was opened" in done.text
    assert not (tmp_path / "no" / "bundle").exists()
