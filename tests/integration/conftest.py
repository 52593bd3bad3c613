"""The command line as a user calls it, and expensive runs made once for all test processes."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import SCRIPTS, Done, Harness, Once, Run, end, start
from filelock import FileLock

from harness.backends import Environment


@pytest.fixture
def run(tmp_path: Path) -> Harness:
    """``run("migrate", model)``: the command line in an empty folder."""
    return lambda *arguments, cwd=tmp_path, **options: end(start(*arguments, cwd=cwd, **options))


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Once:
    """``once(name, make)``: the folder that ``make`` filled, made by whichever test process came first."""
    base = tmp_path_factory.getbasetemp()
    # Below pytest-xdist each process has its own base folder in a common one.
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "made-once"

    def get(name: str, make: Callable[[Path], None]) -> Path:
        shared.mkdir(exist_ok=True)
        folder = shared / name
        with FileLock(shared / f"{name}.lock"):
            if not (folder / "complete").exists():
                folder.mkdir()
                make(folder)
                (folder / "complete").touch()
        return folder

    return get


@pytest.fixture(scope="session")
def cli_once(once: Once) -> Callable[..., Run]:
    """``cli_once(name, command, ...)``: a run of the command line with ``--out``, made once."""

    def get(name: str, *arguments: object) -> Run:
        def make(folder: Path) -> None:
            done = end(start(*arguments, "--out", folder / "out", cwd=folder))
            (folder / "done.json").write_text(json.dumps(vars(done)))

        folder = once(name, make)
        return Run(done=Done(**json.loads((folder / "done.json").read_text())), out=folder / "out")

    return get


@pytest.fixture(scope="session")
def script(environment: Callable[[str], Environment], tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """``script("tf1.15", "rich_model.py", ...)``: what a script of tests/integration/scripts printed last."""

    def call(name: str, file: str, *arguments: object, flags: tuple[str, ...] = ("-s", "-B")) -> str:
        env = environment(name)
        done = subprocess.run(
            [str(env.python), *flags, str(SCRIPTS / file), *map(str, arguments)],
            env=env.environ(tmp_path_factory.mktemp("home")),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip().splitlines()[-1] if done.stdout.strip() else ""

    return call


@pytest.fixture(scope="session")
def rich_model(once: Once, script: Callable[..., str]) -> Callable[[str], Path]:
    """``rich_model("tf1.12")``: a file with every topology and every use of hard_sigmoid, saved by that version."""

    def get(name: str) -> Path:
        return (
            once(f"rich-{name}", lambda folder: script(name, "rich_model.py", folder / "rich.h5") and None) / "rich.h5"
        )

    return get


@pytest.fixture(scope="session")
def mini(cli_once: Callable[..., Run], corpus: Path) -> Run:
    """A small real model, migrated."""
    return cli_once("mini", "migrate", corpus / "k_face_mini_xception" / "model.hdf5")


@pytest.fixture(scope="session")
def rich(cli_once: Callable[..., Run], rich_model: Callable[[str], Path]) -> Run:
    """The rich model of TF 1.15, migrated and saved in both formats."""
    return cli_once("rich", "migrate", rich_model("tf1.15"), "--format", "keras", "--format", "saved_model")
