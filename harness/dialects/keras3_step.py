"""tf2.15 → keras-3: the largest step. Config forms, renamed and lost arguments, and what changed its meaning."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

from harness.dialects import activations, keras1_layers, local, normalization, objects, rebuild
from harness.dialects.rules import EVERY, Layer, Table, drop, drop_if, refuse, rename_class, rename_key, rename_weight

#: arguments of every Keras 3 layer, read from the real package (``tests/integration/test_keras3_arguments.py``)
ARGUMENTS: dict[str, list[str]] = json.loads(resources.files(__package__).joinpath("keras3_arguments.json").read_text())
_BASE = {"name", "trainable", "dtype", "activity_regularizer"}
#: what a recurrent or gated layer multiplies when gates are folded: role -> last-axis layout in units
FOLD = 1.2
_RECURRENT = {"LSTM", "GRU", "SimpleRNN", "RNN", "ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D"}
_WRAPPERS = {"Bidirectional", "TimeDistributed", "RNN", "StackedRNNCells"}


def _common(layer: Layer) -> None:
    """What every config shares: shape keys, dtype policies, and nested objects in Keras 3's form."""
    config = layer.config
    if layer.class_name != "InputLayer":
        config.pop("batch_input_shape", None)  # stands in the model's input layer already
    objects.dtype(config)
    for key in list(config):
        value = config[key] = objects.scalar(config[key])
        if value is None:
            continue
        if key.endswith("_initializer"):
            config[key] = objects.initializer(layer, key, value)
        elif key.endswith("_regularizer"):
            config[key] = objects.regularizer(layer, key, value)
        elif key.endswith("_constraint"):
            config[key] = objects.constraint(layer, key, value)
        elif key in ("activation", "recurrent_activation"):
            _activation(layer, key)


def _dtype_of_weights(layer: Layer) -> None:
    """Up to TF 1.13, the config of a layer inside a wrapper has no dtype: it was floatx, which its weights have."""
    found = set(layer.weight_dtypes.values())
    if layer.config.get("dtype") is None and len(found) == 1 and found <= {"float64", "float16"}:
        layer.set("dtype", found.pop(), "the type of its weights")


def _activation(layer: Layer, key: str) -> None:
    value = layer.config[key]
    if isinstance(value, dict):
        layer.refuse(f"{key} is an object ({value.get('class_name')})", "use a layer of its own for this activation")
    elif value == objects.OLD_HARD_SIGMOID:
        _hard_sigmoid(layer, key)
    elif value == activations.CRELU and key == "activation" and layer.class_name not in _RECURRENT:
        pass  # rebuilt at the end
    elif value not in objects.SAME_ACTIVATIONS and not layer.supplied:
        layer.refuse(
            f"{key}: the activation {value!r} is not one of Keras",
            "use a built-in activation in the source model, and save it again",
        )


def _hard_sigmoid(layer: Layer, key: str) -> None:
    """TF1's clip(0.2 x + 0.5, 0, 1) is today's relu6(x + 3)/6 at 1.2 x: pinned as layers, or folded into the weights."""
    if layer.options.get("hard_sigmoid") == "fold" and fold(layer, key, FOLD):
        layer.note(
            key,
            "hard_sigmoid (TF1)",
            "hard_sigmoid (Keras 3)",
            "folded: its input's weights are multiplied by 1.2, exact",
        )
        return
    units = (
        layer.config.get("units")
        if layer.class_name in ("LSTM", "GRU", "SimpleRNN") or "Cell" in layer.class_name
        else None
    )
    layer.config[key] = objects.pinned_hard_sigmoid(layer.config.get("dtype"), units)
    layer.note(
        key,
        "hard_sigmoid (TF1): clip(0.2x + 0.5, 0, 1)",
        "Rescaling(0.2, 0.5) → ReLU(max 1)",
        "pinned: Keras 3's hard_sigmoid is relu6(x + 3)/6, another function",
    )


