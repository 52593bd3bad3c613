"""Where a chain ends in tf.keras of TensorFlow 1.x: objects and activations as that version finds them by itself.

A file of TensorFlow 1.x must load without custom objects, so nothing is named that the version does not know: names that
came later are respelled where the older one has the same thing, built from layers where it has the parts, or refused.
"""

from __future__ import annotations

from typing import Any

from harness.dialects.expand import Expansion
from harness.dialects.keras2_landing import ARGUMENTS, ENDS_WITH_ACTIVATION, common, dense_input, tensorflow_operation
from harness.dialects.normalization import virtual_batches
from harness.dialects.rebuild import HARD_SIGMOID, layers_behind, refuse_gates
from harness.dialects.rules import EVERY, Layer, Rule, Table, refuse, rename_class

_ACTIVATIONS = {
    "linear", "relu", "elu", "selu", "softmax", "softplus", "softsign", "tanh", "sigmoid", "hard_sigmoid",
}  # fmt: skip
ACTIVATIONS = {"tf1.12": _ACTIVATIONS, "tf1.15": _ACTIVATIONS | {"exponential"}}
DIALECTS = tuple(ACTIVATIONS)
_MAXIMA = (
    "GlobalMaxPooling1D",
    "GlobalMaxPooling2D",
    "GlobalMaxPooling3D",
    "GlobalMaxPool1D",
    "GlobalMaxPool2D",
    "GlobalMaxPool3D",
)
#: (scale, mode, distribution) of the initializers that TF 1.x has as functions only, as these functions give it
_SCALINGS = {
    "HeNormal": (2.0, "fan_in", "truncated_normal"),
    "HeUniform": (2.0, "fan_in", "uniform"),
    "LecunNormal": (1.0, "fan_in", "truncated_normal"),
    "LecunUniform": (1.0, "fan_in", "uniform"),
}


def _objects(layer: Layer) -> None:
    for key, value in layer.config.items():
        if not isinstance(value, dict) or "class_name" not in value:
            continue
        name, config = value["class_name"], value["config"]
        if key.endswith("_initializer") and name in _SCALINGS:
            scale, mode, distribution = _SCALINGS[name]
            scaling = {"scale": scale, "mode": mode, "distribution": distribution, "seed": config.get("seed")}
            layer.config[key] = {"class_name": "VarianceScaling", "config": scaling}
        elif key.endswith("_regularizer") and name in ("L1", "L2"):
            kept = {"l1": 0.0, "l2": 0.0, **config}
            layer.config[key] = {"class_name": "L1L2", "config": kept}
        elif key.endswith("_regularizer") and name != "L1L2":
            layer.refuse(f"{key}: TF 1.x has no regularizer {name}", "save the model without it")


def _no_radial_constraint(layer: Layer) -> None:
    for key, value in layer.config.items():
        name = value.get("class_name") if isinstance(value, dict) else value
        if key.endswith("_constraint") and name in ("RadialConstraint", "radial_constraint"):
            layer.refuse(f"{key}: TF 1.12 has no RadialConstraint", "save the model without it")


_MADE_OF_LAYERS = ("swish", "silu", "relu6", "leaky_relu", HARD_SIGMOID)


def _activation(dialect: str) -> Rule:
    known = ACTIVATIONS[dialect]

    def rule(layer: Layer) -> None:
        for key in ("activation", "recurrent_activation"):
            value = layer.config.get(key)
            if value is None or (isinstance(value, str) and value in known):
                continue
            inside = key != "activation" or layer.class_name not in ENDS_WITH_ACTIVATION
            if not inside and (isinstance(value, dict) or value in _MADE_OF_LAYERS):
                layers_behind(layer, value)
            elif value == HARD_SIGMOID:
                refuse_gates(layer, key)
            else:
                layer.refuse(f"{key}: {dialect} has no activation {value!r}", "use one that it has, or a newer target")

    return rule


