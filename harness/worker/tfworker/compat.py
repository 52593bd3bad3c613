"""Differences between TensorFlow and Keras versions, one function each; nothing else asks for a version."""

import importlib
import json
import os
import platform
import sys
import warnings
from typing import Any, Callable, Dict, Iterator, List, Tuple

from . import compat_keras3

FLAVOURS = {"tf.keras": "tensorflow.keras", "keras": "keras", "keras3": "keras", "tf_keras": "tf_keras"}


def quiet() -> None:
    """Keep TensorFlow's own chatter out of the log, before it is imported."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    warnings.simplefilter("ignore")


def import_keras(flavour: str) -> Any:
    """The Keras of this environment: ``tf.keras``, standalone ``keras`` (2 or 3) or ``tf_keras``."""
    if flavour == "tf_keras":
        os.environ["TF_USE_LEGACY_KERAS"] = "1"  # supplied code that says tf.keras means this Keras, not Keras 3
    tf = import_tensorflow()
    if flavour == "tf.keras":
        # An attribute, not a module name: TF 1.12 has no importable tensorflow.keras.
        return tf.keras
    return importlib.import_module(FLAVOURS[flavour])


def import_tensorflow() -> Any:
    """The tensorflow module, its Python logger silenced (TF 1.x logs every deprecated call)."""
    quiet()
    import tensorflow as tf

    v1 = getattr(getattr(tf, "compat", None), "v1", tf)
    getattr(v1, "logging", tf).set_verbosity("ERROR" if not hasattr(v1.logging, "ERROR") else v1.logging.ERROR)
    return tf


def keras_version(keras: Any) -> str:
    """The version of a Keras; from TensorFlow 2.6 to 2.15, tf.keras carries none of its own."""
    version = getattr(keras, "__version__", None)
    return str(version or importlib.import_module("keras").__version__)


def versions(keras: Any) -> Dict[str, str]:
    """Versions of what computes here: python, tensorflow, keras, numpy, h5py."""
    import h5py
    import numpy

    tf = import_tensorflow()
    return {
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": keras_version(keras),
        "numpy": numpy.__version__,
        "h5py": h5py.__version__,
        "platform": sys.platform + "-" + platform.machine(),
    }


def clear(keras: Any) -> None:
    """Forget all models and graphs made so far in this process."""
    keras.backend.clear_session()
    tf = import_tensorflow()
    if tf.__version__.startswith("1.") and hasattr(keras.backend, "set_session"):
        # Grappler of TF 1.12 drops the relu from max(relu(x)): the reference is the model as it is written.
        options = tf.ConfigProto()
        options.graph_options.rewrite_options.arithmetic_optimization = 2  # RewriterConfig.OFF
        keras.backend.set_session(tf.Session(config=options))


def load_model(keras: Any, path: str, custom_objects: Any = None) -> Any:
    """The whole model in a file, without its training configuration."""
    if keras_version(keras).startswith("3."):
        return compat_keras3.load(keras, path, custom_objects or {})
    objects = dict(activation_functions(), **unlisted_layers(keras))
    objects.update(custom_objects or {})
    with keras.utils.custom_object_scope(objects):  # TF 1.12's Bidirectional does not hand them on
        return keras.models.load_model(path, custom_objects=objects, compile=False)


def build_model(keras: Any, config: Any, custom_objects: Any = None) -> Any:
    """The model of an architecture, ``{"class_name", "config", ...}``, with weights as its initializers make them."""
    objects = dict(activation_functions(), **unlisted_layers(keras))
    objects.update(custom_objects or {})
    with keras.utils.custom_object_scope(objects):
        return keras.models.model_from_json(json.dumps(config), custom_objects=objects)


def _weights_module(keras: Any) -> Any:
    """This Keras's own module about HDF5 weights; it moved with nearly every version."""
    root = keras.layers.Dense.__module__.split(".layers.")[0]
    for name in ("saving.legacy.hdf5_format", "saving.hdf5_format", "engine.saving", "engine.topology"):
        try:
            module = importlib.import_module("%s.%s" % (root, name))
        except ImportError:
            continue
        if hasattr(module, "preprocess_weights_for_loading"):
            return module
    raise ImportError("no converter of HDF5 weights below %s" % root)


