"""Units that lie near the knee of their activation, as the source session has them: what a gradient may hang on by rounding.

Where two inputs of a maximum, a value and zero, nearly tie, the slope jumps from one side to the other, and rounding decides which
side is taken. The source writes down such units and its own values of them, so that whoever compares gradients can take the same
sides (see ``knees``). Units inside of loops and conditionals cannot be fetched, and are not among them.
"""

from typing import Any, Dict, Iterator, List, Tuple

import numpy as np

from .arrays import ArrayWriter
from .compat_graphs import v1

#: operation -> values of its input at which its slope jumps
PLACES = {"Relu": (0.0,), "Relu6": (0.0, 6.0), "LeakyRelu": (0.0,), "Selu": (0.0,), "Abs": (0.0,)}
#: operations that choose among their inputs, which hand the gradient to what they chose
CHOICES = ("Maximum", "Minimum", "ClipByValue", "MaxPool", "MaxPoolV2", "Max", "Min")
#: types in which few units are near; half precision rounds so coarsely that a good part of them would be
TYPES = ("float32", "float64")
#: operation -> the inputs that are chosen from
_CHOSEN = {"Maximum": (0, 1), "Minimum": (0, 1)}


class NearKnees(object):
    """The operations with knees of one signature. ``near`` is how near counts: dtype -> share of the largest value."""

    def __init__(self, part: Any, key: str, near: Dict[str, float]) -> None:
        self.part, self.near = part, near
        names, fed = part.needed(key), {spec["tensor"] for spec in part.signatures[key]["inputs"].values()}
        kinds = list(PLACES) + list(CHOICES) if near else []
        self.operations = [
            op
            for op in part.operations
            if op.name in names and op.type in kinds and op.outputs[0].name not in fed
            and op.outputs[0].dtype.base_dtype.name in TYPES and op._get_control_flow_context() is None
        ]  # fmt: skip
        self._fetches = None  # type: Any

    def record(self, feed: Any, where: str, writer: ArrayWriter, entries: List[Any]) -> List[Dict[str, Any]]:
        """A row for each input that has such units; their arrays go into the file."""
        if self._fetches is None:
            with self.part.graph.as_default():
                self._fetches = [self._fetched(op) for op in self.operations]
        rows = []  # type: List[Dict[str, Any]]
        try:
            fetched = self.part.session.run(self._fetches, feed)
        except Exception:  # a conditional whose context is lost: without units, gradients just have to agree
            return rows
        for op, values in zip(self.operations, fetched):
            near = self.near[op.outputs[0].dtype.base_dtype.name]
            found = [_placed(values)] if op.type in PLACES else chosen(op, values, near)
            for position, shape, scale, units, exact, distances in found:
                if not len(units):
                    continue
                row = {"node": op.name, "op": op.type, "input": position, "shape": list(map(int, shape))}  # type: Any
                row["scale"] = float(scale)
                for kind, array in (("units", units.astype("int64")), ("values", exact), ("distances", distances)):
                    name = "%s/knees/%d/%s" % (where, len(rows), kind)
                    entries.append(writer.add(name, np.asarray(array)))
                    row[kind] = entries[-1]["name"]
                rows.append(row)
        return rows

    def _fetched(self, op: Any) -> Any:
        """What the session is asked for: the near units where there are many units, else the inputs."""
        api, x = v1(), op.inputs[0]
        if op.type not in PLACES:
            return list(op.inputs)
        flat = api.cast(api.reshape(x, [-1]), "float32")
        # An empty tensor has no largest value, and infinities none to measure by.
        scale = api.reduce_max(api.concat([api.abs(flat), api.zeros([1])], 0))
        distances = api.abs(flat - PLACES[op.type][0])
        for place in PLACES[op.type][1:]:
            distances = api.minimum(distances, api.abs(flat - place))
        units = api.reshape(api.where(distances <= self.near[x.dtype.base_dtype.name] * scale), [-1])
        exact = api.gather(api.reshape(x, [-1]), units)
        return [api.shape(x), scale, units, exact, api.gather(distances, units)]


def _placed(values: List[Any]) -> Tuple[Any, ...]:
    shape, scale, units, exact, distances = values
    return 0, shape, scale, units, exact, _share(distances, scale)


def _share(distances: Any, scale: Any) -> Any:
    return np.asarray(distances / (scale if scale > 0 else 1.0), dtype="float32")


