"""Functional models: several inputs and outputs, shared layers, odd names, real-world shapes."""

from zoo.registry import case, placeholder

_T = ("topology",)


def _topology(name, domains=("normal",), tags=()):
    return case("topology/" + name, _T + tuple(tags), domains)


@_topology("two_inputs", ("normal", "normal"))
def _two_inputs(k):
    a, b = placeholder(k, (6,)), placeholder(k, (4,))
    y = k.layers.concatenate([k.layers.Dense(3)(a), k.layers.Dense(3)(b)])
    return k.models.Model([a, b], k.layers.Dense(2)(y))


@_topology("inputs_in_other_order", ("normal", "normal"))
def _other_order(k):
    a, b = placeholder(k, (6,), name="first"), placeholder(k, (4,), name="second")
    return k.models.Model([b, a], k.layers.Dense(2)(k.layers.Concatenate()([a, b])))


@_topology("two_outputs")
def _two_outputs(k):
    x = placeholder(k, (6,))
    y = k.layers.Dense(5, activation="relu")(x)
    return k.models.Model(x, [k.layers.Dense(2, name="left")(y), k.layers.Dense(3, name="right")(y)])


@_topology("two_inputs_three_outputs", ("normal", "ids:9"))
def _many(k):
    a, b = placeholder(k, (6,)), placeholder(k, (5,), dtype="int32")
    e = k.layers.LSTM(4)(k.layers.Embedding(9, 3)(b))
    y = k.layers.concatenate([a, e])
    return k.models.Model([a, b], [k.layers.Dense(2)(y), k.layers.Dense(1, activation="sigmoid")(e), y])


@_topology("duplicated_output")
def _duplicated(k):
    x = placeholder(k, (6,))
    y = k.layers.Dense(3)(x)
    return k.models.Model(x, [y, y])


def _input_output(k, passed=lambda k, x: x):
    x = placeholder(k, (6,))
    return k.models.Model(x, [k.layers.Dense(3)(x), passed(k, x)])


# TensorFlow 1 refuses to feed and fetch one tensor, so that the reference has an identity between.
case(
    "topology/input_is_output_too",
    _T,
    ("normal",),
    reference=lambda k: _input_output(k, lambda k, x: k.layers.Activation("linear")(x)),
)(_input_output)


@_topology("intermediate_output")
def _intermediate(k):
    x = placeholder(k, (6,))
    a = k.layers.Dense(4, activation="tanh")(x)
    b = k.layers.Dense(3)(a)
    return k.models.Model(x, [a, b])


@_topology("one_in_lists")
def _in_lists(k):
    x = placeholder(k, (6,))
    return k.models.Model([x], [k.layers.Dense(3)(x)])


@_topology("named_model")
def _named(k):
    x = placeholder(k, (6,))
    return k.models.Model(inputs=x, outputs=k.layers.Dense(3)(x), name="my_model")


@_topology("residual")
def _residual(k):
    x = placeholder(k, (6, 6, 2))
    y = x
    for _ in range(2):
        z = k.layers.Conv2D(2, 3, padding="same", use_bias=False)(y)
        z = k.layers.Activation("relu")(k.layers.BatchNormalization()(z))
        y = k.layers.add([y, k.layers.Conv2D(2, 3, padding="same")(z)])
    return k.models.Model(x, k.layers.Dense(3, activation="softmax")(k.layers.GlobalAveragePooling2D()(y)))


@_topology("inception")
def _inception(k):
    x = placeholder(k, (6, 6, 2))
    towers = [k.layers.Conv2D(2, size, padding="same", activation="relu")(x) for size in (1, 3, 5)]
    towers.append(k.layers.MaxPooling2D(3, strides=1, padding="same")(x))
    return k.models.Model(x, k.layers.Flatten()(k.layers.concatenate(towers, axis=3)))


@_topology("unet")
def _unet(k):
    x = placeholder(k, (8, 8, 1))
    a = k.layers.Conv2D(2, 3, padding="same", activation="relu")(x)
    b = k.layers.Conv2D(3, 3, padding="same", activation="relu")(k.layers.MaxPooling2D()(a))
    c = k.layers.Conv2DTranspose(2, 2, strides=2, padding="same")(b)
    y = k.layers.concatenate([a, c])
    return k.models.Model(x, k.layers.Conv2D(1, 1, activation="sigmoid")(y))


@_topology("mobile_block")
def _mobile(k):
    x = placeholder(k, (8, 8, 3))
    y = k.layers.DepthwiseConv2D(3, padding="same", use_bias=False)(k.layers.ZeroPadding2D(1)(x))
    y = k.layers.ReLU(6.0)(k.layers.BatchNormalization()(y))
    y = k.layers.Conv2D(4, 1, use_bias=False)(y)
    return k.models.Model(x, k.layers.GlobalAveragePooling2D()(k.layers.BatchNormalization()(y)))


@_topology("siamese", ("normal", "normal"), ["shared"])
def _siamese(k):
    a, b = placeholder(k, (6,)), placeholder(k, (6,))
    shared = k.layers.Dense(4, activation="tanh")
    return k.models.Model([a, b], k.layers.Dot(1, normalize=True)([shared(a), shared(b)]))


