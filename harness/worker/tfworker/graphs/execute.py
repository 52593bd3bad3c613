"""Runs a structured graph (see ``control_flow``) inside a ``tf.function`` of TensorFlow 2.

What is plain goes through ``import_graph_def`` in as few pieces as loops and conditionals leave; those are made anew with
``tf.while_loop`` and ``tf.cond``, which TensorFlow 2 differentiates, saves and serves.
"""

from typing import Any, Callable, Dict, List, Set

from .. import compat, compat_graphs
from ..errors import Refusal
from . import edges
from .control_flow import IF, WHILE
from .edges import Node
from .names import SCOPE

STRUCTURED = (WHILE, IF)
#: rounds in which the shapes of loop variables may become more general before they are left open
ROUNDS = 4


class Executor(object):
    """A structured graph, ready to be traced.

    ``neutral`` is the graph with structured nodes; ``array`` maps names of stored constants to arrays.
    """

    def __init__(self, neutral: Dict[str, Any], array: Callable[[str], Any]) -> None:
        from harness_layers import Graph

        self.tf = compat.import_tensorflow()
        self.nodes = neutral["nodes"]
        plain = {node["name"]: node for node in all_plain(self.nodes)}
        self._graph = Graph(dict(neutral, nodes=list(plain.values())), array)
        self._protos = {node.name: node for node in self._graph.graph_def.node}

    def run(self, feeds: Dict[str, Any], resources: Dict[str, Any], fetches: List[str]) -> List[Any]:
        """Tensors for the edges ``fetches``.

        ``feeds`` gives tensors for edges; ``resources`` gives a tf.Variable, or the handle of a table, for the nodes
        that are handles.
        """
        self._graph._register()
        scope = {}  # type: Dict[str, Any]
        for name, resource in resources.items():
            scope[name] = compat_graphs.watched_handle(resource) if hasattr(resource, "read_value") else resource
        for ref, tensor in feeds.items():
            scope[edges.join(*edges.split(ref))] = tensor
        wanted = [edges.join(*edges.split(ref)) for ref in fetches]
        stop = {edges.base(ref) for ref in scope if self._whole(ref)}
        nodes = edges.prune(self.nodes, [ref for ref in wanted if ref not in scope], stop)
        nodes = [node for node in nodes if node["name"] not in stop]
        self._evaluate(nodes, scope, {}, wanted)
        return [scope[ref] for ref in wanted]

    def refuse_unknown(self, tf: Any) -> None:
        """Raise Refusal ops-unsupported naming every node whose operation this TensorFlow does not have."""
        functions = self._graph.graph_def.library.function
        own = {function.signature.name for function in functions}
        nodes = list(self._graph.graph_def.node) + [node for function in functions for node in function.node_def]
        lost = [
            "%s (%s)" % (n.name, n.op) for n in nodes if n.op not in own and not compat_graphs.known_operation(n.op)
        ]
        if lost:
            what = "%d operations do not exist in TensorFlow %s" % (len(lost), tf.__version__)
            raise Refusal("ops-unsupported", what, sorted(lost))

    def handles(self, resources: Dict[str, Any]) -> Dict[str, Any]:
        """Those of the resources that the graph uses."""
        return {name: resource for name, resource in resources.items() if name in self._protos}

    def _whole(self, ref: str) -> bool:
        """Whether feeding an edge makes its node needless (a node with several outputs may still be needed)."""
        return edges.split(ref)[1] == 0

    def _evaluate(self, nodes: List[Node], scope: Dict[str, Any], after: Dict[str, Any], results: List[str]) -> None:
        """Add what the nodes compute to ``scope``; ``after`` maps node names to what a control edge has to wait for."""
        levels = _levels(nodes)
        needed = _needed_outside(levels, results)
        for level in levels:
            plain = [node for node in level if node["op"] not in STRUCTURED]
            if plain:
                self._import(plain, scope, after, needed)
            for node in level:
                if node["op"] in STRUCTURED:
                    made = self._structured(node, scope, after)
                    for position, tensor in enumerate(made):
                        scope[edges.join(node["name"], position)] = tensor
                    after[node["name"]] = made[0]

    def _structured(self, node: Node, scope: Dict[str, Any], after: Dict[str, Any]) -> List[Any]:
        waits = [after[edges.base(ref)] for ref in edges.control_inputs(node) if edges.base(ref) in after]
        here = compat_graphs.default_graph()
        given = [self._here(scope[ref]) for ref in edges.data_inputs(node)]
        with self.tf.control_dependencies([w for w in waits if w.graph is here]):
            return self._loop(node, scope, given) if node["op"] == WHILE else self._choice(node, scope, given[0])

    def _inner(self, graph: Any, scope: Dict[str, Any], given: List[Any]) -> List[Any]:
        inside = dict(scope)
        inside.update(zip(graph["parameters"], given))
        self._evaluate(graph["nodes"], inside, {}, graph["results"])
        return [self._here(inside[ref]) for ref in graph["results"]]

    def _choice(self, node: Node, scope: Dict[str, Any], predicate: Any) -> List[Any]:
        def branch(key: str) -> Callable[[], List[Any]]:
            # The identities belong to the branch: what it hands through may come from outside.
            return lambda: [self.tf.identity(t) for t in self._inner(node[key], scope, [])]

        made = self.tf.cond(predicate, branch("then"), branch("else"))
        return list(made) if isinstance(made, (list, tuple)) else [made]

    def _loop(self, node: Node, scope: Dict[str, Any], given: List[Any]) -> List[Any]:
        def condition(*values: Any) -> Any:
            return self._inner(node["cond"], scope, list(values))[0]

        def body(*values: Any) -> List[Any]:
            return [self.tf.identity(t) for t in self._inner(node["body"], scope, list(values))]

        shapes = self._invariants(body, given)
        return list(
            self.tf.while_loop(
                condition, body, given, shape_invariants=shapes, parallel_iterations=node["parallel_iterations"]
            )
        )

    def _invariants(self, body: Any, given: List[Any]) -> List[Any]:
        """The narrowest shapes that the loop variables keep, found by tracing the body on the side."""
        shapes = [tensor.shape for tensor in given]
        for _ in range(ROUNDS):
            specs = [self.tf.TensorSpec(s, t.dtype) for s, t in zip(shapes, given)]
            with compat_graphs.scratch_graph().as_default():
                made = body(*[compat_graphs.graph_placeholder(spec) for spec in specs])
                after = [tensor.shape for tensor in made]
            wider = [s.most_specific_compatible_shape(a) for s, a in zip(shapes, after)]
            if all(w.rank == s.rank and str(w) == str(s) for w, s in zip(wider, shapes)):
                return wider
            shapes = wider
        return [self.tf.TensorShape(None) for _ in given]

    def _here(self, tensor: Any) -> Any:
        """A tensor as the graph that is being made may use it."""
        graph = compat_graphs.default_graph()
        if getattr(tensor, "graph", None) is graph and not hasattr(tensor, "numpy"):
            return tensor
        return graph.capture(tensor)

    def _import(self, nodes: List[Node], scope: Dict[str, Any], after: Dict[str, Any], needed: Set[str]) -> None:
        own = {node["name"] for node in nodes}
        given, graph_def = {}, self._empty()  # type: Dict[str, Any], Any
        for node in nodes:
            proto = graph_def.node.add()
            proto.CopyFrom(self._protos[node["name"]])
            del proto.input[:]
            for ref in node["inputs"]:
                if not self._keeps(ref, own, given, scope, after):
                    continue
                proto.input.append(ref)
        fetched = sorted(ref for ref in needed if not ref.startswith("^") and edges.base(ref) in own)
        waited = [node["name"] for node in nodes if "^" + node["name"] in needed]
        names = [ref if ":" in ref else ref + ":0" for ref in fetched] + waited
        made = self.tf.graph_util.import_graph_def(graph_def, input_map=given, return_elements=names, name=SCOPE)
        for ref, tensor in zip(fetched, made):
            scope[ref] = tensor
        for name, operation in zip(waited, made[len(fetched) :]):
            with self.tf.control_dependencies([operation]):
                after[name] = operation.outputs[0] if operation.outputs else self.tf.constant(0)

    def _empty(self) -> Any:
        whole = self._graph.graph_def
        return type(whole)(versions=whole.versions, library=whole.library)

    def _keeps(self, ref: str, own: Set[str], given: Dict[str, Any], scope: Any, after: Any) -> bool:
        name, index = edges.split(ref)
        if name in own:
            # An edge that is fed stays fed, even where its node is computed for another of its outputs.
            return True
        if index < 0:
            if name not in after or after[name].graph is not compat_graphs.default_graph():
                return False  # it lies outside of this loop or branch, and is done
            given["^" + name] = after[name]
            return True
        given["%s:%d" % (name, index)] = self._here(scope[edges.join(name, index)])
        return True


