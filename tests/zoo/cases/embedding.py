"""Embedding with and without mask, alone and feeding layers that use or pass on the mask."""

from zoo.registry import add, deferred, placeholder, single, variants

variants(
    "embedding/embedding",
    "Embedding",
    (6,),
    {"input_dim": 11, "output_dim": 4},
    {
        "plain": {},
        "mask_zero": {"mask_zero": True},
        "input_length": {"input_length": 6},
        "input_length_list": {"input_length": [6]},
        "input_length_tuple": {"input_length": (6,)},
        "all_arguments": {
            "embeddings_initializer": "normal",
            "embeddings_regularizer": deferred(lambda k: k.regularizers.l2(0.1)),
            "activity_regularizer": deferred(lambda k: k.regularizers.l1(0.1)),
            "embeddings_constraint": "unit_norm",
            "mask_zero": True,
            "input_length": 6,
        },
        "frozen": {"trainable": False},
    },
    domain="ids:11",
)
single(
    "embedding/embedding-int32_input",
    "Embedding",
    (6,),
    {"input_dim": 11, "output_dim": 4},
    dtype="int32",
    domain="ids:11",
)
single("embedding/embedding-free_length", "Embedding", (None,), {"input_dim": 11, "output_dim": 4}, domain="ids:11")
single("embedding/embedding-rank3", "Embedding", (3, 5), {"input_dim": 11, "output_dim": 4}, domain="ids:11")


def _stack(case_id, make, mask_zero=True, free=None, tags=("masked",)):
    """Embedding followed by the layers that ``make(k)`` lists."""

    def build(k):
        x = placeholder(k, (free or 6,) if free is not False else (None,))
        y = k.layers.Embedding(11, 4, mask_zero=mask_zero)(x)
        for made in make(k):
            y = made(y)
        return k.models.Model(x, y)

    add(case_id, build, tags, ["ids:11"])


_stack("embedding/mask-lstm", lambda k: [k.layers.LSTM(3)])
_stack("embedding/mask-gru_sequences", lambda k: [k.layers.GRU(3, return_sequences=True)])
_stack("embedding/mask-simple_rnn", lambda k: [k.layers.SimpleRNN(3)])
_stack("embedding/mask-lstm_lstm", lambda k: [k.layers.LSTM(3, return_sequences=True), k.layers.LSTM(2)])
_stack("embedding/mask-dropout_lstm", lambda k: [k.layers.Dropout(0.3), k.layers.LSTM(3)])
_stack("embedding/mask-dense_lstm", lambda k: [k.layers.Dense(3, activation="relu"), k.layers.LSTM(3)])
_stack("embedding/mask-time_distributed", lambda k: [k.layers.TimeDistributed(k.layers.Dense(3)), k.layers.LSTM(2)])
_stack("embedding/mask-bidirectional", lambda k: [k.layers.Bidirectional(k.layers.LSTM(3))])
_stack("embedding/mask-spatial_dropout", lambda k: [k.layers.SpatialDropout1D(0.2), k.layers.GRU(3)])
_stack("embedding/mask-average", lambda k: [k.layers.GlobalAveragePooling1D()])
_stack("embedding/mask-flatten", lambda k: [k.layers.Flatten(), k.layers.Dense(2)])
_stack("embedding/mask-batch_norm", lambda k: [k.layers.BatchNormalization(), k.layers.LSTM(3)])
_stack("embedding/mask-activation_dense", lambda k: [k.layers.Activation("tanh"), k.layers.Dense(2), k.layers.GRU(2)])
_stack("embedding/mask-free_length", lambda k: [k.layers.LSTM(3)], free=False)
_stack("embedding/flatten_dense", lambda k: [k.layers.Flatten(), k.layers.Dense(2)], mask_zero=False, tags=())
_stack(
    "embedding/conv_pool",
    lambda k: [k.layers.Conv1D(3, 2, activation="relu"), k.layers.GlobalMaxPooling1D()],
    mask_zero=False,
    tags=(),
)
