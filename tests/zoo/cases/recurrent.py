"""LSTM, GRU and SimpleRNN: every argument, with and without masks."""

from zoo.registry import deferred, single, variants

L2 = deferred(lambda k: k.regularizers.l2(0.01))
SHAPE = (6, 3)
ACTIVATIONS = ("tanh", "relu", "linear", "softsign", "elu", "hard_sigmoid")
GATES = ("hard_sigmoid", "sigmoid", "tanh", "relu")

COMMON = {
    "plain": {},
    "sequences": {"return_sequences": True},
    "backwards": {"go_backwards": True},
    "backwards_sequences": {"go_backwards": True, "return_sequences": True},
    "return_state": {"return_state": True},
    "sequences_state": {"return_sequences": True, "return_state": True},
    "unroll": {"unroll": True},
    "unroll_sequences": {"unroll": True, "return_sequences": True},
    "no_bias": {"use_bias": False},
    "dropout": {"dropout": 0.2},
    "recurrent_dropout": {"recurrent_dropout": 0.3},
    "both_dropouts": {"dropout": 0.2, "recurrent_dropout": 0.3},
    "frozen": {"trainable": False},
    "all_arguments": {
        "activation": "softsign",
        "kernel_initializer": "he_normal",
        "recurrent_initializer": "glorot_uniform",
        "bias_initializer": "ones",
        "kernel_regularizer": L2,
        "recurrent_regularizer": L2,
        "bias_regularizer": L2,
        "activity_regularizer": L2,
        "kernel_constraint": "max_norm",
        "recurrent_constraint": "max_norm",
        "bias_constraint": "non_neg",
        "dropout": 0.1,
        "recurrent_dropout": 0.1,
        "return_sequences": True,
    },
}
IMPLEMENTATIONS = {
    "implementation0": {"implementation": 0},
    "implementation1": {"implementation": 1},
    "implementation2": {"implementation": 2},
    "implementation1_no_bias": {"implementation": 1, "use_bias": False},
    "implementation1_dropout": {"implementation": 1, "dropout": 0.2, "recurrent_dropout": 0.2},
    "implementation2_dropout": {"implementation": 2, "dropout": 0.2, "recurrent_dropout": 0.2},
    "implementation2_unroll": {"implementation": 2, "unroll": True},
}
MASKED = {
    "plain": {},
    "sequences": {"return_sequences": True},
    "backwards_sequences": {"go_backwards": True, "return_sequences": True},
    "sequences_state": {"return_sequences": True, "return_state": True},
    "unroll": {"unroll": True},
    "unroll_sequences": {"unroll": True, "return_sequences": True},
}

for _class, _name in (("LSTM", "lstm"), ("GRU", "gru"), ("SimpleRNN", "simple_rnn")):
    _prefix = "recurrent/" + _name
    variants(_prefix, _class, SHAPE, {"units": 4}, COMMON)
    variants(_prefix + "-masked", _class, SHAPE, {"units": 4}, MASKED, mask=True)
    single(_prefix + "-masked-gaps", _class, SHAPE, {"units": 4, "return_sequences": True}, mask=True, domain="gaps")
    single(_prefix + "-free_length", _class, (None, 3), {"units": 4})
    for _activation in ACTIVATIONS:
        single("{}-activation-{}".format(_prefix, _activation), _class, SHAPE, {"units": 4, "activation": _activation})
    variants(
        _prefix + "-stateful",
        _class,
        SHAPE,
        {"units": 4, "stateful": True},
        {
            "plain": {},
            "sequences": {"return_sequences": True},
            "unroll": {"unroll": True},
            "return_state": {"return_state": True},
        },
        batch=3,
    )
    single(_prefix + "-stateful-masked", _class, SHAPE, {"units": 4, "stateful": True}, batch=3, mask=True)
    single(_prefix + "-time_major", _class, SHAPE, {"units": 4, "time_major": True, "return_sequences": True})
    single(_prefix + "-one_step", _class, (1, 3), {"units": 4})
    single(
        _prefix + "-zero_output_for_mask",
        _class,
        SHAPE,
        {"units": 4, "zero_output_for_mask": True, "return_sequences": True},
        mask=True,
    )
    single(_prefix + "-input_dim_length", _class, SHAPE, {"units": 4, "input_dim": 3, "input_length": 6})

for _class, _name in (("LSTM", "lstm"), ("GRU", "gru")):
    _prefix = "recurrent/" + _name
    variants(_prefix, _class, SHAPE, {"units": 4}, IMPLEMENTATIONS)
    for _gate in GATES:
        single("{}-gate-{}".format(_prefix, _gate), _class, SHAPE, {"units": 4, "recurrent_activation": _gate})
        single(
            "{}-gate-{}-masked".format(_prefix, _gate),
            _class,
            SHAPE,
            {"units": 4, "recurrent_activation": _gate, "return_sequences": True},
            mask=True,
        )
    single(_prefix + "-hard_sigmoid-long", _class, (25, 3), {"units": 5, "recurrent_activation": "hard_sigmoid"})
variants(
    "recurrent/lstm",
    "LSTM",
    SHAPE,
    {"units": 4},
    {
        "unit_forget_false": {"unit_forget_bias": False},
        "unit_forget_true_bias_zeros": {"unit_forget_bias": True, "bias_initializer": "zeros"},
    },
)
variants(
    "recurrent/gru-reset_after",
    "GRU",
    SHAPE,
    {"units": 4, "reset_after": True},
    {
        "plain": {},
        "sequences": {"return_sequences": True},
        "no_bias": {"use_bias": False},
        "sigmoid": {"recurrent_activation": "sigmoid"},
        "implementation1": {"implementation": 1},
        "implementation2": {"implementation": 2},
        "unroll": {"unroll": True},
        "implementation1_no_bias": {"implementation": 1, "use_bias": False},
        "dropout": {"dropout": 0.2, "recurrent_dropout": 0.2},
    },
)
single("recurrent/gru-reset_after-masked", "GRU", SHAPE, {"units": 4, "reset_after": True}, mask=True)
single("recurrent/gru-reset_after-stateful", "GRU", SHAPE, {"units": 4, "reset_after": True, "stateful": True}, batch=3)
single("recurrent/gru-reset_after_false", "GRU", SHAPE, {"units": 4, "reset_after": False})

_CUDNN = {
    "plain": {},
    "sequences": {"return_sequences": True},
    "return_state": {"return_state": True},
    "backwards": {"go_backwards": True},
    "frozen": {"trainable": False},
    "all_arguments": {
        "kernel_initializer": "he_normal",
        "recurrent_initializer": "glorot_uniform",
        "bias_initializer": "ones",
        "kernel_regularizer": L2,
        "recurrent_regularizer": L2,
        "bias_regularizer": L2,
        "activity_regularizer": L2,
        "kernel_constraint": "max_norm",
        "recurrent_constraint": "max_norm",
        "bias_constraint": "non_neg",
    },
}
for _class, _name in (("CuDNNLSTM", "cudnn_lstm"), ("CuDNNGRU", "cudnn_gru")):
    variants("recurrent/" + _name, _class, SHAPE, {"units": 4}, _CUDNN, tags=["cudnn"])
    single(
        "recurrent/{}-stateful".format(_name), _class, SHAPE, {"units": 4, "stateful": True}, batch=3, tags=["cudnn"]
    )
single(
    "recurrent/cudnn_lstm-unit_forget_false",
    "CuDNNLSTM",
    SHAPE,
    {"units": 4, "unit_forget_bias": False},
    tags=["cudnn"],
)
