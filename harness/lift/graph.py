"""A TF1 graph as lifting looks at it: edges that carry data, identities gone, and what is known of every edge.

The nodes come out of the passes that the SavedModel is built with (``tfworker/graphs``), so phases are decided, references
are resources and loops are single nodes. An edge is named as in GraphDef, ``node`` or ``node:1``; that of a variable's value
is the name of the variable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from harness.lift.idle import handed_on
from harness.worker.tfworker.graphs import edges, prepare

Node = dict[str, Any]
Shape = tuple[int | None, ...] | None
#: hand their input on unchanged
_PASSING = {"Identity", "Snapshot", "PreventGradient", "CheckNumerics", "EnsureShape", "IdentityN", "DeepCopy"}
DTYPES = {
    "DT_FLOAT": "float32", "DT_DOUBLE": "float64", "DT_HALF": "float16", "DT_BFLOAT16": "bfloat16", "DT_INT8": "int8",
    "DT_INT16": "int16", "DT_INT32": "int32", "DT_INT64": "int64", "DT_UINT8": "uint8", "DT_UINT16": "uint16",
    "DT_UINT32": "uint32", "DT_UINT64": "uint64", "DT_BOOL": "bool", "DT_STRING": "string",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Spec:
    """What is known of the tensor on an edge; sizes are None where free."""

    shape: Shape
    dtype: str

    @property
    def rank(self) -> int | None:
        """Number of axes."""
        return None if self.shape is None else len(self.shape)


@dataclass(frozen=True, kw_only=True)
class Known:
    """A value that depends on no data: ``value + batch * N`` for N examples.

    Attributes:
        value: the array, for no examples.
        batch: coefficients of the number of examples, None where it does not matter.
        stored: name of the array in the bundle, if it is one.
    """

    value: np.ndarray[Any, Any]
    batch: np.ndarray[Any, Any] | None = None
    stored: str | None = None


@dataclass(kw_only=True)
class LiftGraph:
    """Nodes in order, with canonical edges, and what is known of them.

    Attributes:
        variables: edge -> row of the manifest.
        inputs: edge -> argument.
        prepared: the nodes as the passes leave them, for parts that are carried.
    """

    nodes: dict[str, Node]
    variables: Mapping[str, Mapping[str, Any]]
    inputs: Mapping[str, str]
    outputs: list[str]
    specs: dict[str, Spec]
    array: Callable[[str], Any]
    prepared: dict[str, Node] = field(default_factory=dict)
    _known: dict[str, Known | None] = field(default_factory=dict)
    _readers: dict[str, list[str]] = field(default_factory=dict)

    @classmethod
    def read(
        cls,
        nodes: Iterable[Node],
        signature: Mapping[str, Any],
        variables: Iterable[Mapping[str, Any]],
        array: Callable[[str], Any],
    ) -> LiftGraph:
        """The graph of one signature of a bundle.

        Raises:
            ValueError: the graph has a cycle.
            tfworker.graphs.refs.Unsupported: control flow or references that cannot be untangled.
        """
        fed = {spec["tensor"]: name for name, spec in reversed(list(signature["inputs"].items()))}
        wanted = [spec["tensor"] for spec in signature["outputs"].values()]
        recorded = list(nodes)
        specs = _specs(recorded)
        known = {
            edges.join(node["name"], int(index)): value
            for node in recorded
            for index, value in node.get("known", {}).items()
        }
        prepared, _ = prepare.prepared(recorded, list(fed), wanted)
        rows = {row["name"]: row for row in variables}
        made = cls(
            nodes={}, variables=rows, inputs={canonical(ref): name for ref, name in fed.items()}, outputs=[], specs=specs,
            array=array,
        )  # fmt: skip
        made._known = {ref: made._parsed(value) for ref, value in known.items()}
        made._fill(prepared, wanted)
        return made

    def _fill(self, prepared: list[Node], wanted: list[str], idle: Mapping[str, str] | None = None) -> None:
        index = self.prepared = edges.by_name(prepared)

        def source(ref: str) -> str:
            return self._source(ref, index, idle or {})

        nodes = []
        for node in prepared:
            refs = [source(ref) for ref in edges.edges_of(node) if not edges.is_control(ref)]
            if node["op"] in _PASSING and node["name"] in self.specs:
                # What leaves a loop is known by the exit that became an identity.
                self.specs.setdefault(refs[0], self.specs[node["name"]])
            if node["op"] in _PASSING or node["op"] == "ReadVariableOp":
                continue
            stops = any(edges.join(node["name"], i) in self._known for i in range(_outputs(node)))
            nodes.append({**node, "inputs": [] if stops or node["name"] in self.variables else refs})
        self.outputs = [source(ref) for ref in wanted]
        fed = {edges.base(ref) for ref in self.inputs}
        kept = _pruned(nodes, self.outputs, fed)
        self.nodes = {node["name"]: node for node in kept}
        if idle is None and (found := handed_on(self)):
            self._known = {ref: value for ref, value in self._known.items() if value is not None}
            self._fill(prepared, wanted, found)
            return
        for node in kept:
            for ref in node["inputs"]:
                self._readers.setdefault(ref, []).append(node["name"])

    def _source(self, ref: str, index: Mapping[str, Node], idle: Mapping[str, str]) -> str:
        """The edge that an edge's value comes from."""
        while True:
            ref = canonical(ref)
            name, position = edges.split(ref)
            if ref in self.inputs or ref in self._known or name not in index:
                return ref
            node = index[name]
            if ref in idle:
                ref = idle[ref]
            elif node["op"] in _PASSING:
                ref = edges.data_inputs(node)[position]
            elif node["op"] == "ReadVariableOp":
                ref = edges.data_inputs(node)[0]
            else:
                return ref

    def _parsed(self, value: Mapping[str, Any]) -> Known:
        batch = value.get("batch")
        made = self._tensor(value)
        return Known(
            value=made, batch=None if batch is None else np.array(batch).reshape(made.shape), stored=value.get("array")
        )

    def _tensor(self, value: Mapping[str, Any]) -> Any:
        shape = tuple(value["shape"])
        if "array" in value:
            held = np.asarray(self.array(value["array"]))
        else:
            dtype = DTYPES.get(value["dtype"], "float32")
            items = [float(v) if isinstance(v, str) and dtype != "string" else v for v in value["values"]]
            held = np.array(items, dtype=object if dtype == "string" else dtype)
        size = int(np.prod(shape, dtype=np.int64))
        if held.size < size:  # values that repeat the last one are written once
            held = np.concatenate([held.ravel(), np.repeat(held.ravel()[-1:], size - held.size)])
        return held.reshape(shape)

    def node(self, edge: str) -> Node | None:
        """The node that an edge comes from; None for inputs, variables and what is known."""
        name = edges.base(edge)
        if edge in self.inputs or name in self.variables or self.known(edge) is not None:
            return None
        return self.nodes.get(name)

    def known(self, edge: str) -> Known | None:
        """The value of an edge that depends on no data."""
        if edge not in self._known:
            node = self.nodes.get(edges.base(edge))
            self._known[edge] = (
                self._parsed(node["attrs"]["value"]["tensor"])
                if node is not None and node["op"] == "Const" and edge not in self.inputs
                else None
            )
        return self._known[edge]

    def constant(self, edge: str) -> Any:
        """The array on an edge that depends on nothing; else None."""
        found = self.known(edge)
        return found.value if found is not None and found.batch is None else None

    def numbers(self, edge: str) -> list[int] | None:
        """The constant whole numbers on an edge, flat; else None."""
        found = self.constant(edge)
        return None if found is None or found.dtype.kind not in "iu" else [int(n) for n in found.ravel()]

    def spec(self, edge: str) -> Spec:
        """Shape and type of the tensor on an edge."""
        if edge in self.variables:
            row = self.variables[edge]
            return Spec(shape=tuple(row["shape"]), dtype=row["dtype"])
        if edge in self.specs:
            return self.specs[edge]
        found = self.known(edge)
        if found is not None:
            return Spec(shape=found.value.shape, dtype=found.value.dtype.name)
        return Spec(shape=None, dtype="unknown")

    def readers(self, edge: str) -> list[str]:
        """Names of the nodes that read an edge; the empty name where it is an output."""
        return self._readers.get(edge, []) + [""] * self.outputs.count(edge)


def canonical(ref: str) -> str:
    """An edge as it is spelled here."""
    return edges.join(*edges.split(ref))


def _outputs(node: Node) -> int:
    return len(node.get("outputs", ())) or 1


def _specs(nodes: Iterable[Node]) -> dict[str, Spec]:
    found = {}
    for node in nodes:
        for index, (shape, dtype) in enumerate(node.get("outputs", ())):
            made = Spec(shape=None if shape is None else tuple(shape), dtype=dtype)
            found[edges.join(node["name"], index)] = made
    return found


def _pruned(nodes: list[Node], wanted: list[str], fed: set[str]) -> list[Node]:
    """What the wanted edges need, in order."""
    plain = [{key: value for key, value in node.items() if key not in edges.INNER} for node in nodes]
    return edges.in_order(edges.prune(plain, wanted, fed))
