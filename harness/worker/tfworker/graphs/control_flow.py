"""Control flow of TF1 (frames, Switch and Merge) becomes structure: nodes that hold graphs.

``functionalise`` replaces every while frame by a node ``@While`` and every conditional by a node ``@If``::

    {"name", "op": "@While", "inputs": [initial values …, ^control …], "attrs": {}, "parallel_iterations": 10,
     "cond": graph, "body": graph}                    output i is the i-th loop variable after the loop
    {"name", "op": "@If", "inputs": [predicate, ^control …], "attrs": {}, "then": graph, "else": graph}
    graph = {"parameters": [names], "nodes": [node …], "results": [edges]}

Parameters stand for loop variables and are used as ``name`` (output 0). What an inner graph takes from outside it names
directly: node names are unique through all graphs. Pure: the graph is only read, and a new one returned.
"""

from typing import Any, Dict, List, Optional, Set, Tuple

from . import edges
from .attrs import constant_values, number, text
from .edges import Node
from .refs import Unsupported

WHILE, IF = "@While", "@If"


def functionalise(nodes: List[Node]) -> List[Node]:
    """The nodes with loops and conditionals as structure, in an order in which each stands behind what it needs.

    Raises Unsupported naming what cannot be untangled.
    """
    if not any(node["op"] in ("Enter", "Switch", "Merge") for node in nodes):
        return edges.in_order(nodes)
    return _conditionals(_loops(nodes), {node["name"] for node in nodes})


# Loops


def _loops(nodes: List[Node]) -> List[Node]:
    frames = frames_of(nodes)
    taken = {node["name"] for node in nodes}
    # Inner loops first: to the outer ones they are nodes like any other.
    for frame in sorted(set(frames.values()), key=lambda f: (-len(f), f)):
        if frame:
            nodes = _Loop(nodes, frames, frame, taken).lowered()
    return nodes


def frames_of(nodes: List[Node]) -> Dict[str, Tuple[str, ...]]:
    """Node name -> names of the frames around it, outermost first."""
    readers = edges.consumers(nodes)
    frames = {node["name"]: () for node in nodes if not node["inputs"]}  # type: Dict[str, Tuple[str, ...]]
    queue = list(frames)
    index = edges.by_name(nodes)
    whole = {}  # type: Dict[str, Tuple[str, ...]]
    while queue:
        name = queue.pop()
        inner = frames[name][:-1] if index[name]["op"] == "Exit" else frames[name]
        for reader, _ in readers.get(name, ()):
            frame = inner
            if reader["op"] == "Enter":
                # A loop that starts from a constant only is no less inside of the loop that the others start in.
                key = text(reader, "frame_name")
                frame = max(inner + (key,), whole.get(key, ()), key=len)
                if frame != whole.get(key):
                    whole[key] = frame
                    lagging = [n["name"] for n in nodes if n["op"] == "Enter" and text(n, "frame_name") == key]
                    for other in [n for n in lagging if n in frames and len(frames[n]) < len(frame)]:
                        frames[other] = frame
                        queue.append(other)
            # Constants without control edges lie outside; what they feed may be deeper.
            if len(frame) > len(frames.get(reader["name"], ())) or reader["name"] not in frames:
                frames[reader["name"]] = frame
                queue.append(reader["name"])
    return frames


