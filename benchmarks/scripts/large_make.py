"""Make and save the large model. Arguments: FILE ROWS UNITS."""

import sys

import tensorflow as tf

path, rows, units = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
layers = tf.keras.layers
tokens = tf.keras.Input(shape=(4,), dtype="int32", name="tokens")
x = layers.Embedding(rows, 64, name="embedding")(tokens)
x = layers.Flatten(name="flat")(x)
x = layers.Dense(units, activation="relu", name="widen")(x)
x = layers.Dense(units, activation="relu", name="large")(x)
x = layers.Dense(8, name="score")(x)
model = tf.keras.Model(tokens, x, name="large")
model.save(path, include_optimizer=False)
