# ruff: noqa: TID251 - runs in another environment
"""A unit within rounding of the knee of its ReLU, on its other side in the reference: python knee_units.py WORKER

Prints how far gradients jump, which units are found, how far they are off then, and the units found for a plain error.
"""

import json
import sys

import keras
import numpy as np
import tensorflow as tf

sys.path.insert(0, sys.argv[1])
from tfworker.knees import Knees  # noqa: E402

x = keras.Input((3,), name="x")
hidden = keras.layers.Dense(4, name="hidden")
y = keras.layers.Dense(2)(keras.layers.ReLU(max_value=6.0, name="relu")(hidden(x)))
keras.utils.set_random_seed(1)
model = keras.Model(x, [y, keras.layers.Softmax()(y)])
probe = np.random.RandomState(0).normal(size=(5, 3)).astype("float32")
weights = [variable.value for variable in model.trainable_variables]
bias = hidden.bias.numpy()
bias[2] -= (probe @ hidden.kernel.numpy() + bias)[1, 2] - np.float32(1e-6)


def gradients(model):
    with tf.GradientTape() as tape:
        made = tf.reduce_sum(model(probe, training=False)[0] * np.arange(10, dtype="float32").reshape(5, 2))
    return [gradient.numpy() for gradient in tape.gradient(made, weights)]


def off(expected, found):
    return max(float(np.abs(a - b).max() / np.abs(a).max()) for a, b in zip(expected, found, strict=True))


hidden.bias.assign(bias - np.array([0, 0, 4e-6, 0], "float32"))
expected = gradients(model)
hidden.bias.assign(bias)
here = gradients(model)
done = Knees(keras, model).matched(gradients, expected, 1e-5, 1e-5)
wrong = [gradient * 1.01 for gradient in here]
plain = Knees(keras, model).matched(gradients, wrong, 1e-5, 1e-5)
print(
    json.dumps(
        {
            "jump": off(expected, here),
            "units": [[row["layer"], row["unit"]] for row in done["units"]],
            "left": off(expected, done["gradients"]),
            "wrong": off(wrong, plain["gradients"]),
        }
    )
)
