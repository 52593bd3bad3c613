"""Initializers, regularizers, constraints and activations of old configs, in Keras 3's own form."""

from __future__ import annotations

from typing import Any

from harness.dialects.rules import Layer

#: (Keras 3 arguments by initializer class; ``seed`` where it has one)
INITIALIZERS: dict[str, tuple[str, ...]] = {
    "Zeros": (),
    "Ones": (),
    "Constant": ("value",),
    "RandomNormal": ("mean", "stddev", "seed"),
    "RandomUniform": ("minval", "maxval", "seed"),
    "TruncatedNormal": ("mean", "stddev", "seed"),
    "VarianceScaling": ("scale", "mode", "distribution", "seed"),
    "Orthogonal": ("gain", "seed"),
    "Identity": ("gain",),
    "GlorotUniform": ("seed",),
    "GlorotNormal": ("seed",),
    "HeNormal": ("seed",),
    "HeUniform": ("seed",),
    "LecunNormal": ("seed",),
    "LecunUniform": ("seed",),
}
_INITIALIZER_ALIASES = {
    "zero": "Zeros", "zeros": "Zeros", "one": "Ones", "ones": "Ones", "constant": "Constant", "normal": "RandomNormal",
    "random_normal": "RandomNormal", "gaussian": "RandomNormal", "uniform": "RandomUniform",
    "random_uniform": "RandomUniform", "truncated_normal": "TruncatedNormal", "orthogonal": "Orthogonal",
    "identity": "Identity", "eye": "Identity", "glorot_uniform": "GlorotUniform", "glorot_normal": "GlorotNormal",
    "he_normal": "HeNormal", "he_uniform": "HeUniform", "lecun_normal": "LecunNormal", "lecun_uniform": "LecunUniform",
}  # fmt: skip
REGULARIZERS: dict[str, tuple[str, ...]] = {
    "L1L2": ("l1", "l2"),
    "L1": ("l1",),
    "L2": ("l2",),
    "OrthogonalRegularizer": ("factor", "mode"),
}
CONSTRAINTS: dict[str, tuple[str, ...]] = {
    "MaxNorm": ("max_value", "axis"),
    "MinMaxNorm": ("min_value", "max_value", "rate", "axis"),
    "NonNeg": (),
    "UnitNorm": ("axis",),
}
#: activations of the same meaning in every TensorFlow version and in Keras 3
SAME_ACTIVATIONS = {
    "linear", "relu", "elu", "selu", "softmax", "softplus", "softsign", "tanh", "sigmoid", "exponential", "gelu",
    "swish", "silu", "mish", "relu6", "log_softmax", "leaky_relu",
}  # fmt: skip
#: the TF1 formula of hard_sigmoid: clip(0.2 x + 0.5, 0, 1)
OLD_HARD_SIGMOID = "hard_sigmoid"
#: name of the small model that takes its place in Keras 3
PINNED = "hard_sigmoid_tf1"


def module_form(module: str, class_name: str, config: dict[str, Any]) -> dict[str, Any]:
    """A serialised object as Keras 3 writes it."""
    return {"module": module, "class_name": class_name, "config": config, "registered_name": None}


def dtype(config: dict[str, Any]) -> None:
    """Bring a config's dtype, which may be a policy, into the form of a name; one that is inferred goes."""
    value = config.get("dtype")
    if isinstance(value, dict):
        value = value.get("config", {}).get("name")
    if value is None or str(value).startswith("infer"):
        config.pop("dtype", None)
        return
    config["dtype"] = str(value).removesuffix("_ref")


def name_of(value: Any) -> str:
    """The class of an object in a config, or the name that stands for it."""
    return _split(value)[0]


def scalar(value: Any) -> Any:
    """A config number, unwrapped from the form in which old Keras stores numpy values."""
    if isinstance(value, dict) and value.get("type") == "ndarray":
        return value["value"]
    return value


