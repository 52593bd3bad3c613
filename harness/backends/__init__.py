"""Where environments live: the contract, the known backends, and the one question asked of them."""

from __future__ import annotations

from harness.backends import venv
from harness.backends.base import WORKER_FOLDER, Backend, Environment, Installed, Progress, silent
from harness.envspec import EnvSpec
from harness.errors import HarnessError

__all__ = [
    "BACKENDS", "WORKER_FOLDER", "Backend", "Environment", "Installed", "Progress", "ensure", "get_backend", "silent",
]  # fmt: skip

BACKENDS: dict[str, Backend] = {"venv": venv.VenvBackend()}


def get_backend(name: str) -> Backend:
    """The backend called ``name``, ready for use.

    Raises:
        HarnessError: ``environment-backend-missing`` when it is unknown or cannot work on this machine.
    """
    if name not in BACKENDS:
        raise HarnessError(
            "environment-backend-missing", f"There is no backend {name!r}; there are {', '.join(BACKENDS)}."
        )
    backend = BACKENDS[name]
    if reason := backend.why_unavailable():
        raise HarnessError("environment-backend-missing", f"The backend {name} cannot be used here: {reason}")
    return backend


def ensure(
    spec: EnvSpec, backend: str = "venv", progress: Progress = silent, *, fetch_python: bool = False
) -> Environment:
    """The environment of ``spec``: found within milliseconds, or built now.

    Args:
        spec: the environment wanted.
        backend: a key of :data:`BACKENDS`.
        progress: told each step of a build.
        fetch_python: whether a missing Python interpreter may be downloaded.

    Raises:
        HarnessError: ``environment-backend-missing``, ``environment-no-interpreter``,
            ``environment-build-failed``, ``environment-unhealthy`` or ``no-space``.
    """
    host = get_backend(backend)
    return host.find(spec) or host.create(spec, progress, fetch_python=fetch_python)
