# ruff: noqa: TID251, PTH118, PTH123 - runs in another environment, of another Python
"""Graphs as people wrote them in TensorFlow 1, each exported as a SavedModel: python raw_graphs.py FOLDER [NAME ...]

A case builds a graph and returns its inputs and outputs by name. Written for TF 1.12 to 1.15; weights are random but seeded.
"""

import os
import sys

import numpy as np
import tensorflow as tf

CASES = {}
F32, I32, I64, TEXT = tf.float32, tf.int32, tf.int64, tf.string


def case(function):
    CASES[function.__name__] = function
    return function


def inputs(*shape, **options):
    return tf.placeholder(options.get("dtype", F32), shape, name=options.get("name", "x"))


def dense(x, units, name, activation=None, resource=False):
    with tf.variable_scope(name, use_resource=resource):
        kernel = tf.get_variable(
            "kernel", [x.shape[-1].value, units], initializer=tf.random_normal_initializer(stddev=0.5)
        )
        bias = tf.get_variable("bias", [units], initializer=tf.random_normal_initializer())
    y = tf.matmul(x, kernel) + bias
    return activation(y) if activation else y


@case
def ref_variables():
    x = inputs(None, 4)
    return {"x": x}, {"y": tf.nn.softmax(dense(dense(x, 5, "a", tf.tanh), 3, "b"))}


@case
def resource_variables():
    x = inputs(None, 4)
    return {"x": x}, {"y": dense(dense(x, 5, "a", tf.nn.relu, resource=True), 3, "b", resource=True)}


@case
def partitioned_variables():
    x = inputs(None, 6)
    with tf.variable_scope("p", partitioner=tf.fixed_size_partitioner(3)):
        kernel = tf.get_variable("kernel", [6, 4], initializer=tf.random_normal_initializer())
    return {"x": x}, {"y": tf.matmul(x, tf.convert_to_tensor(kernel))}


@case
def partitioned_embedding():
    ids = inputs(None, 5, dtype=I64, name="ids")
    with tf.variable_scope("p", partitioner=tf.fixed_size_partitioner(2)):
        table = tf.get_variable("table", [10, 3], initializer=tf.random_normal_initializer())
    return {"ids": ids}, {"y": tf.reduce_mean(tf.nn.embedding_lookup(table, ids % 10, partition_strategy="div"), 1)}


@case
def layers_cnn():
    x = inputs(None, 8, 8, 3)
    y = tf.layers.conv2d(x, 4, 3, activation=tf.nn.relu, padding="same")
    y = tf.layers.max_pooling2d(tf.layers.batch_normalization(y, training=False), 2, 2)
    return {"x": x}, {"y": tf.layers.dense(tf.layers.flatten(y), 3, activation=tf.nn.sigmoid)}


@case
def batch_norm_is_training():
    x, phase = inputs(None, 5), tf.placeholder_with_default(False, [], name="is_training")
    y = tf.layers.batch_normalization(dense(x, 4, "a"), training=phase)
    return {"x": x}, {"y": tf.layers.dropout(y, 0.4, training=phase)}


@case
def batch_norm_phase_fed():
    x, phase = inputs(None, 5), tf.placeholder(tf.bool, [], name="is_training")
    y = tf.contrib.layers.batch_norm(dense(x, 4, "a"), is_training=phase, updates_collections=None, scale=True)
    return {"x": x}, {"y": tf.nn.elu(y)}


@case
def fused_batch_norm_slim():
    x = inputs(None, 6, 6, 2)
    slim = tf.contrib.slim
    with slim.arg_scope(
        [slim.conv2d], normalizer_fn=slim.batch_norm, normalizer_params={"is_training": False, "scale": True}
    ):
        y = slim.conv2d(x, 4, [3, 3], stride=2)
        y = slim.separable_conv2d(y, 4, [3, 3], depth_multiplier=1)
    return {"x": x}, {"y": tf.reduce_mean(y, [1, 2])}


