"""Operations ``describe_model``, ``fill_model`` and ``try_plans``: a model from a script or an architecture, and weights for it.

Request of both: ``{"flavour", "builder": "in/builder.py", "function": "build", "builder_name": "model.py"}`` or
``{"flavour", "architecture": "in/arch.json", "architecture_name"}``.

``fill_model`` also has ``"arrays": {"folder": "in/weights", "index": "weights.json", "key": "tensors"}`` and
``"plan": "in/plan.json"``, which holds ``moves`` (layer, role, name, transforms), ``fills`` (layer, role, fill) and
``frozen`` (layers); or, instead of both, ``"h5": "in/weights.h5"``, ``"backend"`` for what ``load_weights`` does. The
result is a bundle (``"bundle": "out/bundle"`` and all that ``read_keras_h5`` takes), or saved models (``"forms"``).

``try_plans`` has ``"plans": ["in/plan-0.json", ...]``, ``"samples"`` and ``"outputs"``: what each plan's weights give.
"""

import hashlib
import os
from typing import Any, Dict, List, Tuple

import numpy as np

from . import channels, compat, compat_target, cpu, from_source, h5_weights, keras1, script, transforms
from .arrays import ArrayReader, ArrayWriter, sha256_array
from .errors import Refusal
from .files import read_json
from .foreign_code import Code
from .read_keras_arch import read_architecture
from .repair import restore_axes
from .roles import digests_of, roles_of
from .samples import read_samples
from .write_bundle import file_entry, write_bundle

Owner = Tuple[List[str], Any, str, Any, bool]


def describe_model(request: Dict[str, Any], context: Any) -> Dict[str, Any]:
    """What has a place for weights: ``variables``, ``layers`` with their predecessors, ``inputs`` and ``outputs``."""
    keras = compat.import_keras(request["flavour"])
    context.step("build the model")
    model = _model(keras, request)
    variables = []
    for path, layer, role, variable, trains in _owners(model):
        shape, dtype = compat.tensor_spec(variable)
        variables.append({"layer": path, "class_name": type(layer).__name__, "role": role, "shape": shape})
        variables[-1].update(dtype=dtype, trainable=trains)
    layers = [{"name": n.name, "class_name": type(n).__name__, "before": _before(n)} for n in model.layers]
    return {
        "name": model.name,
        "variables": variables,
        "layers": layers,
        "inputs": _specs(compat.input_tensors(model), _input_names(keras, model)),
        "outputs": _specs(list(model.outputs), list(getattr(model, "output_names", []))),
        "versions": compat.versions(keras),
    }


def _model(keras: Any, request: Dict[str, Any]) -> Any:
    channels.transpose_on_cpu(keras)
    if request.get("builder"):
        return script.build(keras, request["builder"], request["function"], request["builder_name"])
    architecture = read_architecture(request["architecture"], request["architecture_name"])
    spelled, _ = keras1.respell(architecture, architecture.get("keras_version"))
    code = Code(keras, spelled, {}, None)
    config, _ = cpu.rewrite(restore_axes(code.config))
    compat.clear(keras)
    compat.set_inference(keras)
    return compat.build_model(keras, config, code.objects)


def _input_names(keras: Any, model: Any) -> List[str]:
    return compat_target.input_names(model) if compat_target.is_keras3(keras) else compat.input_names(model)


def _specs(tensors: List[Any], names: List[str]) -> List[Dict[str, Any]]:
    specs = [compat.tensor_spec(t) for t in tensors]
    names = names if len(names) == len(specs) else ["output_%d" % i for i in range(len(specs))]
    return [{"name": n, "shape": s, "dtype": d} for n, (s, d) in zip(names, specs)]


def _before(layer: Any) -> List[str]:
    """Names of the layers whose outputs this one takes."""
    found = []  # type: List[str]
    for node in getattr(layer, "_inbound_nodes", None) or getattr(layer, "inbound_nodes", []):
        for tensor in compat.node_inputs(node):
            history = getattr(tensor, "_keras_history", None)
            if history is not None and history[0] is not layer and history[0].name not in found:
                found.append(history[0].name)
    return found


def _owners(model: Any, path: Tuple[str, ...] = ()) -> List[Owner]:
    """(layer names, layer, role, variable, whether it is trained) of every weight, in the order of the model."""
    found = []  # type: List[Owner]
    for layer in model.layers:
        here = path + (layer.name,)
        if hasattr(layer, "layers") and hasattr(layer, "get_layer"):
            found += _owners(layer, here)
            continue
        trained = [id(v) for v in layer.trainable_weights]
        inside = {inner.name: inner for inner in _inside(layer)}
        for role, v in roles_of(layer):
            parts = role.split(".")  # layers inside of one that is made of code
            owner = inside.get(parts[-2], layer) if len(parts) > 1 else layer
            found.append((list(here) + parts[:-1], owner, parts[-1], v, id(v) in trained))
    if not path:
        claimed = {id(owner[3]) for owner in found}
        lost = [str(v.name) for v in model.weights if id(v) not in claimed]
        if lost:
            raise Refusal("model-unsupported", "%d weights belong to no layer that is understood" % len(lost), lost)
    return found


