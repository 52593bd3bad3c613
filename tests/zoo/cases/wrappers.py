"""Bidirectional in every merge mode and TimeDistributed over many layers."""

from zoo.registry import add, layer, placeholder, single, variants

SHAPE = (6, 3)
for _class in ("LSTM", "GRU", "SimpleRNN"):
    _name = _class.lower()
    for _mode in ("concat", "sum", "mul", "ave", None):
        for _sequences in (False, True):
            single(
                "wrappers/bidirectional-{}-{}{}".format(_name, _mode, "-sequences" if _sequences else ""),
                "Bidirectional",
                SHAPE,
                {"layer": layer(_class, 4, return_sequences=_sequences), "merge_mode": _mode},
            )
    for _mode in ("concat", "sum", None):
        single(
            "wrappers/bidirectional-{}-{}-masked".format(_name, _mode),
            "Bidirectional",
            SHAPE,
            {"layer": layer(_class, 4, return_sequences=True), "merge_mode": _mode},
            mask=True,
        )
    single(
        "wrappers/bidirectional-{}-masked_last".format(_name),
        "Bidirectional",
        SHAPE,
        {"layer": layer(_class, 4)},
        mask=True,
    )
    single(
        "wrappers/bidirectional-{}-return_state".format(_name),
        "Bidirectional",
        SHAPE,
        {"layer": layer(_class, 4, return_state=True)},
    )
    single(
        "wrappers/bidirectional-{}-sequences_state".format(_name),
        "Bidirectional",
        SHAPE,
        {"layer": layer(_class, 4, return_state=True, return_sequences=True)},
    )
    single(
        "wrappers/bidirectional-{}-stateful".format(_name),
        "Bidirectional",
        SHAPE,
        {"layer": layer(_class, 4, stateful=True)},
        batch=3,
        tags=["stateful"],
    )
    single(
        "wrappers/bidirectional-{}-unroll".format(_name),
        "Bidirectional",
        SHAPE,
        {"layer": layer(_class, 4, unroll=True)},
    )
    single(
        "wrappers/bidirectional-{}-backwards".format(_name),
        "Bidirectional",
        SHAPE,
        {"layer": layer(_class, 4, go_backwards=True, return_sequences=True)},
    )
variants(
    "wrappers/bidirectional",
    "Bidirectional",
    SHAPE,
    {},
    {
        "sigmoid_gates": {"layer": layer("LSTM", 4, recurrent_activation="sigmoid")},
        "reset_after": {"layer": layer("GRU", 4, reset_after=True)},
        "named": {"layer": layer("LSTM", 4, name="inner"), "name": "outer"},
        "dropouts": {"layer": layer("LSTM", 4, dropout=0.2, recurrent_dropout=0.2)},
        "no_bias_relu": {"layer": layer("GRU", 4, use_bias=False, activation="relu")},
        "frozen": {"layer": layer("LSTM", 4), "trainable": False},
        "weights_none": {"layer": layer("LSTM", 4), "weights": None},
        "cell": {"layer": layer("RNN", layer("LSTMCell", 4))},
        "cell_sequences": {"layer": layer("RNN", layer("GRUCell", 4), return_sequences=True)},
        "stacked_cells": {"layer": layer("RNN", [layer("LSTMCell", 4), layer("LSTMCell", 3)])},
        "backward_layer": {"layer": layer("LSTM", 4), "backward_layer": layer("LSTM", 4, go_backwards=True)},
        "backward_layer_other": {
            "layer": layer("LSTM", 4, return_sequences=True),
            "backward_layer": layer("GRU", 3, go_backwards=True, return_sequences=True),
        },
    },
)
for _class in ("CuDNNLSTM", "CuDNNGRU"):
    single(
        "wrappers/bidirectional-" + _class.lower(), "Bidirectional", SHAPE, {"layer": layer(_class, 4)}, tags=["cudnn"]
    )
single(
    "wrappers/bidirectional-conv_lstm",
    "Bidirectional",
    (3, 5, 5, 2),
    {"layer": layer("ConvLSTM2D", 2, 3, padding="same", return_sequences=True)},
)
single(
    "wrappers/bidirectional-free_length", "Bidirectional", (None, 3), {"layer": layer("GRU", 4, return_sequences=True)}
)


