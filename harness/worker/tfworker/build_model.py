"""Operation ``build_model``: a translated graph and the bundle's weights become a native model of this Keras.

Request: ``{"op": "build_model", "flavour": "keras3" | "tf.keras" | "tf_keras", "bundle": "in/bundle",
"plan": "in/plan.json", "forms": {"keras": "out/model.keras", "h5": ..., "saved_model": ...},
"objects": "in/target_objects.py" or none, "layer_arguments": as of ``read_keras_h5``}``

The plan holds ``graph`` (in this Keras's dialect) and ``weights`` (array name -> layer, role, transforms).
Nothing of the plan is code: layers are looked up among Keras's own, in safe mode, and in the file ``objects``.
"""

import os
from typing import Any, Dict, List

import numpy as np

from . import carried, compat, compat_target, from_source, source_proof, topology, training_target, transforms
from .arrays import ArrayReader, sha256_array
from .errors import Refusal
from .files import read_json
from .masks import Masks
from .roles import digests_of, roles_of


def build_model(request: Dict[str, Any], context: Any) -> Dict[str, Any]:
    """Save the model and return the evidence on its weights and its first outputs.

    Raises Refusal: weights-mismatch (all missing, unused and mis-shaped weights at once), model-unsupported.
    """
    keras = compat.import_keras(request["flavour"])
    manifest = read_json(os.path.join(request["bundle"], "manifest.json"))
    plan = read_json(request["plan"])
    reader = ArrayReader(request["bundle"], manifest["arrays"])
    context.step("build the model")
    compat.clear(keras)
    objects = from_source.load(request)
    from_source.prepare(keras, plan["graph"], objects, request.get("layer_arguments"))
    carried.fill(plan["graph"], request["bundle"], reader)
    model = build(keras, plan["graph"])
    context.step("assign the weights")
    weights = assign(keras, model, plan, reader)
    training = None
    if plan.get("training"):
        context.step("compile the model")
        training = training_target.compile_model(keras, model, plan["training"], reader)
    context.step("save the model")
    ways = carried.ways(plan["graph"])
    if "carried" in ways.values():  # a SavedModel needs nothing, but its layers can be rebuilt with it
        carried.write_module(os.path.dirname(list(request["forms"].values())[0]))
    for form, path in request["forms"].items():
        compat_target.save(keras, model, form, path)
    parameters = int(model.count_params())
    made = {"weights": weights, "versions": compat.versions(keras), "parameters": parameters, "training": training}
    supplied = []  # type: List[Any]
    if from_source.WAY in ways.values() and not compat_target.has_sessions():
        context.step("compare the layers made from source with their records")
        supplied = source_proof.compare(
            keras, plan["graph"], lambda path: layer_at(model, path), request["bundle"], reader
        )
    return dict(made, ways=ways, supplied=supplied, kept=from_source.kept(plan["graph"]) if objects else [])


def build(keras: Any, graph: Dict[str, Any]) -> Any:
    """The model of a translated graph: Sequential or Functional, nested models inside.

    Raises Refusal bundle-invalid for a graph that names anything but Keras's own layers and objects.
    """
    # What cannot be called is named where layers are called one by one.
    plain = not any("mask_rule" in layer or "live" in layer for layer in graph["layers"])
    if graph["kind"] == "sequential" and plain:
        model = compat_target.sequential(keras, graph, _make)
        if model is not None:
            return model
    return _functional(keras, graph)


def _make(keras: Any, layer: Dict[str, Any]) -> Any:
    if "graph" in layer:
        return build(keras, dict(layer["graph"], name=layer["name"]))
    if "live" in layer:
        return layer["live"]
    if "carried" in layer:
        return carried.make(keras, layer)
    _refuse_foreign(layer)
    config = {key: _inner(keras, value) for key, value in layer["config"].items()}
    config["name"] = layer["name"]
    # An operation such as Flip stands beside the layers, in a module of its own.
    entry = {"module": layer.get("module", "keras.layers"), "class_name": layer["class_name"], "config": config}
    try:
        return compat_target.deserialize(keras, entry)
    except Exception as error:
        raise Refusal(
            "layer-unsupported",
            "Keras %s does not accept the translated layer %r" % (compat.keras_version(keras), layer["name"]),
            ["%s %s: %s" % (layer["class_name"], config, str(error).strip()[:1500])],
        )


