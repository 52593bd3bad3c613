"""Inputs and outputs of a graph that names none: proposed from its structure, with what has to be fixed.

A frozen graph or a checkpoint is a net of operations in which training, losses and savers stand beside the model. What
waits for data is an input; what depends on data, and is used by nothing that depends on the same data, is where a
computation ends. Of those ends the ones that need least are the model's (a loss also needs the labels).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from harness.artifact.graph_messages import GraphFacts, GraphNode

_TRAINING = re.compile(
    r"(Resource)?(Sparse)?Apply\w+|Assign\w*|Save\w*|Restore\w*|MergeV2Checkpoints|ShardedFilename|\w*Summary\w*|NoOp|Assert|Print"
    r"|Broadcast(Gradient)Args|\w+Grad|\w+GradV\d|\w+Backprop\w*|InitializeTable\w*|IsVariableInitialized|VarIsInitializedOp"
    r"|ReportUninitialized\w*|IteratorV2|MakeIterator|Scatter\w+|ResourceScatter\w+|PreventGradient|QueueEnqueue\w*|QueueClose\w*"
)
_WRITE = re.compile(r"Assign\w*|(Resource)?Scatter(Nd)?(Update|Add|Sub)")
_SCOPES = re.compile(
    r"(^|/)(gradients\w*|save(_\d+)?|init(_\d+)?|report_uninitialized_variables|\w*[Oo]ptimizer\w*)(/|$)"
)
#: what may be one layer of decoration above an input: not an output of a model
_TRIVIAL = {
    "Identity",
    "Cast",
    "Reshape",
    "ExpandDims",
    "OneHot",
    "Squeeze",
    "Shape",
    "Transpose",
    "Switch",
    "StridedSlice",
}
#: operations that look at the size of a tensor only
_SIZES = ("Shape", "ShapeN", "Rank", "Size", "NoOp")
_PHASE = re.compile(r"(^|/)(is_)?(train(ing)?|learning_phase|keras_learning_phase|phase_train|is_train)(_\d+)?$")
_ITERATOR = ("IteratorGetNext", "QueueDequeueManyV2", "QueueDequeueV2", "QueueDequeueUpToV2")


@dataclass(frozen=True, kw_only=True)
class Candidates:
    """A proposal: argument → tensor, and tensors that are fixed to a value."""

    inputs: dict[str, str] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)
    fixed: dict[str, bool | float] = field(default_factory=dict)


def propose(facts: GraphFacts, outputs: Iterable[str] = (), inputs: Iterable[str] = ()) -> Candidates:
    """Inputs and outputs of a graph; those that are given (tensor names) decide the rest."""
    graph = _Graph(facts, [base(name) for name in inputs])
    ends = [base(name) for name in outputs] or graph.ends()
    chosen = list(outputs) or [f"{name}:0" for name in ends]
    sources = sorted({s for name in ends for s in graph.sources_of(name)}, key=graph.position)
    fixed = {f"{name}:0": value for name in sources if (value := graph.fixed_value(name)) is not None}
    given = list(inputs) or [f"{name}:0" for name in sources if f"{name}:0" not in fixed and graph.open(name)]
    return Candidates(inputs=named(given), outputs=named(chosen), fixed=fixed)


def base(tensor: str) -> str:
    """Name of the node of an edge or a tensor."""
    return tensor.lstrip("^").split(":")[0]


def named(tensors: Iterable[str]) -> dict[str, str]:
    """Argument name → tensor: the last part of the tensor's name where that is unique, else more of it."""
    found: dict[str, str] = {}
    whole = [tensor if ":" in tensor else f"{tensor}:0" for tensor in tensors]
    for tensor in whole:
        parts = base(tensor).split("/")
        options = ("_".join(parts[-count:]) for count in range(1, len(parts) + 1))
        fitting = next((option for option in options if option not in found), None)
        found[fitting or f"{'_'.join(parts)}_{tensor.split(':')[1]}"] = tensor
    return found