def chosen(op: Any, values: List[Any], near: float) -> Iterator[Tuple[Any, ...]]:
    """(input, shape, scale, units, values, distances) of the inputs of an operation that chooses: what nearly ties."""
    arrays = [np.asarray(value) for value in values]
    x = arrays[0]
    if op.type in _CHOSEN or op.type == "ClipByValue":
        others = arrays[1:]
        shape = np.broadcast(*arrays).shape
        for position in _CHOSEN.get(op.type, (0,)):
            if arrays[position].shape == shape:
                own = arrays[position].astype("float64")
                rest = [a for i, a in enumerate(arrays) if i != position] if op.type in _CHOSEN else others
                distances = np.min([np.abs(own - a) for a in rest], axis=0)
                yield (position,) + _near(arrays[position], distances, near)
        return
    if op.type in ("Max", "Min"):
        axes = tuple(int(axis) for axis in np.asarray(arrays[1]).ravel())
        sign = 1.0 if op.type == "Max" else -1.0
        distances = _runners_up(sign * x, axes) if x.size and axes else np.full(x.shape, np.inf)
        yield (0,) + _near(x, distances, near)
        return
    sizes, strides = ([int(n) for n in _sizes(op, arrays, i, key)] for i, key in ((1, "ksize"), (2, "strides")))
    if x.ndim == 4 and op.get_attr("data_format") in (b"NHWC", "NHWC") and sizes[0] == sizes[3] == 1:
        padding = op.get_attr("padding")
        # Where all is what a relu made 0, the relu stops the gradient, whichever of them gets it.
        stopped = op.inputs[0].op.type in ("Relu", "Relu6")
        yield (0,) + _near(x, pooled(x, sizes[1:3], strides[1:3], padding in (b"SAME", "SAME"), stopped), near)


def _sizes(op: Any, arrays: List[Any], position: int, key: str) -> Any:
    return arrays[position].ravel() if op.type == "MaxPoolV2" else op.get_attr(key)


def _near(x: Any, distances: Any, near: float) -> Tuple[Any, ...]:
    scale = float(np.abs(x).max()) if x.size else 0.0
    units = np.nonzero((distances <= near * scale).ravel())[0]
    return x.shape, scale, units, x.ravel()[units], _share(distances.ravel()[units], scale)


def _runners_up(x: Any, axes: Tuple[int, ...]) -> Any:
    """How far each element is from being, or from not being, the only largest along the axes; those without a rival: inf."""
    axes = tuple(axis % x.ndim for axis in axes)
    order = [axis for axis in range(x.ndim) if axis not in axes] + list(axes)
    moved = np.transpose(x, order)
    rest = moved.shape[: x.ndim - len(axes)]
    rows = _contested(moved.reshape(rest + (-1,)))
    return np.transpose(rows.reshape(moved.shape), np.argsort(order))


def _contested(rows: Any, stopped: bool = False) -> Any:
    """For each element of the last axis: its distance to the largest, for the largest that to the second.

    Those subtractions are exact where they are small. ``stopped`` leaves out what consists of zeros.
    """
    if rows.shape[-1] < 2:
        return np.full(rows.shape, np.inf)
    two = np.partition(rows, rows.shape[-1] - 2, axis=-1)
    largest, second = two[..., -1:], two[..., -2:-1]
    with np.errstate(invalid="ignore"):  # padding, less than anything, against padding
        distances = np.where(rows == largest, largest - second, largest - rows)
    return np.where(largest == 0, np.inf, distances) if stopped else distances


def pooled(x: Any, sizes: Any, strides: Any, same: bool, stopped: bool = False) -> Any:
    """For each element of ``x`` (examples, height, width, channels): the smallest of its distances in the windows that hold it."""
    pads = []
    for size, length, stride in zip(sizes, x.shape[1:3], strides):
        total = max((-(-length // stride) - 1) * stride + size - length, 0) if same else 0
        pads.append((total // 2, total - total // 2))
    padded = np.pad(x, [(0, 0)] + pads + [(0, 0)], "constant", constant_values=-np.inf)
    counts = [(n - size) // stride + 1 for n, size, stride in zip(padded.shape[1:3], sizes, strides)]
    offsets = [(i, j) for i in range(sizes[0]) for j in range(sizes[1])]

    def window(array: Any, i: int, j: int) -> Any:
        return array[
            :, i : i + counts[0] * strides[0] : strides[0], j : j + counts[1] * strides[1] : strides[1]
        ]  # the element (i, j) of every window

    windows = np.stack([window(padded, i, j)[:, : counts[0], : counts[1]] for i, j in offsets], axis=-1)
    distances = _contested(windows, stopped)
    out = np.full(padded.shape, np.inf)
    for number, (i, j) in enumerate(offsets):
        part = window(out, i, j)[:, : counts[0], : counts[1]]
        np.minimum(part, distances[..., number], out=part)
    (top, _), (left, _) = pads
    return out[:, top : top + x.shape[1], left : left + x.shape[2]]
