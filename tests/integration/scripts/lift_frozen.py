# ruff: noqa: TID251, PTH103, PTH118, PTH123 - runs in another environment, of another Python
"""Frozen graphs as people wrote them in the years of TF1, one habit each: python lift_frozen.py FOLDER [NAME ...]

All of them consist of what Keras has. Written for TF 1.15, with slim and what contrib had for quantisation.
"""

import os
import sys

import numpy as np
import tensorflow as tf
from lift_graphs import randomize, variable
from tensorflow.python.ops import gen_array_ops, gen_math_ops, gen_nn_ops

slim = tf.contrib.slim
FORMS = {}


def form(function):
    FORMS[function.__name__] = function
    return function


@form
def phase_left_open():
    """slim with a placeholder of the phase: Switch and Merge around every batch normalisation."""
    x = tf.placeholder(tf.float32, [None, 16, 16, 3], name="x")
    training = tf.placeholder(tf.bool, [], name="is_training")
    norm = {"is_training": training, "decay": 0.9}
    with slim.arg_scope([slim.conv2d], normalizer_fn=slim.batch_norm, normalizer_params=norm):
        y = slim.conv2d(slim.max_pool2d(slim.conv2d(x, 8, 3, stride=2), 2), 8, 1)
    y = slim.dropout(slim.flatten(y), 0.5, is_training=training)
    return tf.nn.softmax(slim.fully_connected(y, 5, activation_fn=None), name="out")


@form
def dropout_off():
    """Every spelling of dropout, with a placeholder for what is kept, whose rank nobody wrote down."""
    x = tf.placeholder(tf.float32, [None, 8, 8, 3], name="x")
    keep = tf.placeholder(tf.float32, name="keep_prob")
    y = slim.flatten(tf.nn.dropout(slim.conv2d(x, 4, 3), keep))
    y = tf.nn.dropout(slim.fully_connected(y, 5), keep_prob=keep, noise_shape=[1, 5])
    y = tf.layers.dropout(tf.nn.dropout(y, rate=1 - keep), 0.4, training=tf.placeholder_with_default(False, []))
    mask = tf.floor(keep + tf.random_uniform(tf.shape(y)))
    return tf.identity(gen_math_ops.div(y, keep) * mask, name="out")


@form
def unknown_rank():
    x = tf.placeholder(tf.float32, name="x")
    y = tf.nn.relu(
        tf.matmul(tf.reshape(x, [tf.shape(x)[0], 28, 2])[:, 3, :], variable("w", [2, 6])) + variable("b", [6])
    )
    return tf.identity(y, name="out")


@form
def stored_in_half():
    """Weights in half precision, decoded by the graph."""
    rng = np.random.RandomState(0)

    def constant(*shape):
        return tf.cast(tf.constant(rng.normal(size=shape, scale=0.3).astype("float16")), tf.float32)

    x = tf.placeholder(tf.float32, [None, 10, 10, 3], name="x")
    y = tf.nn.relu(tf.nn.conv2d(x, constant(3, 3, 3, 8), [1, 1, 1, 1], "SAME") + constant(8))
    y = tf.nn.bias_add(tf.nn.conv2d(y, constant(3, 3, 8, 16), [1, 1, 1, 1], "VALID"), constant(16))
    y = tf.matmul(tf.reshape(y, [-1, 8 * 8 * 16]), constant(8 * 8 * 16, 5)) + constant(5)
    return tf.nn.softmax(y, name="out")


@form
def fake_quant():
    x = tf.placeholder(tf.float32, [None, 12, 12, 3], name="x")
    y = slim.conv2d(x, 6, 3, activation_fn=tf.nn.relu6)
    y = slim.conv2d(y, 6, 3, activation_fn=tf.nn.relu6)
    y = slim.fully_connected(slim.flatten(y), 4, activation_fn=None)
    tf.contrib.quantize.create_eval_graph()
    return tf.nn.softmax(tf.get_default_graph().get_tensor_by_name(y.name), name="out")


@form
def resized():
    """All the ways in which TF1 places pixels, and local response normalisation."""
    x = tf.placeholder(tf.float32, [None, 9, 7, 3], name="x")
    y = tf.nn.lrn(slim.conv2d(x, 20, 3), 2, bias=2.0, alpha=1e-2, beta=0.75)
    y = slim.conv2d(tf.nn.local_response_normalization(y, alpha=0.3), 3, 1)
    made = []
    for method in (tf.image.resize_bilinear, tf.image.resize_nearest_neighbor):
        made += [method(y, [14, 10]), method(y, [14, 10], align_corners=True)]
        made += [method(y, [14, 10], half_pixel_centers=True), method(y, tf.shape(y)[1:3] * 2)[:, :14, :10]]
        made += [tf.image.resize_bicubic(method(y, [4, 5]), [14, 10])]
    made += [tf.image.resize_bicubic(y, [14, 10], align_corners=True)]
    made += [tf.extract_image_patches(made[0], [1, 3, 2, 1], [1, 1, 1, 1], [1, 1, 1, 1], "SAME")]
    return tf.identity(slim.conv2d(tf.concat(made, 3), 3, 1), name="out")


