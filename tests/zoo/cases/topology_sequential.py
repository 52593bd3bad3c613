"""Sequential models: with and without InputLayer, nested in each other and in functional models."""

from zoo.registry import add, placeholder

_TAGS = ("topology", "sequential")


def _sequential(case_id, layers, domains=("normal",), tags=()):
    """A Sequential of the layers that ``layers(k.layers)`` lists."""
    add("sequential/" + case_id, lambda k: k.models.Sequential(layers(k.layers)), _TAGS + tuple(tags), domains)


_sequential(
    "mlp", lambda L: [L.Dense(8, activation="relu", input_shape=(6,)), L.Dense(4), L.Dense(3, activation="softmax")]
)
_sequential("input_dim", lambda L: [L.Dense(8, input_dim=6), L.Dense(3)])
_sequential("batch_input_shape", lambda L: [L.Dense(8, batch_input_shape=(3, 6)), L.Dense(3)])
_sequential("batch_size", lambda L: [L.Dense(8, input_shape=(6,), batch_size=3), L.Dense(3)])
_sequential("input_layer", lambda L: [L.InputLayer((6,)), L.Dense(3)])
_sequential("input_layer_named", lambda L: [L.InputLayer(input_shape=(6,), name="features"), L.Dense(3)])
_sequential("input_layer_batch", lambda L: [L.InputLayer(batch_input_shape=(3, 6)), L.Dense(3)])
_sequential("input_layer_float64", lambda L: [L.InputLayer(input_shape=(6,), dtype="float64"), L.Dense(3)])
_sequential("input_tensor", lambda L: [L.Input(shape=(6,)), L.Dense(3)])
_sequential("one_layer", lambda L: [L.Dense(3, input_shape=(6,))])
_sequential(
    "cnn",
    lambda L: [
        L.Conv2D(4, 3, activation="relu", input_shape=(8, 8, 3)),
        L.MaxPooling2D(),
        L.Dropout(0.25),
        L.Flatten(),
        L.Dense(5, activation="relu"),
        L.Dropout(0.5),
        L.Dense(3, activation="softmax"),
    ],
)
_sequential(
    "cnn_batch_norm",
    lambda L: [
        L.Conv2D(4, 3, use_bias=False, input_shape=(8, 8, 3)),
        L.BatchNormalization(),
        L.Activation("relu"),
        L.GlobalAveragePooling2D(),
        L.Dense(3),
    ],
)
_sequential(
    "cnn1d",
    lambda L: [
        L.Conv1D(4, 3, activation="relu", input_shape=(12, 3)),
        L.MaxPooling1D(),
        L.Conv1D(4, 3),
        L.Flatten(),
        L.Dense(2),
    ],
)
_sequential("embedding_first", lambda L: [L.Embedding(11, 4), L.LSTM(3), L.Dense(2)], ("ids:11",))
_sequential(
    "embedding_length",
    lambda L: [L.Embedding(11, 4, input_length=6), L.Flatten(), L.Dense(2, activation="sigmoid")],
    ("ids:11",),
)
_sequential(
    "embedding_mask",
    lambda L: [L.Embedding(11, 4, mask_zero=True, input_length=6), L.LSTM(3), L.Dense(2)],
    ("ids:11",),
    ["masked"],
)
_sequential("masking_first", lambda L: [L.Masking(input_shape=(6, 3)), L.LSTM(4), L.Dense(2)], ("masked",), ["masked"])
_sequential("lstm_first", lambda L: [L.LSTM(4, input_shape=(6, 3), return_sequences=True), L.LSTM(3), L.Dense(2)])
_sequential(
    "lstm_stateful", lambda L: [L.LSTM(4, batch_input_shape=(3, 6, 3), stateful=True), L.Dense(2)], tags=["stateful"]
)
_sequential("bidirectional_first", lambda L: [L.Bidirectional(L.LSTM(4), input_shape=(6, 3)), L.Dense(2)])
_sequential(
    "bidirectional_inner_shape",
    lambda L: [
        L.Bidirectional(L.GRU(4, return_sequences=True), merge_mode="sum", input_shape=(6, 3)),
        L.TimeDistributed(L.Dense(2)),
    ],
)
_sequential(
    "time_distributed_first",
    lambda L: [L.TimeDistributed(L.Conv2D(2, 3), input_shape=(3, 6, 6, 1)), L.TimeDistributed(L.Flatten()), L.GRU(3)],
)
_sequential(
    "conv_lstm",
    lambda L: [
        L.ConvLSTM2D(2, 3, input_shape=(3, 6, 6, 1), return_sequences=True),
        L.BatchNormalization(),
        L.ConvLSTM2D(2, 3),
        L.Flatten(),
        L.Dense(2),
    ],
)
_sequential(
    "autoencoder",
    lambda L: [
        L.Conv2D(4, 3, padding="same", activation="relu", input_shape=(8, 8, 1)),
        L.MaxPooling2D(),
        L.UpSampling2D(),
        L.Conv2DTranspose(1, 3, padding="same", activation="sigmoid"),
    ],
)
_sequential(
    "seq2seq",
    lambda L: [
        L.LSTM(4, input_shape=(5, 3)),
        L.RepeatVector(4),
        L.LSTM(4, return_sequences=True),
        L.TimeDistributed(L.Dense(2, activation="softmax")),
    ],
)
_sequential("flatten_first", lambda L: [L.Flatten(input_shape=(4, 3)), L.Dense(2)])
_sequential("reshape_first", lambda L: [L.Reshape((3, 2), input_shape=(6,)), L.Flatten(), L.Dense(2)])
_sequential("activation_first", lambda L: [L.Activation("tanh", input_shape=(6,)), L.Dense(2)])
_sequential("batch_norm_first", lambda L: [L.BatchNormalization(input_shape=(6,)), L.Dense(2)])
_sequential("dropout_first", lambda L: [L.Dropout(0.2, input_shape=(6,)), L.Dense(2)])
_sequential("free_length", lambda L: [L.LSTM(4, input_shape=(None, 3)), L.Dense(2)])
_sequential("frozen_layer", lambda L: [L.Dense(4, input_shape=(6,), trainable=False), L.Dense(2)])
_sequential(
    "frozen_batch_norm", lambda L: [L.Dense(4, input_shape=(6,)), L.BatchNormalization(trainable=False), L.Dense(2)]
)
_sequential(
    "deep",
    lambda L: [L.Dense(6, activation="tanh", input_shape=(6,))] + [L.Dense(6, activation="tanh") for _ in range(12)],
)


