"""Probe inputs: arrays that respect each input's domain, cross activation knees and repeat exactly.

The domain of an input follows from the layers that read it: ids below the vocabulary for an Embedding
(with padding where it masks), masked steps for a Masking layer, real numbers otherwise.
"""

from typing import Any, Dict, List, Optional, Tuple

import numpy as np

from . import topology

SEED = 20240229
#: (name, batch size, index of the length used for free dimensions, what it holds)
SETS = (
    ("normal", 3, 0, "standard normal numbers; random ids, the last steps padded where the model masks"),
    ("unit", 5, 2, "uniform in [0, 1), as images are; random ids"),
    ("wide", 2, 1, "uniform in [-8, 8), across the knees of every activation; smallest and largest ids"),
    ("zeros", 1, 0, "zeros; one constant id"),
)
#: lengths for free dimensions, tried in this order until the model accepts all sets
LENGTHS = (
    (7, 8, 10),
    (12, 13, 17),
    (16, 32, 48),
    (32, 64, 96),
    (64, 128, 96),
    (128, 160, 192),
    (224, 256, 224),
    (512, 512, 512),
)

#: layers that hand values on unchanged (or rearranged), so that the domain of their input is that of their readers
PASSING = {
    "Reshape", "Permute", "Flatten", "RepeatVector", "Dropout", "SpatialDropout1D", "SpatialDropout2D",
    "SpatialDropout3D", "Cropping1D", "Cropping2D", "Cropping3D", "InputLayer", "ActivityRegularization",
}  # fmt: skip


def domains(graph: Dict[str, Any]) -> List[Dict[str, Any]]:
    """Per input of the graph: {"below": vocabulary or None, "masks": bool, "mask_value": number or None}.

    The key ``between``, smallest and largest whole number, is not found in a graph of layers (see ``graph_domains``).
    """
    return [_trace(graph, tensor) for tensor in graph["inputs"]]


def multiple(graph: Dict[str, Any]) -> int:
    """What the number of examples must be a multiple of: old BatchNormalization may split them into virtual batches."""
    rows = 1
    for _, layer in topology.leaves(graph):
        size = (layer["config"] or {}).get("virtual_batch_size") or 1
        rows = rows if rows % size == 0 else rows * size
    return rows


def _trace(graph: Dict[str, Any], tensor: List[Any]) -> Dict[str, Any]:
    found = {"below": None, "masks": False, "mask_value": None}  # type: Dict[str, Any]
    queue, seen = [list(tensor)], []  # type: Any
    while queue:
        here = queue.pop()
        if here in seen:
            continue
        seen.append(here)
        for layer in graph["layers"]:
            for index, call in enumerate(layer["calls"]):
                if here not in call["inputs"]:
                    continue
                nested = layer.get("graph") or layer.get("wrapped")
                if nested:
                    _merge(found, _trace(nested, nested["inputs"][call["inputs"].index(here)]))
                elif _note(found, layer["class_name"], layer["config"]):
                    queue.append([layer["name"], index, 0])
    return found


def _note(found: Dict[str, Any], class_name: str, config: Any) -> bool:
    """Record what a reader says of its input; whether the values pass on to the layer's own readers."""
    if class_name == "TimeDistributed":
        inner = config["layer"]
        return _note(found, inner["class_name"], inner["config"])
    if class_name == "Embedding":
        _merge(found, {"below": int(config["input_dim"]), "masks": bool(config.get("mask_zero")), "mask_value": None})
        return False
    if class_name == "Masking":
        _merge(found, {"below": None, "masks": True, "mask_value": config.get("mask_value", 0.0)})
        return True
    return class_name in PASSING


def _merge(found: Dict[str, Any], other: Dict[str, Any]) -> None:
    if other["below"] is not None:
        found["below"] = min(found["below"] or other["below"], other["below"])
    found["masks"] = found["masks"] or other["masks"]
    if other["mask_value"] is not None:
        found["mask_value"] = other["mask_value"]


def make(
    name: str, spec: Dict[str, Any], domain: Dict[str, Any], lengths: Tuple[int, ...], position: int, rows: int = 1
) -> Any:
    """One probe array for one input.

    ``spec`` has ``shape`` (None where free, batch first) and ``dtype``; ``position`` is the input's index,
    so that two inputs never receive the same numbers. The number of examples is a multiple of ``rows``.
    """
    row = [s[0] for s in SETS].index(name)
    batch, length = SETS[row][1], lengths[SETS[row][2]]
    shape = [length if d is None else d for d in spec["shape"]]
    shape[0] = batch * rows if spec["shape"][0] is None else spec["shape"][0]
    rng = np.random.RandomState(SEED + 101 * position + row)
    if spec["dtype"] == "string":
        return np.array([b"probe %d" % i for i in rng.randint(0, 100, size=int(np.prod(shape)))], dtype=object).reshape(
            shape
        )
    if domain.get("between"):
        low, high = domain["between"]
        return rng.randint(low, high + 1, size=shape).astype(spec["dtype"])
    if domain["below"] is not None:
        return _ids(name, rng, shape, domain).astype(spec["dtype"])
    if spec["dtype"] == "bool":
        return rng.rand(*shape) < 0.5
    if spec["dtype"].startswith(("int", "uint")):
        return rng.randint(0, 2, size=shape).astype(spec["dtype"])
    return _reals(name, rng, shape, domain).astype(spec["dtype"])


def _ids(name: str, rng: Any, shape: List[int], domain: Dict[str, Any]) -> Any:
    top = domain["below"]
    if name == "zeros":
        return np.full(shape, min(1, top - 1))
    if name == "wide":
        return rng.choice([0 if not domain["masks"] else min(1, top - 1), top // 2, top - 1], size=shape)
    ids = rng.randint(min(1, top - 1), top, size=shape)
    if domain["masks"]:
        _pad(ids, 0)
    elif name == "unit":
        ids.flat[0] = 0
    return ids


def _pad(array: Any, value: Any) -> None:
    """Overwrite the last steps of every row but the first, more with each row, never a whole row."""
    if array.ndim < 2:
        return
    for row in range(1, array.shape[0]):
        keep = max(1, array.shape[1] - 2 * row)
        array[row, keep:] = value


def _reals(name: str, rng: Any, shape: List[int], domain: Dict[str, Any]) -> Any:
    if name == "zeros":
        return np.zeros(shape)
    values = {"normal": rng.standard_normal, "unit": rng.random_sample}.get(name, lambda s: rng.uniform(-8, 8, s))(
        shape
    )
    if domain["masks"] and domain["mask_value"] is not None:
        _pad(values, domain["mask_value"])
    return values


def describe(name: str) -> Optional[str]:
    """What a named set holds, for the recipe in the manifest."""
    return {row[0]: row[3] for row in SETS}.get(name)
