# ruff: noqa: TID251 - runs in another environment, of another Python
"""Saves a model with a unit that is never active and a branch whose result is multiplied by nothing: dead_model.py FILE"""

import sys

import numpy as np
import tensorflow as tf

keras = tf.keras
x = keras.layers.Input((4,), name="x")
alive = keras.layers.Dense(6, activation="relu", name="alive")(x)
dead = keras.layers.Dense(3, activation="relu", name="dead")(x)
y = keras.layers.Dense(2, name="head")(keras.layers.concatenate([alive, dead]))
model = keras.Model(x, y)
bias = np.zeros(6, "float32")
bias[2] = -1e3
model.get_layer("alive").set_weights([model.get_layer("alive").get_weights()[0], bias])
model.get_layer("dead").set_weights([np.ones((4, 3), "float32"), np.full(3, -1e3, "float32")])
model.save(sys.argv[1])
