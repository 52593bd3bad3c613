"""Array files read by their headers: ``.npy``, ``.npz`` members, safetensors."""

from __future__ import annotations

import io
import json
import math
import tokenize
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

from numpy.lib import format as npy_format

from harness.artifact.kinds import Artifact, Kind, Tensor
from harness.artifact.text import plural

NPY_MAGIC = b"\x93NUMPY"
NPY_HEADER_BYTES = 1 << 16
SAFETENSORS_HEADER_BYTES = 8 << 20
# What arrays can have; the product of a shape is then a number that can be written down.
RANK_LIMIT, SIZE_LIMIT = 64, 1 << 63
# numpy reads the header as Python source; a broken one fails in the tokenizer or in the evaluation.
_HEADER_DAMAGE = (ValueError, TypeError, SyntaxError, RecursionError, MemoryError, OverflowError, tokenize.TokenError)
_SAFETENSORS_BITS = {"BOOL": 8, "F4": 4, "F8": 8, "U8": 8, "I8": 8, "F16": 16, "BF16": 16, "U16": 16, "I16": 16}


def npy_tensor(stream: BinaryIO, name: str) -> Tensor | None:
    """Return the array that the header declares; None if it is no readable npy header.

    ``dtype`` is ``object`` where the array is a pickle inside.
    """
    try:
        head = io.BytesIO(stream.read(NPY_HEADER_BYTES))
        version = npy_format.read_magic(head)
        reader = npy_format.read_array_header_1_0 if version == (1, 0) else npy_format.read_array_header_2_0
        shape, _, dtype = reader(head)
    except _HEADER_DAMAGE:
        return None
    if not _possible(shape):
        return None
    name_of_type = str(dtype) if dtype.names else dtype.name
    return Tensor(path=name, shape=shape, dtype=name_of_type, size_bytes=math.prod(shape) * dtype.itemsize)


def read_npy(path: Path, size_bytes: int) -> Artifact:
    """Return the artifact of an ``.npy`` file, from its header."""
    with path.open("rb") as stream:
        tensor = npy_tensor(stream, path.stem)
    looks_like = "a numpy array (.npy)"
    oddities: tuple[str, ...] = ()
    if tensor is None:
        return Artifact(
            path=path, kind=Kind.NPY, looks_like="a numpy array (.npy) with a damaged header", size_bytes=size_bytes
        )
    if tensor.dtype == "object":
        looks_like = "a pickled Python object in a numpy file (.npy)"
    elif tensor.size_bytes > size_bytes:
        oddities = (f"The header declares {tensor.size_bytes:,} bytes of values; the file has {size_bytes:,} in all.",)
    return Artifact(
        path=path, kind=Kind.NPY, looks_like=looks_like, size_bytes=size_bytes, weights=(tensor,), oddities=oddities
    )


def read_safetensors(path: Path, size_bytes: int) -> Artifact | None:
    """Return the artifact if the file is a safetensors file, from its header; else None."""
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if not 2 <= length <= min(SAFETENSORS_HEADER_BYTES, size_bytes - 8):
            return None
        try:
            header = json.loads(stream.read(length))
        except (ValueError, RecursionError):
            return None
    if not isinstance(header, dict):
        return None
    tensors = [_safetensor(name, entry) for name, entry in header.items() if name != "__metadata__"]
    if any(tensor is None for tensor in tensors):
        return None
    return Artifact(
        path=path,
        kind=Kind.SAFETENSORS,
        looks_like=f"a safetensors file of {plural(len(tensors), 'tensor')}",
        size_bytes=size_bytes,
        weights=tuple(tensor for tensor in tensors if tensor is not None),
    )


def _safetensor(name: str, entry: Any) -> Tensor | None:
    if not isinstance(entry, dict):
        return None
    shape, dtype = entry.get("shape"), entry.get("dtype")
    if not isinstance(dtype, str) or not isinstance(shape, list) or not _possible(shape):
        return None
    digits = "".join(character for character in dtype if character in "0123456789")
    bits = _SAFETENSORS_BITS.get(dtype, int(digits[:2] or 8))
    return Tensor(path=name, shape=tuple(shape), dtype=dtype.lower(), size_bytes=math.prod(shape) * bits // 8)


def _possible(shape: Sequence[object]) -> bool:
    return len(shape) <= RANK_LIMIT and all(type(size) is int and 0 <= size < SIZE_LIMIT for size in shape)
