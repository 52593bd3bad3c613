"""What is asked of a Docker engine, and how its answers are told: without an engine."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import docker
import pytest
from docker.errors import APIError, DockerException, ImageNotFound

from harness.backends import docker as images
from harness.backends import engines, imagebuild
from harness.backends.base import Limits
from harness.backends.container import LABEL, OWNER, owner
from harness.backends.docker import DockerBackend, DockerEnvironment
from harness.backends.imagebuild import BASE, KEY, NAME, STAGE, image_key
from harness.backends.venvcheck import LISTED, locked_versions
from harness.envspec import EnvSpec
from harness.errors import HarnessError


class FakeEngine:
    """Images and containers as lists, and what was asked for."""

    def __init__(self) -> None:
        self.images = SimpleNamespace(list=self.of_label, remove=self.remove, get=self.found)
        self.api = SimpleNamespace(build=self.build)
        self.containers = SimpleNamespace(list=self.listed, create=self.create)
        self.stand: list[Any] = []
        self.running: list[Any] = []
        self.asked: dict[str, Any] = {}
        self.removed: list[str] = []
        self.answer = (0, b"", b"")

    def remove(self, name: str, *, force: bool = False) -> None:
        self.removed.append(name)

    def of_label(self, filters: dict[str, Any]) -> list[Any]:
        return [one for one in self.stand if filters["label"].partition("=")[0] in one.labels]

    def found(self, name: str) -> Any:
        return SimpleNamespace(id="sha256:5", attrs={"RepoDigests": ["mirror/x@sha256:6", "python@sha256:7"]})

    def build(self, **how: Any) -> Iterator[dict[str, str]]:
        self.asked = how
        yield {"stream": "Looking in indexes: https://user:password@mirror/simple"}
        yield {"error": "https://user:password@mirror/simple does not answer"}

    def listed(self, *, filters: dict[str, Any], **_: object) -> list[Any]:
        return [c for c in self.running if c.status in filters["status"]]

    def create(self, image: str, command: list[str], **how: Any) -> Any:
        self.asked = {"image": image, "command": command, **how}
        status, out, errors = self.answer
        return SimpleNamespace(
            start=lambda: None, wait=lambda timeout: {"StatusCode": status}, remove=lambda **_: None,
            logs=lambda stdout, stderr: out if stdout else errors,
        )  # fmt: skip

    def container(self, name: str, status: str, belongs: str, created: str = "2026-01-01T00:00:00.5Z") -> None:
        labels = {LABEL: "worker", OWNER: belongs}
        one = SimpleNamespace(name=name, status=status, labels=labels, attrs={"Created": created})
        one.remove = lambda **_: self.removed.append(name)
        self.running.append(one)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    made = FakeEngine()

    @contextmanager
    def opened(**_: object) -> Iterator[FakeEngine]:
        yield made

    monkeypatch.setattr(images, "engine", opened)
    return made


def test_no_proxy_of_the_user_goes_into_a_container(fake: FakeEngine, specs: dict[str, EnvSpec]) -> None:
    """They hold passwords, and the client's library hands them on where it is not told otherwise."""
    assert images.first_model(specs["tf1.15"], "one:1") is None
    assert fake.asked["use_config_proxy"] is False
    assert fake.asked["network_mode"] == "none"
    fake.answer = (1, b"", b"Traceback\nImportError: no numpy\n")
    assert images.first_model(specs["tf1.15"], "one:1") == "a first model does not run in it: ImportError: no numpy"


def test_every_package_in_an_image_is_compared_with_the_lock(fake: FakeEngine, specs: dict[str, EnvSpec]) -> None:
    spec = specs["tf1.15"]
    found = [f"{name.replace('-', '_')}-{version}" for name, version in locked_versions(spec.lock_text()).items()]
    fake.answer = (0, json.dumps({"packages": found, "files": []}).encode(), b"")
    assert images.packages(spec, "one:1") is None
    other = [name.replace("numpy-1.18.5", "numpy-1.18.4") for name in found if not name.startswith("six-")]
    fake.answer = (0, json.dumps({"packages": other, "files": ["x is missing"]}).encode(), b"")
    wrong = images.packages(spec, "one:1") or ""
    assert "numpy is 1.18.4, the lock file says 1.18.5" in wrong
    assert "six 1.17.0 is not installed" in wrong
    assert "x is missing" in wrong
    for said in (b"", b"[]", b"5", b'{"packages": 5, "files": []}', b'{"packages": ["a-b"], "files": []}'):
        fake.answer = (1, said, b"no python\n")
        assert images.packages(spec, "one:1") == "its packages cannot be listed (exit status 1): no python"


