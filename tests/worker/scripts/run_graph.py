"""Runs what write_graph.py wrote, in today's TensorFlow: python run_graph.py FOLDER. Prints differences as JSON."""

import json
import os
import sys

import numpy as np
import tensorflow as tf
from tfworker.arrays import ArrayReader
from tfworker.graphs.run import Graph

FOLDER = sys.argv[1]


def off(found, expected):
    return float(np.abs(np.asarray(found) - expected).max() / np.abs(expected).max())


def main():
    with open(os.path.join(FOLDER, "graph.json")) as stream:
        record = json.load(stream)
    reference = np.load(os.path.join(FOLDER, "reference.npz"))
    reader = ArrayReader(FOLDER, record["arrays"])
    graph = Graph(record["graph"], reader.get)
    w, x = tf.Variable(reference["w"]), tf.constant(reference["x"])
    variables = {record["variable"]: w}

    def body(x):
        return graph.run({"x": x}, variables, ["y:0"])[0]

    function = tf.function(body, input_signature=[tf.TensorSpec([None, 6])])
    with tf.GradientTape() as tape:  # the variable is found by itself
        tape.watch(x)
        y = function(x)
    dx, dw = tape.gradient(y, [x, w])
    module = tf.Module()
    module.w, module.function = w, function
    tf.saved_model.save(module, os.path.join(FOLDER, "saved"))
    again = tf.saved_model.load(os.path.join(FOLDER, "saved"))
    out = {"y": off(y, reference["y"]), "dx": off(dx, reference["dx"]), "dw": off(dw, reference["dw"])}
    out["saved"] = off(again.function(x), reference["y"])
    updating = tf.function(lambda x: graph.run({"x": x}, variables, ["y:0"], [record["update"]])[0])
    out["updated y"] = off(updating(x), reference["y"])
    out["updated w"] = off(w, reference["w"] + 1.0)
    words = tf.function(lambda: graph.run({}, {}, ["words:0"])[0])()
    out["words"] = [item.hex() for item in words.numpy().tolist()]
    print(json.dumps(out))


main()
