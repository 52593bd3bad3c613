"""Promises of nox and make: the harness's exit status, the user's folder, and nothing else on the screen."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NOX = Path(sys.executable).with_name("nox")

pytestmark = pytest.mark.integration

#: Stands in for the harness: says what it was called with, and where, and ends as told.
STUB = """
import os, sys
print(os.getcwd(), sys.argv[1:], flush=True)
if sys.argv[2] == "crash":
    os.abort()
sys.exit(int(sys.argv[2]))
"""
PROJECT = """
[build-system]
requires = ["hatchling>=1.24"]
build-backend = "hatchling.build"
[project]
name = "stub"
version = "1"
[tool.hatch.build.targets.wheel]
packages = ["harness"]
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    shutil.copy(ROOT / "noxfile.py", folder)
    (folder / "pyproject.toml").write_text(PROJECT)
    (folder / "harness").mkdir()
    (folder / "harness" / "__init__.py").touch()
    (folder / "harness" / "__main__.py").write_text(STUB)
    return folder


def nox(folder: Path, *arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    # The variables of a surrounding nox session would be taken for our own.
    environ = {name: value for name, value in os.environ.items() if name not in {"VIRTUAL_ENV", "NOX_CURRENT_SESSION"}}
    command = [NOX, "-f", folder / "noxfile.py", *arguments]
    return subprocess.run(command, cwd=cwd or folder, env=environ, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("status", [0, 1, 2, 3, 4, 5, 70, 130])
def test_the_exit_status_of_the_harness_is_that_of_nox(project: Path, status: int) -> None:
    done = nox(project, "-s", "migrate", "--", str(status), "--out", "a b")
    assert done.returncode == status, done.stderr
    assert done.stdout == f"{project} ['migrate', '{status}', '--out', 'a b']\n"
    assert done.stderr == ""


def test_a_crash_of_the_harness_is_reported_as_a_shell_would(project: Path) -> None:
    assert nox(project, "-s", "migrate", "--", "crash").returncode == 128 + 6


def test_a_relative_path_means_the_users_folder(project: Path, tmp_path: Path) -> None:
    done = nox(project, "-s", "migrate", "--", "0", "model.h5", cwd=tmp_path)
    assert done.stdout == f"{tmp_path} ['migrate', '0', 'model.h5']\n"


def test_every_environment_has_its_session() -> None:
    listed = nox(ROOT, "--list").stdout
    for path in (ROOT / "envs").glob("*.toml"):
        assert path.stem == "pairs" or f"- env-{path.stem} -> " in listed


def test_a_missing_model_is_a_usage_error_through_the_real_door(tmp_path: Path) -> None:
    done = nox(ROOT, "-s", "migrate", "--", "/nonexistent", cwd=tmp_path)
    assert done.returncode == 2, done.stdout + done.stderr


def test_make_without_a_target_lists_the_targets() -> None:
    done = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "  make tf1-to-tf2 " in done.stdout
    assert "  make tf2-to-tf1 " in done.stdout
