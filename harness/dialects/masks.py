"""Which layers a mask can reach, read from the graph alone.

Conservative: a layer that might be masked counts as masked.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.worker.tfworker.topology_keras3 import is_operation

#: layers after which no mask goes on, whatever came in
STOPPING = {
    "Flatten", "Reshape", "Permute", "Dense1D", "GlobalAveragePooling1D", "GlobalMaxPooling1D", "Conv1D", "Conv2D",
    "Conv3D", "GlobalAveragePooling2D", "GlobalMaxPooling2D", "MaxPooling1D", "AveragePooling1D", "InputLayer",
}  # fmt: skip
_RECURRENT = {"LSTM", "GRU", "SimpleRNN", "RNN", "CuDNNLSTM", "CuDNNGRU", "ConvLSTM2D"}


def masked_layers(graph: Mapping[str, Any]) -> set[tuple[str, ...]]:
    """Paths of the layers whose input can carry a mask, and of nested models out of which one can come."""
    found: set[tuple[str, ...]] = set()
    _walk(graph, (), set(), found)
    return found


def _walk(
    graph: Mapping[str, Any], path: tuple[str, ...], masked_inputs: set[int], found: set[tuple[str, ...]]
) -> bool:
    """Whether the graph's outputs can carry a mask, given which of its inputs do."""
    carrying = {graph["inputs"][i][0] for i in masked_inputs}
    for _ in range(len(graph["layers"])):
        before = len(carrying)
        for layer in graph["layers"]:
            incoming = [t[0] for call in layer["calls"] for t in call["inputs"]]
            hit = any(name in carrying for name in incoming)
            if hit:
                found.add((*path, layer["name"]))
            if _emits(layer, hit, incoming, carrying, path, found):
                carrying.add(layer["name"])
        if len(carrying) == before:
            break
    return any(t[0] in carrying for t in graph["outputs"])


def _emits(
    layer: Mapping[str, Any],
    hit: bool,
    incoming: list[str],
    carrying: set[str],
    path: tuple[str, ...],
    found: set[tuple[str, ...]],
) -> bool:
    if "graph" in layer:
        inputs = {i % max(1, len(layer["graph"]["inputs"])) for i, name in enumerate(incoming) if name in carrying}
        emits = _walk(layer["graph"], (*path, layer["name"]), inputs, found)
        if emits:
            found.add((*path, layer["name"]))
        return emits
    if "carried" in layer:
        rules = [site["mask"] for site in layer["carried"]["sites"] if site["mask"] is not None]
        return any(hit or rule.get("own") for rule in rules)
    name, config = layer["class_name"], layer["config"]
    if is_operation(layer):
        return False  # no mask comes out of operations
    if name == "Masking" or (name == "Embedding" and config.get("mask_zero")):
        return True
    if name == "TimeDistributed" and config.get("layer", {}).get("class_name") == "Embedding":
        return hit or bool(config["layer"]["config"].get("mask_zero"))
    if not hit or name in STOPPING:
        return False
    if name in _RECURRENT:
        return bool(config.get("return_sequences"))
    if name == "Bidirectional":
        return bool(config["layer"]["config"].get("return_sequences"))
    return True