def _inside(layer: Any) -> List[Any]:
    """Every layer that a layer holds."""
    direct = [inner for inner in compat.flatten(getattr(layer, "_layers", None) or []) if hasattr(inner, "name")]
    return direct + [inner for child in direct for inner in _inside(child)]


def fill_model(request: Dict[str, Any], context: Any) -> Dict[str, Any]:
    """Give the model its weights, then write the bundle or the saved forms; returns the evidence on the weights.

    Raises Refusal: weights-mismatch, builder-failed, and whatever ``write_bundle`` refuses.
    """
    keras = compat.import_keras(request["flavour"])
    context.step("build the model")
    model = _model(keras, request)
    context.step("assign the weights")
    if request.get("h5"):
        weights = _load(keras, model, request)
    else:
        weights = _fill(keras, model, request, request["plan"])
    result = {"weights": weights, "versions": compat.versions(keras)}
    if request.get("bundle"):
        result["written"] = write_bundle(keras, model, _found(request), request, context)
    else:
        context.step("save the model")
        for form, path in request["forms"].items():
            compat_target.save(keras, model, form, path)
        result["digests"] = digests_of(keras, model)
        result["code"] = from_source.used(model)
    return result


def _found(request: Dict[str, Any]) -> Dict[str, Any]:
    """What the bundle says of its source."""
    given = "builder" if request.get("builder") else "architecture"
    model = dict(file_entry(request[given], request[given + "_name"]))
    source = dict(request["source_entry"], **{given: model})
    return {"config": None, "training": None, "optimizer_weights": False, "source": source}


def _load(keras: Any, model: Any, request: Dict[str, Any]) -> Dict[str, Any]:
    """All weights of a Keras 1 or 2 file by their order, converted by this Keras itself."""
    stored = h5_weights.read_weights(request["h5"])
    backend = request.get("backend") or stored["backend"]
    pairs = h5_weights.load(keras, model, stored["layers"], stored["keras_version"], backend, must_change=True)
    rows = [
        {"target": "/".join(path + [role]), "status": "matched", "basis": "order, as load_weights does"}
        for path, _, role, _, _ in _owners(model)
    ]
    return {"rows": rows, "renamed": pairs, "backend": backend, "unequal": []}


def try_plans(request: Dict[str, Any], context: Any) -> Dict[str, Any]:
    """The outputs that the model gives with each of several plans: ``{"arrays": index entries}``, named plan/output."""
    keras = compat.import_keras(request["flavour"])
    context.step("build the model")
    model = _model(keras, request)
    inputs = _specs(compat.input_tensors(model), _input_names(keras, model))
    arrays = read_samples(request["samples"], inputs)
    entries = []  # type: List[Any]
    context.step("try every pairing")
    with ArrayWriter(request["outputs"]) as writer:
        for number, plan in enumerate(request["plans"]):
            _fill(keras, model, request, plan)
            if _eager():
                outputs = compat.flatten(model(arrays[0] if len(arrays) == 1 else arrays, training=False))
            else:
                outputs = compat.evaluator(keras, compat.input_tensors(model), list(model.outputs))(arrays)
            for index, value in enumerate(outputs):
                entries.append(writer.add("%d/%d" % (number, index), np.asarray(value)))
    return {"arrays": entries}


