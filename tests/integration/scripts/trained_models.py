# ruff: noqa: TID251, UP031, NPY002, RUF005 - runs in old environments, of Python 3.6 and 3.7
"""Runs in an old environment: python trained_models.py FLAVOUR FOLDER. Writes compiled models, trained for three steps."""

import sys

import numpy as np

flavour, folder = sys.argv[1:3]
if flavour == "keras":
    import keras as k
else:
    import tensorflow as tf

    k = tf.keras
layers = k.layers


def dense():
    return k.models.Sequential(
        [
            layers.Dense(5, activation="tanh", input_shape=(6,)),
            layers.Dropout(0.3),
            layers.Dense(3, activation="softmax"),
        ]
    )


def conv():
    return k.models.Sequential(
        [
            layers.Conv2D(3, 3, input_shape=(6, 6, 2)),
            layers.BatchNormalization(momentum=0.9),
            layers.Flatten(),
            layers.Dense(3, activation="softmax"),
        ]
    )


def recurrent():
    return k.models.Sequential(
        [
            layers.LSTM(4, recurrent_activation="hard_sigmoid", input_shape=(5, 3)),
            layers.Dense(3, activation="softmax"),
        ]
    )


def embedding():
    return k.models.Sequential(
        [layers.Embedding(9, 4, input_length=5), layers.Flatten(), layers.Dense(3, activation="softmax")]
    )


def nested():
    inner = dense()
    x = layers.Input(shape=(6,))
    return k.models.Model(x, layers.Dense(3, activation="softmax")(inner(x)))


def held():
    """Regularizers and constraints."""
    return k.models.Sequential(
        [
            layers.Dense(
                5, kernel_regularizer="l2", kernel_constraint="max_norm", bias_constraint="non_neg", input_shape=(6,)
            ),
            layers.Dense(3, activation="softmax", kernel_constraint="unit_norm", bias_regularizer="l1"),
        ]
    )


def frozen():
    inner = dense()
    inner.layers[0].trainable = False
    x = layers.Input(shape=(6,))
    y = layers.Dense(4, trainable=False)(inner(x))
    return k.models.Model(x, layers.Dense(3, activation="softmax")(y))


def frozen_norm():
    """Two frozen normalisations, one inside of a nested model."""
    inner = k.models.Sequential([layers.BatchNormalization(name="inner_norm", trainable=False, input_shape=(6,))])
    x = layers.Input(shape=(6,))
    y = layers.BatchNormalization(name="outer_norm", trainable=False)(layers.Dense(4)(inner(x)))
    return k.models.Model(x, layers.Dense(3, activation="softmax")(y))


MODERN = flavour != "keras" and hasattr(k.optimizers, "legacy")  # of TensorFlow 2.11 and later
TF2 = flavour != "keras" and tf.__version__.startswith("2.")


def opt(name, home=None, lr=0.01, decay=0.0, **kwargs):
    if decay and MODERN and home is None:
        lr = k.optimizers.schedules.InverseTimeDecay(lr, 1, decay)
    elif decay:
        kwargs["decay"] = decay
    kwargs["learning_rate" if TF2 or name == "Ftrl" else "lr"] = lr
    return lambda: getattr(home or k.optimizers, name)(**kwargs)


OPTIMIZERS = {
    "sgd": opt("SGD", lr=0.05, clipvalue=0.01),
    "momentum": opt("SGD", lr=0.05, momentum=0.9, decay=0.1),
    "nesterov": opt("SGD", lr=0.05, momentum=0.8, nesterov=True),
    "rmsprop": opt("RMSprop", lr=0.01),
    "adagrad": opt("Adagrad", lr=0.05),
    "adadelta": opt("Adadelta", lr=0.9),
    "adam": opt("Adam", lr=0.01, clipnorm=0.05),
    "amsgrad": opt("Adam", lr=0.01, amsgrad=True, decay=0.01),
    "adamax": opt("Adamax", lr=0.01),
    "nadam": opt("Nadam", lr=0.01),
    "ftrl": opt("Ftrl", lr=0.05),
}
if MODERN:
    OPTIMIZERS["averaged"] = opt("Adam", weight_decay=0.01, use_ema=True, ema_momentum=0.9, ema_overwrite_frequency=2)
    for name in ("RMSprop", "Nadam"):
        OPTIMIZERS["legacy-" + name.lower()] = opt(name, k.optimizers.legacy)
if MODERN:
    CASES = [(dense, name) for name in OPTIMIZERS if name not in ("sgd", "momentum", "nesterov", "adadelta", "adamax")]
    CASES += [(conv, "momentum"), (embedding, "adam")]
elif TF2 or flavour == "keras":  # the formulas of TF 1.15, and those of TF 1.12
    CASES = [(dense, name) for name in ("adam", "rmsprop", "nadam", "amsgrad")]
    CASES += [(conv, "momentum"), (embedding, "momentum")]
else:
    CASES = [(dense, name) for name in OPTIMIZERS]
    CASES += [(conv, "momentum"), (embedding, "momentum"), (frozen, "amsgrad"), (frozen_norm, "momentum")]
    if hasattr(k.optimizers, "Ftrl"):
        CASES += [(embedding, "adam"), (nested, "rmsprop")]
    else:  # TF 1.12
        CASES = [case for case in CASES if case[1] not in ("ftrl", "nesterov")]
if not TF2:
    CASES += [(recurrent, "adam"), (held, "adam")]

for make, name in CASES:
    k.backend.clear_session()
    np.random.seed(3)
    model = make()
    model.compile(OPTIMIZERS[name](), "categorical_crossentropy", metrics=["acc"])
    shape = (8,) + tuple(int(n) for n in model.inputs[0].shape[1:])
    for _ in range(3):
        x = np.random.randint(0, 9, shape) if make is embedding else np.random.normal(size=shape)
        model.train_on_batch(x, np.eye(3)[np.random.randint(0, 3, 8)])
    model.save("%s/%s-%s.h5" % (folder, make.__name__, name))
