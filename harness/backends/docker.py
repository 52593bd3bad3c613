"""Environments as container images, built from ``envs/Dockerfile`` and the same hashed locks as virtual environments.

Images are labelled and keyed by content, so that ``find`` is one question to the engine. Nothing depends on the host's
paths: build contexts and job folders travel through the engine's interface, which may be on another machine.
"""

from __future__ import annotations

import hashlib
import io
import os
import shlex
import tarfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
from docker.errors import APIError, BuildError, ImageNotFound
from docker.types import LogConfig

from harness.backends.base import WORKER_FOLDER, Installed, Limits, Progress, Running, silent
from harness.backends.container import ENGINE_ERRORS, LABEL, OWNER, USER, Container, owner, settings
from harness.backends.venvbuild import SMOKE
from harness.envspec import EnvSpec, envs_folder
from harness.errors import HarnessError

#: labels of images
NAME, KEY = "tf-migration-harness.environment", "tf-migration-harness.key"
REPOSITORY = "tf-migration-harness"
#: names another base image; `{python}` in it becomes the version, such as 3.7
BASE_VARIABLE = "HARNESS_PYTHON_IMAGE"
#: passed to the build, so that a mirror of the package index can be named
_INDEX = {"PIP_INDEX_URL": "UV_DEFAULT_INDEX", "PIP_EXTRA_INDEX_URL": "UV_INDEX", "PIP_TRUSTED_HOST": ""}
_TIMEOUT_S = 3600
_TAIL_LINES = 20


