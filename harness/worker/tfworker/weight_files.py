"""Arrays out of weights files of Keras (HDF5, every era), of plain HDF5 files, and of TensorFlow's checkpoints."""

import os
import re
from typing import Any, Iterator, List

import h5py
import numpy as np

from . import compat
from .errors import Refusal
from .h5_weights import lists, names_of, text
from .weight_formats import Found, Skipped, Writer

#: groups of Keras 3's files that stand between a layer and its variables, or hold a model's layers
_CONTAINERS = ("layers", "_layer_checkpoint_dependencies")
_OPTIMIZER = "state of the optimizer"


def hdf5(path: str, name: str) -> Iterator[Any]:
    """The arrays of an HDF5 file: by its lists of layers, by Keras 3's variables, or every dataset."""
    try:
        with h5py.File(path, "r") as h5:
            root = h5["model_weights"] if "model_weights" in h5 and "layer_names" not in lists(h5) else h5
            yield Writer(text(root.attrs.get("keras_version")), text(root.attrs.get("backend")))
            if "layer_names" in lists(root):
                found = _by_layers(root)
            elif any("/vars/" in "/" + where for where in _datasets(h5)):
                found = _by_variables(h5)
            else:
                found = _plain(h5)
            for item in found:
                yield item
    except (OSError, IOError, KeyError, ValueError) as error:
        raise Refusal("source-truncated", "%s cannot be read as HDF5: %s" % (name, error))


def _by_layers(root: Any) -> Iterator[Any]:
    """Keras 1 and 2: attributes list the layers, and the weights of each."""
    for layer in names_of(root, "layer_names"):
        listed = names_of(root[layer], "weight_names")
        for index, weight in enumerate(listed):
            parts = [part for part in weight.split(":")[0].split("/") if part]
            inner = parts[:-1]
            yield Found("/".join([layer] + parts), np.asarray(root[layer][weight]), [layer] + inner, index, parts[-1])
    optimizer = root.parent.get("optimizer_weights") if root.name != "/" else None
    if optimizer is not None:
        yield Skipped("optimizer_weights", _OPTIMIZER)


def _datasets(h5: Any) -> List[str]:
    found = []  # type: List[str]

    def visit(where: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            found.append(where)

    h5.visititems(visit)
    return found


def _by_variables(h5: Any) -> Iterator[Any]:
    """Keras 3, and tf.keras from 2.12: ``layers/NAME/vars/0``; newer writers add the layer's own name."""
    for where in sorted(_datasets(h5), key=_natural):
        parts = where.split("/")
        if parts[0] == "optimizer" or "seed_generator" in parts:
            yield Skipped(where, _OPTIMIZER if parts[0] == "optimizer" else "state of a random number generator")
            continue
        if len(parts) < 2 or parts[-2] != "vars":
            yield Found(where, np.asarray(h5[where]))
            continue
        layer, group = [], h5
        for part in parts[:-2]:
            group = group[part]
            if part not in _CONTAINERS:
                layer.append(str(text(group.attrs.get("name")) or part))
        yield Found("/".join(layer + [parts[-1]]), np.asarray(h5[where]), layer, int(parts[-1]), None)


def _natural(where: str) -> Any:
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", where)]


def _plain(h5: Any) -> Iterator[Any]:
    for where in _datasets(h5):
        array = np.asarray(h5[where])
        if array.dtype.kind in "biufc":
            yield Found(where, array)
        else:
            yield Skipped(where, "dtype %s, no array of numbers" % array.dtype)


_OBJECT = "/.ATTRIBUTES/VARIABLE_VALUE"
_SLOTS = ("Adam", "Adam_1", "Momentum", "RMSProp", "RMSProp_1", "Adagrad", "Adadelta", "Adadelta_1", "Ftrl", "Ftrl_1")
_COUNTERS = ("global_step", "beta1_power", "beta2_power", "save_counter", "_CHECKPOINTABLE_OBJECT_GRAPH")


def checkpoint(path: str, name: str) -> Iterator[Any]:
    """The variables of a checkpoint of TF 1 (by name) or TF 2 (by the path of attributes that leads to them)."""
    tf = compat.import_tensorflow()
    try:
        reader = tf.train.load_checkpoint(path)
        shapes = reader.get_variable_to_shape_map()
    except Exception as error:
        raise Refusal("source-truncated", "%s cannot be read as a checkpoint: %s" % (name, str(error)[:500]))
    for key in sorted(shapes, key=_natural):
        reason = _no_weight(key, shapes)
        if reason:
            yield Skipped(key, reason)
            continue
        short = key[: -len(_OBJECT)] if key.endswith(_OBJECT) else key
        try:
            array = np.asarray(reader.get_tensor(key))
        except Exception as error:
            raise Refusal("source-truncated", "%s: the variable %s is damaged: %s" % (name, key, str(error)[:300]))
        if array.dtype.kind not in "biufc" and array.dtype.name != "bfloat16":
            yield Skipped(key, "dtype %s, no array of numbers" % array.dtype)
            continue
        parts = short.split("/")
        yield Found(short, array, parts[:-1] or None, None, parts[-1])


def _no_weight(key: str, shapes: Any) -> Any:
    first, last = key.split("/")[0], key.split("/")[-1]
    if "/.OPTIMIZER_SLOT/" in key or first in ("optimizer", "_optimizer", "keras_api"):
        return _OPTIMIZER
    if last in _SLOTS and os.path.dirname(key) in shapes:
        return _OPTIMIZER
    if first in _COUNTERS or last in _COUNTERS or last.startswith(("beta1_power", "beta2_power")):
        return "a counter of the training loop"
    return None
