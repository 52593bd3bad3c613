# ruff: noqa: TID251, PTH103, PTH107, PTH118 - runs in another environment, of another Python
"""One trained graph in every form but SavedModel: python other_forms.py FOLDER

FOLDER/v2, FOLDER/v1, FOLDER/sharded: checkpoints with their .meta; frozen.pb, frozen.pbtxt; big: without .meta.
"""

import os
import shutil
import sys

import numpy as np
import tensorflow as tf

FOLDER = sys.argv[1]
x = tf.placeholder(tf.float32, [None, 6], name="x")
labels = tf.placeholder(tf.int32, [None], name="labels")
keep = tf.placeholder(tf.float32, name="keep_prob")
phase = tf.placeholder(tf.bool, name="is_training")
hidden = tf.layers.batch_normalization(tf.layers.dense(x, 5, name="hidden"), training=phase, name="norm")
steps = tf.expand_dims(tf.nn.dropout(tf.nn.relu(hidden), keep), 1)
state = tf.nn.dynamic_rnn(tf.nn.rnn_cell.GRUCell(4), steps, dtype=tf.float32)[1]
logits = tf.layers.dense(state, 3, name="logits")
probabilities = tf.nn.softmax(logits, name="probabilities")
loss = tf.losses.sparse_softmax_cross_entropy(labels, logits)
with tf.control_dependencies(tf.get_collection(tf.GraphKeys.UPDATE_OPS)):
    train = tf.train.AdamOptimizer(0.01).minimize(loss)
tf.summary.scalar("loss", loss)
summaries = tf.summary.merge_all()

with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    rng = np.random.RandomState(0)
    for _ in range(5):
        feed = {x: rng.randn(8, 6), labels: rng.randint(0, 3, 8), keep: 0.7, phase: True}
        session.run([train, summaries], feed)
    for name, version, sharded in (("v1", 1, False), ("v2", 2, False), ("sharded", 2, True)):
        os.makedirs(os.path.join(FOLDER, name))
        saver = tf.train.Saver(write_version=version, sharded=sharded)
        saver.save(session, os.path.join(FOLDER, name, "model.ckpt"), global_step=7)
    frozen = tf.graph_util.convert_variables_to_constants(session, session.graph.as_graph_def(), ["probabilities"])
    tf.train.write_graph(frozen, FOLDER, "frozen.pb", as_text=False)
    tf.train.write_graph(frozen, FOLDER, "frozen.pbtxt", as_text=True)
shutil.copytree(os.path.join(FOLDER, "v2"), os.path.join(FOLDER, "no_meta"))
os.remove(os.path.join(FOLDER, "no_meta", "model.ckpt-7.meta"))
