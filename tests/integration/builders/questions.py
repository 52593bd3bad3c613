"""The architectures of the questions that users ask, as scripts that run in every Keras."""

from tensorflow import keras  # noqa: TID251 - runs inside of the environments


def regressor():
    """Dense(128, relu) on 768 inputs, Dense(64, relu), Dense(1)."""
    layers = keras.layers
    return keras.Sequential(
        [
            layers.Dense(128, activation="relu", input_shape=(768,)),
            layers.Dense(64, activation="relu"),
            layers.Dense(1),
        ]
    )


def orientation():
    """Two layers of the same shape, of which only the names tell which is which."""
    inputs = keras.layers.Input(shape=(16,))
    hidden = keras.layers.Dense(16, activation="tanh", name="feature_layer")(inputs)
    return keras.models.Model(inputs, keras.layers.Dense(16, name="output_layer")(hidden))


def _convolutions(inputs):
    layers = keras.layers
    x = layers.Conv2D(32, 3, activation="relu", name="conv1")(inputs)
    x = layers.MaxPooling2D(2, name="pool1")(x)
    return layers.Flatten(name="flatten")(layers.Conv2D(8, 3, activation="relu", name="conv2")(x))


def classifier():
    """Conv2D(32), MaxPooling, another convolution, Flatten, Dense(10)."""
    inputs = keras.layers.Input(shape=(28, 28, 1), name="image")
    return keras.models.Model(inputs, keras.layers.Dense(10, activation="softmax", name="head")(_convolutions(inputs)))


def new_head():
    """The same convolutions below a head for three classes."""
    inputs = keras.layers.Input(shape=(28, 28, 1), name="image")
    return keras.models.Model(
        inputs, keras.layers.Dense(3, activation="softmax", name="new_head")(_convolutions(inputs))
    )


def sequences():
    """A Bidirectional LSTM, whose two directions only their place tells apart, and two Dense layers of equal shape."""
    layers = keras.layers
    inputs = layers.Input(shape=(12, 4))
    recurrent = layers.LSTM(5, return_sequences=True, recurrent_activation="sigmoid")
    x = layers.Dense(10)(layers.Bidirectional(recurrent)(inputs))
    x = layers.BatchNormalization()(layers.Dense(10, activation="relu")(layers.Dropout(0.2)(x)))
    return keras.models.Model(inputs, layers.GlobalAveragePooling1D()(x))


def fails():
    """Uses what no Keras has."""
    return keras.layers.NoSuchLayer()
