# ruff: noqa: TID251 - runs in other environments, of other Pythons
"""A layer of one's own, in the words of every TensorFlow from 1.12 on."""

import tensorflow as tf


class Double(tf.keras.layers.Layer):
    def call(self, inputs):
        return inputs * 2