#: class -> (roles that feed the activation, gates as [start, stop) in units); None means every column
_FOLDABLE: dict[tuple[str, str], tuple[tuple[str, ...], list[list[int]] | None]] = {
    ("Dense", "activation"): (("kernel", "bias"), None),
    ("Conv1D", "activation"): (("kernel", "bias"), None),
    ("Conv2D", "activation"): (("kernel", "bias"), None),
    ("Conv3D", "activation"): (("kernel", "bias"), None),
    ("SimpleRNN", "activation"): (("kernel", "recurrent_kernel", "bias"), None),
    ("LSTM", "recurrent_activation"): (("kernel", "recurrent_kernel", "bias"), [[0, 2], [3, 4]]),
    ("GRU", "recurrent_activation"): (("kernel", "recurrent_kernel", "bias"), [[0, 2]]),
    ("GRU", "activation"): (("kernel", "recurrent_kernel", "bias"), [[2, 3]]),
}


def fold(layer: Layer, key: str, factor: float) -> bool:
    """Multiply what feeds an activation by a factor, in the weights of the layer; False where that cannot be done."""
    row = _FOLDABLE.get((layer.class_name, key))
    if row is None:
        return False
    roles, gates = row
    units = layer.config.get("units", 0)
    ranges = None if gates is None else [[start * units, stop * units] for start, stop in gates]
    for role in roles:
        layer.weight(role, {"op": "scale", "factor": factor, "ranges": ranges})
    return True


def finish(layer: Layer) -> None:
    """Every argument that is left must be one of the Keras 3 class; anything else is named, not ignored."""
    if layer.expansion is not None or layer.obstacles:
        return
    allowed = _BASE.union(ARGUMENTS.get(layer.class_name, ()))
    if layer.class_name in _RECURRENT:
        allowed.add("zero_output_for_mask")  # taken by the base class
    unknown = sorted(set(layer.config) - allowed)
    for key in unknown:
        layer.refuse(
            f"the argument {key}={layer.config[key]!r} has no known translation",
            "report it with this line; a rule for it is missing",
        )
    activations.crelu(layer)
    if layer.class_name in _WRAPPERS:
        for slot in ("layer", "backward_layer", "cell"):
            if isinstance(layer.config.get(slot), dict):
                layer.config[slot] = _as_module(layer.config[slot])
        if "cells" in layer.config:
            layer.config["cells"] = [_as_module(cell) for cell in layer.config["cells"]]


def _as_module(entry: dict[str, Any]) -> dict[str, Any]:
    if "graph" in entry or "module" in entry:
        return entry
    if entry["class_name"] not in UP:  # supplied by a person: found by its name
        return {**entry, "module": None, "registered_name": entry["class_name"]}
    return objects.module_form("keras.layers", entry["class_name"], entry["config"])


def _input(layer: Layer) -> None:
    shape = layer.config.pop("batch_input_shape", None)
    if shape is not None:
        layer.config["batch_shape"] = shape
    if layer.config.pop("sparse", False) or layer.config.pop("ragged", False):
        layer.refuse("sparse and ragged inputs are not migrated", "densify the input in the source model")


def _batch_normalization(layer: Layer) -> None:
    normalization.virtual_batches(layer)
    _half_precision(layer)
    for key in ("fused", "adjustment"):
        layer.config.pop(key, None)  # how it is computed, not what
    normalization.renormalised(layer)
    normalization.several_axes(layer)
    axis = layer.config.get("axis")
    if isinstance(axis, list):
        layer.config["axis"] = axis[0]


def _half_precision(layer: Layer) -> None:
    """Old BatchNormalization keeps its weights in float32 when it computes in half precision."""
    if layer.config.get("dtype") in ("float16", "bfloat16") and "float32" in layer.weight_dtypes.values():
        layer.set("dtype", f"mixed_{layer.config['dtype']}", "weights stay float32, as they were")


def _recurrent(layer: Layer) -> None:
    drop(("implementation", "num_constants"), "how it is computed, not what", silent_if=(None, 0, 1, 2))(layer)
    rebuild.time_major(layer)


def _separable(layer: Layer) -> None:
    for key in ("kernel_initializer", "kernel_regularizer", "kernel_constraint"):
        layer.config.pop(key, None)  # written by the base class, read by nobody
    drop_if("groups", (1, None), "grouped separable convolutions do not exist in Keras 3", "split the layer")(layer)


def _stacked(layer: Layer) -> None:
    if layer.config.pop("reverse_state_order", False):
        layer.refuse("reverse_state_order=True", "save the model with the cells' own order of states")


def _convolutional_recurrent(layer: Layer) -> None:
    for key in ("unroll", "time_major", "implementation"):
        layer.config.pop(key, None)  # written by the base class, without effect here


def _attention_of_heads(layer: Layer) -> None:
    for key in ("query_shape", "key_shape", "value_shape"):
        layer.config.pop(key, None)  # follow from its inputs


