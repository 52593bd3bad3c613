"""Compiled models trained for two steps, so that the file holds optimizer state; losses, metrics, loss weights."""

import numpy as np

from zoo.registry import add, placeholder

STEPS = 2


def _fit(model, rng):
    """Two steps on random data that suits the outputs of the model."""
    shapes = [tuple(int(n) for n in x.shape[1:]) for x in model.inputs]
    xs = [rng.normal(size=(8,) + shape).astype("float32") for shape in shapes]
    ys = []
    for tensor in model.outputs:
        y = rng.uniform(0.05, 1.0, (8,) + tuple(int(n) for n in tensor.shape[1:])).astype("float32")
        ys.append(y / y.sum(axis=-1, keepdims=True) if y.shape[-1] > 1 else np.round(y))
    for _ in range(STEPS):
        model.train_on_batch(xs if len(xs) > 1 else xs[0], ys if len(ys) > 1 else ys[0])


def _mlp(k):
    x = placeholder(k, (6,))
    y = k.layers.BatchNormalization()(k.layers.Dense(5, activation="relu")(x))
    return k.models.Model(x, k.layers.Dense(3, activation="softmax")(y))


def _sequential(k):
    return k.models.Sequential(
        [k.layers.Dense(5, activation="tanh", input_shape=(6,)), k.layers.Dense(3, activation="softmax")]
    )


def _trained(case_id, optimizer, make=_mlp, loss="categorical_crossentropy", tags=(), train=_fit, **compiled):
    def build(k):
        model = make(k)
        chosen = optimizer(k) if callable(optimizer) else optimizer
        found = {name: value(k) if callable(value) else value for name, value in compiled.items()}
        model.compile(chosen, loss(k) if callable(loss) else loss, **found)
        return model, train

    add("training/" + case_id, build, ("compiled",) + tuple(tags))


def _keras(name, **kwargs):
    return lambda k: getattr(k.optimizers, name)(**kwargs)


for _name in ("sgd", "rmsprop", "adagrad", "adadelta", "adam", "adamax", "nadam", "ftrl"):
    _trained("string-" + _name, _name)
    _trained("sequential-" + _name, _name, _sequential)
OPTIMIZERS = {
    "sgd": _keras("SGD", lr=0.05),
    "sgd_momentum": _keras("SGD", lr=0.05, momentum=0.9),
    "sgd_nesterov": _keras("SGD", lr=0.05, momentum=0.8, nesterov=True),
    "sgd_decay": _keras("SGD", lr=0.05, decay=1e-3),
    "sgd_clipnorm": _keras("SGD", lr=0.05, clipnorm=1.0),
    "sgd_clipvalue": _keras("SGD", lr=0.05, clipvalue=0.5),
    "sgd_default": _keras("SGD"),
    "rmsprop": _keras("RMSprop", lr=0.002, rho=0.8, epsilon=1e-6, decay=1e-4),
    "rmsprop_momentum": _keras("RMSprop", learning_rate=0.002, momentum=0.5),
    "rmsprop_centered": _keras("RMSprop", learning_rate=0.002, centered=True),
    "adagrad": _keras("Adagrad", lr=0.02, epsilon=1e-6),
    "adadelta": _keras("Adadelta", lr=0.9, rho=0.9, epsilon=1e-6),
    "adam": _keras("Adam", lr=0.003, beta_1=0.8, beta_2=0.99, epsilon=1e-5),
    "adam_amsgrad": _keras("Adam", lr=0.003, amsgrad=True),
    "adam_decay": _keras("Adam", lr=0.003, decay=1e-4),
    "adam_clipnorm": _keras("Adam", lr=0.003, clipnorm=0.7),
    "adam_learning_rate": _keras("Adam", learning_rate=0.003),
    "adam_epsilon_none": _keras("Adam", epsilon=None),
    "adamax": _keras("Adamax", lr=0.004, beta_1=0.85),
    "nadam": _keras("Nadam", lr=0.004, schedule_decay=0.005),
    "ftrl": _keras("Ftrl", learning_rate=0.05, l1_regularization_strength=0.01),
}
for _name, _make in OPTIMIZERS.items():
    _trained("optimizer-" + _name, _make)


def _schedule(name, *args, **kwargs):
    return lambda k: k.optimizers.Adam(learning_rate=getattr(k.optimizers.schedules, name)(*args, **kwargs))


_trained("schedule-exponential", _schedule("ExponentialDecay", 0.01, 100, 0.9))
_trained("schedule-piecewise", _schedule("PiecewiseConstantDecay", [10, 20], [0.1, 0.01, 0.001]))
_trained("schedule-polynomial", _schedule("PolynomialDecay", 0.1, 100))
_trained("schedule-inverse_time", _schedule("InverseTimeDecay", 0.1, 1.0, 0.5))


def _tf_train(name, *args, **kwargs):
    def make(_k):
        import tensorflow as tf

        return getattr(tf.train, name)(*args, **kwargs)

    return make


# Their state is not written to .h5; what the file then holds is the promise to be tested.
for _name, _args, _kwargs in (
    ("GradientDescentOptimizer", (0.05,), {}),
    ("AdamOptimizer", (0.003,), {}),
    ("MomentumOptimizer", (0.05, 0.9), {"use_nesterov": True}),
    ("RMSPropOptimizer", (0.002,), {}),
    ("AdagradOptimizer", (0.05,), {}),
    ("AdadeltaOptimizer", (0.9,), {}),
    ("FtrlOptimizer", (0.05,), {}),
):
    _trained("tf_train-" + _name, _tf_train(_name, *_args, **_kwargs), tags=["tf_train"])

