"""Writes models with Lambdas and custom layers, and what TensorFlow 1 makes of them: python code_family.py FOLDER.

For each: NAME.h5, and NAME.npz with inputs, outputs and, for a loss of fixed random factors, the gradient of every
trained weight and input; where training computes something else without chance, also outputs and weights of one
training call. Weights are found again by their values.
"""

import os
import sys

import code_objects as c
import h5py  # noqa: F401
import numpy as np
import tensorflow as tf

keras, K, L = tf.keras, tf.keras.backend, tf.keras.layers
FOLDER = sys.argv[1]
CASES = {}
OFFSET = 0.25  # taken by a Lambda from the module around it


def case(function):
    CASES[function.__name__] = function
    return function


def lam(name, function, *shapes, **kwargs):
    def build():
        inputs = [L.Input(shape=shape) for shape in shapes or ((6,),)]
        return inputs, L.Lambda(function, **kwargs)(inputs if len(inputs) > 1 else inputs[0])

    CASES["lambda_" + name] = build


lam("scale", lambda x: x / 127.5 - 1.0, (4, 4, 3))
lam("affine", lambda x: 2.0 * x + 3.0)
lam("square", lambda x: K.square(x))
lam("power", lambda x: x**3)
lam("exp_log", lambda x: K.log(1.0 + K.exp(x)))
lam("abs_sqrt", lambda x: K.sqrt(K.abs(x) + 0.1))
lam("sigmoid_tanh", lambda x: K.sigmoid(x) * K.tanh(x))
lam("swish", lambda x: tf.nn.swish(x))
lam("elu", lambda x: K.elu(x))
lam("softplus", lambda x: K.softplus(x))
lam("leaky", lambda x: tf.nn.leaky_relu(x, 0.3))
lam("relu6", lambda x: tf.nn.relu6(x))
lam("clip", lambda x: K.clip(x, -0.3, 0.4))
lam("mean", lambda x: K.mean(x, axis=1), (5, 3))
lam("mean_all", lambda x: K.mean(x, axis=[1, 2]), (4, 5, 3))
lam("sum", lambda x: K.sum(x, axis=-1, keepdims=True), (5, 3))
lam("max", lambda x: K.max(x, axis=1), (5, 3))
lam("min", lambda x: tf.reduce_min(x, 2), (5, 3))
lam("prod", lambda x: K.prod(x, axis=1), (3,))
lam("std", lambda x: K.std(x, axis=1), (5, 3))
lam("var", lambda x: K.var(x, axis=-1, keepdims=True), (5, 3))
lam("logsumexp", lambda x: tf.reduce_logsumexp(x, 1), (5,))
lam("l2", lambda x: K.l2_normalize(x, axis=1))
lam("softmax_axis", lambda x: tf.nn.softmax(x, 1), (5, 3))
lam("argmax", lambda x: K.cast(K.argmax(x, axis=-1), "float32"), (5, 3))
lam("one_hot", lambda x: K.one_hot(K.cast(K.clip(x, 0, 1) * 4, "int32"), 5), (4,))
lam("squeeze", lambda x: K.squeeze(x, 2), (5, 1))
lam("expand", lambda x: K.expand_dims(x, 1))
lam("stack", lambda x: K.stack([x, 2 * x], axis=1))
lam("concat", lambda x: K.concatenate([x, -x], axis=-1))
lam("slice", lambda x: x[:, 1:4])
lam("slice_last", lambda x: x[:, -1, :], (5, 3))
lam("slice_strided", lambda x: x[:, ::2, 1:], (5, 3))
lam("slice_channels", lambda x: x[..., 0:1], (4, 4, 3))
lam("reverse", lambda x: K.reverse(x, 1), (5, 3))
lam("permute", lambda x: K.permute_dimensions(x, (0, 2, 1)), (5, 3))
lam("reshape", lambda x: tf.reshape(x, [-1, 3, 5]), (5, 3))
lam("flatten", lambda x: K.batch_flatten(x), (5, 3))
lam("tile", lambda x: tf.tile(x, [1, 2]))
lam("repeat", lambda x: K.repeat_elements(x, 3, axis=1))
lam("pad", lambda x: K.spatial_2d_padding(x, ((1, 0), (0, 2))), (3, 3, 2))
lam("resize", lambda x: tf.image.resize_nearest_neighbor(x, (6, 6)), (3, 3, 2))
lam("resize_bilinear", lambda x: tf.image.resize_bilinear(x, (5, 7)), (3, 4, 2))
lam("depth_to_space", lambda x: tf.depth_to_space(x, 2), (3, 3, 8))
lam("gather", lambda x: tf.gather(x, [2, 0], axis=1), (4, 3))
lam("cumsum", lambda x: tf.cumsum(x, 1), (4, 3))
lam("top_k", lambda x: tf.nn.top_k(x, 3).values)
lam("where", lambda x: tf.where(x > 0.0, x, 0.1 * x))
lam("l1_distance", lambda p: K.abs(p[0] - p[1]), (6,), (6,))
lam("euclidean", lambda p: K.sqrt(K.sum(K.square(p[0] - p[1]), axis=1, keepdims=True) + 1e-6), (6,), (6,))
lam("cosine", lambda p: K.sum(K.l2_normalize(p[0], 1) * K.l2_normalize(p[1], 1), axis=1, keepdims=True), (6,), (6,))
lam("batch_dot", lambda p: K.batch_dot(p[0], p[1], axes=[2, 2]), (4, 3), (5, 3))
lam("attention_sum", lambda p: K.sum(p[0] * K.expand_dims(p[1], -1), axis=1), (5, 3), (5,))
lam("dueling", lambda a: K.expand_dims(a[:, 0], -1) + a[:, 1:] - K.mean(a[:, 1:], axis=1, keepdims=True), (6,))
lam("module_constant", lambda x: x + OFFSET)
lam("conv", lambda x: K.conv2d(x, K.ones((2, 2, 2, 3))), (4, 4, 2))
lam("map_fn", lambda x: tf.map_fn(lambda row: row * 2.0 + 1.0, x))
lam(
    "while",
    lambda x: tf.while_loop(lambda i, y: i < 3, lambda i, y: (i + 1, y * 0.5 + x), [0, x])[1],
    output_shape=(6,),
)
lam("cond", lambda x: tf.cond(tf.reduce_sum(x) > 0, lambda: x * 2.0, lambda: x * 3.0), output_shape=(6,))
lam("arguments", lambda x, factor=1.0: x * factor, arguments={"factor": 1.5})
lam("training", lambda x: K.in_train_phase(x * 0.5, x))


