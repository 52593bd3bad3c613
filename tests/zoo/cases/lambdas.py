"""Lambda layers: bytecode, named functions, captured values, arguments, shapes, masks, several inputs."""

from zoo.registry import add, deferred, placeholder, single


def _lambda(case_name, function, shape=(6,), mask=False, **kwargs):
    """``K`` is bound here for the building; a loader finds the name in Keras' own module of core layers."""

    def bind(k):
        globals()["K"] = k.backend
        return function

    args = dict(kwargs, function=deferred(bind))
    if "mask_argument" in args:
        args["mask"] = args.pop("mask_argument")
    single("lambda/" + case_name, "Lambda", shape, args, mask=mask, tags=["lambda"])


def double(x):
    """A named function is saved by name only in the old versions and looked up among the layer's globals."""
    return x * 2.0


def scaled(x, factor=1.0, shift=0.0):
    return x * factor + shift


_lambda("double", lambda x: x * 2.0)
_lambda("polynomial", lambda x: x**2 + 3.0 * x - 1.0)
_lambda("slice_first", lambda x: x[:, 0], shape=(4, 3))
_lambda("slice_last_step", lambda x: x[:, -1, :], shape=(4, 3))
_lambda("slice_strided", lambda x: x[:, ::2], shape=(6,))
_lambda("backend_mean", lambda x: K.mean(x, axis=1), shape=(4, 3))  # noqa: F821
_lambda("backend_sum_keepdims", lambda x: K.sum(x, axis=-1, keepdims=True), shape=(4, 3))  # noqa: F821
_lambda("backend_l2_normalize", lambda x: K.l2_normalize(x, axis=-1))  # noqa: F821
_lambda("backend_expand_dims", lambda x: K.expand_dims(x, -1))  # noqa: F821
_lambda("backend_squeeze", lambda x: K.squeeze(x, -1), shape=(4, 1))  # noqa: F821
_lambda("backend_reverse", lambda x: K.reverse(x, 1), shape=(4, 3))  # noqa: F821
_lambda("backend_softmax", lambda x: K.softmax(x))  # noqa: F821
_lambda("backend_clip", lambda x: K.clip(x, -0.5, 0.5))  # noqa: F821
_lambda("with_output_shape", lambda x: x[:, :3], output_shape=(3,))
_lambda("with_output_shape_function", lambda x: x[:, :3], output_shape=lambda shape: (shape[0], 3))
_lambda("with_arguments", lambda x, factor: x * factor, arguments={"factor": 3.0})
_lambda("with_defaults", lambda x, factor=2.0, shift=1.0: x * factor + shift)
_lambda("named_function", double)
_lambda("named_function_arguments", scaled, arguments={"factor": 2.0, "shift": -0.5})
_lambda("named_layer", lambda x: x + 1.0, name="plus_one")
_lambda("masked", lambda x: x * 2.0, shape=(5, 3), mask=True)
_lambda("mask_given", lambda x: x * 2.0, shape=(5, 3), mask=True, output_shape=(5, 3))
_lambda("mask_function", lambda x: x * 2.0, shape=(5, 3), mask_argument=lambda x, mask: mask)
_lambda("frozen", lambda x: x * 2.0, trainable=False)


def _closure(k):
    factor = 2.5
    x = placeholder(k, (6,))
    return k.models.Model(x, k.layers.Lambda(lambda t: t * factor)(x))


def _import_inside(k):
    def stack(x):
        import tensorflow as tf

        return tf.reverse(x, [1])

    x = placeholder(k, (6,))
    return k.models.Model(x, k.layers.Lambda(lambda t: stack(t))(x))


def _tf_inside(k):
    def absolute(x):
        import tensorflow as tf

        return tf.abs(x) + tf.nn.relu6(x)

    absolute.__name__ = "<lambda>"
    x = placeholder(k, (6,))
    return k.models.Model(x, k.layers.Lambda(absolute)(x))


def _sparse(k, sparse=True):
    globals()["K"] = k.backend
    x = k.layers.Input(shape=(6,), sparse=True) if sparse else placeholder(k, (6,))
    dense = k.layers.Lambda(lambda t: K.to_dense(t), output_shape=(6,))(x) if sparse else x  # noqa: F821
    return k.models.Model(x, k.layers.Dense(3)(dense))


# Predicting from a sparse input takes SciPy's matrices; the reference takes the same numbers as an array.
add("lambda/sparse_input", _sparse, ("lambda",), reference=lambda k: _sparse(k, sparse=False))


def _two_inputs(k):
    a, b = placeholder(k, (6,)), placeholder(k, (6,))
    return k.models.Model([a, b], k.layers.Lambda(lambda pair: pair[0] * pair[1] + pair[0])([a, b]))


def _two_outputs(k):
    x = placeholder(k, (6,))
    found = k.layers.Lambda(lambda t: [t[:, :3], t[:, 3:]])(x)
    return k.models.Model(x, list(found))


def _between(k):
    return k.models.Sequential(
        [k.layers.Dense(5, input_shape=(6,)), k.layers.Lambda(lambda t: t / 2.0), k.layers.Dense(3)]
    )


def _first(k):
    return k.models.Sequential(
        [
            k.layers.Lambda(lambda t: t / 127.5 - 1.0, input_shape=(6, 6, 2)),
            k.layers.Conv2D(2, 3),
            k.layers.Flatten(),
            k.layers.Dense(2),
        ]
    )


def _time_distributed(k):
    x = placeholder(k, (4, 3))
    return k.models.Model(x, k.layers.TimeDistributed(k.layers.Lambda(lambda t: t * 3.0))(x))


def _vae(k):
    x = placeholder(k, (6,))
    mean, spread = k.layers.Dense(2)(x), k.layers.Dense(2)(x)
    z = k.layers.Lambda(lambda pair: pair[0] + pair[1] * 0.5)([mean, spread])
    return k.models.Model(x, k.layers.Dense(6, activation="sigmoid")(z))


def _activation_lambda(k):
    x = placeholder(k, (6,))
    return k.models.Model(x, k.layers.Dense(3, activation=lambda t: t * 2.0)(x))


for _name, _build, _domains in (
    ("closure", _closure, 1),
    ("function_inside_function", _import_inside, 1),
    ("tensorflow_imported_inside", _tf_inside, 1),
    ("two_inputs", _two_inputs, 2),
    ("two_outputs", _two_outputs, 1),
    ("between_dense", _between, 1),
    ("first_in_sequential", _first, 1),
    ("time_distributed", _time_distributed, 1),
    ("vae_sampling_mean", _vae, 1),
    ("as_activation", _activation_lambda, 1),
):
    add("lambda/" + _name, _build, ("lambda",), ["normal"] * _domains)