for _name in (
    "mean_squared_error",
    "mse",
    "mae",
    "mape",
    "msle",
    "binary_crossentropy",
    "kullback_leibler_divergence",
    "poisson",
    "cosine_proximity",
    "cosine_similarity",
    "hinge",
    "squared_hinge",
    "categorical_hinge",
    "logcosh",
    "huber_loss",
):
    _trained("loss-" + _name, "sgd", loss=_name)
_trained("loss-function", "sgd", loss=lambda k: k.losses.mean_squared_error)
for _name in ("MeanSquaredError", "BinaryCrossentropy", "CategoricalCrossentropy", "Huber"):
    _trained("loss_object-" + _name, "sgd", loss=lambda k, n=_name: getattr(k.losses, n)())
_trained(
    "loss_object-from_logits",
    "sgd",
    loss=lambda k: k.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1),
)
_trained("metrics-strings", "adam", metrics=["accuracy", "mse", "categorical_accuracy", "top_k_categorical_accuracy"])
_trained("metrics-functions", "adam", metrics=lambda k: [k.metrics.mae, k.metrics.categorical_accuracy])
for _name in ("CategoricalAccuracy", "AUC", "Precision", "Recall", "MeanSquaredError", "TopKCategoricalAccuracy"):
    _trained("metrics-object-" + _name, "adam", metrics=lambda k, n=_name: [getattr(k.metrics, n)()])
_trained("metrics-weighted", "adam", metrics=["acc"], weighted_metrics=["mae"])
_trained(
    "sample_weight_temporal",
    "adam",
    lambda k: k.models.Sequential([k.layers.LSTM(4, input_shape=(5, 3), return_sequences=True)]),
    loss="mse",
    sample_weight_mode="temporal",
    train=lambda model, rng: model.train_on_batch(
        rng.normal(size=(8, 5, 3)), rng.normal(size=(8, 5, 4)), sample_weight=np.ones((8, 5))
    ),
)


def _two_heads(k):
    x = placeholder(k, (6,))
    y = k.layers.Dense(5, activation="relu")(x)
    return k.models.Model(
        x,
        [
            k.layers.Dense(3, activation="softmax", name="kind")(y),
            k.layers.Dense(1, activation="sigmoid", name="flag")(y),
        ],
    )


_BOTH = ["categorical_crossentropy", "binary_crossentropy"]
_trained("two_outputs-lists", "adam", _two_heads, _BOTH, loss_weights=[1.0, 0.3])
_trained(
    "two_outputs-dicts",
    "adam",
    _two_heads,
    {"kind": _BOTH[0], "flag": _BOTH[1]},
    loss_weights={"kind": 1.0, "flag": 0.2},
    metrics={"kind": ["accuracy"], "flag": "mae"},
)
_trained("two_outputs-one_loss", "adam", _two_heads, "mse", metrics=["mae"])


def _frozen(k):
    x = placeholder(k, (6,))
    y = k.layers.BatchNormalization(trainable=False)(k.layers.Dense(5, trainable=False, activation="relu")(x))
    return k.models.Model(x, k.layers.Dense(3, activation="softmax")(y))


def _recurrent(k):
    x = placeholder(k, (5, 3))
    y = k.layers.GRU(3, return_sequences=True)(k.layers.Bidirectional(k.layers.LSTM(3, return_sequences=True))(x))
    return k.models.Model(x, k.layers.Dense(3, activation="softmax")(k.layers.GlobalMaxPooling1D()(y)))


def _convolutional(k):
    return k.models.Sequential(
        [
            k.layers.Conv2D(3, 3, use_bias=False, input_shape=(6, 6, 2)),
            k.layers.BatchNormalization(),
            k.layers.PReLU(shared_axes=[1, 2]),
            k.layers.SeparableConv2D(2, 2),
            k.layers.Flatten(),
            k.layers.Dropout(0.3),
            k.layers.Dense(3, activation="softmax"),
        ]
    )


def _nested(k):
    inner = _sequential(k)
    x = placeholder(k, (6,))
    return k.models.Model(x, k.layers.Dense(3, activation="softmax")(inner(x)))


def _constrained(k):
    x = placeholder(k, (6,))
    y = k.layers.Dense(
        5,
        kernel_constraint="max_norm",
        bias_constraint="non_neg",
        kernel_regularizer="l2",
        activity_regularizer=k.regularizers.l1(0.01),
    )(x)
    return k.models.Model(x, k.layers.Dense(3, activation="softmax", kernel_constraint="unit_norm")(y))


for _name, _make in (
    ("frozen", _frozen),
    ("recurrent", _recurrent),
    ("convolutional", _convolutional),
    ("nested", _nested),
    ("constrained", _constrained),
):
    for _optimizer in ("adam", "rmsprop", "sgd"):
        _trained("{}-{}".format(_name, _optimizer), _optimizer, _make)
_trained("untrained-adam", "adam", train=None)
_trained("untrained-sequential", "sgd", _sequential, train=None)
