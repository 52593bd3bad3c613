"""Builds one case, saves it, reloads it in a fresh graph and records what the file computes."""

import hashlib
import json
import os
import zipfile
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
    """Class names of all layers in a model config, nested and wrapped ones too.

    Keras 3 writes its dtypes, optimizers and losses like layers, and tensors, slices and functions as `__kind__`.
    """
    found = set()
    if isinstance(config, dict):
        name = config.get("class_name")
        if isinstance(name, str) and isinstance(config.get("config"), (dict, list)) and not name.startswith("__"):
            found.add(name)
        for key, value in config.items():
            if not key.endswith(("_initializer", "_regularizer", "_constraint")) and key not in (
                "dtype",
                "compile_config",
            ):
                found |= class_names(value)
    elif isinstance(config, list):
        for value in config:
            found |= class_names(value)
    return found


def read_config(path):
    """The model config in a whole-model file, decoded."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            return json.loads(archive.read("config.json").decode("utf-8"))
    with h5py.File(path, "r") as file:
        text = file.attrs["model_config"]
    return json.loads(text.decode("utf-8") if isinstance(text, bytes) else text)


def _sha256(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def _flat(value):
    """All arrays of a value: TensorFlow 2 gives the states of stacked cells as tuples."""
    return [array for item in value for array in _flat(item)] if isinstance(value, (list, tuple)) else [value]


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


def _predict(case, model):
    """Arrays ``input:i``, ``output:i`` of the model; stateful ones also ``second_call_output:i``."""
    rng = np.random.RandomState(seed_of(case) ^ 0x5EED)
    arrays = inputs.make_all(
        case, [_tensor_shape(x) for x in model.inputs], [_tensor_dtype(x) for x in model.inputs], rng
    )
    fed = arrays if len(arrays) > 1 else arrays[0]
    rows = arrays[0].shape[0]
    found = {"input:{}".format(i): array for i, array in enumerate(arrays)}
    for prefix in ("output", "second_call_output") if "stateful" in case.tags else ("output",):
        for i, array in enumerate(_flat(model.predict(fed, batch_size=rows, verbose=0))):
            found["{}:{}".format(prefix, i)] = np.asarray(array)
    return found


def _build(flavour, case):
    made = case.build(flavour.k)
    return made if isinstance(made, tuple) else (made, None)


def _readers(flavour, case, path):
    """Ways to a model that has the meaning of the file, best first: (golden_from, function)."""

    def loaded(build):
        def read():
            model = build(flavour.k)
            model.load_weights(path)
            return model

        return read

    found = [
        ("reloaded", lambda: flavour.k.models.load_model(path, compile=False)),
        ("rebuilt", loaded(lambda k: _build(flavour, case)[0])),
    ]
    if case.reference:
        found.append(("reference", loaded(case.reference)))
    return found


def _record_golden(flavour, case, path, entry):
    """Golden outputs from the reloaded file.

    Where this version cannot read its own file they come from the rebuilt model with the file's weights; where a
    CPU cannot run the model, from a reference model of the same version that takes the same weights.
    """
    reasons = []
    for source, read in _readers(flavour, case, path):
        flavour.fresh(seed_of(case))
        try:
            model = read()
        except Exception as error:
            entry["reload_failed"] = entry["reload_failed"] or source == "reloaded"
            reasons.append("{}: {}".format(source, reason_of(error)))
            continue
        try:
            flavour.prepare(model)
            arrays = _predict(case, model)
        except Exception as error:
            reasons.append("{}, predict: {}".format(source, reason_of(error)))
            continue
        entry["nonfinite"] = sorted(
            name for name, array in arrays.items() if array.dtype.kind == "f" and not np.isfinite(array).all()
        )
        entry.update(golden=case.stem + ".golden.npz", golden_from=source)
        _write_npz(os.path.join(os.path.dirname(path), entry["golden"]), arrays)
        break
    entry["golden_reason"] = "; ".join(reasons)[:600] or None


def write(flavour, case, folder):
    """The index entry of the case, its files written into ``folder``."""
    entry = case.blank_entry()
    path = os.path.join(folder, case.stem + flavour.extension)
    partial = os.path.join(folder, case.stem + ".part" + flavour.extension)
    flavour.fresh(seed_of(case))
    rng = np.random.RandomState(seed_of(case))
    np.random.seed(seed_of(case))
    try:
        model, train = _build(flavour, case)
        weights.randomise(model, flavour.k.backend, rng)
        if train:
            train(model, rng)
        # The extension, not the name, chooses the format: keep it through the rename.
        model.save(partial)
        os.replace(partial, path)
    except NOT_APPLICABLE as error:
        if os.path.exists(partial):
            os.remove(partial)
        entry["reason"] = reason_of(error)
        return entry
    entry.update(
        applicable=True,
        file=os.path.basename(path),
        sha256=_sha256(path),
        layers=sorted(class_names(read_config(path))),
    )
    _record_golden(flavour, case, path, entry)
    return entry