#: modules that a plan may name; everything in them is Keras's own and runs no code of the bundle
MODULES = (
    "keras",
    "keras.layers",
    "keras.initializers",
    "keras.regularizers",
    "keras.constraints",
    compat_target.OPERATIONS_MODULE,
    "keras.src.ops.nn",
    "keras.src.ops.math",
    "keras.src.ops.core",
    "keras.src.ops.image",
    "keras.src.quantizers.quantizers",
)
#: the rest of these modules takes functions, or is no operation
_ONLY = {
    "keras.src.ops.core": ("Cast", "StopGradient"), "keras.src.ops.image": ("ExtractPatches",),
    "keras.src.quantizers.quantizers": ("FakeQuantWithMinMaxVars",),
}  # fmt: skip
_NEVER = ("Lambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer")


def _refuse_foreign(value: Any) -> None:
    """A plan is data, but deserialising imports what it names: nothing outside Keras may be named."""
    if isinstance(value, list):
        for item in value:
            _refuse_foreign(item)
    elif isinstance(value, dict):
        named = value.get("module", "keras.layers")
        other = value.get("class_name") not in _ONLY.get(named, (value.get("class_name"),))
        if named not in MODULES or other or value.get("class_name") in _NEVER or value.get("registered_name"):
            raise Refusal(
                "bundle-invalid", "the model names %s.%s, which is not built" % (named, value.get("class_name"))
            )
        for item in value.values():
            _refuse_foreign(item)


def _inner(keras: Any, value: Any) -> Any:
    """A wrapped model, built from its graph and handed over as this Keras writes it; any other value as it is."""
    if isinstance(value, dict) and "graph" in value:
        return compat_target.serialized(keras, build(keras, dict(value["graph"], name=value["name"])))
    return value


def _functional(keras: Any, graph: Dict[str, Any]) -> Any:
    live, made, masks = {}, {}, Masks(keras)  # type: Dict[str, Any], Dict[Any, Any], Masks
    for layer, index in topology.schedule(graph):
        name, call = layer["name"], layer["calls"][index]
        if layer["class_name"] == "InputLayer":
            made[(name, index, 0)] = compat_target.input_tensor(keras, layer["config"], name)
            continue
        if name not in live:
            live[name] = _make(keras, layer)
        inputs = [made[tuple(t)] for t in call["inputs"]]
        kwargs = masks.for_call(live[name], layer, inputs, _resolve(call["kwargs"], made))
        outputs = from_source.call(
            layer, live[name], inputs, compat_target.calling, layer, _call, keras, live[name], layer, inputs, kwargs
        )
        outputs = masks.without(layer, outputs)
        masks.after_call(live[name], layer, inputs, outputs)
        for position, tensor in enumerate(outputs):
            made[(name, index, position)] = tensor
    inputs, outputs = ([made[tuple(t)] for t in graph[key]] for key in ("inputs", "outputs"))
    return keras.Model(_alone(inputs), _alone(outputs), name=graph["name"])


def _resolve(kwargs: Dict[str, Any], made: Dict[Any, Any]) -> Dict[str, Any]:
    """Arguments of a call, tensors of the graph in the place of their references."""

    def value_of(value: Any) -> Any:
        if topology.tensors_of(value) == [value] and tuple(value[:3]) in made:
            return made[tuple(value[:3])]
        if isinstance(value, dict) and set(value) == {"tuple"}:  # an index, such as [:, 1:3]
            return tuple(_index(part) for part in value["tuple"])
        if isinstance(value, dict) and set(value) == {"constant"}:
            return _constant(value["constant"])
        return [value_of(item) for item in value] if isinstance(value, list) else value

    return {key: value_of(value) for key, value in kwargs.items() if value is not None}


def _index(part: Any) -> Any:
    return slice(*part["slice"]) if isinstance(part, dict) else Ellipsis if part == "..." else part


def _constant(value: Dict[str, Any]) -> Any:
    """An array that stands in the plan; floats that JSON cannot hold are texts."""
    items = [float(item) if isinstance(item, str) else item for item in value["values"]]
    return np.array(items, dtype=value["dtype"]).reshape(value["shape"])


