"""Building one image: what goes in, what the engine says, and nothing left of the stage that knew the package index."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import docker
from docker.errors import APIError, BuildError, ImageNotFound, NotFound
from docker.utils import parse_repository_tag

from harness.backends.base import Progress
from harness.backends.container import ENGINE_ERRORS, OWNER, owner
from harness.backends.engines import owner_lives, short
from harness.backends.venvbuild import SMOKE
from harness.envspec import EnvSpec, envs_folder
from harness.errors import HarnessError

#: labels of images: an environment, its key, its base; and the first stage of a build
NAME, KEY = "tf-migration-harness.environment", "tf-migration-harness.key"
BASE = "tf-migration-harness.base"
STAGE = "tf-migration-harness.stage"
REPOSITORY = "tf-migration-harness"
#: names another base image; `{python}` in it becomes the version, such as 3.7
BASE_VARIABLE = "HARNESS_PYTHON_IMAGE"
#: passed to the build, so that a mirror of the package index can be named
_INDEX = {"PIP_INDEX_URL": "UV_DEFAULT_INDEX", "PIP_EXTRA_INDEX_URL": "UV_INDEX", "PIP_TRUSTED_HOST": ""}
#: what is made of an image, in the folder of environments
_PARTS = ("Dockerfile", "locks/pip.txt", "locks/build.txt")
_TAIL_LINES = 20


def base_image(spec: EnvSpec) -> str:
    """The image that holds the interpreter: the spec's, or what ``HARNESS_PYTHON_IMAGE`` names."""
    return (os.environ.get(BASE_VARIABLE) or spec.image).replace("{python}", spec.python)


def image_key(spec: EnvSpec) -> str:
    """Sixteen hex digits over all that goes into the image."""
    digest = hashlib.sha256(f"{spec.key}\n{base_image(spec)}\n{SMOKE}\n".encode())
    for name in _PARTS:
        digest.update((envs_folder() / name).read_bytes())
    return digest.hexdigest()[:16]


def tag_of(spec: EnvSpec) -> str:
    """The name of the image of ``spec``."""
    return f"{REPOSITORY}/{spec.name}:{image_key(spec)}"


def build(client: docker.DockerClient, spec: EnvSpec, progress: Progress) -> None:
    """Build the image of ``spec``.

    Raises:
        HarnessError: environment-build-failed.
    """
    tag, base, log = tag_of(spec), base_image(spec), list[str]()
    index = {name: os.environ.get(name) or os.environ.get(other) or "" for name, other in _INDEX.items()}
    index = {name: value for name, value in index.items() if value}
    arguments = {
        "PYTHON_IMAGE": base,
        "FLAVOUR": spec.keras_flavour,
        "TENSORFLOW": spec.tensorflow,
        "OWNER": owner(os.getpid()),
        **index,
    }
    progress(f"{spec.name}: building the image {tag} on {base}")
    try:
        labels = {NAME: spec.name, KEY: image_key(spec), BASE: _base(client, base)}
        # The tag is set when the last step has succeeded: there is never an image with it that is not whole.
        stream = client.api.build(
            fileobj=_context(spec), custom_context=True, tag=tag, rm=True, forcerm=True, decode=True,
            buildargs=arguments, labels=labels, platform="linux/amd64",
        )  # fmt: skip
        for line in stream:
            _follow(spec, line, log, progress)
        client.images.get(tag)
    except (APIError, BuildError, ImageNotFound) as error:
        raise failed(spec, _without(index, short(error)), [_without(index, line) for line in log]) from error
    finally:
        with suppress(*ENGINE_ERRORS):  # of an engine that is gone, `envs prune` takes them
            remove_stages(client, arguments["OWNER"])


def _base(client: docker.DockerClient, name: str) -> str:
    """What ``name`` stands for today: its digest in a registry, or where it comes from none the image's identifier."""
    try:
        found = client.images.get(name)
    except ImageNotFound:
        found = client.images.pull(name, platform="linux/amd64")
    digests = sorted(found.attrs.get("RepoDigests") or [])
    own = [digest for digest in digests if digest.partition("@")[0] == parse_repository_tag(name)[0]]
    return str((own or digests or [found.id])[0])


def remove_stages(client: docker.DockerClient, belongs: str | None = None) -> list[str]:
    """Delete what is left of first stages, whose steps hold the address of the index and a password in it.

    Args:
        client: the engine.
        belongs: the process whose builds are meant; without it those of processes that are gone.
    """
    gone = []
    for image in client.images.list(filters={"dangling": True, "label": STAGE}):
        of = image.labels.get(OWNER)
        if of != belongs if belongs else owner_lives(of, image.attrs["Created"]):
            continue
        with suppress(NotFound):  # gone with another one that was made of it
            client.images.remove(image.id, force=True)
            gone.append(image.id)
    return gone


def failed(spec: EnvSpec, why: str, log: list[str]) -> HarnessError:
    """The error of a build, with the last lines of what was said."""
    base = base_image(spec)
    return HarnessError(
        "environment-build-failed",
        f"The image of {spec.name} could not be built on {base}: {why}",
        details=log,
        remedy=(
            f"Read the output above. If {base} cannot be had, name another with {BASE_VARIABLE} (a mirror, or an image"
            " made offline: see docs/containers.md); a package index is named with PIP_INDEX_URL."
        ),
    )


def _context(spec: EnvSpec) -> io.BytesIO:
    # Options stand in the file, because they differ from environment to environment.
    kinds = "".join(f"{name} {value}\n" for name, value in zip(spec.sources[::2], spec.sources[1::2], strict=True))
    files = {
        **{Path(name).name: (envs_folder() / name).read_bytes() for name in _PARTS},
        "requirements.txt": f"{kinds}{spec.lock_text()}".encode(),
        "smoke.py": SMOKE.encode(),
    }
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
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


def _without(index: Mapping[str, str], text: str) -> str:
    """Text in which the addresses of indexes are the names of their settings: they may hold a password."""
    for name, value in index.items():
        text = text.replace(value, f"${name}")
    return text