@dataclass(frozen=True, kw_only=True)
class DockerEnvironment:
    """An image that a worker can be started in."""

    spec: EnvSpec
    key: str
    image: str
    backend: str = "docker"

    @property
    def where(self) -> str:
        """The image's name."""
        return self.image

    def start(self, scratch: Path, flavour: str, limits: Limits) -> Running:
        """See :class:`harness.backends.base.Environment`."""
        with engine(keep=True) as client:
            return Container(client, self.image, self.spec, scratch, flavour, limits)

    def damage(self) -> str | None:
        """See :class:`harness.backends.base.Environment`: whether a first model runs in the image."""
        try:
            return first_model(self.spec, self.image)
        except HarnessError:
            return None  # the engine does not answer

    def replay(self, folder: Path) -> str:
        """See :class:`harness.backends.base.Environment`; files go in as they do in a run, and the log comes out."""
        held = ["--network", "none", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"]
        variables = [part for item in self.spec.variables.items() for part in ("-e", "=".join(item))]
        inside = f"cd /tmp && tar x && python -sB worker {shlex.quote(folder.name)}; cat {shlex.quote(folder.name)}/worker.log"
        pack = [
            "tar",
            "-C",
            str(folder.parent),
            "-ch",
            folder.name,
            "-C",
            str(WORKER_FOLDER.parent),
            WORKER_FOLDER.name,
        ]
        user = ["--user", f"{USER}:{USER}", "-e", "HOME=/tmp"]
        run = ["docker", "run", "--rm", "-i", *user, *held, *variables, self.image, "sh", "-c", inside]
        return f"{shlex.join(pack)} | {shlex.join(run)}"


@contextmanager
def engine(*, keep: bool = False) -> Iterator[docker.DockerClient]:
    """The engine that ``DOCKER_HOST`` or the current user's settings name; ``keep`` leaves the connection open.

    Raises:
        HarnessError: environment-backend-missing when it does not answer, or stops answering.
    """
    client = None
    try:
        client = docker.from_env(timeout=_TIMEOUT_S)
        yield client
    except ENGINE_ERRORS as error:
        if isinstance(error, APIError | ImageNotFound) and error.status_code not in (None, 500, 502, 503):
            raise
        raise HarnessError(
            "environment-backend-missing",
            f"The Docker engine does not answer: {_short(error)}",
            remedy="Start it (`docker info` must work for your user, DOCKER_HOST names another one), or use"
            " `--backend venv`.",
        ) from error
    finally:
        if client is not None and not keep:
            client.close()


@dataclass(frozen=True)
class DockerBackend:
    """Images of the engine that answers to ``docker``."""

    name: str = "docker"

    def key(self, spec: EnvSpec) -> str:
        """See :class:`harness.backends.base.Backend`."""
        return image_key(spec)

    def why_unavailable(self) -> str | None:
        """Why no container can be run from here, or None."""
        try:
            client = docker.from_env(timeout=20)
            try:
                client.ping()
            finally:
                client.close()
        except ENGINE_ERRORS as error:
            return f"the Docker engine does not answer ({_short(error)})."
        return None

    def find(self, spec: EnvSpec) -> DockerEnvironment | None:
        """The image of ``spec`` on this engine, or None."""
        key = image_key(spec)
        with engine() as client:
            try:
                client.images.get(_tag(spec, key))
            except ImageNotFound:
                return None
        return DockerEnvironment(spec=spec, key=key, image=_tag(spec, key))

    def check(self, spec: EnvSpec) -> str | None:
        """What is wrong with the image of ``spec``, or None: the versions of all packages, and a first model."""
        environment = self.find(spec)
        if environment is None:
            return f"there is no image {_tag(spec, image_key(spec))}"
        return first_model(spec, environment.image)

    def create(self, spec: EnvSpec, progress: Progress = silent, *, fetch_python: bool = False) -> DockerEnvironment:  # noqa: ARG002 - an image brings its own
        """The image of ``spec``, built now unless it is there. The engine builds equal steps once.

        Raises:
            HarnessError: environment-backend-missing, environment-build-failed.
        """
        if found := self.find(spec):
            return found
        key = image_key(spec)
        arguments = {"PYTHON_IMAGE": base_image(spec), "FLAVOUR": spec.keras_flavour, "TENSORFLOW": spec.tensorflow}
        for name, other in _INDEX.items():
            if value := os.environ.get(name) or os.environ.get(other):
                arguments[name] = value
        progress(f"{spec.name}: building the image {_tag(spec, key)} on {arguments['PYTHON_IMAGE']}")
        with engine() as client:
            self._build(client, spec, key, arguments, progress)
        return DockerEnvironment(spec=spec, key=key, image=_tag(spec, key))

    def _build(
        self, client: docker.DockerClient, spec: EnvSpec, key: str, arguments: dict[str, str], progress: Progress
    ) -> None:
        log: list[str] = []
        try:
            # The tag is set when the last step has succeeded: there is never an image with it that is not whole.
            stream = client.api.build(
                fileobj=_context(spec), custom_context=True, tag=_tag(spec, key), rm=True, forcerm=True, decode=True,
                buildargs=arguments, labels={NAME: spec.name, KEY: key}, platform="linux/amd64",
            )  # fmt: skip
            for line in stream:
                _follow(spec, line, log, progress)
            client.images.get(_tag(spec, key))
        except (APIError, BuildError, ImageNotFound) as error:
            raise _failed(spec, arguments["PYTHON_IMAGE"], _short(error), log) from error

    def remove(self, spec: EnvSpec) -> bool:
        """Whether there was anything to remove; also removes the images of older lock files."""
        with engine() as client:
            images = client.images.list(filters={"label": f"{NAME}={spec.name}"})
            for image in images:
                client.images.remove(image.id, force=True)
        return bool(images)

    def installed(self) -> list[Installed]:
        """Every environment's image on this engine, with its size."""
        with engine() as client:
            images = client.images.list(filters={"label": NAME})
        return [
            Installed(name=i.labels[NAME], key=i.labels.get(KEY, ""), path=Path(i.tags[0]), size_bytes=i.attrs["Size"])
            for i in sorted(images, key=lambda i: str(i.labels[NAME]))
            if i.tags
        ]

    def prune(self, specs: Iterable[EnvSpec]) -> list[str]:
        """Remove the images of older locks, and containers that a killed run left; returns names."""
        gone, current = [], {image_key(spec) for spec in specs}
        with engine() as client:
            for container in client.containers.list(all=True, filters={"label": LABEL, "status": "exited"}):
                if _owner_runs(str(container.labels.get(OWNER))):
                    continue  # it is about to read how its container ended
                container.remove(v=True, force=True)
                gone.append(container.name)
            for image in client.images.list(filters={"label": NAME}):
                if image.labels.get(KEY) not in current:
                    client.images.remove(image.id, force=True)
                    gone.append(image.tags[0] if image.tags else image.id)
        return gone


def _owner_runs(value: str) -> bool:
    """Whether the process that a container belongs to runs on this machine."""
    pid = value.rpartition(":")[2]
    return pid.isdecimal() and value == owner(int(pid)) and Path("/proc", pid).exists()


def first_model(spec: EnvSpec, image: str) -> str | None:
    """Why a first model does not run in an image, or None. Raises as :func:`engine`."""
    with engine() as client:
        command = ["python", "-s", "-B", "-c", SMOKE, spec.keras_flavour, spec.tensorflow]
        # A worker's own words go to the host; these are kept by the engine until they are read.
        how = {**settings(spec, Limits()), "log_config": LogConfig(type="json-file")}
        try:
            client.containers.run(image, command, remove=True, **how)
        except docker.errors.ContainerError as error:
            lines = error.stderr.decode("utf-8", "replace").strip().splitlines() or ["it says nothing"]
            return f"a first model does not run in it: {lines[-1]}"
    return None


def base_image(spec: EnvSpec) -> str:
    """The image that holds the interpreter: the spec's, or what ``HARNESS_PYTHON_IMAGE`` names."""
    return (os.environ.get(BASE_VARIABLE) or spec.image).replace("{python}", spec.python)


def image_key(spec: EnvSpec) -> str:
    """Sixteen hex digits over all that goes into the image."""
    digest = hashlib.sha256(f"{spec.key}\n{base_image(spec)}\n{SMOKE}\n".encode())
    for path in (envs_folder() / "Dockerfile", envs_folder() / "locks" / "pip.txt"):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _tag(spec: EnvSpec, key: str) -> str:
    return f"{REPOSITORY}/{spec.name}:{key}"


def _context(spec: EnvSpec) -> io.BytesIO:
    files = {
        "Dockerfile": (envs_folder() / "Dockerfile").read_bytes(),
        "pip.txt": (envs_folder() / "locks" / "pip.txt").read_bytes(),
        "requirements.txt": spec.lock_text().encode(),
        "smoke.py": SMOKE.encode(),
    }
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)  # with the time 0, so that the engine finds its earlier steps again
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    packed.seek(0)
    return packed


def _follow(spec: EnvSpec, line: dict[str, Any], log: list[str], progress: Progress) -> None:
    """Keep the build's last lines, and tell its steps. Raises BuildError where the engine reports one."""
    text = str(line.get("stream") or line.get("status") or line.get("error") or "").strip()
    if text:
        log.extend(text.splitlines())
        del log[:-_TAIL_LINES]
        if text.startswith("Step "):
            progress(f"{spec.name}: {text[:100]}")
    if "error" in line:
        raise BuildError(str(line["error"]), log)


def _failed(spec: EnvSpec, base: str, why: str, log: list[str]) -> HarnessError:
    return HarnessError(
        "environment-build-failed",
        f"The image of {spec.name} could not be built on {base}: {why}",
        details=log,
        remedy=(
            f"Read the output above. If {base} cannot be had, name another with {BASE_VARIABLE} (a mirror, or an image"
            " made offline: see docs/containers.md); a package index is named with PIP_INDEX_URL."
        ),
    )


def _short(error: BaseException) -> str:
    return str(error).strip().splitlines()[0][:300] if str(error).strip() else type(error).__name__
