"""Arrays out of numpy files, pickles and safetensors. Nothing is unpickled by Python, nothing is allocated unchecked."""

import io
import json
import os
import zipfile
from typing import Any, Iterator, List, Optional

import numpy as np

from . import unpickle
from .errors import Refusal
from .files import GROWTH, GROWTH_FREE_BYTES

SAFETENSORS_HEADER_BYTES = 64 << 20
#: safetensors' name of a dtype -> (numpy's name of what is stored, logical name where numpy has none)
SAFETENSORS = {
    "F64": ("float64", None), "F32": ("float32", None), "F16": ("float16", None), "BF16": ("uint16", "bfloat16"),
    "I64": ("int64", None), "I32": ("int32", None), "I16": ("int16", None), "I8": ("int8", None),
    "U64": ("uint64", None), "U32": ("uint32", None), "U16": ("uint16", None), "U8": ("uint8", None),
    "BOOL": ("bool", None), "F8_E4M3": ("uint8", "float8_e4m3fn"), "F8_E5M2": ("uint8", "float8_e5m2"),
}  # fmt: skip


class Found(object):
    """An array; ``layer`` and ``index`` where the format tells them, ``dtype`` where numpy has no name for it."""

    def __init__(
        self, name: str, array: Any, layer: Any = None, index: Optional[int] = None, leaf: Any = None, dtype: Any = None
    ) -> None:
        self.name, self.array, self.layer, self.index, self.leaf, self.dtype = name, array, layer, index, leaf, dtype


class Skipped(object):
    """Something that is no weight of a model."""

    def __init__(self, name: str, reason: str) -> None:
        self.name, self.reason = name, reason


class Writer(object):
    """Who wrote the file, as the file says."""

    def __init__(self, keras_version: Any, backend: Any) -> None:
        self.keras_version, self.backend = keras_version, backend


def npy(path: str, name: str) -> Iterator[Any]:
    """The array of an ``.npy`` file under the file's name; of a pickled one every array inside."""
    stem = os.path.splitext(name)[0]
    with open(path, "rb") as stream:
        return _npy(stream, os.path.getsize(path), stem, name, alone=True)


def npz(path: str, name: str) -> Iterator[Any]:
    """The arrays of an ``.npz`` file under their own names."""
    try:
        with zipfile.ZipFile(path) as archive:
            total, limit = 0, GROWTH_FREE_BYTES + GROWTH * os.path.getsize(path)
            for info in archive.infolist():
                total += info.file_size
                if total > limit:
                    message = "%s grows to %d bytes or more, from %d" % (name, total, os.path.getsize(path))
                    raise Refusal("source-unsupported-format", message)
                with archive.open(info) as stream:
                    key = info.filename[:-4] if info.filename.endswith(".npy") else info.filename
                    for found in _npy(io.BytesIO(stream.read(info.file_size)), info.file_size, key, name, alone=False):
                        yield found
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, EnvironmentError) as error:
        raise Refusal("source-truncated", "%s is a damaged npz file: %s" % (name, error))


def _npy(stream: Any, size: int, key: str, name: str, alone: bool) -> Any:
    """The arrays of one npy stream of ``size`` bytes."""
    shape, fortran, dtype = _npy_header(stream, name, key)
    if dtype.hasobject:
        value = unpickle.load(stream.read(), name if alone else "%s of %s" % (key, name))
        return list(_tree(value, [] if alone else [key]))
    count = 1
    for length in shape:
        count *= length
    left = size - stream.tell()
    if dtype.kind not in "biufc" or count * dtype.itemsize > left:
        what = "dtype %s" % dtype if dtype.kind not in "biufc" else "%d of %d bytes" % (left, count * dtype.itemsize)
        code = "source-unsupported-format" if dtype.kind not in "biufc" else "source-truncated"
        raise Refusal(code, "%s: the array %s has %s" % (name, key, what))
    array = np.frombuffer(stream.read(count * dtype.itemsize), dtype=dtype)
    return [Found(key, array.reshape(shape, order="F" if fortran else "C"))]


