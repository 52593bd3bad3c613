"""The contract between the harness and whatever hosts an old TensorFlow."""

from __future__ import annotations

from collections.abc import Callable, Iterable
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


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one worker may use. Bytes, and numbers of processes and processors; None leaves it to the backend.

    Attributes:
        memory: resident memory, the files in its temporary folders included.
        storage: what it may write: results and temporary files.
        processes: processes and threads together.
        cpus: processors' worth of time; a process of this machine gets whole ones.
        enforced: whether a worker may only be started where the backend can hold it to all of that.
    """

    memory: int | None = None
    storage: int | None = None
    processes: int | None = None
    cpus: float | None = None
    enforced: bool = False


NO_LIMITS = Limits()


@dataclass(frozen=True)
class Reason:
    """Why a worker has ended: the code of an error, and a sentence."""

    code: str
    sentence: str


class Running(Protocol):
    """A worker program that waits for job folders (``--serve``), and has what it needs of its own end in ``log``."""

    @property
    def log(self) -> Path: ...
    @property
    def pid(self) -> int | None:
        """The process on this machine, where it is one."""

    def submit(self, folder: Path) -> None:
        """Hand over a complete job folder; a worker that has ended takes none, which :meth:`poll` tells."""

    def look(self) -> int | None:
        """Bring what is new into the job folder, and return the exit status once the worker has ended.

        Negative for a signal, as ``subprocess`` writes it. The file ``exit`` in the job folder appears last.
        """

    def why(self) -> Reason | None:
        """What is known of the reason of an unexpected end, or None."""

    def stop(self) -> None:
        """End the worker and everything that it started; may be called again."""


class Environment(Protocol):
    """One built environment."""

    @property
    def spec(self) -> EnvSpec: ...
    @property
    def backend(self) -> str: ...
    @property
    def key(self) -> str: ...
    @property
    def where(self) -> str:
        """Where it stands, for people: an interpreter's path, an image's name."""

    @property
    def origin(self) -> dict[str, str]:
        """What else tells it from others of the same key, as the report names it."""

    def start(self, scratch: Path, flavour: str, limits: Limits) -> Running:
        """A worker that begins to import the Keras ``flavour`` now (``""``: none); ``scratch`` is an empty folder of its own."""

    def damage(self) -> str | None:
        """What is wrong with its files, after a worker did not come up; None if nothing is, or nobody can tell."""

    def replay(self, folder: Path) -> str:
        """A command line by which a person runs a kept job folder alone."""


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
    def key(self, spec: EnvSpec) -> str:
        """Sixteen hex digits over all that the environment of ``spec`` is made of."""

    def why_unavailable(self) -> str | None: ...
    def create(self, spec: EnvSpec, progress: Progress = ..., *, fetch_python: bool = ...) -> Environment: ...
    def check(self, spec: EnvSpec) -> str | None: ...
    def find(self, spec: EnvSpec) -> Environment | None: ...
    def remove(self, spec: EnvSpec) -> bool: ...
    def installed(self) -> list[Installed]: ...
    def prune(self, specs: Iterable[EnvSpec]) -> list[str]:
        """Remove environments that belong to none of ``specs`` as they are now, and leftovers; returns their names."""
