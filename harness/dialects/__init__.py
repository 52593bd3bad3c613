"""Dialects: the config languages of Keras versions, and the chain of steps between neighbours.

:func:`translate` takes a graph (see ``harness/worker/tfworker/topology.py``) from one dialect to another
and returns the new graph, the plan for the weights, and the ledger of every change.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.dialects import (
    down_steps,
    keras2_landing,
    keras3_down,
    keras3_operations,
    keras3_step,
    masks,
    names,
    standalone_steps,
    supplied,
    tf1_landing,
    tf1_steps,
    tf2_steps,
    tf_ops,
)
from harness.dialects.normalization import always_training
from harness.dialects.rules import EVERY, Change, Layer, Obstacle, Rule, Table, unchanged
from harness.errors import HarnessError
from harness.worker.tfworker.topology import leaves, tensors_of
from harness.worker.tfworker.topology_keras3 import is_operation


@dataclass(frozen=True, kw_only=True)
class Step:
    """Neighbouring dialects and the tables between them.

    Attributes:
        up: class -> rules, from ``old`` to ``new``.
        down: class -> rules, from ``new`` back to ``old``; None if there is no way back.
        last: a rule that runs after those of the class.
        closed: whether a class that is not in ``up`` has no equivalent.
    """

    old: str
    new: str
    up: Table
    down: Table | None = None
    last: Rule = unchanged
    closed: bool = False

    @property
    def name(self) -> str:
        """How the ledger names the step."""
        return f"{self.old} → {self.new}" if self.old != self.new else f"in {self.new}"

    def back(self) -> Step | None:
        """The same step the other way, or None."""
        return None if self.down is None else Step(old=self.new, new=self.old, up=self.down, down=self.up)


STEPS: tuple[Step, ...] = (
    Step(old="keras-2.1", new="keras-2.2", up=standalone_steps.UP_2_2),
    Step(old="keras-2.2", new="keras-2.3", up=standalone_steps.UP_2_3),
    Step(old="keras-2.3", new="tf1.15", up=standalone_steps.UP_TF),
    Step(old="tf1.12", new="tf1.13", up=tf1_steps.UP_1_13, down=down_steps.DOWN_1_12),
    Step(old="tf1.13", new="tf1.14", up=tf1_steps.UP_1_14, down=down_steps.DOWN_1_13),
    Step(old="tf1.14", new="tf1.15", up=tf1_steps.UP_1_15, down=down_steps.DOWN_1_14),
    Step(old="tf1.15", new="tf2.3", up=tf2_steps.UP_2_3, down=down_steps.DOWN_1_15),
    Step(old="tf2.3", new="tf2.15", up=tf2_steps.UP_2_15, down=down_steps.DOWN_2_3),
    Step(old="tf2.15", new="keras-3", up=keras3_step.UP, down=keras3_down.DOWN, last=keras3_step.finish, closed=True),
)

#: what follows the last step, where the target is a Keras 2 or tf.keras 1: a step of its own, from the dialect to itself
LANDINGS: dict[str, Step] = {
    dialect: Step(old=dialect, new=dialect, up=table, last=keras2_landing.finish(dialect), closed=True)
    for dialect, table in {**keras2_landing.TABLES, **tf1_landing.TABLES}.items()
}


@dataclass(frozen=True, kw_only=True)
class Translation:
    """What translating a model gave.

    Attributes:
        graph: the model in the target dialect.
        weights: source array name -> {"layer": path, "role", "transforms"}; layer and role are the target's.
        renamed: (path in the source, new name) of every layer that goes by another name.
        ledger: every change, in order.
        obstacles: what has no equivalent; the model may be built only if there are none.
    """

    graph: dict[str, Any]
    weights: dict[str, dict[str, Any]]
    renamed: list[tuple[list[str], str]]
    ledger: tuple[Change, ...]
    obstacles: tuple[Obstacle, ...]


def chain(old: str, new: str) -> list[Step]:
    """The steps from one dialect to another, up or down. Raises HarnessError pair-unsupported."""
    ways = [*STEPS, *(back for step in STEPS if (back := step.back()))]
    found: dict[str, list[Step]] = {old: []}
    queue = [old]
    for at in queue:
        for step in ways:
            if step.old == at and step.new not in found:
                found[step.new] = [*found[at], step]
                queue.append(step.new)
    if new not in found:
        raise HarnessError("pair-unsupported", f"There is no translation from the dialect {old} to {new}.")
    return found[new]


def route(old: str, new: str) -> list[Step]:
    """All that a layer goes through: the chain, and what follows it in the target. Raises HarnessError pair-unsupported."""
    return [*chain(old, new), *([LANDINGS[new]] if new in LANDINGS else [])]


def convert(layer: Layer, steps: list[Step]) -> None:
    """Take one layer, and the layers it wraps, through ``steps`` in place."""
    if layer.supplied and supplied.is_own(layer.class_name):
        supplied.plain(layer, steps[-1].new)
        return
    for step in steps:
        layer.step = step.name
        for inner in _wrapped(layer):
            convert(inner, [step])
            _take_back(layer, inner)
        for rule in step.up.get(EVERY, ()):
            rule(layer)
        name = layer.class_name
        if step.closed and name not in step.up:
            layer.refuse(
                f"the target has no layer {name} that this harness knows to be the same",
                "replace it in the source model by built-in layers, or wait for support of custom layers",
            )
        for rule in (*step.up.get(name, ()), step.last):
            rule(layer)


_SLOTS = ("layer", "backward_layer", "cell")
_MODELS = ("Sequential", "Model", "Functional")


def _wrapped(layer: Layer) -> list[Layer]:
    """Layers inside a wrapper's config, each with the prefix of its weights' roles."""
    found = []
    for slot in _SLOTS:
        entry = layer.config.get(slot)
        if isinstance(entry, dict) and "graph" not in entry and entry.get("class_name", "Model") not in _MODELS:
            found.append(_inner(layer, slot, entry))
    for index, entry in enumerate(layer.config.get("cells") or ()):
        found.append(_inner(layer, f"cells/{index}", entry))
    return found


def _inner(layer: Layer, slot: str, entry: Mapping[str, Any]) -> Layer:
    prefix = layer.prefix + (f"{slot}/" if slot.startswith("cells/") else "")
    if layer.class_name == "Bidirectional":
        prefix += "backward/" if slot == "backward_layer" else "forward/"
    inner = Layer(
        path=(*layer.path, slot),
        class_name=entry["class_name"],
        config=dict(entry["config"]),
        masked=layer.masked,
        input_specs=_step_specs(layer),
        weight_shapes={r[len(prefix) :]: s for r, s in layer.weight_shapes.items() if r.startswith(prefix)},
        weight_dtypes={r[len(prefix) :]: d for r, d in layer.weight_dtypes.items() if r.startswith(prefix)},
        options=layer.options,
        supplied=layer.supplied,
        prefix=prefix,
    )
    return inner


def _step_specs(layer: Layer) -> list[tuple[list[int | None], str]]:
    """What the layer inside a TimeDistributed is given; nothing is known of what is inside other wrappers."""
    if layer.class_name != "TimeDistributed":
        return []
    return [([shape[0], *shape[2:]], dtype) for shape, dtype in layer.input_specs]


def _take_back(layer: Layer, inner: Layer) -> None:
    slot = inner.path[-1]
    entry: dict[str, Any] = {"class_name": inner.class_name, "config": inner.config}
    if inner.expansion is not None and layer.class_name == "TimeDistributed" and not layer.masked:
        # The small graph becomes a model, which a TimeDistributed may hold.
        entry = {"name": inner.config.get("name", "steps"), "graph": inner.expansion}
        for role, (target, transforms) in inner.weights.items():
            inner.weights[role] = (target.replace(":", "/"), transforms)
        inner.expansion = None
    if slot.startswith("cells/"):
        layer.config["cells"][int(slot.split("/")[1])] = entry
    else:
        layer.config[slot] = entry
    _merge_weights(layer, inner.weights)
    if layer.class_name == "Bidirectional" and slot == "layer" and not layer.config.get("backward_layer"):
        # One config serves both directions, so both directions' weights change alike.
        both = {_backward(role): (_backward(to), transforms) for role, (to, transforms) in inner.weights.items()}
        _merge_weights(layer, both)
    layer.ledger.extend(inner.ledger)
    layer.obstacles.extend(inner.obstacles)
    if inner.expansion is not None:
        layer.refuse(
            f"the {inner.class_name} inside needs several layers in the target, which"
            f" {'a masked' if layer.masked else 'this'} wrapper cannot hold",
            "apply the layer outside of the wrapper in the source model",
        )


def _backward(role: str) -> str:
    return role.replace("forward/", "backward/", 1)


def _merge_weights(layer: Layer, weights: Mapping[str, tuple[str, list[dict[str, Any]]]]) -> None:
    for role, (target, transforms) in weights.items():
        _, before = layer.weights.get(role, (role, []))
        layer.weights[role] = (target, [*before, *transforms])


def translate(
    graph: Mapping[str, Any], arrays: list[dict[str, Any]], old: str, new: str, options: dict[str, str]
) -> Translation:
    """The model and its weights in another dialect.

    Args:
        graph: the source model, in dialect ``old``.
        arrays: the manifest's index; entries with a ``role`` are weights.
        options: the user's choices, e.g. ``{"hard_sigmoid": "pin" | "fold"}``.

    Raises:
        HarnessError: pair-unsupported when there is no chain of steps.
    """
    run = _Run(route(old, new), new, options, [e for e in arrays if "role" in e])
    masked = masks.masked_layers(graph)
    translated = run.graph(graph, (), masked)
    moves = {e["name"]: run.weight(tuple(e["layer"]), e["role"]) for e in arrays if "role" in e}
    weights = {name: move for name, move in moves.items() if move is not None}
    return Translation(
        graph=translated,
        weights=weights,
        renamed=[(list(path), name) for path, name in run.renamed.items()],
        ledger=tuple(run.ledger),
        obstacles=tuple(dict.fromkeys(run.obstacles)),
    )


def _input_specs(entry: Mapping[str, Any]) -> list[tuple[list[int | None], str]]:
    """Shape and dtype of each input; a dimension in which a shared layer's calls differ is free."""
    calls = [call.get("input_specs", []) for call in entry["calls"]]
    specs = []
    for same in zip(*calls, strict=False):
        shapes = [shape for shape, _ in same]
        merged = [d[0] if len(set(d)) == 1 else None for d in zip(*shapes, strict=False)]
        specs.append((merged, str(same[0][1])))
    return specs


