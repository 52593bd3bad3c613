"""Operation ``read_keras_h5``: a whole-model HDF5 file, loaded by the Keras of this environment, becomes a bundle.

Request: ``{"op": "read_keras_h5", "source": "in/model.h5", "bundle": "out/bundle", "flavour": "tf.keras",
"dialect": "tf1.15", "samples": "in/samples.npz" or null, "layer_budget": bytes}``
"""

import json
import os
from typing import Any, Dict, List

import h5py
import numpy as np

from . import compat, cpu, record, topology
from .arrays import ArrayWriter
from .errors import Refusal
from .files import sha256_file, write_json
from .roles import roles_of

SCHEMA_VERSION = 1


def read_keras_h5(request: Dict[str, Any], context: Any) -> Dict[str, Any]:
    """Write the bundle and return ``{"bundle", "weights", "probes"}`` counts.

    Raises Refusal: layer-unsupported, source-not-loadable, source-weights-only, model-unsupported,
    probes-impossible, samples-invalid.
    """
    keras = compat.import_keras(request["flavour"])
    path, bundle = request["source"], request["bundle"]
    found = read_attributes(path)
    _refuse_unknown_classes(keras, found["config"])
    context.step("load the model")
    config, replaced = cpu.rewrite(found["config"])
    model = _load(keras, path, config if replaced else None)
    graph = _graph(model, found["config"])
    os.makedirs(bundle)
    context.step("write the weights")
    with ArrayWriter(os.path.join(bundle, "weights.npz")) as writer:
        arrays = _write_weights(keras, model, graph, writer)
    context.step("record probes")
    with ArrayWriter(os.path.join(bundle, "probes.npz")) as writer:
        probes, entries = record.record(keras, model, graph, writer, request)
    manifest = _manifest(keras, request, found, model, graph)
    manifest["source"]["replaced_layers"] = replaced
    manifest["arrays"] = arrays + entries
    manifest["probes"] = probes
    write_json(os.path.join(bundle, "manifest.json"), manifest)
    _write_checksums(bundle)
    return {"bundle": bundle, "weights": len(arrays), "probe_sets": [s["name"] for s in probes["sets"]]}


def read_attributes(path: str) -> Dict[str, Any]:
    """The JSON attributes of a whole-model file: config, training configuration, who wrote it."""
    try:
        with h5py.File(path, "r") as h5:
            attributes = {key: _text(h5.attrs.get(key)) for key in ("keras_version", "backend")}
            if "model_config" not in h5.attrs:
                raise Refusal("source-weights-only", "%s has no model_config attribute" % os.path.basename(path))
            config = json.loads(_text(h5.attrs["model_config"]))
            training = json.loads(_text(h5.attrs["training_config"])) if "training_config" in h5.attrs else None
            optimizer = "optimizer_weights" in h5
    except (OSError, IOError) as error:
        raise Refusal("source-truncated", "%s cannot be read as HDF5: %s" % (os.path.basename(path), error))
    return dict(attributes, config=config, training=training, optimizer_weights=optimizer)


def _text(value: Any) -> Any:
    return value.decode("utf-8") if isinstance(value, bytes) else value


def _classes(entry: Any, where: str) -> List[Any]:
    """(class name, layer) of every layer config in a nested config, wrappers' inner layers included."""
    found = []
    if isinstance(entry, dict):
        config = entry.get("config")
        if isinstance(entry.get("class_name"), str) and isinstance(config, (dict, list)):
            here = entry.get("name") or (config.get("name") if isinstance(config, dict) else None) or where
            found.append((entry["class_name"], here))
            inner = config.get("layers") if isinstance(config, dict) else config
            for item in inner or []:
                found.extend(_classes(item, here))
            for key in ("layer", "backward_layer") if isinstance(config, dict) else ():
                found.extend(_classes(config.get(key), here))
    return found


def _refuse_unknown_classes(keras: Any, config: Any) -> None:
    known = compat.known_layers(keras)
    classes = _classes(config, "the model")
    details = ["%s (class %s): no source for this class" % (n, c) for c, n in classes if c not in known]
    # Loading a Lambda runs code from the file; nothing is run that is going to be refused anyway.
    details += ["%s (class Lambda): its Python bytecode is not run" % n for c, n in classes if c == "Lambda"]
    if details:
        raise Refusal(
            "layer-unsupported",
            "%d layers are made of code that the file does not carry in a usable form" % len(details),
            details,
            "Rebuild the model without them, or replace them by built-in layers, and save it again.",
        )


def _load(keras: Any, path: str, config: Any) -> Any:
    compat.clear(keras)
    compat.set_inference(keras)
    try:
        return compat.load_model(keras, path) if config is None else compat.load_with_config(keras, path, config)
    except Exception as error:
        raise Refusal(
            "source-not-loadable",
            "Keras %s cannot load %s" % (keras.__version__, os.path.basename(path)),
            ["%s: %s" % (type(error).__name__, str(error).strip()[:2000])],
        )


