"""What may be done to a weight on its way, each exact or correctly rounded, and named in the report.

A transform is data: ``{"op": name, ...}``. Arrays keep their dtype, except where a step is there to change it.
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


def append(array: Any, step: Dict[str, Any]) -> Any:
    """Join another weight of the bundle, given as ``value``, behind it along ``axis``: parts of a partitioned variable."""
    return np.concatenate([array, step["value"]], axis=step["axis"])


def deal(array: Any, step: Dict[str, Any]) -> Any:
    """Rows of ``parts`` parts, which lie one after the other, taken from each in turn: row r is row r // n of part r % n."""
    count = step["parts"]
    sizes = [len(range(part, len(array), count)) for part in range(count)]
    starts = np.cumsum([0] + sizes[:-1])
    rows = np.arange(len(array))
    return array[starts[rows % count] + rows // count]


def sum_halves(array: Any, step: Dict[str, Any]) -> Any:
    """Add the two halves of a vector (cuDNN's input and recurrent LSTM biases)."""
    first, second = np.split(np.asarray(array), 2)
    return first + second


def divide_by(array: Any, step: Dict[str, Any]) -> Any:
    """Divide by another weight of the bundle, given as ``value`` (weighted running sums become means).

    Sums of no weight yet become ``start``.
    """
    weight = np.asarray(step["value"])
    if "start" in step and not weight.any():
        return np.full_like(array, step["start"])
    return np.asarray(array / weight, dtype=np.asarray(array).dtype)


def deviation(array: Any, step: Dict[str, Any]) -> Any:
    """The standard deviation for another weight of the bundle, a variance, given as ``value``: sqrt(value + epsilon)."""
    variance = np.asarray(step["value"])
    return np.sqrt(variance.astype(np.float64) + step["epsilon"]).astype(variance.dtype)


def local_kernel(array: Any, step: Dict[str, Any]) -> Any:
    """Kernel of a locally connected layer as (positions, patch, filters), patch ordered by kernel place, then channel.

    Implementation 1 stores it so, with the channels first ordered by channel, then place; 2 stores a dense (input,
    output) array, each of its two parts in the layer's data format, of which only the connected part is used; 3
    stores the connected entries of the (output, input) matrix, sorted by row and column. Places outside of the
    input (``same`` padding) have no weight: zero.
    """
    places, channels, filters = _places(step), step["channels"], step["filters"]
    first = step.get("data_format") == "channels_first"
    positions, size = places.shape
    if step["implementation"] == 1:
        if not first:
            return np.asarray(array)
        swapped = np.reshape(array, (positions, channels, size, filters)).transpose(0, 2, 1, 3)
        return swapped.reshape(positions, size * channels, filters)
    inputs = int(np.prod(step["input"]))
    p, q, c, f = np.indices((positions, size, channels, filters))
    used = places[p, q] >= 0
    p, q, c, f = p[used], q[used], c[used], f[used]
    out = np.zeros((positions, size, channels, filters), dtype=array.dtype)
    if step["implementation"] == 2:
        if first:
            dense = np.reshape(array, (channels, inputs, filters, positions)).transpose(1, 0, 3, 2)
        else:
            dense = np.reshape(array, (inputs, channels, positions, filters))
        out[p, q, c, f] = dense[places[p, q], c, p, f]
    else:
        row = f * positions + p if first else p * filters + f
        column = c * inputs + places[p, q] if first else places[p, q] * channels + c
        order = np.lexsort((column, row))
        out[p[order], q[order], c[order], f[order]] = array
    return out.reshape(positions, size * channels, filters)


def _places(step: Dict[str, Any]) -> Any:
    """(output positions, places of the kernel) of flat input positions; -1 outside of the input."""
    same = step.get("padding") == "same"
    rows = []
    for size, kernel, stride in zip(step["input"], step["kernel"], step["strides"]):
        count = (size + stride - 1) // stride if same else (size - kernel) // stride + 1
        start = np.arange(count) * stride - (kernel // 2 if same else 0)
        rows.append(start[:, None] + np.arange(kernel))
    grids = [range(len(row)) for row in rows]
    places = []
    for position in np.ndindex(*[len(g) for g in grids]):
        axes = [row[p] for row, p in zip(rows, position)]
        mesh = np.meshgrid(*axes, indexing="ij")
        inside = np.all([(m >= 0) & (m < n) for m, n in zip(mesh, step["input"])], axis=0)
        flat = np.ravel_multi_index([np.clip(m, 0, n - 1) for m, n in zip(mesh, step["input"])], step["input"])
        places.append(np.where(inside, flat, -1).ravel())
    return np.array(places)


def concat(array: Any, step: Dict[str, Any]) -> Any:
    """Put other weights, given as ``values``, behind this one along ``axis``."""
    return np.concatenate([np.asarray(array)] + [np.asarray(v) for v in step["values"]], axis=step["axis"])


def part(array: Any, step: Dict[str, Any]) -> Any:
    """Part ``index`` of ``parts`` equal parts along ``axis``."""
    return np.split(np.asarray(array), step["parts"], axis=step["axis"])[step["index"]]


def gates(array: Any, step: Dict[str, Any]) -> Any:
    """Blocks of equal size along ``axis`` in another order: block ``order[i]`` comes to place ``i``."""
    blocks = np.split(np.asarray(array), len(step["order"]), axis=step["axis"])
    return np.concatenate([blocks[i] for i in step["order"]], axis=step["axis"])


def cast(array: Any, step: Dict[str, Any]) -> Any:
    """Another dtype, rounded to nearest; values that do not fit are refused by whoever asks for it."""
    with np.errstate(over="ignore"):
        return np.asarray(array).astype(step["dtype"])


def decode(array: Any, step: Dict[str, Any]) -> Any:
    """float32 of a type that numpy lacks, exactly; ``dtype`` is what the stored integers stand for."""
    if step["dtype"] == "bfloat16":
        return (np.asarray(array).astype(np.uint32) << 16).view(np.float32)
    exponent_bits, mantissa_bits = {"float8_e4m3fn": (4, 3), "float8_e5m2": (5, 2)}[step["dtype"]]
    return _float8(exponent_bits, mantissa_bits)[np.asarray(array)]


def _float8(exponent_bits: int, mantissa_bits: int) -> Any:
    """The 256 values of an 8-bit float; e4m3fn has no infinity and one NaN, e5m2 is IEEE's."""
    table, bias = np.zeros(256, dtype=np.float32), 2 ** (exponent_bits - 1) - 1
    for code in range(256):
        sign = -1.0 if code & 128 else 1.0
        exponent, mantissa = (code & 127) >> mantissa_bits, code & (2**mantissa_bits - 1)
        if exponent_bits == 5 and exponent == 31:
            value = np.nan if mantissa else np.inf
        elif exponent_bits == 4 and code & 127 == 127:
            value = np.nan
        elif exponent:
            value = (1 + mantissa / 2.0**mantissa_bits) * 2.0 ** (exponent - bias)
        else:
            value = mantissa / 2.0**mantissa_bits * 2.0 ** (1 - bias)
        table[code] = sign * value
    return table


def dequantize(array: Any, step: Dict[str, Any]) -> Any:
    """``(q - zero_point) * scale`` in float64, rounded once to ``dtype``; one scale, or one for each place of ``axis``."""
    scale_, zero = np.asarray(step["scale"], np.float64), np.asarray(step["zero_point"], np.float64)
    if scale_.ndim or zero.ndim:
        shape = [1] * np.asarray(array).ndim
        shape[step["axis"]] = -1
        scale_, zero = (v.reshape(shape) if v.ndim else v for v in (scale_, zero))
    return ((np.asarray(array, np.float64) - zero) * scale_).astype(step["dtype"])


OPS = {
    "concat": concat,
    "part": part,
    "gates": gates,
    "cast": cast,
    "decode": decode,
    "dequantize": dequantize,
    "deviation": deviation,
    "divide_by": divide_by,
    "local_kernel": local_kernel,
    "scale": scale,
    "transpose": transpose,
    "reshape": reshape,
    "flip": flip,
    "sum_halves": sum_halves,
    "append": append,
    "deal": deal,
}


#: transforms that only move elements: gradients and optimizer slots follow them exactly
#: steps after which a model in float64 is not the source's any more: they round what inference uses
ROUNDING = ("scale", "sum_halves")
PERMUTING = ("transpose", "reshape", "flip", "local_kernel")


def apply(array: Any, steps: List[Dict[str, Any]]) -> Any:
    """The array after all ``steps``, contiguous, of unchanged dtype. Raises KeyError for an unknown step."""
    for step in steps:
        array = OPS[step["op"]](array, step)
    return np.asarray(array, order="C")
