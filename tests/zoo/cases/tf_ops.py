"""TensorFlow ops on Keras tensors: 1.14 and later turn each into a TensorFlowOpLayer or a TFOpLambda."""

from zoo.registry import add, placeholder


def _op(name, function, shapes=((6,),), domain="normal"):
    def build(k):
        import tensorflow as tf

        inputs = [placeholder(k, shape) for shape in shapes]
        y = function(tf, *inputs)
        y = list(y) if isinstance(y, (list, tuple)) else y
        return k.models.Model(inputs if len(inputs) > 1 else inputs[0], y)

    add("tf_ops/" + name, build, ("tf_op",), [domain] * len(shapes))


_TWO, _MATRIX, _IMAGE = ((6,), (6,)), ((4, 6),), ((4, 5, 2),)
_op("add_scalar", lambda tf, x: x + 1.0)
_op("scalar_minus", lambda tf, x: 1.0 - x)
_op("multiply_scalar", lambda tf, x: x * 2.5)
_op("divide_scalar", lambda tf, x: x / 3.0)
_op("scalar_divided", lambda tf, x: 2.0 / x, domain="positive")
_op("power", lambda tf, x: x**2)
_op("negative", lambda tf, x: -x)
_op("floor_divide", lambda tf, x: x // 0.3)
_op("modulo", lambda tf, x: x % 0.7)
_op("add_tensors", lambda tf, a, b: a + b, _TWO)
_op("subtract_tensors", lambda tf, a, b: a - b, _TWO)
_op("multiply_tensors", lambda tf, a, b: a * b, _TWO)
_op("maximum", lambda tf, a, b: tf.maximum(a, b), _TWO)
_op("squared_difference", lambda tf, a, b: tf.math.squared_difference(a, b), _TWO)
for _name in ("abs", "exp", "square", "tanh", "sigmoid", "sin", "cos", "sign", "floor", "ceil", "round", "erf"):
    _op("math-" + _name, lambda tf, x, n=_name: getattr(tf.math, n)(x))
for _name in ("sqrt", "log", "rsqrt", "log1p", "reciprocal"):
    _op("math-" + _name, lambda tf, x, n=_name: getattr(tf.math, n)(x), domain="positive")
for _name in ("relu", "relu6", "elu", "selu", "softplus", "softsign", "softmax", "log_softmax", "leaky_relu", "swish"):
    _op("nn-" + _name, lambda tf, x, n=_name: getattr(tf.nn, n)(x))
for _name in ("sum", "mean", "max", "min", "prod"):
    _op("reduce-" + _name, lambda tf, x, n=_name: getattr(tf, "reduce_" + n)(x, axis=1), _MATRIX)
    _op(
        "reduce-{}_keepdims".format(_name),
        lambda tf, x, n=_name: getattr(tf, "reduce_" + n)(x, axis=-1, keepdims=True),
        _MATRIX,
    )
_op("reduce-mean_two_axes", lambda tf, x: tf.reduce_mean(x, axis=[1, 2]), _IMAGE)
_op("argmax", lambda tf, x: tf.argmax(x, axis=1))
_op("concat", lambda tf, a, b: tf.concat([a, b], axis=1), _TWO)
_op("stack", lambda tf, a, b: tf.stack([a, b], axis=1), _TWO)
_op("split", lambda tf, x: tf.split(x, 2, axis=1))
_op("unstack", lambda tf, x: tf.unstack(x, axis=1), ((3, 4),))
_op("reshape", lambda tf, x: tf.reshape(x, [-1, 2, 3]))
_op("reshape_dynamic", lambda tf, x: tf.reshape(x, [tf.shape(x)[0], 24]), _MATRIX)
_op("transpose", lambda tf, x: tf.transpose(x, [0, 2, 1]), _MATRIX)
_op("expand_dims", lambda tf, x: tf.expand_dims(x, -1))
_op("squeeze", lambda tf, x: tf.squeeze(x, axis=[-1]), ((4, 1),))
_op("tile", lambda tf, x: tf.tile(x, [1, 3]))
_op("pad", lambda tf, x: tf.pad(x, [[0, 0], [1, 2]]))
_op("pad_reflect", lambda tf, x: tf.pad(x, [[0, 0], [2, 2], [1, 1], [0, 0]], mode="REFLECT"), _IMAGE)
_op("slice", lambda tf, x: x[:, 1:4])
_op("slice_step", lambda tf, x: x[:, ::2])
_op("slice_column", lambda tf, x: x[:, 0])
_op("slice_newaxis", lambda tf, x: x[:, tf.newaxis, :])
_op("slice_ellipsis", lambda tf, x: x[..., -1], _MATRIX)
_op("gather", lambda tf, x: tf.gather(x, [2, 0, 1], axis=1))
_op("reverse", lambda tf, x: tf.reverse(x, axis=[1]))
_op("cast", lambda tf, x: tf.cast(x, "float64"))
_op("cast_int", lambda tf, x: tf.cast(x * 10.0, "int32"))
_op("clip", lambda tf, x: tf.clip_by_value(x, -0.5, 0.5))
_op("clip_by_hand", lambda tf, x: tf.minimum(tf.maximum(x, -0.5), 0.5))
_op("where", lambda tf, a, b: tf.where(tf.greater(a, b), a, b), _TWO)
_op("compare", lambda tf, a, b: tf.cast(tf.greater(a, b), "float32"), _TWO)
_op("logical", lambda tf, a, b: tf.cast(tf.logical_and(a > 0.0, b > 0.0), "float32"), _TWO)
_op("matmul", lambda tf, a, b: tf.matmul(a, b), ((3, 4), (4, 5)))
_op("matmul_transposed", lambda tf, a, b: tf.matmul(a, b, transpose_b=True), ((3, 4), (5, 4)))
_op("matmul_constant", lambda tf, x: tf.matmul(x, [[0.1 * (i - j) for j in range(3)] for i in range(6)]))
_op("einsum", lambda tf, a, b: tf.einsum("bij,bjk->bik", a, b), ((3, 4), (4, 5)))
_op("l2_normalize", lambda tf, x: tf.math.l2_normalize(x, axis=1))
_op("one_hot", lambda tf, x: tf.one_hot(tf.cast(x * 2.0, "int32"), 5), domain="positive")
_op("top_k", lambda tf, x: tf.nn.top_k(x, 2)[0])
_op("cumsum", lambda tf, x: tf.cumsum(x, axis=1))
_op("space_to_depth", lambda tf, x: tf.nn.space_to_depth(x, 2), ((4, 6, 2),))
_op("depth_to_space", lambda tf, x: tf.nn.depth_to_space(x, 2), ((2, 3, 4),))
_op("resize_bilinear", lambda tf, x: tf.image.resize_bilinear(x, [7, 9]), _IMAGE)
_op("resize_nearest", lambda tf, x: tf.image.resize_nearest_neighbor(x, [7, 9]), _IMAGE)
_op("resize_v2", lambda tf, x: tf.image.resize(x, [8, 10]), _IMAGE)
_op("avg_pool", lambda tf, x: tf.nn.avg_pool2d(x, 2, 2, "SAME"), _IMAGE)
_op("max_pool", lambda tf, x: tf.nn.max_pool2d(x, 2, 2, "VALID"), _IMAGE)
_op("ones_like", lambda tf, x: x + tf.ones_like(x))
_op("shape_broadcast", lambda tf, x: x + tf.zeros([tf.shape(x)[0], 6]))
_op("stop_gradient", lambda tf, x: tf.stop_gradient(x) * 2.0)
_op("identity", lambda tf, x: tf.identity(x))
_op("chain", lambda tf, x: tf.nn.relu(x * 2.0 - 0.5) + tf.reduce_mean(x, axis=1, keepdims=True))


def _between_layers(k):
    import tensorflow as tf

    x = placeholder(k, (6,))
    y = k.layers.Dense(4)(x)
    return k.models.Model(x, k.layers.Dense(2)(tf.nn.relu(y) + y * 0.1))


def _scaled_attention(k):
    import tensorflow as tf

    x = placeholder(k, (5, 4))
    q, key, v = [k.layers.Dense(4)(x) for _ in range(3)]
    return k.models.Model(x, tf.matmul(tf.nn.softmax(tf.matmul(q, key, transpose_b=True) / 2.0), v))


def _hard_swish(k):
    import tensorflow as tf

    x = placeholder(k, (4, 4, 2))
    y = k.layers.Conv2D(3, 3, padding="same")(x)
    return k.models.Model(x, k.layers.GlobalAveragePooling2D()(y * tf.nn.relu6(y + 3.0) / 6.0))


def _backend(k):
    x = placeholder(k, (6,))
    return k.models.Model(x, k.backend.abs(k.layers.Dense(3)(x)))


for _name, _build in (
    ("between_layers", _between_layers),
    ("scaled_attention", _scaled_attention),
    ("hard_swish", _hard_swish),
    ("backend_function", _backend),
):
    add("tf_ops/" + _name, _build, ("tf_op",))
