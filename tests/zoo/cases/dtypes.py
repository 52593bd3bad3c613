"""float64 and float16 layers, global floatx, mixed inputs and casts."""

from zoo.registry import add, deferred, layer, placeholder, single

_LAYERS = (
    ("dense", "Dense", (6,), {"units": 4, "activation": "relu"}),
    ("conv1d", "Conv1D", (8, 3), {"filters": 2, "kernel_size": 3}),
    ("conv2d", "Conv2D", (6, 6, 2), {"filters": 2, "kernel_size": 3}),
    ("depthwise", "DepthwiseConv2D", (6, 6, 2), {"kernel_size": 3}),
    ("batch_norm", "BatchNormalization", (6,), {}),
    ("batch_norm_image", "BatchNormalization", (4, 4, 3), {}),
    ("lstm", "LSTM", (5, 3), {"units": 4}),
    ("gru", "GRU", (5, 3), {"units": 4}),
    ("simple_rnn", "SimpleRNN", (5, 3), {"units": 4}),
    ("prelu", "PReLU", (6,), {}),
    ("activation", "Activation", (6,), {"activation": "tanh"}),
    ("max_pool", "MaxPooling2D", (6, 6, 2), {}),
    ("layer_norm", "LayerNormalization", (6,), {}),
    ("flatten", "Flatten", (3, 4), {}),
    ("locally_connected", "LocallyConnected1D", (6, 3), {"filters": 2, "kernel_size": 2}),
)
for _name, _class, _shape, _args in _LAYERS:
    single("dtypes/float64-" + _name, _class, _shape, dict(_args, dtype="float64"), dtype="float64", tags=["float64"])
    # The default initializer, orthogonal, has no float16 kernel.
    _extra = {"recurrent_initializer": "glorot_uniform"} if _shape == (5, 3) else {}
    single(
        "dtypes/float16-" + _name,
        _class,
        _shape,
        dict(_args, dtype="float16", **_extra),
        dtype="float16",
        tags=["float16"],
    )
for _dtype in ("float64", "float16"):
    single(
        "dtypes/{}-bidirectional".format(_dtype),
        "Bidirectional",
        (5, 3),
        {"dtype": _dtype, "layer": layer("LSTM", 3, dtype=_dtype, recurrent_initializer="glorot_uniform")},
        dtype=_dtype,
        tags=[_dtype],
    )
    single(
        "dtypes/{}-time_distributed".format(_dtype),
        "TimeDistributed",
        (5, 3),
        {"dtype": _dtype, "layer": layer("Dense", 3, dtype=_dtype)},
        dtype=_dtype,
        tags=[_dtype],
    )
for _name, _class, _shape, _args in _LAYERS[:3]:
    single("dtypes/input_float64-" + _name, _class, _shape, _args, dtype="float64", tags=["float64"])
    single("dtypes/input_float16-" + _name, _class, _shape, _args, dtype="float16", tags=["float16"])
    single("dtypes/layer_float64-" + _name, _class, _shape, dict(_args, dtype="float64"), tags=["float64"])
single("dtypes/dense-float32_named", "Dense", (6,), {"units": 4, "dtype": "float32"})


@deferred
def _tf_float32(_k):
    import tensorflow as tf

    return tf.float32


single("dtypes/dense-tf_dtype", "Dense", (6,), {"units": 4, "dtype": _tf_float32})


def _with_floatx(case_id, floatx, make, tags):
    """Built under another global float type, which is put back: the file has to carry it alone."""

    def build(k):
        k.backend.set_floatx(floatx)
        try:
            return make(k)
        finally:
            k.backend.set_floatx("float32")

    add("dtypes/{}-{}".format(case_id, floatx), build, tags)


def _mlp(k):
    return k.models.Sequential(
        [
            k.layers.Dense(5, activation="tanh", input_shape=(6,)),
            k.layers.BatchNormalization(),
            k.layers.Dense(3, activation="softmax"),
        ]
    )


def _sequence(k):
    x = placeholder(k, (5, 3))
    return k.models.Model(
        x, k.layers.Dense(2)(k.layers.Bidirectional(k.layers.LSTM(3, recurrent_initializer="glorot_uniform"))(x))
    )


for _floatx in ("float64", "float16"):
    _with_floatx("floatx_mlp", _floatx, _mlp, (_floatx,))
    _with_floatx("floatx_sequence", _floatx, _sequence, (_floatx,))


def _policy(name):
    def build(k):
        policy = (
            k.mixed_precision.experimental.Policy(name)
            if hasattr(k.mixed_precision, "experimental")
            else k.mixed_precision.Policy(name)
        )
        x = placeholder(k, (6,))
        y = k.layers.Dense(4, activation="relu", dtype=policy)(x)
        return k.models.Model(x, k.layers.Dense(3, dtype="float32")(y))

    return build


for _name in ("mixed_float16", "float64", "infer", "infer_float32_vars", "mixed_bfloat16"):
    add("dtypes/policy-" + _name, _policy(_name), ("policy",))


def _int_cast(k):
    x = placeholder(k, (5,), dtype="int32")
    return k.models.Model(x, k.layers.Dense(3)(k.layers.Flatten()(k.layers.Embedding(9, 2, dtype="float64")(x))))


add("dtypes/embedding-float64", _int_cast, ("float64",), ["ids:9"])
