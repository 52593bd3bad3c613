"""Compares migrated models with what code_family.py recorded: python code_check.py FOLDER JOBS MODULE. Prints JSON.

FOLDER holds NAME.npz, JOBS one folder "…-NAME" for each model with import/out/model.keras, MODULE is the folder of
harness_layers. Each difference is a share of the largest value expected.
"""

import glob
import json
import os
import sys
import tempfile

FOLDER, JOBS, MODULE = sys.argv[1:4]
sys.path.insert(0, MODULE)

import harness_layers  # noqa: E402, F401
import keras  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

if os.environ.get("BREAK"):  # nothing here may unmarshal or unpickle
    import marshal
    import pickle

    unmarshal = marshal.loads

    def broken(*args, **kwargs):
        raise RuntimeError("marshal or pickle was called")

    def for_imports_only(*args, **kwargs):
        caller = sys._getframe(1).f_globals["__name__"]
        return (unmarshal if caller.startswith(("importlib", "_frozen_importlib")) else broken)(*args, **kwargs)

    marshal.loads, marshal.load = for_imports_only, broken
    pickle.loads = pickle.load = pickle.Unpickler = broken


def off(found, expected):
    found, expected = np.asarray(found), np.asarray(expected)
    if found.shape != expected.shape:
        return "shape %s instead of %s" % (found.shape, expected.shape)
    scale = max(float(np.abs(expected).max()), 1e-30) if expected.size else 1.0
    return float(np.abs(found.astype("float64") - expected).max() / scale) if expected.size else 0.0


def listed(value):
    return list(value) if isinstance(value, (list, tuple)) else [value]


def numbered(record, key):
    found = {
        int(name[len(key) :]): record[name]
        for name in record.files
        if name[: len(key)] == key and name[len(key) :].isdigit()
    }
    return [found[index] for index in sorted(found)]


def check(path, record):
    model = keras.models.load_model(path, compile=False)
    inputs = [tf.constant(x) for x in numbered(record, "x")]
    weights = model.trainable_variables
    with tf.GradientTape() as tape:
        for x in inputs:
            tape.watch(x)
        outputs = listed(model(inputs if len(inputs) > 1 else inputs[0], training=False))
        loss = tf.add_n([tf.reduce_sum(tf.cast(o, tf.float32) * f) for o, f in zip(outputs, numbered(record, "f"))])
    gradients = tape.gradient(loss, inputs + [w.value for w in weights])
    out = {"y%d" % i: off(o, y) for i, (o, y) in enumerate(zip(outputs, numbered(record, "y")))}
    for index, gradient in enumerate(gradients[: len(inputs)]):
        if "dx%d" % index in record:
            out["dx%d" % index] = off(gradient, record["dx%d" % index]) if gradient is not None else "no gradient"
    for name in record.files:
        if name[0] == "w" and name[1:].isdigit():
            mine = [
                i for i, w in enumerate(weights) if w.shape == record[name].shape and np.array_equal(w, record[name])
            ]
            if not mine:
                out["d" + name] = "no such weight"
                continue
            gradient = gradients[len(inputs) + mine[0]]
            gradient = tf.convert_to_tensor(gradient) if gradient is not None else None
            out["d" + name] = "no gradient" if gradient is None else off(gradient, record["d" + name])
    if "t0" in record:
        trained = listed(model(inputs if len(inputs) > 1 else inputs[0], training=True))
        out.update({"t%d" % i: off(o, t) for i, (o, t) in enumerate(zip(trained, numbered(record, "t")))})
        for new in numbered(record, "new"):
            now = [w for w in model.non_trainable_variables if w.shape == new.shape]
            out["moved"] = min([off(w, new) for w in now] or ["no such weight"])
    if "noise" in path:
        x = tf.ones_like(inputs[0])
        out["noise"] = 0.0 if 0 < float(tf.reduce_mean(model(x, training=True))) < 1 else "no noise in training"
    if "-lambda_" not in path and os.environ.get("USE"):
        out.update(used(model, inputs))
    return out


def used(model, inputs):
    """What people do with a model: fit, save again, clone, export."""
    fed = inputs if len(inputs) > 1 else inputs[0]
    outputs = listed(model(fed))
    out = {}
    with tempfile.TemporaryDirectory() as folder:
        model.save(os.path.join(folder, "again.keras"))
        again = keras.models.load_model(os.path.join(folder, "again.keras"), compile=False)
        out["again"] = max(off(a, b) for a, b in zip(listed(again(fed)), outputs))
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    out["clone"] = max(off(a, b) for a, b in zip(listed(clone(fed)), outputs))
    if model.trainable_variables:
        model.compile("sgd", ["mse"] * len(outputs) if len(outputs) > 1 else "mse")
        model.fit(
            fed, [tf.zeros_like(o) for o in outputs] if len(outputs) > 1 else tf.zeros_like(outputs[0]), verbose=0
        )
    return out


def main():
    results = {}
    for path in sorted(glob.glob(os.path.join(JOBS, "*", "import", "out", "model.keras"))):
        name = path.split(os.sep)[-4].split("-", 1)[1]
        if not os.path.exists(os.path.join(FOLDER, name + ".npz")):
            continue
        try:
            results[name] = check(path, np.load(os.path.join(FOLDER, name + ".npz")))
        except Exception as error:
            results[name] = {"error": "%s: %s" % (type(error).__name__, str(error)[:600])}
        keras.backend.clear_session()
    print(json.dumps(results))


main()
