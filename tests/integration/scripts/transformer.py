"""A small Transformer of custom layers, for TensorFlow 1.15 and for Keras 3: python transformer.py FOLDER.

Written as most are: attention with several heads as a layer of Dense layers, positional encodings as a constant, an
encoder layer of these. Run as a script, in TensorFlow 1.15, it saves a functional model (model.h5), the weights of a
subclassed one (weights.h5), and a SavedModel, with what they compute (golden.npz).
"""

import sys

import numpy as np
import tensorflow as tf

keras = tf.keras
WORDS, STEPS, WIDTH, HEADS = 17, 9, 8, 2


class PositionalEncoding(keras.layers.Layer):
    """Adds sines and cosines of the position (Vaswani and others, 2017, section 3.5)."""

    def __init__(self, steps=STEPS, **kwargs):
        super(PositionalEncoding, self).__init__(**kwargs)
        self.steps = steps

    def call(self, x):
        width = int(x.shape[-1])
        angles = np.arange(self.steps)[:, None] / np.power(10000.0, 2 * (np.arange(width)[None] // 2) / float(width))
        angles[:, 0::2], angles[:, 1::2] = np.sin(angles[:, 0::2]), np.cos(angles[:, 1::2])
        return x + tf.cast(tf.constant(angles[None]), tf.float32)[:, : tf.shape(x)[1]]

    def compute_output_shape(self, shape):
        return shape

    def get_config(self):
        return dict(super(PositionalEncoding, self).get_config(), steps=self.steps)


class MultiHeadSelfAttention(keras.layers.Layer):
    def __init__(self, width, heads, **kwargs):
        super(MultiHeadSelfAttention, self).__init__(**kwargs)
        self.width, self.heads = width, heads
        self.wq, self.wk = keras.layers.Dense(width), keras.layers.Dense(width)
        self.wv, self.out = keras.layers.Dense(width), keras.layers.Dense(width)

    def split(self, x):
        x = tf.reshape(x, [tf.shape(x)[0], -1, self.heads, self.width // self.heads])
        return tf.transpose(x, [0, 2, 1, 3])

    def call(self, x):
        q, k, v = self.split(self.wq(x)), self.split(self.wk(x)), self.split(self.wv(x))
        scores = tf.matmul(q, k, transpose_b=True) / float(np.sqrt(self.width // self.heads))
        joined = tf.transpose(tf.matmul(tf.nn.softmax(scores), v), [0, 2, 1, 3])
        return self.out(tf.reshape(joined, [tf.shape(x)[0], -1, self.width]))

    def compute_output_shape(self, shape):
        return shape

    def get_config(self):
        return dict(super(MultiHeadSelfAttention, self).get_config(), width=self.width, heads=self.heads)


class Normalization(keras.layers.Layer):
    """Layer normalization, which TensorFlow 1.15 has under another path than later versions."""

    def build(self, shape):
        self.gamma = self.add_weight(name="gamma", shape=(int(shape[-1]),), initializer="ones")
        self.beta = self.add_weight(name="beta", shape=(int(shape[-1]),), initializer="zeros")
        super(Normalization, self).build(shape)

    def call(self, x):
        mean, variance = tf.nn.moments(x, [-1], keepdims=True)
        return (x - mean) / tf.sqrt(variance + 1e-6) * self.gamma + self.beta

    def compute_output_shape(self, shape):
        return shape


class EncoderLayer(keras.layers.Layer):
    def __init__(self, width, heads, inner=16, rate=0.1, **kwargs):
        super(EncoderLayer, self).__init__(**kwargs)
        self.width, self.heads, self.inner, self.rate = width, heads, inner, rate
        self.attention = MultiHeadSelfAttention(width, heads)
        self.hidden, self.back = keras.layers.Dense(inner, activation="relu"), keras.layers.Dense(width)
        self.first, self.second = Normalization(), Normalization()
        self.dropout = keras.layers.Dropout(rate)

    def call(self, x, training=None):
        x = self.first(x + self.dropout(self.attention(x), training=training))
        return self.second(x + self.dropout(self.back(self.hidden(x)), training=training))

    def compute_output_shape(self, shape):
        return shape

    def get_config(self):
        more = {"width": self.width, "heads": self.heads, "inner": self.inner, "rate": self.rate}
        return dict(super(EncoderLayer, self).get_config(), **more)


class Transformer(keras.Model):
    """The same as a subclassed model."""

    def __init__(self, words=WORDS, width=WIDTH, heads=HEADS, classes=3, **kwargs):
        super(Transformer, self).__init__(**kwargs)
        self.sizes = {"words": words, "width": width, "heads": heads, "classes": classes}
        self.embedding = keras.layers.Embedding(words, width)
        self.position = PositionalEncoding()
        self.encoders = [EncoderLayer(width, heads), EncoderLayer(width, heads)]
        self.pool, self.head = keras.layers.GlobalAveragePooling1D(), keras.layers.Dense(classes)

    def call(self, x, training=None):
        x = self.position(self.embedding(x))
        for encoder in self.encoders:
            x = encoder(x, training=training)
        return self.head(self.pool(x))

    def compute_output_shape(self, shape):
        return (shape[0], self.sizes["classes"])

    def get_config(self):
        return dict(self.sizes)


def functional():
    """The Transformer as a functional model of its layers."""
    x = keras.layers.Input(shape=(STEPS,), name="words")
    y = PositionalEncoding(name="position")(keras.layers.Embedding(WORDS, WIDTH)(x))
    for _ in range(2):
        y = EncoderLayer(WIDTH, HEADS)(y)
    return keras.Model(x, keras.layers.Dense(3, name="head")(keras.layers.GlobalAveragePooling1D()(y)))


def subclassed():
    """The subclassed Transformer, told what its input is."""
    x = keras.layers.Input(shape=(STEPS,), name="words")
    return keras.Model(x, Transformer(name="transformer")(x))


def write(folder):
    rng = np.random.RandomState(7)
    words = rng.randint(0, WORDS, (4, STEPS)).astype("float32")
    golden = {"words": words}
    for name, build in (("functional", functional), ("subclassed", subclassed)):
        model = build()
        model.set_weights([w + rng.uniform(-0.3, 0.3, w.shape) for w in model.get_weights()])
        golden[name] = model.predict(words)
        if name == "functional":
            model.save(folder + "/model.h5", include_optimizer=False)
            inputs, outputs = {"words": model.inputs[0]}, {"scores": model.outputs[0]}
            tf.compat.v1.saved_model.simple_save(keras.backend.get_session(), folder + "/saved", inputs, outputs)
        else:
            model.save_weights(folder + "/weights.h5")
    np.savez(folder + "/golden.npz", **golden)


if __name__ == "__main__":
    write(sys.argv[1])
