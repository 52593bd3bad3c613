"""Graphs as far as ``inspect`` and a plan need them, read from protocol buffers without TensorFlow and without running anything.

Field numbers are those of TensorFlow's ``graph.proto``, ``meta_graph.proto`` and ``saved_model.proto``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from harness.artifact import textproto, wire

#: a message that was parsed from text
Message = Mapping[str, Any]
#: numbers of ``types.proto``, 100 more for references
DTYPES = {
    1: "float32", 2: "float64", 3: "int32", 4: "uint8", 5: "int16", 6: "int8", 7: "string", 8: "complex64", 9: "int64",
    10: "bool", 11: "qint8", 12: "quint8", 13: "qint32", 14: "bfloat16", 17: "uint16", 18: "complex128", 19: "float16",
    20: "resource", 21: "variant", 22: "uint32", 23: "uint64",
}  # fmt: skip
#: attributes that say what a placeholder or a variable holds
_KEPT = ("dtype", "shape", "T", "type")
#: bytes of a file that are parsed at most; larger graphs are described by their name and size alone
LIMIT = 1 << 30
#: bytes of text that are parsed at most; each costs about ten of memory
TEXT_LIMIT = 32 << 20


@dataclass(frozen=True, kw_only=True)
class GraphNode:
    """One node: inputs as GraphDef writes them; dtype and shape where it declares them."""

    name: str
    op: str
    inputs: tuple[str, ...] = ()
    dtype: str | None = None
    shape: tuple[int | None, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class Signature:
    """Arguments and results: name → (tensor, dtype, shape)."""

    inputs: Mapping[str, str]
    outputs: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class GraphFacts:
    """A graph with what its meta graph says of it."""

    nodes: tuple[GraphNode, ...] = field(repr=False)
    tags: tuple[str, ...] = ()
    signatures: Mapping[str, Signature] = field(default_factory=dict)
    assets: tuple[str, ...] = ()

    @property
    def variables(self) -> tuple[GraphNode, ...]:
        """Nodes that hold weights."""
        return tuple(n for n in self.nodes if n.op in ("Variable", "VariableV2", "VarHandleOp"))

    @property
    def placeholders(self) -> tuple[GraphNode, ...]:
        """Nodes that wait for data."""
        return tuple(n for n in self.nodes if n.op in ("Placeholder", "PlaceholderV2", "PlaceholderWithDefault"))


def read_graphs(path: Path) -> list[GraphFacts]:
    """The graphs of a SavedModel (folder or file), a meta graph or a GraphDef, binary or text.

    Raises:
        wire.WireError: the content is no such message, or damaged.
    """
    if path.is_dir():
        path = next((path / name for name in ("saved_model.pb", "saved_model.pbtxt") if (path / name).is_file()), path)
    size = path.stat().st_size
    if size > LIMIT:
        return []
    with path.open("rb") as stream:
        if textproto.looks_like(stream.read(4096)):
            if size > TEXT_LIMIT:
                raise wire.WireError(f"it has {size:,} bytes of text, more than the limit of {TEXT_LIMIT:,}")
            stream.seek(0)
            return _from_text(stream.read())
        for reader in (_saved_model, _meta_graphs, _plain_graph):
            try:
                found = list(reader(stream, size))
            except wire.WireError:
                continue
            if any(graph.nodes for graph in found):
                return found
    raise wire.WireError("no graph")


def _saved_model(stream: BinaryIO, end: int) -> Iterator[GraphFacts]:
    for item in wire.fields(stream, 0, end):
        if item.number not in (1, 2):
            raise wire.WireError("no SavedModel")
        if item.number == 2:
            yield _meta_graph(stream, item.start, item.end)


def _meta_graphs(stream: BinaryIO, end: int) -> Iterator[GraphFacts]:
    yield _meta_graph(stream, 0, end)


def _plain_graph(stream: BinaryIO, end: int) -> Iterator[GraphFacts]:
    yield GraphFacts(nodes=tuple(_nodes(stream, 0, end)))


def _meta_graph(stream: BinaryIO, start: int, end: int) -> GraphFacts:
    nodes: list[GraphNode] = []
    tags: list[str] = []
    signatures, assets = {}, []
    for item in wire.fields(stream, start, end):
        if item.number == 1:
            tags = [_text(stream, i) for i in wire.fields(stream, item.start, item.end) if i.number == 4]
        elif item.number == 2:
            nodes = list(_nodes(stream, item.start, item.end))
        elif item.number == 5:
            key, value = _entry(stream, item)
            if not key.startswith("__saved_model_") and value is not None:
                signatures[key] = _signature(stream, value)
        elif item.number == 6:
            assets += [_text(stream, i) for i in wire.fields(stream, item.start, item.end) if i.number == 2]
    return GraphFacts(nodes=tuple(nodes), tags=tuple(tags), signatures=signatures, assets=tuple(assets))


def _text(stream: BinaryIO, item: wire.Field) -> str:
    stream.seek(item.start)
    return stream.read(item.end - item.start).decode("utf-8", "replace")


def _entry(stream: BinaryIO, item: wire.Field) -> tuple[str, wire.Field | None]:
    """Key and value of a map's entry."""
    key, value = "", None
    for inner in wire.fields(stream, item.start, item.end):
        if inner.number == 1:
            key = _text(stream, inner)
        elif inner.number == 2:
            value = inner
    return key, value


