"""How optimizers differ between TensorFlow and Keras versions: making them, their slots, applying them.

Three families: ``keras`` (standalone Keras 2 and tf.keras up to 1.13: lists of variables by position), ``v2``
(OptimizerV2, tf.keras 1.14 to 2.10: slots by name) and ``modern`` (tf.keras 2.11 and later, Keras 3: lists of
variables by attribute).
"""

from typing import Any, Dict, List, Tuple

import numpy as np

from . import compat

#: slots of the ``keras`` family, in the order of ``optimizer.weights``
LISTED = {
    "SGD": ("momentum",),
    "RMSprop": ("rms",),
    "Adagrad": ("accumulator",),
    "Adadelta": ("accum_grad", "accum_var"),
    "Adam": ("m", "v", "vhat"),
    "Adamax": ("m", "v"),
    "Nadam": ("m", "v"),
}
#: slot -> attribute of the ``modern`` family; the names of slots are those of OptimizerV2
ATTRIBUTES = {
    "SGD": {"momentum": "momentums"},
    "RMSprop": {"rms": "_velocities", "momentum": "_momentums", "mg": "_average_gradients"},
    "Adagrad": {"accumulator": "_accumulators"},
    "Adadelta": {"accum_grad": "_accumulated_grads", "accum_var": "_accumulated_delta_vars"},
    "Adam": {"m": "_momentums", "v": "_velocities", "vhat": "_velocity_hats"},
    "Adamax": {"m": "_m", "v": "_u"},
    "Nadam": {"m": "_momentums", "v": "_velocities"},
    "Ftrl": {"accumulator": "_accumulators", "linear": "_linears"},
}


def make_optimizer(keras: Any, entry: Dict[str, Any]) -> Any:
    """The optimizer of ``{"class_name", "config"}``."""
    return keras.optimizers.deserialize({"class_name": entry["class_name"], "config": dict(entry["config"])})


def family(optimizer: Any) -> str:
    """``keras``, ``v2`` or ``modern``."""
    if hasattr(optimizer, "get_slot"):
        return "v2"
    return "modern" if hasattr(optimizer, "build") else "keras"


def class_of(optimizer: Any) -> str:
    """The optimizer's class as Keras itself names it; pinned ones count as the class they pin."""
    for cls in type(optimizer).__mro__:
        if cls.__name__ in ATTRIBUTES:
            return cls.__name__
    return type(optimizer).__name__


def create_slots(keras: Any, optimizer: Any, params: List[Any]) -> None:
    """Make the optimizer's variables without training anything."""
    kind = family(optimizer)
    if kind == "modern":
        optimizer.build(params)
    elif kind == "v2":
        _ = optimizer.iterations
        optimizer._create_hypers()
        optimizer._create_slots(params)
    else:
        total = None  # any loss that depends on every parameter
        for p in params:
            total = keras.backend.sum(p) if total is None else total + keras.backend.sum(p)
        optimizer.get_updates(loss=total, params=params)


def slots(optimizer: Any, params: List[Any]) -> List[Tuple[int, str, Any]]:
    """(index of the parameter, slot, variable) of every slot that has a meaning.

    Raises ValueError if the variables are not the ones that this optimizer is known to have.
    """
    kind, name = family(optimizer), class_of(optimizer)
    if kind == "v2":
        names = list(optimizer.get_slot_names())
        return [(i, slot, optimizer.get_slot(p, slot)) for i, p in enumerate(params) for slot in names]
    found = []  # type: List[Tuple[int, str, Any]]
    if kind == "modern":
        for slot, attribute in list(ATTRIBUTES[name].items()) + [("average", "_model_variables_moving_average")]:
            found += [(i, slot, v) for i, v in enumerate(getattr(optimizer, attribute, None) or []) if v is not None]
        return found
    scalars = [optimizer.iterations, getattr(optimizer, "m_schedule", None)]
    listed = [w for w in optimizer.weights if not any(w is s for s in scalars)]
    if name not in LISTED or len(listed) != len(LISTED[name]) * len(params):
        raise ValueError("%s has %d variables for %d weights" % (name, len(listed), len(params)))
    for index, variable in enumerate(listed):
        slot = LISTED[name][index // len(params)]
        if slot != "vhat" or optimizer.amsgrad:  # without amsgrad the third group holds dummies
            found.append((index % len(params), slot, variable))
    return found


def scalars(keras: Any, optimizer: Any) -> Dict[str, Any]:
    """Variables of the optimizer that belong to no weight: ``iterations``, and Nadam's running product."""
    found = {"iterations": optimizer.iterations}
    for attribute in ("m_schedule", "_m_cache", "_u_product"):
        if getattr(optimizer, attribute, None) is not None:
            found["m_schedule"] = getattr(optimizer, attribute)
    return found


def product(optimizer: Any) -> Any:
    """The variable of Nadam's running product in the families ``v2`` and ``modern``, or None."""
    found = getattr(optimizer, "_m_cache", None)
    return getattr(optimizer, "_u_product", None) if found is None else found


def variables(optimizer: Any) -> List[Any]:
    """All variables of an optimizer of the families ``v2`` and ``modern``, in a fixed order."""
    if family(optimizer) == "v2":
        return list(optimizer.weights)
    found = optimizer.variables
    return list(found() if callable(found) and not isinstance(found, list) else found)


def apply(optimizer: Any, pairs: List[Any]) -> None:
    """One step of an optimizer of the families ``v2`` and ``modern`` with (gradient, weight) pairs, clipped as in ``fit``."""
    clip = getattr(optimizer, "_clip_gradients", None)
    if family(optimizer) == "v2" and clip is not None:  # up to TF 2.3 not part of apply_gradients
        pairs = list(zip(clip([gradient for gradient, _ in pairs]), [weight for _, weight in pairs]))
    optimizer.apply_gradients(pairs)


def live_config(optimizer: Any) -> Dict[str, Any]:
    """The optimizer's own config, every default spelled out; float32 numbers as the decimals that people wrote."""
    config = {key: _decimal(value) for key, value in optimizer.get_config().items() if key != "name"}
    for key in ("clipnorm", "clipvalue"):
        config[key] = getattr(optimizer, key, None)  # no version before TF 2.4 writes them into every config
    return config


def _decimal(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _decimal(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_decimal(item) for item in value]
    if hasattr(value, "numpy"):
        value = value.numpy()
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and float(np.float32(value)) == value:
        return float(str(np.float32(value)))
    return value


def is_standalone(keras: Any) -> bool:
    """Whether this is Keras 2 beside TensorFlow, whose BatchNormalization takes no ``fused``."""
    return str(keras.__name__) == "keras" and not hasattr(keras, "src")


def eager() -> bool:
    """Whether this TensorFlow computes at once, without graph and session."""
    tf = compat.import_tensorflow()
    return bool(tf.executing_eagerly())


def set_floatx(keras: Any, dtype: str) -> None:
    """The default dtype of everything that is made from now on."""
    keras.backend.set_floatx(dtype)
    tf = compat.import_tensorflow()
    if hasattr(tf, "keras") and not hasattr(keras, "config"):
        tf.keras.backend.set_floatx(dtype)  # standalone Keras 2.3 makes some of its constants there
    if hasattr(keras, "config") and hasattr(keras.config, "set_dtype_policy"):
        keras.config.set_dtype_policy(dtype)


def plain(value: Any) -> Any:
    """A config as JSON, float32 numbers as decimals."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return _decimal(value)
