# ruff: noqa: TID251 - runs in another environment, of another Python
"""Runs in TF 1.x: python defect_models.py FOLDER. Models in which every layer's meaning shows in the outputs."""

import os
import sys

import numpy as np
import tensorflow as tf

keras = tf.keras
L = keras.layers


def images():
    x = inputs = keras.Input((9, 9, 3), name="image")
    x = L.Conv2D(4, 3, strides=2, padding="same", activation="selu", name="conv")(x)
    x = L.BatchNormalization(name="norm")(x)
    x = L.LeakyReLU(0.3, name="leaky")(x)
    x = L.DepthwiseConv2D(2, depth_multiplier=2, activation="elu", name="depth")(x)
    x = L.MaxPooling2D(2, padding="same", name="pool")(x)
    x = L.Conv2DTranspose(3, 3, strides=2, padding="same", name="up")(x)
    x = L.SeparableConv2D(3, 3, padding="same", activation="tanh", name="separable")(x)
    x = L.UpSampling2D(2, name="grow")(x)
    x = L.ZeroPadding2D(((1, 0), (2, 1)), name="pad")(x)
    x = L.Cropping2D(((2, 1), (0, 3)), name="crop")(x)
    x = L.AveragePooling2D(2, padding="same", name="mean")(x)
    x = L.Dense(4, activation="softsign", name="dense")(L.Flatten(name="flat")(x))
    return keras.Model(inputs, L.Dense(3, activation="softmax", name="classes")(x))


def words():
    x = inputs = keras.Input((7,), dtype="int32", name="tokens")
    x = L.Embedding(20, 5, mask_zero=True, name="embedding")(x)
    x = L.Bidirectional(L.LSTM(4, return_sequences=True), name="both")(x)
    x = L.GRU(5, return_sequences=True, name="gru")(x)
    x = L.SimpleRNN(4, return_sequences=True, name="simple")(x)
    x = L.LSTM(3, recurrent_activation="sigmoid", name="last")(x)
    return keras.Model(inputs, L.Dense(2, name="out")(x))


def pairs():
    a, b = keras.Input((4,), name="a"), keras.Input((4,), name="b")
    left = L.Dense(5, activation="tanh", name="left")(a)
    right = L.Dense(5, activation="sigmoid", name="right")(b)
    minus = L.Subtract(name="minus")([left, right])
    times = L.Multiply(name="times")([left, right])
    largest = L.Maximum(name="largest")([minus, times])
    joined = L.Concatenate(name="joined")([minus, times, largest])
    dot = L.Dot(1, name="dot")([minus, times])
    ends = (
        L.Dense(2, activation="softplus", name="first")(joined),
        L.Dense(2, name="second")(L.Add(name="sum")([times, dot])),
    )
    return keras.Model([a, b], list(ends))


def steps():
    x = inputs = keras.Input((8, 3), name="series")
    x = L.Conv1D(4, 3, padding="causal", dilation_rate=2, name="causal")(x)
    x = L.TimeDistributed(L.Dense(4, activation="relu"), name="each")(x)
    x = L.LSTM(4, return_sequences=True, go_backwards=True, recurrent_activation="sigmoid", name="backwards")(x)
    x = L.UpSampling1D(2, name="twice")(x)
    x = L.Cropping1D((1, 2), name="crop")(x)
    x = L.Permute((2, 1), name="turned")(x)
    x = L.Conv1D(3, 2, activation="hard_sigmoid", name="pairs")(x)
    x = L.GlobalAveragePooling1D(name="average")(x)
    return keras.Model(inputs, L.Dense(3, activation="exponential", name="out")(x))


def shapes():
    x = inputs = keras.Input((6, 4), name="table")
    x = L.PReLU(shared_axes=[1], name="prelu")(x)
    x = L.ELU(0.7, name="elu")(x)
    x = L.ReLU(max_value=1.5, negative_slope=0.1, threshold=0.2, name="capped")(x)
    x = L.Conv1D(4, 1, name="mix")(x)
    x = L.LayerNormalization(name="layer_norm")(x)
    x = L.Softmax(axis=1, name="soft")(x)
    x = L.Reshape((4, 6), name="table_again")(x)
    x = L.LocallyConnected1D(3, 2, name="local")(x)
    x = L.Flatten(name="flat")(x)
    return keras.Model(inputs, L.Dense(2, name="out")(x))


for function in (images, words, pairs, steps, shapes):
    keras.backend.clear_session()
    model = function()
    rng = np.random.RandomState(7)
    # Small enough that no gate is always shut or open: what is saturated hides the damage behind it.
    for layer in model.layers:
        weights = [rng.randn(*w.shape) * 0.5 for w in layer.get_weights()]
        if isinstance(layer, L.BatchNormalization):
            weights = [rng.rand(4) + 0.5, rng.randn(4), rng.randn(4), rng.rand(4) * 0.05 + 0.05]
        layer.set_weights(weights)
    model.save(os.path.join(sys.argv[1], function.__name__ + ".h5"))