def _entry(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of a layer that a plan may carry over from a manifest, which is data of unknown origin."""
    return {key: entry[key] for key in ("name", "class_name", "calls")}


def _phase_of_the_whole(calls: list[dict[str, Any]], dialect: str) -> list[dict[str, Any]]:
    """Calls of a nested model: Keras 3 overrides the phase of a call with that of the whole model."""
    if dialect != "keras-3":
        return calls
    kept = [{k: v for k, v in call["kwargs"].items() if k != "training"} for call in calls]
    return [{**call, "kwargs": kwargs} for call, kwargs in zip(calls, kept, strict=True)]


class _Run:
    """One translation: walks the graph, collects ledger, obstacles and weight moves."""

    def __init__(self, steps: list[Step], new: str, options: dict[str, str], weights: list[dict[str, Any]]) -> None:
        self.steps, self.new, self.options = steps, new, options
        self.shapes: dict[tuple[str, ...], dict[str, list[int]]] = {}
        self.dtypes: dict[tuple[str, ...], dict[str, str]] = {}
        for entry in weights:
            self.shapes.setdefault(tuple(entry["layer"]), {})[entry["role"]] = entry["shape"]
            self.dtypes.setdefault(tuple(entry["layer"]), {})[entry["role"]] = entry["dtype"]
        self.ledger: list[Change] = []
        self.obstacles: list[Obstacle] = []
        self.renamed: dict[tuple[str, ...], str] = {}
        self.unused: dict[tuple[str, ...], dict[str, str]] = {}
        #: (wrapper, role) of a weight of a model inside it -> (layer in that model, role there)
        self.inside: dict[tuple[tuple[str, ...], str], tuple[tuple[str, ...], str]] = {}
        self.moves: dict[tuple[str, ...], dict[str, tuple[str, list[dict[str, Any]]]]] = {}

    def graph(self, graph: Mapping[str, Any], path: tuple[str, ...], masked: set[tuple[str, ...]]) -> dict[str, Any]:
        layers = [self._layer(layer, (*path, layer["name"]), masked) for layer in graph["layers"]]
        done = {key: graph[key] for key in ("name", "kind", "inputs", "outputs")} | {"layers": layers}
        if self.new in tf1_landing.DIALECTS and not path:
            done = tf1_landing.copied_inputs(done)
        keras3 = self.new == "keras-3"
        if keras3:
            done["name"] = names.scope(graph["name"])
        renamed = names.without_slashes((layer["name"] for layer in graph["layers"]), clashing=not keras3)
        for old, new in renamed.items():
            self.renamed[(*path, old)] = new
            step = self.steps[-1].name
            why = (
                "Keras 3 allows no slash in a layer's name"
                if keras3
                else "an HDF5 file cannot hold one below the other"
            )
            self.ledger.append(
                Change(layer="/".join((*path, old)), step=step, what="name", before=old, after=new, why=why)
            )
        return names.apply(done, renamed)

    def path(self, path: tuple[str, ...]) -> list[str]:
        """Where a layer of the source stands in the target."""
        return [self.renamed.get(path[: i + 1], name) for i, name in enumerate(path)]

    def _layer(self, entry: Mapping[str, Any], path: tuple[str, ...], masked: set[tuple[str, ...]]) -> dict[str, Any]:
        entry = self._operation(entry, path, masked=path in masked) if is_operation(entry) else entry
        if "graph" in entry:
            nested = {**_entry(entry), "config": None, "graph": self.graph(entry["graph"], path, masked)}
            nested["calls"] = _phase_of_the_whole(entry["calls"], self.steps[0].old)
            if path in masked:
                self._nested_mask(entry, nested, path)
            if self.new == "keras-3" and any(call["kwargs"].get("training") for call in entry["calls"]):
                self.obstacles.append(
                    Obstacle(
                        layer="/".join(path),
                        class_name=entry["class_name"],
                        reason="the model is called with training=True, which Keras 3 overrides with the phase of the whole",
                        remedy="give training=True to the layers inside that need it, or call it without the argument",
                    )
                )
            return nested
        native = self.new in LANDINGS and entry["class_name"] == "TensorFlowOpLayer"  # a layer of Keras 2 itself
        if "carried" in entry and not native:
            return self._carried(entry, path, path in masked)
        if entry["class_name"] in tf_ops.CLASSES and self.new == "keras-3":
            return self._function(entry, path)
        config = dict(entry["config"])
        if "wrapped" in entry:
            config["layer"] = self._wrapped_model(entry["wrapped"], path)
        layer = Layer(
            path=path,
            class_name=entry["class_name"],
            config=config,
            masked=path in masked,
            mask_rule=entry.get("mask_rule"),
            calls=[call["kwargs"] for call in entry["calls"]],
            masks=[call["masks"] for call in entry["calls"] if "masks" in call],
            input_specs=_input_specs(entry),
            weight_shapes=self.shapes.get(path, {}),
            weight_dtypes=self.dtypes.get(path, {}),
            options=self.options,
        )
        try:
            convert(layer, self.steps)
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
            # A manifest is data of unknown origin: a damaged config is its fault, not ours.
            layer.refuse(
                f"its configuration is not one that {self.steps[0].old} writes ({type(error).__name__}: {error})",
                "export the model again",
            )
        calls = entry["calls"]
        if self.new == "keras-3" and any(call["kwargs"].get("training") for call in calls):
            calls = always_training(layer, calls)
        self.ledger.extend(layer.ledger)
        self.obstacles.extend(layer.obstacles)
        self.moves[path], self.unused[path] = layer.weights, layer.unused
        done = {**_entry(entry), "class_name": layer.class_name, "config": layer.config, "calls": calls}
        if layer.mask_rule:
            done["mask_rule"] = layer.mask_rule
        if layer.call_kwargs:
            added = {key: value for key, value in layer.call_kwargs.items() if value is not None}
            kept = [{k: v for k, v in call["kwargs"].items() if k not in layer.call_kwargs} for call in calls]
            done["calls"] = [{**c, "kwargs": {**k, **added}} for c, k in zip(calls, kept, strict=True)]
        if layer.expansion is not None:
            done = {**done, "config": None, "graph": layer.expansion}
        return done

    def _nested_mask(self, entry: Mapping[str, Any], nested: dict[str, Any], path: tuple[str, ...]) -> None:
        """No mask came out of nested models before TF 1.14."""
        if any((step.old, step.new) == ("tf1.13", "tf1.14") for step in self.steps):
            nested["mask_rule"] = "none"
        elif any((step.old, step.new) == ("tf1.14", "tf1.13") for step in self.steps):
            if entry.get("mask_rule") != "none":
                reason = "a mask comes out of a nested model, which TF 1.12 and 1.13 lost there"
                remedy = "take the mask away before it in the source model (mask_zero=False), or use tf1.15"
                where, name = "/".join(path), entry["class_name"]
                self.obstacles.append(Obstacle(layer=where, class_name=name, reason=reason, remedy=remedy))
        elif "mask_rule" in entry:
            nested["mask_rule"] = entry["mask_rule"]

    def _wrapped_model(self, graph: Mapping[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
        """A model inside a wrapper: its layers stand below the wrapper, its weights are the wrapper's."""
        for leaf, _ in leaves(dict(graph)):
            start = "/".join(leaf) + "/"
            for role, shape in self.shapes.get(path, {}).items():
                if role.startswith(start):
                    bare = role[len(start) :]
                    self.shapes.setdefault((*path, *leaf), {})[bare] = shape
                    self.dtypes.setdefault((*path, *leaf), {})[bare] = self.dtypes[path][role]
                    self.inside[path, role] = ((*path, *leaf), bare)
        masked = {(*path, *inner) for inner in masks.masked_layers(graph)}
        return {"name": graph["name"], "graph": self.graph(graph, path, masked)}

    def _function(self, entry: Mapping[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
        """A function of TensorFlow that stood in the graph, as an operation."""
        where, function = "/".join(path), str(entry["config"].get("function"))
        try:
            done = tf_ops.translated(entry)
        except (tf_ops.UnknownError, KeyError, TypeError, IndexError) as error:
            remedy = "replace it by built-in layers in the source model"
            self.obstacles.append(
                Obstacle(layer=where, class_name=entry["class_name"], reason=f"tf.{function}: {error}", remedy=remedy)
            )
            return _entry(entry)
        why, step = "the same operation, which Keras 3 keeps in the graph", self.steps[-1].name
        after = f"keras.ops ({done['class_name']})"
        self.ledger.append(
            Change(layer=where, step=step, what="function", before=f"tf.{function}", after=after, why=why)
        )
        return {"name": entry["name"], **done}

    def _operation(self, entry: Mapping[str, Any], path: tuple[str, ...], *, masked: bool) -> Mapping[str, Any]:
        """An operation of Keras 3 as a layer; one that has none keeps its class, with an obstacle."""
        where, name = "/".join(path), entry["class_name"]
        try:
            class_name, config = keras3_operations.as_layer(entry, masked=masked)
        except (keras3_operations.UnknownError, KeyError, TypeError, IndexError) as error:
            reason = f"the operation {name} of keras.ops: {error}"
            remedy = "replace it by built-in layers in the source model"
            self.obstacles.append(Obstacle(layer=where, class_name=name, reason=reason, remedy=remedy))
            class_name, config = "Activation", {"activation": "linear"}  # so that the others are found too
        why = "a layer that computes the same"
        self.ledger.append(
            Change(layer=where, step=self.steps[0].name, what="class_name", before=name, after=class_name, why=why)
        )
        dtype = entry["calls"][0]["input_specs"][0][1]
        return {**entry, "class_name": class_name, "config": {"name": entry["name"], "dtype": dtype, **config}}

    def _carried(self, entry: Mapping[str, Any], path: tuple[str, ...], masked: bool) -> dict[str, Any]:
        """A layer whose computation the bundle holds as graphs; tensors among its arguments become inputs."""
        why = "its Python code is not needed any more: the operations that it consists of were recorded"
        where = "/".join(path)
        given = self._supplied(entry, path, masked) if supplied.wanted(self.options) else {}
        if self.new.startswith("tf1.") and "config" not in given:
            remedy = "migrate to a target of TensorFlow 2"
            self.obstacles.append(
                Obstacle(layer=where, class_name=entry["class_name"], reason="it is a recorded graph", remedy=remedy)
            )
            return _entry(entry)
        step = self.steps[-1].name
        self.ledger.append(
            Change(layer=where, step=step, what="class_name", before=entry["class_name"], after="GraphLayer", why=why)
        )
        sites = entry["carried"]["calls"]
        calls = []
        for call, site in zip(entry["calls"], sites, strict=True):
            inputs = [*call["inputs"], *tensors_of(list(call["kwargs"].values()))]
            calls.append({"inputs": inputs, "kwargs": {"site": site} if len(set(sites)) > 1 else {}})
        carried = {**entry["carried"], "trainable": entry["config"].get("trainable", True) is not False}
        done = {"name": entry["name"], "class_name": "GraphLayer", "origin": entry["class_name"], "config": None}
        done |= {"source_name": entry["name"], "source_path": list(path), **({"supplied": given} if given else {})}
        return {**done, "calls": calls, "carried": carried}

    def _supplied(self, entry: Mapping[str, Any], path: tuple[str, ...], masked: bool) -> dict[str, Any]:
        """What the layer would be made of from source that is supplied in the target."""
        layer = Layer(
            path=path, class_name=entry["class_name"], config=copy.deepcopy(entry["config"]), input_specs=_input_specs(entry),
            options=self.options, supplied=True, masked=masked, calls=[call["kwargs"] for call in entry["calls"]],
        )  # fmt: skip
        try:
            convert(layer, self.steps)
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
            return {"reason": f"its configuration is not understood ({type(error).__name__}: {error})"}
        return supplied.described(layer, entry["calls"])

    def weight(self, path: tuple[str, ...], role: str) -> dict[str, Any] | None:
        """Where one source weight goes; a target role may name a layer inside an expansion (``inner:kernel``).

        None if a rule declared that the weight has no place of its own.
        """
        if (path, role) in self.inside:
            inner_path, inner_role = self.inside[path, role]
            move = self.weight(inner_path, inner_role)
            if move is None:
                return None
            depth = len(path)
            bare = "/".join([*move["layer"][depth:], move["role"]])
            return {**move, "layer": move["layer"][:depth], "role": bare}
        if role in self.unused.get(path, {}):
            return None
        target, transforms = self.moves.get(path, {}).get(role, (role, []))
        inner, _, bare = target.rpartition(":")
        siblings = "/".join(path)
        transforms = [{**t, "array": f"{siblings}/{t['role']}"} if "role" in t else t for t in transforms]
        return {
            "layer": [*self.path(path), *(inner.split(":") if inner else [])],
            "role": bare,
            "transforms": transforms,
        }
