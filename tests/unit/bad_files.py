"""Builders of model files, sound and broken: each function writes one file and has at most one defect."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np

DENSE = {
    "class_name": "Dense",
    "config": {"name": "dense_1", "units": 2, "activation": "relu", "batch_input_shape": [None, 3], "dtype": "float32"},
}
SEQUENTIAL = {"class_name": "Sequential", "config": {"name": "sequential_1", "layers": [DENSE]}}


def layer(class_name: str, **config: Any) -> dict[str, Any]:
    return {"class_name": class_name, "config": {"name": class_name.lower(), **config}}


def sequential(*layers: dict[str, Any]) -> dict[str, Any]:
    return {"class_name": "Sequential", "config": {"name": "sequential_1", "layers": list(layers)}}


def keras_h5(path: Path, config: Any = SEQUENTIAL, *, userblock: int = 0, **attributes: Any) -> Path:
    """A whole model; ``config`` is written as given if it is text or bytes; an attribute of None is left out."""
    written = {"keras_version": "2.2.4", "backend": "tensorflow", **attributes}
    with h5py.File(path, "w", userblock_size=userblock) as file:
        file.attrs["model_config"] = config if isinstance(config, (str, bytes, np.ndarray)) else json.dumps(config)
        for name, value in written.items():
            if value is not None:
                file.attrs[name] = value
        weights(file.create_group("model_weights"))
    return path


def weights(group: h5py.Group) -> None:
    group.attrs["layer_names"] = [b"dense_1"]
    inner = group.create_group("dense_1")
    inner.attrs["weight_names"] = [b"dense_1/kernel:0", b"dense_1/bias:0"]
    inner["dense_1/kernel:0"] = np.zeros((3, 2), "float32")
    inner["dense_1/bias:0"] = np.zeros(2, "float32")


def edited(path: Path, edit: Any) -> Path:
    """A whole model on which ``edit`` was called with the open file."""
    keras_h5(path)
    with h5py.File(path, "r+") as file:
        edit(file)
    return path


def weights_only(path: Path) -> Path:
    with h5py.File(path, "w") as file:
        weights(file)
        file.attrs["keras_version"] = "2.1.2"
        file.attrs["backend"] = "tensorflow"
    return path


def weights_only_keras1(path: Path) -> Path:
    with h5py.File(path, "w") as file:
        weights(file)
    return path


def weights_only_chunked(path: Path) -> Path:
    """As Keras splits a list of names above 64 kB."""
    with h5py.File(path, "w") as file:
        file.attrs["layer_names0"] = [b"a", b"b"]
        file.attrs["layer_names1"] = [b"c"]
    return path


def weights_only_in_model_weights(path: Path) -> Path:
    with h5py.File(path, "w") as file:
        weights(file.create_group("model_weights"))
    return path


def weights_only_keras3(path: Path) -> Path:
    with h5py.File(path, "w") as file:
        file["layers/dense/vars/0"] = np.zeros((3, 2), "float32")
    return path


def weights_only_tf212(path: Path) -> Path:
    with h5py.File(path, "w") as file:
        file["_layer_checkpoint_dependencies/dense/vars/0"] = np.zeros((3, 2), "float32")
    return path


def plain_hdf5(path: Path) -> Path:
    with h5py.File(path, "w") as file:
        file["kernel"] = np.zeros((3, 2), "float32")
    return path


def truncated(path: Path, keep: float) -> Path:
    """A whole model of which the first ``keep`` of its bytes are left."""
    keras_h5(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * keep)])
    return path


def heap_loop(path: Path) -> Path:
    """A whole model with the free space of its string heap declared as 0 bytes: libhdf5 2.0.0 never returns."""
    content = bytearray(keras_h5(path).read_bytes())
    start = content.index(b"GCOL")
    position = start + 16
    while content[position : position + 2] != b"\x00\x00":  # index 0 is the free space
        size = int.from_bytes(content[position + 8 : position + 16], "little")
        position += 16 + (size + 7) // 8 * 8
    content[position + 8 : position + 16] = bytes(8)
    return written(path, bytes(content))


def string_claims_gigabytes(path: Path) -> Path:
    """A whole model whose attribute `backend` claims a string of 3.8 GB; its heap holds 10 bytes."""
    content = bytearray(keras_h5(path).read_bytes())
    start = content.index(b"backend\x00")
    length = content.index((10).to_bytes(4, "little"), start + 32)  # the reference: length, heap, index
    content[length + 3] = 0xE2
    return written(path, bytes(content))


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def zipped(path: Path, entries: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return path


def keras3(path: Path) -> Path:
    entries = {
        "metadata.json": json.dumps({"keras_version": "3.3.0"}).encode(),
        "config.json": json.dumps(SEQUENTIAL).encode(),
        "model.weights.h5": b"",
    }
    return zipped(path, entries)


def gzipped(path: Path) -> Path:
    inside = keras_h5(path.with_name("inside.h5")).read_bytes()
    return written(path, gzip.compress(inside))


def tarred(path: Path) -> Path:
    """Its first member starts at byte 512, where HDF5 looks for its signature too."""
    inside = keras_h5(path.with_name("inside.h5")).read_bytes()
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
        entry = tarfile.TarInfo("model.h5")
        entry.size = len(inside)
        archive.addfile(entry, io.BytesIO(inside))
    return path


def npy(path: Path) -> Path:
    with path.open("wb") as stream:  # by stream: `np.save(path)` would append .npy
        np.save(stream, np.zeros((3, 2), "float32"))
    return path


def npz(path: Path) -> Path:
    with path.open("wb") as stream:
        np.savez(stream, kernel=np.zeros((3, 2), "float32"), bias=np.zeros(2, "float32"))
    return path


def safetensors(path: Path) -> Path:
    header = json.dumps({"kernel": {"dtype": "F32", "shape": [3, 2], "data_offsets": [0, 24]}}).encode()
    return written(path, len(header).to_bytes(8, "little") + header + bytes(24))


def field(number: int, payload: bytes) -> bytes:
    """A length-delimited protocol-buffer field of less than 128 bytes."""
    return bytes([number << 3 | 2, len(payload)]) + payload


def node(name: bytes, operation: bytes) -> bytes:
    return field(1, field(1, name) + field(2, operation))


def graph_def(path: Path) -> Path:
    return written(path, node(b"x", b"Placeholder") + node(b"y", b"Relu"))


def meta_graph_bytes() -> bytes:
    return field(1, field(5, b"1.12.0")) + field(2, node(b"x", b"Placeholder"))


def saved_model(folder: Path) -> Path:
    folder.mkdir()
    written(folder / "saved_model.pb", b"\x08\x01" + field(2, meta_graph_bytes()))
    return folder


def hub_module(folder: Path) -> Path:
    saved_model(folder)
    written(folder / "tfhub_module.pb", b"\x08\x03")
    return folder


def checkpoint(prefix: Path) -> Path:
    """A V2 checkpoint; returns the prefix, at which there is no file."""
    written(prefix.with_name(prefix.name + ".index"), bytes(40) + bytes.fromhex("57fb808b247547db"))
    written(prefix.with_name(prefix.name + ".data-00000-of-00001"), b"\x01\x02\x03\x04")
    written(prefix.with_name(prefix.name + ".meta"), meta_graph_bytes())
    return prefix


MANIFEST = {
    "schema_version": 1,
    "min_reader": 1,
    "required_features": [],
    "producer": {"name": "harness", "version": "0.1.0"},
    "source": {"kind": "keras_h5", "keras_version": "2.2.4"},
    "model": {"layers": [{"class_name": "Dense", "name": "dense_1"}]},
    "arrays": [{"name": "dense_1/kernel", "nbytes": 24}],
    "probes": [],
}


def bundle(folder: Path) -> Path:
    folder.mkdir()
    (folder / "manifest.json").write_text(json.dumps(MANIFEST))
    return folder


LFS_POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 872856\n"