class _Loop(object):
    """One while frame on its way to one node."""

    def __init__(self, nodes: List[Node], frames: Dict[str, Tuple[str, ...]], frame: Tuple[str, ...], taken: Set[str]):
        self.nodes, self.index, self.frame = nodes, edges.by_name(nodes), frame
        self.inside = [node for node in nodes if frames.get(node["name"]) == frame]
        self.frames, self.taken = frames, taken

    def lowered(self) -> List[Node]:
        enters = {n["name"]: n for n in self.inside if n["op"] == "Enter"}
        loops = [n["name"] for n in self.inside if n["op"] == "LoopCond"]
        if len(loops) != 1:
            raise Unsupported(["the loop %s has %d conditions" % ("/".join(self.frame), len(loops))])
        merges = [n for n in self.inside if n["op"] == "Merge" and self._carries(n, enters)]
        variables = [self._variable(merge, enters, loops[0]) for merge in merges]
        constants = {name: edges.data_inputs(n)[0] for name, n in enters.items()}
        for variable in variables:
            constants.pop(variable["enter"])
        name = edges.fresh(self.taken, self.frame[-1] + "/While")
        values = {}  # type: Dict[str, str]
        for variable in variables:
            values[variable["merge"]] = variable["merge"]
            if variable["switch"]:
                values[variable["switch"] + ":1"] = variable["merge"]
        loop = {
            "name": name,
            "op": WHILE,
            "inputs": [edges.data_inputs(enters[v["enter"]])[0] for v in variables],
            "attrs": {},
            "parallel_iterations": max([number(n, "parallel_iterations", 10) for n in enters.values()] or [10]),
        }  # type: Node
        condition = edges.data_inputs(self.index[loops[0]])[0]
        loop["cond"] = self._graph(variables, values, constants, [condition])
        loop["body"] = self._graph(variables, values, constants, [v["next"] for v in variables])
        waits = [ref for n in enters.values() for ref in edges.control_inputs(n)]
        loop["inputs"] += list(dict.fromkeys(waits))
        return self._replaced(loop, variables)

    def _carries(self, merge: Node, enters: Dict[str, Node]) -> bool:
        return any(edges.base(ref) in enters for ref in edges.data_inputs(merge))

    def _variable(self, merge: Node, enters: Dict[str, Node], loop_cond: str) -> Dict[str, Any]:
        given = [edges.base(ref) for ref in edges.data_inputs(merge)]
        enter = [n for n in given if n in enters]
        after = [n for n in given if n in self.index and self.index[n]["op"] == "NextIteration"]
        if len(enter) != 1 or len(after) != 1:
            raise Unsupported(["%s (Merge): no loop variable of the usual form" % merge["name"]])
        switch = [
            n["name"] for n in self.inside
            if n["op"] == "Switch" and edges.base(n["inputs"][0]) == merge["name"] and edges.base(n["inputs"][1]) == loop_cond
        ]  # fmt: skip
        return {
            "merge": merge["name"],
            "enter": enter[0],
            "next": edges.data_inputs(self.index[after[0]])[0],
            "switch": switch[0] if switch else None,
        }

    def _graph(self, variables: Any, values: Dict[str, str], constants: Dict[str, str], results: List[str]) -> Any:
        """The part of the frame that computes ``results`` from loop variables and constants."""
        plumbing = {v[key] for v in variables for key in ("merge", "switch", "enter") if v[key]} | set(constants)

        def change(ref: str) -> Any:
            if edges.base(ref) in plumbing and ref.startswith("^"):
                return None  # loop variables are there before anything else
            if ref in values:
                return values[ref]
            if edges.base(ref) in constants:
                return constants[edges.base(ref)]
            if edges.base(ref) in plumbing:
                raise Unsupported(["%s is used outside of the usual form of a loop" % ref])
            return ref

        names = edges.ancestors(self.inside, results, plumbing) - plumbing
        nodes = [edges.rewire(n, change) for n in self.inside if n["name"] in names]
        return {
            "parameters": [v["merge"] for v in variables],
            "nodes": nodes,
            "results": [change(ref) for ref in results],
        }

    def _replaced(self, loop: Node, variables: Any) -> List[Node]:
        """All nodes, the frame's replaced by the loop; its exits stay, as identities of the loop's outputs."""
        gone = {n["name"] for n in self.inside}
        switches = {v["switch"]: i for i, v in enumerate(variables) if v["switch"]}
        exits = []  # type: List[Node]
        for node in self.inside:
            if node["op"] == "Exit":
                source = node["inputs"][0]
                if source not in switches:
                    raise Unsupported(["%s (Exit): leaves the loop in an unusual way" % node["name"]])
                output = edges.join(loop["name"], switches[source])
                exits.append(dict(node, op="Identity", inputs=[output] + edges.control_inputs(node)))
                self.frames[node["name"]] = self.frame[:-1]
        self.frames[loop["name"]] = self.frame[:-1]
        return [n for n in self.nodes if n["name"] not in gone] + [loop] + exits


# Conditionals


class _State(dict):  # type: ignore[type-arg]
    """Predicate edge -> the branch (0 or 1) in which something runs."""


