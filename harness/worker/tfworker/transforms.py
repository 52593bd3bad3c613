"""What may be done to a weight on its way, each exact or correctly rounded, and named in the report.

A transform is data: ``{"op": name, ...}``. Arrays keep their dtype.
"""

from typing import Any, Dict, List

import numpy as np


def scale(array: Any, step: Dict[str, Any]) -> Any:
    """Multiply columns of the last axis by ``factor``, rounded once; ``ranges`` are [start, stop) or null for all."""
    out = np.array(array)
    for start, stop in step["ranges"] or [[0, out.shape[-1]]]:
        out[..., start:stop] = (np.asarray(array[..., start:stop], dtype=np.float64) * step["factor"]).astype(out.dtype)
    return out


def transpose(array: Any, step: Dict[str, Any]) -> Any:
    """Reorder the axes by ``axes``."""
    return np.transpose(array, step["axes"])


def reshape(array: Any, step: Dict[str, Any]) -> Any:
    """Same elements in the same order, in ``shape``."""
    return np.reshape(array, step["shape"])


def flip(array: Any, step: Dict[str, Any]) -> Any:
    """Reverse the order along ``axes``."""
    return np.flip(array, tuple(step["axes"]))


def sum_halves(array: Any, step: Dict[str, Any]) -> Any:
    """Add the two halves of a vector (cuDNN's input and recurrent LSTM biases)."""
    first, second = np.split(np.asarray(array), 2)
    return first + second


OPS = {"scale": scale, "transpose": transpose, "reshape": reshape, "flip": flip, "sum_halves": sum_halves}


def apply(array: Any, steps: List[Dict[str, Any]]) -> Any:
    """The array after all ``steps``, contiguous, of unchanged dtype. Raises KeyError for an unknown step."""
    for step in steps:
        array = OPS[step["op"]](array, step)
    return np.asarray(array, order="C")
