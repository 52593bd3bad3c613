"""What patterns have in common: the tile that they cover a graph with, and how they read nodes, weights and attributes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np

from harness.lift.graph import LiftGraph, Node, Spec
from harness.lift.plan import Plan, Tensor, Weight
from harness.worker.tfworker.graphs import attrs, edges

#: take rows of what they are given first
GATHER = ("Gather", "GatherV2", "ResourceGather")


class UnknownError(Exception):
    """Why a node is not made of Keras; the message is for the report."""


@dataclass(frozen=True, kw_only=True)
class Tile:
    """Nodes that become one piece of the model.

    Attributes:
        inputs: the edges that it needs as tensors.
        nodes: everything that it covers, its last node included.
        emit: makes the outputs of the last node of the tensors on ``inputs``.
                outputs: the outputs of the last node that it makes; none stands for all.
        gives: the edges that ``emit`` gives, where it is not the outputs of the last node.
    """

    inputs: tuple[str, ...]
    nodes: tuple[str, ...]
    emit: Callable[[Plan, list[Tensor]], list[Tensor]]
    outputs: tuple[int, ...] = ()
    gives: tuple[str, ...] | None = None


@dataclass(kw_only=True)
class Reader:
    """A graph as patterns read it.

    Attributes:
        held: edges of variables that no layer may take.
    """

    graph: LiftGraph
    held: set[str] = field(default_factory=set)

    def node(self, edge: str, *ops: str) -> Node | None:
        """The node that an edge is the first output of, if it is one of ``ops``."""
        found = self.graph.node(edge)
        return found if found is not None and found["op"] in ops and found["name"] == edge else None

    def inside(self, nodes: Iterable[str], last: str) -> bool:
        """Whether what ``nodes`` give is read by nothing but them and the node ``last``."""
        own = {*nodes, last}
        return all(set(self.graph.readers(name)) <= own for name in own - {last})

    def weight(self, edge: str) -> Weight | None:
        """The weight on an edge: a variable or a large constant, perhaps in another shape or order of axes."""
        node, steps = self.graph.node(edge), []
        while node is not None and node["op"] in ("Reshape", "Transpose", "ExpandDims", "Squeeze"):
            steps.append((node, edge))
            edge = node["inputs"][0]
            node = self.graph.node(edge)
        made = self._stored(edge) or self._joined(node, edge)
        for step, at in reversed(steps):
            made = made and self._viewed(made, step, at)
        return made

    def _joined(self, node: Node | None, edge: str, *, though_held: bool = False) -> Weight | None:
        """A partitioned variable: parts that are nothing but joined, along one axis."""
        if node is None or node["op"] != "ConcatV2" or node["name"] != edge:
            return None
        *refs, at = node["inputs"]
        axis, parts = self.graph.numbers(at), [self._stored(ref, though_held=though_held) for ref in refs]
        if axis is None or len(set(refs)) < len(refs):
            return None
        return join(parts, axis[0])

    def table(self, edge: str) -> Weight | None:
        """The variable on an edge, as it is, or one whose parts are joined there and read by nothing else but lookups."""
        node = self.graph.node(edge)
        made = self.whole(edge) or self._joined(node, edge, though_held=True)
        return made if made is None or self.only_parts([edge for edge, _ in made.held], made) else None

    def only_parts(self, parts: list[str], made: Weight) -> bool:
        """Whether variables are used as the parts of one, if it has parts: joined, or looked up in."""
        readers = {name for part in parts for name in self.graph.readers(part)} if made.parts else set()
        nodes = [self.graph.nodes.get(name) for name in readers]
        return all(
            node is not None and (node["op"] in GATHER or (node["op"] == "ConcatV2" and node["inputs"][:-1] == parts))
            for node in nodes
        )

    def whole(self, edge: str) -> Weight | None:
        """The variable on an edge, as it is."""
        return self._stored(edge, though_held=True)

    def _stored(self, edge: str, *, though_held: bool = False) -> Weight | None:
        if edge in self.held and not though_held:
            return None
        row = self.graph.variables.get(edge)
        if row is not None:
            trains = None if row["was_constant"] else bool(row["trainable"])
            shape, dtype = tuple(row["shape"]), str(row["dtype"])
            return Weight(edge=edge, array=row["array"], shape=shape, dtype=dtype, trainable=trains)
        found = self.graph.known(edge)
        if found is None or found.batch is not None or found.stored is None or found.value.dtype.kind != "f":
            return None
        shape, dtype = found.value.shape, found.value.dtype.name
        return Weight(edge=edge, array=found.stored, shape=shape, dtype=dtype, trainable=False)

    def _viewed(self, weight: Weight, node: Node, edge: str) -> Weight | None:
        if node["op"] == "Transpose":
            order = self.graph.numbers(node["inputs"][1])
            if order is None:
                return None
            return weight.then([weight.shape[i] for i in order], op="transpose", axes=order)
        shape = self.graph.spec(edge).shape
        sizes = [size for size in shape or () if size is not None]
        if shape is None or len(sizes) < len(shape) or np.prod(weight.shape) != np.prod(sizes):
            return None
        return weight.then(sizes, op="reshape", shape=sizes)

    def vector(self, edge: str, channels: int | None) -> Weight | None:
        """A weight with one number for each channel, whatever axes of length 1 are around it."""
        found = self.weight(edge)
        if found is None or len(found.shape) == 0 or channels in (None, 0):
            return None
        if found.shape[-1] != channels or int(np.prod(found.shape)) != channels:
            return None
        return found if len(found.shape) == 1 else found.then([channels], op="reshape", shape=[channels])

    def uniform(self, edge: str) -> float | None:
        """The number that a constant repeats."""
        found = self.graph.constant(edge)
        if found is None or found.dtype.kind not in "fiu" or not found.size or not (found == found.ravel()[0]).all():
            return None
        return float(found.ravel()[0])

    def channels(self, edge: str) -> int | None:
        """Length of the last axis."""
        shape = self.graph.spec(edge).shape
        return shape[-1] if shape else None

    def spec(self, edge: str) -> Spec:
        """What is known of an edge."""
        return self.graph.spec(edge)


def join(parts: list[Weight | None], axis: int) -> Weight | None:
    """The weight that variables of one kind are the parts of."""
    found = [part for part in parts if part is not None and part.edge]
    if len(found) < len(parts) or not agree(found) or any(part.transforms for part in found):
        return None
    rank = len(found[0].shape)
    sizes = {
        tuple(n for i, n in enumerate(part.shape) if i != axis % rank) for part in found if len(part.shape) == rank
    }
    if len({len(part.shape) for part in found}) > 1 or len(sizes) > 1:
        return None
    made = found[0]
    for part in found[1:]:
        made = made.joined(part, axis % rank)
    return made


def agree(weights: Iterable[Weight | None]) -> bool:
    """Whether one layer may hold weights: of one type, and all trained or none."""
    given = [w for w in weights if w is not None]
    return len({w.dtype for w in given}) == 1 and len({w.trainable for w in given} - {None}) <= 1


def typed(reader: Reader, node: Node, weights: Iterable[Weight]) -> bool:
    """Whether weights are of the type that a layer which gives ``node`` computes in."""
    return {w.dtype for w in weights} <= {reader.spec(node["name"]).dtype}


def layer_name(weights: Iterable[Weight | None], node: Node) -> str:
    """A layer's name: the scope of its first variable."""
    edge = next((w.edge for w in weights if w is not None), node["name"])
    parts = edge.split("/")
    while (len(parts) > 1 and parts[-1] in ("read", "ReadVariableOp")) or (
        len(parts) > 2 and parts[-1].startswith("part_")
    ):
        parts.pop()
    return "/".join(parts[:-1]) if len(parts) > 1 else edge


def integers(node: Node, key: str) -> list[int]:
    """The list of whole numbers in an attribute."""
    return [int(n) for n in node["attrs"].get(key, {}).get("list", {}).get("i", [])]


def number(node: Node, key: str, default: float) -> float:
    """The float in an attribute."""
    return float(node["attrs"].get(key, {}).get("f", default))


def channels_last(node: Node) -> bool:
    """Whether the channels stand in the last axis."""
    return attrs.text(node, "data_format") in ("", "NHWC", "NDHWC")


def spatial(node: Node, key: str) -> list[int] | None:
    """Sizes for the spatial axes of an attribute for all axes; None if it touches examples or channels."""
    sizes = integers(node, key)
    if len(sizes) < 3 or sizes[0] != 1 or sizes[-1] != 1:
        return None
    return sizes[1:-1]


def flag(node: Node, key: str, default: bool = False) -> bool:
    """The truth value in an attribute."""
    return attrs.flag(node, key) if key in node["attrs"] else default


__all__ = [
    "Reader", "Tile", "UnknownError", "agree", "attrs", "channels_last", "edges", "flag", "integers", "join", "layer_name", "number",
    "spatial", "typed",
]  # fmt: skip