def _conditionals(nodes: List[Node], taken: Set[str]) -> List[Node]:
    """The nodes of one graph, loops already structure, with conditionals as structure, inner graphs included."""
    nodes = [_inside(node, taken) for node in nodes]
    while True:
        nodes = edges.in_order(nodes)
        if not any(node["op"] in ("Switch", "Merge") for node in nodes):
            return nodes
        nodes = _Round(nodes, taken).lowered()


def _inside(node: Node, taken: Set[str]) -> Node:
    if node["op"] != WHILE:
        return node
    return dict(
        node, **{key: dict(node[key], nodes=_conditionals(node[key]["nodes"], taken)) for key in ("cond", "body")}
    )


class _Round(object):
    """Lowers every conditional of a graph that is not inside of another and does not wait for one of its predicate."""

    def __init__(self, nodes: List[Node], taken: Set[str]) -> None:
        self.nodes, self.index, self.taken = nodes, edges.by_name(nodes), taken
        self.states = {}  # type: Dict[str, _State]
        self.decides = {}  # type: Dict[str, Tuple[str, List[str]]]
        for node in nodes:
            self.states[node["name"]] = self._state(node)

    def _edge(self, ref: str) -> _State:
        """In which branches an edge is alive."""
        name, index = edges.split(ref)
        if name not in self.states:
            return _State()
        state, node = _State(self.states[name]), self.index[name]
        if node["op"] == "Switch" and index >= 0:
            state[self._predicate(node)] = index
        return state

    def _predicate(self, switch: Node) -> str:
        """What decides a Switch: the edge behind the identities that TF1 puts on top of predicates."""
        ref = switch["inputs"][1]
        while edges.base(ref) in self.index and self.index[edges.base(ref)]["op"] == "Identity":
            ref = edges.data_inputs(self.index[edges.base(ref)])[0]
        return ref

    def _state(self, node: Node) -> _State:
        if node["op"] == "Merge":
            return self._merged(node)
        total = _State()
        for ref in edges.edges_of(node):
            for predicate, branch in self._edge(ref).items():
                if total.setdefault(predicate, branch) != branch:
                    raise Unsupported(
                        ["%s (%s): needs both branches of %s at once" % (node["name"], node["op"], predicate)]
                    )
        return total

    def _merged(self, node: Node) -> _State:
        given = edges.data_inputs(node)
        states = [self._edge(ref) for ref in given]
        if any(node["name"] + ":1" in edges.edges_of(reader) for reader in self.nodes):
            raise Unsupported(["%s (Merge): the number of the branch taken is used" % node["name"]])
        if len(given) == 2:
            apart = [p for p in states[0] if p in states[1] and states[0][p] != states[1][p]]
            if len(apart) == 1:
                predicate = apart[0]
                order = sorted(range(2), key=lambda i: states[i][predicate])
                self.decides[node["name"]] = (predicate, [given[i] for i in order])
                rest = _State(states[0])
                for key, branch in states[1].items():
                    rest.setdefault(key, branch)
                del rest[predicate]
                return rest
        raise Unsupported(["%s (Merge): does not join the two branches of one condition" % node["name"]])

    def lowered(self) -> List[Node]:
        groups = {}  # type: Dict[str, List[str]]
        for node in self.nodes:
            if node["name"] in self.decides and not self.states[node["name"]]:
                groups.setdefault(self.decides[node["name"]][0], []).append(node["name"])
        if not groups:
            loose = [n["name"] for n in self.nodes if n["op"] == "Switch"]
            raise Unsupported(["%s (Switch): its branches never meet" % name for name in loose[:20]])
        chosen, done = [], set()  # type: List[Node], Set[str]
        for predicate, merges in groups.items():
            chosen += self._conditional(predicate, self._independent(merges))
        done = {n["name"] for n in chosen}
        pending = {m for merges in groups.values() for m in merges if m not in done}
        kept = [n for n in self.nodes if n["name"] not in done] + chosen
        # What only the lowered branches needed stays in them; what a later round needs, it finds here.
        live = {n["name"] for n in kept if not self.states.get(n["name"]) and n["op"] != "Switch"}
        needed = edges.ancestors(kept, live | pending)
        return [n for n in kept if n["name"] in needed]

    def _independent(self, merges: List[str]) -> List[str]:
        """Those of the merges of one predicate that wait for no other of them."""
        names = set(merges)
        return [m for m in merges if not (edges.ancestors(self.nodes, [m]) & names) - {m}]

    def _conditional(self, predicate: str, merges: List[str]) -> List[Node]:
        """The conditional, and its merges as identities of its outputs."""
        name = edges.fresh(self.taken, merges[0] + "/If")
        waits = []  # type: List[str]
        branches = [
            self._branch(predicate, branch, [self.decides[m][1][branch] for m in merges], waits) for branch in (0, 1)
        ]
        for merge in merges:
            waits += edges.control_inputs(self.index[merge])
        node = {"name": name, "op": IF, "inputs": [predicate] + list(dict.fromkeys(waits)), "attrs": {}}  # type: Node
        node.update({"then": branches[1], "else": branches[0]})
        made = [node]
        for position, merge in enumerate(merges):
            attrs = {"T": self.index[merge]["attrs"]["T"]}
            made.append({"name": merge, "op": "Identity", "inputs": [edges.join(name, position)], "attrs": attrs})
        return made

    def _branch(self, predicate: str, branch: int, results: List[str], waits: List[str]) -> Any:
        inside = [n for n in self.nodes if self.states[n["name"]].get(predicate) == branch]
        names = edges.ancestors(inside, results)
        inner = [n for n in inside if n["name"] in names]

        def change(ref: str) -> Any:
            name = edges.base(ref)
            node = self.index.get(name)
            if name in names:
                return ref
            if ref.startswith("^"):
                if node is not None and node["op"] != "Switch" and ref not in waits:
                    waits.append(ref)
                return None
            if node is not None and node["op"] == "Switch" and self._predicate(node) == predicate:
                return node["inputs"][0]
            return ref

        rewired = [edges.rewire(n, change) for n in inner]
        ends = [change(ref) for ref in results]
        return {"parameters": [], "nodes": _conditionals(rewired, self.taken), "results": ends}