@_topology("siamese_distance", ("normal", "normal"), ["shared"])
def _siamese_distance(k):
    a, b = placeholder(k, (6, 6, 1)), placeholder(k, (6, 6, 1))
    conv, dense = k.layers.Conv2D(2, 3, activation="relu"), k.layers.Dense(3)
    left, right = [dense(k.layers.Flatten()(conv(x))) for x in (a, b)]
    return k.models.Model([a, b], k.layers.Subtract()([left, right]))


@_topology("shared_three_times", tags=["shared"])
def _three_times(k):
    x = placeholder(k, (4,))
    shared = k.layers.Dense(4, activation="tanh")
    return k.models.Model(x, shared(shared(shared(x))))


@_topology("shared_three_inputs", ("normal", "normal", "normal"), ["shared"])
def _three_inputs(k):
    inputs = [placeholder(k, (4,)) for _ in range(3)]
    shared = k.layers.Dense(3)
    return k.models.Model(inputs, k.layers.Concatenate()([shared(x) for x in inputs]))


@_topology("shared_outputs_apart", ("normal", "normal"), ["shared"])
def _outputs_apart(k):
    inputs = [placeholder(k, (4,)) for _ in range(2)]
    shared = k.layers.Dense(3, name="twice")
    return k.models.Model(inputs, [shared(x) for x in inputs])


@_topology("shared_one_use_only", ("normal",), ["shared"])
def _one_use_only(k):
    """The first call of the layer is outside the model, so that its node indices do not start at 0."""
    elsewhere, x = placeholder(k, (4,)), placeholder(k, (4,))
    shared = k.layers.Dense(3)
    shared(elsewhere)
    return k.models.Model(x, k.layers.Dense(2)(shared(x)))


@_topology("shared_other_lengths", ("normal", "normal"), ["shared"])
def _other_lengths(k):
    a, b = placeholder(k, (5, 3)), placeholder(k, (8, 3))
    shared = k.layers.LSTM(4)
    return k.models.Model([a, b], k.layers.Add()([shared(a), shared(b)]))


@_topology("shared_conv_other_sizes", ("normal", "normal"), ["shared"])
def _other_sizes(k):
    a, b = placeholder(k, (6, 6, 2)), placeholder(k, (9, 7, 2))
    shared, pool = k.layers.Conv2D(3, 3), k.layers.GlobalMaxPooling2D()
    return k.models.Model([a, b], k.layers.Concatenate()([pool(shared(x)) for x in (a, b)]))


@_topology("shared_embedding", ("ids:9", "ids:9"), ["shared", "masked"])
def _shared_embedding(k):
    a, b = placeholder(k, (5,)), placeholder(k, (7,))
    table, encoder = k.layers.Embedding(9, 4, mask_zero=True), k.layers.LSTM(3)
    return k.models.Model([a, b], k.layers.Multiply()([encoder(table(x)) for x in (a, b)]))


@_topology("shared_batch_norm", tags=["shared"])
def _shared_batch_norm(k):
    x = placeholder(k, (4,))
    shared = k.layers.BatchNormalization()
    return k.models.Model(x, shared(k.layers.Dense(4)(shared(x))))


@_topology("shared_bidirectional", ("normal", "normal"), ["shared"])
def _shared_bidirectional(k):
    inputs = [placeholder(k, (5, 3)) for _ in range(2)]
    shared = k.layers.Bidirectional(k.layers.GRU(3))
    return k.models.Model(inputs, k.layers.Concatenate()([shared(x) for x in inputs]))


@_topology("shared_prelu", tags=["shared"])
def _shared_prelu(k):
    x = placeholder(k, (4,))
    shared = k.layers.PReLU()
    return k.models.Model(x, shared(k.layers.Dense(4)(shared(x))))


@_topology("call_keyword_training")
def _call_training(k):
    """Call arguments are part of the connections in the config."""
    x = placeholder(k, (6,))
    y = k.layers.BatchNormalization()(k.layers.Dropout(0.5)(x, training=False), training=False)
    return k.models.Model(x, k.layers.Dense(3)(y))


@_topology("call_batch_norm_in_training")
def _call_batch_norm(k):
    """Statistics of the batch itself, at inference too."""
    x = placeholder(k, (6,))
    return k.models.Model(x, k.layers.Dense(3)(k.layers.BatchNormalization()(x, training=True)))


@_topology("call_keyword_mask", ("normal", "flags"), ["masked"])
def _call_mask(k):
    x, mask = placeholder(k, (5, 3)), placeholder(k, (5,), dtype="bool")
    return k.models.Model([x, mask], k.layers.LSTM(4)(x, mask=mask))


@_topology("one_hot_characters", ("onehot:7",))
def _one_hot(k):
    x = placeholder(k, (None, 7))
    y = k.layers.Dropout(0.2)(k.layers.LSTM(5, return_sequences=True)(x))
    return k.models.Model(x, k.layers.Dense(7, activation="softmax")(k.layers.LSTM(5)(y)))


@_topology("same_tensor_twice")
def _same_tensor(k):
    x = placeholder(k, (4,))
    y = k.layers.Dense(4)(x)
    return k.models.Model(x, k.layers.Multiply()([y, y]))


@_topology("unused_branch")
def _unused(k):
    x = placeholder(k, (4,))
    k.layers.Dense(7, name="unused")(x)
    return k.models.Model(x, k.layers.Dense(3)(x))
