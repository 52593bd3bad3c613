# ruff: noqa: TID251 - runs in another environment, of another Python
"""Runs in TF 2.x: python modern_model.py PATH. Saves a Keras 2 model that TensorFlow 1 has all the parts of."""

import sys

import numpy as np
import tensorflow as tf

layers = tf.keras.layers

x = tf.keras.Input((8, 8, 3), name="picture")
y = layers.Conv2D(4, 3, activation="relu", kernel_initializer="he_normal", name="conv")(x)
y = layers.BatchNormalization(name="norm")(y)
y = layers.Activation("swish", name="gate")(y)
y = layers.Reshape((36, 4), name="steps")(y)
y = layers.Bidirectional(layers.GRU(3, return_sequences=True, name="gru"), name="both")(y)
y = layers.LSTM(4, recurrent_activation="hard_sigmoid", return_sequences=True, name="lstm")(y)
y = layers.Dense(5, activation="tanh", kernel_regularizer=tf.keras.regularizers.l2(0.01), name="tanh")(y)
y = layers.GlobalMaxPooling1D(name="largest")(y)
y = layers.Dense(5, activation="selu", name="selu")(y)
model = tf.keras.Model(x, layers.Dense(2, activation="softmax", name="main")(y))

random = np.random.RandomState(5)
values = [random.uniform(0.1, 1.0, w.shape) * random.choice([-1, 1], w.shape) for w in model.get_weights()]
model.set_weights(values)
norm = model.get_layer("norm")
norm.set_weights([np.abs(w) for w in norm.get_weights()])
model.save(sys.argv[1])
