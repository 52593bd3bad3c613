"""Networks whose weights were published as numpy files, written again from their descriptions.

Each function takes the Keras of the environment and uses only what all of its versions have.
"""


def _block(layers, x, name, filters, size, slope):
    x = layers.Conv2D(filters, size, padding="valid", name=name)(x)
    return layers.PReLU(shared_axes=[1, 2], name=slope)(x)


def _heads(keras, inputs, x, rows):
    """Outputs of a face detector: whether there is one, its box, its landmarks."""
    made = [keras.layers.Dense(units, activation=activation, name=name)(x) for name, units, activation in rows]
    return keras.models.Model(inputs, made)


def proposals(keras, slope="PReLU"):
    """PNet, the first stage of the MTCNN face detector, for images of any size."""
    layers = keras.layers
    inputs = layers.Input(shape=(None, None, 3))
    x = _block(layers, inputs, "conv1", 10, 3, slope + "1")
    x = layers.MaxPooling2D(2, strides=2, padding="same")(x)
    x = _block(layers, x, "conv2", 16, 3, slope + "2")
    x = _block(layers, x, "conv3", 32, 3, slope + "3")
    face = layers.Conv2D(2, 1, activation="softmax", name="conv4-1")(x)
    return keras.models.Model(inputs, [face, layers.Conv2D(4, 1, name="conv4-2")(x)])


def refinement(keras, dense=("conv4", "conv5-1", "conv5-2")):
    """RNet, the second stage: 24 x 24 pixels."""
    layers = keras.layers
    inputs = layers.Input(shape=(24, 24, 3))
    x = _block(layers, inputs, "conv1", 28, 3, "prelu1")
    x = layers.MaxPooling2D(3, strides=2, padding="same")(x)
    x = _block(layers, x, "conv2", 48, 3, "prelu2")
    x = layers.MaxPooling2D(3, strides=2, padding="valid")(x)
    x = layers.Flatten()(_block(layers, x, "conv3", 64, 2, "prelu3"))
    x = layers.PReLU(name="prelu4")(layers.Dense(128, name=dense[0])(x))
    return _heads(keras, inputs, x, [(dense[1], 2, "softmax"), (dense[2], 4, None)])


def output(keras, dense=("conv5", "conv6-1", "conv6-2", "conv6-3")):
    """ONet, the third stage: 48 x 48 pixels, with landmarks."""
    layers = keras.layers
    inputs = layers.Input(shape=(48, 48, 3))
    x = _block(layers, inputs, "conv1", 32, 3, "prelu1")
    x = layers.MaxPooling2D(3, strides=2, padding="same")(x)
    x = _block(layers, x, "conv2", 64, 3, "prelu2")
    x = layers.MaxPooling2D(3, strides=2, padding="valid")(x)
    x = _block(layers, x, "conv3", 64, 3, "prelu3")
    x = layers.MaxPooling2D(2, strides=2, padding="same")(x)
    x = layers.Flatten()(_block(layers, x, "conv4", 128, 2, "prelu4"))
    x = layers.PReLU(name="prelu5")(layers.Dense(256, name=dense[0])(x))
    return _heads(keras, inputs, x, [(dense[1], 2, "softmax"), (dense[2], 4, None), (dense[3], 10, None)])


def packaged_proposals(keras):
    """PNet with the names of the mtcnn package."""
    return proposals(keras, slope="prelu")


def packaged_refinement(keras):
    """RNet with the names of the mtcnn package."""
    return refinement(keras, dense=("fc1", "fc2-1", "fc2-2"))


def packaged_output(keras):
    """ONet with the names of the mtcnn package."""
    return output(keras, dense=("fc1", "fc2-1", "fc2-2", "fc2-3"))


def digits(keras):
    """The one-filter classifier of digits of the adversarial robustness toolbox's tests."""
    layers = keras.layers
    return keras.models.Sequential(
        [
            layers.Conv2D(1, 7, activation="relu", input_shape=(28, 28, 1)),
            layers.MaxPooling2D(4),
            layers.Flatten(),
            layers.Dense(10, activation="softmax"),
        ]
    )
