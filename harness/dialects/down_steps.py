"""Steps back: tf2.15 → tf2.3 → tf1.15 → tf1.14 → tf1.13 → tf1.12, each the way back of a step up.

A mark that the way up leaves in a config says that the layer means what the older version means: the way back takes it
off. A layer without the mark means what the newer version means, and is refused where the older one means another thing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from harness.dialects import objects
from harness.dialects.rebuild import (
    FUSED_EPSILON,
    IGNORES_MASK,
    KEEPS_MASKED_STEPS,
    LEGACY_BILINEAR,
    MATMUL_DOT,
    ZEROES_LAST_OUTPUT,
    is_fused,
)
from harness.dialects.rules import EVERY, Layer, Rule, Table
from harness.dialects.tf1_steps import masked_stack

#: note from one step back to the next: the last output of a masked layer is the last valid one
_KEEPS_LAST_OUTPUT = "keeps_last_output"
_NO_MASK = "take the mask away before it in the source model (mask_zero=False)"


def lacks(version: str, **neutral: Any) -> Rule:
    """Arguments that an older version does not have: each may go if its value does what that version does anyway."""

    def rule(layer: Layer) -> None:
        for key, value in neutral.items():
            if key in layer.config:
                found = objects.scalar(layer.config.pop(key))
                allowed = value if isinstance(value, tuple) else (value,)
                if found is not None and found not in allowed:
                    layer.refuse(
                        f"{version} has no argument {key} (here {found!r})",
                        f"use a layer without it in the source model, or a newer target than {version}",
                    )

    return rule


def training_only(version: str, keys: Iterable[str]) -> Rule:
    """Arguments of random numbers, which are drawn in training alone."""

    def rule(layer: Layer) -> None:
        for key in keys:
            value = layer.config.pop(key, None)
            if value is not None:
                layer.note(key, value, None, f"{version} has no such argument; it says how random numbers are drawn")

    return rule


def _causal_argument(layer: Layer) -> None:
    """The argument of the call was one of the constructor up to TF 2.9."""
    asked = {bool({**call, **layer.call_kwargs}.get("use_causal_mask")) for call in layer.calls}
    layer.call_kwargs["use_causal_mask"] = None
    if len(asked) > 1:
        layer.refuse("it is called with and without use_causal_mask", "use a layer of its own for each")
    else:
        layer.config.setdefault("causal", False)
        if True in asked:
            layer.set("causal", True, "an argument of the constructor up to TF 2.9")


def _small_epsilon(layer: Layer) -> None:
    """Up to TF 2.3, the fused kernel raises a small epsilon."""
    if is_fused(layer) and layer.config.get("epsilon", 1e-3) < FUSED_EPSILON:
        layer.refuse(
            f"epsilon={layer.config['epsilon']}: the fused kernel of TF 2.3 and older computes with {FUSED_EPSILON}",
            f"set epsilon to {FUSED_EPSILON} or more in the source model",
        )


def _masked_softmax(layer: Layer) -> None:
    """Softmax looks at masks since TF 2.4."""
    if not layer.config.pop(IGNORES_MASK, False) and layer.masked:
        layer.refuse("a masked Softmax: up to TF 2.3 it did not leave masked values out", _NO_MASK)


def _resizing(layer: Layer) -> None:
    if layer.config.get("interpolation") not in (None, "nearest", "bilinear", LEGACY_BILINEAR):
        layer.refuse(f"TF 2.3 has no interpolation={layer.config['interpolation']!r}", "use nearest or bilinear")


def _dot(layer: Layer) -> None:
    """batch_dot of two inputs of the same rank from 4 on was a product of matrices over all leading axes in TF 1.x."""
    ranks = {len(shape) for shape, _ in layer.input_specs}
    if not layer.config.pop(MATMUL_DOT, False) and len(ranks) == 1 and ranks.pop() > 3:
        layer.refuse(
            "Dot of two inputs of rank 4 and more computed another thing in TF 1.x", "use inputs of rank 3 at most"
        )


_FLOATS = ("float16", "float32", "float64", "bfloat16")


def _autocast(layer: Layer) -> None:
    """A layer of TF 2 casts floating inputs to its own dtype; one of TF 1.x takes them as they are."""
    policy = layer.config.get("dtype")
    name = policy.get("config", {}).get("name") if isinstance(policy, dict) else policy
    if str(name).startswith("mixed_"):
        layer.refuse(
            f"the dtype policy {name}: TF 1.x computes in the type of the weights", "save the model in float32"
        )
        return
    if name not in _FLOATS or layer.class_name == "InputLayer":
        return
    wrong = sorted({dtype for _, dtype in layer.input_specs if dtype in _FLOATS and dtype != name})
    if wrong:
        layer.refuse(
            f"it casts its {' and '.join(wrong)} input to {name}, which a layer of TF 1.x does not",
            f"give it an input of {name} in the source model",
        )
    whole = {dtype for _, dtype in layer.input_specs if dtype not in _FLOATS}
    if whole and layer.weight_shapes and layer.class_name not in ("Embedding", "TimeDistributed", "DenseFeatures"):
        layer.refuse(
            f"it casts its {' and '.join(sorted(whole))} input to {name}, which a layer of TF 1.x does not",
            f"give it an input of {name} in the source model",
        )


def _corner_sampled(layer: Layer) -> None:
    """Bilinear upsampling aligned corners of pixels before 1.15."""
    if layer.config.get("interpolation") == LEGACY_BILINEAR:
        layer.set("interpolation", "bilinear", "resizing sampled pixel corners before 1.15")
    elif layer.config.get("interpolation") == "bilinear":
        layer.refuse("bilinear upsampling samples pixel centres since TF 1.15", "use interpolation='nearest'")


def _last_output(layer: Layer) -> None:
    """TF 1.13 alone gives zeros where the last step is masked; before and after, it is the last valid output."""
    if layer.masked and not layer.config.pop(ZEROES_LAST_OUTPUT, False):
        layer.config[_KEEPS_LAST_OUTPUT] = True


def _masked_steps(layer: Layer) -> None:
    """Bidirectional sets masked steps to zero since TF 1.13."""
    last = layer.config.pop(_KEEPS_LAST_OUTPUT, False)
    if layer.config.pop(KEEPS_MASKED_STEPS, False) or not layer.masked:
        return
    inner = layer.config.get("layer", {}).get("config", {})
    if inner.get("return_sequences") or not last:
        layer.refuse("a masked Bidirectional: TF 1.12 does not set masked steps to zero", _NO_MASK)


def _loses_mask(layer: Layer) -> None:
    """No mask came out of this layer in TF 1.12 and 1.13."""
    if layer.mask_rule == "none":
        layer.mask_rule = None
    elif layer.masked:
        layer.refuse(f"TF 1.12 and 1.13 lost the mask at {layer.class_name}", _NO_MASK)


def _sparse_kernel(layer: Layer) -> None:
    if layer.config.get("implementation") == 3:
        layer.refuse("TF 1.12 has no implementation=3, which stores the kernel in another form", "use tf1.15")


def _zero_output(layer: Layer) -> None:
    """Without a mask, or where only the last output is given, there are no masked steps to set to zero."""
    if not layer.masked:
        layer.config.pop("zero_output_for_mask", None)


def _dilation(layer: Layer) -> None:
    """TF 1.12's transposed convolutions accept ``dilation_rate`` and ignore it."""
    if objects.scalar(layer.config.get("dilation_rate")) not in (None, 1, [1], [1, 1], [1, 1, 1]):
        layer.refuse(f"TF 1.12 ignores dilation_rate={layer.config['dilation_rate']}", "use tf1.15 as the target")


