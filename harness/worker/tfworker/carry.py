"""Layers whose code stays behind: what they compute, traced by their own TensorFlow, becomes data of the bundle.

A layer is called again, alone, on inputs of its own: once for every call in the model and once for each phase. What it
adds to the graph is cut out between those inputs and its outputs, its variables are noted by name, and the result is
written as neutral graphs (see ``tfworker.graphs``). In the manifest such a layer has the key ``carried``::

    carried = {"list": whether it returns a list, "weights": [{"role", "dtype", "shape", "trainable", "hidden"}],
               "sites": [site ...], "calls": [index of the site of each call ...]}
    site    = {"inputs": [[shape, dtype] ...], "masks": [whether the input has a mask ...], "mask": mask,
               "inference": phase, "training": phase}
    phase   = {"graph": "graphs/0000.json", "inputs": [tensor ...], "masks": [tensor or null ...],
               "outputs": [[tensor, shape, dtype] ...], "updates": [operation ...], "variables": {operation: role}}
    mask    = null (no mask goes on), {"input": index} (the mask of that input goes on) or {"own": true} (the tensor
              ``mask`` of the phase goes on)

A phase has the key ``gradient`` where the layer defines its own: a graph from inputs and outgoing gradients to
those of inputs and weights; the inference has ``noise`` where it draws random numbers: tensors that proofs set.

``hidden`` weights are variables that the file does not hold, such as the counter of a zero-debiased average; they start
from their initial values.
"""

import contextlib
import functools
import hashlib
import json
import os
from typing import Any, Dict, Iterator, List

from . import compat, compat_graph, noise, topology
from .arrays import ArrayWriter
from .errors import Refusal
from .files import write_json
from .foreign_code import entries, without_code
from .graphs import neutral, prune
from .roles import OWN

_LOOPS = ("While", "StatelessWhile")
_WEIGHTS = "_harness_carried_weights"
REFUSED = "Replace these layers by others in the source model, or supply another version of them with --custom-objects FILE.py."


def carried_layers(keras: Any, model: Any, graph: Dict[str, Any]) -> List[Any]:
    """(path, layer entry, live layer) of every layer that is no plain layer of this Keras."""
    found = []
    for path, layer in topology.leaves(graph):
        if layer["class_name"] != "InputLayer":
            live = layer_at(model, path)
            if is_foreign(keras, live):
                found.append((path, layer, live))
    return found


def layer_at(model: Any, path: Any) -> Any:
    """The live layer at a path of names; the input layer of a Sequential is found too."""
    for name in path:
        inputs = [getattr(t, "_keras_history", [None])[0] for t in compat.input_tensors(model)]
        layers = compat.parts(model) + [layer for layer in inputs if layer is not None]
        model = next(layer for layer in layers if layer.name == name)
    return model


@contextlib.contextmanager
def plain_configs(keras: Any, model: Any, found: Any) -> Iterator[None]:
    """Let layers made of code describe themselves as the file does: many cannot, and a Lambda would write bytecode."""
    configs = {name: entry["config"] for name, entry in entries(without_code(found), "")}
    changed = []
    for live in _all_layers(model):
        if is_foreign(keras, live) and not _wraps(live):
            held = configs.get(live.name)
            config = dict(held if isinstance(held, dict) else {}, name=live.name, trainable=live.trainable)
            live.get_config = functools.partial(dict, config)
            changed.append(live)
    try:
        yield
    finally:
        for live in changed:
            del live.get_config


def _wraps(live: Any) -> bool:
    return any(getattr(live, key, None) is not None for key in ("layer", "cell", "cells", "layers"))


def _all_layers(model: Any) -> Iterator[Any]:
    for layer in list(getattr(model, "layers", None) or []) + [getattr(model, "layer", None)]:
        if layer is not None:
            yield layer
            for inner in _all_layers(layer):
                yield inner


def is_foreign(keras: Any, live: Any) -> bool:
    """Whether a live layer, or one that it wraps, is made of code that no Keras brings along."""
    if type(live).__name__ in ("Lambda", "TensorFlowOpLayer") or type(live).__module__.split(".")[0] not in OWN:
        return True
    functions = [getattr(live, key, None) for key in ("activation", "recurrent_activation")]
    if any(_is_code(function) for function in functions):
        return True
    inner = [getattr(live, key, None) for key in ("layer", "forward_layer", "backward_layer", "cell")]
    inner += list(getattr(live, "cells", None) or [])
    if hasattr(live, "layers") and hasattr(live, "input_names"):
        inner += list(live.layers)
    return any(is_foreign(keras, item) for item in inner if item is not None)