@case
def dropout_keep_prob():
    x, keep = inputs(None, 4), tf.placeholder_with_default(1.0, [], name="keep_prob")
    return {"x": x}, {"y": dense(tf.nn.dropout(dense(x, 6, "a", tf.nn.relu), keep), 2, "b")}


def cell_of(units):
    return tf.nn.rnn_cell.LSTMCell(units, initializer=tf.random_normal_initializer(stddev=0.4))


@case
def dynamic_rnn():
    x = inputs(None, 7, 3)
    y, state = tf.nn.dynamic_rnn(cell_of(4), x, dtype=F32)
    return {"x": x}, {"y": y, "c": state.c}


@case
def dynamic_rnn_lengths():
    x, lengths = inputs(None, 6, 3), inputs(None, dtype=I32, name="lengths")
    y, state = tf.nn.dynamic_rnn(tf.nn.rnn_cell.GRUCell(4), x, sequence_length=lengths, dtype=F32)
    return {"x": x, "lengths": lengths}, {"y": y, "state": state}


@case
def dynamic_rnn_free_time_major():
    x = inputs(None, None, 3)
    cells = tf.nn.rnn_cell.MultiRNNCell([cell_of(4), tf.nn.rnn_cell.BasicRNNCell(3)])
    y, _ = tf.nn.dynamic_rnn(cells, tf.transpose(x, [1, 0, 2]), dtype=F32, time_major=True)
    return {"x": x}, {"last": y[-1]}


@case
def bidirectional_rnn():
    x = inputs(None, 5, 3)
    y, _ = tf.nn.bidirectional_dynamic_rnn(cell_of(3), tf.nn.rnn_cell.GRUCell(2), x, dtype=F32)
    return {"x": x}, {"y": tf.concat(y, 2)}


@case
def static_rnn():
    x = inputs(None, 4, 3)
    y, _ = tf.nn.static_rnn(cell_of(3), tf.unstack(x, axis=1), dtype=F32)
    return {"x": x}, {"y": y[-1]}


@case
def while_loop():
    x = inputs(None, 3)
    kernel = tf.get_variable("kernel", [3, 3], initializer=tf.random_normal_initializer(stddev=0.5))
    _, y = tf.while_loop(lambda i, _: i < 4, lambda i, v: (i + 1, tf.tanh(tf.matmul(v, kernel))), [0, x])
    return {"x": x}, {"y": y}


@case
def while_loop_data_dependent():
    x = inputs(None, 3)
    scale = tf.get_variable("scale", initializer=1.7)
    y = tf.while_loop(lambda v: tf.reduce_max(tf.abs(v)) < 50.0, lambda v: v * scale + tf.sign(v) * 0.1 + 0.01, [x])
    return {"x": x}, {"y": y}


@case
def nested_while_loops():
    x = inputs(None, 2)
    kernel = tf.get_variable("kernel", [2, 2], initializer=tf.random_normal_initializer(stddev=0.5), use_resource=True)

    def outer(i, v):
        _, v = tf.while_loop(lambda j, _: j <= i, lambda j, w: (j + 1, tf.tanh(tf.matmul(w, kernel))), [0, v])
        return i + 1, v + tf.cast(i, F32)

    return {"x": x}, {"y": tf.while_loop(lambda i, _: i < 3, outer, [0, x])[1]}


@case
def growing_loop_variable():
    x = inputs(None, 3)
    shapes = [tf.TensorShape([]), tf.TensorShape([None, 3])]
    y = tf.while_loop(lambda i, _: i < 3, lambda i, v: (i + 1, tf.concat([v, x * tf.cast(i, F32)], 0)), [0, x], shapes)[
        1
    ]
    return {"x": x}, {"y": y * tf.get_variable("scale", [3], initializer=tf.random_normal_initializer())}


