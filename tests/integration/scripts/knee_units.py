# ruff: noqa: TID251 - runs in another environment
"""Units within rounding of a knee, on its other side in the source: python knee_units.py WORKER

One unit of a relu6, of a maximum pooling and of a maximum, recorded from a session of a graph whose biases are shifted by
rounding. Prints, for a function with these nodes and for a Keras model: how far gradients are off as they are, which units
are named, how far they are off with those held, and with those held in a model whose gradients are wrong by one percent.
"""

import json
import os
import sys
import tempfile

import keras
import numpy as np
import tensorflow as tf

sys.path.insert(0, sys.argv[1])
from tfworker.arrays import ArrayReader, ArrayWriter  # noqa: E402
from tfworker.graph_knees import NearKnees  # noqa: E402
from tfworker.graph_part import Part  # noqa: E402
from tfworker.knees import Held  # noqa: E402

SHIFT, REACH = 4e-6, 1e-5
rng = np.random.RandomState(0)
x = rng.normal(size=(5, 3)).astype("float32")
kernels = {name: rng.normal(size=(3, 4)).astype("float32") for name in ("relu", "pool", "left", "right")}
biases = {name: rng.normal(size=4).astype("float32") for name in kernels}
weighting = rng.normal(size=(5, 9)).astype("float32")
values = {name: x @ kernels[name] + biases[name] for name in kernels}
biases["relu"][2] -= values["relu"][1, 2] - np.float32(1e-6)
first, second = np.argsort(values["pool"][0])[[-1, -2]]
biases["pool"][first] -= values["pool"][0, first] - values["pool"][0, second] - np.float32(1e-6)
biases["left"][3] -= values["left"][2, 3] - values["right"][2, 3] - np.float32(1e-6)
names = sorted(kernels)


def network(api, given, weights):
    """The output for the kernels and biases of ``names``."""
    made = {name: given @ weights[2 * i] + weights[2 * i + 1] for i, name in enumerate(names)}
    relu = tf.raw_ops.Relu6(features=made["relu"], name="relu6")
    windows = api.reshape(made["pool"], [5, 2, 2, 1])
    pool = tf.raw_ops.MaxPool(input=windows, ksize=[1, 2, 2, 1], strides=[1, 2, 2, 1], padding="VALID", name="pooled")
    larger = tf.raw_ops.Maximum(x=made["left"], y=made["right"], name="larger")
    return api.concat([relu, api.reshape(pool, [5, 1]), larger], 1)


def in_source(folder):
    """The gradients of the source, and its probe set."""
    moved = {name: bias.copy() for name, bias in biases.items()}
    moved["relu"][2] -= SHIFT
    moved["pool"][first] -= SHIFT
    moved["left"][3] -= SHIFT
    v1 = tf.compat.v1
    graph = v1.Graph()
    with graph.as_default(), v1.Session(graph=graph) as session:
        given = v1.placeholder("float32", [5, 3], name="x")
        weights = [v1.constant(array) for name in names for array in (kernels[name], moved[name])]
        made = tf.identity(network(v1, given, weights), "y")
        gradients = v1.gradients(made, weights, grad_ys=[v1.constant(weighting)])
        described = {"inputs": {"x": "x:0"}, "outputs": {"y": "y:0"}, "method": ""}
        part = Part(session, {"main": described}, {})
        entries = []
        with ArrayWriter(os.path.join(folder, "probes.npz")) as writer:
            near = NearKnees(part, "main", {"float32": 2 * REACH})
            rows = near.record({"x:0": x}, "probe", writer, entries)
        return session.run(gradients, {given: x}), {"name": "normal", "gradients": {"knees": rows}}, entries


def as_function(held, slope):
    """The gradients of a function, whose nodes stand where those of a SavedModel of ours do."""
    weights = [tf.Variable(array) for name in names for array in (kernels[name], biases[name])]

    @tf.function(autograph=False)
    def run(given):
        with tf.name_scope("graph"):
            return network(tf, given, [tf.identity(w) for w in weights])

    with held.in_graphs(), tf.GradientTape() as tape:
        made = run(tf.constant(x))
    with held.in_graphs():
        return [g.numpy() for g in tape.gradient(made, weights, output_gradients=tf.constant(weighting * slope))]


def as_model(held, slope):
    given = keras.Input((3,), name="x")
    layers = {name: keras.layers.Dense(4, name=name) for name in names}
    made = {name: layers[name](given) for name in names}
    relu = keras.layers.ReLU(6.0, name="relu6")(made["relu"])
    windows = keras.layers.Reshape((2, 2, 1))(made["pool"])
    pool = keras.layers.Flatten()(keras.layers.MaxPooling2D(2, name="pooled")(windows))
    larger = keras.ops.maximum(made["left"], made["right"])
    model = keras.Model(given, keras.layers.Concatenate()([relu, pool, larger]))
    for name in names:
        layers[name].set_weights([kernels[name], biases[name]])
    weights = [w.value for name in names for w in layers[name].weights]
    maximum = next(o.name for o in model.operations if type(o).__name__ == "Maximum")
    nodes = {"relu6": ["relu6"], "pooled": ["pooled"], maximum: ["larger"]}
    with held.in_graphs(), held.in_model(model, nodes), tf.GradientTape() as tape:
        out = model(tf.constant(x), training=False)
    return [g.numpy() for g in tape.gradient(out, weights, output_gradients=tf.constant(weighting * slope))]


def off(expected, found):
    return max(float(np.abs(a - b).max() / np.abs(a).max()) for a, b in zip(expected, found, strict=True))


def looked_at(gradients, reader, expected, probe_set):
    units = []

    def one(knees, slope=1.0):
        held = Held.of(tf, knees, [probe_set], reader)
        held.use(probe_set)
        found = gradients(held, np.float32(slope))
        units.append(sorted([row["layer"], row["unit"]] for row in held.moved))
        return off(expected, found)

    jump, left, wrong = one(None), one({"reach": REACH}), one({"reach": REACH}, 1.01)
    return {"jump": jump, "left": left, "wrong": wrong, "units": units[1], "out_of_reach": one({"reach": 1e-8})}


with tempfile.TemporaryDirectory() as scratch:
    expected, probe_set, entries = in_source(scratch)
    reader = ArrayReader(scratch, entries)
    found = {make.__name__: looked_at(make, reader, expected, probe_set) for make in (as_function, as_model)}
    found["planned"] = [[0, *np.unravel_index(first, (2, 2))], [0, *np.unravel_index(second, (2, 2))]]
    print(json.dumps(found, default=int))
