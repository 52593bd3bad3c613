"""Regularizers, constraints and initializers: the objects that live inside layer configs."""

import numpy as np

from zoo.registry import deferred, single


def _named(module, name, *args, **kwargs):
    return deferred(lambda k: getattr(getattr(k, module), name)(*args, **kwargs))


REGULARIZERS = {
    "l1": "l1",
    "l2": "l2",
    "l1_l2": "l1_l2",
    "l1_value": _named("regularizers", "l1", 0.03),
    "l2_value": _named("regularizers", "l2", 0.03),
    "l1_l2_values": _named("regularizers", "l1_l2", l1=0.01, l2=0.02),
    "class": _named("regularizers", "L1L2", l1=0.5),
    "numpy_scalar": _named("regularizers", "l2", np.float32(0.25)),
    "dict": {"class_name": "L1L2", "config": {"l1": 0.1, "l2": 0.0}},
    "orthogonal": _named("regularizers", "OrthogonalRegularizer", 0.02),
}
for _name, _value in REGULARIZERS.items():
    single("regularizers/dense_kernel-" + _name, "Dense", (6,), {"units": 4, "kernel_regularizer": _value})
for _slot in ("bias", "activity"):
    single(
        "regularizers/dense_{}-l2".format(_slot),
        "Dense",
        (6,),
        {"units": 4, _slot + "_regularizer": REGULARIZERS["l2_value"]},
    )
for _slot in ("kernel", "recurrent", "bias", "activity"):
    single(
        "regularizers/lstm_{}-l1_l2".format(_slot),
        "LSTM",
        (5, 3),
        {"units": 4, _slot + "_regularizer": REGULARIZERS["l1_l2_values"]},
    )
    single(
        "regularizers/gru_{}-l2".format(_slot),
        "GRU",
        (5, 3),
        {"units": 4, _slot + "_regularizer": REGULARIZERS["l2_value"]},
    )
single(
    "regularizers/lstm_activity-masked",
    "LSTM",
    (5, 3),
    {"units": 4, "activity_regularizer": REGULARIZERS["l2_value"], "return_sequences": True},
    mask=True,
)
single(
    "regularizers/dense_activity-masked",
    "Dense",
    (5, 3),
    {"units": 4, "activity_regularizer": REGULARIZERS["l2_value"]},
    mask=True,
)

CONSTRAINTS = {
    "max_norm": "max_norm",
    "MaxNorm": _named("constraints", "MaxNorm", max_value=1.5, axis=0),
    "max_norm_axis1": _named("constraints", "MaxNorm", max_value=2, axis=1),
    "non_neg": "non_neg",
    "NonNeg": _named("constraints", "NonNeg"),
    "unit_norm": "unit_norm",
    "UnitNorm": _named("constraints", "UnitNorm", axis=0),
    "min_max_norm": "min_max_norm",
    "MinMaxNorm": _named("constraints", "MinMaxNorm", min_value=0.2, max_value=1.3, rate=0.7, axis=1),
    "nonneg_alias": "nonneg",
    "maxnorm_alias": "maxnorm",
    "unitnorm_alias": "unitnorm",
    "numpy_scalar": _named("constraints", "MaxNorm", max_value=np.float32(1.5)),
}
for _name, _value in CONSTRAINTS.items():
    single("constraints/dense_kernel-" + _name, "Dense", (6,), {"units": 4, "kernel_constraint": _value})
single("constraints/dense_bias-non_neg", "Dense", (6,), {"units": 4, "bias_constraint": "non_neg"})
for _name in ("MaxNorm", "UnitNorm"):
    single(
        "constraints/conv2d_kernel-" + _name,
        "Conv2D",
        (6, 6, 2),
        {"filters": 3, "kernel_size": 3, "kernel_constraint": _named("constraints", _name, axis=[0, 1, 2])},
    )
single(
    "constraints/conv2d_kernel-RadialConstraint",
    "Conv2D",
    (6, 6, 2),
    {"filters": 3, "kernel_size": 3, "kernel_constraint": _named("constraints", "RadialConstraint")},
)
for _slot in ("kernel", "recurrent", "bias"):
    single(
        "constraints/lstm_{}-max_norm".format(_slot),
        "LSTM",
        (5, 3),
        {"units": 4, _slot + "_constraint": CONSTRAINTS["MaxNorm"]},
    )

