"""Writes a TF1 graph in the neutral form, and what TF1 makes of it: python write_graph.py FOLDER."""

import json
import os
import sys

import numpy as np
import tensorflow as tf
from tfworker.arrays import ArrayWriter
from tfworker.graphs import neutral

v1 = tf.compat.v1 if hasattr(tf.compat, "v1") else tf
LOOPS = tf.__version__ >= "1.13"  # functional loops, which a tf.function can run
FOLDER = sys.argv[1]


def main():
    if LOOPS:
        v1.enable_control_flow_v2()
    v1.enable_resource_variables()
    x = v1.placeholder(tf.float32, [None, 6], name="x")
    w = v1.get_variable("w", [6, 4], initializer=v1.random_normal_initializer(seed=1))
    table = tf.constant(np.arange(600, dtype="float32").reshape(6, 100) / 100)
    y = tf.matmul(x, w)
    if LOOPS:
        _, y = tf.while_loop(lambda i, a: i < 3, lambda i, a: (i + 1, a * 0.5 + tf.tanh(tf.matmul(x, w))), [0, y])
        y = tf.cond(tf.reduce_sum(x) > 0, lambda: y * 2.0, lambda: y * 3.0)
    wide = tf.reduce_sum(tf.matmul(x, table), axis=1, keepdims=True)
    low, high = tf.constant([-np.inf, -1.0], tf.float32), tf.constant([np.inf, np.inf], tf.float32)
    y = tf.concat([y[:, :2], tf.clip_by_value(y[:, 2:], low, high)], axis=1)
    y = tf.identity(y + wide + tf.zeros([1, 4]), name="y")
    words = tf.constant([b"a", b"\xff\x00"], name="words")
    update = v1.assign_add(w, tf.ones_like(w))
    gradients = [tf.convert_to_tensor(g) for g in tf.gradients(y, [x, w])]
    fed = np.random.RandomState(0).randn(5, 6).astype("float32")
    with v1.Session() as session:
        session.run(v1.global_variables_initializer())
        before = session.run(w)
        values = session.run([y, *gradients], {x: fed})
    names = ["y", words.op.name, update.op.name]
    graph_def = v1.graph_util.extract_sub_graph(v1.get_default_graph().as_graph_def(), names)
    entries = []
    with ArrayWriter(os.path.join(FOLDER, "graphs.npz")) as writer:

        def put(array):
            entries.append(writer.add("graph/%d" % len(entries), array))
            return entries[-1]["name"]

        graph = neutral.from_graph_def(graph_def, put)
    record = {"graph": graph, "arrays": entries, "update": update.op.name, "variable": w.op.name}
    with open(os.path.join(FOLDER, "graph.json"), "w") as stream:
        json.dump(record, stream, allow_nan=False)
    np.savez(os.path.join(FOLDER, "reference.npz"), x=fed, w=before, y=values[0], dx=values[1], dw=values[2])


main()
