"""Dense, Activation, Masking, ActivityRegularization, the base Layer and inputs."""

from zoo.registry import add, deferred, placeholder, single, variants

ACTIVATIONS = (
    "elu",
    "exponential",
    "hard_sigmoid",
    "linear",
    "relu",
    "selu",
    "sigmoid",
    "softmax",
    "softplus",
    "softsign",
    "tanh",
    "swish",
    "gelu",
    "relu6",
    "mish",
)

variants(
    "core/dense",
    "Dense",
    (6,),
    {"units": 5},
    {
        "plain": {},
        "no_bias": {"use_bias": False},
        "one_unit": {"units": 1},
        "named": {"name": "my_dense"},
        "kernel_zeros_bias_ones": {"kernel_initializer": "zeros", "bias_initializer": "ones"},
        "all_arguments": {
            "activation": "tanh",
            "use_bias": True,
            "kernel_initializer": "he_normal",
            "bias_initializer": "ones",
            "kernel_regularizer": deferred(lambda k: k.regularizers.l2(0.01)),
            "bias_regularizer": deferred(lambda k: k.regularizers.l1(0.02)),
            "activity_regularizer": deferred(lambda k: k.regularizers.l1_l2(0.01, 0.02)),
            "kernel_constraint": deferred(lambda k: k.constraints.MaxNorm(3.0)),
            "bias_constraint": "non_neg",
            "trainable": False,
            "name": "everything",
        },
        "trainable_false": {"trainable": False},
    },
)
for rank, shape in ((3, (4, 6)), (4, (3, 4, 6)), (5, (2, 3, 2, 6))):
    single("core/dense-rank{}".format(rank), "Dense", shape, {"units": 5})
single("core/dense-free_steps", "Dense", (None, 6), {"units": 5})
single("core/dense-masked", "Dense", (5, 6), {"units": 3}, mask=True)

for name in ACTIVATIONS:
    single("activations/dense-" + name, "Dense", (6,), {"units": 7, "activation": name})
    single(
        "activations/layer-" + name,
        "Activation",
        (24,),
        {"activation": name},
        domain="normal" if name == "exponential" else "wide",
    )
for name in ("softmax", "hard_sigmoid", "relu"):
    single("activations/rank3-" + name, "Activation", (4, 6), {"activation": name}, domain="wide")
    single("activations/masked-" + name, "Activation", (5, 6), {"activation": name}, mask=True)
single(
    "activations/function_relu",
    "Activation",
    (24,),
    {"activation": deferred(lambda k: k.activations.relu)},
    domain="wide",
)
single(
    "activations/function_dense_selu", "Dense", (6,), {"units": 4, "activation": deferred(lambda k: k.activations.selu)}
)
# tf.nn functions are saved under their own name, which the deserializer of the same version may not know.
for name in (
    "relu",
    "relu6",
    "leaky_relu",
    "crelu",
    "sigmoid",
    "tanh",
    "softmax",
    "elu",
    "selu",
    "softplus",
    "softsign",
    "swish",
    "log_softmax",
):

    def tf_function(_k, wanted=name):
        import tensorflow as tf

        return getattr(tf.nn, wanted)

    single("activations/tf_nn-" + name, "Dense", (6,), {"units": 5, "activation": deferred(tf_function)})
    single("activations/tf_nn_layer-" + name, "Activation", (24,), {"activation": deferred(tf_function)}, domain="wide")

variants(
    "core/activity_regularization",
    "ActivityRegularization",
    (6,),
    {},
    {"l1": {"l1": 0.1}, "l2": {"l2": 0.2}, "both": {"l1": 0.1, "l2": 0.2}, "default": {}},
)
single("core/activity_regularization-masked", "ActivityRegularization", (5, 3), {"l1": 0.1}, mask=True)

variants("core/masking", "Masking", (5, 3), {}, {"default": {}, "zero": {"mask_value": 0.0}}, domain="masked")
single("core/masking-minus_one", "Masking", (5, 3), {"mask_value": -1.0})
single("core/masking-int", "Masking", (5, 3), {"mask_value": 0}, domain="masked")
single("core/masking-gaps", "Masking", (5, 3), {}, domain="gaps")
single("core/base_layer", "Layer", (6,), {})
single("core/base_layer-named", "Layer", (6,), {"name": "identity_of_old"})


def _inputs(case_id, make, domains=(), tags=("inputs",), reference=None):
    def builder(make):
        def build(k):
            x = make(k)
            return k.models.Model(x, k.layers.Dense(4)(x))

        return build

    add(case_id, builder(make), tags, domains, reference=reference and builder(reference))


_inputs("core/input-batch_shape", lambda k: k.layers.Input(batch_shape=(3, 6)))
_inputs("core/input-batch_shape_free", lambda k: k.layers.Input(batch_shape=(None, None, 6)))
_inputs("core/input-batch_size", lambda k: k.layers.Input(shape=(6,), batch_size=3))
_inputs("core/input-named", lambda k: k.layers.Input(shape=(6,), name="features"))
_inputs("core/input-dtype_float64", lambda k: k.layers.Input(shape=(6,), dtype="float64"))
_inputs("core/input-dtype_float16", lambda k: k.layers.Input(shape=(6,), dtype="float16"))
_inputs(
    "core/input-sparse", lambda k: k.layers.Input(shape=(6,), sparse=True), reference=lambda k: placeholder(k, (6,))
)
_inputs("core/input-ragged", lambda k: k.layers.Input(shape=(None, 6), ragged=True))


def _input_tensor(k):
    import tensorflow as tf

    return k.layers.Input(tensor=tf.ones((4, 6)))


_inputs("core/input-tensor", _input_tensor)


def _only_input(k):
    x = placeholder(k, (6,))
    return k.models.Model(x, x)


def _only_identity(k):
    x = placeholder(k, (6,))
    return k.models.Model(x, k.layers.Activation("linear")(x))


# Predicting it is refused by TensorFlow 1: a tensor cannot be both fed and fetched.
add("core/input-is_output", _only_input, ("topology",), reference=_only_identity)


def _int_input(k):
    x = placeholder(k, (5,), dtype="int32")
    return k.models.Model(x, k.layers.RepeatVector(2)(x))


add("core/input-int32", _int_input, (), ["ids:9"])
