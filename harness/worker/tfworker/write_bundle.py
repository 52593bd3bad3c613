"""A model that an old Keras has loaded becomes a bundle: graph, weights, probes. Shared by every reader of Keras files."""

import os
from typing import Any, Dict, List

import numpy as np

from . import carry, compat, compat_keras3, masks_keras3, record, record_exact, topology, train_step, training
from .arrays import ArrayWriter
from .errors import Refusal
from .files import sha256_file, write_json
from .foreign_code import without_code
from .roles import roles_of

SCHEMA_VERSION = 1


def write_bundle(keras: Any, model: Any, found: Dict[str, Any], request: Dict[str, Any], context: Any) -> Any:
    """Write the bundle of a live model and return ``{"bundle", "weights", "probe_sets"}``.

    ``found`` is what the files say: ``config`` as found, ``training``, ``optimizer_weights``, and ``source``,
    the object of that name in the manifest.

    Raises Refusal: model-unsupported, probes-impossible, samples-invalid.
    """
    bundle = request["bundle"]
    with carry.plain_configs(keras, model, found["config"]):
        graph = _graph(model)
    os.makedirs(bundle)
    carrier = carry.carrier(keras, model, bundle)
    foreign = carry.carried_layers(keras, model, graph)
    if foreign:
        context.step("trace the layers made of code")
        carrier.carry(foreign)
    context.step("write the weights")
    with ArrayWriter(os.path.join(bundle, "weights.npz")) as writer:
        arrays = _write_weights(keras, model, graph, writer)
    context.step("record probes")
    with ArrayWriter(os.path.join(bundle, "probes.npz")) as writer:
        probes, entries = record.record(keras, model, graph, writer, request, owners_of(model, graph))
    manifest = _manifest(keras, request, found, model, graph)
    manifest["required_features"] = ["carried-layers"] if foreign else []
    manifest["probes"] = probes
    manifest["arrays"] = arrays + entries + carrier.entries
    _write_training(keras, model, graph, found, request, manifest, context)
    if request.get("proof", "quick") != "quick":
        context.step("compute it in float64")
        probes["double"], entries = record_exact.write(keras, model, graph, manifest, bundle, request["proof"])
        manifest["arrays"] += entries
        manifest["required_features"] += ["double"] if entries else []
    write_json(os.path.join(bundle, "manifest.json"), manifest)
    write_checksums(bundle)
    return {"bundle": bundle, "weights": len(arrays), "probe_sets": [s["name"] for s in probes["sets"]]}


def _write_training(
    keras: Any, model: Any, graph: Any, found: Any, request: Any, manifest: Dict[str, Any], context: Any
) -> None:
    """Enter how the model is trained into the manifest; the step is last, because it takes the model's place."""
    asked, bundle, path = request.get("training", "off"), request["bundle"], request["source"]
    trained = manifest["model"]["training"]
    if asked == "off" or not (found["training"] or {}).get("optimizer_config"):
        return
    context.step("read the optimizer")
    with training.optional_writer(os.path.join(bundle, "optimizer.npz"), trained["optimizer_weights"]) as writer:
        trained, entries = training.read_training(keras, model, owners_of(model, graph), found, path, writer)
    manifest["model"]["training"] = trained
    manifest["arrays"] += entries
    if asked == "state" or trained["optimizer"] is None or trained["state"] == "lost":
        return
    size = 0 if asked == "parity" else sum(compat.size_of(v) for v in model.weights)
    if size > train_step.LIMIT:
        trained["step"] = train_step.skipped("the model has more than %d weights" % train_step.LIMIT)
        return
    if manifest["required_features"]:
        trained["step"] = train_step.skipped("the model has layers made of code, which are recorded in their own types")
        return
    context.step("take one training step")
    state = training.read_state(path) if trained["state"] == "carried" else []
    given = train_step.Given(bundle, manifest, graph, state)
    with ArrayWriter(os.path.join(bundle, "step.npz")) as writer:
        count = 1 if size > train_step.FIVE_LIMIT else train_step.STEPS
        trained["step"], entries = train_step.record_step(keras, model, trained, given, writer, count)
        if count == 1 and not trained["step"]["skipped"]:
            trained["step"]["one_because"] = "the model has more than %d weights" % train_step.FIVE_LIMIT
    manifest["arrays"] += entries


def file_entry(path: str, name: Any = None) -> Dict[str, Any]:
    """Name (as the user knows it), size and sha256 of a source file."""
    return {"file": name or os.path.basename(path), "bytes": os.path.getsize(path), "sha256": sha256_file(path)}


def _graph(model: Any) -> Dict[str, Any]:
    if not getattr(model, "inputs", None):
        raise Refusal(
            "model-unsupported",
            "the model %r was saved before it knew the shape of its input" % model.name,
            remedy="Call the model once on data (or give its first layer an input_shape), and save it again.",
        )
    named = zip(compat.input_names(model), compat.input_tensors(model))
    sparse = [name for name, tensor in named if type(tensor).__name__ == "SparseTensor"]
    if sparse:
        raise Refusal(
            "model-unsupported",
            "%d inputs of the model %r take sparse tensors, for which no probes are made" % (len(sparse), model.name),
            sparse,
            "Build the model with sparse=False and save it again: its weights stay the same.",
        )
    return _graph_of(model)


