"""The thorough look at a finished virtual environment: every installed file, and what the worker imports."""

from __future__ import annotations

import csv
import re
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

from packaging.utils import canonicalize_name
from packaging.version import Version

from harness.envspec import EnvSpec

_LOCKED = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", re.MULTILINE)
# TensorFlow itself takes seconds to import and was run when the environment was built.
_IMPORTS = "import h5py, numpy, sys; sys.exit(sys.version_info[:2] != tuple(map(int, sys.argv[1].split('.'))))"
_SHOWN = 5
#: the same look for any Python from 3.6 on, at the packages that it would import itself
LISTED = """
import csv, json, os, sys
packages, files = [], []
for folder in [path for path in sys.path if os.path.isdir(path)]:
    for name in sorted(os.listdir(folder)):
        if not name.endswith(".dist-info"):
            continue
        packages.append(name[: -len(".dist-info")])
        record = os.path.join(folder, name, "RECORD")
        if not os.path.exists(record):
            continue
        with open(record, encoding="utf-8", newline="") as rows:
            for path, _, size in csv.reader(rows):
                if not size or path.startswith(("..", "/")) or path.endswith(".pyc"):
                    continue
                whole = os.path.join(folder, path)
                if not os.path.exists(whole):
                    files.append(whole + " is missing")
                elif os.path.getsize(whole) != int(size):
                    files.append("%s has %d bytes, %s expected" % (whole, os.path.getsize(whole), size))
print(json.dumps({"packages": packages, "files": files[:100]}))
"""


def locked_versions(lock_text: str) -> dict[str, Version]:
    """The version of each distribution in a lock file, by canonical name."""
    return {canonicalize_name(name): Version(version) for name, version in _LOCKED.findall(lock_text)}


def what_is_wrong(spec: EnvSpec, folder: Path) -> str | None:
    """The first findings about the environment in ``folder`` as one sentence, or None when there are none."""
    packages = folder / "lib" / f"python{spec.python}" / "site-packages"
    names = (found.name.removesuffix(".dist-info") for found in packages.glob("*.dist-info"))
    findings = [*version_findings(spec, names), *_file_findings(packages)]
    return summary(findings or _import_findings(spec, folder / "bin" / "python"))


def summary(findings: list[str]) -> str | None:
    """The first findings as one sentence, or None when there are none."""
    more = len(findings) - _SHOWN
    return "; ".join([*findings[:_SHOWN], *([f"and {more} more"] if more > 0 else [])]) or None


def version_findings(spec: EnvSpec, names: Iterable[str]) -> Iterator[str]:
    """How distributions differ from the lock; each as NAME-VERSION, in the order in which Python looks for them."""
    installed: dict[str, Version] = {}
    for found in names:
        name, _, version = found.partition("-")
        installed.setdefault(canonicalize_name(name), Version(version))
    for name, locked in locked_versions(spec.lock_text()).items():
        if name not in installed:
            yield f"{name} {locked} is not installed"
        elif installed[name] != locked:
            yield f"{name} is {installed[name]}, the lock file says {locked}"


def _file_findings(packages: Path) -> Iterator[str]:
    for record in packages.glob("*.dist-info/RECORD"):
        with record.open(encoding="utf-8", newline="") as rows:
            for name, _digest, size in csv.reader(rows):
                # Scripts (`../../bin/…`) are rewritten by installers and not used by the worker; bytecode that a
                # wheel brings along is compiled again.
                if size and not name.startswith(("..", "/")) and not name.endswith(".pyc"):
                    yield from _size_finding(packages / name, int(size))


def _size_finding(path: Path, expected: int) -> Iterator[str]:
    try:
        found = path.stat().st_size
    except OSError:
        yield f"{path} is missing"
        return
    if found != expected:
        yield f"{path} has {found} bytes, {expected} expected"


def _import_findings(spec: EnvSpec, python: Path) -> list[str]:
    command = [str(python), "-s", "-B", "-c", _IMPORTS, spec.python]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env={"LANG": "C.UTF-8"})
    except (OSError, subprocess.TimeoutExpired) as error:
        return [f"{python} does not run: {error}"]
    last = (done.stderr.strip().splitlines() or [f"it is not Python {spec.python}"])[-1]
    return [f"{python} cannot import numpy and h5py: {last}"] if done.returncode else []
