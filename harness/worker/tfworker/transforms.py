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


def divide_by(array: Any, step: Dict[str, Any]) -> Any:
    """Divide by another weight of the bundle, given as ``value`` (weighted running sums become means)."""
    return np.asarray(array / np.asarray(step["value"]), dtype=np.asarray(array).dtype)


def local_kernel(array: Any, step: Dict[str, Any]) -> Any:
    """Kernel of a locally connected layer as (positions, patch, filters), patch ordered by kernel place, then channel.

    Implementation 1 stores it so; 2 stores a dense (input, channels, output, filters) array of which only the
    connected part is used; 3 stores the connected entries of the (output · filters, input · channels) matrix,
    sorted by row and column.
    """
    if step["implementation"] == 1:
        return np.asarray(array)
    positions, patches = _connections(step)
    channels, filters = step["channels"], step["filters"]
    out = np.zeros((len(positions), len(patches[0]) * channels, filters), dtype=array.dtype)
    if step["implementation"] == 2:
        flat = np.asarray(array).reshape(int(np.prod(step["input"])), channels, len(positions), filters)
        for index, places in enumerate(patches):
            out[index] = flat[places, :, index, :].reshape(-1, filters)
        return out
    values = iter(np.asarray(array))
    for index, places in enumerate(patches):
        order = np.argsort(np.repeat(places, channels) * channels + np.tile(np.arange(channels), len(places)))
        for column in range(filters):
            for place in order:
                out[index, place, column] = next(values)
    return out


def _connections(step: Dict[str, Any]) -> Any:
    """Output positions, and for each the flat input positions of its patch, in kernel order."""
    grids = [range((n - k) // s + 1) for n, k, s in zip(step["input"], step["kernel"], step["strides"])]
    positions = list(np.ndindex(*[len(g) for g in grids]))
    patches = []
    for position in positions:
        corner = [p * s for p, s in zip(position, step["strides"])]
        places = [[c + o for c, o in zip(corner, offset)] for offset in np.ndindex(*step["kernel"])]
        patches.append(np.array([np.ravel_multi_index(p, step["input"]) for p in places]))
    return positions, patches


OPS = {
    "divide_by": divide_by,
    "local_kernel": local_kernel,
    "scale": scale,
    "transpose": transpose,
    "reshape": reshape,
    "flip": flip,
    "sum_halves": sum_halves,
}


def apply(array: Any, steps: List[Dict[str, Any]]) -> Any:
    """The array after all ``steps``, contiguous, of unchanged dtype. Raises KeyError for an unknown step."""
    for step in steps:
        array = OPS[step["op"]](array, step)
    return np.asarray(array, order="C")