def _is_code(function: Any) -> bool:
    module = getattr(function, "__module__", None) or ""
    return callable(function) and module.split(".")[0] not in OWN


def weights_of(live: Any) -> List[Any]:
    """(role, variable, whether the source trains it) of every weight of a layer that was carried."""
    return list(getattr(live, _WEIGHTS))


def carrier(keras: Any, model: Any, bundle: str) -> "Carrier":
    """The carrier for this TensorFlow: one that adds to the graph of the model, or one for models that have none."""
    from . import carry_eager

    eager = compat.import_tensorflow().executing_eagerly()
    return (carry_eager.EagerCarrier if eager else Carrier)(keras, model, bundle)


class Carrier:
    """Traces layers of one model and writes their graphs below ``bundle``."""

    def __init__(self, keras: Any, model: Any, bundle: str) -> None:
        self.keras, self.model, self.bundle = keras, model, bundle
        self.tf = compat.import_tensorflow()
        self._files = {}  # type: Dict[str, str]
        self._random, self._nested = set(), set()  # type: Set[str], Set[str]
        self._arrays = {}  # type: Dict[str, str]
        self.entries = []  # type: List[Dict[str, Any]]
        self._inputs = 0

    def carry(self, layers: List[Any]) -> None:
        """Trace ``layers`` (see ``carried_layers``) and add ``carried`` to their entries.

        Raises Refusal model-unsupported with every layer that cannot be data, and why.
        """
        traced, problems = [], []  # type: List[Any], List[str]
        with self._tracing():
            for path, entry, live in layers:
                try:
                    traced.append((path, entry, live, self._trace(path, entry, live)))
                except Refusal as refusal:
                    problems += ["%s (class %s): %s" % ("/".join(path), entry["class_name"], refusal.message)]
        os.makedirs(os.path.join(self.bundle, "graphs"))
        whole = prune.Index(self._graph_def())
        with ArrayWriter(os.path.join(self.bundle, "graphs.npz")) as writer:
            for path, entry, live, sites in traced:
                try:
                    entry["carried"] = self._described(whole, writer, path, live, sites)
                except Refusal as refusal:
                    problems += ["%s (class %s): %s" % ("/".join(path), entry["class_name"], refusal.message)]
        if problems:
            message = "%d layers cannot be carried over without their source" % len(problems)
            raise Refusal("layer-unsupported", message, problems, REFUSED)

    def _tracing(self) -> Any:
        """The context in which layers are called once more."""
        return compat_graph.functional_control_flow(self.tf)

    def _graph_def(self) -> Any:
        """All that was traced, as a GraphDef."""
        return self.tf.get_default_graph().as_graph_def()

    def _updates(self, live: Any) -> List[Any]:
        """Operations that a layer runs with every training step, as far as it was called."""
        return compat_graph.updates(live)

    def _weights(self, live: Any) -> compat_graph.Weights:
        """The weights of a layer by role."""
        return compat_graph.Weights(self.tf, live)

    def _source(self, variable: Any) -> Any:
        """What a gradient for a variable is asked for."""
        return variable

    def _trace(self, path: Any, entry: Dict[str, Any], live: Any) -> List[Dict[str, Any]]:
        parent = self.model if len(path) == 1 else layer_at(self.model, path[:-1])
        sites = []
        for node in compat.network_nodes(parent, live):
            phases = {name: self._call(live, node, value) for name, value in (("inference", 0), ("training", 1))}
            sites.append(phases)
        return sites

    def _call(self, live: Any, node: Any, phase: int) -> Dict[str, Any]:
        """The live layer called once more, as in ``node``, in a phase: its tensors."""
        before = compat_graph.calls(live)
        known = {id(op) for op in self._updates(live)}
        tensors, masks = compat_graph.call_inputs(node), compat_graph.node_masks(node)
        inputs = [self._input(t) for t in tensors]
        given = []
        for tensor, mask in zip(inputs, masks):
            given.append(None if mask is None else compat_graph.set_mask(self.tf, tensor, mask, self._name()))
        kwargs, extra = compat_graph.node_kwargs(node, self._input)
        restore = compat_graph.save_phase(self.keras)
        self.keras.backend.set_learning_phase(phase)
        try:
            outputs = live(inputs[0] if len(inputs) == 1 and not compat_graph.takes_list(node) else inputs, **kwargs)
            added = self._updates(live) if phase else []
            made = {
                "list": isinstance(outputs, (list, tuple)),
                "inputs": inputs + extra,
                "specs": [list(compat.tensor_spec(t)) for t in inputs + extra],
                "masks": given + [None] * len(extra),
                "outputs": compat.flatten(outputs),
                "updates": [compat_graph.operation_of(u) for u in added if id(u) not in known],
                "phase": phase,
            }
            given_in = made["inputs"] + [m for m in made["masks"] if m is not None]
            made["noise"] = [] if phase else compat_graph.random_tensors(made["outputs"], given_in)
            made["gradient"] = self._gradient(live, made)
            found = compat_graph.output_masks(live, made["outputs"])
            made["mask"], made["own_mask"] = self._mask(found, made["inputs"], given)
        except Refusal:
            raise
        except Exception as error:
            raise Refusal("model-unsupported", "calling it alone failed: %s: %s" % (type(error).__name__, error))
        finally:
            restore()
            compat_graph.forget_calls(live, before)
        return made

    def _gradient(self, live: Any, made: Dict[str, Any]) -> Any:
        """The gradient that the layer defines by itself, as tensors; None where today's TensorFlow derives the same."""
        given = made["inputs"] + [m for m in made["masks"] if m is not None]
        operations = compat_graph.operations_between(made["outputs"], given)
        if not any(compat_graph.has_own_gradient(op) for op in operations):
            return None
        if any(compat_graph.is_random(op.type) for op in operations):
            raise Refusal("model-unsupported", "it has a gradient of its own beside random numbers")
        outputs = [t for t in made["outputs"] if t.dtype.is_floating]
        outgoing = [compat_graph.placeholder_like(self.tf, t, self._name()) for t in outputs]
        inputs = [t for t in made["inputs"] if t.dtype.is_floating]
        weights = list(live.trainable_weights)
        sources = inputs + [self._source(weight) for weight in weights]
        found = getattr(self.tf.compat, "v1", self.tf).gradients(outputs, sources, grad_ys=outgoing)
        found = [None if g is None else self.tf.convert_to_tensor(g) for g in found]
        by_input = dict(zip([t.name for t in inputs], found))
        return {
            "outgoing": [(made["outputs"].index(t), d) for t, d in zip(outputs, outgoing)],
            "inputs": [by_input.get(t.name) for t in made["inputs"]],
            "weights": list(zip(weights, found[len(inputs) :])),
        }

    def _name(self) -> str:
        self._inputs += 1
        return "carried_input_%d" % self._inputs

    def _input(self, tensor: Any) -> Any:
        shape, dtype = compat.tensor_spec(tensor)
        return self.keras.layers.Input(batch_shape=tuple(shape), dtype=dtype, name=self._name())

    def _mask(self, found: List[Any], tensors: List[Any], given: List[Any]) -> Any:
        """(``mask`` of the site, the tensor where it is one of the layer's own)."""
        masks = [m for m in found if m is not None]
        if not masks:
            return None, None
        for index, mask in enumerate(given):
            if mask is not None and all(m is mask for m in masks):
                return {"input": index}, None
        operations = compat_graph.operations_between(masks[:1], tensors + [m for m in given if m is not None])
        if len(found) == 1 and not any(op.type in prune.VARIABLES for op in operations):
            return {"own": True}, masks[0]
        raise Refusal(
            "model-unsupported", "it makes masks of its own from weights, or for several outputs, which is not carried"
        )

    def _described(self, whole: Any, writer: ArrayWriter, path: Any, live: Any, sites: List[Any]) -> Dict[str, Any]:
        weights = self._weights(live)
        described = []
        for site in sites:
            phases = {name: self._phase(whole, writer, site[name], weights) for name in ("inference", "training")}
            first = site["inference"]
            row = {"inputs": first["specs"], "masks": [m is not None for m in first["masks"]], "mask": first["mask"]}
            described.append(dict(row, **phases))
        # Past the layer's own __setattr__, which would count the variables among its weights once more.
        object.__setattr__(live, _WEIGHTS, weights.variables())
        unique = []  # type: List[Any]
        for row in described:
            if row not in unique:
                unique.append(row)
        calls = [unique.index(row) for row in described]
        found = {"list": sites[0]["inference"]["list"], "weights": weights.described(), "sites": unique, "calls": calls}
        if any(row["inference"]["graph"] in self._random for row in unique):
            found["random"] = True
        if weights.described() and any(row["inference"]["graph"] in self._nested for row in unique):
            found["nested_loops"] = True
        return found

    def _phase(self, whole: Any, writer: ArrayWriter, made: Dict[str, Any], weights: Any) -> Dict[str, Any]:
        given = made["inputs"] + [m for m in made["masks"] if m is not None]
        own = [made["own_mask"]] if made["own_mask"] is not None else []
        row, name_of = self._cut(whole, writer, given, made["outputs"] + own, made["updates"], made["phase"], weights)
        if own:
            row["mask"] = [name_of(own[0])] + compat_graph.static_spec(own[0])
        row["inputs"] = [name_of(tensor) for tensor in made["inputs"]]
        row["masks"] = [None if mask is None else name_of(mask) for mask in made["masks"]]
        row["outputs"] = [[name_of(tensor)] + compat_graph.static_spec(tensor) for tensor in made["outputs"]]
        if made["noise"]:
            row["noise"] = [name_of(tensor) for tensor in made["noise"]]
        if made["gradient"]:
            row["gradient"] = self._own_gradient(whole, writer, made, given, weights)
        return row

    def _own_gradient(
        self, whole: Any, writer: ArrayWriter, made: Any, given: List[Any], weights: Any
    ) -> Dict[str, Any]:
        found = made["gradient"]
        outgoing = [tensor for _, tensor in found["outgoing"]]
        wanted = [t for t in found["inputs"] + [t for _, t in found["weights"]] if t is not None]
        row, name_of = self._cut(whole, writer, given + outgoing, wanted, [], made["phase"], weights)
        row["given"] = [name_of(tensor) for tensor in given]
        row["outgoing"] = [[index, name_of(tensor)] for index, tensor in found["outgoing"]]
        row["inputs"] = [None if tensor is None else name_of(tensor) for tensor in found["inputs"]]
        row["weights"] = {weights.role_of(v): name_of(t) for v, t in found["weights"] if t is not None}
        return row

    def _cut(
        self, whole: Any, writer: ArrayWriter, given: List[Any], outputs: List[Any], updates: List[Any], phase: int,
        weights: Any,
    ) -> Any:  # fmt: skip
        """(graph, variables and updates of the part between two sets of tensors, function from tensor to its new name)."""
        names = {tensor.op.name: "in_%d" % index for index, tensor in enumerate(given)}
        wanted = [tensor.op.name for tensor in outputs] + [op.name for op in updates]
        part = whole.part(wanted, list(names), phase)
        variables = {node.name: weights.role(node.name) for node in part.node if node.op in prune.VARIABLES}
        graph, names = prune.canonical(neutral.from_graph_def(part, lambda a: self._put(writer, a)), names)

        def name_of(tensor: Any) -> str:
            return "%s:%d" % (names[tensor.op.name], tensor.value_index)

        roles = {names[name]: role for name, role in sorted(variables.items())}
        row = {"graph": self._write(graph), "updates": [names[op.name] for op in updates], "variables": roles}
        return row, name_of

    def _put(self, writer: ArrayWriter, array: Any) -> str:
        content = repr(array.tolist()).encode("utf-8") if array.dtype == object else array.tobytes()
        key = hashlib.sha256(("%s %s " % (array.dtype, array.shape)).encode("utf-8") + content).hexdigest()
        if key not in self._arrays:
            self._arrays[key] = "graph/" + key[:16]
            self.entries.append(writer.add(self._arrays[key], array))
        return self._arrays[key]

    def _write(self, graph: Dict[str, Any]) -> str:
        key = json.dumps(graph, sort_keys=True)
        if key not in self._files:
            self._files[key] = "graphs/%04d.json" % len(self._files)
            if noise.is_random(graph):
                self._random.add(self._files[key])
            if any(node["op"] in _LOOPS for function in graph["library"] for node in function["nodes"]):
                self._nested.add(self._files[key])
            write_json(os.path.join(self.bundle, self._files[key]), graph)
        return self._files[key]
