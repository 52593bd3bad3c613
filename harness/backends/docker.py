"""Environments as container images, built from ``envs/Dockerfile`` and the same hashed locks as virtual environments.

Images are labelled and keyed by content, so that ``find`` is one question to the engine. Nothing depends on the host's
paths: build contexts and job folders travel through the engine's interface, which may be on another machine.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
from docker.errors import APIError, ImageNotFound
from docker.types import LogConfig

from harness.backends.base import WORKER_FOLDER, Installed, Limits, Progress, Running, silent
from harness.backends.container import ENGINE_ERRORS, LABEL, OWNER, Container, settings
from harness.backends.engines import TIMEOUT_S, connect, engine, owner_lives, refused, short
from harness.backends.imagebuild import (
    BASE,
    KEY,
    NAME,
    REPOSITORY,
    build,
    failed,
    image_key,
    remove_stages,
    tag_of,
)  # fmt: skip
from harness.backends.transfer import USER
from harness.backends.venvbuild import SMOKE
from harness.backends.venvcheck import LISTED, summary, version_findings
from harness.envspec import EnvSpec
from harness.errors import HarnessError


@dataclass(frozen=True, kw_only=True)
class DockerEnvironment:
    """An image that a worker can be started in."""

    spec: EnvSpec
    key: str
    image: str
    identifier: str = ""
    base: str = ""
    backend: str = "docker"

    @property
    def where(self) -> str:
        """The image's name."""
        return self.image

    @property
    def origin(self) -> dict[str, str]:
        """The image's identifier, and the digest of the base that it was built on, whose name may move."""
        return {"image": self.identifier, "base": self.base}

    def start(self, scratch: Path, flavour: str, limits: Limits) -> Running:
        """See :class:`harness.backends.base.Environment`."""
        with engine(keep=True) as client:
            try:
                return Container(client, self.image, self.spec, scratch, flavour, limits)
            except ImageNotFound as error:
                raise HarnessError(
                    "environment-unhealthy",
                    f"The image {self.image} is no longer on the Docker engine.",
                    remedy=f"Run again: it is built again (`envs create {self.spec.name} --backend docker`).",
                ) from error
            except APIError as error:
                raise _not_accepted(limits, error) from error

    def damage(self) -> str | None:
        """See :class:`harness.backends.base.Environment`: whether a first model runs in the image."""
        try:
            return first_model(self.spec, self.image)
        except HarnessError:
            return None  # the engine does not answer

    def replay(self, folder: Path) -> str:
        """See :class:`harness.backends.base.Environment`; files go in as they do in a run."""
        held = ["--network", "none", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"]
        variables = [part for item in self.spec.variables.items() for part in ("-e", "=".join(item))]
        job, worker = shlex.quote(folder.name), WORKER_FOLDER.name
        inside = f"cd /tmp && tar x && python -sB {worker} {job}; echo exit status $?; cat {job}/response.json"
        pack = ["tar", "-C", str(folder.parent), "-ch", folder.name, "-C", str(WORKER_FOLDER.parent), worker]
        user = ["--user", f"{USER}:{USER}", "-e", "HOME=/tmp"]
        run = ["docker", "run", "--rm", "-i", *user, *held, *variables, self.image, "sh", "-c", inside]
        return f"{shlex.join(pack)} | {shlex.join(run)}"


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
            client = connect(20)
            try:
                client.ping()
            finally:
                client.close()
        except ENGINE_ERRORS as error:
            return f"the Docker engine does not answer ({short(error)})."
        return None

    def find(self, spec: EnvSpec) -> DockerEnvironment | None:
        """The image of ``spec`` on this engine, or None."""
        key = image_key(spec)
        with engine() as client:
            try:
                image = client.images.get(tag_of(spec))
            except ImageNotFound:
                return None
        base = image.labels.get(BASE, "")
        return DockerEnvironment(spec=spec, key=key, image=tag_of(spec), identifier=image.id, base=base)

    def check(self, spec: EnvSpec) -> str | None:
        """What is wrong with the image of ``spec``, or None: versions and files of all packages, and a first model."""
        environment = self.find(spec)
        if environment is None:
            return f"there is no image {tag_of(spec)}"
        return packages(spec, environment.image) or first_model(spec, environment.image)

    def create(self, spec: EnvSpec, progress: Progress = silent, *, fetch_python: bool = False) -> DockerEnvironment:  # noqa: ARG002 - an image brings its own
        """The image of ``spec``, built now unless it is there.

        Raises:
            HarnessError: environment-backend-missing, environment-build-failed.
        """
        if found := self.find(spec):
            return found
        with engine() as client:
            build(client, spec, progress)
        if made := self.find(spec):
            return made
        raise failed(spec, "it was removed while it was built", [])

    def remove(self, spec: EnvSpec) -> bool:
        """Whether there was anything to remove; also removes the images of older lock files."""
        with engine() as client:
            images = client.images.list(filters={"label": f"{NAME}={spec.name}"})
            gone = [_untag(client, tag) for image in images for tag in _own_tags(image, spec.name)]
        return any(gone)

    def installed(self) -> list[Installed]:
        """Every environment's image on this engine, with its size."""
        with engine() as client:
            images = client.images.list(filters={"label": NAME})
        return [
            Installed(name=i.labels[NAME], key=i.labels.get(KEY, ""), path=Path(tag), size_bytes=i.attrs["Size"])
            for i in sorted(images, key=lambda i: str(i.labels[NAME]))
            for tag in _own_tags(i, i.labels[NAME])[:1]
        ]

    def prune(self, specs: Iterable[EnvSpec]) -> list[str]:
        """Remove the images of older locks, and containers that a killed run left; returns names."""
        gone, current = [], {image_key(spec) for spec in specs}
        with engine() as client:
            ended = ["created", "exited", "dead"]
            for container in client.containers.list(all=True, filters={"label": LABEL, "status": ended}):
                created = container.attrs["Created"] if container.status == "created" else None
                if owner_lives(container.labels.get(OWNER), created):
                    continue  # it is about to start, or somebody is about to read how it ended
                container.remove(v=True, force=True)
                gone.append(container.name)
            gone += remove_stages(client)
            for image in client.images.list(filters={"label": NAME}):
                if image.labels.get(KEY) not in current:
                    gone += [tag for tag in _own_tags(image, image.labels[NAME]) if _untag(client, tag)]
        return gone


def _own_tags(image: Any, name: str) -> list[str]:
    """The tags by which an image is ours; images that users make from ours inherit the labels, and are theirs."""
    return [tag for tag in image.tags if tag.startswith(f"{REPOSITORY}/{name}:")]


def _untag(client: docker.DockerClient, tag: str) -> bool:
    """Delete an image, or where others are made from it or it has other tags, its name only; False: it was gone."""
    try:
        client.images.remove(tag, force=True)
    except ImageNotFound:
        return False
    return True


def _not_accepted(limits: Limits, error: APIError) -> HarnessError:
    """An engine's refusal to make or start a container: of the limits that were given, if there are any."""
    given = {"--memory": limits.memory, "--storage": limits.storage, "--cpus": limits.cpus}
    options = [name for name, value in given.items() if value is not None]
    late = error.status_code == 500 and "cgroup" in str(error.explanation)  # some limits are only tried at the start
    if not options or not (late or error.status_code == 400):
        return refused(error)
    return HarnessError(
        "usage",
        f"The Docker engine does not accept a container with {', '.join(options)} as given: {short(error)}",
        remedy=f"Give another value to {' or '.join(options)}, or leave it out.",
    )


def packages(spec: EnvSpec, image: str) -> str | None:
    """How the packages in an image differ from the lock, or None. Raises as :func:`engine`."""
    status, said, complaint = _output(spec, image, ["-c", LISTED])
    try:
        found = json.loads(said)
        findings = [*version_findings(spec, map(str, found["packages"])), *map(str, found["files"])]
    except (ValueError, TypeError, KeyError):
        return f"its packages cannot be listed (exit status {status}): {_last_line(complaint)}"
    return summary(findings)


def first_model(spec: EnvSpec, image: str) -> str | None:
    """Why a first model does not run in an image, or None. Raises as :func:`engine`."""
    status, _, complaint = _output(spec, image, ["-c", SMOKE, spec.keras_flavour, spec.tensorflow])
    return f"a first model does not run in it: {_last_line(complaint)}" if status else None


def _output(spec: EnvSpec, image: str, arguments: list[str]) -> tuple[int, str, str]:
    """Exit status, output and errors of a Python program in an image, cut off as a worker is.

    The library's own ``run`` would fetch an image that is gone from a registry, where anybody may have its name.
    """
    # A worker's own words go to the host; these are kept by the engine until they are read.
    how = {**settings(spec, Limits()), "log_config": LogConfig(type="json-file")}
    with engine() as client:
        container = client.containers.create(image, ["python", "-s", "-B", *arguments], **how)
        try:
            container.start()
            status = int(container.wait(timeout=TIMEOUT_S)["StatusCode"])
            out, errors = (container.logs(stdout=s, stderr=not s).decode("utf-8", "replace") for s in (True, False))
        finally:
            container.remove(v=True, force=True)
    return status, out, errors


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["it says nothing"])[-1]