def _depthwise(layer: Layer) -> None:
    _separable(layer)
    layer.config.pop("filters", None)


UP: Table = {
    EVERY: (_dtype_of_weights, _common),
    "InputLayer": (_input,),
    "Dense": (),
    "Activation": (),
    "Conv1D": (),
    "Conv2D": (),
    "Conv3D": (),
    "Conv2DTranspose": (drop_if("groups", (1, None), "grouped transposed convolution", "split the layer"),),
    "Conv3DTranspose": (drop_if("groups", (1, None), "grouped transposed convolution", "split the layer"),),
    "Conv1DTranspose": (drop_if("groups", (1, None), "grouped transposed convolution", "split the layer"),),
    "DepthwiseConv1D": (_depthwise, rename_weight("depthwise_kernel", "kernel")),
    "EinsumDense": (),
    "GroupNormalization": (),
    "UnitNormalization": (),
    "Rescaling": (),
    "Resizing": (),
    "CenterCrop": (),
    "Normalization": (),
    "RandomFlip": (),
    "RandomRotation": (),
    "SeparableConv1D": (_separable, rebuild.causal_separable),
    "SeparableConv2D": (_separable,),
    "DepthwiseConv2D": (
        _depthwise,
        rename_weight("depthwise_kernel", "kernel"),
    ),
    **{f"{kind}Pooling{rank}D": () for kind in ("Max", "Average", "GlobalMax", "GlobalAverage") for rank in (1, 2, 3)},
    "BatchNormalization": (_batch_normalization,),
    "Embedding": (drop(("input_length",), "the length of its input stands in the input layer"),),
    "LSTM": (_recurrent,),
    "GRU": (_recurrent,),
    "SimpleRNN": (_recurrent,),
    "RNN": (rebuild.lone_stacked_cell, _recurrent, rebuild.reversed_states),
    "LSTMCell": (_recurrent,),
    "GRUCell": (_recurrent,),
    "SimpleRNNCell": (_recurrent,),
    "StackedRNNCells": (_stacked,),
    **{f"ConvLSTM{rank}D": (_convolutional_recurrent,) for rank in (1, 2, 3)},
    "Attention": (),
    "AdditiveAttention": (),
    "MultiHeadAttention": (_attention_of_heads,),
    "LayerNormalization": (),
    "LocallyConnected1D": (local.locally_connected,),
    "LocallyConnected2D": (local.locally_connected,),
    "Layer": (rename_class("Identity"),),
    "Highway": (keras1_layers.highway,),
    "MaxoutDense": (keras1_layers.maxout_dense,),
    "Bidirectional": (rebuild.masked_bidirectional,),
    "TimeDistributed": (rebuild.distributed_mask, rebuild.free_time_distributed),
    "Dropout": (),
    **{
        # Their Keras 3 constructors know no "trainable"; the layers have no weights.
        f"SpatialDropout{rank}D": (drop(("noise_shape", "trainable"), "without effect", silent_if=(None, True, False)),)
        for rank in (1, 2, 3)
    },
    "GaussianNoise": (),
    "GaussianDropout": (),
    "AlphaDropout": (),
    **dict.fromkeys(("Subtract", "Multiply", "Maximum", "Minimum", "Concatenate"), (rebuild.masked_merge,)),
    **dict.fromkeys(("Add", "Average"), (rebuild.masked_merge, rebuild.broadcast_sum)),
    "Dot": (rebuild.matmul_dot,),
    **dict.fromkeys(("Reshape", "Permute", "Flatten", "RepeatVector", "Masking", "ActivityRegularization"), ()),
    **{f"{kind}{rank}D": () for kind in ("ZeroPadding", "Cropping") for rank in (1, 2, 3)},
    "UpSampling1D": (),
    "UpSampling2D": (rebuild.bilinear_upsampling,),
    "UpSampling3D": (),
    "ReLU": (activations.negative_threshold,),
    "LeakyReLU": (rename_key("alpha", "negative_slope"),),
    "PReLU": (),
    "ELU": (),
    "Softmax": (rebuild.softmax_without_mask,),
    "ThresholdedReLU": (rename_class("ReLU"), rename_key("theta", "threshold")),  # both x where x > theta, else 0
    "Lambda": (refuse("a Lambda holds Python bytecode", "replace it by a built-in layer"),),
}
