"""Lifting: the graph of a bundle as a native functional model of Keras 3.

The plan is made here, of data alone: the graph's nodes, and what the source recorded of shapes and constants. The last nodes
come first: each piece of the graph that some pattern covers becomes a layer, what it needs is looked at next. The worker
builds the plan like that of any Keras model, and the recorded probes prove it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from harness.bundle import Bundle
from harness.errors import HarnessError
from harness.lift.carried import regions
from harness.lift.convolutions import linear
from harness.lift.front import Front, front
from harness.lift.graph import LiftGraph, canonical
from harness.lift.lookups import lookup, partition
from harness.lift.norms import normalization
from harness.lift.operations import operation
from harness.lift.plan import ClaimError, Plan, Tensor
from harness.lift.tiles import Reader, Tile, UnknownError
from harness.worker.tfworker.files import FormatError, read_json
from harness.worker.tfworker.graphs import edges
from harness.worker.tfworker.graphs.refs import Unsupported

#: the signature that stands for a model, in this order
MAIN = ("serving_default", "default")
#: structured nodes, as people know them
_NAMES = {"@While": "a loop", "@If": "a conditional"}


@dataclass(frozen=True, kw_only=True)
class Blocked:
    """A node that is not made of Keras, and why."""

    node: str
    op: str
    reason: str

    def as_json(self) -> dict[str, str]:
        """For the report."""
        return dict(vars(self))


@dataclass(frozen=True, kw_only=True)
class Lifted:
    """What lifting found for one signature.

    Attributes:
        graph: the model as ``build_model`` builds it, what is blocked in it as carried layers; None where not even that can
            be made.
        weights: array → layer, role, transforms, trainable, variable.
        rows: the layers and operations made, each with its nodes and variables.
        blocked: what is in the way, all of it.
        inputs, outputs: arguments in the order of the model's inputs and outputs.
        front: what comes before the model, where its inputs are not those of the signature.
    """

    signature: str
    graph: dict[str, Any] | None
    weights: dict[str, dict[str, Any]] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)
    blocked: list[Blocked] = field(default_factory=list)
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    front: Front | None = None


def main_signature(signatures: Mapping[str, Any]) -> str:
    """The signature that is lifted where there are several."""
    return next((key for key in MAIN if key in signatures), min(signatures))


def lift_bundle(bundle: Bundle) -> Lifted:
    """The main signature of a bundle, lifted. Raises HarnessError (bundle-invalid)."""
    model, reader = bundle.manifest["model"], bundle.arrays
    try:
        neutral = read_json(str(bundle.folder / "graphs" / "graph.json"))
    except (FormatError, OSError) as error:
        raise HarnessError("bundle-invalid", f"{bundle.folder}: the graph cannot be lifted: {error}.") from error
    key = main_signature(model["signatures"])
    return lift(key, model["signatures"][key], neutral["nodes"], model["variables"], reader.get, model["name"])


def lift(
    key: str,
    signature: Mapping[str, Any],
    nodes: list[dict[str, Any]],
    variables: list[dict[str, Any]],
    array: Any,
    name: str,
) -> Lifted:
    """The graph of one signature, lifted; ``array`` gives stored constants by name."""
    whole, graph = _lifted(key, signature, nodes, variables, array, name)
    if graph is None or not whole.blocked:
        return whole
    before = front(graph, signature, [row.node for row in whole.blocked])
    if before is None or (whole.graph is not None and not before.reads_strings):
        return whole
    rest, _ = _lifted(key, before.rest, nodes, variables, array, name)
    if rest.graph is None or (whole.graph is not None and rest.blocked):
        return whole
    own = set(before.nodes)
    return replace(rest, front=before, blocked=[*(row for row in whole.blocked if row.node in own), *rest.blocked])


def _lifted(
    key: str, signature: Mapping[str, Any], nodes: list[dict[str, Any]], variables: list[dict[str, Any]], array: Any, name: str
) -> tuple[Lifted, LiftGraph | None]:  # fmt: skip
    """As ``lift``, without looking for a front; and the graph, if it can be read."""
    try:
        graph = LiftGraph.read(nodes, signature, variables, array)
    except Unsupported as error:
        rows = [Blocked(node="", op="", reason=line) for line in error.findings]
        return Lifted(signature=key, graph=None, blocked=rows), None
    except ValueError as error:
        return Lifted(signature=key, graph=None, blocked=[Blocked(node="", op="", reason=str(error))]), None
    final = _inputs_blocked(signature, graph)
    held: set[str] = set()
    blocked: dict[str, Blocked] = {}
    while True:
        reader = Reader(graph=graph, held=held)
        try:
            cover = _Cover(reader, signature, regions(graph, blocked) if blocked else [])
            made = cover.model(name)
        except ClaimError as error:
            if not error.edges - held:
                shared = ", ".join(sorted(error.edges))
                final.append(
                    Blocked(node=shared, op="variable", reason="it is read inside and outside of what is carried")
                )
                return Lifted(signature=key, graph=None, blocked=[*blocked.values(), *final]), graph
            held |= error.edges
            continue
        except UnknownError as error:
            final.append(Blocked(node="", op="", reason=str(error)))
            return Lifted(signature=key, graph=None, blocked=[*blocked.values(), *final]), graph
        new = {row.node: row for row in cover.blocked if row.node not in blocked}
        if not new:
            break
        blocked |= new
    plan = cover.plan
    native = [row for row in plan.rows.values() if row["class_name"] != "GraphLayer"]
    if not native and not blocked:
        final.append(Blocked(node="", op="", reason="nothing is computed"))
    if final or cover.blocked or not native:
        return Lifted(signature=key, graph=None, blocked=[*blocked.values(), *final]), graph
    return Lifted(
        signature=key, graph=made, weights=plan.weights, rows=list(plan.rows.values()), inputs=cover.arguments,
        outputs=list(signature["outputs"]), blocked=list(blocked.values()),
    ), graph  # fmt: skip


def _inputs_blocked(signature: Mapping[str, Any], graph: LiftGraph) -> list[Blocked]:
    found = []
    for argument, spec in signature["inputs"].items():
        at = {"node": spec["tensor"], "op": "input"}
        if graph.spec(canonical(spec["tensor"])).shape is None:
            found.append(Blocked(**at, reason=f"the input {argument} is of unknown rank"))
        elif graph.spec(canonical(spec["tensor"])).shape == ():
            found.append(
                Blocked(**at, reason=f"the input {argument} is one number or string, not one for each example")
            )
    if not signature["inputs"]:
        found.append(Blocked(node="", op="", reason="the signature takes no input"))
    return found


class _Cover:
    """One attempt to cover the graph with tiles, and to make the model of them."""

    def __init__(self, reader: Reader, signature: Mapping[str, Any], carried: list[Tile]) -> None:
        self.carried = carried
        self.reader, self.graph, self.signature = reader, reader.graph, signature
        self.plan = Plan(graph=reader.graph)
        self.blocked: list[Blocked] = []
        self.arguments: list[str] = []
        self._made: dict[str, Tensor] = {}

    def model(self, name: str) -> dict[str, Any]:
        """The model's graph; what is in the way is in ``blocked``.

        Raises:
            ClaimError: a variable has to be held.
        """
        tiles = self._tiles()
        for argument, spec in self.signature["inputs"].items():
            edge = canonical(spec["tensor"])
            if edge not in self._made:  # two arguments may stand for one tensor
                self.arguments.append(argument)
                self._made[edge] = self.plan.input(argument, self.graph.spec(edge))
        waits = {edge for tile in self.carried for edge in tile.gives or ()}
        while tiles:
            # What is carried gives several edges, some of them before its last node: those wait for it.
            left: list[tuple[str, Tile]] = []
            for last, tile in tiles:
                late = {name for name, _ in left}
                if any(edge in waits or edges.base(edge) in late for edge in tile.inputs):
                    left.append((last, tile))
                else:
                    self._emit(last, tile)
                    waits -= set(tile.gives or ())
            if len(left) == len(tiles):
                raise UnknownError("what is carried needs what it gives")
            tiles = left
        outputs = [self._tensor(edge) for edge in self.graph.outputs]
        return {
            "name": name, "kind": "functional", "layers": self.plan.layers,
            "inputs": [list(t.ref) for t in self.plan.inputs], "outputs": [list(t.ref) for t in outputs],
        }  # fmt: skip

    def _tiles(self) -> list[tuple[str, Tile]]:
        """(last node, tile) in the order of the graph."""
        wanted, found = set(self.graph.outputs), []
        regions = {name: tile for tile in self.carried for name in tile.nodes}
        done = set()
        for name in reversed(self.graph.nodes):
            node = self.graph.nodes[name]
            if name in regions:
                if id(regions[name]) not in done:
                    done.add(id(regions[name]))
                    wanted |= set(regions[name].inputs)
                    found.append((name, regions[name]))
                continue
            asked = [edges.split(e)[1] for e in wanted if edges.base(e) == name and self.graph.node(e) is not None]
            if not asked:
                continue
            tile = self._tile(node, asked)
            if tile is None:
                wanted |= set(node["inputs"])  # the obstacles behind it are to be named as well
                continue
            wanted |= set(tile.inputs)
            found.append((name, tile))
        return found[::-1]

    def _tile(self, node: dict[str, Any], asked: list[int]) -> Tile | None:
        for pattern in (normalization, linear, lookup, partition):
            tile = pattern(self.reader, node)
            if tile is not None and set(asked) <= set(tile.outputs):
                return tile
        try:
            return operation(self.reader, node)
        except UnknownError as error:
            self._block(node, error)
            return None

    def _block(self, node: Mapping[str, Any], error: Exception) -> None:
        op = _NAMES.get(node["op"], node["op"])
        self.blocked.append(Blocked(node=node["name"], op=op, reason=str(error)))

    def _emit(self, last: str, tile: Tile) -> None:
        try:
            made = tile.emit(self.plan, [self._tensor(edge) for edge in tile.inputs])
        except UnknownError as error:
            self._block(self.graph.nodes[last], error)
            return
        gives = tile.gives or [edges.join(last, index) for index in range(len(made))]
        self._made.update(zip(gives, made, strict=True))

    def _tensor(self, edge: str) -> Tensor:
        if edge not in self._made:
            weight = self.reader.whole(edge)
            if weight is not None:
                self._made[edge] = self.plan.held(weight, edge)
            else:
                if self.graph.known(edge) is not None and not self.blocked:
                    node = {"name": edge, "op": "Const"}
                    self._block(node, UnknownError("an output depends on no input"))
                # Only in a model that is not built: what makes this tensor is blocked.
                self._made[edge] = Tensor(ref=("", 0, 0), spec=self.graph.spec(edge))
        return self._made[edge]
