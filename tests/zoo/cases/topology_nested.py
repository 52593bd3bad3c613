"""Nested functional models, shared ones, with several inputs and outputs, and layer names that are legal but odd."""

from zoo.registry import case, placeholder


def _nested(name, domains=("normal",), tags=()):
    return case("nested/" + name, ("topology", "nested") + tuple(tags), domains)


def _encoder(k, name=None):
    x = placeholder(k, (6,))
    y = k.layers.Dense(3, name="code")(k.layers.Dense(5, activation="relu")(x))
    return k.models.Model(x, y, name=name) if name else k.models.Model(x, y)


@_nested("encoder_head")
def _encoder_head(k):
    x = placeholder(k, (6,))
    return k.models.Model(x, k.layers.Dense(2)(_encoder(k)(x)))


@_nested("named")
def _named(k):
    x = placeholder(k, (6,))
    return k.models.Model(x, k.layers.Dense(2)(_encoder(k, "encoder")(x)))


@_nested("autoencoder")
def _autoencoder(k):
    x, z = placeholder(k, (6,)), placeholder(k, (3,))
    decoder = k.models.Model(z, k.layers.Dense(6, activation="sigmoid")(z), name="decoder")
    return k.models.Model(x, decoder(_encoder(k, "encoder")(x)))


@_nested("shared", ("normal", "normal"), ["shared"])
def _shared(k):
    a, b = placeholder(k, (6,)), placeholder(k, (6,))
    encoder = _encoder(k)
    return k.models.Model([a, b], k.layers.Subtract()([encoder(a), encoder(b)]))


@_nested("shared_three_times", ("normal",) * 3, ["shared"])
def _triplet(k):
    inputs = [placeholder(k, (6,)) for _ in range(3)]
    encoder = _encoder(k, "embedding_network")
    return k.models.Model(inputs, k.layers.Concatenate()([encoder(x) for x in inputs]))


@_nested("shared_outputs_apart", ("normal", "normal"), ["shared"])
def _outputs_apart(k):
    inputs = [placeholder(k, (6,)) for _ in range(2)]
    encoder = _encoder(k)
    return k.models.Model(inputs, [encoder(x) for x in inputs])


@_nested("several_inputs", ("normal", "normal"))
def _several_inputs(k):
    a, b = placeholder(k, (6,)), placeholder(k, (4,))
    inner = k.models.Model([a, b], k.layers.Dense(3)(k.layers.Concatenate()([a, b])))
    x, y = placeholder(k, (6,)), placeholder(k, (4,))
    return k.models.Model([x, y], k.layers.Dense(2)(inner([x, y])))


@_nested("several_outputs")
def _several_outputs(k):
    a = placeholder(k, (6,))
    inner = k.models.Model(a, [k.layers.Dense(3)(a), k.layers.Dense(3, activation="relu")(a)])
    x = placeholder(k, (6,))
    left, right = inner(x)
    return k.models.Model(x, [k.layers.Add()([left, right]), right])


@_nested("several_both_shared", ("normal",) * 4, ["shared"])
def _several_both(k):
    a, b = placeholder(k, (4,)), placeholder(k, (4,))
    shared = k.layers.Dense(3)
    inner = k.models.Model([a, b], [shared(a), shared(b)])
    inputs = [placeholder(k, (4,)) for _ in range(4)]
    return k.models.Model(inputs, list(inner(inputs[:2])) + list(inner(inputs[2:])))


@_nested("only_second_output")
def _only_second(k):
    a = placeholder(k, (6,))
    inner = k.models.Model(a, [k.layers.Dense(3)(a), k.layers.Dense(2)(a)])
    x = placeholder(k, (6,))
    return k.models.Model(x, k.layers.Activation("tanh")(inner(x)[1]))


@_nested("three_levels")
def _three_levels(k):
    x, y = placeholder(k, (6,)), placeholder(k, (6,))
    middle = k.models.Model(x, k.layers.Dense(4, activation="tanh")(_encoder(k)(x)))
    return k.models.Model(y, k.layers.Dense(2)(middle(y)))


@_nested("sequential_shared", ("normal", "normal"), ["shared"])
def _sequential_shared(k):
    body = k.models.Sequential(
        [k.layers.Conv2D(2, 3, activation="relu", input_shape=(6, 6, 1)), k.layers.Flatten(), k.layers.Dense(3)]
    )
    a, b = placeholder(k, (6, 6, 1)), placeholder(k, (6, 6, 1))
    return k.models.Model([a, b], k.layers.Dot(1, normalize=True)([body(a), body(b)]))


@_nested("called_on_itself", tags=["shared"])
def _on_itself(k):
    x = placeholder(k, (4,))
    inner = k.models.Model(x, k.layers.Dense(4, activation="tanh")(x))
    y = placeholder(k, (4,))
    return k.models.Model(y, inner(inner(y)))


