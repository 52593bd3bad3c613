"""Operations that move, cut, join and repeat: their sizes are constants, or follow the number of examples."""

from __future__ import annotations

from typing import Any

import numpy as np

from harness.lift.calls import Call, floating, total
from harness.lift.plan import NUMPY, Tensor
from harness.lift.tiles import UnknownError, attrs, integers


def reshape(c: Call) -> list[Tensor]:
    sizes, x, shape = c.sizes(1, "shape"), c.tensor(0), c.given(0).shape
    made = c.spec().shape or [None] * len(sizes)
    # What is left to the operation is one size; others are those that the source has inferred.
    target = [-1 if b else size or -1 if a == -1 else a for (a, b), size in zip(sizes, made, strict=True)]
    if target.count(-1) > 1:
        raise UnknownError("more than one of its sizes is free")
    free = bool(shape) and shape is not None and shape[0] is None and None not in shape[1:]
    inner = int(np.prod([n or 0 for n in (shape or ())[1:]]))
    if free and len(target) > 1 and target[0] == -1 and int(np.prod(target[1:])) == inner:
        if len(target) == 2:
            return c.layer("Flatten", {"data_format": "channels_last"}, x)
        return c.layer("Reshape", {"target_shape": target[1:]}, x)
    return c.op(NUMPY, "Reshape", {"newshape": target}, x=x)


def squeeze(c: Call) -> list[Tensor]:
    axes, shape = integers(c.node, "squeeze_dims"), c.given(0).shape
    if not axes:
        if shape is None or None in shape[1:]:
            raise UnknownError("it drops whatever axes are of length 1, and not all lengths are known")
        axes = [i for i, size in enumerate(shape) if size == 1]
    rank = c.given(0).rank
    made = c.tensor(0)
    for axis in sorted((axis % rank if rank else axis for axis in axes), reverse=True):
        made = c.op(NUMPY, "Squeeze", {"axis": axis}, x=made)[0]
    return [made]


def transpose(c: Call) -> list[Tensor]:
    axes = c.numbers(1, "order of axes")
    return [c.tensor(0)] if axes == list(range(len(axes))) else c.op(NUMPY, "Transpose", {"axes": axes}, x=c.tensor(0))


def concat(c: Call) -> list[Tensor]:
    first = c.node["op"] == "Concat"
    count = len(c.node["inputs"]) - 1
    values = [c.value(i + first) for i in range(count)]
    axis = c.number(0 if first else count, "axis")
    tensors = [v for v in values if isinstance(v, Tensor)]
    if len(tensors) == 1 and count == 1:
        return [tensors[0]]
    if len(tensors) == count and floating(c) and all(len(t.spec.shape or ()) > 1 for t in tensors):
        return c.layer("Concatenate", {"axis": axis}, *tensors)
    rank = c.spec().rank or 0
    if len(tensors) < count and (not rank or axis % rank != 0):
        raise UnknownError("it joins constants to tensors of free sizes")
    return c.op(NUMPY, "Concatenate", {"axis": axis}, xs=values)


def stack(c: Call) -> list[Tensor]:
    values = [c.value(i) for i in range(len(c.node["inputs"]))]
    return c.op(NUMPY, "Stack", {"axis": attrs.number(c.node, "axis")}, x=values)


def unstack(c: Call) -> list[Tensor]:
    axis, rank = attrs.number(c.node, "axis"), c.given(0).rank
    if rank is None:
        raise UnknownError("its input is of unknown rank")
    keys = [[{"slice": [None, None, None]}] * (axis % rank) + [i] for i in range(attrs.number(c.node, "num"))]
    return [c.op(NUMPY, "GetItem", {}, x=c.tensor(0), key={"tuple": key})[0] for key in keys]


def split(c: Call) -> list[Tensor]:
    if c.node["op"] == "Split":
        count, axis, x = attrs.number(c.node, "num_split"), c.number(0, "axis"), c.tensor(1)
        if count == 1:
            return [x]
        return c.op(NUMPY, "Split", {"indices_or_sections": count, "axis": axis}, outputs=count, x=x)
    parts, axis, x = c.numbers(1, "sizes"), c.number(2, "axis"), c.tensor(0)
    if -1 in parts:
        whole = (c.given(0).shape or ())[axis]
        if whole is None:
            raise UnknownError("one of its sizes is what is left of a free one")
        parts = [n if n >= 0 else whole - sum(parts) - 1 for n in parts]
    ends = [int(n) for n in np.cumsum(parts)[:-1]]
    if not ends:
        return [x]
    return c.op(NUMPY, "Split", {"indices_or_sections": ends, "axis": axis}, outputs=len(parts), x=x)