def all_plain(nodes: List[Node]) -> List[Node]:
    """The nodes that are operations, those of inner graphs included."""
    found = []  # type: List[Node]
    for node in nodes:
        if node["op"] not in STRUCTURED:
            found.append(node)
        for graph in edges.inner_graphs(node):
            found += all_plain(graph["nodes"])
    return found


def _levels(nodes: List[Node]) -> List[List[Node]]:
    """The nodes in steps: a step's plain nodes first, then its structured ones; later steps need those."""
    level = {}  # type: Dict[str, int]
    steps = []  # type: List[List[Node]]
    index = edges.by_name(nodes)
    for node in edges.in_order(nodes):
        here = 0
        for ref in edges.edges_of(node):
            name = edges.base(ref)
            if name in level:
                here = max(here, level[name] + (index[name]["op"] in STRUCTURED))
        level[node["name"]] = here
        while len(steps) <= here:
            steps.append([])
        steps[here].append(node)
    return [_serial(step) for step in steps]


def _serial(step: List[Node]) -> List[Node]:
    return [n for n in step if n["op"] not in STRUCTURED] + [n for n in step if n["op"] in STRUCTURED]


def _needed_outside(levels: List[List[Node]], results: List[str]) -> Set[str]:
    """Edges that something outside of their own piece uses."""
    needed = {edges.join(*edges.split(ref)) for ref in results}
    for step in levels:
        plain = {node["name"] for node in step if node["op"] not in STRUCTURED}
        for node in step:
            for ref in edges.edges_of(node):
                if node["name"] not in plain or edges.base(ref) not in plain:
                    needed.add(edges.join(*edges.split(ref)))
    return needed
