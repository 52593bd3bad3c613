"""Differences between the Keras versions that a model is built in: making layers, saving, loading.

A flavour is ``keras3``, ``tf.keras`` (of TensorFlow 1 or 2) or ``tf_keras``; the last two are Keras 2, as far as
configs go. TensorFlow 1 has no values outside a session: variables are written and read through the backend.
"""

import importlib
import json
import re
from typing import Any, Dict, Iterator, List

from . import compat
from .errors import Refusal


def is_keras3(keras: Any) -> bool:
    """Whether this is Keras 3, whose configs, masks and names differ from those of Keras 2."""
    return compat.keras_version(keras).startswith("3.")


def has_sessions() -> bool:
    """Whether this is TensorFlow 1, which builds a graph and runs it in a session."""
    return str(compat.import_tensorflow().__version__).startswith("1.")


def deserialize(keras: Any, entry: Dict[str, Any]) -> Any:
    """The layer of ``{"class_name", "config", "module"}``; nothing but Keras's own classes is looked up.

    Raises what Keras raises for a config that it does not accept.
    """
    if is_keras3(keras):
        config = dict(entry["config"])
        # These operations take no name.
        name = config.pop("name", None) if entry["module"].startswith("keras.src.quantizers") else None
        made = keras.saving.deserialize_keras_object(dict(entry, config=config, registered_name=None), safe_mode=True)
        made.name = name or made.name
        return made
    lacking = entry["class_name"] in OPERATIONS and not hasattr(keras.layers, entry["class_name"])
    if lacking or entry["module"] == OPERATIONS_MODULE:
        return _Operation(entry["class_name"], entry["config"])
    config = entry["config"]
    if entry["class_name"] == "TensorFlowOpLayer":
        # Since TF 2.0 its constructor puts this before the name; what it writes is the name without.
        config = dict(config, name=re.sub("^tf_op_layer_", "", config["name"]))
    make = getattr(keras.layers, "deserialize", None)
    if make is None:  # TF 1.12 does not export it
        package = keras.layers.Dense.__module__.rpartition(".")[0]
        make = importlib.import_module(package + ".serialization").deserialize
    return make({"class_name": entry["class_name"], "config": config})


def sequential(keras: Any, graph: Dict[str, Any], make: Any) -> Any:
    """The Sequential model of a graph, whose layers ``make`` makes; None where this Keras must have a functional one.

    A Sequential of TensorFlow 1 does not save an InputLayer: its first layer says the shape, and its dtype is the
    input's.
    """
    layers = graph["layers"]
    if has_sessions() and layers[0]["class_name"] == "InputLayer":
        given = layers[0]["config"]
        if len(layers) < 2 or "graph" in layers[1] or not isinstance(layers[1].get("config"), dict):
            return None
        first = dict(layers[1], config=dict(layers[1]["config"]))
        if first["config"].get("dtype", "float32") != given.get("dtype", "float32"):
            return None
        first["config"]["batch_input_shape"] = given.get("batch_shape") or given["batch_input_shape"]
        layers = [first] + layers[2:]
    made = [make(keras, layer) for layer in layers]
    named = {"name": graph["name"], "class_name": "Sequential"}
    return calling(named, lambda: keras.Sequential(made, name=graph["name"]))


def calling(layer: Dict[str, Any], call: Any, *arguments: Any) -> Any:
    """What ``call`` gives for ``arguments``; an error of the layer in TensorFlow 1, where shapes and types are checked, is a Refusal."""
    try:
        return call(*arguments)
    except Exception as error:
        if isinstance(error, Refusal) or not has_sessions() or not compat.is_float_op_error(error):
            raise
        raise Refusal(
            "layer-unsupported",
            "TensorFlow %s cannot apply the layer %r" % (compat.import_tensorflow().__version__, layer["name"]),
            ["%s: %s" % (layer["class_name"], str(error).strip()[:1500])],
        )


def assign(keras: Any, pairs: List[Any]) -> None:
    """Give (variable, array) pairs their values."""
    if has_sessions():
        compat.assign(keras, pairs)
        return
    for variable, array in pairs:
        variable.assign(array)


