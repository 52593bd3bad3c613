"""ReLU, LeakyReLU, PReLU, ELU, ThresholdedReLU and Softmax layers."""

import numpy as np

from zoo.registry import deferred, single, variants

WIDE = {"domain": "wide"}
variants(
    "advanced_activations/relu",
    "ReLU",
    (24,),
    {},
    {
        "default": {},
        "max_value": {"max_value": 6.0},
        "max_value_int": {"max_value": 6},
        "negative_slope": {"negative_slope": 0.2},
        "threshold": {"threshold": 0.7},
        "threshold_negative": {"threshold": -0.5},
        "all": {"max_value": 3.0, "negative_slope": 0.1, "threshold": 0.5},
        "max_and_slope": {"max_value": 6.0, "negative_slope": 0.3},
        "max_and_threshold": {"max_value": 4.0, "threshold": 1.0},
        "slope_and_threshold": {"negative_slope": 0.25, "threshold": 1.0},
        "numpy_max": {"max_value": np.float32(6.0)},
    },
    **WIDE,
)
variants(
    "advanced_activations/leaky_relu",
    "LeakyReLU",
    (24,),
    {},
    {
        "default": {},
        "alpha": {"alpha": 0.1},
        "alpha_zero": {"alpha": 0.0},
        "alpha_one": {"alpha": 1.0},
        "alpha_numpy": {"alpha": np.float32(0.25)},
    },
    **WIDE,
)
variants("advanced_activations/elu", "ELU", (24,), {}, {"default": {}, "alpha": {"alpha": 0.3}}, **WIDE)
variants(
    "advanced_activations/thresholded_relu",
    "ThresholdedReLU",
    (24,),
    {},
    {"default": {}, "theta": {"theta": 0.25}, "theta_zero": {"theta": 0.0}},
    **WIDE,
)
variants(
    "advanced_activations/softmax",
    "Softmax",
    (3, 4, 5),
    {},
    {
        "default": {},
        "axis1": {"axis": 1},
        "axis2": {"axis": 2},
        "axis_minus2": {"axis": -2},
        "axis_list": {"axis": [1, 2]},
        "axis_tuple": {"axis": (2, 3)},
        "axis_list_one": {"axis": [-1]},
    },
)
single("advanced_activations/softmax-masked", "Softmax", (5, 3), mask=True)
for _name, _shape, _axes in (
    ("vector", (6,), None),
    ("matrix", (4, 3), None),
    ("shared1", (4, 3), [1]),
    ("image", (4, 5, 3), None),
    ("shared12", (4, 5, 3), [1, 2]),
    ("shared_int", (4, 3), 1),
    ("shared_all", (4, 3), [1, 2]),
    ("free_shared", (None, None, 3), [1, 2]),
):
    single("advanced_activations/prelu-" + _name, "PReLU", _shape, {} if _axes is None else {"shared_axes": _axes})
single(
    "advanced_activations/prelu-all_arguments",
    "PReLU",
    (6,),
    {
        "alpha_initializer": "ones",
        "alpha_regularizer": deferred(lambda k: k.regularizers.l2(0.1)),
        "alpha_constraint": "non_neg",
    },
)
for _name in ("ReLU", "LeakyReLU", "ELU", "ThresholdedReLU", "PReLU"):
    single("advanced_activations/masked-" + _name, _name, (5, 3), mask=True)
