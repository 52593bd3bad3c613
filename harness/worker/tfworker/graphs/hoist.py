"""Variables are read before loops and branches, not inside them; for graphs that write none.

TensorFlow 2.21 gives gradients of zero for a variable that is read inside a loop in a loop, once the model was saved and
loaded again; the same graph with the value handed in gives the right ones. Pure.
"""

from typing import Any, Dict, List, Set

from . import edges
from .attrs import constant, type_attr, type_of
from .edges import Node


def hoist_reads(nodes: List[Node]) -> List[Node]:
    """The structured nodes, every read of a variable that stood in an inner graph replaced by one outside of all."""
    handles = {node["name"]: node for node in nodes if node["op"] == "VarHandleOp"}
    taken = {node["name"] for node in nodes}
    reads = {}  # type: Dict[str, Node]

    def read_of(handle: str) -> str:
        if handle not in reads:
            name = edges.fresh(taken, handle + "/hoisted_read")
            attrs = {"dtype": type_attr(type_of(handles[handle], "dtype"))}
            reads[handle] = {"name": name, "op": "ReadVariableOp", "inputs": [handle], "attrs": attrs}
        return str(reads[handle]["name"])

    out = [_rewritten(node, handles, read_of, taken) for node in nodes]
    return edges.in_order(out + list(reads.values()))


def _rewritten(node: Node, handles: Dict[str, Node], read_of: Any, taken: Set[str]) -> Node:
    made = dict(node)
    for key in edges.INNER:
        if key in node:
            made[key] = _graph(node[key], handles, read_of, taken)
    return made


def _graph(graph: Any, handles: Dict[str, Node], read_of: Any, taken: Set[str]) -> Any:
    moved, kept = {}, []  # type: Dict[str, str], List[Node]
    index = edges.by_name(graph["nodes"])
    for node in graph["nodes"]:
        handle = _root(index, edges.data_inputs(node)[0]) if edges.data_inputs(node) else ""
        if node["op"] == "ReadVariableOp" and handle in handles:
            moved[node["name"]] = read_of(handle)
        elif node["op"] == "ResourceGather" and handle in handles and not _batched(node):
            kept += _gather(node, read_of(handle), taken)
        else:
            kept.append(_rewritten(node, handles, read_of, taken))

    def change(ref: str) -> Any:
        if edges.base(ref) not in moved:
            return ref
        return None if ref.startswith("^") else moved[edges.base(ref)]

    nodes = [edges.rewire(node, change) for node in kept]
    return dict(graph, nodes=nodes, results=[change(ref) for ref in graph["results"]])


def _root(index: Dict[str, Node], ref: str) -> str:
    while edges.base(ref) in index and index[edges.base(ref)]["op"] == "Identity":
        ref = edges.data_inputs(index[edges.base(ref)])[0]
    return edges.base(ref)


def _batched(node: Node) -> bool:
    return int(node["attrs"].get("batch_dims", {}).get("i", 0)) != 0


def _gather(node: Node, read: str, taken: Set[str]) -> List[Node]:
    axis = constant(edges.fresh(taken, node["name"] + "/axis"), "DT_INT32", [], [0])
    attrs = {
        "Tparams": node["attrs"]["dtype"],
        "Tindices": node["attrs"]["Tindices"],
        "Taxis": type_attr("DT_INT32"),
        "batch_dims": {"i": "0"},
    }
    indices = edges.data_inputs(node)[1]
    made = dict(node, op="GatherV2", inputs=[read, indices, axis["name"]] + edges.control_inputs(node), attrs=attrs)
    return [axis, made]
