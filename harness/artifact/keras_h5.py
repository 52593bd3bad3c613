"""Keras files in HDF5, of every era: whole models and weights only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py

from harness.artifact import hdf5
from harness.artifact.keras_config import CONFIG_BYTES_LIMIT, ConfigError, facts, parse_architecture, parse_json
from harness.artifact.kinds import Artifact, Kind, Tensor
from harness.artifact.text import plural, shown
from harness.worker.tfworker.files import GROWTH, GROWTH_FREE_BYTES

SHORT_TEXT_BYTES = 1 << 10
TRAINING_CONFIG_BYTES = 1 << 20


def read_hdf5(path: Path, size_bytes: int, offset: int) -> Artifact:
    """Return what an HDF5 file is; its values are not read.

    Raises:
        HarnessError: ``source-truncated``.
    """
    with hdf5.opened(path, size_bytes) as file:
        found = hdf5.walk(file)
        declared = sum(tensor.size_bytes for tensor in found.tensors if tensor.compressed)
        if declared > GROWTH_FREE_BYTES + GROWTH * size_bytes:
            found.odd(f"Its compressed arrays grow to {declared:,} bytes, from {size_bytes:,} of the whole file.")
        common: dict[str, Any] = {"path": path, "size_bytes": size_bytes, "oddities": tuple(found.oddities)}
        if offset:
            common["notes"] = (f"The HDF5 content starts at byte {offset:,}, behind a user block.",)
        if hdf5.has_attribute(file, "model_config"):
            return _whole_model(file, found.tensors, common)
        layers = _weights_only_layers(file)
        if layers is not None:
            return _weights_only(file, layers, found.tensors, common)
        names = sorted({tensor.path.split("/", 1)[0] for tensor in found.tensors})
        inside = ", ".join(shown(name, 30) for name in names[:5]) + (", …" if len(names) > 5 else "")
        looks_like = f"an HDF5 file without Keras attributes, holding {plural(len(found.tensors), 'dataset')}"
        looks_like += f" ({inside})" if names else ""
        return Artifact(kind=Kind.UNKNOWN, looks_like=looks_like, weights=tuple(found.tensors), **common)


def _whole_model(file: h5py.File, tensors: list[Tensor], common: dict[str, Any]) -> Artifact:
    keras_version, backend = _short(file, "keras_version"), _short(file, "backend")
    text, architecture, error = _architecture(file)
    known = facts(architecture, keras_version) if architecture is not None else {}
    common["notes"] = (*common.get("notes", ()), *known.pop("notes", ()))
    return Artifact(
        kind=Kind.KERAS_H5,
        looks_like="a whole Keras model in HDF5",
        keras_version=keras_version,
        backend=backend,
        model_config=architecture,
        model_config_text=text,
        config_error=error,
        has_training_config=hdf5.has_attribute(file, "training_config"),
        has_optimizer_weights=hdf5.subgroup(file, "optimizer_weights") is not None,
        optimizer=_optimizer(file),
        weights=_below(tensors, "model_weights/"),
        **known,
        **common,
    )


def _weights_only(file: h5py.File, layers: int | None, tensors: list[Tensor], common: dict[str, Any]) -> Artifact:
    inner = hdf5.subgroup(file, "model_weights")
    where = inner if inner is not None and not hdf5.has_attribute(file, "layer_names") else file
    return Artifact(
        kind=Kind.KERAS_H5_WEIGHTS,
        looks_like=f"a Keras weights file of {plural(layers, 'layer')}" if layers else "a Keras weights file",
        keras_version=_short(where, "keras_version"),
        backend=_short(where, "backend"),
        weights=tuple(tensors),
        **common,
    )


def _weights_only_layers(file: h5py.File) -> int | None:
    """Return the number of layers of a weights file, 0 if it does not tell; None if it is no weights file."""
    for group in (file, hdf5.subgroup(file, "model_weights")):
        if group is not None and hdf5.has_attribute(group, "layer_names"):
            return _length(group, "layer_names")
    # Keras 3 and tf.keras from 2.12: layers/NAME/vars/0; older ones wrote _layer_checkpoint_dependencies.
    for name in ("layers", "_layer_checkpoint_dependencies"):
        layers = hdf5.subgroup(file, name)
        if layers is not None and _has_vars(layers):
            return len(layers)
    return 0 if _has_vars(file) or hdf5.subgroup(file, "vars") is not None else None


def _has_vars(group: h5py.Group) -> bool:
    children = (hdf5.subgroup(group, name) for name in list(group)[:1000])
    return any(child is not None and hdf5.subgroup(child, "vars") is not None for child in children)


def _length(group: h5py.Group, name: str) -> int:
    """Return the length of a list attribute from its shape, added up over Keras's chunks."""
    total = 0
    for chunk in [name, *(f"{name}{index}" for index in range(1000))]:
        if chunk in group.attrs:
            shape = group.attrs.get_id(chunk).shape
            total += shape[0] if shape else 0
        elif chunk != name:
            break
    return total


def _architecture(file: h5py.File) -> tuple[str | None, dict[str, Any] | None, str | None]:
    text = None
    try:
        text = hdf5.text_attribute(file, "model_config", CONFIG_BYTES_LIMIT)
        if text is None:
            return None, None, "is split over several attributes, which no Keras version reads"
        return text, parse_architecture(text), None
    except (hdf5.AttributeUnfitError, ConfigError) as error:
        return text, None, str(error)


def _optimizer(file: h5py.File) -> str | None:
    try:
        text = hdf5.text_attribute(file, "training_config", TRAINING_CONFIG_BYTES)
        config = parse_json(text, TRAINING_CONFIG_BYTES) if text is not None else None
    except (hdf5.AttributeUnfitError, ConfigError):
        return None
    optimizer = config.get("optimizer_config") if isinstance(config, dict) else None
    name = optimizer.get("class_name") if isinstance(optimizer, dict) else None
    return shown(name) if isinstance(name, str) else None


def _short(group: h5py.Group, name: str) -> str | None:
    try:
        text = hdf5.text_attribute(group, name, SHORT_TEXT_BYTES)
    except hdf5.AttributeUnfitError:
        return None
    return shown(text) if text is not None else None


def _below(tensors: list[Tensor], prefix: str) -> tuple[Tensor, ...]:
    return tuple(tensor for tensor in tensors if tensor.path.startswith(prefix))
