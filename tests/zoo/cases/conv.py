"""Conv1D, Conv2D, Conv3D and their transposes, separable and depthwise forms: every argument."""

from zoo.registry import deferred, single, variants

L2 = deferred(lambda k: k.regularizers.l2(0.01))
BASE = {"filters": 3, "kernel_size": 3}
COMMON = {
    "plain": {},
    "same": {"padding": "same"},
    "strides": {"strides": 2},
    "strides_same": {"strides": 2, "padding": "same"},
    "dilation": {"dilation_rate": 2},
    "dilation_same": {"dilation_rate": 2, "padding": "same"},
    "no_bias": {"use_bias": False},
    "relu": {"activation": "relu"},
    "kernel1": {"kernel_size": 1},
    "frozen": {"trainable": False},
    "channels_first": {"data_format": "channels_first"},
    "channels_last": {"data_format": "channels_last"},
    "groups": {"groups": 2, "filters": 4},
    "all_arguments": {
        "activation": "tanh",
        "kernel_initializer": "he_normal",
        "bias_initializer": "ones",
        "kernel_regularizer": L2,
        "bias_regularizer": L2,
        "activity_regularizer": L2,
        "kernel_constraint": "max_norm",
        "bias_constraint": "non_neg",
    },
}

variants("conv1d/conv1d", "Conv1D", (10, 4), BASE, COMMON)
variants(
    "conv1d/conv1d",
    "Conv1D",
    (10, 4),
    BASE,
    {
        "causal": {"padding": "causal"},
        "causal_dilation": {"padding": "causal", "dilation_rate": 2},
        "causal_strides": {"padding": "causal", "strides": 2},
        "kernel_list": {"kernel_size": [3]},
        "kernel_even_same": {"kernel_size": 4, "padding": "same"},
        "hard_sigmoid": {"activation": "hard_sigmoid"},
    },
)
single("conv1d/conv1d-free_length", "Conv1D", (None, 4), BASE)
single("conv1d/conv1d-masked", "Conv1D", (10, 4), BASE, mask=True)

variants("conv2d/conv2d", "Conv2D", (8, 7, 4), BASE, COMMON)
variants(
    "conv2d/conv2d",
    "Conv2D",
    (8, 7, 4),
    BASE,
    {
        "kernel_1x3": {"kernel_size": (1, 3)},
        "kernel_even_same": {"kernel_size": (2, 4), "padding": "same"},
        "strides_uneven": {"strides": (2, 1)},
        "strides_uneven_same": {"strides": (1, 3), "padding": "same"},
        "dilation_uneven": {"dilation_rate": (1, 2)},
        "softmax": {"activation": "softmax"},
        "elu": {"activation": "elu"},
        "non_trainable": {"trainable": False},
    },
)
single("conv2d/conv2d-free_size", "Conv2D", (None, None, 3), BASE)
single(
    "conv2d/conv2d-channels_first_same",
    "Conv2D",
    (3, 8, 7),
    {"filters": 2, "kernel_size": 3, "padding": "same", "data_format": "channels_first"},
)

variants(
    "conv3d/conv3d",
    "Conv3D",
    (6, 5, 7, 4),
    {"filters": 2, "kernel_size": 2},
    {name: args for name, args in COMMON.items() if name not in ("groups", "dilation_same", "kernel1")},
)
variants(
    "conv3d/conv3d",
    "Conv3D",
    (6, 5, 7, 2),
    {"filters": 2, "kernel_size": 2},
    {"kernel_uneven": {"kernel_size": (1, 2, 3)}, "strides_uneven": {"strides": (2, 1, 1)}},
)