def initializer(layer: Layer, key: str, value: Any) -> Any:
    """The Keras 3 form of an initializer; what Keras 3 lacks is refused through ``layer``."""
    name, config = _split(value)
    name = _INITIALIZER_ALIASES.get(name, name)
    name = name[:-2] if name.endswith(("V1", "V2")) else name
    if name == "UniformUnitScaling":
        # Uniform in ±factor · sqrt(3 / fan_in), as tf.uniform_unit_scaling_initializer documents.
        scaling = {"scale": float(config.get("factor", 1.0)) ** 2, "mode": "fan_in", "distribution": "uniform"}
        name, config = "VarianceScaling", {**scaling, "seed": config.get("seed")}
    if name not in INITIALIZERS:
        layer.refuse(f"{key}: the initializer {name} is not known", "save the model with a built-in initializer")
        return value
    kept = {k: scalar(config[k]) for k in INITIALIZERS[name] if k in config}
    if kept.get("distribution") == "normal":
        # TF1 drew from a truncated normal here (semantics of tf.keras.initializers.VarianceScaling in 1.x).
        kept["distribution"] = "truncated_normal"
        layer.note(f"{key}.distribution", "normal", "truncated_normal", "TF1's 'normal' was a truncated normal")
    return module_form("keras.initializers", name, kept)


def regularizer(layer: Layer, key: str, value: Any) -> Any:
    """The Keras 3 form of a regularizer."""
    return _known(layer, key, value, REGULARIZERS, "keras.regularizers", "regularizer")


def constraint(layer: Layer, key: str, value: Any) -> Any:
    """The Keras 3 form of a constraint; one that Keras 3 lacks goes, since it acts in training only."""
    name, _ = _split(value)
    if name in ("RadialConstraint", "radial_constraint"):
        layer.note(key, name, None, "Keras 3 has no such constraint: same inference, training is not constrained")
        return None
    return _known(layer, key, value, CONSTRAINTS, "keras.constraints", "constraint")


_ALIASES = {
    "max_norm": "MaxNorm", "maxnorm": "MaxNorm", "non_neg": "NonNeg", "nonneg": "NonNeg", "unit_norm": "UnitNorm",
    "unitnorm": "UnitNorm", "min_max_norm": "MinMaxNorm", "l1": "L1", "l2": "L2", "l1_l2": "L1L2",
}  # fmt: skip


def _known(layer: Layer, key: str, value: Any, table: dict[str, tuple[str, ...]], module: str, kind: str) -> Any:
    name, config = _split(value)
    name = _ALIASES.get(name, name)
    if name not in table:
        layer.refuse(f"{key}: the {kind} {name} does not exist in Keras 3", f"save the model without this {kind}")
        return value
    return module_form(module, name, {k: scalar(config[k]) for k in table[name] if k in config})


def _split(value: Any) -> tuple[str, dict[str, Any]]:
    if isinstance(value, str):
        return value, {}
    return str(value["class_name"]), dict(value.get("config") or {})


def pinned_hard_sigmoid(dtype: str | None, units: int | None) -> dict[str, Any]:
    """TF1's ``hard_sigmoid``, clip(0.2 x + 0.5, 0, 1), from native Keras 3 layers: the same operations, the same bits.

    ``units`` is the size of the last axis where the activation sees (batch, units), as in RNN cells.
    """
    typed = {"dtype": dtype} if dtype else {}
    # A Python number passes through float32 on its way into Keras 3; a numpy number does not.
    scale = {"class_name": "__numpy__", "config": {"value": [0.2], "dtype": "float64"}} if dtype == "float64" else 0.2
    layers = [
        module_form("keras.layers", "Rescaling", {"name": "scale", "scale": scale, "offset": 0.5, **typed}),
        module_form("keras.layers", "ReLU", {"name": "clip", "max_value": 1.0, **typed}),
    ]
    if units is not None:
        layers.insert(
            0, module_form("keras.layers", "InputLayer", {"batch_shape": [None, units], "name": "x", **typed})
        )
    return module_form("keras", "Sequential", {"name": PINNED, "layers": layers, **typed})