def one(layer, shape, *more):
    x = L.Input(shape=shape)
    return [x], layer(x)


CASES.update(
    scale=lambda: one(c.Scale(), (6,)),
    attention_pool=lambda: one(c.AttentionPool(), (5, 3)),
    self_attention=lambda: one(c.SelfAttention(), (5, 4)),
    positional=lambda: one(c.PositionalEncoding(), (5, 4)),
    layer_norm=lambda: one(c.LayerNorm(), (5, 4)),
    instance_norm=lambda: one(c.InstanceNorm(), (4, 4, 3)),
    group_norm=lambda: one(c.GroupNorm(), (4, 4, 4)),
    noise=lambda: one(c.Noise(), (6,)),
    shrink=lambda: one(c.Shrink(), (6,)),
    center=lambda: one(c.Center(), (6,)),
    halves=lambda: one(c.Halves(), (6,)),
    iterate=lambda: one(c.Iterate(), (6,)),
    branch=lambda: one(c.Branch(), (6,)),
    inner=lambda: one(c.Inner(), (6,)),
    reflection=lambda: one(c.ReflectionPad(), (4, 5, 2)),
    rnn_cell=lambda: one(L.RNN(c.Cell(), return_sequences=True), (5, 3)),
    bidirectional=lambda: one(L.Bidirectional(L.RNN(c.Cell())), (5, 3)),
    time_distributed=lambda: one(L.TimeDistributed(c.Scale()), (5, 3)),
    time_distributed_norm=lambda: one(L.TimeDistributed(c.InstanceNorm()), (3, 4, 4, 2)),
    named_function=lambda: one(L.Dense(3, activation=c.double_relu), (6,)),
    unnamed_function=lambda: one(L.Dense(3, activation=lambda x: K.sigmoid(x) - 0.5, name="dense_named"), (6,)),
    no_config=lambda: one(c.NoConfig(3.0, name="factored"), (6,)),
)


