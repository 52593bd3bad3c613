"""The graph of v2-small-graph, as it was written by TF 1.15.5: python make_small_graph.py FOLDER."""

import sys

import numpy as np
import tensorflow as tf

with tf.Graph().as_default(), tf.Session() as session:
    rng = np.random.RandomState(5)
    words = tf.placeholder(tf.string, [None, 4], name="words")
    table = tf.contrib.lookup.index_table_from_tensor(["red", "green", "blue"], num_oov_buckets=1)
    embeddings = tf.Variable(rng.randn(4, 3).astype("f"), name="embeddings")
    kernel = tf.Variable(rng.randn(3, 3).astype("f"), name="kernel", use_resource=True)
    steps = tf.unstack(tf.nn.embedding_lookup(embeddings, table.lookup(words)), axis=1)
    state = tf.while_loop(lambda i, _: i < 3, lambda i, v: (i + 1, tf.tanh(tf.matmul(v, kernel))), [0, tf.add_n(steps)])[1]
    gate = tf.cond(tf.reduce_sum(state) > 0, lambda: state * 2.0, lambda: state - 1.0)
    session.run([tf.global_variables_initializer(), tf.tables_initializer()])
    tf.saved_model.simple_save(session, sys.argv[1], {"words": words}, {"gate": gate, "state": state}, tf.tables_initializer())
