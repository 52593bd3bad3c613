"""The Docker backend on a real engine: the same results, and programs that try to get out."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import docker
import pytest
from command_line import SCRIPTS, Done, Harness, Run, end, start
from fault_table import observed, plain, record, row, said

from harness import backends, envspec
from harness.backends import Environment, VenvEnvironment, imagebuild
from harness.backends.base import Limits
from harness.backends.container import LABEL, OWNER, owner
from harness.backends.docker import DockerBackend, DockerEnvironment, packages
from harness.backends.engines import connect, engine
from harness.backends.imagebuild import NAME
from harness.envspec import EnvSpec
from harness.errors import HarnessError
from harness.job import Job, Worker

pytestmark = [
    pytest.mark.integration,
    # The engine's client library leaves sockets of failed and of streamed requests to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]

ENABLE = "install docker.io and debootstrap, start dockerd, then: .ci/offline-base 3.7 && .ci/offline-base 3.13"
FAULTY, PROXY = (Path(__file__).resolve().parent / name for name in ("faulty.py", "engine_proxy.py"))
OFFLINE = "offline-python:{python}"


@pytest.fixture(scope="module", autouse=True)
def base() -> Iterator[None]:
    """An engine, and a base for images: the user's, or the one that .ci/offline-base makes."""
    if reason := DockerBackend().why_unavailable():
        pytest.skip(f"{reason} To run these tests, {ENABLE}")
    with pytest.MonkeyPatch.context() as patch:
        if "HARNESS_PYTHON_IMAGE" not in os.environ:
            patch.setenv("HARNESS_PYTHON_IMAGE", OFFLINE)
            with engine() as client:
                if missing := [v for v in ("3.7", "3.13") if not client.images.list(OFFLINE.replace("{python}", v))]:
                    make = " && ".join(f".ci/offline-base {version}" for version in missing)
                    pytest.skip(
                        f"There is no base for images: {make}, or set HARNESS_PYTHON_IMAGE=python:{{python}}-slim"
                    )
        yield


@pytest.fixture(scope="module")
def image(specs: dict[str, EnvSpec]) -> Callable[[str], Environment]:
    return lambda name: backends.ensure(specs[name], "docker")


@pytest.fixture
def client() -> Iterator[docker.DockerClient]:
    client = docker.from_env()
    yield client
    client.close()


def test_both_backends_give_the_same_bits(
    run: Harness, rich: Run, rich_model: Callable[[str], Path], tmp_path: Path
) -> None:
    forms = ("--format", "keras", "--format", "saved_model")
    done = run("migrate", rich_model("tf1.15"), *forms, "--backend", "docker", "--out", tmp_path / "docker")
    assert done.status == 0, done.text
    other = json.loads((tmp_path / "docker" / "report.json").read_text())
    for name in ("weights.npz", "probes.npz"):
        assert (tmp_path / "docker" / "bundle" / name).read_bytes() == (rich.out / "bundle" / name).read_bytes()
    for part in ("outputs", "layers", "weights"):
        assert other[part] == rich.report[part]
    assert {entry["backend"] for entry in other["environments"]} == {"docker"}
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
    theirs, _ = client.images.build(
        fileobj=io.BytesIO(f"FROM {old.id}\nUSER 1".encode()), rm=True, tag="made-from-ours:1"
    )
    never = client.containers.create(kept.where, "true", labels={LABEL: "worker", OWNER: owner(4_000_000)})
    try:
        gone = DockerBackend().prune(specs.values())
        assert {"tf-migration-harness/tf1.15:old", never.name} <= set(gone)
        assert client.images.get("made-from-ours:1").id == theirs.id  # it has our labels, and is the user's
    finally:
        client.images.remove("made-from-ours:1")
    assert DockerBackend().find(kept.spec) == kept


