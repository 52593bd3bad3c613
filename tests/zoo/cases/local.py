"""LocallyConnected1D and LocallyConnected2D with every implementation."""

from zoo.registry import deferred, variants

L2 = deferred(lambda k: k.regularizers.l2(0.01))
COMMON = {
    "plain": {},
    "strides": {"strides": 2},
    "no_bias": {"use_bias": False},
    "relu": {"activation": "relu"},
    "channels_first": {"data_format": "channels_first"},
    "implementation1": {"implementation": 1},
    "implementation2": {"implementation": 2},
    "implementation3": {"implementation": 3},
    "implementation2_strides": {"implementation": 2, "strides": 2},
    "implementation2_channels_first": {"implementation": 2, "data_format": "channels_first"},
    "implementation3_channels_first": {"implementation": 3, "data_format": "channels_first"},
    "implementation2_same": {"implementation": 2, "padding": "same"},
    "implementation3_same": {"implementation": 3, "padding": "same"},
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
variants("local/locally_connected1d", "LocallyConnected1D", (7, 3), {"filters": 2, "kernel_size": 3}, COMMON)
variants("local/locally_connected2d", "LocallyConnected2D", (6, 5, 3), {"filters": 2, "kernel_size": 3}, COMMON)
variants(
    "local/locally_connected2d",
    "LocallyConnected2D",
    (6, 5, 3),
    {"filters": 2, "kernel_size": 3},
    {"kernel_uneven": {"kernel_size": (2, 3)}, "strides_uneven": {"strides": (1, 2)}},
)
