"""Environments as virtual environments, built by uv from a hashed lock file.

A build happens in a staging folder and appears under its final name by one rename, with its marker inside, so
whatever ``find`` accepts was complete. Builders of one environment queue on a lock that the system releases when
its holder dies; a staging folder whose lock is free is therefore a leftover, and is cleaned.
"""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import uv
from filelock import FileLock, Timeout

from harness.backends.base import WORKER_FOLDER, Installed, Limits, Progress, Running, silent
from harness.backends.home import Home, identity
from harness.backends.interpreters import fetch_interpreter, find_interpreter, missing_interpreter
from harness.backends.local import LocalProcess
from harness.backends.venvbuild import MARKER, Build
from harness.backends.venvcheck import what_is_wrong
from harness.envspec import EnvSpec
from harness.errors import HarnessError

_KEY_DIGITS = 16


@dataclass(frozen=True, kw_only=True)
class VenvEnvironment:
    """A finished virtual environment."""

    spec: EnvSpec
    key: str
    folder: Path
    backend: str = "venv"

    @property
    def python(self) -> Path:
        """The environment's interpreter; not resolved, because the link's place is what makes it a venv."""
        return self.folder / "bin" / "python"

    @property
    def where(self) -> str:
        """The interpreter's path."""
        return str(self.python)

    @property
    def origin(self) -> dict[str, str]:
        """See :class:`harness.backends.base.Environment`: the key says all."""
        return {}

    def start(self, scratch: Path, flavour: str, limits: Limits) -> Running:
        """See :class:`harness.backends.base.Environment`."""
        home = scratch / "home"
        home.mkdir()
        return LocalProcess(
            self.command(["--serve", *([flavour] if flavour else [])]), self.environ(home), scratch, limits
        )

    def damage(self) -> str | None:
        """See :class:`harness.backends.base.Environment`."""
        return what_is_wrong(self.spec, self.folder)

    def replay(self, folder: Path) -> str:
        """See :class:`harness.backends.base.Environment`."""
        return shlex.join(self.command([str(folder)]))

    def command(self, worker_args: Sequence[str]) -> list[str]:
        """The argument list that runs the worker program with ``worker_args``.

        ``-s`` ignores the user's site-packages; ``-E`` would ignore our own variables as well. ``-B`` because the
        checkout may be read-only, and is shared by interpreters of several versions.
        """
        return [str(self.python), "-s", "-B", str(WORKER_FOLDER), *worker_args]

    def environ(self, job_tmp: Path) -> dict[str, str]:
        """The whole process environment of the worker: nothing is inherited, so that runs repeat."""
        return {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "HOME": str(job_tmp),
            "TMPDIR": str(job_tmp),
            "LANG": "C.UTF-8",
            "PYTHONHASHSEED": "0",
            **self.spec.variables,
        }


