# ruff: noqa: TID251 - runs in another environment, of another Python
"""Runs in Keras 3: python keras3_model.py PATH. Saves a model that TensorFlow 1 has all the parts of, in two forms."""

import sys

import keras
import numpy as np

layers = keras.layers

picture = keras.Input((8, 8, 3), name="picture")
words = keras.Input((6,), dtype="int32", name="words")
y = layers.Conv2D(4, 3, activation="relu", kernel_initializer="he_normal", name="conv")(picture)
y = layers.DepthwiseConv2D(2, activation=layers.LeakyReLU(0.1), name="deep")(layers.BatchNormalization(name="norm")(y))
y = layers.Dense(6, activation="hard_sigmoid", name="bent")(layers.GlobalMaxPooling2D(name="largest")(y))
z = layers.Embedding(20, 5, mask_zero=True, name="embed")(words)
z = layers.LSTM(3, return_sequences=True, name="lstm")(z)
z = layers.Bidirectional(layers.GRU(2, name="gru"), name="both")(
    layers.Add(name="same_mask")([z, layers.Dropout(0.5, name="drop")(z)])
)
inner = keras.Sequential([keras.Input((4,)), layers.Dense(6, activation="selu", name="selu")], name="inner")
both = layers.Concatenate(name="all")([layers.Multiply(name="times")([y, inner(z)]), keras.ops.relu(y)])
model = keras.Model([picture, words], layers.Dense(2, activation="softmax", name="main")(both), name="new")

random = np.random.RandomState(5)
for weight in model.weights:
    values = random.uniform(0.1, 1.0, weight.shape) * random.choice([-1, 1], weight.shape)
    weight.assign(np.abs(values) if "variance" in weight.path else values)
model.compile("adam", "mse")
model.save(sys.argv[1] + "/model.keras")
model.save(sys.argv[1] + "/model.h5")
