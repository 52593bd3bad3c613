"""Promises of the venv backend that need no package index and no TensorFlow."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from filelock import FileLock

from harness import backends
from harness.backends import interpreters, venvbuild
from harness.backends.home import Home, identity
from harness.backends.venv import VenvBackend, VenvEnvironment
from harness.backends.venvbuild import MARKER
from harness.backends.venvcheck import locked_versions
from harness.envspec import EnvSpec
from harness.errors import Exit, HarnessError


@pytest.fixture
def spec(specs: dict[str, EnvSpec]) -> EnvSpec:
    return specs["tf1.15"]


@pytest.fixture
def backend(tmp_path: Path) -> VenvBackend:
    return VenvBackend(home_override=Home(tmp_path / "home"))


@pytest.fixture
def fake_uv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An executable in uv's place; tests write its script."""
    path = tmp_path / "uv"
    path.write_text("#!/bin/sh\nexit 0\n")
    path.chmod(0o755)
    monkeypatch.setattr("uv.find_uv_bin", lambda: str(path))
    monkeypatch.setattr("harness.backends.venv.find_interpreter", lambda version, fetched: Path(sys.executable))
    return path


def stand(backend: VenvBackend, spec: EnvSpec) -> Path:
    """A folder that looks like a finished environment."""
    folder = backend.home.env(spec)
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "python").symlink_to(sys.executable)
    (folder / MARKER).write_text("{}")
    return folder


def test_home_is_harness_home_then_the_cache_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Home.from_environ({"HARNESS_HOME": "/h"}).root == Path("/h")
    assert Home.from_environ({"XDG_CACHE_HOME": "/c"}).root == Path("/c/tf-migration-harness")
    assert Home.from_environ({"XDG_CACHE_HOME": "relative"}).root == tmp_path / ".cache/tf-migration-harness"
    assert Home.from_environ({}).root == tmp_path / ".cache/tf-migration-harness"