def _graph_of(model: Any) -> Dict[str, Any]:
    # The live model's config: what this Keras understood, in its own dialect, every default spelled out.
    try:
        graph = topology.parse(type(model).__name__, _named(_plain(model.get_config()), model), model.name)
    except topology.TopologyError as error:
        raise Refusal("model-unsupported", "the model %r cannot be described as a graph: %s" % (model.name, error))
    if graph["layers"][0]["name"] is None:
        shape, dtype = compat.tensor_spec(compat.input_tensors(model)[0])
        config = {"batch_input_shape": shape, "dtype": dtype, "sparse": False}
        topology.name_sequential_input(graph, compat.input_names(model)[0], config)
    _note_shapes(model, graph)
    return graph


def _named(config: Any, live: Any) -> Any:
    """A model's config with every Sequential as a dict with its name: up to Keras 2.2 it was a bare list."""
    if isinstance(config, list):
        config = {"name": live.name, "layers": config}
    if not (isinstance(config, dict) and isinstance(config.get("layers"), list) and hasattr(live, "layers")):
        return config
    by_name = {layer.name: layer for layer in live.layers}
    entries = []
    for position, entry in enumerate(config["layers"]):
        inner = by_name.get(entry.get("name"))  # only a Functional model names the layers beside their configs
        if inner is None and len(live.layers) == len(config["layers"]):
            inner = live.layers[position]
        entries.append(dict(entry, config=_named(entry["config"], inner)))
    return dict(config, layers=entries)


def _note_shapes(model: Any, graph: Dict[str, Any]) -> None:
    """Add to every call the shapes and dtypes of what goes in: some translations depend on them."""
    live = {part.name: part for part in compat.parts(model)}
    if compat_keras3.is_model(model):
        masks_keras3.make_implicit(model, graph)
    for layer in graph["layers"]:
        if layer["class_name"] == "InputLayer":
            continue
        nodes = compat.network_nodes(model, live[layer["name"]])
        for call, node in zip(layer["calls"], nodes):
            call["input_specs"] = [list(compat.tensor_spec(t)) for t in compat.node_inputs(node)]
        wrapped = _wrapped_model(live[layer["name"]])
        if wrapped is not None:
            layer["wrapped"] = _graph_of(wrapped)
        if "graph" in layer:
            inner = layer["graph"]
            if inner["layers"][0]["name"] is None:
                shape, dtype = compat.tensor_spec(compat.input_tensors(live[layer["name"]])[0])
                config = {"batch_input_shape": shape, "dtype": dtype, "sparse": False}
                topology.name_sequential_input(inner, compat.input_names(live[layer["name"]])[0], config)
            _note_shapes(live[layer["name"]], inner)


def _wrapped_model(layer: Any) -> Any:
    """The model that a TimeDistributed applies to every step, if it knows its input; else None."""
    inner = getattr(layer, "layer", None) if type(layer).__name__ == "TimeDistributed" else None
    if type(inner).__name__ not in topology.MODEL_CLASSES or not getattr(inner, "inputs", None):
        return None
    return inner


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


def owners_of(model: Any, graph: Dict[str, Any]) -> List[Any]:
    """(path of layer names, role, variable, whether it is trained) of every weight of a live model."""
    owners = []  # type: List[Any]
    for path, layer in topology.leaves(graph):
        live = None if layer["class_name"] == "InputLayer" or "module" in layer else carry.layer_at(model, path)
        if "carried" in layer:
            owners += [(path, role, variable, trains) for role, variable, trains in carry.weights_of(live)]
        elif live is not None:
            trainable = {id(v) for v in live.trainable_weights}
            owners += [(path, role, variable, id(variable) in trainable) for role, variable in roles_of(live)]
    return owners


def _write_weights(keras: Any, model: Any, graph: Dict[str, Any], writer: ArrayWriter) -> List[Dict[str, Any]]:
    owners = owners_of(model, graph)
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
        "source": found["source"],
        "model": {
            "dialect": request["dialect"],
            "name": model.name,
            "graph": graph,
            "inputs": [{"name": n, "shape": s, "dtype": d} for n, (s, d) in zip(compat.input_names(model), inputs)],
            "outputs": [{"name": n, "shape": s, "dtype": d} for n, (s, d) in zip(compat.output_names(model), outputs)],
            "training": training.absent(found["training"], found["optimizer_weights"]),
            "config_as_found": without_code(found["config"]),
        },
    }


def write_checksums(bundle: str) -> None:
    """``SHA256SUMS`` of all files of a bundle, those in its folders included."""
    names = []  # type: List[str]
    for folder, _, files in os.walk(bundle):
        names += [os.path.relpath(os.path.join(folder, name), bundle) for name in files]
    lines = ["%s  %s\n" % (sha256_file(os.path.join(bundle, name)), name) for name in sorted(names)]
    with open(os.path.join(bundle, "SHA256SUMS"), "w") as stream:
        stream.writelines(lines)