def test_the_address_of_the_index_stays_in_no_image(
    client: docker.DockerClient, specs: dict[str, EnvSpec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Built from source with the locked tools and nothing else, with a password in every setting that a build is given."""
    lock = next(block for block in re.split(r"\n(?=\S)", specs["tf1.15"].lock_text()) if block.startswith("gast=="))
    (tmp_path / "tiny.txt").write_text(f"{lock}\n")
    spec = replace(specs["tf1.15"], name="tiny", installed_as="tiny", lock_path=tmp_path / "tiny.txt")
    monkeypatch.setattr(imagebuild, "SMOKE", "import gast, importlib.util as i; assert not i.find_spec('pip')")
    monkeypatch.setenv("PIP_TRUSTED_HOST", "password.example")
    proxy = {
        "httpProxy": "http://user:password@localhost:1",
        "httpsProxy": "http://user:password@localhost:1",
        "noProxy": "*",
    }
    (tmp_path / "config.json").write_text(json.dumps({"proxies": {"default": proxy}}))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    with engine() as asked:  # with those settings
        imagebuild.build(asked, spec, lambda _: None)
    made = DockerBackend().find(spec)
    assert made
    try:
        assert "password" not in json.dumps([client.api.history(made.where), client.images.get(made.where).attrs])
        assert not client.images.list(all=True, filters={"label": [imagebuild.STAGE, f"{OWNER}={owner(os.getpid())}"]})
        base = client.images.get(imagebuild.base_image(spec))
        assert made.origin == {
            "image": client.images.get(made.where).id,
            "base": (base.attrs["RepoDigests"] or [base.id])[0],
        }
        assert packages(spec, made.where) is None
    finally:
        assert DockerBackend().remove(spec)


def test_a_base_that_is_not_there_is_named(specs: dict[str, EnvSpec], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_PYTHON_IMAGE", "localhost:1/none:{python}")
    with pytest.raises(HarnessError) as caught:
        backends.ensure(specs["tf1.15"], "docker")
    assert caught.value.code == "environment-build-failed"
    assert "localhost:1/none:3.7" in caught.value.message
    assert "HARNESS_PYTHON_IMAGE" in caught.value.remedy


def test_what_the_engine_does_not_start_is_said_by_name(image: Callable[[str], Environment], tmp_path: Path) -> None:
    sound = image("tf1.15")
    assert isinstance(sound, DockerEnvironment)
    for environment, limits, code, word in (
        (replace(sound, image="tf-migration-harness/tf1.15:gone"), Limits(), "environment-unhealthy", "no longer"),
        (sound, Limits(memory=1 << 20), "usage", "--memory"),
        (sound, Limits(cpus=0.001), "usage", "--cpus"),
    ):
        (tmp_path / code / word).mkdir(parents=True)
        with pytest.raises(HarnessError) as caught:
            Worker(environment, tmp_path / code / word / "scratch", flavour="", limits=limits)
        assert caught.value.code == code
        assert word in str(caught.value)


def test_the_current_context_names_the_engine(
    proxy: tuple[int, dict[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = hashlib.sha256(b"other").hexdigest()
    folder = tmp_path / "config" / "contexts" / "meta" / number
    folder.mkdir(parents=True)
    endpoint = {"Host": proxy[1]["DOCKER_HOST"], "SkipTLSVerify": False}
    (folder / "meta.json").write_text(json.dumps({"Name": "other", "Metadata": {}, "Endpoints": {"docker": endpoint}}))
    (tmp_path / "config" / "config.json").write_text(json.dumps({"currentContext": "other"}))
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "config"))
    client = connect(20)
    assert client.ping()
    client.close()
    os.kill(proxy[0], signal.SIGKILL)
    with pytest.raises(HarnessError, match="does not answer"), engine() as client:
        client.ping()


#: what a hostile program tries, and what it must find
TRIALS = {
    "network": "import socket; socket.create_connection(('1.1.1.1', 53), 2)",
    "name look-up": "import socket; socket.getaddrinfo('example.org', 80)",
    "another interface": "import os; assert set(os.listdir('/sys/class/net')) != {'lo'}",
    "write to the system": "open('/usr/local/lib/x', 'w')",
    "write to the worker": "open('/job/worker/tfworker/protocol.py', 'a')",
    "replace the worker": "import os; os.rename('/job/worker', '/job/old')",
    "speak for the supervisor": "open('/proc/1/fd/1', 'wb')",
    "trace the supervisor": "import ctypes; assert ctypes.CDLL(None).ptrace(16, 1, 0, 0) == 0",  # PTRACE_ATTACH
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


#: what a Lambda does when it is loaded: options, exit status, code, and a word of the message or its details
LAMBDAS = {
    "reaches_the_network": ([], 3, "source-not-loadable", "Network is unreachable"),
    "writes_outside": ([], 3, "source-not-loadable", "Read-only file system"),
    "forks_without_end": (["--timeout", "25"], 5, "worker-timeout", "export"),
    "allocates_without_end": (["--memory", "1G"], 5, "memory-exhausted", "1.1 GB was used up"),
    "sleeps_for_ever": (["--timeout", "25"], 5, "worker-timeout", "export"),
}


def test_a_hostile_lambda_is_contained(
    image: Callable[[str], Environment],
    environment: Callable[[str], VenvEnvironment],
    client: docker.DockerClient,
    tmp_path: Path,
) -> None:
    """All at once, each a file of its own: the verdict, the exit status, and nothing of them is left."""
    image("tf1.15")
    venv = environment("tf1.15")
    command = [str(venv.python), "-s", "-B", "-W", "ignore", str(SCRIPTS / "bad_lambdas.py"), str(tmp_path)]
    subprocess.run(command, env=venv.environ(tmp_path), check=True)
    runs = {
        name: start(
            "migrate", f"{name}.h5", "--untrusted", *options, "--from", "tf1.15", "--out", name, "--json", cwd=tmp_path
        )
        for name, (options, *_) in LAMBDAS.items()
    }
    for name, (_, status, code, word) in LAMBDAS.items():
        done = end(runs[name])
        error = done.report["error"]
        assert (name, done.status, error["code"]) == (name, status, code), done.text
        assert word in " ".join([error["message"], *error["details"]]), name
        assert not (tmp_path / name / "bundle").exists()
        if fault := {"memory-exhausted": "out of memory", "worker-timeout": "time limit"}.get(code):
            message = re.sub("last step was: [^.]*", "last step was: …", plain(error["message"], tmp_path))
            record(observed(fault, "export", done.status, code, message, "docker"))
    for process in runs.values():
        assert not ours(client, process.pid)
    assert not Path("/usr/local/lib/written_by_a_lambda").exists()


def test_jobs_of_one_name_do_not_meet(image: Callable[[str], Environment], tmp_path: Path) -> None:
    """Each case of the matrix has a job called `export`, and a container serves many cases."""
    program = "import os\nassert not os.path.exists(JOB + '/out/seen')\nopen(JOB + '/out/seen', 'w').close()"
    with hostile(image("tf1.15"), tmp_path, {"the trial": program}, Limits()) as (worker, job):
        again = Job.create(tmp_path / "more", job.folder.name)
        again.ops.append({"op": "check"})
        for one in (job, again):
            assert worker.run(one, timeout_s=120).results == [{"the trial": "done"}]
            assert (one.folder / "out" / "seen").exists()


def test_processes_without_end_are_bounded(image: Callable[[str], Environment], tmp_path: Path) -> None:
    program = "import os\nfor _ in range(100000): os.fork() or __import__('time').sleep(600)"
    with hostile(image("tf1.15"), tmp_path, {"the trial": program}, Limits(processes=100)) as (worker, job):
        done = worker.run(job, timeout_s=60)
    assert done.results == [{"the trial": "refused"}]


def test_processors_are_bounded(image: Callable[[str], Environment], tmp_path: Path) -> None:
    program = (
        "import os\n"
        "first, second = '/sys/fs/cgroup/cpu/cpu.cfs_quota_us', '/sys/fs/cgroup/cpu.max'  # control groups v1, v2\n"
        "text = open(first if os.path.exists(first) else second).read()\n"
        "assert int(text.split()[0]) == 50000, text"
    )
    with hostile(image("tf1.15"), tmp_path, {"the trial": program}, Limits(cpus=0.5)) as (worker, job):
        assert worker.run(job, timeout_s=120).results == [{"the trial": "done"}]


def test_words_without_end_are_bounded(image: Callable[[str], Environment], tmp_path: Path) -> None:
    """The supervisor passes on what a model's code writes as its progress, whatever that is."""
    program = (
        "import time\n"
        "end = time.time() + 600\n"
        "with open(JOB + '/events.jsonl', 'ab', 0) as out:\n"
        "    out.write(b'5\\n[]\\n{}\\n' + b'[' * 100000 + b'\\n')\n"
        "    while time.time() < end:\n"
        "        out.write(b'x' * 65536 + b'\\n')\n"
    )
    with (
        hostile(image("tf1.15"), tmp_path, {"the trial": program}, Limits()) as (worker, job),
        pytest.raises(HarnessError) as caught,
    ):
        worker.run(job, timeout_s=5)
    assert caught.value.code == "worker-timeout"
    assert (job.folder / "events.jsonl").stat().st_size <= 1 << 24


def test_a_container_whose_words_nobody_takes_is_ended(
    image: Callable[[str], Environment], client: docker.DockerClient, tmp_path: Path
) -> None:
    """An engine waits for whoever is connected to take them, and kills nothing meanwhile."""
    program = (
        "with open(JOB + '/events.jsonl', 'ab', 0) as out:\n    while True: out.write((b'x' * 60000 + b'\\n') * 100)\n"
    )
    with hostile(image("tf1.15"), tmp_path, {"the trial": program}, Limits()) as (worker, job):
        job.write()
        worker.running.submit(job.folder)
        time.sleep(5)
        ending = threading.Thread(target=worker.stop, daemon=True)
        ending.start()
        ending.join(60)
        assert not ending.is_alive()
    assert not ours(client, os.getpid())


def test_an_engine_that_leaves_out_limits_opens_nothing_untrusted(
    image: Callable[[str], Environment], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = docker.DockerClient.info
    monkeypatch.setattr(docker.DockerClient, "info", lambda self: {**told(self), "PidsLimit": False})
    with pytest.raises(HarnessError, match="does not limit processes, which --untrusted relies on"):
        Worker(image("tf1.15"), tmp_path / "scratch", flavour="", limits=Limits(enforced=True))
    Worker(image("tf1.15"), tmp_path / "other", flavour="").stop()


def test_output_without_end_is_bounded(image: Callable[[str], Environment], tmp_path: Path) -> None:
    program = "f = open(JOB + '/out/big', 'wb')\nwhile True: f.write(b'0' * (1 << 20)); f.flush()"
    with (
        hostile(image("tf1.15"), tmp_path, {"the trial": program}, Limits(storage=1 << 26)) as (worker, job),
        pytest.raises(HarnessError) as caught,
    ):
        worker.run(job, timeout_s=60)
    assert caught.value.code == "no-space"


#: stays, and tries to keep the supervisor from seeing anything
PATIENT = (
    "import os, signal, time\n"
    "for number in range(signal.SIGRTMAX):\n"
    "    try: os.kill(1, number)\n"
    "    except OSError: pass\n"
    "os.mkfifo(JOB + '/fifo')\nos.rename(JOB + '/fifo', JOB + '/events.jsonl')\n"
    "time.sleep(600)\n"
)


def test_a_host_that_is_killed_leaves_nothing_running(
    image: Callable[[str], Environment], tmp_path: Path, client: docker.DockerClient
) -> None:
    """The container ends by itself when the connection that holds its input is gone, whatever runs in it."""
    image("tf1.15")
    script = (
        "import sys, time\nfrom pathlib import Path\nsys.path.insert(0, sys.argv[1])\n"
        "from test_docker import backends, envspec, hostile, Limits, PATIENT\n"
        "spec, here = envspec.load_specs()['tf1.15'], Path(sys.argv[2])\n"
        "with hostile(backends.ensure(spec, 'docker'), here, {'the trial': PATIENT}, Limits()) as (worker, job):\n"
        "    job.write()\n    worker.running.submit(job.folder)\n"
        "    limit = time.monotonic() + 3\n"
        "    while time.monotonic() < limit: assert worker.running.look() is None\n"
        "    print('up', flush=True)\n    time.sleep(600)\n"
    )
    command = [sys.executable, "-c", script, str(FAULTY.parent), str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == b"up\n"
        assert ours(client, process.pid)
        process.kill()
    nothing_left(client, process.pid)


def test_untrusted_files_are_opened_in_a_container_or_not_at_all(
    run: Harness, rich_model: Callable[[str], Path], tmp_path: Path
) -> None:
    done = run("migrate", rich_model("tf1.15"), "--untrusted", "--backend", "venv", "--out", tmp_path / "no")
    assert done.status == 4
    assert "nothing was opened" in done.text
    assert not (tmp_path / "no" / "bundle").exists()


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """An engine that can be stopped: its process, and the variables by which the harness finds it."""
    path = tmp_path / "engine.sock"
    with subprocess.Popen([sys.executable, PROXY, path], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        yield process.pid, {"DOCKER_HOST": f"unix://{path}"}
        process.kill()


def faulty(at: str, what: str, *call: object, cwd: Path, environ: dict[str, str]) -> Done:
    return end(start(*call, cwd=cwd, program=(str(FAULTY), at, what, "--"), environ=environ))


def ours(client: docker.DockerClient, pid: int, *, running: bool = False) -> list[Any]:
    """The containers of a process."""
    return list(client.containers.list(all=not running, filters={"label": f"{OWNER}={owner(pid)}"}))


def nothing_left(client: docker.DockerClient, pid: int) -> None:
    """No container runs; those that have ended while nobody could remove them are removed by `envs prune`."""
    limit = time.monotonic() + 30
    while ours(client, pid, running=True):
        assert time.monotonic() < limit, "the container still runs"
        time.sleep(0.2)
    DockerBackend().prune(envspec.load_specs().values())
    assert not ours(client, pid)


def test_an_engine_behind_tls_is_used(
    image: Callable[[str], Environment], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``DOCKER_HOST`` on another machine: what comes over TLS may be there without the socket saying so."""
    image("tf1.15")
    both = tmp_path / "ca.pem"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=engine"]
    made += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(tmp_path / "key.pem"), "-out", str(both)]
    subprocess.run(made, check=True, capture_output=True)
    shutil.copy(both, tmp_path / "cert.pem")
    (tmp_path / "server.pem").write_bytes((tmp_path / "key.pem").read_bytes() + both.read_bytes())
    command = [sys.executable, PROXY, "-", tmp_path / "server.pem"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            port = int(process.stdout.readline())
            for name, value in {
                "HOST": f"tcp://127.0.0.1:{port}",
                "TLS_VERIFY": "1",
                "CERT_PATH": str(tmp_path),
            }.items():
                monkeypatch.setenv(f"DOCKER_{name}", value)
            for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
                monkeypatch.delenv(name, raising=False)  # the client's library puts these before the engine's own
            job = Job.create(tmp_path / "jobs", "trial")
            job.ops.append({"op": "check", "flavour": "tf.keras"})
            with Worker(image("tf1.15"), tmp_path / "scratch", flavour="tf.keras") as worker:
                assert worker.run(job, timeout_s=120).results[0]["tensorflow"] == "1.15.5"
        finally:
            process.kill()


def test_an_engine_that_stops_in_the_middle_is_named(
    image: Callable[[str], Environment], rich_model: Callable[[str], Path], proxy: tuple[int, dict[str, str]],
    client: docker.DockerClient, tmp_path: Path,
) -> None:  # fmt: skip
    image("tf1.15")
    pid, environ = proxy
    call = ("export", rich_model("tf1.15"), "--backend", "docker", "--out", tmp_path / "out")
    done = faulty("submit:export", f"end:{pid}", *call, cwd=tmp_path, environ=environ)
    assert (done.status, said(done, tmp_path)[0]) == (5, "worker-crashed"), done.text
    assert "The Docker engine stopped answering" in done.text
    assert "docker info" in done.text
    nothing_left(client, done.pid)
    record(row("engine stopped", "export", done, tmp_path, "docker"))


def test_an_engine_that_stops_while_it_builds_is_named(
    image: Callable[[str], Environment], proxy: tuple[int, dict[str, str]], client: docker.DockerClient, tmp_path: Path
) -> None:
    image("tf1.15")
    base = os.environ["HARNESS_PYTHON_IMAGE"].replace("{python}", "3.7")
    client.images.get(base).tag("stopped-in-the-middle", "3.7")
    pid, environ = proxy
    environ = {**environ, "HARNESS_PYTHON_IMAGE": "stopped-in-the-middle:{python}"}
    try:
        call = ("envs", "create", "tf1.15", "--backend", "docker")
        done = faulty("image", f"end:{pid}", *call, cwd=tmp_path, environ=environ)
        assert (done.status, said(done, tmp_path)[0]) == (4, "environment-backend-missing"), done.text
        DockerBackend().prune(envspec.load_specs().values())
        left = [imagebuild.STAGE, f"{OWNER}={owner(done.pid)}"]
        assert not client.images.list(all=True, filters={"label": left})
        assert DockerBackend().find(image("tf1.15").spec) == image("tf1.15")
    finally:
        client.images.remove("stopped-in-the-middle:3.7")
    record(row("engine stopped", "environment build", done, tmp_path, "docker"))


@pytest.mark.parametrize(
    ("fault", "signal_name", "status"),
    [("Ctrl-C", "SIGINT", 130), ("cancelled (SIGTERM)", "SIGTERM", 143), ("host killed", "SIGKILL", -9)],
)
def test_a_host_that_ends_takes_its_container_along(
    fault: str, signal_name: str, status: int, image: Callable[[str], Environment], rich_model: Callable[[str], Path],
    client: docker.DockerClient, tmp_path: Path,
) -> None:  # fmt: skip
    image("tf1.15")
    call = ("export", rich_model("tf1.15"), "--backend", "docker", "--out", tmp_path / "out")
    done = faulty("submit:export", f"host:{signal_name}", *call, cwd=tmp_path, environ={})
    assert done.status == status, done.text
    assert not (tmp_path / "out").exists()
    nothing_left(client, done.pid)
    record(row(fault, "export", done, tmp_path, "docker"))


def test_a_job_that_does_not_fit_is_named(
    run: Harness, image: Callable[[str], Environment], rich_model: Callable[[str], Path], tmp_path: Path
) -> None:
    image("tf1.15")
    call = ("export", rich_model("tf1.15"), "--backend", "docker", "--storage", "1M", "--out", tmp_path / "out")
    done = run(*call)
    assert (done.status, said(done, tmp_path)[0]) == (5, "no-space"), done.text
    record(row("disk full", "export", done, tmp_path, "docker"))


def test_a_worker_killed_in_its_container_is_told(
    image: Callable[[str], Environment], rich_model: Callable[[str], Path], client: docker.DockerClient, tmp_path: Path
) -> None:
    image("tf1.15")
    call = ("export", rich_model("tf1.15"), "--backend", "docker", "--out", tmp_path / "out")
    done = faulty("submit:export", "worker:SIGKILL", *call, cwd=tmp_path, environ={})
    assert (done.status, said(done, tmp_path)[0]) == (5, "worker-crashed"), done.text
    assert not ours(client, done.pid)
    # The command that is proposed runs the job as it would have run.
    command = re.search("run that job alone with: (.*)", done.text)
    assert command, done.text
    alone = subprocess.run(command[1], shell=True, capture_output=True, text=True, timeout=120)
    assert alone.stdout.startswith("exit status 0\n"), alone.stdout + alone.stderr
    assert '"ok": true' in alone.stdout
    record(row("worker killed (SIGKILL)", "export", done, tmp_path, "docker"))


def test_a_damaged_image_is_named(
    image: Callable[[str], Environment], client: docker.DockerClient, tmp_path: Path
) -> None:
    """One library of numpy is gone from it, and from nowhere else."""
    sound = image("tf1.15")
    assert isinstance(sound, DockerEnvironment)
    lines = f"FROM {sound.where}\nUSER 0\nRUN find / -path '*numpy*umath*.so' -delete\nUSER 65532:65532\n"
    client.images.build(fileobj=io.BytesIO(lines.encode()), rm=True, tag="damaged-image:1")
    try:
        broken = replace(sound, image="damaged-image:1")
        job = Job.create(tmp_path, "export")
        job.ops.append({"op": "check", "flavour": "tf.keras"})
        with Worker(broken, tmp_path / "scratch", flavour="tf.keras") as worker, pytest.raises(HarnessError) as caught:
            worker.run(job, timeout_s=120)
        assert "umath" in str(packages(sound.spec, "damaged-image:1"))
    finally:
        client.images.remove("damaged-image:1", force=True)
    assert caught.value.code == "environment-unhealthy"
    assert "envs remove tf1.15 --backend docker" in caught.value.remedy
    done = Done(status=4, stdout="", stderr=f"{caught.value.code}: {caught.value.message}\n")
    record(row("environment damaged", "export", done, tmp_path, "docker"))