def stored_weights(keras: Any, layer: Any) -> List[Any]:
    """A layer's variables in the order in which this Keras stores them in HDF5 files."""
    legacy = getattr(_weights_module(keras), "_legacy_weights", None)
    return list(legacy(layer) if legacy else layer.weights)


def convert_weights(keras: Any, layer: Any, arrays: List[Any], keras_version: str, backend: Any) -> List[Any]:
    """Arrays of a weights file as ``layer`` takes them, converted by this Keras itself.

    Gates of Keras 1 are joined, kernels of Theano rotated by 180 degrees, CuDNN's layouts undone.
    """
    if backend == "cntk":
        backend = "tensorflow"  # both correlate; tf.keras rotates kernels of any backend but its own
    # "1" is how Keras itself calls every file of Keras 1.
    version = "1" if keras_version.split(".")[0] == "1" else keras_version
    module = _weights_module(keras)
    nested = type(layer).__name__ in ("Model", "Sequential") and version != "1"
    if not nested or module.__name__ != "keras.engine.topology":
        return list(module.preprocess_weights_for_loading(layer, list(arrays), version, backend))
    # Keras 2.1 looks into nested models for files of Keras 1 only; the trainable weights of all layers come first.
    converted, rest = [], list(arrays)  # type: List[Any], List[Any]
    for wanted in (True, False):
        for inner in layer.layers:
            trainable = inner.trainable_weights
            count = len([w for w in inner.weights if any(w is t for t in trainable) == wanted])
            taken, rest = rest[:count], rest[count:]
            if taken:
                converted += convert_weights(keras, inner, taken, version, backend)
    return converted + rest


def assign(keras: Any, pairs: List[Any]) -> None:
    """Give (variable, array) pairs their values."""
    if hasattr(keras.backend, "batch_set_value"):
        keras.backend.batch_set_value(pairs)
        return
    for variable, array in pairs:
        variable.assign(array)


def activation_functions() -> Dict[str, Any]:
    """TensorFlow's own activations and initializers that models name and old Keras does not find by itself."""
    tf = import_tensorflow()
    names = ("relu6", "leaky_relu", "crelu", "swish", "log_softmax")
    found = {name: getattr(tf.nn, name) for name in names if hasattr(tf.nn, name)}
    if hasattr(tf, "uniform_unit_scaling_initializer"):
        found["UniformUnitScaling"] = tf.uniform_unit_scaling_initializer
    return found


_ATTENTION = {"Attention": ("causal", "use_scale"), "AdditiveAttention": ("causal", "use_scale")}


def unlisted_layers(keras: Any) -> Dict[str, Any]:
    """Layers that TF 1.14 exports and does not find when it loads them."""
    return {name: getattr(keras.layers, name) for name in _ATTENTION if hasattr(keras.layers, name)}


def unsaved_arguments(name: str, entry: Dict[str, Any]) -> List[str]:
    """What TF 1.14 leaves out of the config of a built-in layer, and no one can tell from the file."""
    config = entry["config"]
    if not import_tensorflow().__version__.startswith("1.") or not isinstance(config, dict):
        return []
    lost = [argument for argument in _ATTENTION.get(entry["class_name"], ()) if argument not in config]
    if not lost or is_namesake(entry):
        return []
    return ["%s (class %s): %s, which TF 1.14 does not write" % (name, entry["class_name"], " and ".join(lost))]


def is_namesake(entry: Dict[str, Any]) -> bool:
    """Whether a layer has the name of a class that came with TF 1.14, and arguments that are not those of that class."""
    own = {"name", "trainable", "dtype", "batch_input_shape", "dropout", "score_mode", "seed"} | set(
        _ATTENTION.get(entry["class_name"], ())
    )
    config = entry["config"]
    return entry["class_name"] in _ATTENTION and isinstance(config, dict) and not set(config) <= own


def known_layers(keras: Any) -> Any:
    """Names of the layer classes that this Keras can load without custom objects."""
    names = {n for n in dir(keras.layers) if isinstance(getattr(keras.layers, n), type)}
    # Classes that TF 1.x writes into configs but exports under other names.
    names |= {"Model", "Sequential", "Functional", "BatchNormalizationV1", "BatchNormalizationV2", "TensorFlowOpLayer"}
    names |= {"TFOpLambda", "SlicingOpLambda"}  # of TF 2.4 to 2.15, exported by nobody
    names |= {"Merge", "Convolution1D", "Convolution2D", "Convolution3D", "MaxoutDense", "Highway", "AddV1"}
    return names