def _fill(keras: Any, model: Any, request: Dict[str, Any], path: str) -> Dict[str, Any]:
    plan = read_json(path)
    arrays = request["arrays"]
    index = read_json(os.path.join(arrays["folder"], arrays["index"]))[arrays["key"]]
    reader = ArrayReader(arrays["folder"], index)
    owners = {("/".join(path), role): variable for path, _, role, variable, _ in _owners(model)}
    layers = {"/".join(path): layer for path, layer, _, _, _ in _owners(model)}
    planned = [("/".join(row["layer"]), row["role"]) for row in plan["moves"] + plan["fills"]]
    if sorted(planned) != sorted(owners):
        raise Refusal("builder-failed", "%s builds another model each time it is called" % request.get("builder_name"))
    pairs, rows = [], []  # type: List[Any], List[Any]
    for move in plan["moves"]:
        array, rounding = _value(reader, move)
        variable = owners[("/".join(move["layer"]), move["role"])]
        wanted = (compat.tensor_spec(variable)[0], compat.tensor_spec(variable)[1])
        if (list(array.shape), array.dtype.name) != wanted:
            found = "%s %s, expected %s %s" % (array.dtype.name, list(array.shape), wanted[1], wanted[0])
            raise Refusal("weights-mismatch", "%s became %s" % (move["name"], found))
        pairs.append((variable, array))
        rows.append({"target": "/".join(move["layer"] + [move["role"]]), "rounding": rounding})
    before = _values(keras, [variable for variable, _ in pairs])
    if pairs and all(np.array_equal(old, new) for old, (_, new) in zip(before, pairs)):
        raise Refusal(
            "weights-mismatch",
            "the weights change nothing: all %d are as the initializers make them" % len(pairs),
            remedy="Give the weights of a trained model.",
        )
    for row in plan["fills"]:
        variable = owners[("/".join(row["layer"]), row["role"])]
        array = _filling(row, variable)
        if array is not None:
            pairs.append((variable, array))
            rows.append({"target": "/".join(row["layer"] + [row["role"]]), "rounding": None})
    _assign(keras, pairs)
    unequal = []
    for row, (_, wanted), found in zip(rows, pairs, _values(keras, [variable for variable, _ in pairs])):
        row["sha256"] = sha256_array(found)
        if row["sha256"] != sha256_array(wanted):
            unequal.append(row["target"])
    for path in plan["frozen"]:
        layers["/".join(path)].trainable = False
    return {"rows": rows, "unequal": unequal}


def _value(reader: ArrayReader, move: Dict[str, Any]) -> Any:
    """The array after its transforms, and how far casts moved it: ``{"max_abs", "max_rel"}`` or None."""
    array, rounding = reader.get(move["name"]), None
    for step in move["transforms"]:
        if "arrays" in step:
            step = dict(step, values=[reader.get(name) for name in step["arrays"]])
        before = array
        try:
            array = transforms.apply(array, [step])
        except (ValueError, IndexError, KeyError, TypeError) as error:
            raise Refusal("weights-mismatch", "%s: the step %s does not fit shape %s: %s" % (
                move["name"], step["op"], list(np.shape(before)), str(error)[:200]))  # fmt: skip
        if step["op"] == "cast":
            rounding = _rounding(before, array, move["name"])
    return np.asarray(array, order="C"), rounding


def _rounding(before: Any, after: Any, name: str) -> Dict[str, float]:
    exact, found = np.asarray(before, np.float64), np.asarray(after, np.float64)
    if (np.isfinite(exact) != np.isfinite(found)).any():
        raise Refusal("weights-mismatch", "%s holds values beyond the range of %s" % (name, after.dtype.name))
    gap = np.abs(np.where(np.isfinite(exact), found - exact, 0.0))
    finite = np.abs(exact[np.isfinite(exact)])
    largest = float(finite.max()) if finite.size else 0.0
    worst = float(gap.max()) if gap.size else 0.0
    return {"max_abs": worst, "max_rel": worst / largest if largest else 0.0}


def _filling(row: Dict[str, Any], variable: Any) -> Any:
    """Values for a weight that has no source: None for those that the model made, zeros, or seeded random ones.

    The random ones are Glorot's uniform distribution for what has two or more axes (limit sqrt(6 / (in + out))),
    ones for scales and variances, zeros for the rest: the same in every version of TensorFlow.
    """
    shape, dtype = compat.tensor_spec(variable)
    kind, _, seed = row["fill"].partition(":")
    if kind == "keep":
        return None
    if kind == "zeros":
        return np.zeros(shape, dtype)
    name = row["role"].split("/")[-1]
    if len(shape) < 2:
        return np.full(shape, 1 if name in ("gamma", "moving_variance") else 0, dtype)
    text = "%s %s %s" % (seed, "/".join(row["layer"]), row["role"])
    rng = np.random.RandomState(int(hashlib.sha256(text.encode("utf-8")).hexdigest()[:8], 16))
    field = int(np.prod(shape[:-2]))
    limit = np.sqrt(6.0 / (field * (shape[-2] + shape[-1])))
    return rng.uniform(-limit, limit, shape).astype(dtype)


def _eager() -> bool:
    return bool(compat.import_tensorflow().executing_eagerly())


def _values(keras: Any, variables: List[Any]) -> List[Any]:
    return [v.numpy() for v in variables] if _eager() else list(compat.values(keras, variables))


def _assign(keras: Any, pairs: List[Any]) -> None:
    if not _eager():
        compat.assign(keras, pairs)
        return
    for variable, array in pairs:
        variable.assign(array)
