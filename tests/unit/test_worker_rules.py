"""The border between host and worker, held by machine: old Python's syntax there, no TensorFlow here."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.backends import WORKER_FOLDER
from harness.backends.home import Home
from harness.backends.interpreters import find_interpreter

PACKAGE = WORKER_FOLDER.parent
WORKER_FILES = sorted(WORKER_FOLDER.rglob("*.py"))
HOST_FILES = sorted(path for path in PACKAGE.rglob("*.py") if WORKER_FOLDER not in path.parents)
VERSIONS = [f"3.{minor}" for minor in range(6, 14)]

#: What the worker may import besides the standard library: what its environments hold, and itself.
# yaml, in functions only: old standalone Keras depends on it, and only its environments read YAML architectures.
# google: protobuf, whose messages graphs are made of; harness_layers: what ships with a model that needs it.
WORKER_MAY_IMPORT = {
    *("numpy", "h5py", "tensorflow", "keras", "tf_keras", "tensorflow_hub", "yaml", "tfworker"),
    *("google", "harness_layers"),
}
HOST_MAY_NOT_IMPORT = {"tensorflow", "keras", "tf_keras", "tensorflow_hub"}

#: Standard library modules of today that Python 3.6 has not (or 3.13 no longer has).
NOT_IN_ALL_VERSIONS = {
    *("contextvars", "dataclasses", "graphlib", "zoneinfo", "tomllib", "_bootlocale"),
    *("imp", "distutils", "asyncore", "asynchat", "smtpd", "cgi", "crypt", "pipes", "telnetlib", "uu"),
}  # fmt: skip

# Nothing is written: the sources are compiled in memory.
COMPILE = """
import sys
failed = 0
for path in sys.argv[1:]:
    with open(path, "rb") as source:
        try:
            compile(source.read(), path, "exec")
        except SyntaxError as error:
            failed = 1
            print("%s:%s: %s" % (path, error.lineno, error.msg))
sys.exit(failed)
"""


def imports_of(path: Path) -> Iterator[tuple[int, str]]:
    """(line, top-level module) of each absolute import, in functions as well."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name.partition(".")[0]) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.lineno, (node.module or "").partition(".")[0]
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            function = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if function in {"import_module", "__import__"}:
                yield node.lineno, str(node.args[0].value).partition(".")[0]


@pytest.mark.parametrize("version", VERSIONS)
def test_the_worker_compiles_in_every_python_it_runs_in(version: str) -> None:
    interpreter = find_interpreter(version, Home.from_environ().pythons)
    if interpreter is None:
        pytest.skip(f"there is no CPython {version} on this machine")
    command = [interpreter, "-W", "error", "-c", COMPILE, *WORKER_FILES]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_worker_uses_nothing_newer_than_python_3_6() -> None:
    command = [
        Path(sys.executable).with_name("vermin"),
        "--target=3.6-",
        "--violations",
        "--no-tips",
        "--eval-annotations",
    ]
    done = subprocess.run([*command, WORKER_FOLDER], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_worker_imports_the_standard_library_arrays_and_tensorflow_only() -> None:
    allowed = (sys.stdlib_module_names - NOT_IN_ALL_VERSIONS) | WORKER_MAY_IMPORT
    foreign = [
        f"{path.relative_to(PACKAGE)}:{line} imports {module}"
        for path in WORKER_FILES
        for line, module in imports_of(path)
        if module not in allowed
    ]
    assert foreign == []


def test_the_host_never_imports_tensorflow_or_keras() -> None:
    foreign = [
        f"{path.relative_to(PACKAGE)}:{line} imports {module}"
        for path in HOST_FILES
        for line, module in imports_of(path)
        if module in HOST_MAY_NOT_IMPORT
    ]
    assert foreign == []


def test_there_is_a_worker_to_look_at() -> None:
    assert WORKER_FOLDER / "__main__.py" in WORKER_FILES
    assert PACKAGE / "errors.py" in HOST_FILES


@pytest.mark.parametrize(
    ("source", "module"),
    [
        ("import harness.errors", "harness"),
        ("def f():\n    from rich import print", "rich"),
        ("import importlib\nimportlib.import_module('yaml.nodes')", "yaml"),
    ],
)
def test_the_guard_sees_imports_wherever_they_stand(tmp_path: Path, source: str, module: str) -> None:
    path = tmp_path / "sample.py"
    path.write_text(source)
    assert module in [found for _, found in imports_of(path)]
