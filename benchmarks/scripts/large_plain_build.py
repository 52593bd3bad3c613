"""What the target TensorFlow needs by itself: build the model, assign weights, save. Arguments: FILE ROWS UNITS."""

import sys

import keras
import numpy as np
from keras import layers

path, rows, units = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
tokens = keras.Input(shape=(4,), dtype="int32", name="tokens")
x = layers.Embedding(rows, 64, name="embedding")(tokens)
x = layers.Flatten(name="flat")(x)
x = layers.Dense(units, activation="relu", name="widen")(x)
x = layers.Dense(units, activation="relu", name="large")(x)
x = layers.Dense(8, name="score")(x)
model = keras.Model(tokens, x, name="large")
for variable in model.weights:
    variable.assign(np.ones(variable.shape, "float32"))
model.save(path)
