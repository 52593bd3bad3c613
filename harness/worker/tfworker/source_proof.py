"""Layers made from source against what was recorded of them: values and gradients, in both phases (see ``from_source``).

Both sides run in the target, with the same weights, on what the layer was given when the source was recorded. The
replay of the saved model compares outputs in inference; this is about what a replay does not see.
"""

import inspect
import os
from typing import Any, Dict, Iterator, List

import numpy as np

from . import carried, compat, compat_target, from_source, noise, topology
from .arrays import ArrayReader
from .files import read_json
from .isolate import Recorded

SEED = 20240511


def compare(keras: Any, graph: Dict[str, Any], layer_at: Any, bundle: str, reader: ArrayReader) -> List[Dict[str, Any]]:
    """A row for every layer made from source: ``layer``, ``skipped`` (why nothing was compared, or None), ``rows``.

    A row of ``rows`` has ``phase``, ``what``, ``dtype``, ``max_rel`` (None where shapes differ) and ``gradient``;
    ``operations`` counts those of the record. Raises what the layer itself raises.
    """
    manifest = read_json(os.path.join(bundle, "manifest.json"))
    recorded, found = Recorded(manifest, reader), []
    for path, layer in topology.leaves(graph):
        if layer.get("way") != from_source.WAY:
            continue
        row = {"layer": "/".join(layer["source_path"]), "class_name": layer["origin"], "skipped": None, "rows": []}
        inputs = _inputs(layer, recorded)
        if any(any(site["masks"]) for site in layer["carried"]["sites"]):
            row["skipped"] = "it is masked"
        elif inputs is None:
            row["skipped"] = "what it was given is not known"
        else:
            live = layer_at(path)
            record = carried.record(keras, layer, bundle, reader)
            _fill(layer, live, record)
            row["rows"] = list(_compare(layer, live, record, inputs))
            row["operations"] = _operations(record)
        found.append(dict(row, by=layer["by"], dropped=layer["dropped"]))
    return found


def _inputs(layer: Dict[str, Any], recorded: Recorded) -> Any:
    """What the first call of a layer was given; random numbers where that was not recorded, None for whole numbers."""
    given = recorded.inputs_of({"path": layer["source_path"], "call": 0})
    if given is not None:
        return given
    specs = layer["carried"]["sites"][layer["carried"]["calls"][0]]["inputs"]
    if not all(dtype.startswith("float") and shape is not None for shape, dtype in specs):
        return None
    rng = np.random.RandomState(SEED)
    return [rng.uniform(-1, 1, [3 if i == 0 else d or 7 for i, d in enumerate(s)]).astype(t) for s, t in specs]


def _fill(layer: Dict[str, Any], live: Any, record: Any) -> None:
    """Give the record the weights that the layer has; those that it lacks stay as they start."""
    by_role = dict(from_source.roles(layer, live))
    for role, weight in record.roles():
        if role in by_role:
            weight.assign(by_role[role])


def _operations(record: Any) -> Dict[str, int]:
    counts = {}  # type: Dict[str, int]
    for graph in record.get_config()["graphs"].values():
        for node in carried.nodes(graph):
            counts[node["op"]] = counts.get(node["op"], 0) + 1
    return counts


def _compare(layer: Dict[str, Any], live: Any, record: Any, inputs: List[Any]) -> Iterator[Dict[str, Any]]:
    config = record.get_config()
    site = config["sites"][layer["carried"]["calls"][0]]
    for phase in ("inference", "training"):
        random = noise.is_random(config["graphs"][site[phase]["graph"]])
        sides = [_run(side, inputs, phase == "training") for side in (record, live)]
        gradients = [v for _, v, gradient in sides[0] if gradient and v is not None]
        largest = max([float(np.abs(v).max()) for v in gradients if v.size] or [0.0])
        found = dict((key, value) for key, value, _ in _named(layer, live, sides[1]))
        for key, expected, gradient in _named(layer, record, sides[0]):
            if key in found:
                # A gradient that cancels to nearly nothing rounds on the scale of its neighbours.
                worst = _difference(expected, found[key], largest * 1e-2 if gradient else 0.0, random)
                dtype = "float32" if expected is None else expected.dtype.name
                yield {"phase": phase, "what": key, "dtype": dtype, "max_rel": worst, "gradient": gradient}


def _run(side: Any, inputs: List[Any], training: bool) -> List[Any]:
    """(what, array, whether it is a gradient): outputs, gradients by inputs and weights, weights after the call."""
    import tensorflow as tf

    tensors = [tf.constant(a) for a in inputs]
    floats = [i for i, t in enumerate(tensors) if t.dtype.is_floating]
    before = [(w, np.asarray(w)) for w in side.non_trainable_weights]
    kwargs = {"training": training} if _takes_training(side) else {}
    with tf.GradientTape() as tape:
        tape.watch([tensors[i] for i in floats])
        outputs = compat.flatten(side(tensors if len(tensors) > 1 else tensors[0], **kwargs))
        total = [tf.reduce_sum(tf.sin(tf.cast(o, "float32"))) for o in outputs if o.dtype.is_floating]
    wanted = [tensors[i] for i in floats] + [compat_target.variable(w) for w in side.trainable_weights]
    gradients = tape.gradient(total, wanted) if total else [None] * len(wanted)
    gradients = [None if g is None else np.asarray(tf.convert_to_tensor(g)) for g in gradients]
    found = [("output %d" % i, np.asarray(o), False) for i, o in enumerate(outputs)]  # type: List[Any]
    found += [("the gradient by input %d" % i, g, True) for i, g in zip(floats, gradients)]
    found += [(id(w), g, True) for w, g in zip(side.trainable_weights, gradients[len(floats) :])]
    found += [(id(w), np.asarray(w), False) for w, _ in before]
    for weight, value in before:
        weight.assign(value)
    return found


def _named(layer: Dict[str, Any], side: Any, found: List[Any]) -> Iterator[Any]:
    """The same with the recorded roles of weights; weights of one side only are left out."""
    pairs = side.roles() if hasattr(side, "roles") else from_source.roles(layer, side)
    names = {id(weight): role for role, weight in pairs}
    for key, value, gradient in found:
        if not isinstance(key, int):
            yield key, value, gradient
        elif key in names:
            yield ("the gradient by %s" if gradient else "%s after the call") % names[key], value, gradient


def _takes_training(side: Any) -> bool:
    parameters = inspect.signature(side.call).parameters.values()
    return any(p.name == "training" or p.kind == p.VAR_KEYWORD for p in parameters)


def _difference(expected: Any, found: Any, scale: float, random: bool) -> Any:
    """The largest difference as a share of the largest value; None where shapes differ, or one is not a number."""
    if expected is None or found is None:
        present = found if expected is None else expected
        return 0.0 if present is None or not np.any(present) else 1.0
    if expected.shape != found.shape:
        return None
    if random or not expected.size:
        return 0.0
    wide = expected.astype("float64"), found.astype("float64")
    finite = np.isfinite(wide[0])
    if not np.array_equal(finite, np.isfinite(wide[1])):
        return None
    gap = float(np.abs(wide[0] - wide[1])[finite].max()) if finite.any() else 0.0
    scale = max(scale, float(np.abs(wide[0])[finite].max()) if finite.any() else 0.0)
    return gap / scale if scale else gap