@case
def cond_branches():
    x = inputs(None, 3)
    a, b = (tf.get_variable(n, [3, 2], initializer=tf.random_normal_initializer()) for n in "ab")
    return {"x": x}, {"y": tf.cond(tf.reduce_sum(x) > 0, lambda: tf.matmul(x, a), lambda: tf.matmul(x, b) / 2)}


@case
def nested_conds():
    x = inputs(None, 3)
    w = tf.get_variable("w", [3], initializer=tf.random_normal_initializer())
    total = tf.reduce_sum(x)

    def positive():
        return tf.cond(total > 3, lambda: (x * w, tf.constant(1)), lambda: (x + w, tf.constant(2)))

    y, branch = tf.cond(total > 0, positive, lambda: (tf.identity(x) - w, tf.constant(3)))
    return {"x": x}, {"y": y, "branch": branch}


@case
def cond_in_while():
    x = inputs(None, 3)
    w = tf.get_variable("w", [3], initializer=tf.random_normal_initializer())

    def body(i, v):
        return i + 1, tf.cond(tf.equal(i % 2, 0), lambda: v * w, lambda: tf.nn.relu(v) + 0.5)

    return {"x": x}, {"y": tf.while_loop(lambda i, _: i < 5, body, [0, x])[1]}


@case
def while_in_cond():
    x = inputs(None, 3)
    w = tf.get_variable("w", [3], initializer=tf.random_normal_initializer())

    def loop():
        return tf.while_loop(lambda i, _: i < 3, lambda i, v: (i + 1, tf.tanh(v * w)), [0, x])[1]

    return {"x": x}, {"y": tf.cond(tf.reduce_mean(x) > 0, loop, lambda: x * w)}


@case
def case_statement():
    x, k = inputs(None, 3), inputs(dtype=I32, name="k")
    w = tf.get_variable("w", [3], initializer=tf.random_normal_initializer())
    branches = [(tf.equal(k, 0), lambda: x * w), (tf.equal(k, 1), lambda: x + w)]
    return {"x": x, "k": k}, {"y": tf.case(branches, default=lambda: x - w, exclusive=False)}


@case
def tensor_array():
    x = inputs(4, None)
    w = tf.get_variable("w", initializer=0.7)
    values = tf.TensorArray(F32, 4).unstack(x)
    out = tf.TensorArray(F32, 4, clear_after_read=False)
    _, out = tf.while_loop(
        lambda i, _: i < 4, lambda i, t: (i + 1, t.write(i, tf.tanh(values.read(3 - i) * w))), [0, out]
    )
    return {"x": x}, {"y": out.stack(), "some": out.gather([2, 0])}


@case
def growing_tensor_array():
    x = inputs(None, 3)
    w = tf.get_variable("w", [3], initializer=tf.random_normal_initializer())
    out = tf.TensorArray(F32, 0, dynamic_size=True, element_shape=[None, 3])
    _, out = tf.while_loop(lambda i, _: i < 3, lambda i, t: (i + 1, t.write(i, x * w + tf.cast(i, F32))), [0, out])
    return {"x": x}, {"y": out.stack(), "n": out.size()}


@case
def map_and_scan():
    x = inputs(None, 4)
    w = tf.get_variable("w", [4], initializer=tf.random_normal_initializer())
    mapped = tf.map_fn(lambda row: tf.nn.softmax(row * w), x)
    return {"x": x}, {"map": mapped, "scan": tf.scan(lambda a, row: tf.tanh(a + row), mapped)}


@case
def sparse_input():
    x = tf.sparse_placeholder(F32, [None, 4], name="x")
    w = tf.get_variable("w", [4, 2], initializer=tf.random_normal_initializer())
    return {"x": x}, {"y": tf.sparse_tensor_dense_matmul(x, w)}