def functional(model: Any) -> Any:
    """The model that knows its calls and the names of its inputs: a Sequential of Keras 2.0, 2.1 and 3 wraps it."""
    if compat_keras3.is_model(model):
        return compat_keras3.functional(model)
    if type(model).__name__ != "Sequential" or not hasattr(model, "model"):
        return model
    if model.model is None:
        model.build()
    return model.model


def input_names(model: Any) -> List[str]:
    """Names of the inputs, in order."""
    return compat_keras3.names(model.inputs) if compat_keras3.is_model(model) else list(functional(model).input_names)


def output_names(model: Any) -> List[str]:
    """Names of the outputs, in order."""
    return list(functional(model).output_names)


def parts(model: Any) -> List[Any]:
    """The layers of a model; in Keras 3 the operations that stand beside them too."""
    return list(model.layers) + (compat_keras3.operations(model) if compat_keras3.is_model(model) else [])


def network_nodes(model: Any, layer: Any) -> List[Any]:
    """The calls of ``layer`` that belong to ``model``, in the order in which its config counts them."""
    if compat_keras3.is_model(model):
        return compat_keras3.nodes(model, layer)
    keys = None
    for name in ("_network_nodes", "_container_nodes", "container_nodes"):
        keys = getattr(model, name, None) or keys
    if keys is None:
        return network_nodes(functional(model), layer)
    nodes = []
    for index, node in enumerate(layer._inbound_nodes if hasattr(layer, "_inbound_nodes") else layer.inbound_nodes):
        if "%s_ib-%d" % (layer.name, index) in keys:
            nodes.append(node)
    return nodes


#: bytes of weights that are fetched together, at most (one large weight is fetched alone)
FETCH = 64 << 20


def values(keras: Any, variables: List[Any]) -> Iterator[Any]:
    """Arrays of variables, in order; small ones are fetched together, because each fetch costs TF 1.x about 10 ms."""
    if not hasattr(keras.backend, "batch_get_value"):  # Keras 3
        for value in compat_keras3.values(variables):
            yield value
        return
    for group in grouped(variables, lambda variable: 8 * size_of(variable), FETCH):
        arrays = keras.backend.batch_get_value(group)
        while arrays:  # nothing keeps an array once it was handed out
            yield arrays.pop(0)


def grouped(items: List[Any], size: Callable[[Any], int], limit: int) -> Iterator[List[Any]]:
    """Lists of items in their order whose sizes do not add up to more than ``limit``; one that is larger is alone."""
    group, left = [], limit  # type: List[Any], int
    for item in items:
        if group and size(item) > left:
            yield group
            group, left = [], limit
        group.append(item)
        left -= size(item)
    if group:
        yield group


def size_of(variable: Any) -> int:
    """Number of elements."""
    size = 1
    for dimension in tensor_spec(variable)[0]:
        size *= dimension or 1
    return size


def node_outputs(node: Any) -> List[Any]:
    """Output tensors of one call, always as a list."""
    return flatten(node.output_tensors if hasattr(node, "output_tensors") else node.outputs)


def keras_mask(tensor: Any) -> Any:
    """The mask that travels with a symbolic Keras 3 tensor, or None."""
    return getattr(tensor, "_keras_mask", None)


def flatten(value: Any) -> List[Any]:
    """The tensors of nested lists, in order: stacked cells return their states nested."""
    if isinstance(value, (list, tuple)) or type(value).__name__ in ("ListWrapper", "TrackedList"):
        return [tensor for item in value for tensor in flatten(item)]
    return [value]


def node_inputs(node: Any) -> List[Any]:
    """Input tensors of one call, always as a list."""
    if hasattr(getattr(node, "arguments", None), "kwargs"):  # Keras 3; in Keras 2 they are a dict
        return [t for t in flatten(compat_keras3.node_inputs(node)) if hasattr(t, "_keras_history")]
    return flatten(node.input_tensors if hasattr(node, "input_tensors") else node.keras_inputs)


