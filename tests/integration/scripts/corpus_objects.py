"""What the corpus's files of standalone Keras lack, written anew: normalisation per image, anchor boxes, two functions."""

import numpy as np
from keras import backend as K
from keras.engine.topology import Layer


class InstanceNormalization(Layer):
    """Each image by its own mean and deviation over all axes, one scale and one shift for the whole."""

    def __init__(self, axis=None, epsilon=1e-3, center=True, scale=True, **kwargs):
        for key in list(kwargs):
            if key.startswith(("beta_", "gamma_")):
                del kwargs[key]
        super(InstanceNormalization, self).__init__(**kwargs)
        self.epsilon = epsilon

    def build(self, shape):
        self.gamma = self.add_weight(shape=(1,), name="gamma", initializer="ones")
        self.beta = self.add_weight(shape=(1,), name="beta", initializer="zeros")
        super(InstanceNormalization, self).build(shape)

    def call(self, x):
        axes = list(range(1, K.ndim(x)))
        mean, deviation = K.mean(x, axes, keepdims=True), K.std(x, axes, keepdims=True) + self.epsilon
        return (x - mean) / deviation * self.gamma + self.beta


class AnchorBoxes(Layer):
    """Centres, sizes and variances of boxes around every place of a feature map: (batch, rows, columns, boxes, 8)."""

    def __init__(self, img_height, img_width, this_scale, next_scale, aspect_ratios, variances, **kwargs):
        super(AnchorBoxes, self).__init__(**kwargs)
        side, wider = (
            min(img_height, img_width) * this_scale,
            min(img_height, img_width) * np.sqrt(this_scale * next_scale),
        )
        sizes = [(side * np.sqrt(r) / img_width, side / np.sqrt(r) / img_height) for r in aspect_ratios]
        self.sizes = np.array([*sizes, (wider / img_width, wider / img_height)])
        self.variances = variances

    def call(self, x):
        rows, columns, boxes = K.int_shape(x)[1], K.int_shape(x)[2], len(self.sizes)
        made = np.zeros((1, rows, columns, boxes, 8), "float32")
        made[..., 0] = ((np.arange(columns) + 0.5) / columns)[None, None, :, None]
        made[..., 1] = ((np.arange(rows) + 0.5) / rows)[None, :, None, None]
        made[..., 2:4], made[..., 4:] = self.sizes, self.variances
        return K.tile(K.constant(made), (K.shape(x)[0], 1, 1, 1, 1))

    def compute_output_shape(self, shape):
        return (shape[0], shape[1], shape[2], len(self.sizes), 8)


def lambda_1(x):
    return K.squeeze(x, axis=2)


def lambda1(z):
    return z / 127.5 - 1.0
