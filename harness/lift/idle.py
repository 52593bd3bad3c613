"""Nodes that change nothing: dropout that is switched off, products and quotients with one.

A frozen graph often holds its dropout, with random numbers, and a constant that keeps everything: ``floor(1 + u) · x / 1``
in TF1's first form, ``(u >= 0) · x · 1`` in the later one, for ``0 <= u < 1``. Nothing of that reaches an output.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.worker.tfworker.graphs import edges

if TYPE_CHECKING:
    from harness.lift.graph import LiftGraph, Node

_ADDS = ("Add", "AddV2")
#: comparison → where the random numbers stand, and the constant on the other side that makes it always true
_TRUE: dict[str, list[tuple[int, float]]] = {
    "GreaterEqual": [(0, 0.0)], "Less": [(0, 1.0)], "Greater": [(1, 1.0)], "LessEqual": [(1, 0.0)],
}  # fmt: skip


def handed_on(graph: LiftGraph) -> dict[str, str]:
    """Edge → the edge whose values it has; one step, which may lead to another such edge."""
    found = {}
    for node in graph.nodes.values():
        other = _handed(graph, node)
        if other is not None:
            found[node["name"]] = other
    return found


def _handed(graph: LiftGraph, node: Node) -> str | None:
    if len(node["inputs"]) != 2 or node["op"] not in ("Mul", "RealDiv", "Div"):
        return None
    first, second = node["inputs"]
    pairs = [(first, second)] if node["op"] != "Mul" else [(first, second), (second, first)]
    for kept, other in pairs:
        same = graph.spec(kept).shape is not None and graph.spec(kept) == graph.spec(node["name"])
        if same and graph.known(kept) is None and (_is(graph, other, 1.0) or _ones(graph, other)):
            return str(kept)
    return None


def _node(graph: LiftGraph, edge: str, *ops: str) -> Node | None:
    found = graph.node(edge)
    return found if found is not None and found["op"] in ops and edges.split(edge)[1] == 0 else None


def _is(graph: LiftGraph, edge: str, number: float) -> bool:
    """Whether an edge gives nothing but this number."""
    found = graph.constant(edge)
    return found is not None and found.dtype.kind == "f" and found.size > 0 and bool((found == number).all())


def _ones(graph: LiftGraph, edge: str) -> bool:
    """Whether an edge gives ones, whatever the random numbers are."""
    floor, cast = _node(graph, edge, "Floor"), _node(graph, edge, "Cast")
    if floor is not None:
        total = _node(graph, floor["inputs"][0], *_ADDS)
        sides = [] if total is None else [total["inputs"], total["inputs"][::-1]]
        return any(_is(graph, one, 1.0) and _uniform(graph, random) for one, random in sides)
    test = None if cast is None else _node(graph, cast["inputs"][0], *_TRUE)
    return test is not None and any(
        _uniform(graph, test["inputs"][place]) and _is(graph, test["inputs"][1 - place], number)
        for place, number in _TRUE[test["op"]]
    )


def _uniform(graph: LiftGraph, edge: str) -> bool:
    """Whether an edge gives random numbers of 0 and more, below 1."""
    node = graph.node(edge)
    if node is None:
        return False
    if node["op"] == "RandomUniform":
        return True
    if node["op"] not in (*_ADDS, "Mul"):
        return False
    nothing = 1.0 if node["op"] == "Mul" else 0.0
    first, second = node["inputs"]
    return any(
        _is(graph, other, nothing) and _uniform(graph, random) for random, other in ((first, second), (second, first))
    )