def evaluator(keras: Any, inputs: List[Any], tensors: List[Any], updates: Any = ()) -> Any:
    """A function from arrays for ``inputs`` to arrays of ``tensors``, in the inference phase.

    ``updates`` are graph operations run with every call, such as the state updates of stateful layers.
    """
    tf = import_tensorflow()
    if not tensors:
        return lambda arrays: []  # TF 1.14 makes no function without an output
    if not hasattr(keras.backend, "function"):  # Keras 3
        call, kinds = compat_keras3.evaluator(keras, inputs, tensors), [tensor_spec(t)[1] for t in tensors]
        return lambda arrays: [_numpy(value, kind) for value, kind in zip(flatten(call(arrays)), kinds)]
    # A session refuses to fetch what it is fed: an input that is also an output goes through an identity.
    fetched = [tf.identity(t) if any(t is i for i in inputs) else t for t in tensors]
    function = keras.backend.function(list(inputs), fetched, **({"updates": list(updates)} if updates else {}))
    dtypes = [tensor_spec(t)[1] for t in fetched]
    return lambda arrays: [_numpy(value, dtype) for value, dtype in zip(function(list(arrays)), dtypes)]


def _numpy(value: Any, dtype: str) -> Any:
    """The array of a fetched value; TF 2 makes a Python number of a scalar, which forgets the type."""
    import numpy as np

    if isinstance(value, (bool, int, float)):
        return np.asarray(value, dtype=dtype)
    return np.asarray(value.numpy() if hasattr(value, "numpy") else value)


def state_updates(model: Any) -> List[Any]:
    """Graph operations that carry the states of stateful layers on; empty where calls do that by themselves."""
    return list(getattr(model, "state_updates", None) or []) if getattr(model, "stateful", False) else []


def set_inference(keras: Any) -> None:
    """Fix the phase to inference before the model is made, so that no layer is left to a default."""
    setter = getattr(keras.backend, "set_learning_phase", None)
    # Keras 2.3 makes no recurrent layer in a fixed phase ("Expected Operation, Variable, or Tensor, got 0");
    # there the phase is a placeholder whose default is inference.
    if setter is not None and not (keras.__name__ == "keras" and keras_version(keras).startswith("2.3.")):
        setter(0)


def is_stateful(model: Any) -> bool:
    """Whether a call of the model depends on the calls before it."""
    return (
        compat_keras3.is_stateful(model) if compat_keras3.is_model(model) else bool(getattr(model, "stateful", False))
    )


def reset_states(model: Any) -> None:
    """Set the state of every stateful layer back to its start."""
    if hasattr(model, "reset_states"):
        model.reset_states()
        return
    for layer in model._flatten_layers():  # Keras 3: a model has no states of its own
        if getattr(layer, "stateful", False):
            for state in flatten(getattr(layer, "states", None) or []):
                # Not layer.reset_state(): it fails for the nested states of stacked cells.
                state.assign(state * 0)


def tensor_spec(tensor: Any) -> Tuple[List[Any], str]:
    """(shape with None for free dimensions, dtype name) of a symbolic tensor."""
    shape = getattr(tensor, "_keras_shape", None)
    if shape is None:
        shape = tensor.shape
        shape = shape.as_list() if hasattr(shape, "as_list") else list(shape)
    dtype = getattr(tensor.dtype, "name", None) or str(tensor.dtype)
    return [None if d is None else int(d) for d in shape], dtype.replace("_ref", "")


def input_tensors(model: Any) -> List[Any]:
    """Input tensors of a model in the order of its ``input_names``."""
    inputs = model.inputs
    return list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]


def is_float_op_error(error: BaseException) -> bool:
    """Whether an exception means that a graph refuses its input (shape or kernel), not that we are wrong."""
    tf = import_tensorflow()
    in_call = str(error).startswith("Exception encountered when calling")  # as Keras 3 names what a layer raises
    return in_call or isinstance(error, (ValueError, TypeError, tf.errors.OpError))


def seed(value: int) -> None:
    """Seed TensorFlow's own random numbers."""
    tf = import_tensorflow()
    (tf.random.set_seed if hasattr(tf.random, "set_seed") else tf.compat.v1.set_random_seed)(value)
