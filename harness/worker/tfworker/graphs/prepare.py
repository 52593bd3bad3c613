"""From a graph as TF1 wrote it to one that TF2 can run, differentiate and save; pure."""

import re
from typing import Any, Dict, List, Tuple

from . import edges
from .control_flow import IF, fold_constant_conditions, functionalise
from .hoist import hoist_reads
from .refs import WRITES, to_resources
from .renew import renewed
from .tensor_arrays import to_lists

Node = Dict[str, Any]
#: operations that reach outside of the graph: files, networks, Python, devices; a graph from a stranger may hold them
_OUTSIDE = re.compile(
    r"(Eager)?PyFunc\w*|ReadFile|WriteFile|MatchingFiles|\w*Reader\w*|Save\w*|Restore\w*|MergeV2Checkpoints|\w*Iterator\w*"
    r"|\w*Dataset\w*|\w*Queue\w*|_?(Host)?(Send|Recv)|Rpc\w*|TryRpc|Debug\w*|RemoteCall|\w*Collective\w*|Infeed\w*|Outfeed\w*"
    r"|Stage|Unstage|MapStage|\w*Barrier\w*|Print(V2)?|\w*Summary\w*|\w*Checkpoint\w*|InitializeTableFromTextFile\w*"
)
#: writes on references and on resources; a read of whether there is a value changes nothing
_WRITES = {name for pair in WRITES.items() for name in (pair[0], pair[1][0])}
_WRITES -= {"IsVariableInitialized", "VarIsInitializedOp"}


def folded(nodes: List[Node], fed: List[str], outputs: List[str]) -> List[Node]:
    """The nodes that ``outputs`` need once placeholders have their defaults and fixed conditions are decided."""
    names = {edges.base(ref) for ref in fed}
    nodes = [_with_default(node) if node["name"] not in names else node for node in nodes]
    return edges.prune(fold_constant_conditions(nodes), outputs, names)


def _with_default(node: Node) -> Node:
    if node["op"] != "PlaceholderWithDefault":
        return node
    kind = node["attrs"].get("dtype", {"type": "DT_FLOAT"})
    return dict(node, op="Identity", attrs={"T": kind})


def _count(nodes: List[Node], op: str) -> int:
    inner = [graph["nodes"] for node in nodes for graph in edges.inner_graphs(node)]
    return sum(node["op"] == op for node in nodes) + sum(_count(part, op) for part in inner)


def writes(nodes: List[Node]) -> List[str]:
    """What changes variables: ``name (operation)``."""
    return sorted("%s (%s)" % (node["name"], node["op"]) for node in nodes if node["op"] in _WRITES)


def outside(nodes: List[Node], library: List[Any]) -> List[str]:
    """What reads or writes anything but inputs, variables and tables: ``name (operation)``."""
    every = nodes + [node for function in library for node in function["nodes"]]
    return sorted("%s (%s)" % (node["name"], node["op"]) for node in every if _OUTSIDE.fullmatch(node["op"]))


def prepared(nodes: List[Node], fed: List[str], outputs: List[str]) -> Tuple[List[Node], Dict[str, int]]:
    """The structured graph, and how much of each kind was rewritten.

    Raises Unsupported naming what has no counterpart; ValueError for a graph with a cycle.
    """
    nodes = renewed(folded(nodes, fed, outputs))
    counts = {
        "reference variables": sum(n["op"] in ("VariableV2", "Variable") for n in nodes),
        "while loops": len({str(n["attrs"].get("frame_name")) for n in nodes if n["op"] == "Enter"}),
        "tensor arrays": sum(n["op"] == "TensorArrayV3" for n in nodes),
    }
    nodes = to_lists(to_resources(nodes))
    nodes = functionalise(edges.prune(nodes, outputs, {edges.base(ref) for ref in fed}))
    counts["conditionals"] = _count(nodes, IF)
    return hoist_reads(nodes), {kind: count for kind, count in counts.items() if count}