def _graph(model: Any, found: Any) -> Dict[str, Any]:
    class_name = type(model).__name__
    if not getattr(model, "inputs", None):
        raise Refusal(
            "model-unsupported",
            "the model %r was saved before it knew the shape of its input" % model.name,
            remedy="Call the model once on data (or give its first layer an input_shape), and save it again.",
        )
    # The live model's config: what this Keras understood, in its own dialect, every default spelled out.
    try:
        graph = topology.parse(class_name, _plain(model.get_config()), model.name)
    except topology.TopologyError as error:
        raise Refusal("model-unsupported", "the model %r cannot be described as a graph: %s" % (model.name, error))
    if graph["layers"][0]["name"] is None:
        shape, dtype = compat.tensor_spec(compat.input_tensors(model)[0])
        config = {"batch_input_shape": shape, "dtype": dtype, "sparse": False}
        topology.name_sequential_input(graph, model.input_names[0], config)
    _note_shapes(model, graph)
    return graph


def _note_shapes(model: Any, graph: Dict[str, Any]) -> None:
    """Add to every call the shapes and dtypes of what goes in: some translations depend on them."""
    live = {layer.name: layer for layer in model.layers}
    for layer in graph["layers"]:
        if layer["class_name"] == "InputLayer":
            continue
        nodes = compat.network_nodes(model, live[layer["name"]])
        for call, node in zip(layer["calls"], nodes):
            call["input_specs"] = [list(compat.tensor_spec(t)) for t in compat.node_inputs(node)]
        if "graph" in layer:
            inner = layer["graph"]
            if inner["layers"][0]["name"] is None:
                shape, dtype = compat.tensor_spec(compat.input_tensors(live[layer["name"]])[0])
                config = {"batch_input_shape": shape, "dtype": dtype, "sparse": False}
                topology.name_sequential_input(inner, live[layer["name"]].input_names[0], config)
            _note_shapes(live[layer["name"]], inner)


def _plain(value: Any) -> Any:
    """Config values as JSON: numpy scalars and arrays, dtypes and tuples written as Keras itself writes them."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, np.ndarray):
        return {"type": "ndarray", "value": value.tolist()}
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, bytes):
        return value.decode("utf-8")
    if hasattr(value, "as_list"):
        return value.as_list()
    return str(getattr(value, "name", value))


def _layer_at(model: Any, path: Any) -> Any:
    for name in path:
        model = next(layer for layer in _layers(model) if layer.name == name)
    return model


def _layers(model: Any) -> List[Any]:
    """Layers of a model, the input layer of a Sequential included."""
    inputs = [getattr(t, "_keras_history", [None])[0] for t in compat.input_tensors(model)]
    return list(model.layers) + [layer for layer in inputs if layer is not None]


def _write_weights(keras: Any, model: Any, graph: Dict[str, Any], writer: ArrayWriter) -> List[Dict[str, Any]]:
    owners = []  # type: List[Any]
    for path, layer in topology.leaves(graph):
        if layer["class_name"] != "InputLayer":
            live = _layer_at(model, path)
            trainable = {id(v) for v in live.trainable_weights}
            owners += [(path, role, variable, id(variable) in trainable) for role, variable in roles_of(live)]
    claimed = {id(variable) for _, _, variable, _ in owners}
    lost = [v.name for v in model.weights if id(v) not in claimed]
    if lost:
        raise Refusal("model-unsupported", "%d weights belong to no layer that is understood" % len(lost), lost)
    entries = []  # type: List[Dict[str, Any]]
    values = compat.values(keras, [variable for _, _, variable, _ in owners])
    for path, role, _, trains in owners:
        entry = writer.add("/".join(path + (role,)), next(values))
        entries.append(dict(entry, layer=list(path), role=role, trainable=trains))
    return entries


def _manifest(keras: Any, request: Dict[str, Any], found: Any, model: Any, graph: Any) -> Dict[str, Any]:
    inputs = [compat.tensor_spec(t) for t in compat.input_tensors(model)]
    outputs = [compat.tensor_spec(t) for t in model.outputs]
    return {
        "schema_version": SCHEMA_VERSION,
        "min_reader": SCHEMA_VERSION,
        "required_features": [],
        "producer": dict(
            compat.versions(keras),
            harness=request["harness_version"],
            environment=request["environment"],
            flavour=request["flavour"],
        ),
        "source": {
            "kind": "keras_h5",
            "file": request.get("source_name") or os.path.basename(request["source"]),
            "bytes": os.path.getsize(request["source"]),
            "sha256": sha256_file(request["source"]),
            "keras_version": found["keras_version"],
            "backend": found["backend"],
        },
        "model": {
            "dialect": request["dialect"],
            "name": model.name,
            "graph": graph,
            "inputs": [{"name": n, "shape": s, "dtype": d} for n, (s, d) in zip(model.input_names, inputs)],
            "outputs": [{"name": n, "shape": s, "dtype": d} for n, (s, d) in zip(model.output_names, outputs)],
            "training": {"config": found["training"], "optimizer_weights": found["optimizer_weights"]},
            "config_as_found": found["config"],
        },
    }


def _write_checksums(bundle: str) -> None:
    names = sorted(name for name in os.listdir(bundle) if name != "SHA256SUMS")
    lines = ["%s  %s\n" % (sha256_file(os.path.join(bundle, name)), name) for name in names]
    with open(os.path.join(bundle, "SHA256SUMS"), "w") as stream:
        stream.writelines(lines)
