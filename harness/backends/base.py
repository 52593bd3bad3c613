"""The contract between the harness and whatever hosts an old TensorFlow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from harness.envspec import EnvSpec

#: Receives one short line of what is being done now.
Progress = Callable[[str], None]

#: The worker's folder, run as a program: it is never installed, and never imported as a whole by the host.
WORKER_FOLDER = Path(__file__).resolve().parent.parent / "worker"


def silent(_step: str) -> None:
    """A :data:`Progress` that shows nothing."""


class Environment(Protocol):
    """One built environment."""

    @property
    def spec(self) -> EnvSpec: ...
    @property
    def backend(self) -> str: ...
    @property
    def key(self) -> str: ...
    @property
    def python(self) -> Path: ...
    def command(self, worker_args: Sequence[str]) -> list[str]:
        """The argument list that runs the worker program with ``worker_args``."""

    def environ(self, job_tmp: Path) -> dict[str, str]:
        """The whole process environment of the worker; ``job_tmp`` becomes its home and temporary folder."""


@dataclass(frozen=True, kw_only=True)
class Installed:
    """One environment that stands on this machine, current or left over from an older lock file."""

    name: str
    key: str
    path: Path
    size_bytes: int


class Backend(Protocol):
    """A way to host environments; implemented by the modules of this package."""

    @property
    def name(self) -> str: ...
    def why_unavailable(self) -> str | None: ...
    def create(self, spec: EnvSpec, progress: Progress = ..., *, fetch_python: bool = ...) -> Environment: ...
    def check(self, spec: EnvSpec) -> str | None: ...
    def find(self, spec: EnvSpec) -> Environment | None: ...
    def remove(self, spec: EnvSpec) -> bool: ...
    def installed(self) -> list[Installed]: ...
