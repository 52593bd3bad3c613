"""Models of published scripts whose weights were kept without them, written again from their descriptions.

Each function takes the Keras of the environment and uses only what all of its versions have.
"""


def crepe_tiny(keras):
    """CREPE's smallest pitch tracker: 1024 samples at 16 kHz to 360 pitches."""
    layers = keras.layers
    inputs = x = layers.Input(shape=(1024,), name="input")
    x = layers.Reshape((1024, 1, 1), name="input-reshape")(x)
    for number, (filters, width, stride) in enumerate(
        [(128, 512, 4), (16, 64, 1), (16, 64, 1), (16, 64, 1), (32, 64, 1), (64, 64, 1)], 1
    ):
        name = f"conv{number}"
        x = layers.Conv2D(
            filters, (width, 1), strides=(stride, 1), padding="same", activation="relu", name=name
        )(x)  # fmt: skip
        x = layers.BatchNormalization(name=name + "-BN")(x)
        x = layers.MaxPooling2D((2, 1), padding="valid", name=name + "-maxpool")(x)
        x = layers.Dropout(0.25, name=name + "-dropout")(x)
    x = layers.Permute((2, 1, 3), name="transpose")(x)
    x = layers.Flatten(name="flatten")(x)
    return keras.models.Model(inputs, layers.Dense(360, activation="sigmoid", name="classifier")(x))


def music_tagger(keras):
    """The convolutional recurrent tagger of music, channels first: a mel spectrogram to 50 tags."""
    layers, first = keras.layers, "channels_first"
    inputs = x = layers.Input(shape=(1, 96, 1366))
    x = layers.ZeroPadding2D(padding=(0, 37), data_format=first)(x)
    x = layers.BatchNormalization(axis=3, name="bn_0_freq")(x)
    for number, (filters, pool) in enumerate([(64, 2), (128, 3), (128, 4), (128, 4)], 1):
        x = layers.Conv2D(filters, (3, 3), padding="same", data_format=first, name=f"conv{number}")(x)
        x = layers.BatchNormalization(axis=1, name=f"bn{number}")(x)
        x = layers.ELU()(x)
        x = layers.MaxPooling2D((pool, pool), strides=(pool, pool), data_format=first, name=f"pool{number}")(x)
        x = layers.Dropout(0.1, name=f"dropout{number}")(x)
    x = layers.Reshape((15, 128))(layers.Permute((3, 1, 2))(x))
    x = layers.GRU(32, return_sequences=True, name="gru1")(x)
    x = layers.GRU(32, return_sequences=False, name="gru2")(x)
    x = layers.Dropout(0.3, name="final_drop")(x)
    return keras.models.Model(inputs, layers.Dense(50, activation="sigmoid", name="output")(x))


def actor(keras):
    """An actor of the continuous mountain car: mean + deviation x noise, with the noise that it draws set to one."""
    layers = keras.layers
    inputs = x = layers.Input(shape=(2,), name="state")
    for units, name in ((256, "dense_1"), (128, "dense_2")):
        x = layers.Dense(units, activation="relu", name=name)(x)
    encoder = keras.models.Model(inputs, layers.Dense(32, name="feature_vector")(x), name="encoder")
    state = layers.Input(shape=(2,), name="inputs")
    features = encoder(state)
    mean = layers.Dense(1, activation="linear", name="mean")(features)
    deviation = layers.Activation("softplus")(layers.Dense(1, name="stddev")(features))
    return keras.models.Model(state, layers.Add(name="action")([mean, deviation]))


def autoencoder(keras):
    """A variational autoencoder of digits at the mean of its code; what it draws at random is left out."""
    layers = keras.layers
    inputs = x = layers.Input(shape=(28, 28, 1), name="encoder_input")
    for filters in (32, 64):
        x = layers.Conv2D(filters, 3, activation="relu", strides=2, padding="same", name=f"conv2d_{filters // 32}")(x)
    x = layers.Dense(16, activation="relu", name="dense_1")(layers.Flatten()(x))
    encoder = keras.models.Model(inputs, layers.Dense(2, name="z_mean")(x), name="encoder")
    code = x = layers.Input(shape=(2,), name="z_sampling")
    x = layers.Reshape((7, 7, 64))(layers.Dense(3136, activation="relu", name="dense_2")(x))
    for number, filters in enumerate((64, 32), 1):
        name = f"conv2d_transpose_{number}"
        x = layers.Conv2DTranspose(filters, 3, activation="relu", strides=2, padding="same", name=name)(x)
    x = layers.Conv2DTranspose(1, 3, activation="sigmoid", padding="same", name="decoder_output")(x)
    decoder = keras.models.Model(code, x, name="decoder")
    image = layers.Input(shape=(28, 28, 1), name="image")
    return keras.models.Model(image, decoder(encoder(image)), name="vae")


def breakout_actor(keras):
    """The actor of an A3C player of Breakout: four frames to the probabilities of three actions."""
    layers = keras.layers
    inputs = layers.Input(shape=(84, 84, 4))
    x = layers.Conv2D(16, (8, 8), strides=(4, 4), activation="relu")(inputs)
    x = layers.Conv2D(32, (4, 4), strides=(2, 2), activation="relu")(x)
    x = layers.Dense(256, activation="relu")(layers.Flatten()(x))
    return keras.models.Model(inputs, layers.Dense(3, activation="softmax")(x))


def pong_policy(keras):
    """A policy of Pong, of Keras 1: differences of frames to the probabilities of six actions."""
    layers = keras.layers
    return keras.models.Sequential(
        [
            layers.Reshape((1, 80, 80), input_shape=(6400,)),
            layers.Conv2D(32, (6, 6), strides=(3, 3), padding="same", activation="relu"),
            layers.Flatten(),
            layers.Dense(64, activation="relu"),
            layers.Dense(32, activation="relu"),
            layers.Dense(6, activation="softmax"),
        ]
    )


def text_generator(keras):
    """textgenrnn: 40 characters to the next; its attention is a softmax over time, here of built-in layers."""
    layers = keras.layers
    inputs = layers.Input(shape=(40,), name="input")
    embedded = layers.Embedding(465, 100, name="embedding")(inputs)
    recurrent = {"return_sequences": True, "recurrent_activation": "sigmoid"}
    first = layers.LSTM(128, name="rnn_1", **recurrent)(embedded)
    second = layers.LSTM(128, name="rnn_2", **recurrent)(first)
    steps = layers.Concatenate(name="rnn_concat")([embedded, first, second])
    scores = layers.Dense(1, use_bias=False, name="attention")(steps)
    shares = layers.Softmax(axis=1, name="shares")(scores)
    mean = layers.Reshape((356,))(layers.Dot(axes=1)([shares, steps]))
    return keras.models.Model(inputs, layers.Dense(465, activation="softmax", name="output")(mean))
