"""Custom layers of many kinds, as projects of the TensorFlow 1 years wrote them; given with --custom-objects."""

import numpy as np
import tensorflow as tf

keras = tf.keras
K = keras.backend
OFFSET = 0.25  # taken by a Lambda from the module around it


class Scale(keras.layers.Layer):
    def build(self, shape):
        size = int(shape[-1])
        self.gain = self.add_weight("gain", (size,), initializer="ones")
        self.shift = self.add_weight("shift", (size,), initializer="zeros", trainable=False)
        super(Scale, self).build(shape)

    def call(self, x):
        return x * self.gain + self.shift

    def compute_output_shape(self, shape):
        return shape


class AttentionPool(keras.layers.Layer):
    """Looks at its mask, and lets none go on."""

    def __init__(self, units=4, **kwargs):
        super(AttentionPool, self).__init__(**kwargs)
        self.units = units
        self.supports_masking = True

    def build(self, shape):
        self.w = self.add_weight("w", (int(shape[-1]), self.units), initializer="glorot_uniform")
        self.u = self.add_weight("u", (self.units, 1), initializer="glorot_uniform")
        super(AttentionPool, self).build(shape)

    def call(self, x, mask=None):
        scores = K.squeeze(K.dot(K.tanh(K.dot(x, self.w)), self.u), -1)
        if mask is not None:
            scores -= 1e9 * (1.0 - K.cast(mask, K.floatx()))
        weights = K.softmax(scores)
        return K.sum(x * K.expand_dims(weights, -1), axis=1)

    def compute_mask(self, inputs, mask=None):
        return None

    def compute_output_shape(self, shape):
        return tuple(shape[:1]) + tuple(shape[2:])

    def get_config(self):
        return dict(super(AttentionPool, self).get_config(), units=self.units)