variants(
    "transpose/conv2d_transpose",
    "Conv2DTranspose",
    (5, 4, 3),
    BASE,
    {name: args for name, args in COMMON.items() if name != "groups"},
)
variants(
    "transpose/conv2d_transpose",
    "Conv2DTranspose",
    (5, 4, 3),
    BASE,
    {
        "output_padding": {"strides": 2, "output_padding": 1},
        "output_padding_same": {"strides": 2, "padding": "same", "output_padding": (1, 0)},
        "kernel_smaller_than_strides": {"kernel_size": 2, "strides": 3},
        "kernel_uneven": {"kernel_size": (2, 4), "strides": (2, 1)},
        "kernel4_same": {"kernel_size": 4, "strides": 2, "padding": "same"},
    },
)
single("transpose/conv2d_transpose-free_size", "Conv2DTranspose", (None, None, 3), dict(BASE, strides=2))
variants(
    "transpose/conv3d_transpose",
    "Conv3DTranspose",
    (3, 4, 3, 2),
    {"filters": 2, "kernel_size": 2},
    {name: args for name, args in COMMON.items() if name not in ("groups", "kernel1", "dilation", "dilation_same")},
)
single(
    "transpose/conv3d_transpose-output_padding",
    "Conv3DTranspose",
    (3, 4, 3, 2),
    {"filters": 2, "kernel_size": 3, "strides": 2, "output_padding": 1},
)
variants(
    "transpose/conv1d_transpose",
    "Conv1DTranspose",
    (6, 3),
    BASE,
    {
        "plain": {},
        "strides_same": {"strides": 2, "padding": "same"},
        "output_padding": {"strides": 2, "output_padding": 1},
    },
)

SEPARABLE = {
    "plain": {},
    "same": {"padding": "same"},
    "strides": {"strides": 2},
    "depth_multiplier": {"depth_multiplier": 2},
    "frozen": {"trainable": False},
    # Accepted and without effect: the layer has no such kernel.
    "unused_kernel_arguments": {
        "kernel_initializer": "he_normal",
        "kernel_regularizer": L2,
        "kernel_constraint": "max_norm",
    },
    "dilation": {"dilation_rate": 2},
    "no_bias": {"use_bias": False},
    "relu": {"activation": "relu"},
    "channels_first": {"data_format": "channels_first"},
    "all_arguments": {
        "activation": "tanh",
        "depthwise_initializer": "he_normal",
        "pointwise_initializer": "he_uniform",
        "bias_initializer": "ones",
        "depthwise_regularizer": L2,
        "pointwise_regularizer": L2,
        "bias_regularizer": L2,
        "activity_regularizer": L2,
        "depthwise_constraint": "max_norm",
        "pointwise_constraint": "max_norm",
        "bias_constraint": "non_neg",
    },
}
variants("separable/separable_conv1d", "SeparableConv1D", (10, 4), BASE, SEPARABLE)
variants(
    "separable/separable_conv1d",
    "SeparableConv1D",
    (10, 4),
    BASE,
    {
        "causal": {"padding": "causal"},
        "causal_dilation": {"padding": "causal", "dilation_rate": 2},
        "strides_same": {"strides": 2, "padding": "same"},
    },
)
variants("separable/separable_conv2d", "SeparableConv2D", (8, 7, 3), BASE, SEPARABLE)
variants(
    "separable/separable_conv2d",
    "SeparableConv2D",
    (8, 7, 3),
    BASE,
    {
        "strides_same": {"strides": (2, 2), "padding": "same"},
        "dilation_same": {"dilation_rate": (2, 2), "padding": "same"},
        "kernel_uneven": {"kernel_size": (2, 3)},
    },
)
variants(
    "depthwise/depthwise_conv2d",
    "DepthwiseConv2D",
    (8, 7, 3),
    {"kernel_size": 3},
    {
        "plain": {},
        "same": {"padding": "same"},
        "strides": {"strides": 2},
        "strides_same": {"strides": (2, 2), "padding": "same"},
        "depth_multiplier": {"depth_multiplier": 3},
        "no_bias": {"use_bias": False},
        "relu": {"activation": "relu"},
        "dilation": {"dilation_rate": 2},
        "channels_first": {"data_format": "channels_first"},
        "kernel_uneven": {"kernel_size": (2, 3)},
        "all_arguments": {
            "activation": "tanh",
            "depthwise_initializer": "he_normal",
            "bias_initializer": "ones",
            "depthwise_regularizer": L2,
            "bias_regularizer": L2,
            "activity_regularizer": L2,
            "depthwise_constraint": "max_norm",
            "bias_constraint": "non_neg",
        },
    },
)
single("depthwise/depthwise_conv1d-plain", "DepthwiseConv1D", (8, 3), {"kernel_size": 3})

for _name in (
    "Convolution1D",
    "Convolution2D",
    "Convolution3D",
    "Convolution2DTranspose",
    "Convolution3DTranspose",
    "SeparableConvolution1D",
    "SeparableConvolution2D",
):
    _rank = int(_name[_name.index("D") - 1]) if _name[-1] == "D" else int(_name[11])
    single("conv2d/alias-" + _name, _name, (6,) * _rank + (2,), {"filters": 2, "kernel_size": 2}, tags=["alias"])
