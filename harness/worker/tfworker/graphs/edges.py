"""Edges of a neutral graph: names of tensors, order, reachability. Shared by every pass; knows no TensorFlow.

A *node* is ``{"name", "op", "inputs", "attrs"}``. Inputs are written as GraphDef writes them: ``node`` for output 0,
``node:1`` for others, ``^node`` for a control edge. A node may hold whole graphs (see ``control_flow``); names are unique
through all of them, so an inner graph names an outer tensor by its name.
"""

from typing import Any, Callable, Dict, Iterable, Iterator, List, Set, Tuple

Node = Dict[str, Any]
#: keys of a node under which an inner graph {"parameters", "nodes", "results"} stands
INNER = ("cond", "body", "then", "else")


def split(ref: str) -> Tuple[str, int]:
    """(node name, output index) of an edge; -1 for a control edge."""
    if ref.startswith("^"):
        return ref[1:], -1
    name, colon, index = ref.rpartition(":")
    return (name, int(index)) if colon and index.isdigit() else (ref, 0)


def join(name: str, index: int) -> str:
    """The edge from output ``index`` of a node; -1 is a control edge."""
    return "^" + name if index < 0 else name if index == 0 else "%s:%d" % (name, index)


def base(ref: str) -> str:
    """Name of the node that an edge comes from."""
    return split(ref)[0]


def is_control(ref: str) -> bool:
    """Whether an edge only orders."""
    return ref.startswith("^")


def data_inputs(node: Node) -> List[str]:
    """The edges that carry tensors, in order."""
    return [ref for ref in node["inputs"] if not ref.startswith("^")]


def control_inputs(node: Node) -> List[str]:
    """The edges that only order."""
    return [ref for ref in node["inputs"] if ref.startswith("^")]


def inner_graphs(node: Node) -> List[Any]:
    """The graphs that a node holds."""
    return [node[key] for key in INNER if key in node]


def edges_of(node: Node) -> Iterator[str]:
    """All edges into a node, those from outside into its inner graphs included."""
    for ref in node["inputs"]:
        yield ref
    for graph in inner_graphs(node):
        for ref in free_edges(graph):
            yield ref


def free_edges(graph: Any) -> List[str]:
    """Edges of an inner graph that come from outside of it, each once."""
    own = set(graph["parameters"]) | {node["name"] for node in graph["nodes"]}
    found = {}  # type: Dict[str, None]
    for ref in [ref for node in graph["nodes"] for ref in edges_of(node)] + list(graph["results"]):
        if base(ref) not in own:
            found[ref] = None
    return list(found)


def by_name(nodes: Iterable[Node]) -> Dict[str, Node]:
    """Name -> node."""
    return {node["name"]: node for node in nodes}


def consumers(nodes: Iterable[Node]) -> Dict[str, List[Tuple[Node, str]]]:
    """Node name -> (consumer, edge) of every edge that leaves it, edges into inner graphs included."""
    found = {}  # type: Dict[str, List[Tuple[Node, str]]]
    for node in nodes:
        for ref in edges_of(node):
            found.setdefault(base(ref), []).append((node, ref))
    return found


def ancestors(nodes: Iterable[Node], targets: Iterable[str], stop: Iterable[str] = ()) -> Set[str]:
    """Names of the nodes that the edges ``targets`` need, themselves included; nothing behind a name in ``stop``."""
    index, ends = by_name(nodes), set(stop)
    found, queue = set(), [base(ref) for ref in targets]  # type: Set[str], List[str]
    while queue:
        name = queue.pop()
        if name in found or name not in index:
            continue
        found.add(name)
        if name not in ends:
            queue.extend(base(ref) for ref in edges_of(index[name]))
    return found


def prune(nodes: List[Node], targets: Iterable[str], stop: Iterable[str] = ()) -> List[Node]:
    """The nodes that ``targets`` need, in their order."""
    kept = ancestors(nodes, targets, stop)
    return [node for node in nodes if node["name"] in kept]


def in_order(nodes: List[Node]) -> List[Node]:
    """The nodes so that each stands behind what it needs. Raises ValueError naming a node of a cycle."""
    index, done, out = by_name(nodes), {}, []  # type: Any, Dict[str, bool], List[Node]
    for first in nodes:
        stack = [(first, iter(edges_of(first)))] if first["name"] not in done else []
        if stack:
            done[first["name"]] = False
        while stack:
            node, rest = stack[-1]
            for ref in rest:
                name = base(ref)
                if name in index and name not in done:
                    done[name] = False
                    stack.append((index[name], iter(edges_of(index[name]))))
                    break
                if name in index and not done[name]:
                    raise ValueError("the graph has a cycle through %s" % name)
            else:
                done[node["name"]] = True
                out.append(node)
                stack.pop()
    return out


def rewire(node: Node, change: Callable[[str], Any]) -> Node:
    """The node with every edge, also those into its inner graphs, replaced by ``change(edge)`` (None drops it)."""
    out = dict(node, inputs=_changed(node["inputs"], change))
    for key in INNER:
        if key in node:
            out[key] = rewire_graph(node[key], change)
    return out


def rewire_graph(graph: Any, change: Callable[[str], Any]) -> Any:
    """The same for an inner graph; its own names are not asked about."""
    own = set(graph["parameters"]) | {node["name"] for node in graph["nodes"]}

    def outer(ref: str) -> Any:
        return ref if base(ref) in own else change(ref)

    nodes = [rewire(node, outer) for node in graph["nodes"]]
    return dict(graph, nodes=nodes, results=[outer(ref) for ref in graph["results"]])


def _changed(refs: List[str], change: Callable[[str], Any]) -> List[str]:
    out = []  # type: List[str]
    for ref in refs:
        new = change(ref)
        if new is None or (is_control(new) and new in out):
            continue
        out.append(new)
    # GraphDef wants the data edges first.
    return [ref for ref in out if not is_control(ref)] + [ref for ref in out if is_control(ref)]


def fresh(taken: Set[str], wanted: str) -> str:
    """A name like ``wanted`` that is not in ``taken``, which it joins."""
    name, number = wanted, 0
    while name in taken:
        number += 1
        name = "%s_%d" % (wanted, number)
    taken.add(name)
    return name
