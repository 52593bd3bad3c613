"""Parts of a graph that are not made of Keras, cut out as graphs of their own: one for each that hangs together."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from harness.lift.graph import LiftGraph, Spec
from harness.lift.plan import Plan, Tensor, Weight
from harness.lift.tiles import Tile, UnknownError, edges

#: what may go from layer to layer
_TYPES = (
    "float16", "bfloat16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "bool", "string",
)  # fmt: skip


def regions(graph: LiftGraph, blocked: Collection[str]) -> list[Tile]:
    """Tiles that carry the nodes ``blocked``.

    Raises:
        UnknownError: one of them cannot be cut out.
    """
    groups = _connected(graph, {name for name in blocked if name in graph.nodes})
    while True:
        # What lies on a way from a part back to it belongs to it; parts that meet are one.
        wider = [_closed(graph, group) for group in groups]
        merged = _connected(graph, set().union(*wider), wider)
        if sorted(map(sorted, merged)) == sorted(map(sorted, groups)):
            break
        groups = merged
    return [_tile(graph, group) for group in sorted(groups, key=min)]


def _connected(graph: LiftGraph, names: set[str], given: Iterable[set[str]] = ()) -> list[set[str]]:
    parent = {name: name for name in names}

    def root(name: str) -> str:
        while parent[name] != name:
            name = parent[name]
        return name

    for group in given:
        first = min(group)
        for name in group:
            parent[root(name)] = root(first)
    for name in names:
        for ref in graph.nodes[name]["inputs"]:
            if edges.base(ref) in names:
                parent[root(name)] = root(edges.base(ref))
    groups: dict[str, set[str]] = {}
    for name in names:
        groups.setdefault(root(name), set()).add(name)
    return list(groups.values())


def _closed(graph: LiftGraph, group: set[str]) -> set[str]:
    """The group and every node between two of it."""
    below: set[str] = set()
    for name, node in graph.nodes.items():  # in order
        if name in group or any(edges.base(ref) in below for ref in node["inputs"]):
            below.add(name)
    above: set[str] = set()
    for name in reversed(graph.nodes):
        if name in group:
            above.add(name)
        if name in above:
            above |= {edges.base(ref) for ref in graph.nodes[name]["inputs"]}
    return below & above & set(graph.nodes)


def _tile(graph: LiftGraph, group: set[str]) -> Tile:
    gives = _outputs(graph, group)
    nodes, fed = _cut(graph, group, gives)
    weights = _weights(graph, group, nodes)
    specs = [graph.spec(edge) for edge in gives]
    for edge, spec in [*zip(gives, specs, strict=True), *((edge, graph.spec(edge)) for edge in fed)]:
        if spec.dtype not in _TYPES or spec.shape is None:
            raise UnknownError(f"{edge} would go from layer to layer, but is {spec.dtype} of shape {spec.shape}")
    # The first input says how many examples there are.
    fed.sort(key=lambda edge: (graph.spec(edge).shape or (0,))[:1] != (None,))
    if not fed:
        raise UnknownError(f"{min(group)} is computed of no input, and cannot be carried as a layer")
    phase = {
        "inputs": [_tensor(edge) for edge in fed],
        "outputs": [[_tensor(edge), _shape(spec), spec.dtype] for edge, spec in zip(gives, specs, strict=True)],
        "variables": {weight.edge: role for role, weight in weights.items()},
        "updates": [],
        "masks": [None] * len(fed),
    }
    region = {
        "nodes": nodes,
        "inputs": [[_shape(graph.spec(edge)), graph.spec(edge).dtype] for edge in fed],
        "phase": phase,
        "weights": [
            {
                "role": role,
                "shape": list(w.shape),
                "dtype": w.dtype,
                "trainable": bool(graph.variables[w.edge]["trainable"]),
            }
            for role, w in weights.items()
        ],
        "list": len(gives) > 1,
    }
    order = [name for name in graph.nodes if name in group]

    def emit(plan: Plan, tensors: list[Tensor]) -> list[Tensor]:
        return plan.carried(region, tensors, specs, weights, name=f"carried_{order[-1]}", nodes=order)

    return Tile(inputs=tuple(fed), nodes=tuple(order), emit=emit, gives=tuple(gives))


def _tensor(edge: str) -> str:
    name, index = edges.split(edge)
    return f"{name}:{index}"


def _shape(spec: Spec) -> list[int | None] | None:
    return None if spec.shape is None else list(spec.shape)


def _outputs(graph: LiftGraph, group: set[str]) -> list[str]:
    found: dict[str, None] = {}
    for name, node in graph.nodes.items():
        for ref in node["inputs"] if name not in group else ():
            if edges.base(ref) in group:
                found[ref] = None
    return list(found | {ref: None for ref in graph.outputs if edges.base(ref) in group})


def _cut(graph: LiftGraph, group: set[str], gives: Iterable[str]) -> tuple[list[dict[str, Any]], list[str]]:
    """The nodes that compute a group from what goes into it, and the edges that go in."""
    index, queue = graph.prepared, [edges.base(edge) for edge in gives]
    kept: set[str] = set()
    fed: dict[str, None] = {}
    while queue:
        name = queue.pop()
        if name in kept:
            continue
        kept.add(name)
        for ref in edges.edges_of(index[name]):
            if edges.is_control(ref):
                continue
            edge = edges.join(*edges.split(ref))
            before = edges.base(edge)
            if edge in graph.inputs or (before not in group and _comes_from_outside(graph, edge)):
                fed[edge] = None
            else:
                queue.append(before)
    overlap = sorted({edges.base(edge) for edge in fed} & kept)
    if overlap:
        raise UnknownError(f"{overlap[0]} is both inside and outside of what would be carried")
    own = kept | {edges.base(edge) for edge in fed}
    nodes = [
        edges.rewire(node, lambda ref: ref if not edges.is_control(ref) or edges.base(ref) in own else None)
        for name, node in index.items()
        if name in kept
    ]
    return [{k: v for k, v in node.items() if k not in ("outputs", "known")} for node in nodes], list(fed)


def _comes_from_outside(graph: LiftGraph, edge: str) -> bool:
    """Whether another tile makes the tensor on an edge: no constant, no size, and no variable."""
    node = graph.node(edge)
    return node is not None and node["op"] != "Const"


def _weights(graph: LiftGraph, group: set[str], nodes: Iterable[Mapping[str, Any]]) -> dict[str, Weight]:
    """Role → the variable, of all that the nodes read."""
    found: dict[str, Weight] = {}
    for node in nodes:
        row = graph.variables.get(str(node["name"]))
        if row is None:
            continue
        if not set(graph.readers(row["name"])) <= group:
            raise UnknownError(f"the variable {row['name']} is read inside and outside of what would be carried")
        found[row["name"].replace("/", ".")] = Weight(
            edge=row["name"],
            array=row["array"],
            shape=tuple(row["shape"]),
            dtype=row["dtype"],
            trainable=row["trainable"],
        )
    return found
