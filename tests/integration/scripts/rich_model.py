# ruff: noqa: TID251 - runs in another environment, of another Python
"""Runs in TF 1.x: python rich_model.py FILE. Nested twice, shared, three inputs, two outputs, masks, hard_sigmoid."""

import sys

import numpy as np
import tensorflow as tf

keras = tf.keras
L = keras.layers


def tower():
    """A model that holds a model."""
    head = keras.Sequential(
        [L.Dense(3, activation="hard_sigmoid", input_shape=(4,), name="head_dense"), L.Dropout(0.5, name="head_drop")],
        name="head",
    )
    x = inputs = keras.Input((8, 3), name="tower_in")
    x = L.Conv1D(4, 3, activation="hard_sigmoid", name="tower_conv")(x)
    x = L.BatchNormalization(name="tower_norm")(x)
    x = L.Conv1D(4, 1, name="tower_point")(x)
    pooled = L.GlobalAveragePooling1D(name="tower_pool")(x)
    return keras.Model(inputs, [x, head(pooled)], name="tower")


def build():
    tokens = keras.Input((6,), dtype="int32", name="tokens")
    left, right = keras.Input((8, 3), name="left"), keras.Input((8, 3), name="right")
    nested = tower()
    a, short_a = nested(left)
    b, short_b = nested(right)
    shared = L.Dense(4, activation="hard_sigmoid", name="shared")
    a, b = shared(a), shared(b)
    x = L.Embedding(20, 5, mask_zero=True, name="embedding")(tokens)
    x = L.Bidirectional(L.LSTM(4, return_sequences=True), name="both")(x)
    x = L.GRU(5, return_sequences=True, reset_after=False, name="gru_before")(x)
    x = L.GRU(4, reset_after=True, name="gru_after")(x)
    y = L.SimpleRNN(3, activation="hard_sigmoid", name="simple")(a)
    z = L.LSTM(3, activation="hard_sigmoid", name="lstm")(b)
    d = L.Subtract(name="difference")([short_a, short_b])
    gate = L.Activation("hard_sigmoid", name="gate")(L.Concatenate(name="joined")([x, y, z, d]))
    return keras.Model(
        [tokens, left, right],
        [L.Dense(2, activation="softmax", name="main")(gate), L.Dense(1, name="aux")(x)],
        name="rich",
    )


model = build()
rng = np.random.RandomState(3)
# Small enough that no gate is always shut or open: what is saturated hides the damage behind it.
model.set_weights([rng.randn(*w.shape) * 0.5 for w in model.get_weights()])
norm = model.get_layer("tower").get_layer("tower_norm")
norm.set_weights([rng.rand(4) + 0.5, rng.randn(4), rng.randn(4), rng.rand(4) * 0.05 + 0.05])
model.save(sys.argv[1])