@case
def string_ops():
    x = inputs(None, dtype=TEXT, name="text")
    words = tf.string_split(x, " ")
    ids = tf.string_to_hash_bucket_fast(words.values, 20)
    table = tf.get_variable("table", [20, 3], initializer=tf.random_normal_initializer())
    y = tf.nn.embedding_lookup_sparse(
        table, tf.SparseTensor(words.indices, ids, words.dense_shape), None, combiner="sqrtn"
    )
    return {"text": x}, {"y": y, "joined": tf.string_join([x, tf.as_string(tf.size(words.values))], "/")}


@case
def table_from_file():
    path = os.path.join(FOLDER, "vocab.txt")
    with open(path, "w") as stream:
        stream.write("red\ngreen\nblue\n")
    x = inputs(None, 2, dtype=TEXT, name="words")
    table = tf.contrib.lookup.index_table_from_file(path, num_oov_buckets=2)
    weights = tf.get_variable("w", [5, 3], initializer=tf.random_normal_initializer())
    return {"words": x}, {"y": tf.reduce_sum(tf.nn.embedding_lookup(weights, table.lookup(x)), 1)}


@case
def table_from_tensors():
    x = inputs(None, dtype=I64, name="ids")
    names = tf.contrib.lookup.index_to_string_table_from_tensor(["zero", "one", "two"], default_value="many")
    back = tf.contrib.lookup.index_table_from_tensor(["one", "two"], default_value=-1)
    return {"ids": x}, {"name": names.lookup(x), "index": back.lookup(names.lookup(x))}


@case
def custom_gradient():
    x = inputs(None, 3)
    w = tf.get_variable("w", [3], initializer=tf.random_normal_initializer())

    @tf.custom_gradient
    def clipped(v):
        return tf.exp(v), lambda dy: tf.clip_by_value(dy, -0.1, 0.1)

    return {"x": x}, {"y": clipped(x * w)}


@case
def stop_gradient_and_assert():
    x = inputs(None, 3)
    w = tf.get_variable("w", [3], initializer=tf.random_normal_initializer())
    with tf.control_dependencies([tf.Assert(tf.reduce_max(tf.abs(x)) < 1e6, [x]), tf.assert_rank(x, 2)]):
        y = tf.stop_gradient(x * w) * w + tf.check_numerics(x, "finite")
    return {"x": x}, {"y": y}


@case
def attention_block():
    x = inputs(None, 5, 8)
    q, k, v = (
        tf.layers.dense(x, 8, name=n, kernel_initializer=tf.random_normal_initializer(stddev=0.3)) for n in "qkv"
    )
    y = tf.matmul(tf.nn.softmax(tf.matmul(q, k, transpose_b=True) / np.sqrt(8.0)), v) + x
    return {"x": x}, {"y": tf.contrib.layers.layer_norm(y, begin_norm_axis=2)}


@case
def mixed_dtypes():
    x, flags, n = (
        inputs(None, 3, dtype=tf.float64),
        inputs(None, 3, dtype=tf.bool, name="flags"),
        inputs(None, 3, dtype=tf.uint8, name="n"),
    )
    w = tf.get_variable("w", [3], tf.float64, initializer=tf.random_normal_initializer(dtype=tf.float64))
    return {"x": x, "flags": flags, "n": n}, {
        "y": tf.where(flags, x * w, tf.cast(n, tf.float64)), "any": tf.reduce_any(flags, 1), "half": tf.cast(x, tf.float16),
        "complex": tf.complex(x, x * w),
    }  # fmt: skip


@case
def tied_embedding_tagger():
    ids = inputs(None, 6, dtype=I32, name="ids")
    table = tf.get_variable("table", [12, 4], initializer=tf.random_normal_initializer())
    y, _ = tf.nn.dynamic_rnn(tf.nn.rnn_cell.GRUCell(4), tf.nn.embedding_lookup(table, ids), dtype=F32)
    logits = tf.tensordot(y, table, [[2], [1]])
    values, indices = tf.nn.top_k(logits, 2)
    return {"ids": ids}, {"probabilities": tf.nn.softmax(logits), "top": indices, "values": values}


