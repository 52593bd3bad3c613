"""What comes out of a container is not trusted, and what goes in is read-only: without an engine."""

from __future__ import annotations

import gc
import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import backends
from harness.backends import container, transfer
from harness.backends.base import Limits
from harness.backends.container import settings
from harness.backends.docker import DockerBackend
from harness.backends.imagebuild import base_image, image_key
from harness.backends.transfer import USER
from harness.backends.venv import VenvBackend
from harness.envspec import EnvSpec
from harness.errors import Exit, HarnessError


def packed(*members: tuple[tarfile.TarInfo, bytes]) -> Iterator[bytes]:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for member, content in members:
            archive.addfile(member, io.BytesIO(content))
    data = buffer.getvalue()
    return (data[at : at + 700] for at in range(0, len(data), 700))


def member(name: str, kind: bytes = tarfile.REGTYPE, *, size: int = 0, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.size, info.linkname, info.mode = kind, size, link, 0o4777
    return info


def test_files_and_folders_come_out_as_the_users_own(tmp_path: Path) -> None:
    stream = packed((member("out", tarfile.DIRTYPE), b""), (member("out/a", size=1500), b"x" * 1500))
    transfer.unpack(stream, tmp_path, 10_000)
    assert (tmp_path / "out" / "a").read_bytes() == b"x" * 1500
    found = (tmp_path / "out" / "a").stat()
    assert (found.st_uid, found.st_mode & 0o7000) == (os.getuid(), 0)


@pytest.mark.parametrize(
    ("info", "what"),
    [
        (member("../up", size=1), "only files and folders"),
        (member("out/../../up", size=1), "only files and folders"),
        (member("/tmp/absolute", size=1), "only files and folders"),
        (member("link", tarfile.SYMTYPE, link="/etc/passwd"), "only files and folders"),
        (member("hard", tarfile.LNKTYPE, link="out/a"), "only files and folders"),
        (member("pipe", tarfile.FIFOTYPE), "only files and folders"),
        (member("device", tarfile.CHRTYPE), "only files and folders"),
        (member("big", size=2000), "would not fit"),
    ],
)
def test_anything_else_is_refused_and_nothing_is_left(tmp_path: Path, info: tarfile.TarInfo, what: str) -> None:
    folder = tmp_path / "job"
    folder.mkdir()
    with pytest.raises(HarnessError, match=what) as caught:
        transfer.unpack(packed((member("fine", size=1), b"x"), (info, b"x" * info.size)), folder, 1000)
    assert caught.value.code == "worker-protocol"
    assert list(tmp_path.rglob("*")) == [folder]


def test_files_without_end_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Empty files take no room in the container's volume, and much on the host."""
    monkeypatch.setattr(transfer, "_MEMBERS", 10)
    with pytest.raises(HarnessError, match="more than 10 files"):
        transfer.unpack(packed(*((member(str(number)), b"") for number in range(11))), tmp_path, 1000)
    assert not list(tmp_path.iterdir())


def test_folders_without_end_and_half_an_archive_are_refused(tmp_path: Path) -> None:
    deep = "/".join(["d"] * 65)
    with pytest.raises(HarnessError, match="more than 64 folders"):
        transfer.unpack(packed((member(deep, tarfile.DIRTYPE), b"")), tmp_path, 1000)
    whole = b"".join(packed((member("a", size=2000), b"x" * 2000)))
    for stream in ([whole[:700]], [], [b"\0garbage" * 100]):
        with pytest.raises(HarnessError, match="no whole archive"):
            transfer.unpack(iter(stream), tmp_path, 10_000)
    with pytest.raises(HarnessError, match="no whole archive"):
        transfer.unpack(packed((member("a"), b""), (member("a/b"), b"")), tmp_path, 1000)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b'{"event": "{}"}', {"event": "{}"}),
        (b'{"done": 10}', {"done": 10}),
        (b'{"ended": -9}', {"ended": -9}),
        (b'{"done": true}', {}),
        (b'{"ended": "0"}', {}),
        (b'{"ended": -999}', {}),
        (b'{"done": ' + b"9" * 5000 + b"}", {}),
        (b'{"event": 5}', {}),
        (b"5", {}),
        (b"[" * 100_000, {}),
        (b"\xff", {}),
    ],
)
def test_what_no_supervisor_says_is_not_heard(line: bytes, said: dict[str, object]) -> None:
    assert container._said(line) == said


def test_a_log_grows_to_its_bound_only(tmp_path: Path) -> None:
    for _ in range(3):
        container._append(tmp_path / "log", b"x" * 40, 100)
    assert (tmp_path / "log").stat().st_size == 100


def test_what_a_job_is_given_belongs_to_root_and_links_are_resolved(tmp_path: Path) -> None:
    job, model = tmp_path / "job", tmp_path / "model.h5"
    for part in ("in", "out"):
        (job / part).mkdir(parents=True)
    model.write_text("m")
    (job / "in" / "model.h5").symlink_to(model)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", dereference=True) as archive:
        transfer.pack(archive, job, "jobs/one", writable=True)
    buffer.seek(0)
    with tarfile.open(fileobj=buffer) as archive:
        found = {m.name: (m.type, m.uid, oct(m.mode)) for m in archive}
    assert found["jobs/one/in/model.h5"] == (tarfile.REGTYPE, 0, "0o444")
    assert found["jobs/one/in"] == (tarfile.DIRTYPE, 0, "0o555")
    assert found["jobs/one/out"] == (tarfile.DIRTYPE, USER, "0o755")


