"""The model of v1-small, as it was written by TF 1.15.5: python make_small.py FILE."""

import sys

import numpy as np
import tensorflow as tf

keras = tf.keras
L = keras.layers

inner_in = keras.Input((3,), name="inner_in")
dense = L.Dense(3, activation="relu", name="inner_dense")(inner_in)
inner = keras.Model(inner_in, L.BatchNormalization(name="norm")(dense), name="inner")

tokens = keras.Input((5,), dtype="int32", name="tokens")
features = keras.Input((3,), name="features")
x = L.LSTM(3, name="lstm")(L.Embedding(11, 4, mask_zero=True, name="embedding")(tokens))
y = inner(inner(features))
score = L.Dense(2, activation="softmax", name="score")(L.Concatenate(name="joined")([x, y]))
side = L.Dense(1, activation="hard_sigmoid", name="side")(x)
model = keras.Model([tokens, features], [score, side], name="small")

rng = np.random.RandomState(5)
model.set_weights([np.abs(rng.randn(*w.shape)) for w in model.get_weights()])
model.save(sys.argv[1])