def fold_constant_conditions(nodes: List[Node], known: Optional[Dict[str, bool]] = None) -> List[Node]:
    """The nodes without the branches that a constant predicate never takes (a fixed training phase, usually).

    ``known`` names boolean nodes whose value is fixed besides the constants.
    """
    fixed, moved = dict(known or {}), {}  # type: Dict[str, bool], Dict[str, str]
    dead_edges, dead, out = set(), set(), []  # type: Set[str], Set[str], List[Node]
    for node in _acyclic_first(nodes):
        given = [moved.get(ref, ref) for ref in node["inputs"]]
        _note_fixed(node, given, fixed)
        gone = [ref for ref in given if ref in dead_edges or edges.base(ref) in dead]
        if node["op"] == "Merge" and gone:
            given = [ref for ref in given if ref not in gone]
            data = [ref for ref in given if not ref.startswith("^")]
            if len(data) == 1:
                node = dict(node, op="Identity", attrs={"T": node["attrs"]["T"]})
                moved[node["name"]] = data[0]
            gone = [] if data else gone
        if gone:
            dead.add(node["name"])
            continue
        if node["op"] == "Switch" and edges.base(given[1]) in fixed:
            taken = int(fixed[edges.base(given[1])])
            moved[edges.join(node["name"], taken)] = given[0]
            dead_edges.add(edges.join(node["name"], 1 - taken))
            node, given = dict(node, op="Identity"), [given[0]] + given[2:]
        out.append(dict(node, inputs=given))
    return out


def _note_fixed(node: Node, given: List[str], fixed: Dict[str, bool]) -> None:
    values = constant_values(node) if node["attrs"].get("dtype", {}).get("type") == "DT_BOOL" else None
    if values is not None and len(values) == 1:
        fixed[node["name"]] = bool(values[0])
    elif node["op"] in ("Identity", "LogicalNot") and given and edges.base(given[0]) in fixed:
        fixed[node["name"]] = fixed[edges.base(given[0])] != (node["op"] == "LogicalNot")


def _acyclic_first(nodes: List[Node]) -> List[Node]:
    """The nodes in order, the edges back from the next iteration of loops left out."""
    back = {n["name"] for n in nodes if n["op"] == "NextIteration"}
    cut = [dict(n, inputs=[r for r in n["inputs"] if edges.base(r) not in back]) for n in nodes]
    index = edges.by_name(nodes)
    return [index[n["name"]] for n in edges.in_order(cut)]
