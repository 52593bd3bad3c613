"""``--untrusted`` on a machine without an engine: nothing is opened, whatever the command, and no way around it is proposed."""

from __future__ import annotations

import gc
import shutil
from collections.abc import Iterator
from pathlib import Path

import bad_files
import numpy as np
import pytest

from harness import cli
from harness.backends.venv import VenvBackend, VenvEnvironment

GOLDEN = Path(__file__).parents[1] / "golden" / "bundles" / "v1-small"
BUILDER = "def build():\n    raise SystemExit('it was run')\n"

# The client of the engine leaves the socket open that it could not connect.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No engine answers, and whatever touches a virtual environment fails the test."""

    def touched(*_: object, **__: object) -> None:
        raise AssertionError("a virtual environment was used")

    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent.sock")
    monkeypatch.chdir(tmp_path)
    for name in ("find", "create"):
        monkeypatch.setattr(VenvBackend, name, touched)
    monkeypatch.setattr(VenvEnvironment, "start", touched)
    bad_files.keras_h5(tmp_path / "old.h5")
    bad_files.keras_h5(tmp_path / "new.h5")
    shutil.copytree(GOLDEN, tmp_path / "bundle")
    np.savez(tmp_path / "w.npz", kernel=np.ones((2, 2), "float32"))
    (tmp_path / "model.py").write_text(BUILDER)
    yield
    gc.collect()


COMMANDS = {
    "migrate": ["migrate", "old.h5"],
    "export": ["export", "old.h5"],
    "verify": ["verify", "old.h5", "new.h5"],
    "verify-bundle": ["verify", "bundle", "new.h5"],
    "import": ["import", "bundle"],
    "load-weights": ["load-weights", "w.npz", "--builder", "model.py:build"],
    "load-weights-source": ["load-weights", "w.npz", "--source-builder", "model.py:build", "--builder", "model.py:build"],
    "regress": ["regress", "--pair", "tf1.15:tf2.21", "--no-zoo", "--corpus", "models", "--baseline", "none"],
}  # fmt: skip


@pytest.mark.parametrize("variable", [None, "venv", "docker"])
@pytest.mark.parametrize("name", COMMANDS)
def test_nothing_is_opened_without_an_engine(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    name: str,
    variable: str | None,
) -> None:
    if variable:
        monkeypatch.setenv("HARNESS_BACKEND", variable)
    (tmp_path / "models").mkdir()
    bad_files.keras_h5(tmp_path / "models" / "m.h5")
    assert cli._guarded([*COMMANDS[name], "--untrusted", "--out", "out"]) == 4
    said = "".join(capsys.readouterr())
    assert "environment-backend-missing" in said
    assert "--untrusted asks for a container: nothing was opened." in said
    assert "venv" not in said
    assert "start Docker" in said
    assert not list(tmp_path.glob("out/**/bundle"))
    assert not list(tmp_path.glob("out/**/model*"))


@pytest.mark.parametrize("name", COMMANDS)
def test_another_backend_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str) -> None:
    (tmp_path / "models").mkdir()
    assert cli._guarded([*COMMANDS[name], "--untrusted", "--backend", "venv", "--out", "out"]) == 4
    said = "".join(capsys.readouterr())
    assert "--untrusted asks for a container, and --backend venv is none: nothing was opened." in said
    assert "Leave --backend out, or use `--backend docker`." in said
    assert not list(tmp_path.glob("out/**/bundle"))