def values(keras: Any, variables: List[Any]) -> Iterator[Any]:
    """Arrays of variables, in order."""
    return compat.values(keras, variables) if has_sessions() else (variable.numpy() for variable in variables)


def predict(keras: Any, model: Any, arguments: Any, eager: bool) -> Any:
    """What a model gives for arrays: by ``predict_on_batch``, or called as a function where that is asked for."""
    if has_sessions() or not eager:
        return model.predict_on_batch(arguments)
    return model(arguments, training=False)


def layer_outputs(keras: Any, model: Any, tensors: List[Any], arguments: Any, eager: bool) -> List[Any]:
    """Values of tensors inside a model, for the arrays that the model takes."""
    if has_sessions():
        arrays = list(arguments) if isinstance(arguments, (list, tuple)) else [arguments]
        return list(compat.evaluator(keras, compat.input_tensors(model), tensors)(arrays))
    forget_dropout(keras, model)
    outputs = predict(keras, keras.Model(model.inputs, tensors), arguments, eager)
    return list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]


def start(keras: Any) -> None:
    """Forget what was built before in this process: in TensorFlow 1 it is in the graph of what comes next."""
    if has_sessions():
        keras.backend.clear_session()


def compile_arguments(keras: Any) -> Dict[str, Any]:
    """What ``compile`` is told beside the plan: Keras 3 chooses XLA by itself."""
    return {"jit_compile": False} if is_keras3(keras) else {}


def leave_uncompiled(keras: Any, model: Any) -> None:
    """Undo a ``compile`` that did not come to its end, so that the model is saved without it."""
    model.optimizer = None
    setattr(model, "compiled" if is_keras3(keras) else "_is_compiled", False)


def serialized(keras: Any, model: Any) -> Dict[str, Any]:
    """A model as it stands in the config of a layer that wraps it."""
    if is_keras3(keras):
        return dict(keras.saving.serialize_keras_object(model))
    return {"class_name": type(model).__name__, "config": model.get_config()}


def input_tensor(keras: Any, config: Dict[str, Any], name: str) -> Any:
    """The symbolic input of an InputLayer's config."""
    shape = config.get("batch_shape") or config.get("batch_input_shape")
    return keras.Input(batch_shape=tuple(shape), dtype=config.get("dtype"), name=name)


def save(keras: Any, model: Any, form: str, path: str) -> None:
    """Write a model in one of the forms ``keras`` (a zip), ``h5`` and ``saved_model`` (a folder)."""
    if form != "saved_model":
        model.save(path)  # Keras chooses by the extension
        if has_sessions():
            _plain_numbers(path)
    elif is_keras3(keras):
        model.export(path, format="tf_saved_model", verbose=False)
    else:
        model.save(path, save_format="tf")


def _plain_numbers(path: str) -> None:
    """Rewrite numpy numbers in a saved config: TF 1.12 writes ReLU's in a form that it cannot load again."""
    import h5py

    with h5py.File(path, "r+") as file:
        config = file.attrs["model_config"]
        text = config.decode("utf-8") if isinstance(config, bytes) else str(config)
        file.attrs["model_config"] = json.dumps(_unwrapped(json.loads(text))).encode("utf-8")


def _unwrapped(value: Any) -> Any:
    if isinstance(value, list):
        return [_unwrapped(item) for item in value]
    if isinstance(value, dict):
        if value.get("type") == "ndarray" and "value" in value:
            return value["value"]
        return {key: _unwrapped(item) for key, item in value.items()}
    return value


def load(keras: Any, path: str, form: str, objects: Any = None) -> Any:
    """The Keras model that a user loads; None where there is none: Keras 3 exports functions only as a SavedModel."""
    if form == "saved_model" and is_keras3(keras):
        return None
    return keras.models.load_model(path, compile=False, **({"custom_objects": objects} if objects else {}))


def serving(keras: Any, path: str, model: Any) -> Any:
    """What a SavedModel serves, as a function from the list of inputs to the list of outputs.

    Keras 3 exports an endpoint; of Keras 2 it is the signature, by names. Calling the loaded object itself would not
    do: Keras 2 saves that call without the masks between layers.
    """
    loaded = compat.import_tensorflow().saved_model.load(path)
    if is_keras3(keras):
        return lambda tensors: compat.flatten(loaded.serve(tensors[0] if len(tensors) == 1 else tensors))

    def serve(tensors: List[Any]) -> List[Any]:
        # Through the loaded object, which owns the variables.
        found = loaded.signatures["serving_default"](**dict(zip(model.input_names, tensors)))
        return [found[name] for name in model.output_names]

    return serve


