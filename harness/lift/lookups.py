"""Rows looked up in a table that lies in parts: ``tf.nn.embedding_lookup`` of a partitioned variable.

TensorFlow 1 divides the indices among the parts, looks each up, and stitches the rows together again. Of parts that are joined it
is one lookup: the parts one after the other (``div``), or their rows dealt in turn (``mod``).
"""

from __future__ import annotations

from harness.lift.graph import Node
from harness.lift.plan import Plan, Tensor, Weight
from harness.lift.tiles import GATHER, Reader, Tile, edges, join, layer_name

_STITCH = ("ParallelDynamicStitch", "DynamicStitch")


def lookup(reader: Reader, node: Node) -> Tile | None:
    """The tile of such a lookup that ends in ``node``."""
    if node["op"] not in _STITCH or len(node["inputs"]) % 2:
        return None
    count = len(node["inputs"]) // 2
    rows = [reader.node(edge, *GATHER) for edge in node["inputs"][count:]]
    if count < 2 or any(row is None for row in rows):
        return None
    gathers = [row for row in rows if row is not None]
    parts = [row["inputs"][0] for row in gathers]
    weight = join([reader.whole(part) for part in parts], 0)
    if weight is None or len(weight.shape) != 2 or not reader.only_parts(parts, weight):
        return None
    places, indices = (
        _divided(reader, refs) for refs in (node["inputs"][:count], [row["inputs"][1] for row in gathers])
    )
    if places is None or indices is None or places["inputs"][1] != indices["inputs"][1]:
        return None
    order = _order(reader, indices["inputs"][1], count)
    if order is None:
        return None
    ids, dealt = order
    nodes = _between(reader, node["name"], ids)
    if nodes is None or not reader.inside(nodes, node["name"]):
        return None
    if dealt:
        weight = weight.then(weight.shape, op="deal", parts=count)
    return _tile(reader, node, weight, ids, [*nodes, node["name"]])


def partition(reader: Reader, node: Node) -> Tile | None:
    """The tile of a variable whose parts are joined, for what takes no weight but a tensor."""
    weight = reader.table(node["name"]) if node["op"] == "ConcatV2" else None
    if weight is None or not weight.parts:
        return None

    def emit(plan: Plan, _: list[Tensor]) -> list[Tensor]:
        return [plan.held(weight, layer_name([weight], node))]

    return Tile(inputs=(), nodes=(node["name"],), emit=emit, outputs=(0,))


def _tile(reader: Reader, node: Node, weight: Weight, ids: str, nodes: list[str]) -> Tile:
    config = {"input_dim": weight.shape[0], "output_dim": weight.shape[1]}
    name, spec = layer_name([weight], node), reader.spec(node["name"])

    def emit(plan: Plan, given: list[Tensor]) -> list[Tensor]:
        return [plan.layer("Embedding", config, given, spec, name=name, nodes=nodes, weights={"embeddings": weight})]

    return Tile(inputs=(ids,), nodes=tuple(nodes), emit=emit, outputs=(0,))


def _divided(reader: Reader, refs: list[str]) -> Node | None:
    """The node whose outputs, all of them in order, the edges are."""
    places = [edges.split(ref) for ref in refs]
    found = reader.graph.nodes.get(places[0][0])
    right = found is not None and found["op"] == "DynamicPartition"
    return found if right and places == [(places[0][0], i) for i in range(len(refs))] else None


def _order(reader: Reader, edge: str, count: int) -> tuple[str, bool] | None:
    """The indices of which ``edge`` says the part, and whether rows are dealt in turn."""
    node = reader.graph.node(edge)
    while node is not None and node["op"] == "Cast":
        node = reader.graph.node(node["inputs"][0])
    if node is not None and node["op"] == "FloorMod" and reader.graph.numbers(node["inputs"][1]) == [count]:
        return node["inputs"][0], True
    inner = None if node is None or node["op"] != "Maximum" else reader.node(node["inputs"][0], "FloorDiv")
    return None if inner is None else (inner["inputs"][0], False)


def _between(reader: Reader, last: str, ids: str) -> list[str] | None:
    """The nodes that lead from ``ids``, weights and constants to ``last``; None if they need anything else."""
    found: dict[str, None] = {}
    queue = list(reader.graph.nodes[last]["inputs"])
    while queue:
        edge = queue.pop()
        node = reader.graph.node(edge)
        if edge == ids or edges.base(edge) in reader.graph.variables or reader.graph.known(edge) is not None:
            continue
        if node is None:
            return None  # an input
        if node["name"] not in found:
            found[node["name"]] = None
            queue += node["inputs"]
    return [name for name in reader.graph.nodes if name in found]