@case
def defun():
    from tensorflow.python.framework import function

    @function.Defun(F32, F32)
    def squash(a, b):
        return tf.tanh(a) * b

    x = inputs(None, 3)
    w = tf.get_variable("w", [3], initializer=tf.random_normal_initializer())
    y = squash(x * w, w + x)
    y.set_shape([None, 3])
    return {"x": x}, {"y": y}


@case
def image_pipeline():
    data = inputs(dtype=TEXT, name="png")
    image = tf.image.resize_images(tf.expand_dims(tf.image.decode_png(data, 3), 0), [8, 8])
    return {"png": data}, {"y": tf.reduce_mean(tf.layers.conv2d(image / 255.0, 2, 3), [1, 2])}


@case
def odd_names():
    x, y = inputs(None, 3, name="image/encoded"), inputs(None, 3, name="b")
    w = tf.get_variable("scope.with-signs/w", [3], initializer=tf.random_normal_initializer())
    return {"image/encoded": x, "class": y, "self": x}, {"out:0": x * w, "a b": tf.identity(y), "lambda": x + y}


@case
def no_inputs():
    w = tf.get_variable("w", [3], initializer=tf.random_normal_initializer())
    return {}, {"y": tf.nn.softmax(w), "steps": tf.while_loop(lambda i: i < 5, lambda i: i + 1, [0])}


def estimator(folder):
    """A classifier over feature columns, exported as Estimators are."""
    fc = tf.feature_column
    color = fc.categorical_column_with_vocabulary_list("color", ["red", "green", "blue"])
    words = fc.categorical_column_with_hash_bucket("word", 12)
    age = fc.numeric_column("age")
    columns = [
        age, fc.indicator_column(color), fc.embedding_column(words, 3),
        fc.bucketized_column(age, [0.0, 1.0]),
        fc.indicator_column(fc.crossed_column(["color", "word"], 7)),
    ]  # fmt: skip
    model = tf.estimator.DNNClassifier([5], columns, n_classes=3, model_dir=os.path.join(folder, "estimator_run"))

    def data():
        features = {
            "color": ["red", "blue", "green", "pink"],
            "word": ["a", "b", "c", "d"],
            "age": [0.5, -1.0, 2.0, 0.1],
        }
        return tf.data.Dataset.from_tensors((features, [0, 1, 2, 1])).repeat(3)

    model.train(data)
    receiver = tf.estimator.export.build_parsing_serving_input_receiver_fn(fc.make_parse_example_spec(columns))
    made = model.export_savedmodel(os.path.join(folder, "estimator_export"), receiver)
    os.rename(made, os.path.join(folder, "estimator"))


def export(name, folder):
    with tf.Graph().as_default(), tf.Session() as session:
        tf.set_random_seed(7)
        given, made = CASES[name]()
        session.run([tf.global_variables_initializer(), tf.tables_initializer()])
        rng = np.random.RandomState(3)
        for variable in tf.global_variables():  # moving means and variances of their own
            if "moving_" in variable.op.name:
                variable.load(np.abs(rng.randn(*variable.shape.as_list())) + 0.2, session)
        builder = tf.saved_model.builder.SavedModelBuilder(os.path.join(folder, name))
        infos = [{n: tf.saved_model.utils.build_tensor_info(t) for n, t in side.items()} for side in (given, made)]
        signature = tf.saved_model.signature_def_utils.build_signature_def(*infos)
        builder.add_meta_graph_and_variables(
            session, ["serve"], {"serving_default": signature},
            assets_collection=tf.get_collection(tf.GraphKeys.ASSET_FILEPATHS), legacy_init_op=tf.tables_initializer(),
        )  # fmt: skip
        builder.save()


FOLDER = sys.argv[1]
if __name__ == "__main__":
    tf.logging.set_verbosity(tf.logging.ERROR)
    for chosen in sys.argv[2:] or [*sorted(CASES), "estimator"]:
        if chosen == "estimator":
            estimator(FOLDER)
        else:
            export(chosen, FOLDER)