def _stack(case_id, gate, masked):
    def build(k):
        x = placeholder(k, SHAPE)
        y = k.layers.Masking()(x) if masked else x
        for sequences in (True, False):
            y = k.layers.Bidirectional(k.layers.LSTM(4, recurrent_activation=gate, return_sequences=sequences))(y)
        return k.models.Model(x, k.layers.Dense(2)(y))

    add(case_id, build, ("masked",) if masked else (), ["masked" if masked else "normal"])


for _gate in ("sigmoid", "hard_sigmoid"):
    _stack("wrappers/bidirectional-stack-" + _gate, _gate, False)
    _stack("wrappers/bidirectional-stack-{}-masked".format(_gate), _gate, True)

_IMAGES = (3, 6, 5, 2)
for _name, _shape, _layer in (
    ("dense", SHAPE, layer("Dense", 4)),
    ("dense_relu", SHAPE, layer("Dense", 4, activation="relu")),
    ("dense_rank4", (3, 4, 5), layer("Dense", 4)),
    ("conv1d", (3, 8, 2), layer("Conv1D", 3, 3)),
    ("conv2d", _IMAGES, layer("Conv2D", 3, 3)),
    ("max_pool", _IMAGES, layer("MaxPooling2D")),
    ("global_pool", _IMAGES, layer("GlobalAveragePooling2D")),
    ("flatten", _IMAGES, layer("Flatten")),
    ("batch_norm", SHAPE, layer("BatchNormalization")),
    ("dropout", SHAPE, layer("Dropout", 0.3)),
    ("activation", SHAPE, layer("Activation", "relu")),
    ("reshape", (3, 6), layer("Reshape", (2, 3))),
    ("lstm", (3, 5, 2), layer("LSTM", 4)),
    ("gru_sequences", (3, 5, 2), layer("GRU", 4, return_sequences=True)),
    ("bidirectional", (3, 5, 2), layer("Bidirectional", layer("LSTM", 4))),
    ("nested", (3, 4, 5), layer("TimeDistributed", layer("Dense", 4))),
    ("separable", _IMAGES, layer("SeparableConv2D", 3, 3)),
    ("prelu", SHAPE, layer("PReLU")),
    ("zero_padding", _IMAGES, layer("ZeroPadding2D", 1)),
    ("repeat", SHAPE, layer("RepeatVector", 2)),
    ("transpose", _IMAGES, layer("Conv2DTranspose", 2, 3, strides=2)),
    ("frozen", SHAPE, layer("Dense", 4, trainable=False)),
    ("layer_norm", SHAPE, layer("LayerNormalization")),
):
    single("wrappers/time_distributed-" + _name, "TimeDistributed", _shape, {"layer": _layer})
single("wrappers/time_distributed-free_length", "TimeDistributed", (None, 3), {"layer": layer("Dense", 4)})
single(
    "wrappers/time_distributed-embedding",
    "TimeDistributed",
    (4, 5),
    {"layer": layer("Embedding", 9, 3)},
    domain="ids:9",
)
single("wrappers/time_distributed-batch_shape", "TimeDistributed", SHAPE, {"layer": layer("Dense", 4)}, batch=3)
single("wrappers/time_distributed-masked", "TimeDistributed", SHAPE, {"layer": layer("Dense", 4)}, mask=True)


def _time_distributed_model(k, inner, shape):
    x = placeholder(k, shape)
    return k.models.Model(x, k.layers.TimeDistributed(inner)(x))


def _sequential_inside(k):
    inner = k.models.Sequential([k.layers.Dense(4, activation="relu", input_shape=(3,)), k.layers.Dense(2)])
    return _time_distributed_model(k, inner, SHAPE)


def _functional_inside(k):
    x = placeholder(k, (6, 5, 2))
    y = k.layers.Flatten()(k.layers.Conv2D(2, 3, activation="relu")(x))
    return _time_distributed_model(k, k.models.Model(x, y), _IMAGES)


def _words_and_characters(k, masked):
    x = placeholder(k, (4, 5))
    y = k.layers.TimeDistributed(k.layers.Embedding(9, 3, mask_zero=masked))(x)
    y = k.layers.TimeDistributed(k.layers.LSTM(4))(y)
    return k.models.Model(x, k.layers.LSTM(3)(y))


add("wrappers/time_distributed-sequential", _sequential_inside, ("nested",))
add("wrappers/time_distributed-functional", _functional_inside, ("nested",))
add("wrappers/time_distributed-embedding_lstm", lambda k: _words_and_characters(k, False), (), ["ids:9"])
add("wrappers/time_distributed-embedding_lstm-masked", lambda k: _words_and_characters(k, True), ("masked",), ["ids:9"])