def trace(layer: Any, inputs: List[Any]) -> None:
    """Run the ``call`` of a layer on symbolic tensors; raises what it raises."""
    if type(inputs[0]).__module__.startswith("keras.src.backend"):  # Keras 3; others do so when a layer is called
        backend = importlib.import_module("keras.src.backend")
        backend.compute_output_spec(layer.call, inputs[0] if len(inputs) == 1 else inputs)


def input_names(model: Any) -> List[str]:
    """Names of a loaded model's inputs; a Keras 2 tensor's own name is one of a graph, not the input's."""
    return list(model.input_names) if hasattr(model, "input_names") else [tensor.name for tensor in model.inputs]


def forget_dropout(keras: Any, model: Any) -> None:
    """Keras 2's convolutional recurrent cells keep a dropout mask from call to call, of the first call's batch size."""
    if is_keras3(keras) or has_sessions():
        return
    for layer in model._flatten_layers():
        for name in ("reset_dropout_mask", "reset_recurrent_dropout_mask"):
            if hasattr(layer, name):
                getattr(layer, name)()


def variable_name(variable: Any) -> str:
    """How a message names a variable."""
    return str(getattr(variable, "path", None) or variable.name)


def variable(weight: Any) -> Any:
    """TensorFlow's variable of a weight: what a tape knows."""
    value = getattr(weight, "value", None)
    return weight if value is None or callable(value) else value


def dtype_name(variable: Any) -> str:
    """The dtype of a variable, as numpy names it."""
    return str(getattr(variable.dtype, "name", None) or variable.dtype).replace("_ref", "")


def without_mask(keras: Any, tensor: Any) -> Any:
    """The same values without the mask that travels with them: an operation, unlike a layer, carries none."""
    return keras.ops.copy(tensor) if is_keras3(keras) else compat.import_tensorflow().identity(tensor)


#: where a plan finds operations that stand in a functional model beside its layers, by Keras 3's names
OPERATIONS_MODULE = "keras.src.ops.numpy"


#: layers without weights that are an operation where this Keras does not have them
OPERATIONS = ("UnitNormalization", "Rescaling")


class _Operation(object):
    """An operation of Keras 3's name, made of TensorFlow's: Keras 2 wraps such a call in a layer of its own."""

    def __init__(self, class_name: str, config: Dict[str, Any]) -> None:
        functions = {
            "Clip": lambda tf, x, x_min, x_max: tf.clip_by_value(x, x_min, x_max),
            "Flip": lambda tf, x: tf.reverse(x, [config["axis"]]),
            "Pad": lambda tf, x: tf.pad(x, config["pad_width"], mode=config["mode"].upper()),
            "UnitNormalization": lambda tf, x: tf.nn.l2_normalize(x, axis=config["axis"]),
            "Greater": lambda tf, x, x2: tf.greater(x, x2),
            "Multiply": lambda tf, x, y: tf.multiply(x, tf.cast(y, x.dtype)),
            "Rescaling": lambda tf, x: x * config["scale"] + config["offset"],
            "Take": lambda tf, x, indices: tf.gather(x, indices % x.shape[config["axis"]], axis=config["axis"]),
            "Matmul": lambda tf, x, y: tf.matmul(x, y),
            "Transpose": lambda tf, x: tf.transpose(x, config["axes"]),
            "Relu6": lambda tf, x: tf.nn.relu6(x),
            "LeakyRelu": lambda tf, x: tf.nn.leaky_relu(x),
            "LogSoftmax": lambda tf, x: tf.nn.log_softmax(x),
            "Crelu": lambda tf, x: tf.nn.crelu(x),
        }
        if class_name not in functions:
            raise Refusal("layer-unsupported", "there is no operation %r for this Keras" % class_name)
        self.function = functions[class_name]

    def __call__(self, *tensors: Any, **numbers: Any) -> Any:
        return self.function(compat.import_tensorflow(), *tensors, **numbers)