class SelfAttention(keras.layers.Layer):
    """Several heads, with layers inside."""

    def __init__(self, heads=2, **kwargs):
        super(SelfAttention, self).__init__(**kwargs)
        self.heads = heads

    def build(self, shape):
        size = int(shape[-1])
        self.q, self.k, self.v = (self.add_weight(n, (size, size), initializer="glorot_uniform") for n in "qkv")
        self.out = self.add_weight("out", (size, size), initializer="glorot_uniform")
        super(SelfAttention, self).build(shape)

    def _split(self, x, w):
        steps, size = tf.shape(x)[1], int(x.shape[-1])
        y = tf.reshape(tf.tensordot(x, w, 1), tf.stack([-1, steps, self.heads, size // self.heads]))
        return tf.transpose(y, [0, 2, 1, 3])

    def call(self, x):
        q, k, v = self._split(x, self.q), self._split(x, self.k), self._split(x, self.v)
        weights = tf.nn.softmax(tf.matmul(q, k, transpose_b=True) / np.sqrt(int(x.shape[-1]) // self.heads))
        y = tf.transpose(tf.matmul(weights, v), [0, 2, 1, 3])
        y = tf.reshape(y, tf.stack([-1, tf.shape(x)[1], int(x.shape[-1])]))
        return tf.tensordot(y, self.out, 1)

    def compute_output_shape(self, shape):
        return shape

    def get_config(self):
        return dict(super(SelfAttention, self).get_config(), heads=self.heads)


class PositionalEncoding(keras.layers.Layer):
    def call(self, x):
        size = int(x.shape[-1])
        angles = np.arange(50)[:, None] / np.power(10000.0, 2 * (np.arange(size)[None] // 2) / float(size))
        angles[:, 0::2], angles[:, 1::2] = np.sin(angles[:, 0::2]), np.cos(angles[:, 1::2])
        return x + tf.constant(angles[None], tf.float32)[:, : tf.shape(x)[1], :]

    def compute_output_shape(self, shape):
        return shape


class LayerNorm(keras.layers.Layer):
    def build(self, shape):
        self.gamma = self.add_weight("gamma", (int(shape[-1]),), initializer="ones")
        self.beta = self.add_weight("beta", (int(shape[-1]),), initializer="zeros")
        super(LayerNorm, self).build(shape)

    def call(self, x):
        mean, variance = (
            tf.nn.moments(x, [-1], keep_dims=True) if hasattr(tf, "log") else tf.nn.moments(x, [-1], keepdims=True)
        )
        return self.gamma * (x - mean) / tf.sqrt(variance + 1e-6) + self.beta


class InstanceNorm(keras.layers.Layer):
    def build(self, shape):
        self.gamma = self.add_weight("gamma", (int(shape[-1]),), initializer="ones")
        self.beta = self.add_weight("beta", (int(shape[-1]),), initializer="zeros")
        super(InstanceNorm, self).build(shape)

    def call(self, x):
        mean, std = K.mean(x, [1, 2], keepdims=True), K.std(x, [1, 2], keepdims=True) + 1e-3
        return (x - mean) / std * self.gamma + self.beta

    def compute_output_shape(self, shape):
        return shape


class GroupNorm(keras.layers.Layer):
    def __init__(self, groups=2, **kwargs):
        super(GroupNorm, self).__init__(**kwargs)
        self.groups = groups

    def build(self, shape):
        self.gamma = self.add_weight("gamma", (int(shape[-1]),), initializer="ones")
        super(GroupNorm, self).build(shape)

    def call(self, x):
        shape = K.shape(x)
        size = int(x.shape[-1])
        g = K.reshape(x, K.stack([shape[0], shape[1] * shape[2], self.groups, size // self.groups]))
        mean, var = K.mean(g, [1, 3], keepdims=True), K.var(g, [1, 3], keepdims=True)
        return K.reshape((g - mean) / K.sqrt(var + 1e-5), shape) * self.gamma

    def compute_output_shape(self, shape):
        return shape

    def get_config(self):
        return dict(super(GroupNorm, self).get_config(), groups=self.groups)


class Noise(keras.layers.Layer):
    """Another thing in training, with random numbers."""

    def call(self, x, training=None):
        def noised():
            return x * K.cast(K.random_uniform(K.shape(x)) > 0.5, "float32")

        return K.in_train_phase(noised, x, training=training)


class Shrink(keras.layers.Layer):
    """Another thing in training, without random numbers."""

    def build(self, shape):
        self.rate = self.add_weight("rate", (1,), initializer="ones")
        super(Shrink, self).build(shape)

    def call(self, x, training=None):
        return K.in_train_phase(lambda: x * 0.5 * self.rate, lambda: x * self.rate, training=training)


class Center(keras.layers.Layer):
    """Keeps a moving average, which training updates and inference uses."""

    def build(self, shape):
        self.center = self.add_weight("center", (int(shape[-1]),), initializer="zeros", trainable=False)
        super(Center, self).build(shape)

    def call(self, x, training=None):
        mean = K.mean(x, axis=0)
        self.add_update(K.moving_average_update(self.center, mean, 0.9), x)
        return x - K.in_train_phase(mean, self.center, training=training)


class Gate(keras.layers.Layer):
    """Two inputs."""

    def build(self, shapes):
        self.w = self.add_weight("w", (int(shapes[0][-1]), int(shapes[1][-1])), initializer="glorot_uniform")
        super(Gate, self).build(shapes)

    def call(self, inputs):
        return K.sigmoid(K.dot(inputs[0], self.w)) * inputs[1]

    def compute_output_shape(self, shapes):
        return shapes[1]


class Halves(keras.layers.Layer):
    """Two outputs."""

    def build(self, shape):
        self.w = self.add_weight("w", (int(shape[-1]), 4), initializer="glorot_uniform")
        super(Halves, self).build(shape)

    def call(self, x):
        y = K.dot(x, self.w)
        return [y[:, :2], K.tanh(y[:, 2:])]

    def compute_output_shape(self, shape):
        return [(shape[0], 2), (shape[0], 2)]

    def compute_mask(self, inputs, mask=None):
        return [None, None]


class Iterate(keras.layers.Layer):
    """A while loop."""

    def build(self, shape):
        self.w = self.add_weight("w", (int(shape[-1]), int(shape[-1])), initializer="glorot_uniform")
        super(Iterate, self).build(shape)

    def call(self, x):
        def body(i, y):
            return i + 1, tf.tanh(tf.matmul(y, self.w)) + x

        _, y = tf.while_loop(lambda i, y: i < 4, body, [tf.constant(0), x])
        y.set_shape(x.shape)
        return y


class NestedLoops(keras.layers.Layer):
    """A weight that is read by a loop inside of a loop."""

    def build(self, shape):
        self.w = self.add_weight("w", (int(shape[-1]), int(shape[-1])), initializer="glorot_uniform")
        super(NestedLoops, self).build(shape)

    def call(self, x):
        def inner(j, z):
            return j + 1, 0.5 * tf.tanh(tf.matmul(z, self.w)) + x

        def outer(i, y):
            return i + 1, y + tf.while_loop(lambda j, z: j < 2, inner, [tf.constant(0), y])[1]

        _, y = tf.while_loop(lambda i, y: i < 3, outer, [tf.constant(0), x])
        y.set_shape(x.shape)
        return y


class Branch(keras.layers.Layer):
    """A condition on the data."""

    def build(self, shape):
        self.w = self.add_weight("w", (int(shape[-1]),), initializer="ones")
        super(Branch, self).build(shape)

    def call(self, x):
        y = tf.cond(tf.reduce_mean(x) > 0.0, lambda: x * self.w, lambda: x - self.w)
        y.set_shape(x.shape)
        return y


class Inner(keras.layers.Layer):
    """Layers inside of a layer."""

    def __init__(self, units=3, **kwargs):
        super(Inner, self).__init__(**kwargs)
        self.units = units
        self.first = keras.layers.Dense(units, activation="relu")
        self.second = keras.layers.Dense(units)

    def build(self, shape):
        self.first.build(shape)
        self.second.build(tuple(shape[:-1]) + (self.units,))
        self._trainable_weights = []
        for layer in (self.first, self.second):
            if layer not in getattr(self, "_layers", []):
                self._trainable_weights += layer.trainable_weights
        super(Inner, self).build(shape)

    def call(self, x):
        return self.second(self.first(x))

    def compute_output_shape(self, shape):
        return tuple(shape[:-1]) + (self.units,)

    def get_config(self):
        return dict(super(Inner, self).get_config(), units=self.units)


class Cell(keras.layers.Layer):
    """A cell for an RNN."""

    def __init__(self, units=3, **kwargs):
        super(Cell, self).__init__(**kwargs)
        self.units = self.state_size = units

    def build(self, shape):
        self.kernel = self.add_weight("kernel", (int(shape[-1]), self.units), initializer="glorot_uniform")
        self.recurrent = self.add_weight("recurrent", (self.units, self.units), initializer="orthogonal")
        self.built = True

    def call(self, x, states):
        y = K.tanh(K.dot(x, self.kernel) + 0.5 * K.dot(states[0], self.recurrent))
        return y, [y]

    def get_config(self):
        return dict(super(Cell, self).get_config(), units=self.units)


class Lookup(keras.layers.Layer):
    """Gathers rows of a table by whole numbers, and makes a mask of its own."""

    def build(self, shape):
        self.table = self.add_weight("table", (7, 3), initializer="uniform")
        super(Lookup, self).build(shape)

    def call(self, x):
        return K.gather(self.table, K.cast(K.abs(x) * 6.0, "int32"))

    def compute_output_shape(self, shape):
        return tuple(shape) + (3,)


class MaskedLookup(Lookup):
    """The same, and rows of the first number are masked."""

    def compute_mask(self, x, mask=None):
        return K.not_equal(K.cast(K.abs(x) * 6.0, "int32"), 0)


class ReflectionPad(keras.layers.Layer):
    def call(self, x):
        return tf.pad(x, [[0, 0], [1, 1], [2, 2], [0, 0]], "REFLECT")

    def compute_output_shape(self, shape):
        return (shape[0], shape[1] + 2, shape[2] + 4, shape[3])


class NoConfig(keras.layers.Layer):
    """Cannot say how it was made."""

    def __init__(self, factor, **kwargs):
        super(NoConfig, self).__init__(**kwargs)
        self.factor = factor

    def call(self, x):
        return x * self.factor

    def get_config(self):
        return {"name": self.name}


def double_relu(x):
    return 2.0 * K.relu(x)


def dense_named_activation(x):
    return K.sigmoid(x) - 0.5