def test_the_worker_gets_nothing_of_the_callers_environment(
    spec: EnvSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    monkeypatch.setenv("SECRET", "x")
    environ = VenvEnvironment(spec=spec, key=spec.key, folder=tmp_path).environ(tmp_path / "job")
    assert environ == {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": str(tmp_path / "job"),
        "TMPDIR": str(tmp_path / "job"),
        "LANG": "C.UTF-8",
        "PYTHONHASHSEED": "0",
        "TF_CPP_MIN_LOG_LEVEL": "2",
        "CUDA_VISIBLE_DEVICES": "-1",
        "KERAS_BACKEND": "tensorflow",
    }


def test_the_command_runs_the_worker_folder_in_the_environments_python(spec: EnvSpec, tmp_path: Path) -> None:
    environment = VenvEnvironment(spec=spec, key=spec.key, folder=tmp_path)
    command = environment.command(["JOB"])
    assert command == [str(tmp_path / "bin/python"), "-s", "-B", str(backends.WORKER_FOLDER), "JOB"]


def test_a_finished_environment_is_found_within_milliseconds(backend: VenvBackend, spec: EnvSpec) -> None:
    folder = stand(backend, spec)
    start = time.perf_counter()
    found = backend.find(spec)
    assert time.perf_counter() - start < 0.02
    assert found is not None
    assert (found.folder, found.backend, found.key) == (folder, "venv", spec.key)


@pytest.mark.parametrize("lost", [MARKER, "bin/python"])
def test_what_lost_its_marker_or_interpreter_is_not_found(backend: VenvBackend, spec: EnvSpec, lost: str) -> None:
    folder = stand(backend, spec)
    (folder / lost).unlink()
    assert backend.find(spec) is None
    assert backend.check(spec) == f"{folder} has lost its interpreter or marker"


def test_an_interpreter_that_was_uninstalled_is_noticed(backend: VenvBackend, spec: EnvSpec) -> None:
    folder = stand(backend, spec)
    (folder / "bin/python").unlink()
    (folder / "bin/python").symlink_to("/nonexistent/python3.7")
    assert backend.find(spec) is None


def test_check_of_an_absent_environment_says_so(backend: VenvBackend, spec: EnvSpec) -> None:
    assert backend.check(spec) == f"{backend.home.env(spec)} does not exist"


def test_check_lists_what_the_lock_file_has_and_the_environment_has_not(backend: VenvBackend, spec: EnvSpec) -> None:
    packages = stand(backend, spec) / "lib/python3.7/site-packages"
    for name, version in locked_versions(spec.lock_text()).items():
        if name != "six":
            version = "1.18.4" if name == "numpy" else version
            (packages / f"{name.replace('-', '_')}-{version}.dist-info").mkdir(parents=True)
    (packages / "h5py-2.10.0.dist-info" / "RECORD").write_text(
        "h5py/lost.so,sha256=x,12\nh5py/cut.so,sha256=x,12\n../../../bin/script,sha256=x,5\n"
    )
    (packages / "h5py").mkdir()
    (packages / "h5py" / "cut.so").write_text("four")
    wrong = (backend.check(spec) or "").split("; ")
    assert "numpy is 1.18.4, the lock file says 1.18.5" in wrong
    assert any(line.startswith("six ") and line.endswith(" is not installed") for line in wrong)
    assert f"{packages}/h5py/lost.so is missing" in wrong
    assert f"{packages}/h5py/cut.so has 4 bytes, 12 expected" in wrong
    assert len(wrong) == 4


def test_a_missing_interpreter_says_exactly_what_to_install(
    backend: VenvBackend, spec: EnvSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.backends.venv.find_interpreter", lambda version, fetched: None)
    with pytest.raises(HarnessError) as caught:
        backend.create(spec)
    assert caught.value.code == "environment-no-interpreter"
    assert "No 64-bit CPython 3.7" in caught.value.message
    assert "pyenv install 3.7" in caught.value.remedy
    assert "--fetch-python" in caught.value.remedy
    assert not list(backend.home.staging.iterdir())


def test_an_interpreter_is_fetched_only_with_consent(
    backend: VenvBackend, spec: EnvSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def install(request: str, destination: Path, *, version_dir: bool) -> None:
        asked.append(request)
        raise OSError("no route to host")

    monkeypatch.setitem(sys.modules, "pbs_installer", SimpleNamespace(install=install))
    monkeypatch.setattr("harness.backends.venv.find_interpreter", lambda version, fetched: None)
    with pytest.raises(HarnessError):
        backend.create(spec)
    assert asked == []
    with pytest.raises(HarnessError, match="fetching one failed: no route to host"):
        backend.create(spec, fetch_python=True)
    assert asked == ["3.7"]


def test_a_shim_that_does_not_run_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shim = tmp_path / "python3.99"
    shim.write_text("#!/bin/sh\necho 'command not found' >&2; exit 127\n")
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    assert interpreters.find_interpreter("3.99", tmp_path) is None


def test_an_interpreter_of_pyenv_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    version = "{}.{}".format(*sys.version_info[:2])
    folder = tmp_path / "versions" / f"{version}.1" / "bin"
    folder.mkdir(parents=True)
    (folder / f"python{version}").symlink_to(sys.executable)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    assert interpreters.find_interpreter(version, tmp_path) is not None


def test_a_failed_install_keeps_its_log_and_shows_the_end(backend: VenvBackend, spec: EnvSpec, fake_uv: Path) -> None:
    fake_uv.write_text("#!/bin/sh\necho 'error: connection refused'\nexit 2\n")
    with pytest.raises(HarnessError) as caught:
        backend.create(spec)
    assert caught.value.code == "environment-build-failed"
    assert caught.value.details[-1] == "error: connection refused"
    assert str(backend.home.log(spec)) in caught.value.message
    assert "connection refused" in backend.home.log(spec).read_text()
    assert backend.find(spec) is None
    assert not list(backend.home.staging.iterdir())


def test_nothing_is_installed_or_built_with_what_has_no_hash(
    backend: VenvBackend, spec: EnvSpec, specs: dict[str, EnvSpec], fake_uv: Path, tmp_path: Path
) -> None:
    """A build in isolation fetches its tools from the index, whatever they are that day."""
    fake_uv.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\n[ "$2" != sync ]\n')
    for one in (spec, specs["tf2.21"]):
        with pytest.raises(HarnessError):
            backend.create(one)
    _, tools, sync, _, without = (tmp_path / "calls").read_text().splitlines()
    assert all("--require-hashes" in call and "--only-binary :all:" in call for call in (tools, sync, without))
    assert tools.startswith("pip install")
    assert tools.endswith("--requirements " + str(spec.tools_path))
    assert "--no-deps" in tools
    assert "--no-build-isolation --only-binary :all: --no-binary gast" in sync
    assert "--no-binary" not in without


def test_a_full_disk_is_told_apart(backend: VenvBackend, spec: EnvSpec, fake_uv: Path) -> None:
    fake_uv.write_text("#!/bin/sh\necho 'error: failed to copy: No space left on device (os error 28)'\nexit 2\n")
    with pytest.raises(HarnessError) as caught:
        backend.create(spec)
    assert caught.value.code == "no-space"
    assert "HARNESS_HOME" in caught.value.remedy


def test_a_disk_that_fills_up_under_our_own_files_is_told_apart(
    backend: VenvBackend, spec: EnvSpec, fake_uv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(venvbuild.Build, "_make_venv", full)
    with pytest.raises(HarnessError) as caught:
        backend.create(spec)
    assert caught.value.code == "no-space"


def test_a_model_that_does_not_run_makes_no_environment(backend: VenvBackend, spec: EnvSpec, fake_uv: Path) -> None:
    # `uv venv` leaves a python that fails whatever it is asked.
    fake_uv.write_text(
        "#!/bin/sh\nfor last; do :; done\n"
        'if [ "$1" = venv ]; then mkdir -p "$last/bin"; printf "#!/bin/sh\\nkill -ILL \\$\\$\\n" > "$last/bin/python";'
        ' chmod +x "$last/bin/python"; fi\n'
    )
    with pytest.raises(HarnessError) as caught:
        backend.create(spec)
    assert caught.value.code == "environment-unhealthy"
    assert "SIGILL" in caught.value.message
    assert "AVX" in caught.value.remedy
    assert backend.find(spec) is None


def test_leftovers_of_dead_builders_are_cleaned_and_those_of_live_ones_kept(
    backend: VenvBackend, spec: EnvSpec, specs: dict[str, EnvSpec], fake_uv: Path
) -> None:
    fake_uv.write_text("#!/bin/sh\nexit 2\n")
    home = backend.home
    dead, own = home.staging / f"{identity(specs['tf1.13'])}.a", home.staging / f"{identity(spec)}.b"
    alive = home.staging / f"{identity(specs['tf1.14'])}.c"
    for folder in (dead, own, alive):
        (folder / "env").mkdir(parents=True)
    home.lock(identity(specs["tf1.14"])).parent.mkdir()
    with FileLock(home.lock(identity(specs["tf1.14"]))), pytest.raises(HarnessError):
        backend.create(spec)
    assert list(home.staging.iterdir()) == [alive]


def test_removing_takes_older_builds_of_the_same_environment_too(
    backend: VenvBackend, spec: EnvSpec, specs: dict[str, EnvSpec]
) -> None:
    stand(backend, spec)
    (backend.home.envs / "tf1.15-0123456789abcdef").mkdir()
    other = stand(backend, specs["tf1.12"])
    assert backend.remove(spec)
    assert not backend.remove(spec)
    assert list(backend.home.envs.iterdir()) == [other]


def test_installed_lists_finished_environments_with_their_size(backend: VenvBackend, spec: EnvSpec) -> None:
    assert backend.installed() == []
    folder = stand(backend, spec)
    (backend.home.envs / "tf1.12-0123456789abcdef").mkdir()
    (found,) = backend.installed()
    assert (found.name, found.key, found.path) == ("tf1.15", spec.key, folder)
    assert found.size_bytes > 0


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_home_that_cannot_be_written_is_named(tmp_path: Path, spec: EnvSpec) -> None:
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    with pytest.raises(HarnessError, match="cannot be written"):
        VenvBackend(home_override=Home(tmp_path / "home")).create(spec)


def test_a_home_that_is_a_file_is_named(tmp_path: Path, spec: EnvSpec) -> None:
    (tmp_path / "home").write_text("")
    with pytest.raises(HarnessError, match=r"home, cannot be written: (Not a directory|File exists)"):
        VenvBackend(home_override=Home(tmp_path / "home")).create(spec)


def test_an_unknown_backend_is_answered_with_those_that_exist(spec: EnvSpec) -> None:
    with pytest.raises(HarnessError, match="no backend 'chroot'; there are venv, docker") as caught:
        backends.ensure(spec, "chroot")
    assert caught.value.kind.exit_status is Exit.ENVIRONMENT


def test_another_machine_is_told_why_the_locks_do_not_fit(
    backend: VenvBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    assert backend.why_unavailable() == "the lock files name wheels for Linux on x86_64, this is Darwin on aarch64."


def test_ensure_builds_nothing_where_an_environment_stands(
    backend: VenvBackend, spec: EnvSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand(backend, spec)
    monkeypatch.setitem(backends.BACKENDS, "venv", backend)
    monkeypatch.delenv("HARNESS_BACKEND", raising=False)
    monkeypatch.setattr(subprocess, "run", lambda *a, **k: pytest.fail("no process may be started"))
    assert backends.ensure(spec).key == spec.key