def _npy_header(stream: Any, name: str, key: str) -> Any:
    try:
        version = np.lib.format.read_magic(stream)
        reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        return reader(stream)
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError, KeyError) as error:
        raise Refusal("source-truncated", "%s: %s has a damaged npy header: %s" % (name, key, str(error)[:200]))


def pickled(path: str, name: str) -> Iterator[Any]:
    """The arrays and numbers of a pickle, named by the keys and places that lead to them."""
    with open(path, "rb") as stream:
        value = unpickle.load(stream.read(), name)
    return _tree(value, [])


def _tree(value: Any, path: List[str]) -> Iterator[Any]:
    where = "/".join(path) or "value"
    if isinstance(value, dict):
        for key, item in value.items():
            for found in _tree(item, path + [str(key)]):
                yield found
    elif isinstance(value, list):
        if value and all(isinstance(item, (int, float)) and not isinstance(item, bool) for item in value):
            yield Found(where, np.array(value))
            return
        for index, item in enumerate(value):
            for found in _tree(item, path + [str(index)]):
                yield found
    elif isinstance(value, np.ndarray) or (isinstance(value, (int, float)) and not isinstance(value, bool)):
        yield Found(where, np.asarray(value))
    else:
        yield Skipped(where, "%s, no array" % type(value).__name__)


def safetensors(path: str, name: str) -> Iterator[Any]:
    """The arrays of a safetensors file: a JSON header of ``dtype``, ``shape``, ``data_offsets``, then the data."""
    size = os.path.getsize(path)
    with open(path, "rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if not 2 <= length <= min(SAFETENSORS_HEADER_BYTES, size - 8):
            raise Refusal("source-truncated", "%s announces a header of %d bytes and has %d" % (name, length, size))
        try:
            header = json.loads(stream.read(length).decode("utf-8"))
            items = [(key, value) for key, value in header.items() if key != "__metadata__"]
        except (ValueError, RecursionError, AttributeError) as error:
            raise Refusal("source-truncated", "%s has a damaged header: %s" % (name, error))
        for key, entry in sorted(items, key=lambda item: _start(item[1])):
            yield _safetensor(stream, name, key, entry, 8 + length, size)


def _start(entry: Any) -> int:
    offsets = entry.get("data_offsets") if isinstance(entry, dict) else None
    return offsets[0] if isinstance(offsets, list) and offsets and isinstance(offsets[0], int) else -1


def _safetensor(stream: Any, name: str, key: str, entry: Any, base: int, size: int) -> Found:
    if not isinstance(entry, dict) or entry.get("dtype") not in SAFETENSORS:
        kind = entry.get("dtype") if isinstance(entry, dict) else entry
        raise Refusal("source-unsupported-format", "%s: %s has the dtype %s" % (name, key, str(kind)[:40]))
    stored, logical = SAFETENSORS[entry["dtype"]]
    shape, offsets = entry.get("shape"), entry.get("data_offsets")
    plain = isinstance(shape, list) and all(type(n) is int and n >= 0 for n in shape)
    count = 1
    for length in shape if plain else ():
        count *= length
    dtype = np.dtype(stored).newbyteorder("<")
    fits = plain and isinstance(offsets, list) and len(offsets) == 2 and all(type(n) is int for n in offsets)
    if (
        not fits
        or not 0 <= offsets[0] <= offsets[1] <= size - base
        or offsets[1] - offsets[0] != count * dtype.itemsize
    ):
        raise Refusal("source-truncated", "%s: %s of shape %s does not fit its place %s" % (name, key, shape, offsets))
    stream.seek(base + offsets[0])
    array = np.frombuffer(stream.read(offsets[1] - offsets[0]), dtype=dtype).reshape(shape)
    return Found(key, array, dtype=logical)