@_nested("shared_layer_across_border", tags=["shared"])
def _across(k):
    """A layer used inside the nested model and outside of it too."""
    shared = k.layers.Dense(4, activation="tanh")
    x = placeholder(k, (4,))
    inner = k.models.Model(x, k.layers.Dense(4)(shared(x)))
    y = placeholder(k, (4,))
    return k.models.Model(y, shared(inner(y)))


@_nested("gan")
def _gan(k):
    z, image = placeholder(k, (3,)), placeholder(k, (6,))
    generator = k.models.Model(z, k.layers.Dense(6, activation="tanh")(z), name="generator")
    judge = k.models.Model(
        image,
        k.layers.Dense(1, activation="sigmoid")(k.layers.LeakyReLU(0.2)(k.layers.Dense(4)(image))),
        name="discriminator",
    )
    judge.trainable = False
    noise = placeholder(k, (3,))
    return k.models.Model(noise, judge(generator(noise)))


@_nested("frozen_base_batch_norm")
def _frozen_base(k):
    x = placeholder(k, (6, 6, 2))
    y = k.layers.BatchNormalization()(k.layers.Conv2D(3, 3)(x))
    base = k.models.Model(x, k.layers.Activation("relu")(y))
    base.trainable = False
    image = placeholder(k, (6, 6, 2))
    return k.models.Model(image, k.layers.Dense(2)(k.layers.GlobalAveragePooling2D()(base(image))))


@_nested("input_passed_through", ("normal", "normal"))
def _passed(k):
    a, b = placeholder(k, (4,)), placeholder(k, (4,))
    inner = k.models.Model([a, b], [k.layers.Dense(3)(a), b])
    x, y = placeholder(k, (4,)), placeholder(k, (4,))
    found = inner([x, y])
    return k.models.Model([x, y], k.layers.Concatenate()(list(found)))


@_nested("lstm_inside", ("ids:11",), ["masked"])
def _lstm_inside(k):
    x = placeholder(k, (6,))
    inner = k.models.Model(x, k.layers.Bidirectional(k.layers.LSTM(3))(k.layers.Embedding(11, 4, mask_zero=True)(x)))
    y = placeholder(k, (6,))
    return k.models.Model(y, k.layers.Dense(2)(inner(y)))


def _duplicate_names(k):
    """Two nested models whose layers have equal names, as copies of one architecture have."""
    x, found = placeholder(k, (6,)), []
    for name in ("left", "right"):
        y = placeholder(k, (6,), name=name + "_input")
        inner = k.models.Model(y, k.layers.Dense(3, name="same")(k.layers.Dense(4, name="hidden")(y)), name=name)
        found.append(inner(x))
    return k.models.Model(x, k.layers.Add()(found))


_nested("duplicate_names", tags=["odd_names"])(_duplicate_names)


@_nested("duplicate_name_inside_and_outside", tags=["odd_names"])
def _inside_outside(k):
    x = placeholder(k, (6,))
    inner = k.models.Model(x, k.layers.Dense(4, name="dense")(x), name="inner")
    y = placeholder(k, (6,))
    return k.models.Model(y, k.layers.Dense(2, name="dense")(inner(y)))


for _name, _layer_name in (
    ("slash", "block1/conv/dense"),
    ("dots", "block.1.dense"),
    ("dash", "block-1"),
    ("space", "my dense layer"),
    ("unicode", "d\u00e9nse_\u00fc"),
    ("colon", "dense:0"),
    ("digit_first", "1st_dense"),
    ("underscore_first", "_dense"),
    ("upper", "DENSE"),
    ("keyword", "lambda"),
    ("npz_member", "file"),
    ("kernel", "kernel"),
    ("nested_slash", "a/b/c/a"),
    ("parent", ".."),
    ("empty_like", " "),
):

    @case("names/" + _name, ("odd_names",))
    def _odd(k, wanted=_layer_name):
        x = placeholder(k, (6,))
        y = k.layers.Dense(4, activation="relu", name=wanted)(x)
        return k.models.Model(x, k.layers.BatchNormalization()(k.layers.Dense(3)(y)))

    @case("names/recurrent_" + _name, ("odd_names",))
    def _odd_recurrent(k, wanted=_layer_name):
        x = placeholder(k, (5, 3))
        return k.models.Model(x, k.layers.Bidirectional(k.layers.LSTM(3), name=wanted)(x))


@case("names/prefix_of_another", ("odd_names",))
def _prefix(k):
    x = placeholder(k, (6,))
    return k.models.Model(x, k.layers.Dense(4, name="dense/dense_1")(k.layers.Dense(4, name="dense")(x)))


@case("names/input_slash", ("odd_names",))
def _input_slash(k):
    x = placeholder(k, (6,), name="in/put")
    return k.models.Model(x, k.layers.Dense(4)(x))


@case("names/model_space", ("odd_names",))
def _model_space(k):
    x = placeholder(k, (6,))
    return k.models.Model(x, k.layers.Dense(4)(x), name="my model")