def _stateful(layer: Layer) -> None:
    """TF 1.x's Bidirectional accepts stateful layers, and carries no states from batch to batch."""
    if any((layer.config.get(slot) or {}).get("config", {}).get("stateful") for slot in ("layer", "backward_layer")):
        layer.refuse(
            "it carries states from batch to batch, which TF 1.x's Bidirectional does not",
            "use two stateful layers, one with go_backwards, in the source model",
        )


_RANDOM = ("force_generator", "rng_type")
_ATTENTION = (_causal_argument, lacks("TF 2.3", score_mode="dot"), training_only("TF 2.3", ("seed",)))
_RECURRENT = (_zero_output, lacks("TF 1.12", time_major=False, zero_output_for_mask=False))
_FORMAT = lacks("TF 1.12", data_format="channels_last")  # or takes it, and forgets it in its config

DOWN_2_3: Table = {
    EVERY: (lacks("TF 2.3", keepdims=False, optional=False, synchronized=False), training_only("TF 2.3", _RANDOM)),
    "AdditiveAttention": _ATTENTION,
    "Attention": _ATTENTION,
    "BatchNormalization": (_small_epsilon,),
    "LayerNormalization": (_small_epsilon,),
    "Softmax": (_masked_softmax,),
    "UpSampling2D": (_resizing,),
    **dict.fromkeys(
        (
            *("GRU", "GRUCell", "LSTM", "LSTMCell", "SimpleRNN", "SimpleRNNCell", "ConvLSTM2D"),
            *("GaussianNoise", "GaussianDropout"),
        ),
        (training_only("TF 2.3", ("seed",)),),
    ),
}
DOWN_1_15: Table = {
    EVERY: (
        _autocast,
        lacks("TF 1.x", groups=1, enable_caching_device=False, return_runtime=False, ragged=False),
    ),
    "AdditiveAttention": (lacks("TF 1.15", dropout=0.0),),
    "Attention": (lacks("TF 1.15", dropout=0.0),),
    "Bidirectional": (_stateful,),
    "Dot": (_dot,),
}
DOWN_1_14: Table = {"UpSampling2D": (_corner_sampled,)}
DOWN_1_13: Table = {
    "ActivityRegularization": (_loses_mask,),
    "Bidirectional": (_last_output,),
}
DOWN_1_12: Table = {
    "AveragePooling1D": (_FORMAT,),
    "Bidirectional": (_masked_steps, lacks("TF 1.12", backward_layer=())),
    "Conv2DTranspose": (_dilation, lacks("TF 1.12", output_padding=())),
    "Conv3DTranspose": (_dilation, lacks("TF 1.12", output_padding=())),
    "LocallyConnected1D": (_sparse_kernel,),
    "LocallyConnected2D": (_sparse_kernel,),
    "ConvLSTM2D": _RECURRENT,
    "GRU": _RECURRENT,
    "GlobalAveragePooling1D": (_FORMAT,),
    "GlobalMaxPooling1D": (_FORMAT,),
    "MaxPooling1D": (_FORMAT,),
    "LSTM": _RECURRENT,
    "RNN": (masked_stack, *_RECURRENT),
    "SimpleRNN": _RECURRENT,
    "UpSampling2D": (lacks("TF 1.12", interpolation="nearest"),),
}
