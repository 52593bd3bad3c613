# ruff: noqa: TID251, PTH118, PTH123 - runs in another environment, of another Python
"""Raw graphs that consist of what Keras has layers for: python lift_graphs.py FOLDER [NAME ...]

The classic convolutional networks with random weights (frozen graphs, checkpoints and SavedModels), a BERT-like encoder
written in plain TensorFlow, and small graphs with one construction each. Written for TF 1.15.
"""

import os
import sys

import numpy as np
import tensorflow as tf

APPLICATIONS = {
    "MobileNet": ("frozen", 64), "MobileNetV2": ("saved_model", 64), "ResNet50": ("checkpoint", 48),
    "InceptionV3": ("frozen", 96), "VGG16": ("frozen", 48), "DenseNet121": ("saved_model", 64), "Xception": ("checkpoint", 80),
}  # fmt: skip
SMALL = {}


def small(function):
    SMALL[function.__name__] = function
    return function


def randomize(session, seed=0):
    """Weights of a usual scale, and moving statistics that are not those of a fresh model."""
    rng = np.random.RandomState(seed)
    feed = {}
    assigns = []
    for variable in tf.global_variables():
        shape, name = variable.shape.as_list(), variable.op.name.rsplit("/", 1)[-1]
        if "moving_var" in name or "gamma" in name:
            value = rng.uniform(0.6, 1.4, shape)
        elif len(shape) < 2:
            value = rng.normal(0, 0.1, shape)
        else:
            depthwise = "depthwise" in variable.op.name and shape[-1] == 1
            fan = np.prod(shape[:2] if depthwise else shape[:-1])
            value = rng.normal(0, np.sqrt(2.0 / fan), shape)
        holder = tf.placeholder(tf.float32, shape)
        assigns.append(tf.assign(variable, holder))
        feed[holder] = value
    session.run(assigns, feed)


def export(session, folder, form, inputs, outputs):
    if form == "saved_model":
        builder = tf.saved_model.builder.SavedModelBuilder(folder)
        signature = tf.saved_model.signature_def_utils.predict_signature_def(inputs, outputs)
        builder.add_meta_graph_and_variables(session, ["serve"], {"serving_default": signature})
        builder.save()
        return
    os.makedirs(folder)
    if form == "checkpoint":
        tf.train.Saver().save(session, os.path.join(folder, "model.ckpt"))
        return
    names = [tensor.op.name for tensor in outputs.values()]
    frozen = tf.graph_util.convert_variables_to_constants(session, session.graph.as_graph_def(), names)
    with open(os.path.join(folder, "frozen.pb"), "wb") as stream:
        stream.write(frozen.SerializeToString())


def application(name, folder):
    form, size = APPLICATIONS[name]
    with tf.Graph().as_default(), tf.Session() as session:
        tf.keras.backend.set_session(session)
        tf.keras.backend.set_learning_phase(0)
        make = getattr(tf.keras.applications, name)
        model = make(weights=None, input_shape=(size, size, 3), classes=10)
        randomize(session)
        # A saturated softmax would hide every difference: the logits are scaled, and compared as well.
        logits = model.output.op.inputs[0]
        images = np.random.RandomState(1).normal(size=(4, size, size, 3))
        kernel, bias = model.trainable_weights[-2:]
        spread = np.std(session.run(logits, {model.input: images}))
        session.run([tf.assign(kernel, kernel / spread), tf.assign(bias, bias / spread)])
        outputs = {
            "logits": tf.identity(logits, "exported/logits"),
            "predictions": tf.identity(model.output, "exported/predictions"),
        }
        export(session, folder, form, {"images": model.input}, outputs)


def variable(name, shape, scale=0.1, mean=0.0):
    return tf.get_variable(name, shape, initializer=tf.random_normal_initializer(mean, scale))


def layer_norm(x, name):
    return tf.contrib.layers.layer_norm(x, begin_norm_axis=-1, begin_params_axis=-1, scope=name)


def gelu(x):
    return x * 0.5 * (1.0 + tf.erf(x / np.sqrt(2.0).astype("float32")))