def _alone(tensors: List[Any]) -> Any:
    return tensors[0] if len(tensors) == 1 else tensors


_STATEFUL = ("LSTM", "GRU", "SimpleRNN", "RNN", "ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D", "Bidirectional")


def _call(keras: Any, live: Any, layer: Dict[str, Any], inputs: List[Any], kwargs: Dict[str, Any]) -> List[Any]:
    kwargs = {key: value for key, value in kwargs.items() if key != "initial_state"}
    if layer["class_name"] in _STATEFUL and len(inputs) > 1 and "graph" not in layer:
        # Old graphs list the initial state behind the sequence.
        mask = compat.keras_mask(inputs[0])
        if mask is not None and compat_target.is_keras3(keras):
            # Keras 3 drops the mask of a call with a second tensor argument unless it is handed over by name.
            kwargs.setdefault("mask", mask)
        outputs = live(inputs[0], initial_state=inputs[1:], **kwargs)
    elif layer.get("module", "keras.layers") != "keras.layers":
        outputs = live(*inputs, **kwargs)
    else:
        outputs = live(_alone(inputs), **kwargs)
    return compat.flatten(outputs)


def layer_at(model: Any, path: Any) -> Any:
    """The layer at a path of names below a model."""
    for name in path:
        model = model.get_layer(name)
    return model


def assign(keras: Any, model: Any, plan: Dict[str, Any], reader: ArrayReader) -> Dict[str, Any]:
    """Assign every weight of the plan and read it back.

    Returns ``total``, ``equal``, ``transformed`` and ``unequal``; bit for bit, after the declared transforms.
    Raises Refusal weights-mismatch when any weight of either side has no partner of the same shape and dtype.
    """
    targets = _targets(model, plan["graph"])
    problems, pairs = [], []  # type: List[str], List[Any]
    dropped = {(p, role) for p, layer in topology.leaves(plan["graph"]) for role in layer.get("dropped", ())}
    for name, move in plan["weights"].items():
        key = (tuple(move["layer"]), move["role"])
        if key in dropped:
            continue
        variable = targets.pop(key, None)
        if variable is None:
            problems.append("unused: %s has no place in the new model (%s of %s)" % (name, key[1], "/".join(key[0])))
        else:
            pairs.append((name, move, variable))
    problems += [
        "missing: nothing for %s of %s, shape %s" % (r, "/".join(p), tuple(v.shape)) for (p, r), v in targets.items()
    ]
    equal, transformed, unequal = 0, [], []  # type: int, List[Any], List[Any]
    for name, move, variable in pairs:
        steps = [dict(t, value=reader.get(t["array"])) if "array" in t else t for t in move["transforms"]]
        array = transforms.apply(reader.get(name), steps)
        if tuple(array.shape) != tuple(variable.shape) or str(array.dtype) != compat_target.dtype_name(variable):
            problems.append(
                "mis-shaped: %s is %s %s, %s of the new model %s %s"
                % (
                    name,
                    array.dtype,
                    array.shape,
                    compat_target.variable_name(variable),
                    compat_target.dtype_name(variable),
                    tuple(variable.shape),
                )
            )
            continue
        compat_target.assign(keras, [(variable, array)])
        found = sha256_array(next(compat_target.values(keras, [variable])))
        if found == sha256_array(array):
            equal += 1
        else:
            unequal.append(name)
        if move["transforms"]:
            transformed.append({"name": name, "transforms": move["transforms"], "sha256": found})
        del array
    if problems:
        raise Refusal("weights-mismatch", "%d weights do not correspond" % len(problems), problems)
    return {
        "total": len(pairs),
        "equal": equal,
        "transformed": transformed,
        "unequal": unequal,
        "missing": [],
        "unused": [],
        "digests": digests_of(keras, model),
    }


def _targets(model: Any, graph: Dict[str, Any]) -> Dict[Any, Any]:
    found = {}
    for path, layer in topology.leaves(graph):
        if layer["class_name"] in ("InputLayer",) + compat_target.OPERATIONS:
            continue
        if layer.get("module", "keras.layers") == "keras.layers":
            live = layer_at(model, path)
            for role, variable in from_source.roles(layer, live) if "live" in layer else roles_of(live):
                found[(path, role)] = variable
    return found
