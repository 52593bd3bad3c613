"""Weights of an HDF5 file put into a model by topology, as ``load_weights`` does, but strictly: all or nothing.

Every layer must find its counterpart, in number and in shape; all mismatches are told at once.
"""

import os
from typing import Any, Dict, List, Tuple

import h5py
import numpy as np

from . import compat
from .errors import Refusal

Stored = Tuple[str, List[Any]]
REMEDY = "Give the weights that `save_weights` wrote for this very architecture."


def read_weights(path: str) -> Dict[str, Any]:
    """``{"keras_version", "backend", "layers": [(name, arrays)]}`` of a weights file; layers without weights left out.

    Raises Refusal: source-unsupported-format when the file does not list its layers, source-truncated.
    """
    try:
        with h5py.File(path, "r") as h5:
            group = h5["model_weights"] if "model_weights" in h5 and "layer_names" not in lists(h5) else h5
            if "layer_names" not in lists(group):
                raise Refusal(
                    "source-unsupported-format",
                    "%s has no attribute layer_names; expected the weights of a Keras 1 or 2 model"
                    % os.path.basename(path),
                )
            layers = [(name, _arrays(group[name])) for name in names_of(group, "layer_names")]
            found = {key: text(group.attrs.get(key)) for key in ("keras_version", "backend")}  # type: Dict[str, Any]
    except (OSError, IOError, KeyError) as error:
        raise Refusal("source-truncated", "%s cannot be read as HDF5: %s" % (os.path.basename(path), error))
    return dict(found, layers=[(name, arrays) for name, arrays in layers if arrays])


def text(value: Any) -> Any:
    """An HDF5 attribute as str: h5py 2 gives bytes where h5py 3 gives str."""
    return value.decode("utf-8") if isinstance(value, bytes) else value


def lists(group: Any) -> Any:
    """Names of attributes; one that Keras split because of its length is counted under its bare name."""
    return set(group.attrs) | {key[:-1] for key in group.attrs if key.endswith("0")}


def names_of(group: Any, key: str) -> List[str]:
    """Names in an attribute, joined again where Keras split it because of its length."""
    if key in group.attrs:
        return [str(text(name)) for name in group.attrs[key]]
    names, index = [], 0  # type: List[str], int
    while "%s%d" % (key, index) in group.attrs:
        names += [str(text(name)) for name in group.attrs["%s%d" % (key, index)]]
        index += 1
    return names


def _arrays(group: Any) -> List[Any]:
    return [np.asarray(group[name]) for name in names_of(group, "weight_names")]


def load(
    keras: Any, model: Any, stored: List[Stored], keras_version: Any, backend: Any, must_change: bool = False
) -> List[str]:
    """Set all weights of ``model``; returns "file's name -> layer" of every pair whose names differ.

    Keras 1 wrote no version, every later Keras does: None stands for Keras 1. ``must_change`` refuses weights that leave the model as it was.

    Raises Refusal: weights-mismatch, with every finding.
    """
    layers = [layer for layer in model.layers if layer.weights]
    if len(layers) != len(stored):
        rows = max(len(layers), len(stored))
        named = ["%s (%s)" % (layer.name, type(layer).__name__) for layer in layers] + ["nothing"] * rows
        files = [name for name, _ in stored] + ["nothing"] * rows
        details = ["expected %s, found %s" % (named[i], files[i]) for i in range(rows)]
        count = "the architecture has %d layers with weights, the weights file %d" % (len(layers), len(stored))
        raise Refusal("weights-mismatch", count, details, REMEDY)
    names = [layer.name for layer in layers]
    if len(set(names)) == len(names) and set(names) == {name for name, _ in stored}:
        stored = sorted(stored, key=lambda item: names.index(item[0]))  # a respelled model may count them otherwise
    pairs, wrong = [], []  # type: List[Any], List[str]
    for layer, (name, arrays) in zip(layers, stored):
        variables = compat.stored_weights(keras, layer)
        arrays, defect = _fit(keras, layer, variables, arrays, keras_version, backend)
        pairs += zip(variables, arrays)
        if defect:
            wrong.append("%s (%s), in the file %s: %s" % (layer.name, type(layer).__name__, name, defect))
    if wrong:
        message = "%d of %d layers have other weights in the file than in the architecture" % (len(wrong), len(layers))
        raise Refusal("weights-mismatch", message, wrong, REMEDY)
    before = compat.values(keras, [variable for variable, _ in pairs] if must_change else [])
    if must_change and all([np.array_equal(old, new) for old, (_, new) in zip(before, pairs)]):
        raise Refusal(
            "weights-mismatch",
            "the weights file changes nothing: all %d weights are as the initializers make them" % len(pairs),
            remedy="Give the weights of a trained model; for an untrained one, save it whole with `model.save(...)`.",
        )
    compat.assign(keras, pairs)
    return ["%s -> %s" % (name, layer.name) for layer, (name, _) in zip(layers, stored) if name != layer.name]


def _fit(keras: Any, layer: Any, variables: List[Any], arrays: Any, keras_version: Any, backend: Any) -> Any:
    """(arrays as the layer takes them, what is wrong with them or None)."""
    expected = [tuple(compat.tensor_spec(variable)[0]) for variable in variables]
    found = [array.shape for array in arrays]
    try:
        arrays = compat.convert_weights(keras, layer, arrays, keras_version or "1", backend)
    except Exception as error:  # Keras asserts, indexes and transposes without looking: any of it means "no fit"
        return [], "expected %s, found %s (%s: %s)" % (expected, found, type(error).__name__, str(error)[:200])
    fits = [tuple(array.shape) for array in arrays] == expected
    return arrays, None if fits else "expected %s, found %s" % (expected, found)