@small
def bert():
    """Token, segment and position embeddings, masked self-attention, feed-forward with gelu, pooler."""
    tokens, hidden, heads, length = 50, 32, 4, 12
    ids, mask, segments = (
        tf.placeholder(tf.int32, [None, length], name=n) for n in ("input_ids", "input_mask", "segment_ids")
    )
    with tf.variable_scope("bert/embeddings"):
        table = variable("word_embeddings", [tokens, hidden])
        flat = tf.reshape(ids, [-1])
        x = tf.reshape(tf.gather(table, flat), [tf.shape(ids)[0], length, hidden])
        types = variable("token_type_embeddings", [2, hidden])
        x += tf.reshape(tf.matmul(tf.one_hot(tf.reshape(segments, [-1]), 2), types), [tf.shape(ids)[0], length, hidden])
        positions = variable("position_embeddings", [64, hidden])
        x += tf.reshape(tf.slice(positions, [0, 0], [length, -1]), [1, length, hidden])
        x = layer_norm(x, "LayerNorm")
    batch = tf.shape(ids)[0]
    ones = tf.ones([batch, length, 1], tf.float32)
    adder = (1.0 - tf.expand_dims(ones * tf.cast(tf.reshape(mask, [batch, 1, length]), tf.float32), 1)) * -10000.0
    x = tf.reshape(x, [-1, hidden])
    for number in range(2):
        with tf.variable_scope("bert/encoder/layer_%d" % number):
            parts = []
            for part in ("query", "key", "value"):
                made = tf.layers.dense(
                    x, hidden, name=part, kernel_initializer=tf.truncated_normal_initializer(stddev=0.2)
                )
                parts.append(tf.transpose(tf.reshape(made, [batch, length, heads, hidden // heads]), [0, 2, 1, 3]))
            scores = tf.matmul(parts[0], parts[1], transpose_b=True) * (1.0 / np.sqrt(hidden // heads))
            context = tf.matmul(tf.nn.softmax(scores + adder), parts[2])
            context = tf.reshape(tf.transpose(context, [0, 2, 1, 3]), [batch * length, hidden])
            x = layer_norm(tf.layers.dense(context, hidden, name="output") + x, "attention_norm")
            inner = tf.layers.dense(x, 4 * hidden, activation=gelu, name="intermediate")
            x = layer_norm(tf.layers.dense(inner, hidden, name="dense") + x, "output_norm")
    sequence = tf.reshape(x, [batch, length, hidden])
    first = tf.squeeze(sequence[:, 0:1, :], axis=1)
    pooled = tf.layers.dense(first, hidden, activation=tf.tanh, name="bert/pooler/dense")
    # The output layer of masked language models: the embeddings once more.
    words = tf.matmul(x, table, transpose_b=True) + variable("cls/output_bias", [tokens])
    return {"input_ids": ids, "input_mask": mask, "segment_ids": segments}, {
        "sequence": sequence, "pooled": pooled, "words": tf.nn.log_softmax(words),
    }  # fmt: skip


@small
def bert_heads():
    """What else is around BERT: a table in parts, one-hot lookups, a mask made of the ids, answers and masked words."""
    tokens, hidden, heads, length = 40, 16, 2, 8
    ids = tf.placeholder(tf.int32, [None, length], name="input_ids")
    positions = tf.placeholder(tf.int32, [None, 3], name="masked_lm_positions")
    with tf.variable_scope("words", partitioner=tf.fixed_size_partitioner(3)):
        table = tf.get_variable("word_embeddings", [tokens, hidden])
    batch = tf.shape(ids)[0]
    flat = tf.reshape(tf.expand_dims(ids, axis=[-1]), [-1])
    x = tf.reshape(tf.nn.embedding_lookup(table, flat, partition_strategy="div"), [batch, length, hidden])
    with tf.control_dependencies([tf.assert_less_equal(length, 32)]):
        x += tf.expand_dims(tf.slice(variable("position_embeddings", [32, hidden]), [0, 0], [length, -1]), 0)
    mask = tf.cast(tf.reshape(tf.not_equal(ids, 0), [batch, 1, length]), tf.float32) * tf.ones([batch, length, 1])
    parts = []
    for part in ("query", "key", "value"):
        made = tf.layers.dense(tf.reshape(x, [-1, hidden]), hidden, name=part)
        parts.append(tf.reshape(made, [batch, length, heads, hidden // heads]))
    scores = tf.einsum("BFNH,BTNH->BNFT", parts[0], parts[1]) * 0.35
    scores += (1.0 - tf.expand_dims(mask, axis=[1])) * -10000.0
    context = tf.einsum("BNFT,BTNH->BFNH", tf.nn.softmax(scores), parts[2])
    x = layer_norm(tf.reshape(context, [batch * length, hidden]) + tf.reshape(x, [-1, hidden]), "norm")
    x = tf.layers.dense(x, hidden, name="inner")
    x = x * 0.5 * (1.0 + tf.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * tf.pow(x, 3))))
    offsets = tf.reshape(tf.range(0, batch, dtype=tf.int32) * length, [-1, 1])
    masked = tf.gather(x, tf.reshape(positions + offsets, [-1]))
    words = tf.matmul(masked, tf.convert_to_tensor(table), transpose_b=True)
    answers = tf.nn.bias_add(tf.matmul(x, variable("answers", [2, hidden]), transpose_b=True), variable("bias", [2]))
    start, end = tf.unstack(tf.transpose(tf.reshape(answers, [batch, length, 2]), [2, 0, 1]), axis=0)
    return {"input_ids": ids, "masked_lm_positions": positions}, {
        "words": tf.nn.log_softmax(words),
        "start": start,
        "end": end,
    }


@small
def partitioned():
    """Every use of a variable in parts, along both axes."""
    ids = tf.placeholder(tf.int64, [None, 3], name="ids")
    with tf.variable_scope("rows", partitioner=tf.fixed_size_partitioner(3)):
        dealt, whole = (tf.get_variable(name, [11, 6]) for name in ("dealt", "whole"))
        bias = tf.get_variable("bias", [6])
    with tf.variable_scope("columns", partitioner=tf.fixed_size_partitioner(2, axis=1)):
        kernel = tf.get_variable("kernel", [6, 5])
    x = tf.nn.embedding_lookup(dealt, ids % 11, partition_strategy="mod") + bias
    x = tf.reduce_sum(x * tf.gather(tf.convert_to_tensor(whole), ids % 11), 1)
    return {"ids": ids}, {"y": tf.nn.bias_add(tf.matmul(x, kernel), variable("last", [5]))}


@small
def forms_of_batch_norm():
    x = tf.placeholder(tf.float32, [None, 8, 8, 3], name="x")
    training = tf.placeholder_with_default(False, [], name="is_training")
    y = tf.layers.batch_normalization(
        tf.layers.conv2d(x, 4, 3, use_bias=False, name="c1"), training=training, name="tf_layers"
    )
    slim = tf.contrib.layers
    y = slim.batch_norm(
        slim.conv2d(y, 4, 3, activation_fn=None, scope="c2"), is_training=training, scale=True, scope="slim"
    )
    y = slim.batch_norm(y, is_training=False, fused=False, scope="unfused", activation_fn=tf.nn.relu6)
    mean, variance = (
        variable("stats/moving_mean", [4]),
        tf.get_variable("stats/moving_var", [4], initializer=tf.ones_initializer()),
    )
    for statistic in (mean, variance):
        tf.get_collection_ref(tf.GraphKeys.TRAINABLE_VARIABLES).remove(statistic)
    beta, gamma = variable("own/beta", [4]), variable("own/gamma", [4], mean=1.0)
    y = gamma * (y - mean) / tf.sqrt(variance + 1e-4) + beta
    return {"x": x}, {"y": tf.reduce_mean(y, [1, 2])}


@small
def forms_of_convolution():
    x = tf.placeholder(tf.float32, [None, 13, 11, 4], name="x")
    y = tf.layers.conv2d(x, 6, 3, dilation_rate=2, padding="same", name="dilated", activation=tf.nn.elu)
    y = tf.layers.conv2d(y, 6, 3, dilation_rate=2, name="dilated_valid", activation=tf.nn.leaky_relu)
    y = tf.layers.separable_conv2d(y, 8, 3, padding="same", name="separable", activation=tf.nn.selu)
    y = tf.pad(y, [[0, 0], [1, 2], [0, 1], [0, 0]])
    y = tf.nn.depthwise_conv2d(y, variable("depthwise", [3, 3, 8, 2], 0.3), [1, 2, 2, 1], "VALID")
    y = tf.nn.bias_add(y, variable("depthwise_bias", [16]))
    y = tf.layers.conv2d_transpose(y, 5, 3, 2, padding="same", name="transposed", activation=tf.nn.softplus)
    y = tf.nn.avg_pool(y, [1, 2, 3, 1], [1, 1, 2, 1], "SAME")
    y = tf.nn.max_pool(y, [1, 2, 2, 1], [1, 2, 1, 1], "VALID")
    flat = tf.reshape(y, [tf.shape(y)[0], -1])
    z = tf.reshape(tf.layers.dense(tf.layers.flatten(y), 24, name="fc"), [-1, 6, 4])
    z = tf.layers.conv1d(z, 5, 3, strides=2, padding="same", name="one")
    z = tf.layers.dense(z, 3, name="last_axis")
    return {"x": x}, {"y": tf.concat([tf.layers.flatten(z), flat[:, :5], tf.reduce_max(y, [1, 2])], 1)}


@small
def shared_weights():
    left, right = (tf.placeholder(tf.float32, [None, 6], name=n) for n in ("left", "right"))
    sides = []
    for x in (left, right):
        with tf.variable_scope("tower", reuse=tf.AUTO_REUSE):
            h = tf.nn.relu(tf.layers.dense(x, 5, name="hidden"))
            scale = variable("scale", [5], mean=1.0)
            sides.append(h * scale)
    a, b = sides
    total = tf.stack([a, b], axis=1)
    parts = tf.unstack(tf.reduce_sum(total, 2, keepdims=True), axis=1)
    kernel = variable("tied", [5, 5], 0.4)
    bilinear = tf.reduce_sum(tf.matmul(a, kernel) * tf.matmul(b, kernel, transpose_b=True), 1, keepdims=True)
    distance = tf.sqrt(tf.reduce_sum(tf.squared_difference(a, b), axis=1, keepdims=True) + 1e-3)
    return {"left": left, "right": right}, {
        "distance": distance,
        "all": tf.concat(parts + [bilinear, tf.nn.l2_normalize(a, 1)], 1),
    }


@small
def partly():
    """Dilation of images and sums from behind, which Keras has nothing for."""
    x = tf.placeholder(tf.float32, [None, 9, 9, 3], name="x")
    y = tf.layers.conv2d(x, 4, 3, name="before", activation=tf.nn.relu)
    y = tf.nn.dilation2d(y, variable("shape", [2, 2, 4]), [1, 1, 1, 1], [1, 1, 1, 1], "SAME", name="dilation")
    y = tf.cumsum(y, 1, reverse=True, name="sums")
    return {"x": x}, {"y": tf.layers.dense(tf.layers.flatten(y), 3, name="after")}


@small
def unrolled_lstm():
    x = tf.placeholder(tf.float32, [None, 5, 4], name="x")
    cell = tf.nn.rnn_cell.BasicLSTMCell(6)
    outputs, state = tf.nn.static_rnn(cell, tf.unstack(x, axis=1), dtype=tf.float32)
    return {"x": x}, {"y": outputs[-1], "c": state.c}


@small
def dynamic_lstm():
    x = tf.placeholder(tf.float32, [None, 5, 4], name="x")
    outputs, _ = tf.nn.dynamic_rnn(tf.nn.rnn_cell.LSTMCell(6), x, dtype=tf.float32)
    return {"x": x}, {"y": tf.layers.dense(outputs[:, -1], 2, name="head")}


def make(name, folder):
    if name in APPLICATIONS:
        application(name, folder)
        return
    with tf.Graph().as_default(), tf.Session() as session:
        tf.set_random_seed(11)
        inputs, outputs = SMALL[name]()
        randomize(session)
        export(session, folder, "saved_model", inputs, {key: tf.identity(value) for key, value in outputs.items()})


if __name__ == "__main__":
    for wanted in sys.argv[2:] or [*APPLICATIONS, *SMALL]:
        make(wanted, os.path.join(sys.argv[1], wanted))
