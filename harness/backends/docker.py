"""Environments as container images, built from ``envs/Dockerfile`` and the same hashed locks as virtual environments.

Images are labelled and keyed by content, so that ``find`` is one question to the engine. Nothing depends on the host's
paths: build contexts and job folders travel through the engine's interface, which may be on another machine.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shlex
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import docker
from docker.errors import APIError, BuildError, ImageNotFound
from docker.types import LogConfig

from harness.backends.base import WORKER_FOLDER, Installed, Limits, Progress, Running, silent
from harness.backends.container import ENGINE_ERRORS, LABEL, OWNER, USER, Container, owner, settings
from harness.backends.engines import TIMEOUT_S, connect, engine, refused, short
from harness.backends.venvbuild import SMOKE
from harness.backends.venvcheck import LISTED, summary, version_findings
from harness.envspec import EnvSpec, envs_folder
from harness.errors import HarnessError

#: labels of images
NAME, KEY = "tf-migration-harness.environment", "tf-migration-harness.key"
REPOSITORY = "tf-migration-harness"
#: names another base image; `{python}` in it becomes the version, such as 3.7
BASE_VARIABLE = "HARNESS_PYTHON_IMAGE"
#: passed to the build, so that a mirror of the package index can be named
_INDEX = {"PIP_INDEX_URL": "UV_DEFAULT_INDEX", "PIP_EXTRA_INDEX_URL": "UV_INDEX", "PIP_TRUSTED_HOST": ""}
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
                client.images.get(_tag(spec, key))
            except ImageNotFound:
                return None
        return DockerEnvironment(spec=spec, key=key, image=_tag(spec, key))

    def check(self, spec: EnvSpec) -> str | None:
        """What is wrong with the image of ``spec``, or None: versions and files of all packages, and a first model."""
        environment = self.find(spec)
        if environment is None:
            return f"there is no image {_tag(spec, image_key(spec))}"
        return packages(spec, environment.image) or first_model(spec, environment.image)

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
            raise _failed(spec, arguments["PYTHON_IMAGE"], short(error), log) from error

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
                if _in_use(container):
                    continue  # it is about to start, or somebody is about to read how it ended
                container.remove(v=True, force=True)
                gone.append(container.name)
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


def _in_use(container: Any) -> bool:
    """Whether the process that a container belongs to runs; of another machine's, whether it may."""
    host, _, pid = str(container.labels.get(OWNER)).rpartition(":")
    if host == owner(0).rpartition(":")[0]:
        return pid.isdecimal() and Path("/proc", pid).exists()
    made = datetime.fromisoformat(str(container.attrs["Created"]).partition(".")[0].removesuffix("Z") + "+00:00")
    return container.status == "created" and (datetime.now(UTC) - made).total_seconds() < TIMEOUT_S


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
    how = {**settings(spec, Limits()), "log_config": LogConfig(type="json-file"), "use_config_proxy": False}
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
