"""keras-3 → tf2.15: the way back of the largest step. Forms of Keras 2, renamed arguments, and what changed its meaning."""

from __future__ import annotations

from typing import Any

from harness.dialects import keras3_step, objects
from harness.dialects.down_steps import lacks, training_only
from harness.dialects.rebuild import HARD_SIGMOID, PER_STEP
from harness.dialects.rules import EVERY, Layer, Rule, Table, rename_key

#: layers of Keras 3 that may stand for an activation, and have no weights
_AS_ACTIVATIONS = ("ReLU", "LeakyReLU", "ELU", "Softmax")
_NO_MASK = "take the mask away before it in the source model (mask_zero=False)"


def _common(layer: Layer) -> None:
    """What every config shares: policies, numbers and objects in the form of Keras 2."""
    config = layer.config
    policy = config.get("dtype")
    if isinstance(policy, dict) and policy.get("class_name") not in ("DTypePolicy", "FloatDTypePolicy"):
        layer.refuse(f"the dtype policy {policy.get('class_name')}", "save the model with plain weights")
    objects.dtype(config)
    for key, value in list(config.items()):
        if isinstance(value, dict) and value.get("class_name") == "__numpy__":
            config[key] = value["config"]["value"]
        elif key in ("activation", "recurrent_activation"):
            _activation(layer, key)
        elif key.endswith(("_initializer", "_regularizer", "_constraint")) and isinstance(value, dict):
            config[key] = {"class_name": value["class_name"], "config": value["config"]}
    masks = [key for call in layer.calls for key in call if key.endswith("mask") and key != "use_causal_mask"]
    if masks:
        layer.refuse(
            f"it is called with a mask of its own ({', '.join(sorted(set(masks)))})", "let Keras hand masks on"
        )
    told = all(masks and masks[0] is not None for masks in layer.masks)
    if layer.class_name in _RECURRENT and layer.masked and len(layer.input_specs) > 1 and not told:
        layer.refuse("called with states, it does not look at the mask in Keras 3, and does in Keras 2", _NO_MASK)
    if any(call.get("training") for call in layer.calls):
        layer.note("training", True, None, "Keras 3 overrides the phase of a call with that of the whole model")
    layer.call_kwargs["training"] = None


def _activation(layer: Layer, key: str) -> None:
    value = layer.config[key]
    if value == "hard_sigmoid":
        _hard_sigmoid(layer, key)
    if not isinstance(value, dict):
        return
    if value.get("class_name") == "Sequential" and value["config"].get("name") == objects.PINNED:
        layer.config[key] = objects.OLD_HARD_SIGMOID  # what the way up has made of it
    elif value.get("class_name") == "function":
        layer.config[key] = value["config"]
    elif value.get("class_name") in _AS_ACTIVATIONS:
        inner = {k: v for k, v in value["config"].items() if k not in ("dtype", "name", "trainable")}
        if "negative_slope" in inner and value["class_name"] == "LeakyReLU":
            inner["alpha"] = inner.pop("negative_slope")
        layer.config[key] = {"class_name": value["class_name"], "config": inner}
    else:
        layer.refuse(f"{key} is an object ({value.get('class_name')})", "use a layer of its own for this activation")


def _hard_sigmoid(layer: Layer, key: str) -> None:
    """Keras 3's relu6(x + 3)/6 is Keras 2's clip(0.2 x + 0.5, 0, 1) at x/1.2: made of layers, or folded into weights."""
    if layer.options.get("hard_sigmoid") == "fold" and keras3_step.fold(layer, key, 1 / keras3_step.FOLD):
        why = "folded: its input's weights are divided by 1.2"
        layer.note(key, "hard_sigmoid (Keras 3)", "hard_sigmoid (Keras 2)", why)
        return
    layer.config[key] = HARD_SIGMOID


def _input(layer: Layer) -> None:
    if "batch_shape" in layer.config:
        layer.config["batch_input_shape"] = layer.config.pop("batch_shape")