def strided_slice(c: Call) -> list[Tensor]:
    begin, end = c.sizes(1, "begin"), c.sizes(2, "end")
    steps = c.numbers(3, "strides")
    masks = {
        key: attrs.number(c.node, f"{key}_mask") for key in ("begin", "end", "ellipsis", "new_axis", "shrink_axis")
    }
    key: list[Any] = []
    for i, step in enumerate(steps):
        if masks["ellipsis"] >> i & 1:
            key.append("...")
        elif masks["new_axis"] >> i & 1:
            key.append(None)
        elif masks["shrink_axis"] >> i & 1:
            key.append(_place(begin[i], "begin"))
        else:
            first = None if masks["begin"] >> i & 1 else _place(begin[i], "begin")
            # The number of examples as an end is the end.
            last = None if masks["end"] >> i & 1 or (end[i] == (0, 1) and step > 0) else _place(end[i], "end")
            key.append({"slice": [first, last, step]})
    return c.op(NUMPY, "GetItem", {}, x=c.tensor(0), key={"tuple": key})


def _place(size: tuple[int, int], what: str) -> int:
    if size[1]:
        raise UnknownError(f"its {what} follows the number of examples")
    return size[0]


def cut(c: Call) -> list[Tensor]:
    begin, key = c.numbers(1, "begin"), []
    for first, (size, batch) in zip(begin, c.sizes(2, "size"), strict=True):
        if batch and (size, batch, first) != (0, 1, 0):
            raise UnknownError("its size follows the number of examples")
        key.append({"slice": [first, None if batch or size == -1 else first + size, None]})
    return c.op(NUMPY, "GetItem", {}, x=c.tensor(0), key={"tuple": key})


def fill(c: Call) -> list[Tensor]:
    return _constant_of(c, c.sizes(0, "shape"), c.uniform(1, "value"))


def _constant_of(c: Call, sizes: list[tuple[int, int]], value: float) -> list[Tensor]:
    """A tensor of one number, as many as there are examples."""
    free = [i for i, (_, b) in enumerate(sizes) if b]
    zeros = c.plan.batch_zeros(c.spec().dtype)
    if len(free) != 1 or sizes[free[0]] != (0, 1) or zeros is None:
        raise UnknownError("its sizes are other than the number of examples and constants")
    shape = [-1 if i == free[0] else 1 for i in range(len(sizes))]
    made = c.op(NUMPY, "Reshape", {"newshape": shape}, x=zeros)
    rest = [1 if i == free[0] else a for i, (a, _) in enumerate(sizes)]
    return total(c, made[0], np.full(rest, value, c.spec().dtype))


def count(c: Call) -> list[Tensor]:
    """0, 1, … for each example."""
    ends = [c.sizes(i, "limits") for i in range(3)]
    zeros = c.plan.batch_zeros(c.spec().dtype)
    if ends != [[(0, 0)], [(0, 1)], [(1, 0)]] or zeros is None:
        raise UnknownError("it counts to other than the number of examples")
    ones = c.op(NUMPY, "OnesLike", {"dtype": c.spec().dtype}, x=zeros)
    sums = c.op(NUMPY, "Cumsum", {"axis": 0}, x=ones[0])
    return c.op(NUMPY, "Subtract", {}, x1=sums[0], x2=1)


def tile(c: Call) -> list[Tensor]:
    sizes, x = c.sizes(1, "multiples"), c.value(0)
    if isinstance(x, np.ndarray) or any(b for _, b in sizes):
        shape = c.given(0).shape
        free = [i for i, (_, b) in enumerate(sizes) if b]
        if shape is None or len(free) != 1 or shape[free[0]] != 1 or sizes[free[0]] != (0, 1):
            raise UnknownError("it repeats what is no single row as often as there are examples")
        zeros = c.plan.batch_zeros(c.spec().dtype)
        if zeros is None:
            raise UnknownError("no input has a free number of examples")
        column = c.op(NUMPY, "Reshape", {"newshape": [-1 if i == free[0] else 1 for i in range(len(sizes))]}, x=zeros)[
            0
        ]
        repeats = [1 if i == free[0] else a for i, (a, _) in enumerate(sizes)]
        if isinstance(x, Tensor) and max(repeats) > 1:
            x = c.op(NUMPY, "Tile", {"repeats": repeats}, x=x)[0]
        elif isinstance(x, np.ndarray):
            x = np.tile(x, repeats)
        return total(c, column, x)
    return c.op(NUMPY, "Tile", {"repeats": [a for a, _ in sizes]}, x=x)