def test_the_list_of_packages_names_files_that_are_not_as_recorded(tmp_path: Path) -> None:
    folder = tmp_path / "six-1.0.dist-info"
    folder.mkdir()
    (tmp_path / "cut.py").write_text("four")
    (folder / "RECORD").write_text("cut.py,sha256=x,12\nlost.py,sha256=x,1\nsix-1.0.dist-info/RECORD,,\n../bin/s,,9\n")
    command = [sys.executable, "-S", "-c", LISTED]
    done = subprocess.run(command, env={"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert found["packages"] == ["six-1.0"]
    assert found["files"] == [f"{tmp_path}/cut.py has 4 bytes, 12 expected", f"{tmp_path}/lost.py is missing"]


def image(name: str, key: str, *tags: str) -> Any:
    return SimpleNamespace(labels={NAME: name, KEY: key}, tags=list(tags), id=f"sha256:{tags}", attrs={"Size": 5})


def test_only_names_of_ours_are_taken_from_images(fake: FakeEngine, specs: dict[str, EnvSpec]) -> None:
    """An image that a user makes from ours inherits the labels."""
    spec = specs["tf1.15"]
    old, now = "tf-migration-harness/tf1.15:0", f"tf-migration-harness/tf1.15:{image_key(spec)}"
    fake.stand = [
        image("tf1.15", "0", "mine:1"),
        image("tf1.15", "0"),
        image("tf1.15", "0", "mine:2", old),
        image("tf1.15", image_key(spec), now, "mine:3"),
    ]
    assert DockerBackend().prune([spec]) == fake.removed == [old]
    assert [str(one.path) for one in DockerBackend().installed()] == [old, now]
    fake.removed.clear()
    assert DockerBackend().remove(spec)
    assert fake.removed == [old, now]


def test_containers_that_never_started_are_pruned_when_nobody_is_to_start_them(fake: FakeEngine) -> None:
    fake.container("killed-before-its-start", "created", owner(4_000_000))
    fake.container("killed", "exited", owner(4_000_000))
    fake.container("half-removed", "dead", owner(4_000_000))
    fake.container("to-be-started", "created", owner(os.getpid()))
    fake.container("to-be-read", "exited", owner(os.getpid()))
    fake.container("of-another-machine", "created", "elsewhere:5", created="2999-01-01T00:00:00.123456789Z")
    fake.container("of-another-machine-long-ago", "created", "elsewhere:5")
    fake.container("runs", "running", owner(4_000_000))
    gone = ["killed-before-its-start", "killed", "half-removed", "of-another-machine-long-ago"]
    assert DockerBackend().prune([]) == fake.removed == gone


def stage(belongs: str, created: str = "2026-01-01T00:00:00Z") -> Any:
    labels = {STAGE: "packages", OWNER: belongs}
    return SimpleNamespace(labels=labels, tags=[], id=f"of {belongs}", attrs={"Created": created})


def test_a_build_leaves_nothing_that_holds_the_address_of_the_index(
    fake: FakeEngine, specs: dict[str, EnvSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "https://user:password@mirror/simple")
    dead, far = owner(4_000_000), "elsewhere:5"
    fake.stand = [stage(owner(os.getpid())), stage(dead), stage(far), stage("elsewhere:6", "2999-01-01T00:00:00Z")]
    with pytest.raises(HarnessError) as caught:
        imagebuild.build(fake, specs["tf1.15"], lambda _: None)  # type: ignore[arg-type]
    assert caught.value.code == "environment-build-failed"
    assert "password" not in str(caught.value)
    assert "Looking in indexes: $PIP_INDEX_URL" in caught.value.details
    assert fake.asked["buildargs"]["PIP_INDEX_URL"] == "https://user:password@mirror/simple"
    assert fake.removed == [f"of {owner(os.getpid())}"]
    fake.removed.clear()
    assert DockerBackend().prune([]) == fake.removed == [f"of {dead}", f"of {far}"]


def test_an_image_says_what_its_base_was(
    fake: FakeEngine, specs: dict[str, EnvSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tags move; the digest in the registry does not."""
    for name, digest in (
        ("python:3.7-slim", "python@sha256:7"),
        ("mirror/x:1", "mirror/x@sha256:6"),
        ("y", "mirror/x@sha256:6"),
    ):
        monkeypatch.setenv("HARNESS_PYTHON_IMAGE", name)
        with pytest.raises(HarnessError):
            imagebuild.build(fake, specs["tf1.15"], lambda _: None)  # type: ignore[arg-type]
        assert fake.asked["labels"][BASE] == digest
    labels = {NAME: "tf1.15", BASE: "python@sha256:7"}
    fake.found = lambda _: SimpleNamespace(id="sha256:5", labels=labels)  # type: ignore[method-assign]
    fake.images.get = fake.found
    made = DockerBackend().find(specs["tf1.15"])
    assert made
    assert made.origin == {"image": "sha256:5", "base": "python@sha256:7"}


def test_pip_takes_wheels_and_what_is_named(specs: dict[str, EnvSpec]) -> None:
    with tarfile.open(fileobj=imagebuild._context(specs["tf1.12"])) as archive:
        held = {m.name: archive.extractfile(m).read().decode() for m in archive}  # type: ignore[union-attr]
    assert set(held) == {"Dockerfile", "pip.txt", "build.txt", "requirements.txt", "smoke.py"}
    assert held["requirements.txt"].startswith("--only-binary :all:\n--no-binary termcolor\nabsl-py==")
    assert (
        held["Dockerfile"].count("pip install --disable-pip-version-check --no-cache-dir --require-hashes --no-deps")
        == 1
    )
    assert held["Dockerfile"].count("pip install") == 1
    steps = [line for line in held["Dockerfile"].splitlines() if "$install" in line]
    assert len(steps) == 3
    assert all("--only-binary :all:" in step or "-r requirements.txt" in step for step in steps)
    assert "--no-build-isolation" in steps[-1]


def answered(status: int, words: str) -> APIError:
    kind = ImageNotFound if status == 404 else APIError
    return kind("error", response=SimpleNamespace(status_code=status, url="u", reason="r"), explanation=words)


@pytest.mark.parametrize(
    ("error", "limits", "code", "words"),
    [
        (answered(404, "No such image: x"), Limits(), "environment-unhealthy", "The image one:1 is no longer on"),
        (answered(400, "Minimum memory limit allowed is 6MB"), Limits(memory=1 << 20), "usage", "--memory as given: Minimum"),
        (answered(400, "Range of CPUs"), Limits(cpus=0.001, memory=5), "usage", "--memory, --cpus as given: Range"),
        (answered(500, "error setting cgroup config"), Limits(cpus=0.001), "usage", "--cpus as given: error setting"),
        (answered(500, "error setting cgroup config"), Limits(), "environment-backend-missing", "refuses"),
        (answered(400, "bad mount"), Limits(), "environment-backend-missing", "refuses what it was asked: bad mount"),
        (answered(409, "Conflict"), Limits(cpus=1), "environment-backend-missing", "refuses what it was asked: Conflict"),
        (answered(503, "starting"), Limits(cpus=1), "environment-backend-missing", "does not answer: starting"),
    ],
)  # fmt: skip
def test_what_an_engine_refuses_is_told_in_our_words(
    fake: FakeEngine, specs: dict[str, EnvSpec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    error: APIError, limits: Limits, code: str, words: str,
) -> None:  # fmt: skip
    def refuse(*_: object) -> None:
        raise error

    monkeypatch.setattr(images, "Container", refuse)
    with pytest.raises(HarnessError) as caught:
        DockerEnvironment(spec=specs["tf1.15"], key="k", image="one:1").start(tmp_path, "", limits)
    assert caught.value.code == code
    assert words in caught.value.message


@pytest.mark.parametrize("status", [400, 404, 409, 500])
def test_no_error_of_the_clients_library_gets_through(monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    closed: list[bool] = []
    monkeypatch.setattr(engines, "connect", lambda _: SimpleNamespace(close=lambda: closed.append(True)))
    with pytest.raises(HarnessError, match="refuses what it was asked: no such thing"), engines.engine(keep=True):
        raise answered(status, "no such thing")
    assert closed  # kept for whoever got something to keep


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the command docker; clients are the arguments that they were made with."""
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setattr(docker, "DockerClient", lambda **given: given)
    monkeypatch.setattr(docker, "from_env", lambda **given: {"from": "env", **given})
    return tmp_path


def context(config: Path, name: str, host: str, *, current: bool = True) -> None:
    folder = config / "contexts" / "meta" / hashlib.sha256(name.encode()).hexdigest()
    folder.mkdir(parents=True)
    (folder / "meta.json").write_text(json.dumps({"Name": name, "Endpoints": {"docker": {"Host": host}}}))
    if current:
        (config / "config.json").write_text(json.dumps({"currentContext": name}))


def test_the_engine_is_the_one_of_the_current_context(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert engines.connect(5) == {"from": "env", "timeout": 5}
    context(config, "far", "unix:///far.sock")
    context(config, "near", "unix:///near.sock", current=False)
    assert engines.connect(5) == {"timeout": 5, "base_url": "unix:///far.sock"}
    monkeypatch.setenv("DOCKER_CONTEXT", "near")
    assert engines.connect(5) == {"timeout": 5, "base_url": "unix:///near.sock"}
    monkeypatch.setenv("DOCKER_CONTEXT", "default")
    assert engines.connect(5) == {"from": "env", "timeout": 5}
    monkeypatch.setenv("DOCKER_CONTEXT", "near")
    monkeypatch.setenv("DOCKER_HOST", "unix:///named.sock")
    assert engines.connect(5) == {"from": "env", "timeout": 5}


def test_a_context_that_is_not_there_is_no_other_engine(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONTEXT", "lost")
    with pytest.raises(DockerException, match="no Docker context 'lost'"):
        engines.connect(5)
    monkeypatch.delenv("DOCKER_CONTEXT")
    (config / "config.json").write_text("{")
    with pytest.raises(DockerException, match=r"config\.json cannot be read"):
        engines.connect(5)
    assert "cannot be read" in (DockerBackend().why_unavailable() or "")


def test_an_engine_behind_ssh_says_how_to_reach_it(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context(config, "far", "ssh://me@far")
    with pytest.raises(DockerException, match="ssh -N -L"):
        engines.connect(5)
    monkeypatch.setenv("DOCKER_HOST", "ssh://me@far")
    with pytest.raises(DockerException, match="ssh -N -L"):
        engines.connect(5)