def _renormalised(layer: Layer) -> None:
    """TF 1.x keeps running sums and their weights, later versions the quotients alone."""
    if layer.config.get("renorm") and "renorm_mean_weight" not in layer.weight_shapes:
        layer.refuse(
            "batch renormalisation: TF 1.x averages its statistics with weights that later versions do not keep",
            "train without renorm in the source model",
        )


def _largest(layer: Layer) -> None:
    """The largest value over all places, with a change of shape before it that says nothing.

    Grappler of TF 1.12 takes max(f(x)) apart into f(max(x)) for relu, tanh, sigmoid and elu, and loses f. It does not
    look through a change of rank.
    """
    if layer.masked or len(layer.input_specs) != 1:
        return
    shape, _ = layer.input_specs[0]
    first = layer.config.get("data_format") == "channels_first"
    channels = shape[1 if first else -1]
    if channels is None:
        layer.refuse("the largest of a free number of channels, which TF 1.12 may compute wrongly", "use tf1.15")
        return
    made = Expansion(layer)
    (x,) = made.inputs
    if layer.class_name in ("GlobalMaxPooling1D", "GlobalMaxPool1D"):
        x = made.add("Reshape", {"target_shape": [shape[1] or -1, 1, channels]}, x)
        x = made.add("GlobalMaxPooling2D", {"data_format": "channels_last"}, x, name="max")
    else:
        x = made.add("Reshape", {"target_shape": [channels, -1] if first else [-1, channels]}, x)
        x = made.add("Permute", {"dims": [2, 1]}, x) if first else x
        x = made.add("GlobalMaxPooling1D", {}, x, name="max")
    made.done(x, why="TF 1.12 loses an activation right before the maximum over an axis; a change of shape prevents it")


def _one_axis(layer: Layer) -> None:
    """A list of one axis is that axis; TF 1.x takes no list."""
    axis = layer.config.get("axis")
    if isinstance(axis, list):
        if len(axis) == 1:
            layer.set("axis", axis[0], "TF 1.x takes a number")
        else:
            layer.refuse(f"softmax over the axes {axis}: TF 1.x takes one axis", "reshape around it")


def copied_inputs(graph: dict[str, Any]) -> dict[str, Any]:
    """The graph with a layer before every output that is an input as it came: TF 1.x cannot fetch what it is fed."""
    inputs = [list(tensor) for tensor in graph["inputs"]]
    layers, outputs = list(graph["layers"]), []
    for index, tensor in enumerate(graph["outputs"]):
        if list(tensor) not in inputs:
            outputs.append(tensor)
            continue
        name = f"{tensor[0]}_output_{index}"
        call = {"inputs": [tensor], "kwargs": {}}
        config = {"name": name, "activation": "linear"}
        layers.append({"name": name, "class_name": "Activation", "config": config, "calls": [call]})
        outputs.append([name, 0, 0])
    return {**graph, "layers": layers, "outputs": outputs}


def _table(dialect: str) -> Table:
    return {
        **dict.fromkeys(ARGUMENTS[dialect], ()),
        EVERY: (common, _objects, *([_no_radial_constraint] if dialect == "tf1.12" else []), _activation(dialect)),
        "InputLayer": (dense_input,),
        "Softmax": (_one_axis,),
        **(dict.fromkeys(_MAXIMA, (_largest,)) if dialect == "tf1.12" else {}),
        "BatchNormalization": (virtual_batches, _renormalised),
        "BatchNormalizationV1": (rename_class("BatchNormalization"), virtual_batches, _renormalised),
        **({"TensorFlowOpLayer": (tensorflow_operation,)} if dialect == "tf1.15" else {}),
        "Lambda": (refuse("a Lambda holds Python bytecode", "replace it by a built-in layer"),),
    }


TABLES: dict[str, Table] = {dialect: _table(dialect) for dialect in DIALECTS}
