# ruff: noqa: TID251, PTH107, PTH118, PTH123, UP031 - runs in another environment, of another Python
"""A TF-Hub v1 module built like the Universal Sentence Encoder v1: python hub_module.py FOLDER

FOLDER/module is the module, FOLDER/sentences.npz holds sentences, and FOLDER/embeddings.npy what hub.Module gives for them.
"""

import os
import sys

import numpy as np
import tensorflow as tf
import tensorflow_hub as hub

FOLDER = sys.argv[1]
WORDS = ["how", "old", "are", "you", "what", "is", "your", "age", "my", "phone", "good"]
SENTENCES = ["How old are you?", "what is your AGE", "My phone is good.", "Completely unknown words!", "", "good"]


def encoder(training):
    text = tf.placeholder(tf.string, [None], name="text")
    plain = tf.regex_replace(tf.strings.lower(text) if hasattr(tf.strings, "lower") else text, r"[^\w ]", " ")
    tokens = tf.string_split(plain, " ")
    table = tf.contrib.lookup.index_table_from_file(os.path.join(FOLDER, "vocab.txt"), num_oov_buckets=5)
    ids = tf.SparseTensor(tokens.indices, table.lookup(tokens.values), tokens.dense_shape)
    with tf.variable_scope("Embeddings", partitioner=tf.fixed_size_partitioner(2)):
        embeddings = tf.get_variable("table", [len(WORDS) + 5, 8], initializer=tf.random_normal_initializer())
    filled, _ = tf.sparse_fill_empty_rows(ids, 0)
    x = tf.nn.embedding_lookup_sparse(embeddings, filled, None, combiner="sqrtn")
    for index in range(2):
        x = tf.layers.dense(x, 8, tf.nn.tanh, name="tower_%d" % index)
        x = tf.layers.dropout(x, 0.2, training=training)
    hub.add_signature(inputs=text, outputs=tf.nn.l2_normalize(x, 1))
    hub.add_signature("words", {"text": text}, {"count": tf.size(tokens.values), "values": tokens.values})


with open(os.path.join(FOLDER, "vocab.txt"), "w") as stream:
    stream.write("\n".join(WORDS) + "\n")
kinds = [(set(), {"training": False}), ({"train"}, {"training": True})]
spec = hub.create_module_spec(encoder, tags_and_args=kinds)
with tf.Graph().as_default(), tf.Session() as session:
    tf.set_random_seed(11)
    module = hub.Module(spec, trainable=True)
    session.run([tf.global_variables_initializer(), tf.tables_initializer()])
    module.export(os.path.join(FOLDER, "module"), session)
os.remove(os.path.join(FOLDER, "vocab.txt"))  # what the module needs, it has among its assets
with tf.Graph().as_default(), tf.Session() as session:
    output = hub.Module(os.path.join(FOLDER, "module"))(tf.constant(SENTENCES))
    session.run([tf.global_variables_initializer(), tf.tables_initializer()])
    np.save(os.path.join(FOLDER, "embeddings.npy"), session.run(output))
np.savez(os.path.join(FOLDER, "sentences.npz"), default=np.array(SENTENCES))
