"""Differences between TensorFlow and Keras versions, one function each; nothing else asks for a version."""

import importlib
import os
import platform
import sys
import warnings
from typing import Any, Dict, List, Tuple

FLAVOURS = {"tf.keras": "tensorflow.keras", "keras": "keras", "keras3": "keras", "tf_keras": "tf_keras"}


def quiet() -> None:
    """Keep TensorFlow's own chatter out of the log, before it is imported."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    warnings.simplefilter("ignore")


def import_keras(flavour: str) -> Any:
    """The Keras of this environment: ``tf.keras``, standalone ``keras`` (2 or 3) or ``tf_keras``."""
    quiet()
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


def versions(keras: Any) -> Dict[str, str]:
    """Versions of what computes here: python, tensorflow, keras, numpy, h5py."""
    import h5py
    import numpy

    tf = import_tensorflow()
    return {
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "numpy": numpy.__version__,
        "h5py": h5py.__version__,
        "platform": sys.platform + "-" + platform.machine(),
    }


def clear(keras: Any) -> None:
    """Forget all models and graphs made so far in this process."""
    keras.backend.clear_session()


def load_model(keras: Any, path: str, custom_objects: Any = None) -> Any:
    """The whole model in an HDF5 file, without its training configuration."""
    return keras.models.load_model(path, custom_objects=custom_objects, compile=False)


def known_layers(keras: Any) -> Any:
    """Names of the layer classes that this Keras can load without custom objects."""
    names = {n for n in dir(keras.layers) if isinstance(getattr(keras.layers, n), type)}
    # Classes that TF 1.x writes into configs but exports under other names.
    names |= {"Model", "Sequential", "Functional", "BatchNormalizationV1", "BatchNormalizationV2", "TensorFlowOpLayer"}
    names |= {"Merge", "Convolution1D", "Convolution2D", "Convolution3D", "MaxoutDense", "Highway", "AddV1"}
    return names


def network_nodes(model: Any, layer: Any) -> List[Any]:
    """The calls of ``layer`` that belong to ``model``, in the order in which its config counts them."""
    keys = None
    for name in ("_network_nodes", "_container_nodes", "container_nodes"):
        keys = getattr(model, name, None) or keys
    if keys is None and hasattr(model, "model"):  # Sequential of Keras 2.0 and 2.1 wraps a Model
        return network_nodes(model.model, layer)
    nodes = []
    for index, node in enumerate(layer._inbound_nodes if hasattr(layer, "_inbound_nodes") else layer.inbound_nodes):
        if "%s_ib-%d" % (layer.name, index) in keys:
            nodes.append(node)
    return nodes


def node_outputs(node: Any) -> List[Any]:
    """Output tensors of one call, always as a list."""
    outputs = node.output_tensors if hasattr(node, "output_tensors") else node.outputs
    return list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]


def evaluator(keras: Any, inputs: List[Any], tensors: List[Any]) -> Any:
    """A function from arrays for ``inputs`` to arrays of ``tensors``, in the inference phase."""
    function = keras.backend.function(list(inputs), list(tensors))
    return lambda arrays: [_numpy(value) for value in function(list(arrays))]


def _numpy(value: Any) -> Any:
    import numpy as np

    return np.asarray(value.numpy() if hasattr(value, "numpy") else value)


def set_inference(keras: Any) -> None:
    """Fix the phase to inference before the model is made, so that no layer is left to a default."""
    setter = getattr(keras.backend, "set_learning_phase", None)
    if setter is not None:
        setter(0)


def reset_states(model: Any) -> None:
    """Set the state of every stateful layer back to its start."""
    if hasattr(model, "reset_states"):
        model.reset_states()
        return
    for layer in model._flatten_layers():
        if getattr(layer, "stateful", False) and hasattr(layer, "reset_states"):
            layer.reset_states()


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
    return isinstance(error, (ValueError, TypeError, tf.errors.OpError))


def seed(value: int) -> None:
    """Seed TensorFlow's own random numbers."""
    tf = import_tensorflow()
    (tf.random.set_seed if hasattr(tf.random, "set_seed") else tf.compat.v1.set_random_seed)(value)