def _bidirectional(layer: Layer) -> None:
    """Keras 3 writes both directions, under names of their own, with what the wrapper does to masks."""
    layer_, back = layer.config["layer"], layer.config.get("backward_layer")
    forward = layer_["config"]
    forward["name"] = str(forward.get("name", "")).removeprefix("forward_")
    for config in (forward, back["config"] if back else {}):
        if config.pop("zero_output_for_mask", False) and layer.masked and not config.get("return_sequences"):
            layer.refuse("zero_output_for_mask where only the last output is given", "leave the argument out")
    if back is None:
        return
    mirrored = {**forward, "go_backwards": not forward.get("go_backwards", False)}
    if back["class_name"] == layer_["class_name"] and _unnamed(back["config"]) == _unnamed(mirrored):
        del layer.config["backward_layer"]


def _unnamed(config: Any) -> Any:
    """A config without names and seeds, which two directions never share."""
    if isinstance(config, dict):
        return {k: _unnamed(v) for k, v in config.items() if k not in ("name", "seed", "shared_object_id")}
    return [_unnamed(item) for item in config] if isinstance(config, list) else config


def _time_distributed(layer: Layer) -> None:
    """Keras 2 hands on the masks that the layer inside makes, or reduces; Keras 3 does neither."""
    inner = layer.config.get("layer") or {}
    config = inner.get("config") or {}
    makes = inner.get("class_name") == "Masking" or (inner.get("class_name") == "Embedding" and config.get("mask_zero"))
    if inner.get("class_name") == "Bidirectional":
        config = config["layer"]["config"]
    if makes or (layer.masked and "return_sequences" in config and not config["return_sequences"]):
        layer.refuse("TimeDistributed handed masks on in Keras 2, and does not in Keras 3", _NO_MASK)
    free = any(len(shape) > 1 and shape[1] is None for shape, _ in layer.input_specs)
    if free and inner.get("class_name") not in PER_STEP:
        layer.refuse(
            f"TimeDistributed({inner.get('class_name', 'Model')}) over a free number of steps is computed wrongly by Keras 3",
            "fix the number of steps in the source model's input shape",
        )


def _masked_merge(layer: Layer) -> None:
    """The mask of a merge is true where any mask is in Keras 3, and where all are in Keras 2; the same for equal masks.

    Without a mask of one of the inputs, Keras 3 gives none. It leaves masked values out of some merges.
    """
    if not layer.masked:
        return
    equal = all(masks and masks[0] is not None and len(set(masks)) == 1 for masks in layer.masks) and layer.masks
    if not equal:
        layer.refuse("it merges inputs of different masks, which Keras 2 combines in another way", _NO_MASK)
    elif layer.class_name in ("Multiply", "Maximum", "Minimum"):
        layer.refuse("Keras 3 leaves masked values out of this merge, Keras 2 does not", _NO_MASK)
    elif layer.class_name == "Concatenate":
        rank = len(layer.input_specs[0][0])
        if layer.config.get("axis", -1) % rank != rank - 1:
            layer.refuse("it joins masked inputs along another axis than the last", _NO_MASK)


def _depthwise(layer: Layer) -> None:
    for role in layer.weight_shapes:
        if layer.target(role) == "kernel":
            layer.weight(role, to="depthwise_kernel")


def _identity(layer: Layer) -> None:
    """Hands on its input and the mask of it, as a linear activation does."""
    layer.note("class_name", "Identity", "Activation", "a linear activation does the same")
    layer.class_name = "Activation"
    layer.config["activation"] = "linear"


def _extra(**neutral: Any) -> Rule:
    return lacks("Keras 2", **neutral)


_RECURRENT = ("LSTM", "GRU", "SimpleRNN", "RNN", "ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D", "Bidirectional")
_seedless = training_only("Keras 2", ("seed",))

DOWN: Table = {
    EVERY: (_common, _extra(lora_rank=None, lora_alpha=None, quantization_config=None)),
    "Bidirectional": (_bidirectional,),
    "DepthwiseConv1D": (_depthwise,),
    "DepthwiseConv2D": (_depthwise,),
    "GRU": (_extra(use_cudnn="auto"),),
    "Identity": (_identity,),
    "InputLayer": (_input, _extra(optional=False)),
    "LayerNormalization": (_extra(rms_scaling=False),),
    "LeakyReLU": (rename_key("negative_slope", "alpha"),),
    "LSTM": (_extra(use_cudnn="auto"),),
    "MultiHeadAttention": (_seedless, _extra(flash_attention=None, use_gate=False)),
    "TimeDistributed": (_time_distributed,),
    "ZeroPadding1D": (_extra(data_format="channels_last"),),
    **dict.fromkeys(("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Concatenate"), (_masked_merge,)),
}