def _mlp(k, width, shape=(6,), **named):
    return k.models.Sequential(
        [k.layers.Dense(width, activation="relu", input_shape=shape), k.layers.Dense(4)], **named
    )


def _nested(case_id, make, domains=("normal",), tags=()):
    add("sequential/" + case_id, make, _TAGS + ("nested",) + tuple(tags), domains)


_nested("nested", lambda k: k.models.Sequential([_mlp(k, 5), k.layers.Dense(3)]))
_nested("nested_named", lambda k: k.models.Sequential([_mlp(k, 5, name="body"), k.layers.Dense(3)], name="whole"))
_nested(
    "nested_twice",
    lambda k: k.models.Sequential([k.models.Sequential([_mlp(k, 5), k.layers.Dense(6)]), k.layers.Dense(3)]),
)
_nested(
    "nested_second", lambda k: k.models.Sequential([k.layers.Dense(6, input_shape=(4,)), _mlp(k, 5), k.layers.Dense(3)])
)
_nested("nested_two", lambda k: k.models.Sequential([_mlp(k, 5), _mlp(k, 3, (4,))]))


def _functional_inside(k):
    x = placeholder(k, (6,))
    inner = k.models.Model(x, k.layers.Add()([k.layers.Dense(6)(x), x]))
    return k.models.Sequential([inner, k.layers.Dense(3)])


def _inside_functional(k):
    x = placeholder(k, (6,))
    return k.models.Model(x, k.layers.Dense(2)(_mlp(k, 5)(x)))


def _cut(k):
    """A pretrained body cut before its head, as in transfer learning."""
    body = _mlp(k, 5)
    return k.models.Model(body.inputs, k.layers.Dense(2, name="head")(body.layers[0].output))


def _added(k):
    model = k.models.Sequential()
    for width in (5, 4, 3):
        model.add(k.layers.Dense(width, input_shape=(6,)))
    model.pop()
    model.add(k.layers.Dense(2))
    return model


def _frozen_body(k):
    body = _mlp(k, 5)
    body.trainable = False
    return k.models.Sequential([body, k.layers.Dense(3)])


_nested("functional_inside", _functional_inside)
_nested("inside_functional", _inside_functional)
_nested("frozen_body", _frozen_body)
add("sequential/cut_into_functional", _cut, _TAGS)
add("sequential/added_and_popped", _added, _TAGS)