@case
def nested_loops():
    x = L.Input(shape=(6,))
    return [x], c.NestedLoops()(x)


@case
def own_mask():
    """A layer that makes a mask, as an Embedding does, before one that uses it."""
    x = L.Input(shape=(5,))
    return [x], L.LSTM(3, recurrent_activation="sigmoid")(c.MaskedLookup()(x))


@case
def gate():
    a, b = L.Input(shape=(6,)), L.Input(shape=(4,))
    return [a, b], c.Gate()([a, b])


@case
def lookup():
    x = L.Input(shape=(5,))
    return [x], L.GlobalAveragePooling1D()(c.Lookup()(x))


@case
def masked_attention():
    x = L.Input(shape=(5, 3))
    return [x], c.AttentionPool()(L.Masking()(x))


@case
def shared():
    layer, x, y = c.Inner(name="twice"), L.Input(shape=(6,)), L.Input(shape=(4, 6))
    return [x, y], L.Add()([layer(x), L.GlobalMaxPooling1D()(layer(y))])


@case
def nested():
    x = L.Input(shape=(6,))
    inside = keras.models.Model(x, L.Lambda(lambda t: t * 2.0)(c.Scale(name="deep")(L.Dense(4)(x))), name="inside")
    y = L.Input(shape=(6,))
    return [y], L.Dense(2)(inside(y))


@case
def transformer_block():
    x = L.Input(shape=(None, 4))
    y = c.PositionalEncoding()(x)
    y = c.LayerNorm()(L.Add()([y, c.SelfAttention()(y)]))
    y = c.LayerNorm()(L.Add()([y, L.Dense(4)(L.Dense(8, activation="relu")(y))]))
    return [x], L.Dense(2)(L.GlobalAveragePooling1D()(y))


def sampling():
    """A variational autoencoder: its encoder draws random numbers inside of a nested model."""

    def sample(args):
        return args[0] + K.exp(0.5 * args[1]) * K.random_normal(shape=K.shape(args[0]))

    x = L.Input(shape=(6,))
    mean, spread = L.Dense(2)(x), L.Dense(2)(x)
    drawn = L.Lambda(sample, output_shape=(2,), name="drawn")([mean, spread])
    encoder = keras.models.Model(x, [mean, drawn], name="encoder")
    return [x], L.Dense(6)(encoder(x)[1])


def two_samplings():
    x = L.Input(shape=(6,))
    y = L.Lambda(lambda t: t + K.random_normal(shape=K.shape(t), stddev=0.1), name="noised")(L.Dense(4)(x))
    return [x], L.Dense(2)(L.Lambda(lambda t: t * K.random_uniform(shape=K.shape(t)), name="scaled")(y))


def ctc():
    """A recognizer with its loss as a layer, as in the examples of Keras."""
    x, labels = L.Input(shape=(12, 4)), L.Input(shape=(4,))
    steps, lengths = L.Input(shape=(1,), dtype="int64"), L.Input(shape=(1,), dtype="int64")
    scores = L.Activation("softmax")(L.Dense(5)(x))
    given = [labels, scores, steps, lengths]
    return [x, labels, steps, lengths], L.Lambda(lambda a: K.ctc_batch_cost(*a), output_shape=(1,), name="ctc")(given)