@dataclass(frozen=True)
class VenvBackend:
    """Virtual environments under :class:`Home`."""

    name: str = "venv"
    home_override: Home | None = field(default=None, repr=False)

    @property
    def home(self) -> Home:
        """Read at each use, so that ``HARNESS_HOME`` may be set after import."""
        return self.home_override or Home.from_environ()

    def key(self, spec: EnvSpec) -> str:
        """See :class:`harness.backends.base.Backend`."""
        return spec.key

    def why_unavailable(self) -> str | None:
        """Why this machine cannot host such environments, or None."""
        machine = (platform.system(), platform.machine())
        if machine != ("Linux", "x86_64"):
            return f"the lock files name wheels for Linux on x86_64, this is {machine[0]} on {machine[1]}."
        try:
            uv.find_uv_bin()
        except FileNotFoundError:
            return "the program uv is missing; `python -m pip install uv` adds it."
        return None

    def find(self, spec: EnvSpec) -> VenvEnvironment | None:
        """The finished environment of ``spec``, or None. Two look-ups in the file system, no process."""
        environment = VenvEnvironment(spec=spec, key=spec.key, folder=self.home.env(spec))
        whole = (environment.folder / MARKER).is_file() and os.access(environment.python, os.X_OK)
        return environment if whole else None

    def check(self, spec: EnvSpec) -> str | None:
        """What is wrong with the environment of ``spec``, or None: every file, and the imports of the worker."""
        environment = self.find(spec)
        if environment is None:
            folder = self.home.env(spec)
            return f"{folder} has lost its interpreter or marker" if folder.exists() else f"{folder} does not exist"
        return what_is_wrong(spec, environment.folder)

    def create(self, spec: EnvSpec, progress: Progress = silent, *, fetch_python: bool = False) -> VenvEnvironment:
        """The environment of ``spec``, built now unless another process just did.

        Raises:
            HarnessError: ``environment-no-interpreter``, ``environment-build-failed``,
                ``environment-unhealthy`` or ``no-space``.
        """
        home = self.home
        _make_folders(home)
        with _locked(home, identity(spec), progress):
            self._remove_leftovers(held=identity(spec))
            return self.find(spec) or self._build(spec, progress, fetch_python)

    def _build(self, spec: EnvSpec, progress: Progress, fetch_python: bool) -> VenvEnvironment:
        home = self.home
        interpreter = find_interpreter(spec.python, home.pythons)
        if interpreter is None and not fetch_python:
            raise missing_interpreter(spec.python)
        interpreter = interpreter or fetch_interpreter(spec.python, home.pythons, progress)
        staging = Path(tempfile.mkdtemp(prefix=f"{identity(spec)}.", dir=home.staging))
        try:
            trial = VenvEnvironment(spec=spec, key=spec.key, folder=staging / "env")
            Build(spec, interpreter, trial.folder, home.log(spec), trial.environ(staging), progress).run()
            final = home.env(spec)
            if final.exists():  # broken, or `find` had returned it
                final.rename(staging / "replaced")
            trial.folder.rename(final)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
        return VenvEnvironment(spec=spec, key=spec.key, folder=final)

    def remove(self, spec: EnvSpec) -> bool:
        """Whether there was anything to remove; also removes what older lock files of this environment left."""
        home = self.home
        folders = list(home.envs.glob(f"{spec.installed_as}-{'[0-9a-f]' * _KEY_DIGITS}"))
        if folders:
            _make_folders(home)
        for folder in folders:
            with _locked(home, folder.name, silent):
                staging = Path(tempfile.mkdtemp(prefix=f"{folder.name}.", dir=home.staging))
                folder.rename(staging / "removed")  # disappears at once, even when deleting takes long
                shutil.rmtree(staging, ignore_errors=True)
        return bool(folders)

    def installed(self) -> list[Installed]:
        """Every finished environment on this machine, with its size on disk."""
        folders = sorted(marker.parent for marker in self.home.envs.glob(f"*/{MARKER}"))
        return [
            Installed(
                name=folder.name[: -_KEY_DIGITS - 1],
                key=folder.name[-_KEY_DIGITS:],
                path=folder,
                size_bytes=_size_bytes(folder),
            )
            for folder in folders
        ]

    def prune(self, specs: Iterable[EnvSpec]) -> list[str]:
        """Remove environments of older locks, and staging folders whose builder died; returns the names of the former."""
        current = {identity(spec) for spec in specs}
        old = [entry for entry in self.installed() if entry.path.name not in current]
        if self.home.envs.is_dir():
            _make_folders(self.home)
            self._remove_leftovers(held="")
        for entry in old:
            with _locked(self.home, entry.path.name, silent):
                shutil.rmtree(entry.path, ignore_errors=True)
        return [entry.path.name for entry in old]

    def _remove_leftovers(self, held: str) -> None:
        """Clears staging folders whose builder died; ``held`` is the identifier whose lock this process holds."""
        for folder in self.home.staging.iterdir():
            identifier = folder.name.rpartition(".")[0]
            try:
                with nullcontext() if identifier == held else FileLock(self.home.lock(identifier)).acquire(timeout=0):
                    shutil.rmtree(folder, ignore_errors=True)
            except Timeout:
                continue  # its builder is alive


def has_interpreter(spec: EnvSpec) -> bool:
    """Whether this machine has the Python that ``spec`` needs."""
    return find_interpreter(spec.python, Home.from_environ().pythons) is not None


@contextmanager
def _locked(home: Home, identifier: str, progress: Progress) -> Iterator[None]:
    """Holds the lock of ``NAME-KEY``, after waiting for whoever has it."""
    lock = FileLock(home.lock(identifier))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        progress(f"waiting for another process that works on {identifier}")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _size_bytes(folder: Path) -> int:
    """Blocks counted once per file, although uv shares files between environments by hard links."""
    return sum(entry.lstat().st_blocks * 512 for entry in folder.rglob("*"))


def _make_folders(home: Home) -> None:
    try:
        for folder in home.folders():
            folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HarnessError(
            "environment-build-failed",
            f"The folder for environments, {home.root}, cannot be written: {error.strerror}.",
            remedy="Set HARNESS_HOME to a folder that you may write, with 2 GB free for each environment.",
        ) from error