@form
def of_2015():
    """Operations of the first versions; the file says that it is of GraphDef version 8."""
    x = tf.placeholder(tf.float32, [None, 12, 12, 3], name="x")
    y = tf.nn.conv2d(x, variable("w", [3, 3, 3, 8]), [1, 1, 1, 1], "SAME")
    gamma, beta = tf.get_variable("gamma", [8]), tf.get_variable("beta", [8])
    mean = tf.get_variable("moving_mean", [8], trainable=False)
    variance = tf.get_variable("moving_variance", [8], trainable=False)
    y = tf.nn.relu(tf.nn.fused_batch_norm(y, gamma, beta, mean, variance, 0.001, is_training=False, name="old")[0])
    y = gen_array_ops.concat(3, [y, tf.nn.avg_pool(y, [1, 3, 3, 1], [1, 1, 1, 1], "SAME")])
    y = tf.nn.conv2d(y, variable("w2", [1, 1, 16, 6]), [1, 1, 1, 1], "VALID")
    y = tf.check_numerics(gen_math_ops.div(gen_nn_ops.bias_add_v1(y, variable("b2", [6])), tf.constant(2.5)), "bad")
    y = tf.reshape(tf.nn.avg_pool(y, [1, 12, 12, 1], [1, 1, 1, 1], "VALID"), [-1, 6])
    return tf.nn.softmax(y, name="out")


def make_old(frozen):
    """FusedBatchNorm as it was called before."""
    for node in frozen.node:
        if node.name == "old":
            x, gamma, beta, mean, variance = node.input
            node.op = "BatchNormWithGlobalNormalization"
            del node.input[:]
            node.input.extend([x, mean, variance, beta, gamma])
            node.attr.clear()
            node.attr["T"].type = tf.float32.as_datatype_enum
            node.attr["variance_epsilon"].f = 0.001
            node.attr["scale_after_normalization"].b = True
            frozen.versions.producer = 8


@form
def dilations():
    x = tf.placeholder(tf.float32, [None, 12, 18, 3], name="x")
    y = gen_array_ops.space_to_batch(x, [[2, 2], [2, 2]], 2)
    y = tf.nn.conv2d(y, variable("w", [3, 3, 3, 8]), [1, 1, 1, 1], "VALID")
    y = tf.nn.bias_add(gen_array_ops.batch_to_space(y, [[0, 0], [0, 0]], 2), variable("b", [8]))
    y = tf.nn.atrous_conv2d(y, variable("w1", [3, 3, 8, 8]), 3, "SAME") + variable("b1", [8])
    y = tf.reduce_mean(tf.nn.tanh(y), 1)
    y = tf.layers.conv1d(y, 5, 2, dilation_rate=4, padding="same")
    y = tf.layers.conv1d(y, 5, 3, dilation_rate=2, padding="valid", activation=tf.nn.elu)
    y = tf.layers.conv1d(tf.pad(y, [[0, 0], [4, 0], [0, 0]]), 5, 2, dilation_rate=4, activation=tf.nn.tanh)
    return tf.reduce_mean(y, 1, name="out")


@form
def transposed():
    """Transposed convolutions to sizes that the graph computes, and to others than Keras gives."""
    x = tf.placeholder(tf.float32, [None, 7, 6, 3], name="x")
    n, h, w, _ = tf.unstack(tf.shape(x))
    y = tf.nn.conv2d_transpose(x, variable("w", [4, 4, 8, 3]), tf.stack([n, h * 2, w * 2, 8]), [1, 2, 2, 1])
    y = tf.nn.conv2d_transpose(y + variable("b", [8]), variable("w1", [3, 3, 8, 8]), [n, 27, 24, 8], [1, 2, 2, 1])
    y = tf.nn.bias_add(y, variable("b1", [8]))
    y = tf.nn.conv2d_transpose(y, variable("w2", [3, 3, 4, 8]), [n, 56, 49, 4], [1, 2, 2, 1], padding="VALID")
    return tf.reduce_mean(y, [1, 2], name="out")


def make(name, folder):
    with tf.Graph().as_default() as graph, tf.Session() as session:
        tf.set_random_seed(3)
        FORMS[name]()
        session.run(tf.global_variables_initializer())
        randomize(session)
        frozen = tf.graph_util.convert_variables_to_constants(session, graph.as_graph_def(), ["out"])
        make_old(frozen)
        os.makedirs(folder)
        with open(os.path.join(folder, "frozen.pb"), "wb") as stream:
            stream.write(frozen.SerializeToString())


if __name__ == "__main__":
    for wanted in sys.argv[2:] or list(FORMS):
        make(wanted, os.path.join(sys.argv[1], wanted))
