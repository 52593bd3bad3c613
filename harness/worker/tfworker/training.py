"""How a model is trained, read in the source environment: compile configuration, optimizer state, and steps.

What is written into ``model.training`` of the manifest is described in ``docs/bundle.md``. Nothing here may fail a
migration: what cannot be read is named in ``reasons``.
"""

import contextlib
from typing import Any, Dict, Iterator, List

import h5py
import numpy as np

from . import compat, compat_training
from .arrays import ArrayWriter
from .h5_weights import names_of

#: keys of a training configuration beside the optimizer's
COMPILED = ("loss", "loss_weights", "metrics", "weighted_metrics", "sample_weight_mode")


@contextlib.contextmanager
def optional_writer(path: str, wanted: bool) -> Iterator[Any]:
    """A writer of arrays, or None where there will be none."""
    if not wanted:
        yield None
        return
    with ArrayWriter(path) as writer:
        yield writer


def absent(config: Any, stored: bool) -> Dict[str, Any]:
    """The ``training`` object of a model that brings no optimizer."""
    return {
        "config": config,
        "optimizer_weights": stored,
        "optimizer": None,
        "slots": [],
        "scalars": {},
        "state": "absent",
        "reasons": [],
        "step": None,
    }


def read_training(keras: Any, model: Any, owners: List[Any], found: Any, path: str, writer: Any) -> Any:
    """(the ``training`` object, index entries of the slots). ``owners`` are (path, role, variable, trains)."""
    training = absent(found["training"], found["optimizer_weights"])
    entry = (found["training"] or {}).get("optimizer_config")
    if not entry:
        return training, []
    try:
        return _read(keras, model, owners, entry, training, path, writer)
    except Exception as error:  # an optimizer that cannot be read must not cost the model
        reason = "%s: %s" % (type(error).__name__, str(error).strip().splitlines()[0][:300] if str(error) else "")
        training["reasons"].append("the optimizer %s cannot be read: %s" % (entry.get("class_name"), reason))
        training["state"] = "lost" if found["optimizer_weights"] else "absent"
        return training, []


def _read(keras: Any, model: Any, owners: Any, entry: Any, training: Any, path: str, writer: Any) -> Any:
    optimizer = compat_training.make_optimizer(keras, entry)
    described = {
        "class_name": compat_training.class_of(optimizer),
        "config": compat_training.live_config(optimizer),
        "family": compat_training.family(optimizer),
    }
    training["optimizer"] = described
    if not training["optimizer_weights"]:
        return training, []
    params = list(model.trainable_weights)
    compat_training.create_slots(keras, optimizer, params)
    stored = read_state(path)
    set_state(keras, optimizer, stored)
    by_variable = {id(v): (layer, role) for layer, role, v, _ in owners}
    slots = compat_training.slots(optimizer, params)
    entries = []  # type: List[Any]
    for (index, slot, _), value in zip(slots, compat.values(keras, [v for _, _, v in slots])):
        layer, role = by_variable[id(params[index])]
        entries.append(writer.add("optimizer/%s/%s/%s" % ("/".join(layer), role, slot), value))
        name = entries[-1]["name"]
        training["slots"].append({"array": name, "layer": list(layer), "role": role, "slot": slot})
    for name, variable in compat_training.scalars(keras, optimizer).items():
        value = np.asarray(next(compat.values(keras, [variable]))).item()
        training["scalars"][name] = int(value) if name == "iterations" else float(value)
    training["state"] = "carried"
    if described["family"] == "keras" and not any(w is optimizer.iterations for w in optimizer.weights):
        training["reasons"].append("the file does not hold the step counter of this optimizer: it begins at 0 again")
    if described["class_name"] == "Nadam" and described["family"] != "modern" and len(stored) == len(slots) + 1:
        training["reasons"].append("the file does not hold Nadam's momentum schedule: it begins at 1 again")
    return training, entries


def read_state(path: str) -> List[Any]:
    """Arrays of the group ``optimizer_weights``, in the order in which they were saved."""
    with h5py.File(path, "r") as h5:
        group = h5["optimizer_weights"]
        return [np.asarray(group[name]) for name in names_of(group, "weight_names")]


def set_state(keras: Any, optimizer: Any, arrays: List[Any]) -> None:
    """Give the optimizer's variables their stored values, as this Keras itself does."""
    if compat_training.family(optimizer) == "keras" and not arrays:
        return
    optimizer.set_weights(list(arrays))