for _name in (
    "zeros",
    "ones",
    "zero",
    "one",
    "constant",
    "random_normal",
    "random_uniform",
    "normal",
    "uniform",
    "truncated_normal",
    "orthogonal",
    "lecun_normal",
    "lecun_uniform",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "Zeros",
    "Ones",
    "Constant",
    "RandomNormal",
    "RandomUniform",
    "TruncatedNormal",
    "VarianceScaling",
    "Orthogonal",
    "GlorotNormal",
    "GlorotUniform",
    "HeNormal",
    "LecunUniform",
    "variance_scaling",
):
    # File systems may ignore case: "Zeros" and "zeros" need different ids.
    single(
        "initializers/{}-{}".format("class_string" if _name[0].isupper() else "string", _name),
        "Dense",
        (6,),
        {"units": 4, "kernel_initializer": _name},
    )
for _name, _id in (("identity", "string"), ("Identity", "class_string")):
    single("initializers/{}-{}".format(_id, _name), "Dense", (4,), {"units": 4, "kernel_initializer": _name})
for _name, _class, _args in (
    ("zeros", "Zeros", {}),
    ("ones", "Ones", {}),
    ("constant", "Constant", {"value": 0.5}),
    ("constant_numpy", "Constant", {"value": np.float32(0.5)}),
    ("random_normal", "RandomNormal", {"mean": 0.1, "stddev": 0.2, "seed": 3}),
    ("random_uniform", "RandomUniform", {"minval": -0.2, "maxval": 0.3, "seed": 3}),
    ("truncated_normal", "TruncatedNormal", {"mean": 0.1, "stddev": 0.2, "seed": 3}),
    ("truncated_normal_lower", "truncated_normal", {"stddev": 0.02}),
    ("orthogonal", "Orthogonal", {"gain": 1.5, "seed": 3}),
    ("glorot_normal", "glorot_normal", {"seed": 3}),
    ("glorot_uniform", "glorot_uniform", {"seed": 3}),
    ("he_normal", "he_normal", {"seed": 3}),
    ("he_uniform", "he_uniform", {"seed": 3}),
    ("lecun_normal", "lecun_normal", {"seed": 3}),
    ("lecun_uniform", "lecun_uniform", {"seed": 3}),
):
    single(
        "initializers/object-" + _name,
        "Dense",
        (6,),
        {"units": 4, "kernel_initializer": _named("initializers", _class, **_args)},
    )
for _mode in ("fan_in", "fan_out", "fan_avg"):
    for _distribution in ("normal", "uniform", "truncated_normal", "untruncated_normal"):
        single(
            "initializers/variance_scaling-{}-{}".format(_mode, _distribution),
            "Dense",
            (6,),
            {
                "units": 4,
                "kernel_initializer": _named(
                    "initializers", "VarianceScaling", scale=2.0, mode=_mode, distribution=_distribution, seed=5
                ),
            },
        )
single(
    "initializers/identity-gain",
    "Dense",
    (4,),
    {"units": 4, "kernel_initializer": _named("initializers", "Identity", gain=0.5)},
)
for _name, _array in (
    ("list", [0.1, 0.2, 0.3, 0.4]),
    ("array", np.array([0.1, 0.2, 0.3, 0.4], "float32")),
    ("array64", np.arange(4.0)),
):
    single(
        "initializers/constant-" + _name,
        "Dense",
        (6,),
        {"units": 4, "bias_initializer": _named("initializers", "Constant", _array)},
    )
single(
    "initializers/constant-kernel_array",
    "Dense",
    (2,),
    {"units": 3, "kernel_initializer": _named("initializers", "Constant", np.arange(6.0).reshape(2, 3))},
)
single(
    "initializers/constant-embedding_matrix",
    "Embedding",
    (5,),
    {
        "input_dim": 6,
        "output_dim": 2,
        "embeddings_initializer": _named("initializers", "Constant", np.arange(12.0).reshape(6, 2)),
    },
    domain="ids:6",
)


def _tf_initializer(name, **kwargs):
    def make(_k):
        import tensorflow as tf

        return getattr(tf, name)(**kwargs)

    return deferred(make)


for _name, _args in (
    ("random_normal_initializer", {"stddev": 0.1}),
    ("zeros_initializer", {}),
    ("truncated_normal_initializer", {"stddev": 0.1}),
    ("glorot_uniform_initializer", {}),
    ("variance_scaling_initializer", {"scale": 2.0}),
    ("orthogonal_initializer", {}),
    ("uniform_unit_scaling_initializer", {}),
    ("constant_initializer", {"value": 0.3}),
):
    single(
        "initializers/tf-" + _name, "Dense", (6,), {"units": 4, "kernel_initializer": _tf_initializer(_name, **_args)}
    )
