"""Front doors. Each session is a thin call of the harness or of a development tool; `nox --list` shows all.

The exit status of `migrate`, `demo`, `regress` and `env-NAME` is that of the harness (see docs/errors.md), where nox alone
would make every failure a 1.
"""

from __future__ import annotations

import atexit
import hashlib
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import nox

ROOT = Path(__file__).resolve().parent
PROJECT = nox.project.load_toml(ROOT / "pyproject.toml")
ENV_NAMES = sorted(path.stem for path in (ROOT / "envs").glob("*.toml") if path.stem != "pairs")

nox.needs_version = ">=2024.10"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_existing_virtualenvs = True
nox.options.sessions = ["lint", "tests"]

# The first thing on the screen is the harness, not nox's account of how it was started; `nox -v` shows that.
if not {"-v", "--verbose"} & set(sys.argv):
    logging.getLogger("nox").setLevel(logging.WARNING)


@nox.session
def migrate(session: nox.Session) -> None:
    """Migrate a model: nox -s migrate -- MODEL [OPTIONS]"""
    _harness(session, ["migrate", *session.posargs])


@nox.session
def load_weights(session: nox.Session) -> None:
    """Load weights into a script's model: nox -s load_weights -- WEIGHTS --builder FILE.py:function [OPTIONS]"""
    _harness(session, ["load-weights", *session.posargs])


@nox.session
def demo(session: nox.Session) -> None:
    """Make a small model in TensorFlow 1.x, migrate it and show the proof."""
    _harness(session, ["demo", *session.posargs])


def _environment_session(name: str) -> Callable[[nox.Session], None]:
    def create(session: nox.Session) -> None:
        _harness(session, ["envs", "create", name, *session.posargs])

    create.__doc__ = f"Build the environment {name}: nox -s env-{name} [-- --backend NAME --fetch-python]"
    return create


for _name in ENV_NAMES:
    nox.session(name=f"env-{_name}")(_environment_session(_name))


@nox.session
def tests(session: nox.Session) -> None:
    """Run all tests, with real TensorFlow: nox -s tests [-- PYTEST-OPTIONS]"""
    _install(session, "test")
    parallel = [] if any(argument.startswith(("-n", "--pdb")) for argument in session.posargs) else ["-n", "2"]
    # One file stays in one process, so that its fixtures are made once.
    session.run("pytest", *parallel, "--dist=loadfile", *session.posargs)


@nox.session
def regress(session: nox.Session) -> None:
    """Run the matrix of models and pairs against its baseline: nox -s regress [-- OPTIONS]

    An interpreter that is missing is an error of the harness (exit status 4), never a skip of nox.
    """
    _harness(session, ["regress", *session.posargs])


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and types: nox -s lint [-- --fix]"""
    _install(session, "lint")
    fix = "--fix" in session.posargs
    session.run("ruff", "check", *(["--fix"] if fix else []))
    session.run("ruff", "format", *([] if fix else ["--check"]))
    session.run("mypy")


@nox.session
def lock(session: nox.Session) -> None:
    """Resolve the pins into envs/locks: nox -s lock [-- NAME ... --upgrade]"""
    _install(session)
    session.run("python", "-m", "harness.locking", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Check what the documentation says against the code: links, tables, generated pages."""
    _install(session, "test")
    session.run("pytest", "-k", "docs", "tests/unit", *session.posargs, success_codes=[0, 5])


def _install(session: nox.Session, group: str | None = None) -> None:
    """Installs the harness (editable) and a dependency group, once for each state of pyproject.toml."""
    wanted = nox.project.dependency_groups(PROJECT, group) if group else ()
    state = hashlib.sha256(f"{(ROOT / 'pyproject.toml').read_text()}{ROOT}{group}".encode()).hexdigest()
    stamp = Path(session.virtualenv.location) / "installed.sha256"
    if stamp.is_file() and stamp.read_text() == state:
        return
    session.install("--quiet", "-e", str(ROOT), *wanted)
    stamp.write_text(state)


def _harness(session: nox.Session, arguments: Sequence[str]) -> None:
    """Runs the harness where the user stands, and makes its exit status that of nox."""
    _install(session)
    python = Path(session.virtualenv.location) / "bin" / "python"
    with subprocess.Popen([python, "-m", "harness", *arguments], cwd=session.invoked_from) as process:
        status = _wait(process)
    if status:
        atexit.register(_exit_with, status if status > 0 else 128 - status)
        logging.getLogger("nox").setLevel(logging.CRITICAL)  # the harness has said why
        session.error()


def _wait(process: subprocess.Popen[bytes]) -> int:
    """The exit status of ``process``, which gets Ctrl-C as well and is given the time to tidy up."""
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            continue


def _exit_with(status: int) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