class _Graph:
    def __init__(self, facts: GraphFacts, inputs: list[str]) -> None:
        self.nodes = {node.name: node for node in facts.nodes}
        self.order = {name: position for position, name in enumerate(self.nodes)}
        self.given = set(inputs)
        self.trained = {n.name for n in facts.nodes if _TRAINING.fullmatch(n.op) or _SCOPES.search(n.name)}
        self.weights = {n.name for n in facts.variables}
        self._by_input: dict[str, list[GraphNode]] = {}
        for node in facts.nodes:
            for edge in node.inputs:
                self._by_input.setdefault(base(edge), []).append(node)
        self._weighted = self._spread(self.weights, sizes=True)
        self._sources: dict[str, set[str]] = {}
        self._values: dict[str, set[str]] = {}
        # Answers that were found already: a graph may be one chain of a million nodes, each of which asks for those below.
        self._known_data: dict[str, frozenset[str]] = {}
        self._known_fixed: dict[str, bool | float | None] = {}
        self._bare: dict[str, str] = {}
        self._dressing: dict[str, bool] = {}
        self._settings = {n.name for n in facts.nodes if self._is_source(n) and self._is_setting(n)}
        if all(n.name in self._settings for n in facts.nodes if self._is_source(n)):
            self._settings = set()
        for node in facts.nodes:
            if self._is_source(node):
                for sizes, known in ((True, self._sources), (False, self._values)):
                    for name in self._spread([node.name], sizes=sizes):
                        known.setdefault(name, set()).add(node.name)

    def position(self, name: str) -> int:
        return self.order.get(name, 0)

    def open(self, name: str) -> bool:
        """Whether a source has to be given (placeholders with a default need not)."""
        return self.nodes[name].op != "PlaceholderWithDefault" or name in self.given

    def _is_source(self, node: GraphNode) -> bool:
        return node.name in self.given or node.op.startswith("Placeholder") or node.op in _ITERATOR

    def _is_setting(self, node: GraphNode) -> bool:
        """Whether a source only says how to compute: a number or truth value with a default, such as that of a phase."""
        return node.op == "PlaceholderWithDefault" and node.name not in self.given and node.shape == ()

    def reach(self, name: str) -> tuple[frozenset[str], bool]:
        """The sources that a node depends on, and whether it depends on weights."""
        return frozenset(self._sources.get(name, ())), name in self._weighted

    def _updates(self) -> set[str]:
        """What only computes new values of variables from the same data, such as moving averages."""
        found = {n.name for n in self.nodes.values() if _WRITE.fullmatch(n.op)}
        queue = [base(edge) for name in found for edge in self.nodes[name].inputs]
        while queue:
            name = queue.pop()
            readers = [n.name for n in self._by_input.get(name, ()) if n.name in found or n.name not in self.trained]
            # A metric's counters compare with labels: what they read is a result.
            only = readers and all(n in found and self._data(n) <= self._data(name) for n in readers)
            if name in self.nodes and name not in found and only:
                found.add(name)
                queue += [base(edge) for edge in self.nodes[name].inputs]
        # What a write returns, often joined over the branches of a phase.
        return found | self._spread([n.name for n in self.nodes.values() if _WRITE.fullmatch(n.op)], sizes=False)

    def _spread(self, start: Iterable[str], *, sizes: bool) -> set[str]:
        """Every node that ``start`` leads to; without ``sizes``, only those that values of it reach."""
        found, queue = set(), list(start)
        while queue:
            name = queue.pop()
            if name in found:
                continue
            found.add(name)
            readers = self._by_input.get(name, ())
            queue += [n.name for n in readers if sizes or (n.op not in _SIZES and f"^{name}" not in n.inputs)]
        return found

    def sources_of(self, name: str) -> frozenset[str]:
        return self.reach(name)[0]

    def ends(self) -> list[str]:
        """Names of the nodes at which the model's computation ends."""
        found: dict[str, None] = {}
        updates = self._updates()
        for node in self.nodes.values():
            data = self._data(node.name)
            if node.name in self.trained or self._is_source(node) or not data or self._decorates(node):
                continue
            if node.name in updates:
                continue
            readers = [n for n in self._by_input.get(node.name, ()) if n.name not in self.trained]
            # What goes round a loop, or only tells its size, has not ended.
            if any(n.op == "NextIteration" or self._data(n.name) == data for n in readers):
                continue
            found[self._undressed(node, data) if any(self._data(n.name) > data for n in readers) else node.name] = None
        if self.weights and any(self.reach(name)[1] for name in found):
            found = {name: None for name in found if self.reach(name)[1]}
        needed = {self._data(name) for name in found}
        return [name for name in found if not any(less < self._data(name) for less in needed)]

    def _undressed(self, node: GraphNode, data: frozenset[str]) -> str:
        """What a loss rearranges before it compares it with the labels."""
        passed = []
        while node.op in _TRIVIAL and node.op != "Identity" and node.name not in self._bare:
            passed.append(node.name)
            self._bare[node.name] = node.name  # where a loop of nodes ends
            below = [base(i) for i in node.inputs if not i.startswith("^") and self._data(base(i)) == data]
            if not below or self._is_source(self.nodes[below[0]]):
                break
            node = self.nodes[below[0]]
        name = self._bare.get(node.name, node.name)
        self._bare |= dict.fromkeys(passed, name)
        return name

    def _data(self, name: str) -> frozenset[str]:
        """The sources whose values, not only sizes, reach a node; no settings, such as the phase or a rate of dropout."""
        if name not in self._known_data:
            self._known_data[name] = self._data_of(name)
        return self._known_data[name]

    def _data_of(self, name: str) -> frozenset[str]:
        node = self.nodes.get(name)
        if node is None or node.op in _SIZES:
            return frozenset()
        values = self._values.get(name, set()) - self._settings
        return frozenset(s for s in values if self.fixed_value(s) is None)

    def _decorates(self, node: GraphNode) -> bool:
        """Whether a node only dresses an input."""
        passed, found = [], False
        while node.op in _TRIVIAL and node.name not in self._dressing:
            passed.append(node.name)
            self._dressing[node.name] = False  # what leads back to itself dresses nothing
            below = [self.nodes[base(i)] for i in node.inputs if base(i) in self.nodes and self._sources.get(base(i))]
            if len(below) != 1:
                break
            node = below[0]
            if self._is_source(node):
                found = len(self.nodes) > 40 or any(n.op in ("MatMul", "Conv2D") for n in self.nodes.values())
                break
        else:
            found = self._dressing.get(node.name, False)
        self._dressing |= dict.fromkeys(passed, found)
        return found

    def fixed_value(self, name: str) -> bool | float | None:
        """The value that a source has outside of training: a phase, or the rate at which dropout keeps values."""
        if name not in self._known_fixed:
            self._known_fixed[name] = self._fixed_value_of(name)
        return self._known_fixed[name]

    def _fixed_value_of(self, name: str) -> bool | float | None:
        node = self.nodes.get(name)
        if (
            node is None
            or name in self.given
            or not node.op.startswith("Placeholder")
            or node.op == "PlaceholderWithDefault"
        ):
            return None
        if node.dtype == "bool" and _PHASE.search(name):
            return False
        return self._dropout(name) if node.dtype in ("float32", "float64") else None

    def _dropout(self, name: str, depth: int = 3) -> float | None:
        """The value of a number that switches dropout off; None if it is no rate of dropout.

        Dropout adds what it keeps to random numbers and rounds down, or compares random numbers with what it drops.
        """
        for node in self._by_input.get(name, ()):
            random = any("random_uniform" in base(i) for i in node.inputs if base(i) != name)
            if random and node.op in ("Add", "AddV2"):
                return 1.0
            if random and node.op in ("GreaterEqual", "Less", "Greater"):
                return 0.0
            if depth and ((node.op == "Sub" and base(node.inputs[-1]) == name) or node.op == "Identity"):
                below = self._dropout(node.name, depth - 1)
                if below is not None:
                    return 1.0 - below if node.op == "Sub" else below
        return None