def write(name, build):
    K.clear_session()
    rng = np.random.RandomState(len(name) + sum(map(ord, name)))
    inputs, outputs = build()
    outputs = outputs if isinstance(outputs, list) else [outputs]
    model = keras.models.Model(inputs, outputs)
    model.set_weights([rng.uniform(0.2, 1.0, w.shape) * rng.choice([-1, 1], w.shape) for w in model.get_weights()])
    fed = []
    for tensor in inputs:
        shape = [3] + [d or 5 for d in tensor.shape.as_list()[1:]]
        fed.append(rng.uniform(-1, 1, shape).astype("float32"))
        if "mask" in name:
            fed[-1][:, 3:] = 0
    values = {}
    updates = list(model.updates)
    session = K.get_session()  # which gives all variables their start
    feeds = dict(zip(inputs, fed))
    phase = K.learning_phase()

    def run(tensors, training):
        given = dict(feeds)
        given.update({} if isinstance(phase, int) else {phase: training})
        return session.run(tensors, given)

    found = run(outputs, False)
    factors = [rng.uniform(-1, 1, o.shape).astype("float32") for o in found]
    loss = tf.add_n([tf.reduce_sum(tf.cast(o, tf.float32) * f) for o, f in zip(outputs, factors)])
    wanted = [t for t in inputs if t.dtype.is_floating] + model.trainable_weights
    gradients = [g if g is None else tf.convert_to_tensor(g) for g in tf.gradients(loss, wanted)]
    kept = [(t, g) for t, g in zip(wanted, gradients) if g is not None]
    computed = run([g for _, g in kept], False)
    for (tensor, _), value in zip(kept, computed):
        places = [i for i, x in enumerate(inputs) if x is tensor]
        if places:
            values["dx%d" % places[0]] = value
        else:
            index = [i for i, w in enumerate(model.trainable_weights) if w is tensor][0]
            values["w%d" % index], values["dw%d" % index] = session.run(tensor), value
    values.update({"x%d" % i: a for i, a in enumerate(fed)})
    values.update({"y%d" % i: a for i, a in enumerate(found)})
    values.update({"f%d" % i: a for i, a in enumerate(factors)})
    if name in ("shrink", "center", "lambda_training"):
        before = session.run(model.non_trainable_weights)
        trained = run([outputs, updates], True)[0]
        values.update({"t%d" % i: a for i, a in enumerate(trained)})
        for index, new in enumerate(session.run(model.non_trainable_weights)):
            values["new%d" % index] = new
        for weight, old in zip(model.non_trainable_weights, before):
            K.set_value(weight, old)
    model.save(os.path.join(FOLDER, name + ".h5"), include_optimizer=False)
    np.savez(os.path.join(FOLDER, name + ".npz"), **values)


def write_model(name, build):
    """Only the file: what it computes depends on chance, or on inputs that fit one another."""
    K.clear_session()
    keras.models.Model(*build()).save(os.path.join(FOLDER, name + ".h5"), include_optimizer=False)


#: written by TensorFlow 1.15 only: one operation each, which the others hold too
FEW = {
    "lambda_" + name
    for name in (
        "power", "exp_log", "abs_sqrt", "elu", "softplus", "relu6", "sum", "min", "prod", "std", "slice", "slice_strided",
        "concat", "permute", "flatten", "repeat", "resize", "cumsum", "top_k", "l1_distance",
    )
}  # fmt: skip
if tf.__version__.startswith("1.12"):
    for _name in FEW | {"layer_norm", "group_norm", "branch", "reflection", "rnn_cell", "named_function", "lookup"}:
        del CASES[_name]
else:
    del CASES["nested_loops"]  # its loops are functions there, through which today's TensorFlow loses the gradient
WRITERS = dict.fromkeys(CASES, write)
for _model in (sampling, two_samplings, ctc):
    CASES[_model.__name__], WRITERS[_model.__name__] = _model, write_model
for _name, _build in sorted(CASES.items()):
    try:
        with keras.utils.custom_object_scope({"Cell": c.Cell}):
            WRITERS[_name](_name, _build)
    except Exception as error:
        print("%s: %s: %s" % (_name, type(error).__name__, str(error)[:300]))
print(len(CASES))
