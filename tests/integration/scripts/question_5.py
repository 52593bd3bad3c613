# ruff: noqa: TID251 - runs in another environment, of another Python
"""Runs in TF 2.3: python question_5.py FOLDER OBJECTS. Saves the models of the question about the way back to TF 1.12."""

import runpy
import sys

import numpy as np
import tensorflow as tf

layers = tf.keras.layers
folder, objects = sys.argv[1:]
Double = runpy.run_path(objects)["Double"]
models = {
    "sequential": [layers.Dense(64, activation="relu", input_shape=(784,)), layers.Dense(10, activation="softmax")],
    "custom": [Double(input_shape=(20,), name="double"), layers.Dense(10, name="last")],
}
random = np.random.RandomState(3)
for name, parts in models.items():
    model = tf.keras.Sequential(parts)
    model.set_weights([random.standard_normal(w.shape) / 8 for w in model.get_weights()])
    model.save("%s/%s.h5" % (folder, name))
