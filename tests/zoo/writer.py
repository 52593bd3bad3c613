"""Builds one case, saves it, reloads it in a fresh graph and records what the file computes."""

import hashlib
import json
import os
import traceback
import zlib

import h5py
import numpy as np

from zoo import inputs, weights

# What a version raises for an argument, a layer or an option that it does not have.
NOT_APPLICABLE = (TypeError, AttributeError, NotImplementedError, ValueError, KeyError, ImportError, IndexError)


def seed_of(case):
    return zlib.crc32(case.id.encode("utf-8")) & 0x7FFFFFFF


def reason_of(error):
    """One line: class and first line of the message, without paths of this machine."""
    lines = str(error).strip().splitlines() or [""]
    return "{}: {}".format(type(error).__name__, lines[0])[:300]


def class_names(config):
    """Class names of all layers in a model config, nested and wrapped ones too."""
    found = set()
    if isinstance(config, dict):
        if isinstance(config.get("class_name"), str) and isinstance(config.get("config"), (dict, list)):
            found.add(config["class_name"])
        for key, value in config.items():
            if not key.endswith(("_initializer", "_regularizer", "_constraint")):
                found |= class_names(value)
    elif isinstance(config, list):
        for value in config:
            found |= class_names(value)
    return found


def read_config(path):
    """The model config in a whole-model file, decoded."""
    with h5py.File(path, "r") as file:
        text = file.attrs["model_config"]
    return json.loads(text.decode("utf-8") if isinstance(text, bytes) else text)


def _sha256(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def _as_list(value):
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _write_npz(path, arrays):
    """Written beside and renamed: readers of the zoo never see half a file."""
    with open(path + ".tmp", "wb") as file:
        np.savez(file, **arrays)
    os.replace(path + ".tmp", path)


def _tensor_shape(tensor):
    shape = getattr(tensor, "_keras_shape", None) or tensor.shape
    dims = shape.as_list() if hasattr(shape, "as_list") else list(shape)
    return [None if size is None else int(size) for size in dims]


def _tensor_dtype(tensor):
    return np.dtype(getattr(tensor.dtype, "as_numpy_dtype", tensor.dtype))


def _golden(flavour, case, path):
    """Arrays ``input:i``, ``output:i`` of the reloaded model; stateful ones also ``second_call_output:i``."""
    model = flavour.k.models.load_model(path, compile=False)
    rng = np.random.RandomState(seed_of(case) ^ 0x5EED)
    arrays = inputs.make_all(case, [_tensor_shape(x) for x in model.inputs],
                             [_tensor_dtype(x) for x in model.inputs], rng)
    fed = arrays if len(arrays) > 1 else arrays[0]
    rows = arrays[0].shape[0]
    found = {"input:{}".format(i): array for i, array in enumerate(arrays)}
    for prefix in ("output", "second_call_output") if "stateful" in case.tags else ("output",):
        for i, array in enumerate(_as_list(model.predict(fed, batch_size=rows))):
            found["{}:{}".format(prefix, i)] = np.asarray(array)
    return found



def _record_golden(flavour, case, path, entry):
    flavour.fresh(seed_of(case))
    try:
        arrays = _golden(flavour, case, path)
    except Exception as error:
        # Only an error inside load_model is a failed reload; predict failing is a limit of this machine.
        reloading = any(frame.name == "load_model" for frame in traceback.extract_tb(error.__traceback__))
        entry["reload_failed"] = reloading
        entry["golden_reason"] = reason_of(error)
        return
    nonfinite = [name for name, array in arrays.items() if array.dtype.kind == "f" and not np.isfinite(array).all()]
    if nonfinite:
        entry["nonfinite"] = nonfinite
    entry["golden"] = case.stem + ".golden.npz"
    _write_npz(os.path.join(os.path.dirname(path), entry["golden"]), arrays)


def blank(case):
    """The index entry of a case about which nothing is known yet."""
    return {"id": case.id, "tags": list(case.tags), "applicable": False, "reason": None, "file": None,
            "sha256": None, "layers": [], "golden": None, "golden_reason": None, "reload_failed": False}


def write(flavour, case, folder):
    """The index entry of the case, its files written into ``folder``."""
    entry = blank(case)
    path = os.path.join(folder, case.stem + ".h5")
    flavour.fresh(seed_of(case))
    rng = np.random.RandomState(seed_of(case))
    np.random.seed(seed_of(case))
    try:
        made = case.build(flavour.k)
        model, train = made if isinstance(made, tuple) else (made, None)
        weights.randomise(model, flavour.k.backend, rng)
        if train:
            train(model, rng)
        # The extension, not the name, chooses the format: keep it through the rename.
        model.save(path + ".part.h5")
        os.replace(path + ".part.h5", path)
    except NOT_APPLICABLE as error:
        if os.path.exists(path + ".part.h5"):
            os.remove(path + ".part.h5")
        entry["reason"] = reason_of(error)
        return entry
    entry.update(applicable=True, file=os.path.basename(path), sha256=_sha256(path),
                 layers=sorted(class_names(read_config(path))))
    _record_golden(flavour, case, path, entry)
    return entry
