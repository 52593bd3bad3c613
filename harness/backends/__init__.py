"""Where environments live: the contract, the known backends, and the one question asked of them."""

from __future__ import annotations

import os

from harness.backends import docker, venv
from harness.backends.base import WORKER_FOLDER, Backend, Environment, Installed, Limits, Progress, silent
from harness.backends.interpreters import missing_interpreter
from harness.backends.venv import VenvEnvironment
from harness.envspec import EnvSpec
from harness.errors import HarnessError

__all__ = [
    "BACKENDS", "WORKER_FOLDER", "Backend", "Environment", "Installed", "Limits", "Progress", "VenvEnvironment", "choose", "ensure",
    "get_backend", "local", "names", "silent",
]  # fmt: skip

BACKENDS: dict[str, Backend] = {"venv": venv.VenvBackend(), "docker": docker.DockerBackend()}


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


def local(spec: EnvSpec, progress: Progress = silent, *, fetch_python: bool = False) -> VenvEnvironment:
    """The virtual environment of ``spec``, for what runs programs other than the worker. Raises as :func:`ensure`."""
    get_backend("venv")
    host = venv.VenvBackend()
    return host.find(spec) or host.create(spec, progress, fetch_python=fetch_python)


def names() -> tuple[str, ...]:
    """What ``--backend`` may say."""
    return ("auto", *BACKENDS)


def choose(spec: EnvSpec, name: str = "auto", *, fetch_python: bool = False) -> Backend:
    """The backend that is to host ``spec``.

    ``auto`` is what the variable ``HARNESS_BACKEND`` says, else virtual environments where there is an interpreter
    (or one may be fetched), else Docker where it answers.

    Raises:
        HarnessError: ``environment-backend-missing``; ``environment-no-interpreter`` where ``auto`` finds no way.
    """
    name = os.environ.get("HARNESS_BACKEND", "auto") if name == "auto" else name
    if name != "auto":
        return get_backend(name)
    local, engine = BACKENDS["venv"], BACKENDS["docker"]
    reason = local.why_unavailable()
    if reason is None and (fetch_python or local.find(spec) or venv.has_interpreter(spec)):
        return local
    why = engine.why_unavailable()
    if why is None:
        return engine
    missing = missing_interpreter(spec.python)
    ways = (f"virtual environments: {reason or f'no Python {spec.python} was found'}", f"Docker: {why}")
    raise HarnessError(missing.code, missing.message, details=ways, remedy=f"{missing.remedy} Or start Docker.")


def ensure(
    spec: EnvSpec,
    backend: str = "auto",
    progress: Progress = silent,
    *,
    fetch_python: bool = False,
    untrusted: bool = False,
) -> Environment:
    """The environment of ``spec``: found within milliseconds, or built now.

    Args:
        spec: the environment wanted.
        backend: a key of :data:`BACKENDS`, or ``auto`` (see :func:`choose`).
        progress: told each step of a build.
        fetch_python: whether a missing Python interpreter may be downloaded.
        untrusted: whether it has to be a container, whatever ``HARNESS_BACKEND`` says.

    Raises:
        HarnessError: ``environment-backend-missing``, ``environment-no-interpreter``,
            ``environment-build-failed``, ``environment-unhealthy`` or ``no-space``.
    """
    if untrusted:
        backend = _contained(backend)
    host = choose(spec, backend, fetch_python=fetch_python)
    return host.find(spec) or host.create(spec, progress, fetch_python=fetch_python)


def _contained(name: str) -> str:
    """The backend that isolates; there is no way around it to propose."""
    if name not in ("auto", "docker"):
        raise HarnessError(
            "environment-backend-missing",
            f"--untrusted asks for a container, and --backend {name} is none: nothing was opened.",
            remedy="Leave --backend out, or use `--backend docker`.",
        )
    try:
        get_backend("docker")
    except HarnessError as error:
        raise HarnessError(
            error.code,
            f"--untrusted asks for a container: nothing was opened. {error.message}",
            remedy="Install and start Docker, or another engine that speaks its protocol, and see that you may use it.",
        ) from error
    return "docker"