def _signature(stream: BinaryIO, item: wire.Field) -> Signature:
    sides: dict[int, dict[str, str]] = {1: {}, 2: {}}
    for inner in wire.fields(stream, item.start, item.end):
        if inner.number in sides:
            key, value = _entry(stream, inner)
            if value is not None:
                sides[inner.number][key] = _tensor_info(stream, value)
    return Signature(inputs=sides[1], outputs=sides[2])


def _tensor_info(stream: BinaryIO, item: wire.Field) -> str:
    name, dtype, shape = "", None, ""
    for inner in wire.fields(stream, item.start, item.end):
        if inner.number == 1:
            name = _text(stream, inner)
        elif inner.number == 2:
            dtype = DTYPES.get(inner.value % 100)
        elif inner.number == 3:
            sizes = _shape(stream, inner)
            shape = "" if sizes is None else f" ({', '.join('None' if s is None else str(s) for s in sizes)})"
        elif inner.number == 4:
            name = "sparse"
    return f"{name} {dtype}{shape}"


def _nodes(stream: BinaryIO, start: int, end: int) -> Iterator[GraphNode]:
    for item in wire.fields(stream, start, end, limit=2_000_000):
        if item.number > 5:
            raise wire.WireError("no GraphDef")
        if item.number == 1:
            yield _node(stream, item)


def _node(stream: BinaryIO, item: wire.Field) -> GraphNode:
    name, op, inputs = "", "", []
    attrs: dict[str, wire.Field] = {}
    for inner in wire.fields(stream, item.start, item.end):
        if inner.number == 1:
            name = _text(stream, inner)
        elif inner.number == 2:
            op = _text(stream, inner)
        elif inner.number == 3:
            inputs.append(_text(stream, inner))
        elif inner.number == 5:
            key, value = _entry(stream, inner)
            if key in _KEPT and value is not None:
                attrs[key] = value
    kinds = [_attr(stream, attrs[key], 6) for key in ("dtype", "T") if key in attrs]
    dtype = DTYPES.get(kinds[0] % 100) if kinds and isinstance(kinds[0], int) else None
    shape = _attr(stream, attrs["shape"], 7) if "shape" in attrs else None
    return GraphNode(name=name, op=op, inputs=tuple(inputs), dtype=dtype, shape=shape)


