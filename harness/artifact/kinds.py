"""What can be known about a model file without TensorFlow: :class:`Artifact` and its parts."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any

from harness.artifact.text import shown
from harness.errors import HarnessError

HASH_BLOCK_BYTES = 1 << 20


class Kind(StrEnum):
    """What an artifact is; the value stands in JSON."""

    KERAS_H5 = "keras_h5"
    KERAS_H5_WEIGHTS = "keras_h5_weights"
    KERAS3_ARCHIVE = "keras3_archive"
    KERAS_JSON = "keras_json"
    KERAS_YAML = "keras_yaml"
    SAVED_MODEL = "saved_model"
    HUB_MODULE = "hub_module"
    CHECKPOINT = "checkpoint"
    GRAPH_DEF = "graph_def"
    NPY = "npy"
    NPZ = "npz"
    PICKLE = "pickle"
    SAFETENSORS = "safetensors"
    BUNDLE = "bundle"
    UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """One stored array, from the file's metadata; its values were not read.

    Attributes:
        path: where it stands in the file.
        shape: as declared.
        dtype: numpy's name (``float32``), or the HDF5 class for what numpy has no number for.
        size_bytes: what the declared shape and dtype need.
        stored_bytes: what the file holds for it; None where the format does not tell.
        compressed: whether ``stored_bytes`` may rightly be smaller than ``size_bytes``.
    """

    path: str
    shape: tuple[int, ...]
    dtype: str
    size_bytes: int
    stored_bytes: int | None = None
    compressed: bool = False

    @property
    def parameters(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)


@dataclass(frozen=True, kw_only=True)
class LambdaLayer:
    """A layer whose computation is Python code: as ``bytecode`` in the file, or by ``name`` only.

    Attributes:
        family: Pythons that run each other's bytecode, such as ``3.6-3.7``; None where nothing is known.
        pythons: oldest and newest Python that reads this bytecode.
    """

    name: str
    stored_as: str
    family: str | None = None
    pythons: tuple[tuple[int, int], tuple[int, int]] | None = None


@dataclass(frozen=True, kw_only=True)
class ModelInput:
    """An input as the config declares it; ``dtype`` is None where the config leaves it open."""

    name: str
    shape: tuple[int | None, ...] | None
    dtype: str | None


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """What a file or folder is, and what its metadata says.

    Attributes:
        looks_like: what the content is, as a noun phrase with its article ("an HTML page").
        tensorflow_version: the writer, where the format records it (SavedModel, meta graph).
        class_name: the root of the architecture: ``Sequential``, ``Model`` or ``Functional``.
        model_config: the architecture as parsed JSON; None if there is none or it is broken.
        model_config_text: the architecture as found, decoded.
        config_error: why ``model_config`` is None although the file claims one.
        layer_classes: class → count below the root, through nested models and wrappers.
        custom_classes: layer classes that no Keras version ships.
        custom_functions: activations that no Keras version ships.
        oddities: what no TensorFlow writes (links, storage in other files, …): one sentence each.
        notes: findings that do not stand in the way.
        manifest: of a bundle, the parsed ``manifest.json``.
    """

    path: Path
    kind: Kind
    looks_like: str
    size_bytes: int
    is_directory: bool = False
    keras_version: str | None = None
    backend: str | None = None
    tensorflow_version: str | None = None
    class_name: str | None = None
    model_config: Mapping[str, Any] | None = field(default=None, repr=False)
    model_config_text: str | None = field(default=None, repr=False)
    config_error: str | None = None
    layer_classes: Mapping[str, int] = field(default_factory=dict)
    custom_classes: tuple[str, ...] = ()
    custom_functions: tuple[str, ...] = ()
    lambda_layers: tuple[LambdaLayer, ...] = ()
    inputs: tuple[ModelInput, ...] = ()
    has_training_config: bool = False
    has_optimizer_weights: bool = False
    optimizer: str | None = None
    weights: tuple[Tensor, ...] = field(default=(), repr=False)
    operations: Mapping[str, int] = field(default_factory=dict, repr=False)
    oddities: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    manifest: Mapping[str, Any] | None = field(default=None, repr=False)

    @property
    def parameters(self) -> int:
        """The number of elements of all weights, as declared."""
        return sum(tensor.parameters for tensor in self.weights)

    @property
    def weight_bytes(self) -> int:
        """The size of all weights, as declared."""
        return sum(tensor.size_bytes for tensor in self.weights)

    @cached_property
    def sha256(self) -> str:
        """The checksum of the file; of a folder or a set of files, that of its ``sha256sum`` listing.

        Raises:
            HarnessError: ``source-unreadable``.
        """
        if not self.is_directory and self.path.is_file():
            return _file_sha256(self.path)
        return sha256_of_files(self.files())

    def files(self) -> Iterator[tuple[str, Path]]:
        """Yield the name and path of every file that belongs to the artifact, sorted by name."""
        if self.is_directory:
            found = sorted(path for path in self.path.rglob("*") if path.is_file())
            yield from ((path.relative_to(self.path).as_posix(), path) for path in found)
        elif self.path.is_file():
            yield self.path.name, self.path
        else:  # a checkpoint prefix: PREFIX.index, PREFIX.data-…, PREFIX.meta
            found = sorted(path for path in self.path.parent.iterdir() if path.name.startswith(self.path.name + "."))
            yield from ((path.name, path) for path in found)


def sha256_of_files(files: Iterable[tuple[str, Path]]) -> str:
    """The checksum of the ``sha256sum`` listing of files, given as name and path.

    Raises:
        HarnessError: ``source-unreadable``.
    """
    lines = [f"{_file_sha256(path)}  {name}\n" for name, path in files]
    return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


def _file_sha256(path: Path) -> str:
    digest = hashlib.sha256()
    try:
        with path.open("rb") as stream:
            while block := stream.read(HASH_BLOCK_BYTES):
                digest.update(block)
    except OSError as error:
        raise HarnessError("source-unreadable", f'"{shown(path.name)}" could not be read: {error.strerror}.') from error
    return digest.hexdigest()
