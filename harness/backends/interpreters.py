"""Python interpreters of old versions: found on the machine, or fetched when the user agrees."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import uv

from harness.backends.base import Progress
from harness.errors import HarnessError

# A shim on PATH may exist for a version that is not active, so every candidate is asked.
_PROBE = (
    "import sys, struct, platform; print('%d.%d' % sys.version_info[:2], 8 * struct.calcsize('P'),"
    " platform.python_implementation(), platform.machine(), sys.executable, sep='|')"
)


def find_interpreter(version: str, fetched: Path) -> Path | None:
    """The first 64-bit CPython ``version`` (as ``3.7``) of this machine's architecture; None when there is none.

    Looks on PATH, in pyenv's folder, in ``fetched`` and where uv knows of interpreters.
    """
    for candidate in _candidates(version, fetched):
        if found := _probe(candidate, version):
            return found
    return None


def fetch_interpreter(version: str, fetched: Path, progress: Progress) -> Path:
    """A standalone CPython ``version``, downloaded into ``fetched``. Call only with the user's consent.

    Raises:
        HarnessError: ``environment-no-interpreter`` when none is published or the download fails.
    """
    progress(f"downloading CPython {version}")
    try:
        import pbs_installer

        pbs_installer.install(version, fetched, version_dir=True)
    except Exception as error:  # the library lets every error of its HTTP client through
        raise _missing(version, f"and fetching one failed: {error}") from error
    for folder in _fetched_folders(version, fetched):
        if found := _probe(folder, version):
            return found
    raise _missing(version, f"and the one fetched into {fetched} does not run on this machine")


def missing_interpreter(version: str) -> HarnessError:
    """The error for a machine without CPython ``version``, saying exactly what to install."""
    return _missing(version, "on PATH, in pyenv's versions folder, or where uv looks")


def _missing(version: str, where: str) -> HarnessError:
    ways = [f"with pyenv: pyenv install {version}"]
    if shutil.which("apt-get"):
        ways.append(f"with apt, where your distribution still has it: apt-get install python{version}")
    if version != "3.6":  # the oldest standalone build that is published is 3.7.9
        ways.append("let the harness download a standalone build: add --fetch-python")
    return HarnessError(
        "environment-no-interpreter",
        f"No 64-bit CPython {version} for {platform.machine()} was found {where}.",
        remedy="Install one, then run again: " + "; or ".join(ways) + ".",
    )


def _candidates(version: str, fetched: Path) -> Iterator[Path]:
    if on_path := shutil.which(f"python{version}"):
        yield Path(on_path)
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    yield from _newest_first(pyenv.glob(f"{version}.*/bin/python{version}"))
    yield from _fetched_folders(version, fetched)
    yield from _known_to_uv(version)


def _fetched_folders(version: str, fetched: Path) -> list[Path]:
    return _newest_first(fetched.glob(f"cpython@{version}.*/bin/python{version}"))


def _newest_first(paths: Iterator[Path]) -> list[Path]:
    def patch(path: Path) -> int:
        last = path.parent.parent.name.rpartition(".")[2]
        return int(last) if last.isdigit() else -1

    return sorted(paths, key=patch, reverse=True)


def _known_to_uv(version: str) -> Iterator[Path]:
    command = [uv.find_uv_bin(), "python", "find", "--quiet", "--no-project", "--no-python-downloads", version]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return
    if done.returncode == 0 and done.stdout.strip():
        yield Path(done.stdout.strip())


@lru_cache(maxsize=64)
def _probe(candidate: Path, version: str) -> Path | None:
    """The executable behind ``candidate``, if it runs and is what is needed."""
    try:
        done = subprocess.run([candidate, "-I", "-c", _PROBE], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = done.stdout.strip().split("|")
    wanted = [version, "64", "CPython", platform.machine()]
    return Path(found[4]) if done.returncode == 0 and found[:4] == wanted and found[4:] else None
