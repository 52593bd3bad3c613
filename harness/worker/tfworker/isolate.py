"""Operation ``replay_layers``: single layer calls of a saved model, each fed what its twin was fed in the source.

Request: as for ``replay``, with ``"arrays"``: names of the recorded outputs that are asked for.

In a replay of the whole model rounding adds up from layer to layer, and a recurrent layer may multiply it. A layer
that is fed the recorded inputs shows what it does itself.
"""

import os
from typing import Any, Dict, List, Optional

import numpy as np

from . import carried, compat, compat_target, from_source
from .arrays import ArrayReader, ArrayWriter
from .files import read_json, write_json


def replay_layers(request: Dict[str, Any], context: Any) -> Dict[str, Any]:
    """Write what the layers give; a layer whose inputs were not recorded whole, or that is masked, is left out."""
    keras = compat.import_keras(request["flavour"])
    manifest = read_json(os.path.join(request["bundle"], "manifest.json"))
    reader = ArrayReader(request["bundle"], manifest["arrays"])
    if "carried-layers" in manifest["required_features"]:
        carried.register(keras)
    context.step("load the saved model")
    model = compat_target.load(keras, request["model"], request["format"], from_source.load(request))
    context.step("replay single layers")
    recorded = Recorded(manifest, reader)
    renamed = {tuple(path): name for path, name in request["renamed"]}
    entries = []
    with ArrayWriter(request["outputs"]) as writer:
        for record in manifest["probes"]["layers"]["records"]:
            if record["array"] in request["arrays"]:
                value = _output(model, renamed, record, recorded)
                if value is not None:
                    stored = value if record["stride"] == 1 else value.reshape(-1)[:: record["stride"]]
                    entries.append(dict(writer.add(record["array"], stored), full_shape=list(value.shape)))
    write_json(request["index"], {"arrays": entries})
    return {"replayed": len(entries)}


class Recorded(object):
    """What every tensor of the source graph held, as far as it was recorded whole."""

    def __init__(self, manifest: Dict[str, Any], reader: ArrayReader) -> None:
        self.reader, self.graph = reader, manifest["model"]["graph"]
        probes = manifest["probes"]
        self.calls = {path: layer for path, layer in _layers(self.graph, ())}
        self.arrays = {}  # type: Dict[Any, str]
        for record in probes["layers"]["records"]:
            if record["stride"] == 1:
                self.arrays[tuple(record["path"]), record["call"], record["tensor"]] = record["array"]
        first = next(s for s in probes["sets"] if s["name"] == probes["layers"]["set"])
        self._inputs((), self.graph, first["inputs"])
        for nested in probes["layers"]["nested_inputs"]:
            path = tuple(nested["path"])
            if path in self.calls and "graph" in self.calls[path]:
                self._inputs(path, self.calls[path]["graph"], nested["arrays"])

    def _inputs(self, path: Any, graph: Dict[str, Any], names: List[str]) -> None:
        for tensor, name in zip(graph["inputs"], names):
            self.arrays[path + (tensor[0],), tensor[1], tensor[2]] = name

    def inputs_of(self, record: Dict[str, Any]) -> Optional[List[Any]]:
        """What the recorded call was fed, or None if not all of it is known."""
        path = tuple(record["path"])
        call = self.calls[path]["calls"][record["call"]]
        keys = [(path[:-1] + (tensor[0],), tensor[1], tensor[2]) for tensor in call["inputs"]]
        if call["kwargs"] or not keys or any(key not in self.arrays for key in keys):
            return None
        return [self.reader.get(self.arrays[key]) for key in keys]


def _layers(graph: Dict[str, Any], path: Any) -> Any:
    for layer in graph["layers"]:
        yield path + (layer["name"],), layer
        if "graph" in layer:
            for found in _layers(layer["graph"], path + (layer["name"],)):
                yield found


def _output(model: Any, renamed: Dict[Any, str], record: Dict[str, Any], recorded: Recorded) -> Any:
    path = record["path"]
    live = model
    for depth, name in enumerate(path):
        live = live.get_layer(renamed.get(tuple(path[: depth + 1]), name))
    inputs = recorded.inputs_of(record)
    nodes = getattr(live, "_inbound_nodes", [])
    masked = any(compat.keras_mask(tensor) is not None for node in nodes for tensor in compat.node_inputs(node))
    if inputs is None or masked:
        return None
    compat.reset_states(model)
    arguments = inputs[0] if len(inputs) == 1 else inputs
    outputs = compat.flatten(live(np.asarray(arguments) if len(inputs) == 1 else [np.asarray(a) for a in arguments]))
    return np.asarray(outputs[record["tensor"]]) if record["tensor"] < len(outputs) else None
