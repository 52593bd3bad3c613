"""The order in which the readers are asked what a file is."""

from __future__ import annotations

import errno
import stat
from pathlib import Path

from harness.artifact import archives, arrays, foreign, hdf5, tensorflow_files
from harness.artifact.keras_config import CONFIG_BYTES_LIMIT, ConfigError, facts, parse_architecture, parse_json
from harness.artifact.keras_h5 import read_hdf5
from harness.artifact.kinds import Artifact, Kind
from harness.artifact.text import shown
from harness.errors import HarnessError

TAIL_BYTES = 16


def sniff(path: Path) -> Artifact:
    """Return what the file or folder at ``path`` is, decided by its content and not by its name.

    Metadata only: no array value is read, nothing is unpickled or executed, no link inside is followed.

    Raises:
        HarnessError: ``source-missing``, ``source-unreadable``, ``source-empty`` or ``source-truncated``.
    """
    try:
        mode, size_bytes = _look(path)
        if stat.S_ISDIR(mode):
            return _sniff_folder(path)
        if mode == 0:
            prefix = tensorflow_files.read_checkpoint_prefix(path)
            if prefix is None:
                raise _missing(path)
            return prefix
        if not stat.S_ISREG(mode):  # opening a pipe would wait for its writer
            raise HarnessError(
                "source-not-recognised", f'"{shown(path.name)}" is a device, a pipe or a socket; expected a file.'
            )
        if size_bytes == 0:
            raise HarnessError("source-empty", f'"{shown(path.name)}" is empty: it has 0 bytes.')
        return _sniff_file(path, size_bytes)
    except OSError as error:
        reason = error.strerror or str(error)
        raise HarnessError(
            "source-unreadable", f'"{shown(path.name)}" exists but could not be read: {reason}.'
        ) from error


def _look(path: Path) -> tuple[int, int]:
    """Return mode and size; mode 0 if there is nothing."""
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return 0, 0
    except ValueError as error:  # a NUL in the path
        raise HarnessError("source-missing", f'"{shown(str(path))}" is no possible path.') from error
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise _missing(path) from error
        raise
    return status.st_mode, status.st_size


def _missing(path: Path) -> HarnessError:
    name, parent = shown(path.name or str(path)), path.parent
    if not parent.is_dir():
        return HarnessError(
            "source-missing", f'"{name}" does not exist: there is no folder "{shown(str(parent), 200)}".'
        )
    return HarnessError("source-missing", f'"{name}" does not exist in the folder "{shown(str(parent), 200)}".')


def _sniff_folder(path: Path) -> Artifact:
    manifest = path / archives.MANIFEST
    if manifest.is_file() and manifest.stat().st_size <= archives.MANIFEST_BYTES_LIMIT:
        try:
            value = parse_json(manifest.read_bytes(), archives.MANIFEST_BYTES_LIMIT)
        except ConfigError:
            value = None
        if archives.is_manifest(value):
            size_bytes = tensorflow_files.folder_bytes(path)
            looks_like = "a bundle of this harness"
            return Artifact(
                path=path,
                kind=Kind.BUNDLE,
                looks_like=looks_like,
                size_bytes=size_bytes,
                is_directory=True,
                manifest=value,
            )
    known = tensorflow_files.read_folder(path)
    if known is not None:
        return known
    size_bytes = tensorflow_files.folder_bytes(path)
    empty = next(path.iterdir(), None) is None
    looks_like = "an empty folder" if empty else "a folder"
    return Artifact(path=path, kind=Kind.UNKNOWN, looks_like=looks_like, size_bytes=size_bytes, is_directory=True)


def _sniff_file(path: Path, size_bytes: int) -> Artifact:
    with path.open("rb") as stream:
        head = stream.read(foreign.HEAD_BYTES)
        stream.seek(max(0, size_bytes - TAIL_BYTES))
        tail = stream.read()
    offset = hdf5.signature_offset(path, size_bytes)
    # In a tar archive the first member starts at byte 512, where HDF5 looks for its own start.
    if offset is not None and not head.startswith(archives.ZIP_MAGIC) and not foreign.is_tar(head):
        return read_hdf5(path, size_bytes, offset)
    if len(head) < len(hdf5.SIGNATURE) and hdf5.SIGNATURE.startswith(head):
        raise HarnessError(
            "source-truncated", f'"{shown(path.name)}" is a truncated HDF5 file: it ends after {size_bytes} bytes.'
        )
    if head.startswith(archives.ZIP_MAGIC):
        return archives.read_zip(path, size_bytes)
    if head.startswith(arrays.NPY_MAGIC):
        return arrays.read_npy(path, size_bytes)
    return _sniff_unmarked(path, size_bytes, head, tail)


def _sniff_unmarked(path: Path, size_bytes: int, head: bytes, tail: bytes) -> Artifact:
    """Return what a file without a magic number at its start is."""
    if foreign.is_pickle(head, tail):
        return Artifact(path=path, kind=Kind.PICKLE, looks_like="a Python pickle", size_bytes=size_bytes)
    pointer = foreign.describe_pointer(head)
    if pointer is not None:
        return Artifact(path=path, kind=Kind.UNKNOWN, looks_like=pointer, size_bytes=size_bytes)
    if head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b'"'):
        return _sniff_json(path, size_bytes)
    known = (
        tensorflow_files.read_shard(path, size_bytes)
        or tensorflow_files.read_text_protobuf(path, size_bytes, head)
        or tensorflow_files.read_table(path, size_bytes)
        or arrays.read_safetensors(path, size_bytes)
        or tensorflow_files.read_protobuf(path, size_bytes)
    )
    if known is not None:
        return known
    if foreign.is_yaml_architecture(head):
        return Artifact(
            path=path,
            kind=Kind.KERAS_YAML,
            looks_like="a Keras architecture in YAML, without weights",
            size_bytes=size_bytes,
            keras_version=foreign.yaml_value(path, "keras_version"),
            backend=foreign.yaml_value(path, "backend"),
        )
    return Artifact(path=path, kind=Kind.UNKNOWN, looks_like=foreign.describe_foreign(head), size_bytes=size_bytes)


def _sniff_json(path: Path, size_bytes: int) -> Artifact:
    with path.open("rb") as stream:
        raw = stream.read(CONFIG_BYTES_LIMIT + 1)
    try:
        value = parse_json(raw.removeprefix(b"\xef\xbb\xbf"))
        if archives.is_manifest(value):
            looks_like = "the manifest of a bundle"
            return Artifact(path=path, kind=Kind.BUNDLE, looks_like=looks_like, size_bytes=size_bytes, manifest=value)
        if isinstance(value, dict) and "modelTopology" in value:
            return Artifact(path=path, kind=Kind.UNKNOWN, looks_like="a TensorFlow.js model", size_bytes=size_bytes)
        architecture = parse_architecture(raw.removeprefix(b"\xef\xbb\xbf"))
    except ConfigError:
        return Artifact(
            path=path, kind=Kind.UNKNOWN, looks_like=foreign.describe_foreign(raw[:4096]), size_bytes=size_bytes
        )
    keras_version, backend = architecture.get("keras_version"), architecture.get("backend")
    return Artifact(
        path=path,
        kind=Kind.KERAS_JSON,
        looks_like="a Keras architecture in JSON, without weights",
        size_bytes=size_bytes,
        keras_version=shown(keras_version) if isinstance(keras_version, str) else None,
        backend=shown(backend) if isinstance(backend, str) else None,
        model_config=architecture,
        model_config_text=raw.decode("utf-8", "replace"),
        **facts(architecture, keras_version if isinstance(keras_version, str) else None),
    )