def _attr(stream: BinaryIO, item: wire.Field, number: int) -> Any:
    for inner in wire.fields(stream, item.start, item.end):
        if inner.number == number:
            return inner.value if number == 6 else _shape(stream, inner)
    return None


def _shape(stream: BinaryIO, item: wire.Field) -> tuple[int | None, ...] | None:
    sizes: list[int | None] = []
    for inner in wire.fields(stream, item.start, item.end):
        if inner.number == 3 and inner.value:
            return None
        if inner.number == 2:
            size = next((i.value for i in wire.fields(stream, inner.start, inner.end) if i.number == 1), 0)
            sizes.append(None if size >= 1 << 63 else size)
    return tuple(sizes)


def _from_text(data: bytes) -> list[GraphFacts]:
    try:
        return list(_text_graphs(textproto.parse(data.decode("utf-8"))))
    except (ValueError, RecursionError) as error:
        raise wire.WireError(str(error)) from error


def _text_graphs(root: Message) -> Iterator[GraphFacts]:
    """The graphs of a parsed message. Raises ValueError for fields of another form than those of a graph."""
    metas = _messages(root, "meta_graphs") or ([root] if "graph_def" in root else [])
    if not metas:
        yield GraphFacts(nodes=tuple(map(_text_node, _messages(root, "node"))))
    for meta in metas:
        graph = next(iter(_messages(meta, "graph_def")), {})
        info = next(iter(_messages(meta, "meta_info_def")), {})
        signatures = {
            _word(entry, "key"): _text_signature(_message(entry, "value"))
            for entry in _messages(meta, "signature_def")
            if not _word(entry, "key").startswith("__saved_model_")
        }
        nodes = tuple(map(_text_node, _messages(graph, "node")))
        yield GraphFacts(nodes=nodes, tags=_words(info, "tags"), signatures=signatures)


def _messages(message: Message, key: str) -> list[Message]:
    found = message.get(key, [])
    if not all(isinstance(value, dict) for value in found):
        raise ValueError(f"`{key}` is no message")
    return list(found)


def _message(message: Message, key: str) -> Message:
    found = _messages(message, key)
    if not found:
        raise ValueError(f"a message has no `{key}`")
    return found[0]


def _words(message: Message, key: str) -> tuple[str, ...]:
    found = message.get(key, [])
    if not all(isinstance(value, str) for value in found):
        raise ValueError(f"`{key}` is a message")
    return tuple(found)


def _word(message: Message, key: str, default: str | None = None) -> str:
    found = _words(message, key) or (() if default is None else (default,))
    if not found:
        raise ValueError(f"a message has no `{key}`")
    return found[0]


def _text_signature(value: Message) -> Signature:
    sides = {
        side: {_word(e, "key"): _word(_message(e, "value"), "name", "sparse") for e in _messages(value, side)}
        for side in ("inputs", "outputs")
    }
    return Signature(**sides)


def _text_node(node: Message) -> GraphNode:
    attrs = {_word(e, "key"): _message(e, "value") for e in _messages(node, "attr") if e.get("value")}
    kind = next((_word(attrs[key], "type") for key in ("dtype", "T") if "type" in attrs.get(key, {})), "")
    names = {"float": "float32", "double": "float64", "half": "float16"}
    dtype = kind.removeprefix("DT_").removesuffix("_REF").lower()
    shape = _messages(attrs.get("shape", {}), "shape")
    sizes = None
    if shape and not shape[0].get("unknown_rank"):
        sizes = tuple(_text_size(dim) for dim in _messages(shape[0], "dim"))
    return GraphNode(
        name=_word(node, "name"), op=_word(node, "op"), inputs=_words(node, "input"),
        dtype=names.get(dtype, dtype) or None, shape=sizes,
    )  # fmt: skip


def _text_size(dim: Message) -> int | None:
    size = int(_word(dim, "size", "0"))
    if size >= 1 << 63:
        raise ValueError("a size that no tensor has")
    return None if size < 0 else size
