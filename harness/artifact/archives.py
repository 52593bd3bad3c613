"""Zip archives: Keras 3 archives, npz, zipped bundles, PyTorch files; entries are read within limits."""

from __future__ import annotations

import struct
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any

from harness.artifact import arrays
from harness.artifact.keras_config import CONFIG_BYTES_LIMIT, ConfigError, facts, parse_architecture, parse_json
from harness.artifact.kinds import Artifact, Kind, Tensor
from harness.artifact.text import plural, shown
from harness.errors import HarnessError
from harness.worker.tfworker.files import ZIP_DIRECTORY_LIMIT, zip_directory_bytes

ZIP_MAGIC = b"PK\x03\x04"
MANIFEST = "manifest.json"
MANIFEST_BYTES_LIMIT = 64 << 20
METADATA_BYTES_LIMIT = 1 << 20
MEMBERS_LIMIT = 10_000  # each costs up to 64 kB of decompression for its header
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_DAMAGE = (
    zipfile.BadZipFile, zlib.error, struct.error, NotImplementedError, RuntimeError, OSError, ValueError, EOFError,
    MemoryError,
)  # fmt: skip


def is_manifest(value: object) -> bool:
    """Return whether parsed JSON is the manifest of one of our bundles."""
    return isinstance(value, dict) and "schema_version" in value and "producer" in value


def read_zip(path: Path, size_bytes: int) -> Artifact:
    """Return what a zip archive is.

    Raises:
        HarnessError: ``source-truncated``: it has no end record, or an entry is damaged.
    """
    directory_bytes = zip_directory_bytes(str(path))
    if directory_bytes is None:
        raise HarnessError(
            "source-truncated",
            f'"{shown(path.name)}" is a truncated zip archive: it starts like one, but its end record is missing.',
        )
    if directory_bytes > ZIP_DIRECTORY_LIMIT:
        looks_like = f"a zip archive whose table of contents has {directory_bytes:,} bytes"
        return Artifact(path=path, kind=Kind.UNKNOWN, looks_like=looks_like, size_bytes=size_bytes)
    try:
        with zipfile.ZipFile(path) as archive:
            return _read_archive(archive, path, size_bytes)
    except _DAMAGE as error:
        raise HarnessError(
            "source-truncated", f'"{shown(path.name)}" is a damaged zip archive: {shown(str(error), 200)}.'
        ) from error


def _read_archive(archive: zipfile.ZipFile, path: Path, size_bytes: int) -> Artifact:
    names = set(archive.namelist())
    common: dict[str, Any] = {"path": path, "size_bytes": size_bytes}
    if MANIFEST in names:
        manifest = _json_entry(archive, MANIFEST, MANIFEST_BYTES_LIMIT)
        if is_manifest(manifest):
            return Artifact(
                kind=Kind.BUNDLE, looks_like="a bundle of this harness, zipped", manifest=manifest, **common
            )
    if {"config.json", "metadata.json"} <= names:
        return _keras3(archive, common)
    if names and all(name.endswith(".npy") for name in names):
        tensors = [_npz_member(archive, name) for name in archive.namelist()[:MEMBERS_LIMIT]]
        known = tuple(tensor for tensor in tensors if tensor is not None)
        return Artifact(
            kind=Kind.NPZ,
            looks_like=f"a numpy archive (.npz) of {plural(len(names), 'array')}",
            weights=known,
            **common,
        )
    if any(name.endswith("/data.pkl") for name in names):
        return Artifact(kind=Kind.UNKNOWN, looks_like="a PyTorch file", **common)
    if any(name.endswith("saved_model.pb") for name in names):
        return Artifact(kind=Kind.UNKNOWN, looks_like="a zip archive with a SavedModel inside", **common)
    return Artifact(kind=Kind.UNKNOWN, looks_like=f"a zip archive of {plural(len(names), 'file')}", **common)


def _keras3(archive: zipfile.ZipFile, common: dict[str, Any]) -> Artifact:
    metadata = _json_entry(archive, "metadata.json", METADATA_BYTES_LIMIT)
    version = metadata.get("keras_version") if isinstance(metadata, dict) else None
    keras_version = shown(version) if isinstance(version, str) else None
    text, architecture, error = _entry(archive, "config.json", CONFIG_BYTES_LIMIT), None, None
    known: dict[str, Any] = {}
    try:
        architecture = parse_architecture(text)
        known = facts(architecture, keras_version)
        known.pop("notes")  # they are about files that old versions wrote
    except ConfigError as problem:
        error = str(problem)
    return Artifact(
        kind=Kind.KERAS3_ARCHIVE,
        looks_like="a Keras archive (.keras)",
        keras_version=keras_version,
        model_config=architecture,
        model_config_text=text.decode("utf-8", "replace"),
        config_error=error,
        has_training_config=architecture is not None and bool(architecture.get("compile_config")),
        **known,
        **common,
    )


def _npz_member(archive: zipfile.ZipFile, name: str) -> Tensor | None:
    with _opened(archive, name) as stream:
        return arrays.npy_tensor(stream, name.removesuffix(".npy"))  # type: ignore[arg-type]


def _json_entry(archive: zipfile.ZipFile, name: str, limit: int) -> Any:
    try:
        return parse_json(_entry(archive, name, limit), limit)
    except ConfigError:
        return None


def _entry(archive: zipfile.ZipFile, name: str, limit: int) -> bytes:
    """Return the entry's bytes, at most ``limit`` + 1: the declared size is not trusted."""
    with _opened(archive, name) as stream:
        return stream.read(limit + 1)


def _opened(archive: zipfile.ZipFile, name: str) -> IO[bytes]:
    """The entry as a stream, a piece of which costs no more than a piece.

    Bzip2 and LZMA are unpacked in what a read returns and in what the input gives besides: a few kB become gigabytes.
    """
    if archive.getinfo(name).compress_type not in _METHODS:
        raise zipfile.BadZipFile(f'"{name}" is compressed by a method that neither numpy nor Keras uses')
    return archive.open(name)
