"""TensorFlow's own files: SavedModel, meta graph, GraphDef (binary and text), checkpoints."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from harness.artifact import wire
from harness.artifact.kinds import Artifact, Kind
from harness.artifact.text import plural, shown
from harness.errors import HarnessError

# The last eight bytes of TensorFlow's table files (index of a V2 checkpoint, or a whole V1 checkpoint).
TABLE_MAGIC = bytes.fromhex("57fb808b247547db")
_SHARD = re.compile(r"(.+)\.data-\d{5}-of-\d{5}", re.DOTALL)
_OPERATION = re.compile(r"[A-Z_][A-Za-z0-9_>]*")
_TEXT_GRAPH = re.compile(
    rb"(?:\s|#[^\n]*\n)*(node|meta_info_def|saved_model_schema_version|model_checkpoint_path)\s*[:{]"
)


def read_protobuf(path: Path, size_bytes: int) -> Artifact | None:
    """Return the artifact if the file is a GraphDef, a meta graph or a SavedModel message; else None."""
    with path.open("rb") as stream:
        for reader in (_saved_model, _graph_def, _meta_graph):
            try:
                known = reader(stream, size_bytes)
            except wire.WireError:
                continue
            if known is not None:
                return Artifact(path=path, size_bytes=size_bytes, **known)
        if _cut_off(stream, size_bytes):
            message = f'"{shown(path.name)}" starts as a TensorFlow graph and is damaged, or cut off after {size_bytes} bytes.'
            raise HarnessError("source-truncated", message)
    return None


def _cut_off(stream: BinaryIO, end: int) -> bool:
    """Whether at least two nodes of a GraphDef come before what is no message."""
    nodes = 0
    try:
        for field in wire.fields(stream, 0, end):
            if field.number != 1 or field.wire_type != wire.BYTES or next(_operation(stream, field), None) is None:
                return False
            nodes += 1
    except wire.WireError:
        return nodes >= 2
    return False


def read_text_protobuf(path: Path, size_bytes: int, head: bytes) -> Artifact | None:
    """Return the artifact if the file is a TensorFlow message in text form; else None."""
    match = _TEXT_GRAPH.match(head)
    if not match:
        return None
    kind, looks_like = {
        b"node": (Kind.GRAPH_DEF, "a TensorFlow GraphDef in text form"),
        b"meta_info_def": (Kind.CHECKPOINT, "the meta graph of a checkpoint, in text form"),
        b"saved_model_schema_version": (Kind.SAVED_MODEL, "the graph file of a SavedModel, in text form"),
        b"model_checkpoint_path": (
            Kind.CHECKPOINT,
            "the file `checkpoint` that names the latest checkpoint of a folder",
        ),
    }[match[1]]
    return Artifact(path=path, kind=kind, looks_like=looks_like, size_bytes=size_bytes)


def read_table(path: Path, size_bytes: int) -> Artifact | None:
    """Return the artifact if the file is a checkpoint table: a V2 index or a V1 checkpoint; else None."""
    with path.open("rb") as stream:
        stream.seek(max(0, size_bytes - len(TABLE_MAGIC)))
        if stream.read() != TABLE_MAGIC:
            return None
    is_index = path.suffix == ".index" or any(path.parent.glob(_escaped(path.stem) + ".data-?????-of-?????"))
    looks_like = "the index of a TensorFlow checkpoint (V2)" if is_index else "a TensorFlow checkpoint (V1)"
    return Artifact(path=path, kind=Kind.CHECKPOINT, looks_like=looks_like, size_bytes=size_bytes)


def read_shard(path: Path, size_bytes: int) -> Artifact | None:
    """Return the artifact if the file is a data shard beside its index; its own content has no mark."""
    match = _SHARD.fullmatch(path.name)
    if not match or not path.with_name(match[1] + ".index").is_file():
        return None
    looks_like = f'a data file of the TensorFlow checkpoint "{shown(match[1])}"'
    return Artifact(path=path, kind=Kind.CHECKPOINT, looks_like=looks_like, size_bytes=size_bytes)


def read_checkpoint_prefix(path: Path) -> Artifact | None:
    """Return the artifact if ``path`` is a checkpoint's prefix (``PREFIX.index`` is a file); else None."""
    index = path.with_name(path.name + ".index")
    if not path.name or not index.is_file():
        return None
    parts = [part for part in path.parent.iterdir() if part.name.startswith(path.name + ".")]
    meta = path.with_name(path.name + ".meta")
    known = read_protobuf(meta, meta.stat().st_size) if meta.is_file() else None
    return Artifact(
        path=path,
        kind=Kind.CHECKPOINT,
        looks_like=f"a TensorFlow checkpoint (V2) of {plural(len(parts), 'file')}",
        size_bytes=sum(part.stat().st_size for part in parts),
        tensorflow_version=known.tensorflow_version if known else None,
        operations=known.operations if known else {},
    )