def trees(folder: Path, *, within: bool) -> set[str]:
    return {name for _, name in transfer.tree(folder, "job", within)}


@pytest.fixture
def given(tmp_path: Path) -> Path:
    """A job that is given a folder with a link in it, to its own part."""
    (tmp_path / "model" / "assets").mkdir(parents=True)
    (tmp_path / "model" / "assets" / "words").write_text("w")
    (tmp_path / "model" / "same").symlink_to("assets/words")
    (tmp_path / "secret").write_text("s")
    (tmp_path / "job" / "in").mkdir(parents=True)
    (tmp_path / "job" / "in" / "source").symlink_to(tmp_path / "model")
    return tmp_path / "job"


def test_links_out_of_a_model_take_nothing_along(given: Path) -> None:
    inside = {
        "job",
        "job/in",
        "job/in/source",
        "job/in/source/assets",
        "job/in/source/assets/words",
        "job/in/source/same",
    }
    assert trees(given, within=True) == inside
    (given.parent / "model" / "none").symlink_to("nowhere")
    assert trees(given, within=True) == inside
    (given.parent / "model" / "out").symlink_to("../secret")
    assert trees(given, within=False) == {*inside, "job/in/source/out"}
    with pytest.raises(HarnessError, match="leads out of the model's folder") as caught:
        trees(given, within=True)
    assert caught.value.code == "source-unreadable"
    assert "secret" in caught.value.message


@pytest.mark.parametrize("within", [True, False])
def test_what_has_no_end_is_not_copied(given: Path, within: bool) -> None:
    model = given.parent / "model"
    (model / "round").symlink_to(".")
    with pytest.raises(HarnessError, match="round and round"):
        trees(given, within=within)
    (model / "round").unlink()
    os.mkfifo(model / "pipe")
    with pytest.raises(HarnessError, match="neither a file nor a folder"):
        trees(given, within=within)


def test_every_container_is_cut_off(specs: dict[str, EnvSpec]) -> None:
    given = settings(specs["tf1.15"], Limits(memory=1 << 30))
    assert given["network_mode"] == "none"
    assert given["read_only"]
    assert given["use_config_proxy"] is False
    assert given["cap_drop"] == ["ALL"]
    assert given["security_opt"] == ["no-new-privileges"]  # and no other seccomp profile than the engine's
    assert given["user"] == f"{USER}:{USER}"
    assert given["mem_limit"] == given["memswap_limit"] == 1 << 30
    assert given["pids_limit"] > 0
    assert "nano_cpus" not in given
    assert settings(specs["tf1.15"], Limits(cpus=1.5))["nano_cpus"] == 1_500_000_000


def test_an_engine_that_leaves_out_limits_is_recognised() -> None:
    whole = {"MemoryLimit": True, "SwapLimit": True, "PidsLimit": True, "CpuCfsQuota": True}
    assert not container.not_held({**whole, "SecurityOptions": ["name=seccomp,profile=default"]})
    assert container.not_held({**whole, "SecurityOptions": ["name=rootless"]}) == ["system calls (seccomp)"]
    assert container.not_held({"SecurityOptions": None, "MemoryLimit": False})[:3] == ["memory", "swap", "processes"]


def test_the_base_image_may_be_another(specs: dict[str, EnvSpec], monkeypatch: pytest.MonkeyPatch) -> None:
    spec = specs["tf1.15"]
    monkeypatch.delenv("HARNESS_PYTHON_IMAGE", raising=False)
    assert base_image(spec) == "python:3.7-slim"
    before = image_key(spec)
    monkeypatch.setenv("HARNESS_PYTHON_IMAGE", "mirror/python:{python}-slim")
    assert base_image(spec) == "mirror/python:3.7-slim"
    assert image_key(spec) != before


@pytest.fixture
def nothing_local(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HARNESS_BACKEND", raising=False)
    monkeypatch.setattr(VenvBackend, "find", lambda *_: None)
    monkeypatch.setattr("harness.backends.venv.find_interpreter", lambda *_: None)


@pytest.mark.usefixtures("nothing_local")
def test_auto_takes_docker_where_there_is_no_interpreter(
    specs: dict[str, EnvSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DockerBackend, "why_unavailable", lambda _: None)
    assert backends.choose(specs["tf1.15"]).name == "docker"


@pytest.mark.usefixtures("nothing_local")
def test_auto_without_any_way_lists_them_all(specs: dict[str, EnvSpec], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DockerBackend, "why_unavailable", lambda _: "the engine does not answer.")
    with pytest.raises(HarnessError) as caught:
        backends.choose(specs["tf1.15"])
    assert caught.value.kind.exit_status is Exit.ENVIRONMENT
    assert [line.split(":")[0] for line in caught.value.details] == ["virtual environments", "Docker"]
    assert "pyenv" in caught.value.remedy
    assert "Or start Docker" in caught.value.remedy


# The client's own library forgets to close the socket that was refused.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_engine_that_is_not_there_is_said_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path / 'no.sock'}")
    monkeypatch.setitem(backends.BACKENDS, "docker", DockerBackend())
    with pytest.raises(HarnessError, match="Docker engine does not answer") as caught:
        backends.get_backend("docker")
    assert caught.value.code == "environment-backend-missing"
    gc.collect()
