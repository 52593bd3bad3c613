"""BatchNormalization in all its forms, LayerNormalization and later kinds."""

from zoo.registry import add, deferred, placeholder, single, variants

L2 = deferred(lambda k: k.regularizers.l2(0.01))
variants(
    "normalization/batch_norm",
    "BatchNormalization",
    (6,),
    {},
    {
        "plain": {},
        "no_scale": {"scale": False},
        "no_center": {"center": False},
        "neither": {"scale": False, "center": False},
        "odd_numbers": {"momentum": 0.7, "epsilon": 0.05},
        "frozen": {"trainable": False},
        "fused_false": {"fused": False},
        "fused_none": {"fused": None},
        "renorm": {"renorm": True},
        "renorm_clipping": {
            "renorm": True,
            "renorm_clipping": {"rmax": 3.0, "rmin": 0.3, "dmax": 5.0},
            "renorm_momentum": 0.8,
        },
        "renorm_no_scale": {"renorm": True, "scale": False},
        "named": {"name": "my_bn"},
        "all_arguments": {
            "axis": -1,
            "momentum": 0.9,
            "epsilon": 1e-4,
            "center": True,
            "scale": True,
            "beta_initializer": "ones",
            "gamma_initializer": "zeros",
            "moving_mean_initializer": "ones",
            "moving_variance_initializer": "ones",
            "beta_regularizer": L2,
            "gamma_regularizer": L2,
            "beta_constraint": "non_neg",
            "gamma_constraint": "max_norm",
        },
    },
)
for _name, _shape in (("rank3", (4, 6)), ("rank4", (4, 5, 3)), ("rank5", (3, 2, 4, 3))):
    single("normalization/batch_norm-" + _name, "BatchNormalization", _shape)
    # Of rank 4 it is the fused kernel's channels_first form.
    single(
        "normalization/batch_norm-{}_axis1".format(_name),
        "BatchNormalization",
        _shape,
        {"axis": 1},
        tags=["channels_first"] if len(_shape) == 3 else [],
    )
variants(
    "normalization/batch_norm-image",
    "BatchNormalization",
    (4, 5, 3),
    {},
    {
        "axis2": {"axis": 2},
        "axis_list": {"axis": [3]},
        "axis_list_minus": {"axis": [-1]},
        "axes": {"axis": [1, 3]},
        "axes_all": {"axis": [1, 2, 3]},
        "fused_true": {"fused": True},
        "fused_false": {"fused": False},
        "fused_no_scale": {"fused": True, "scale": False},
        "fused_no_center": {"fused": True, "center": False},
        "fused_small_epsilon": {"fused": True, "epsilon": 1e-6},
        "virtual_batch": {"virtual_batch_size": 2},
        "virtual_batch_list_axis": {"virtual_batch_size": 2, "axis": [3]},
        "renorm": {"renorm": True},
        "renorm_fused": {"renorm": True, "fused": True},
        "frozen": {"trainable": False},
    },
)
single("normalization/batch_norm-virtual_batch", "BatchNormalization", (6,), {"virtual_batch_size": 2}, batch=4)
single("normalization/batch_norm-free_size", "BatchNormalization", (None, None, 3))
single("normalization/batch_norm-masked", "BatchNormalization", (5, 3), mask=True)
single(
    "normalization/batch_norm-channels_first_axis",
    "BatchNormalization",
    (3, 4, 5),
    {"axis": 1},
    tags=["channels_first"],
)


@deferred
def _v2(k):
    import tensorflow as tf

    return tf.compat.v2.keras.layers.BatchNormalization()


def _v2_class(k):
    x = placeholder(k, (4, 5, 3))
    return k.models.Model(x, _v2.make(k)(x))


add("normalization/batch_norm-v2_class", _v2_class)


def _tf_layers(k):
    import tensorflow as tf

    x = placeholder(k, (6,))
    return k.models.Model(x, tf.layers.BatchNormalization()(tf.layers.Dense(4)(x)))


add("normalization/tf_layers-dense_batch_norm", _tf_layers, ("tf_layers",))

variants(
    "normalization/layer_norm",
    "LayerNormalization",
    (4, 6),
    {},
    {
        "plain": {},
        "no_scale": {"scale": False},
        "no_center": {"center": False},
        "epsilon": {"epsilon": 0.1},
        "axis1": {"axis": 1},
        "axes": {"axis": [1, 2]},
        "axis_list": {"axis": [-1]},
        "frozen": {"trainable": False},
        "all_arguments": {
            "beta_initializer": "ones",
            "gamma_initializer": "zeros",
            "beta_regularizer": L2,
            "gamma_regularizer": L2,
            "beta_constraint": "non_neg",
            "gamma_constraint": "max_norm",
        },
    },
)
single("normalization/layer_norm-masked", "LayerNormalization", (5, 3), mask=True)
single("normalization/layer_norm-rank4", "LayerNormalization", (3, 4, 5))
single("normalization/group_norm", "GroupNormalization", (4, 6), {"groups": 2})
single("normalization/unit_norm", "UnitNormalization", (6,))