def read_folder(path: Path) -> Artifact | None:
    """Return the artifact if the folder is a SavedModel, a hub module or holds checkpoints; else None."""
    common: dict[str, Any] = {"path": path, "is_directory": True, "size_bytes": folder_bytes(path)}
    binary, as_text = path / "saved_model.pb", path / "saved_model.pbtxt"
    if binary.is_file() or as_text.is_file():
        hub = (path / "tfhub_module.pb").is_file()
        known = read_protobuf(binary, binary.stat().st_size) if binary.is_file() else None
        notes = ("It was written by tf.keras (keras_metadata.pb).",) if (path / "keras_metadata.pb").is_file() else ()
        return Artifact(
            kind=Kind.HUB_MODULE if hub else Kind.SAVED_MODEL,
            looks_like="a TensorFlow Hub module (TF1 format)" if hub else "a SavedModel",
            tensorflow_version=known.tensorflow_version if known else None,
            operations=known.operations if known else {},
            notes=notes,
            **common,
        )
    indexes = sorted(path.glob("*.index"))
    if indexes or (path / "checkpoint").is_file():
        looks_like = f"a folder with {plural(len(indexes), 'TensorFlow checkpoint')}"
        return Artifact(kind=Kind.CHECKPOINT, looks_like=looks_like, **common)
    return None


def folder_bytes(path: Path, limit: int = 100_000) -> int:
    """Return the size of all files below; symbolic links are not followed."""
    total, pending, entries = 0, [path], 0
    while pending and entries < limit:
        for entry in pending.pop().iterdir():
            entries += 1
            if entry.is_symlink():
                continue
            if entry.is_dir():
                pending.append(entry)
            else:
                total += entry.stat().st_size
    return total


def _saved_model(stream: BinaryIO, end: int) -> dict[str, Any] | None:
    """SavedModel: 1 = saved_model_schema_version (varint), 2 = meta_graphs."""
    top = list(wire.fields(stream, 0, end, limit=64))
    graphs = [field for field in top if field.number == 2 and field.wire_type == wire.BYTES]
    if not top or not graphs or any(field.number not in (1, 2) for field in top):
        return None
    if (top[0].number, top[0].wire_type, top[0].value) != (1, wire.VARINT, 1):
        return None
    known = _meta_graph_facts(stream, graphs[0].start, graphs[0].end)
    return {"kind": Kind.SAVED_MODEL, "looks_like": "the graph file of a SavedModel", **known} if known else None


def _meta_graph(stream: BinaryIO, end: int) -> dict[str, Any] | None:
    known = _meta_graph_facts(stream, 0, end)
    return (
        {"kind": Kind.CHECKPOINT, "looks_like": "the meta graph of a TensorFlow checkpoint", **known} if known else None
    )


def _meta_graph_facts(stream: BinaryIO, start: int, end: int) -> dict[str, Any] | None:
    """MetaGraphDef: 1 = meta_info_def, 2 = graph_def; MetaInfoDef: 5 = tensorflow_version."""
    version, operations = None, None
    for field in wire.fields(stream, start, end, limit=10_000):
        if field.number == 1 and field.wire_type == wire.BYTES and version is None:
            for inner in wire.fields(stream, field.start, field.end, limit=1_000):
                version = wire.text(stream, inner, limit=64) if inner.number == 5 else version
        elif field.number == 2 and field.wire_type == wire.BYTES:
            operations = _operations(stream, field.start, field.end)
    return {"tensorflow_version": version, "operations": operations} if operations else None


def _graph_def(stream: BinaryIO, end: int) -> dict[str, Any] | None:
    operations = _operations(stream, 0, end)
    return (
        {"kind": Kind.GRAPH_DEF, "looks_like": "a TensorFlow GraphDef", "operations": operations}
        if operations
        else None
    )


def _operations(stream: BinaryIO, start: int, end: int) -> dict[str, int] | None:
    """GraphDef: 1 = node, 2 = library, 3 = version, 4 = versions. Return operation → count; None if it is none."""
    counts: Counter[str] = Counter()
    for field in wire.fields(stream, start, end):
        if field.number > 5:
            return None
        if field.number == 1 and field.wire_type == wire.BYTES:
            operation = next(_operation(stream, field), None)
            if operation is None:
                return None
            counts[operation] += 1
    return dict(sorted(counts.items()))


def _operation(stream: BinaryIO, node: wire.Field) -> Iterator[str]:
    """NodeDef: 1 = name, 2 = op."""
    for field in wire.fields(stream, node.start, node.end, limit=8):
        value = wire.text(stream, field) if field.number == 2 else None
        if value is not None and _OPERATION.fullmatch(value):
            yield value


def _escaped(name: str) -> str:
    return re.sub(r"([*?\[])", r"[\1]", name)
