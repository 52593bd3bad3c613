# ruff: noqa: TID251 - runs in another environment, of another Python
"""Runs in TF 1.x: python rename_activation.py MODEL OLD NEW PATH. The same file with another activation in its config."""

import json
import shutil
import sys

import h5py
import tensorflow as tf

source, old, new, path = sys.argv[1:]
shutil.copy(source, path)
with h5py.File(path, "r+") as file:
    text = file.attrs["model_config"].decode("utf-8")
    assert '"activation": "%s"' % old in text
    file.attrs["model_config"] = text.replace('"activation": "%s"' % old, '"activation": "%s"' % new).encode("utf-8")
model = tf.keras.models.load_model(path, compile=False)
print(json.dumps([layer.name for layer in model.layers]))
