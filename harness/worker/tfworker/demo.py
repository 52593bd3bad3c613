"""The demonstration: a small model whose naive load in today's Keras computes something else.

``make_demo``  ``{"op": "make_demo", "flavour": "tf.keras", "model": "out/demo.h5"}`` builds and trains it
``naive_load`` ``{"op": "naive_load", "model": "in/demo.h5", "bundle": "in/bundle"}`` does what a user would try
"""

import os
from typing import Any, Dict

import numpy as np

from . import compat
from .arrays import ArrayReader
from .files import read_json

VOCABULARY, STEPS, FEATURES = 50, 12, 6


def build(keras: Any) -> Any:
    """Embedding, Conv1D, BatchNormalization and an LSTM with its defaults, next to a second input.

    The same lines run in TF 1.15 and in Keras 3, and mean two different functions: the LSTM's default
    ``recurrent_activation`` was ``hard_sigmoid`` and is ``sigmoid``.
    """
    layers = keras.layers
    tokens = keras.Input(shape=(STEPS,), dtype="int32", name="tokens")
    features = keras.Input(shape=(FEATURES,), name="features")
    x = layers.Embedding(VOCABULARY, 16, name="embedding")(tokens)
    x = layers.Conv1D(24, 3, padding="same", activation="relu", name="conv")(x)
    x = layers.BatchNormalization(name="norm")(x)
    x = layers.LSTM(16, name="lstm")(x)
    y = layers.Dense(8, activation="relu", name="hidden")(features)
    out = layers.Dense(1, activation="sigmoid", name="score")(layers.concatenate([x, y], name="joined"))
    return keras.Model([tokens, features], out, name="demo")


def _data(rows: int = 512) -> Any:
    rng = np.random.RandomState(7)
    tokens = rng.randint(0, VOCABULARY, size=(rows, STEPS))
    features = rng.randn(rows, FEATURES).astype("float32")
    target = ((tokens > VOCABULARY // 2).sum(axis=1) + features[:, 0] * 3 > STEPS / 2.0).astype("float32")
    return tokens, features, target


def make_demo(request: Dict[str, Any], context: Any) -> Dict[str, Any]:
    """Train the model and save it as a whole-model HDF5 file."""
    keras = compat.import_keras(request["flavour"])
    context.step("train a model")
    np.random.seed(7)
    compat.seed(7)
    model = build(keras)
    model.compile(optimizer=keras.optimizers.Adam(lr=0.01), loss="binary_crossentropy", metrics=["accuracy"])
    tokens, features, target = _data()
    history = model.fit([tokens, features], target, batch_size=64, epochs=8, verbose=0)
    model.save(request["model"])
    losses = [float(value) for value in history.history["loss"]]
    return {"loss": losses, "versions": compat.versions(keras)}


def naive_load(request: Dict[str, Any], context: Any) -> Dict[str, Any]:
    """What happens without the harness: a plain load_model, and the same script with the old weights set."""
    keras = compat.import_keras("keras3")
    manifest = read_json(os.path.join(request["bundle"], "manifest.json"))
    reader = ArrayReader(request["bundle"], manifest["arrays"])
    context.step("plain load_model")
    found = {"versions": compat.versions(keras), "load_model": _load(keras, request["model"], manifest, reader)}
    context.step("same script, old weights")
    found["by_hand"] = _by_hand(keras, manifest, reader)
    return found


def _load(keras: Any, path: str, manifest: Any, reader: ArrayReader) -> Dict[str, Any]:
    try:
        model = keras.models.load_model(path, compile=False)
    except Exception as error:
        return {"error": "%s: %s" % (type(error).__name__, str(error).strip().splitlines()[0][:200])}
    return {"error": None, "max_rel": _difference(model, manifest, reader)}


def _by_hand(keras: Any, manifest: Any, reader: ArrayReader) -> Dict[str, Any]:
    model = build(keras)
    by_layer = {}  # type: Dict[str, List[Any]]
    for entry in manifest["arrays"]:
        if "role" in entry:
            by_layer.setdefault(entry["layer"][-1], []).append(np.array(reader.get(entry["name"])))
    for name, values in by_layer.items():
        model.get_layer(name).set_weights(values)
    return {"error": None, "max_rel": _difference(model, manifest, reader)}


def _difference(model: Any, manifest: Any, reader: ArrayReader) -> float:
    """max|difference| / max|reference| over all probe sets."""
    worst = 0.0
    for probe_set in manifest["probes"]["sets"]:
        expected = np.asarray(reader.get(probe_set["outputs"][0]))
        found = model.predict_on_batch([np.asarray(reader.get(name)) for name in probe_set["inputs"]])
        worst = max(worst, float(np.abs(found - expected).max() / np.abs(expected).max()))
    return worst
