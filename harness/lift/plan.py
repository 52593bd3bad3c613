"""The Keras 3 model in the making: layers, operations and calls in the form that ``build_model`` builds (see ``topology``).

Every variable of the graph goes to exactly one weight. A layer that takes its weights from variables is made once for each
combination of them, and called again where the graph uses them again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from harness.lift.graph import LiftGraph, Spec

LAYERS, NUMPY = "keras.layers", "keras.src.ops.numpy"
NN, MATH, CORE, IMAGE = (f"keras.src.ops.{name}" for name in ("nn", "math", "core", "image"))
QUANTIZERS = "keras.src.quantizers.quantizers"
#: elements of a constant that stands in the model's configuration; larger ones are weights that do not train
INLINE = 4096


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """A tensor of the new model: where it comes from, and what is known of it."""

    ref: tuple[str, int, int]
    spec: Spec


@dataclass(frozen=True, kw_only=True)
class Weight:
    """A weight as a layer wants it: an array of the bundle after transforms that move elements only.

    Attributes:
        edge: the variable, or the constant that it is taken from.
        array: its name in the bundle.
        trainable: whether the source trains it; None where that is a guess (constants of a frozen graph).
        parts: (edge, array) of the variables that transforms join to the first one.
    """

    edge: str
    array: str
    shape: tuple[int, ...]
    dtype: str
    trainable: bool | None
    transforms: tuple[Any, ...] = ()
    parts: tuple[tuple[str, str], ...] = ()

    @property
    def held(self) -> tuple[tuple[str, str], ...]:
        """(edge, array) of all that it is made of."""
        return ((self.edge, self.array), *self.parts)

    def then(self, sizes: Iterable[int], **step: Any) -> Weight:
        """The weight after one more transform, which gives it ``sizes``."""
        return replace(self, shape=tuple(sizes), transforms=(*self.transforms, step))

    def joined(self, other: Weight, axis: int) -> Weight:
        """The weight with another variable behind it."""
        sizes = [n + other.shape[i] * (i == axis) for i, n in enumerate(self.shape)]
        made = self.then(sizes, op="append", array=other.array, axis=axis)
        return replace(made, parts=(*self.parts, (other.edge, other.array)))


class ClaimError(Exception):
    """A variable is wanted by two layers that cannot be one; ``edges`` are those to be held as they are."""

    def __init__(self, edges: Iterable[str]) -> None:
        super().__init__(", ".join(edges))
        self.edges = set(edges)


@dataclass(kw_only=True)
class Plan:
    """What has been made so far.

    Attributes:
        rows: for the report: a row for each layer.
        weights: array → layer, role, transforms, trainable, and the parts that are joined to it, as ``build_model`` and
            ``replay_lifted`` read it.
    """

    graph: LiftGraph
    layers: list[dict[str, Any]] = field(default_factory=list)
    inputs: list[Tensor] = field(default_factory=list)
    weights: dict[str, dict[str, Any]] = field(default_factory=dict)
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    _claims: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    _shared: dict[tuple[Any, ...], dict[str, Any]] = field(default_factory=dict)
    _made: dict[Any, Tensor] = field(default_factory=dict)
    _names: set[str] = field(default_factory=set)

    def input(self, argument: str, spec: Spec) -> Tensor:
        """The input of an argument."""
        name = self._fresh(argument)
        shape = list(spec.shape or ())
        config = {"batch_shape": shape, "dtype": spec.dtype, "name": name}
        self.layers.append(
            {"name": name, "class_name": "InputLayer", "config": config, "calls": [{"inputs": [], "kwargs": {}}]}
        )
        self.inputs.append(Tensor(ref=(name, 0, 0), spec=spec))
        return self.inputs[-1]

    def layer(
        self, class_name: str, config: Mapping[str, Any], inputs: Iterable[Tensor], spec: Spec, *, name: str,
        nodes: Iterable[str] = (), weights: Mapping[str, Weight] | None = None,
    ) -> Tensor:  # fmt: skip
        """The output of a layer of Keras.

        Raises:
            ClaimError: another layer has one of the weights.
        """
        config = dict(config)
        if weights or spec.dtype in ("float16", "bfloat16", "float64"):
            config["dtype"] = spec.dtype
        call = {"inputs": [list(tensor.ref) for tensor in inputs], "kwargs": {}}
        if not weights:
            made = self._add(class_name, LAYERS, config, name, nodes)
        else:
            made = self._weighted(class_name, config, name, nodes, weights)
        made["calls"].append(call)
        return Tensor(ref=(made["name"], len(made["calls"]) - 1, 0), spec=spec)

    def _weighted(
        self, class_name: str, config: dict[str, Any], name: str, nodes: Iterable[str], weights: Mapping[str, Weight]
    ) -> dict[str, Any]:
        roles = tuple(sorted((role, w.array, repr(w.transforms)) for role, w in weights.items()))
        mark = (class_name, repr(sorted(config.items())), roles)
        # Arrays claimed in another way before: neither layer can have them.
        held = [pair for w in weights.values() for pair in w.held]
        taken = {edge for edge, array in held if self._claims.get(array, mark) != mark}
        if taken:
            raise ClaimError(taken)
        if mark in self._shared:
            self.rows[self._shared[mark]["name"]]["nodes"] += list(nodes)
            return self._shared[mark]
        trains = {w.trainable for role, w in weights.items() if not role.startswith("moving_")} - {None}
        made = self._add(class_name, LAYERS, {**config, "trainable": trains != {False}}, name, nodes)
        self._shared[mark] = made
        for role, weight in weights.items():
            self._claims |= {array: mark for _, array in weight.held}
            moving = role.startswith("moving_")
            self.weights[weight.array] = {
                "layer": [made["name"]], "role": role, "transforms": list(weight.transforms), "variable": weight.edge,
                "trainable": trains != {False} and not moving, "parts": [list(pair) for pair in weight.parts],
            }  # fmt: skip
        self.rows[made["name"]]["variables"] = [edge for edge, _ in held if edge in self.graph.variables]
        return made

    def op(
        self, module: str, class_name: str, config: Mapping[str, Any], kwargs: Mapping[str, Any], spec: Spec, *, name: str,
        nodes: Iterable[str] = (), outputs: int = 1,
    ) -> list[Tensor]:  # fmt: skip
        """The outputs of an operation of Keras; ``"*"`` of ``kwargs`` are its tensors by position."""
        given = {key: self.operand(value) for key, value in kwargs.items()}
        made = self._add(class_name, module, dict(config), name, nodes)
        made["calls"].append({"inputs": given.pop("*", []), "kwargs": given})
        return [Tensor(ref=(made["name"], 0, index), spec=spec) for index in range(outputs)]

    def carried(
        self, region: Mapping[str, Any], inputs: Iterable[Tensor], specs: list[Spec], weights: Mapping[str, Weight], *,
        name: str, nodes: Iterable[str],
    ) -> list[Tensor]:  # fmt: skip
        """The outputs of a part of the graph that stays a graph.

        Raises:
            ClaimError: another layer has one of the weights.
        """
        mark = ("carried", name)
        taken = {w.edge for w in weights.values() if self._claims.get(w.array, mark) != mark}
        if taken:
            raise ClaimError(taken)
        made: dict[str, Any] = self._add("GraphLayer", LAYERS, {}, name, nodes)
        made |= {"carried": dict(region), "origin": "a part of a graph"}
        for role, weight in weights.items():
            self._claims[weight.array] = mark
            self.weights[weight.array] = {
                "layer": [made["name"]], "role": role, "transforms": [], "variable": weight.edge,
                "trainable": bool(self.graph.variables[weight.edge]["trainable"]), "parts": [],
            }  # fmt: skip
        self.rows[made["name"]]["variables"] = [w.edge for w in weights.values()]
        made["calls"].append({"inputs": [list(tensor.ref) for tensor in inputs], "kwargs": {}})
        return [Tensor(ref=(made["name"], 0, index), spec=spec) for index, spec in enumerate(specs)]

    def operand(self, value: Any) -> Any:
        """A tensor, a constant or a list of them as an argument of a call."""
        if isinstance(value, Tensor):
            return list(value.ref)
        if isinstance(value, (list, tuple)):
            return [self.operand(item) for item in value]
        if isinstance(value, np.ndarray):
            if value.ndim == 0:
                return _plain(value.item())
            return {"constant": {"dtype": value.dtype.name, "shape": list(value.shape), "values": _flat(value)}}
        return value

    def held(self, weight: Weight, name: str, nodes: Iterable[str] = ()) -> Tensor:
        """A variable as a tensor: the rows of an Embedding, all of them looked up.

        An Embedding is the layer of Keras that gives a weight of its own as it is, and trains it.
        """
        key = ("held", weight.array)
        if key not in self._made:
            rank = len(weight.shape)
            flat = weight if rank == 2 else weight.then((1, _size(weight)), op="reshape", shape=[1, _size(weight)])
            rows, columns = flat.shape
            spec = Spec(shape=(rows, columns), dtype=weight.dtype)
            index = self._index(rows)
            config = {"input_dim": rows, "output_dim": columns}
            made = self.layer("Embedding", config, [index], spec, name=name, nodes=nodes, weights={"embeddings": flat})
            if rank != 2:
                whole, shape = Spec(shape=weight.shape, dtype=weight.dtype), {"newshape": list(weight.shape)}
                made = self.op(NUMPY, "Reshape", shape, {"x": made}, whole, name=f"{name}_value")[0]
            self._made[key] = made
        return self._made[key]

    def _index(self, rows: int) -> Tensor:
        """0 … rows - 1: a constant, but one that hangs on an input, as everything in a Keras model does."""
        key = ("index", rows)
        if key not in self._made:
            zero, spec = self._zero(), Spec(shape=(rows,), dtype="int32")
            kwargs = {"x1": zero, "x2": np.arange(rows, dtype=np.int32)}
            self._made[key] = self.op(NUMPY, "Add", {}, kwargs, spec, name=f"rows_{rows}")[0]
        return self._made[key]

    def _zero(self) -> Tensor:
        if "zero" not in self._made:
            first = next((tensor for tensor in self.inputs if tensor.spec.dtype != "string"), None)
            if first is None:
                raise ClaimError(())
            spec = Spec(shape=first.spec.shape, dtype="int32")
            zeros = self.op(NUMPY, "ZerosLike", {"dtype": "int32"}, {"x": first}, spec, name="no_data")[0]
            scalar = Spec(shape=(), dtype="int32")
            self._made["zero"] = self.op(NUMPY, "Sum", {"axis": None}, {"x": zeros}, scalar, name="zero")[0]
        return self._made["zero"]

    def batch_zeros(self, dtype: str) -> Tensor | None:
        """Zeros, one for each example; None if no input has a free first axis."""
        key = ("batch", dtype)
        if key not in self._made:
            free = [t for t in self.inputs if t.spec.shape and t.spec.shape[0] is None and t.spec.dtype != "string"]
            if not free:
                return None
            spec = Spec(shape=free[0].spec.shape, dtype=dtype)
            made = self.op(NUMPY, "ZerosLike", {"dtype": dtype}, {"x": free[0]}, spec, name=f"batch_{dtype}")[0]
            axes = list(range(1, len(free[0].spec.shape or ())))
            if axes:
                one = Spec(shape=(None,), dtype=dtype)
                made = self.op(NUMPY, "Max", {"axis": axes}, {"x": made}, one, name=f"each_{dtype}")[0]
            self._made[key] = made
        return self._made[key]

    def _add(
        self, class_name: str, module: str, config: dict[str, Any], name: str, nodes: Iterable[str]
    ) -> dict[str, Any]:
        made: dict[str, Any] = {"name": self._fresh(name), "class_name": class_name, "config": config, "calls": []}
        if module != LAYERS:
            made["module"] = module
        self.layers.append(made)
        where = f"{module.rpartition('.')[2]}.{class_name}" if module != LAYERS else class_name
        self.rows[made["name"]] = {"layer": made["name"], "class_name": where, "nodes": list(nodes), "variables": []}
        return made

    def _fresh(self, wanted: str) -> str:
        """A name that Keras accepts and that no other layer has."""
        base = re.sub(r"[^A-Za-z0-9_.-]", "_", wanted).strip("_.-") or "layer"
        name, count = base, 0
        while name in self._names:
            count += 1
            name = f"{base}_{count}"
        self._names.add(name)
        return name


def _size(weight: Weight) -> int:
    return int(np.prod(weight.shape, dtype=np.int64))


def _plain(value: Any) -> Any:
    """A number as JSON holds it."""
    finite = not isinstance(value, float) or np.isfinite(value)
    return value if finite else {"constant": {"dtype": "float32", "shape": [], "values": [str(value)]}}


def _flat(value: np.ndarray[Any, Any]) -> list[Any]:
    items = value.ravel().tolist()
    return [str(item) if isinstance(item, float) and not np.isfinite(item) else item for item in items]
