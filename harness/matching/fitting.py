"""Shapes and dtypes: what an array is after steps, and which exact steps make it fit a weight."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from harness.matching.names import Stored, Variable
from harness.worker.tfworker import transforms
from harness.worker.tfworker.arrays import STORED_AS

#: what a type that numpy lacks is decoded to, exactly
_DECODED = {"bfloat16": "float32", "float8_e4m3fn": "float32", "float8_e5m2": "float32"}
_RANK_LIMIT = 6


def shape_text(shape: Sequence[int]) -> str:
    """A shape as people write it."""
    return f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"


def after(
    shapes: Sequence[tuple[int, ...]], dtype: str, steps: Sequence[dict[str, Any]]
) -> tuple[tuple[int, ...], str]:
    """Shape and dtype after steps, found by doing them to arrays that take no memory.

    Raises:
        ValueError: a step does not fit; the message says why.
    """
    array = _empty(shapes[0])
    for step in steps:
        if step["op"] in ("cast", "decode", "dequantize"):
            dtype = "float32" if step["op"] == "decode" else step["dtype"]
            continue
        if step["op"] == "concat":
            array = _empty(_joined([array.shape, *shapes[1:]], step["axis"]))
            continue
        if step["op"] == "scale":
            continue
        try:
            array = transforms.OPS[step["op"]](array, step)
        except (ValueError, IndexError, TypeError) as error:
            raise ValueError(f"the step {step['op']} does not fit: {error}") from error
        array = _empty(array.shape)
    return tuple(array.shape), dtype


def _empty(shape: Sequence[int]) -> Any:
    return np.broadcast_to(np.zeros((), dtype=np.int8), tuple(shape))


def _joined(shapes: Sequence[Sequence[int]], axis: int) -> list[int]:
    first = list(shapes[0])
    if not -len(first) <= axis < len(first):
        raise ValueError(f"the step concat has no axis {axis}")
    for shape in shapes[1:]:
        others = [n for i, n in enumerate(shape) if i != axis % len(first)]
        if len(shape) != len(first) or others != [n for i, n in enumerate(first) if i != axis % len(first)]:
            raise ValueError(f"the step concat does not fit shapes {', '.join(map(shape_text, shapes))}")
        first[axis] += shape[axis]
    return first


def same_size(stored: Stored, variable: Variable) -> bool:
    """Whether the shapes agree, axes of length 1 aside: those hold no order of elements."""
    return [n for n in stored.shape if n != 1] == [n for n in variable.shape if n != 1]


def steps_to(stored: Stored, variable: Variable, cast: str) -> tuple[list[dict[str, Any]], str | None]:
    """The exact steps that are still needed, and what is wrong, or None."""
    steps: list[dict[str, Any]] = []
    if stored.shape != variable.shape:
        if not same_size(stored, variable):
            return [], _shape_problem(stored, variable)
        steps.append({"op": "reshape", "shape": list(variable.shape)})
    more, problem = _type_steps(stored, variable, cast)
    return [*steps, *more], problem


def _shape_problem(stored: Stored, variable: Variable) -> str:
    line = f"{variable.name}: expected shape {shape_text(variable.shape)}, {stored.name} has {shape_text(stored.shape)}"
    rank = len(stored.shape)
    if rank == len(variable.shape) and 2 <= rank <= _RANK_LIMIT:
        orders = itertools.permutations(range(rank))
        fitting = [list(o) for o in orders if tuple(stored.shape[i] for i in o) == variable.shape]
        if fitting:
            line += f"; a transposition {' or '.join(map(str, fitting[:3]))} would fit: say so in the mapping if that is its layout"
    elif math.prod(stored.shape) == math.prod(variable.shape):
        line += "; the number of elements is the same: say in the mapping how it is to be reshaped"
    return line


def _type_steps(stored: Stored, variable: Variable, cast: str) -> tuple[list[dict[str, Any]], str | None]:
    if stored.dtype == variable.dtype:
        return [], None
    decoded = _DECODED.get(stored.dtype, stored.dtype)
    line = f"{variable.name}: expected {variable.dtype}, {stored.name} has {stored.dtype}"
    floats = all(name.startswith("float") for name in (decoded, variable.dtype))
    if not floats or stored.dtype in set(STORED_AS) - set(_DECODED):
        hint = "give its scale and zero point with a step dequantize in the mapping" if "int" in stored.dtype else ""
        return [], f"{line}; {hint or 'these are no two floating point types'}"
    exact = np.can_cast(decoded, variable.dtype, "safe")
    if cast == "none" or (cast == "exact" and not exact):
        wanted = "exact" if exact else "round"
        return (
            [],
            f"{line}; `--cast {wanted}` allows it ({'every value is kept' if exact else 'values are rounded once'})",
        )
    steps: list[dict[str, Any]] = [{"op": "decode", "dtype": stored.dtype}] if stored.dtype in _DECODED else []
    if decoded != variable.dtype:
        steps.append({"op": "cast", "dtype": variable.dtype})
    return steps, None
