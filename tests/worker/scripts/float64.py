"""What stands in for TensorFlow's operations while a model is computed in float64. Prints differences as JSON."""

import json
import sys

import numpy as np
import tensorflow as tf
from tfworker import compat, compat_exact, exact

SINGLE = float(np.float32(0.3))


def value(tensor):
    return tf.Session().run(tensor) if hasattr(tf, "Session") else tensor.numpy()


def off(found, expected):
    found = value(found)
    assert str(found.dtype) == "float64", found.dtype
    return float(np.abs(found - expected).max())


def windows(x, reduce):
    """A 3D pool of 3 x 2 x 2 with strides of 2, padded as SAME pads, of numbers with the channels last."""
    out = np.empty((x.shape[0], 2, 3, 2, x.shape[4]))
    for d, h, w in np.ndindex(2, 3, 2):
        low = 2 * d - (1 if x.shape[1] == 3 else 0)
        out[:, d, h, w] = reduce(x[:, max(0, low) : low + 3, 2 * h : 2 * h + 2, 2 * w : 2 * w + 2], axis=(1, 2, 3))
    return out


def main():
    keras = compat.import_keras("keras3" if not hasattr(tf, "Session") else "tf.keras")
    rng = np.random.RandomState(5)
    image, kernel, box = rng.randn(2, 6, 5, 3), rng.randn(3, 2, 3, 4), rng.randn(2, 3, 5, 4, 3)
    first = [0, 3, 1, 2]
    plain, out = tf.nn.leaky_relu, {}
    with exact.in_float64(keras):
        out["cast"] = off(tf.cast(0.3, "float64"), 0.3)
        out["zeros"] = off(tf.zeros([2]), 0.0)
        out["slope"] = off(tf.nn.leaky_relu(tf.constant([-1.0], "float64"), 0.3), -SINGLE)
        if hasattr(tf.nn, "gelu"):
            erf = value(tf.math.erf(tf.constant(image * 2**-0.5)))
            out["gelu"] = off(tf.nn.gelu(tf.constant(image)), 0.5 * image * (1 + erf))
        last = tf.nn.conv2d(tf.constant(image), tf.constant(kernel), strides=[1, 2, 1, 1], padding="SAME")
        turned = tf.constant(image.transpose(first))
        found = tf.nn.conv2d(turned, tf.constant(kernel), strides=[1, 1, 2, 1], padding="SAME", data_format="NCHW")
        out["convolution"] = off(found, value(last).transpose(first))
        ways = {"ksize": [1, 3, 2, 2, 1], "strides": [1, 2, 2, 2, 1], "padding": "SAME"}
        out["maxima"] = off(tf.nn.max_pool3d(tf.constant(box), **ways), windows(box, np.max))
        out["means"] = off(tf.nn.avg_pool3d(tf.constant(box), **ways), windows(box, np.mean))
    assert tf.nn.leaky_relu is plain
    assert compat_exact.least_fused_epsilon() == (1.001e-5 if hasattr(tf, "Session") else 0.0)
    print(json.dumps(out))


sys.exit(main())
