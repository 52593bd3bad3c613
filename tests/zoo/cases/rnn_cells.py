"""The RNN wrapper over cells, stacks of cells, initial states, and ConvLSTM2D."""

from zoo.registry import add, deferred, layer, placeholder, single, variants

SHAPE = (6, 3)
ALL_ARGUMENTS = {
    "activation": "softsign",
    "use_bias": True,
    "kernel_initializer": "he_normal",
    "recurrent_initializer": "glorot_uniform",
    "bias_initializer": "ones",
    "kernel_regularizer": "l2",
    "recurrent_regularizer": "l2",
    "bias_regularizer": "l2",
    "kernel_constraint": "max_norm",
    "recurrent_constraint": "max_norm",
    "bias_constraint": "non_neg",
    "dropout": 0.1,
    "recurrent_dropout": 0.2,
}
CELLS = {
    "simple": layer("SimpleRNNCell", 4),
    "lstm": layer("LSTMCell", 4),
    "gru": layer("GRUCell", 4),
    "lstm_relu_sigmoid": layer("LSTMCell", 4, activation="relu", recurrent_activation="sigmoid"),
    "lstm_implementation2": layer("LSTMCell", 4, implementation=2),
    "lstm_dropouts": layer("LSTMCell", 4, dropout=0.2, recurrent_dropout=0.2),
    "lstm_unit_forget_false": layer("LSTMCell", 4, unit_forget_bias=False, use_bias=True),
    "lstm_no_bias": layer("LSTMCell", 4, use_bias=False),
    "gru_reset_after": layer("GRUCell", 4, reset_after=True),
    "gru_implementation2": layer("GRUCell", 4, implementation=2),
    "gru_sigmoid": layer("GRUCell", 4, recurrent_activation="sigmoid"),
    "simple_relu": layer("SimpleRNNCell", 4, activation="relu", use_bias=False),
    "simple_named": layer("SimpleRNNCell", 4, name="my_cell"),
    "lstm_all_arguments": layer("LSTMCell", 4, unit_forget_bias=False, **ALL_ARGUMENTS),
    "gru_all_arguments": layer("GRUCell", 4, recurrent_activation="sigmoid", **ALL_ARGUMENTS),
    "simple_all_arguments": layer("SimpleRNNCell", 4, **ALL_ARGUMENTS),
    "lstm_regularized": layer(
        "LSTMCell",
        4,
        kernel_regularizer=deferred(lambda k: k.regularizers.l2(0.1)),
        recurrent_constraint="max_norm",
        bias_initializer="ones",
    ),
}
for _name, _cell in CELLS.items():
    single("rnn_cells/rnn-" + _name, "RNN", SHAPE, {"cell": _cell})
    single(
        "rnn_cells/rnn-{}-masked_sequences".format(_name),
        "RNN",
        SHAPE,
        {"cell": _cell, "return_sequences": True},
        mask=True,
    )
for _name in ("simple", "lstm", "gru"):
    variants(
        "rnn_cells/rnn-" + _name,
        "RNN",
        SHAPE,
        {"cell": CELLS[_name]},
        {
            "sequences_state": {"return_sequences": True, "return_state": True},
            "backwards": {"go_backwards": True},
            "unroll": {"unroll": True},
            "time_major": {"time_major": True, "return_sequences": True},
        },
    )
    single("rnn_cells/rnn-{}-stateful".format(_name), "RNN", SHAPE, {"cell": CELLS[_name], "stateful": True}, batch=3)

STACKS = {
    "lstm_lstm": [CELLS["lstm"], layer("LSTMCell", 3)],
    "gru_gru": [CELLS["gru"], layer("GRUCell", 3)],
    "lstm_gru_simple": [CELLS["lstm"], layer("GRUCell", 3), layer("SimpleRNNCell", 2)],
    "one": [CELLS["lstm"]],
    "lstm_lstm_same": [CELLS["lstm"], CELLS["lstm_unit_forget_false"]],
    "gru_gru_same": [CELLS["gru"], CELLS["gru_sigmoid"]],
    "simple_three": [layer("SimpleRNNCell", 4), layer("SimpleRNNCell", 3), layer("SimpleRNNCell", 2)],
}
for _name, _cells in STACKS.items():
    # A list of cells becomes a StackedRNNCells silently.
    single("rnn_cells/list-" + _name, "RNN", SHAPE, {"cell": _cells})
    variants(
        "rnn_cells/stacked-" + _name,
        "RNN",
        SHAPE,
        {"cell": layer("StackedRNNCells", _cells)},
        {
            "plain": {},
            "sequences": {"return_sequences": True},
            "states": {"return_state": True},
            "sequences_states": {"return_sequences": True, "return_state": True},
            "unroll": {"unroll": True},
        },
    )
    single(
        "rnn_cells/stacked-{}-masked".format(_name),
        "RNN",
        SHAPE,
        {"cell": layer("StackedRNNCells", _cells), "return_sequences": True},
        mask=True,
    )
