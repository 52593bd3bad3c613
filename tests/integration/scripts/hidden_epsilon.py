# ruff: noqa: TID251 - runs in another environment, of another Python
"""Runs in TF 2.21: python hidden_epsilon.py MODEL LAYER OUT. Saves MODEL with LAYER's epsilon off by a ten-thousandth of itself."""

import sys

import keras

source, path, out = sys.argv[1:4]
model = keras.models.load_model(source, compile=False)
layer = model
for name in path.split("/"):
    layer = layer.get_layer(name)
layer.epsilon *= 1 + 1e-4
model.save(out)
