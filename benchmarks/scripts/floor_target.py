"""The floor, second step: build the model in Keras 3, set the weights, predict, compare, save.

Arguments: MODEL PROBES WEIGHTS OUTPUTS SAVED. MODEL is ``demo`` (built by hand below), or a file that today's
``load_model`` happens to read.
"""

import sys

import keras
import numpy as np
from floor_compare import compare
from keras import layers


def build():
    """The demonstration's model, with the meaning that its layers had in TensorFlow 1.15."""
    hard_sigmoid = keras.Sequential([layers.Rescaling(0.2, 0.5), layers.ReLU(max_value=1.0)])
    tokens = keras.Input(shape=(12,), dtype="int32", name="tokens")
    features = keras.Input(shape=(6,), name="features")
    x = layers.Embedding(50, 16, name="embedding")(tokens)
    x = layers.Conv1D(24, 3, padding="same", activation="relu", name="conv")(x)
    x = layers.BatchNormalization(name="norm")(x)
    x = layers.LSTM(16, recurrent_activation=hard_sigmoid, name="lstm")(x)
    y = layers.Dense(8, activation="relu", name="hidden")(features)
    out = layers.Dense(1, activation="sigmoid", name="score")(layers.concatenate([x, y], name="joined"))
    return keras.Model([tokens, features], out, name="demo")


model_file, probe_file, weight_file, output_file, saved = sys.argv[1:6]
model = build() if model_file == "demo" else keras.models.load_model(model_file, compile=False)
with np.load(weight_file) as weights:
    for layer in model.layers:
        values = [weights[f"{layer.name}:{i}"] for i in range(len(layer.weights))]
        layer.set_weights(values)
compare(model, probe_file, output_file)
model.save(saved)
