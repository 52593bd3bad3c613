"""The Docker engine: how it is found, and its client's errors as errors of ours."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import docker
from docker.errors import APIError, DockerException
from docker.tls import TLSConfig

from harness.backends.container import ENGINE_ERRORS, owner
from harness.errors import HarnessError

TIMEOUT_S = 3600
_SSH = (
    "an engine behind ssh:// cannot be used, because its connections cannot be read without waiting; forward its socket"
    " with `ssh -N -L $HOME/engine.sock:/var/run/docker.sock USER@HOST` and set DOCKER_HOST=unix://$HOME/engine.sock"
)


@contextmanager
def engine(*, keep: bool = False) -> Iterator[docker.DockerClient]:
    """The engine that ``DOCKER_HOST`` or the user's current context names; ``keep`` leaves the connection open.

    Raises:
        HarnessError: environment-backend-missing when it does not answer, stops answering, or refuses what is asked.
    """
    client = None
    try:
        client = connect(TIMEOUT_S)
        yield client
    except ENGINE_ERRORS as error:
        keep = False
        raise refused(error) from error
    except BaseException:
        keep = False
        raise
    finally:
        if client is not None and not keep:
            client.close()


def connect(timeout_s: int) -> docker.DockerClient:
    """A client of the engine that the command ``docker`` would talk to: ``DOCKER_HOST``, else the current context.

    Raises:
        DockerException: and the other :data:`ENGINE_ERRORS`, when there is none.
    """
    address = os.environ.get("DOCKER_HOST") or ""
    named = {} if address else _context()
    if (named.get("base_url") or address).startswith("ssh://"):
        raise DockerException(_SSH)
    if named:
        return docker.DockerClient(timeout=timeout_s, **named)
    return docker.from_env(timeout=timeout_s)


def _context() -> dict[str, Any]:
    """What the client needs for the context that ``docker context use`` has set; empty for the default one.

    Read here, because the client's library takes an unknown context for the default one.
    """
    home = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
    name = os.environ.get("DOCKER_CONTEXT") or _read(home / "config.json").get("currentContext") or "default"
    if name == "default":
        return {}
    number = hashlib.sha256(str(name).encode()).hexdigest()
    endpoint = (_read(home / "contexts" / "meta" / number / "meta.json").get("Endpoints") or {}).get("docker") or {}
    if not endpoint.get("Host"):
        raise DockerException(f"there is no Docker context {name!r} (`docker context ls` lists them)")
    keys = home / "contexts" / "tls" / number / "docker"
    if not keys.is_dir():
        return {"base_url": endpoint["Host"]}
    pair = (str(keys / "cert.pem"), str(keys / "key.pem")) if (keys / "key.pem").is_file() else None
    authority = str(keys / "ca.pem") if (keys / "ca.pem").is_file() else None
    verify = not endpoint.get("SkipTLSVerify")
    return {"base_url": endpoint["Host"], "tls": TLSConfig(client_cert=pair, ca_cert=authority, verify=verify)}


def _read(path: Path) -> dict[str, Any]:
    """The table in a file; empty where there is none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise DockerException(f"{path} cannot be read: {error}") from error
    return found if isinstance(found, dict) else {}


def owner_lives(belongs: str | None, created: str | None) -> bool:
    """Whether the process runs that something on the engine belongs to (:func:`harness.backends.container.owner`).

    Of another machine's process nobody knows: it is taken to run as long as any step may take after ``created``, the
    engine's time; None for what nobody waits for then.
    """
    host, _, pid = (belongs or "").rpartition(":")
    if host == owner(0).rpartition(":")[0]:
        return pid.isdecimal() and Path("/proc", pid).exists()
    if created is None:
        return False
    made = datetime.fromisoformat(created.partition(".")[0].removesuffix("Z") + "+00:00")
    return (datetime.now(UTC) - made).total_seconds() < TIMEOUT_S


def refused(error: BaseException) -> HarnessError:
    """What the client raises as an error of ours: an engine that is not there, or one that says no."""
    if isinstance(error, APIError) and error.status_code not in (None, 502, 503):
        return HarnessError(
            "environment-backend-missing",
            f"The Docker engine refuses what it was asked: {short(error)}",
            remedy="Read its reason above; `docker info` and the engine's log say more. Or use `--backend venv`.",
        )
    return HarnessError(
        "environment-backend-missing",
        f"The Docker engine does not answer: {short(error)}",
        remedy="Start it (`docker info` must work for your user, DOCKER_HOST names another one), or use"
        " `--backend venv`.",
    )


def short(error: BaseException) -> str:
    """The first line of what is said; of an answer of the engine its own words."""
    said = str(error.explanation) if isinstance(error, APIError) and error.explanation else str(error)
    return (said.strip().splitlines() or [type(error).__name__])[0][:300]
