"""What comes before a network: decoding of sound and pictures, parsing of examples, strings and lookup tables.

Keras computes on numbers. Where a graph begins with nodes that Keras has nothing for, which hang on no weight, and that read
strings or cannot be carried inside of a model, the model begins behind them: the tensors there are its inputs, and the
nodes before are a SavedModel of their own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from harness.lift.graph import LiftGraph, canonical
from harness.lift.tiles import edges

_NUMBERS = ("float", "int", "uint", "bool", "bfloat")


@dataclass(frozen=True, kw_only=True)
class Front:
    """The part before the model.

    Attributes:
        signature: its inputs, and what it gives: the model's inputs.
        rest: the signature of the model.
        nodes: what it consists of.
    """

    signature: dict[str, Any]
    rest: dict[str, Any]
    nodes: list[str]

    @property
    def reads_strings(self) -> bool:
        """Whether it takes what Keras does not compute on."""
        return any(spec["dtype"] == "string" for spec in self.signature["inputs"].values())

    def as_json(self) -> dict[str, Any]:
        """For the report."""
        return {key: value for key, value in self.signature.items() if key != "method"} | {"nodes": self.nodes}


def front(graph: LiftGraph, signature: Mapping[str, Any], blocked: Iterable[str]) -> Front | None:
    """The part of a graph to be cut off for the nodes ``blocked``; None where there is no place to cut."""
    weighted: set[str] = set()
    for name, node in graph.nodes.items():  # in order
        before = {edges.base(ref) for ref in node["inputs"]}
        if name in graph.variables or before & (weighted | set(graph.variables)):
            weighted.add(name)
    queue = [name for name in blocked if name in graph.nodes and name not in weighted]
    own: set[str] = set()
    while queue:
        name = queue.pop()
        if name in graph.nodes and name not in own:
            own.add(name)
            queue += [edges.base(ref) for ref in graph.nodes[name]["inputs"] if ref not in graph.inputs]
    fed = {canonical(spec["tensor"]): (name, spec) for name, spec in signature["inputs"].items()}
    inside = [name for name in graph.nodes if name in own]
    gives = {
        ref: None
        for name, node in graph.nodes.items()
        for ref in (node["inputs"] if name not in own else ())
        if edges.base(ref) in own and ref not in fed and graph.known(ref) is None
    }
    if not gives or any(edges.base(ref) in own and ref not in fed for ref in graph.outputs):
        return None
    specs = {ref: graph.spec(ref) for ref in gives}
    if any(spec.shape is None or not spec.dtype.startswith(_NUMBERS) for spec in specs.values()):
        return None
    outside = {ref for name, node in graph.nodes.items() if name not in own for ref in node["inputs"]}
    taken = [ref for name in inside for ref in graph.nodes[name]["inputs"] if ref in fed]
    kept = {name: dict(spec) for ref, (name, spec) in fed.items() if ref in outside or ref in graph.outputs}
    made: dict[str, Any] = {}
    for ref, spec in specs.items():
        name, position = edges.split(ref)
        row = {"tensor": f"{name}:{position}", "shape": list(spec.shape or ()), "dtype": spec.dtype}
        made[_named(name, {*kept, *made})] = row
    inputs = {fed[ref][0]: dict(fed[ref][1]) for ref in dict.fromkeys(taken)}
    method = signature.get("method", "")
    return Front(
        signature={"inputs": inputs, "outputs": made, "method": method},
        rest={**signature, "inputs": {**kept, **made}},
        nodes=inside,
    )


def _named(node: str, taken: Iterable[str]) -> str:
    name = node.rpartition("/")[2]
    while name in taken:
        name += "_"
    return name
