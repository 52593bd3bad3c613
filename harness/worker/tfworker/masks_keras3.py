"""Masks in the graph of a Keras 3 model, which writes them out: operations that compute them, arguments that hand them on.

Where a layer is given the mask that Keras itself would give it, the argument says nothing and goes, and so do operations
that nothing needs then. What is left was put there by the author of the model. Every call notes the masks of its
inputs (``masks``: a name for each, equal for equal masks, or None), because Keras 2 combines some of them differently.
"""

import inspect
from typing import Any, Dict

from . import compat, topology, topology_keras3


def make_implicit(model: Any, graph: Dict[str, Any]) -> None:
    """Take what Keras does by itself out of a graph (of one model, without those inside it), and note ``masks``."""
    live, names = {part.name: part for part in compat.parts(model)}, _Names()
    for layer in graph["layers"]:
        if layer["class_name"] == "InputLayer" or topology_keras3.is_operation(layer):
            continue
        for entry, node in zip(layer["calls"], compat.network_nodes(model, live[layer["name"]])):
            given = _Given(live[layer["name"]], node)
            tensors = compat.node_inputs(node)
            entry["masks"] = [None if given.forgotten else names.of(compat.keras_mask(tensor)) for tensor in tensors]
            for key in [key for key in entry["kwargs"] if key.endswith("mask")]:
                if given.is_natural(key):
                    del entry["kwargs"][key]
    _drop_unused(graph)


class _Names(object):
    """A name for each mask: equal ones have the same."""

    def __init__(self) -> None:
        self.known = []  # type: List[Any]

    def of(self, mask: Any) -> Any:
        if mask is None:
            return None
        form = written(mask)
        if form not in self.known:
            self.known.append(form)
        return "mask_%d" % self.known.index(form)


def written(tensor: Any) -> Any:
    """How a symbolic tensor is computed, by operations down to the outputs of layers; equal for equal computations."""
    operation, index, position = tensor._keras_history
    if not type(operation).__module__.startswith(topology_keras3.OPERATIONS):
        return [operation.name, index, position]
    arguments = operation._inbound_nodes[index].arguments
    config = {key: repr(value) for key, value in operation.get_config().items() if key != "name"}
    kwargs = {key: _written(value) for key, value in arguments.kwargs.items()}
    return [type(operation).__name__, config, _written(arguments.args), kwargs, position]


def _written(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_written(item) for item in value]
    return written(value) if hasattr(value, "_keras_history") else repr(value)


class _Given(object):
    """One call of a layer: the tensors of its arguments by name."""

    def __init__(self, layer: Any, node: Any) -> None:
        args, self.kwargs = node.arguments.args, node.arguments.kwargs
        self.names = [name for name in inspect.signature(layer.call).parameters if name != "self"]
        self.tensors = dict(zip(self.names, args))
        self.tensors.update(self.kwargs)
        self.first = args[0] if args else None

    @property
    def forgotten(self) -> bool:
        """Whether the layer is not told of the mask: Keras 3 looks for ``mask`` where there is one tensor only."""
        tensors = [name for name, value in self.tensors.items() if not name.endswith("mask") and _has_tensor(value)]
        return "mask" in self.names and len(tensors) > 1 and self.kwargs.get("mask") is None

    def is_natural(self, key: str) -> bool:
        """Whether the argument ``key`` holds the mask that travels with the tensor it belongs to."""
        found = self.kwargs.get(key)
        tensor = self.first if key == "mask" else self.tensors.get(key[: -len("_mask")])
        return found is None or _same(found, tensor)


def _has_tensor(value: Any) -> bool:
    return any(hasattr(item, "_keras_history") for item in compat.flatten(value))


def _same(mask: Any, tensor: Any) -> bool:
    if isinstance(mask, (list, tuple)):
        alike = isinstance(tensor, (list, tuple)) and len(tensor) == len(mask)
        return alike and all(_same(one, other) for one, other in zip(mask, tensor))
    natural = None if tensor is None or isinstance(tensor, (list, tuple)) else compat.keras_mask(tensor)
    if mask is None or natural is None:
        return mask is natural
    return bool(written(mask) == written(natural))


def _drop_unused(graph: Dict[str, Any]) -> None:
    """Drop operations whose outputs nobody takes any more."""
    while True:
        used = {tensor[0] for tensor in graph["outputs"]}
        for layer in graph["layers"]:
            for entry in layer["calls"]:
                used |= {t[0] for t in entry["inputs"] + topology.tensors_of(list(entry["kwargs"].values()))}
        kept = [one for one in graph["layers"] if one["name"] in used or not topology_keras3.is_operation(one)]
        if len(kept) == len(graph["layers"]):
            return
        graph["layers"] = kept