single(
    "rnn_cells/stacked-reverse_state_order",
    "RNN",
    SHAPE,
    {"cell": layer("StackedRNNCells", STACKS["lstm_lstm"], reverse_state_order=True), "return_state": True},
)
single(
    "rnn_cells/stacked-reverse_state_order_same_units",
    "RNN",
    SHAPE,
    {
        "cell": layer("StackedRNNCells", [CELLS["lstm"], CELLS["lstm_relu_sigmoid"]], reverse_state_order=True),
        "return_state": True,
    },
)
single(
    "rnn_cells/stacked-stateful",
    "RNN",
    SHAPE,
    {"cell": layer("StackedRNNCells", STACKS["lstm_lstm"]), "stateful": True},
    batch=3,
)


def _initial_state(case_id, make, states, **kwargs):
    """Initial states come in as further model inputs."""

    def build(k):
        x = placeholder(k, SHAPE)
        given = [placeholder(k, (4,)) for _ in range(states)]
        y = k.layers.Masking()(x) if kwargs.get("mask") else x
        y = make(k)(y, initial_state=given if kwargs.get("as_list", True) else given[0])
        return k.models.Model([x] + given, y)

    add(case_id, build, ("initial_state",), ["masked" if kwargs.get("mask") else "normal"] + ["normal"] * states)


for _class, _count in (("LSTM", 2), ("GRU", 1), ("SimpleRNN", 1)):
    _name = "rnn_cells/initial_state-" + _class.lower()
    _initial_state(_name, lambda k, c=_class: getattr(k.layers, c)(4), _count)
    _initial_state(
        _name + "-masked", lambda k, c=_class: getattr(k.layers, c)(4, return_sequences=True), _count, mask=True
    )
    _initial_state(_name + "-return_state", lambda k, c=_class: getattr(k.layers, c)(4, return_state=True), _count)
_initial_state("rnn_cells/initial_state-gru-not_in_list", lambda k: k.layers.GRU(4), 1, as_list=False)
_initial_state("rnn_cells/initial_state-cell", lambda k: k.layers.RNN(k.layers.LSTMCell(4)), 2)
_initial_state("rnn_cells/initial_state-stacked", lambda k: k.layers.RNN([k.layers.GRUCell(4), k.layers.GRUCell(4)]), 2)
_initial_state("rnn_cells/initial_state-bidirectional", lambda k: k.layers.Bidirectional(k.layers.LSTM(4)), 4)
_initial_state("rnn_cells/initial_state-bidirectional_gru", lambda k: k.layers.Bidirectional(k.layers.GRU(4)), 2)

FRAMES = (3, 6, 5, 2)
_BASE = {"filters": 2, "kernel_size": 3}
variants(
    "conv_lstm/conv_lstm2d",
    "ConvLSTM2D",
    FRAMES,
    _BASE,
    {
        "plain": {},
        "same": {"padding": "same"},
        "sequences": {"return_sequences": True},
        "strides": {"strides": 2},
        "dilation": {"dilation_rate": 2},
        "no_bias": {"use_bias": False},
        "backwards": {"go_backwards": True},
        "sigmoid": {"recurrent_activation": "sigmoid"},
        "relu": {"activation": "relu"},
        "return_state": {"return_state": True},
        "unit_forget_false": {"unit_forget_bias": False},
        "dropouts": {"dropout": 0.2, "recurrent_dropout": 0.2},
        "kernel_uneven": {"kernel_size": (2, 3)},
        "frozen": {"trainable": False},
        "all_arguments": {
            "activation": "softsign",
            "recurrent_activation": "hard_sigmoid",
            "kernel_initializer": "he_normal",
            "recurrent_initializer": "glorot_uniform",
            "bias_initializer": "ones",
            "kernel_regularizer": "l2",
            "recurrent_regularizer": "l2",
            "bias_regularizer": "l2",
            "activity_regularizer": "l2",
            "kernel_constraint": "max_norm",
            "recurrent_constraint": "max_norm",
            "bias_constraint": "non_neg",
        },
    },
)
single("conv_lstm/conv_lstm2d-channels_first", "ConvLSTM2D", (3, 2, 6, 5), dict(_BASE, data_format="channels_first"))
single("conv_lstm/conv_lstm2d-stateful", "ConvLSTM2D", FRAMES, dict(_BASE, stateful=True), batch=3)
single("conv_lstm/conv_lstm2d-free_length", "ConvLSTM2D", (None, 6, 5, 2), _BASE)
single("conv_lstm/conv_lstm1d", "ConvLSTM1D", (3, 6, 2), _BASE)
single("conv_lstm/conv_lstm3d", "ConvLSTM3D", (3, 4, 4, 4, 2), {"filters": 2, "kernel_size": 2})


def _stacked_frames(k):
    x = placeholder(k, FRAMES)
    y = k.layers.ConvLSTM2D(2, 3, padding="same", return_sequences=True)(x)
    y = k.layers.BatchNormalization()(y)
    y = k.layers.ConvLSTM2D(2, 3, padding="same", return_sequences=True)(y)
    return k.models.Model(x, k.layers.Conv3D(1, 3, padding="same", activation="sigmoid")(y))


add("conv_lstm/stack-conv3d", _stacked_frames)
