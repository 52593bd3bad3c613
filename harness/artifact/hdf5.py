"""HDF5 model files read as metadata: no dataset value is read and no link is followed.

Hostile files are expected. A soft or external link is reported, never resolved; hard links that form
a loop end at the first object seen twice; a declared shape costs nothing, because only the dataspace
is asked; virtual datasets are not even asked, since their extent can depend on other files.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
from h5py import h5a, h5d, h5g, h5l, h5o, h5s, h5t

from harness.artifact.global_heap import HeapError, largest_object
from harness.artifact.kinds import Tensor
from harness.artifact.memory import memory_limited
from harness.artifact.text import shown
from harness.errors import CATALOGUE, HarnessError

SIGNATURE = b"\x89HDF\r\n\x1a\n"
OBJECTS_LIMIT = 200_000
DEPTH_LIMIT = 64
# libhdf5 allocates the length that an attribute claims for its string, up to 4 GiB, before it compares it with
# the string's heap (measured: 3.6 GB and 15 s for one flipped byte). Three copies of the longest are legitimate.
STRING_MEMORY_BYTES = 256 << 20
ODDITIES_LIMIT = 20
STRING_BYTES_LIMIT = 65 << 20  # above the limit of a model_config, which is then told as such
# What h5py raises for damaged structures, by measurement on files with flipped bytes.
DAMAGE = (OSError, RuntimeError, ValueError, TypeError, KeyError, OverflowError, MemoryError, SystemError)


class AttributeUnfitError(Exception):
    """The attribute is there but cannot be used; the message completes "the attribute X …"."""


@dataclass(kw_only=True)
class Walk:
    """What a walk over all objects found."""

    tensors: list[Tensor] = field(default_factory=list)
    oddities: list[str] = field(default_factory=list)

    def odd(self, sentence: str) -> None:
        """Note something that no TensorFlow writes; only the first few are kept."""
        if len(self.oddities) < ODDITIES_LIMIT:
            self.oddities.append(sentence)


def signature_offset(path: Path, size_bytes: int) -> int | None:
    """Return where the HDF5 file starts: 0, or behind a user block of 512, 1024, … bytes; None if nowhere."""
    with path.open("rb") as stream:
        offset = 0
        while offset < size_bytes:
            stream.seek(offset)
            if stream.read(len(SIGNATURE)) == SIGNATURE:
                return offset
            offset = 512 if offset == 0 else offset * 2
    return None


@contextmanager
def opened(path: Path, size_bytes: int) -> Iterator[h5py.File]:
    """Yield the file opened for reading; damage met on the way becomes an error.

    Raises:
        HarnessError: ``source-truncated``; ``source-unsupported-format`` for a string that is too large.
    """
    _check_strings(path)
    try:
        # Without locking: a lock fails on read-only and on many network file systems.
        with h5py.File(path, "r", locking=False) as file:
            yield file
    except DAMAGE as error:
        raise HarnessError("source-truncated", _damage_message(path, size_bytes, str(error))) from error


def _check_strings(path: Path) -> None:
    try:
        largest = largest_object(path)
    except HeapError as error:
        raise HarnessError("source-truncated", f'"{shown(path.name)}" is a damaged HDF5 file: {error}.') from error
    if largest > STRING_BYTES_LIMIT:
        message = f'"{shown(path.name)}" holds a string of {largest:,} bytes; the limit is {STRING_BYTES_LIMIT:,}.'
        raise HarnessError("source-unsupported-format", message, remedy=CATALOGUE["source-truncated"].remedy)


def has_attribute(group: h5py.Group, name: str) -> bool:
    """Return whether the attribute is there, whole or split into ``name0``, ``name1``, … as Keras does."""
    return name in group.attrs or f"{name}0" in group.attrs


def text_attribute(group: h5py.Group, name: str, limit_bytes: int) -> str | None:
    """Return a string attribute of any era (fixed or variable length, bytes or str); None if absent.

    Raises:
        AttributeUnfitError: it is no single string, is no UTF-8, or has more than ``limit_bytes`` bytes.
    """
    if name not in group.attrs:
        return None
    attribute = h5a.open(group.id, name.encode())
    kind = attribute.get_type()
    if kind.get_class() != h5t.STRING:
        raise AttributeUnfitError(f"is of type {_type_name(kind)}; expected a string")
    if attribute.get_space().get_simple_extent_npoints() != 1:
        raise AttributeUnfitError(f"has the shape {tuple(attribute.shape)}; expected one string")
    if attribute.get_storage_size() > limit_bytes:
        raise AttributeUnfitError(_too_large(attribute.get_storage_size(), limit_bytes))
    with memory_limited(STRING_MEMORY_BYTES):
        value = group.attrs[name]
    value = value if isinstance(value, (str, bytes)) else value.item()
    raw = value.encode("utf-8", "surrogateescape") if isinstance(value, str) else bytes(value)
    if len(raw) > limit_bytes:  # of a variable-length string only the reference was measured above
        raise AttributeUnfitError(_too_large(len(raw), limit_bytes))
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise AttributeUnfitError(f"is not UTF-8 text: byte {error.start:,} is {raw[error.start]:#04x}") from error


def subgroup(group: h5py.Group, name: str) -> h5py.Group | None:
    """Return the group of that name if it is a real one: not a dataset, not a link elsewhere."""
    link = group.get(name, getlink=True)
    if not isinstance(link, h5py.HardLink):
        return None
    child = group[name]
    return child if isinstance(child, h5py.Group) else None


def walk(root: h5py.Group) -> Walk:
    """Return every dataset's declared shape, dtype and size, and whatever is odd about the file."""
    found = Walk()
    seen = {_address(root.id)}
    pending: list[tuple[Any, str, int]] = [(root.id, "", 0)]
    while pending:
        group, prefix, depth = pending.pop()
        children = []
        for name in _names(group, OBJECTS_LIMIT - len(seen)):
            path = prefix + name.decode("utf-8", "replace")
            child = _hard_linked(group, name, path, found)
            if child is None:
                continue
            if _address(child) in seen:
                found.odd(f'"{shown(path)}" is a second name of another object (a link loop ends there).')
                continue
            seen.add(_address(child))
            if isinstance(child, h5d.DatasetID):
                _add_dataset(child, path, found)
            elif isinstance(child, h5g.GroupID) and depth < DEPTH_LIMIT:
                children.append((child, path + "/", depth + 1))
            elif isinstance(child, h5g.GroupID):
                found.odd(
                    f'"{shown(path)}" is nested deeper than {DEPTH_LIMIT} groups; what is inside was not looked at.'
                )
        pending.extend(reversed(children))
        if len(seen) >= OBJECTS_LIMIT:
            found.odd(f"The file has more than {OBJECTS_LIMIT:,} objects; the rest was not looked at.")
            break
    return found


def _names(group: Any, limit: int) -> list[bytes]:
    names: list[bytes] = []

    def take(name: bytes) -> bool | None:
        names.append(name)
        return True if len(names) >= limit else None  # anything but None ends the iteration

    group.links.iterate(take)
    return names


def _hard_linked(group: Any, name: bytes, path: str, found: Walk) -> Any:
    kind = group.links.get_info(name).type
    if kind == h5l.TYPE_HARD:
        return h5o.open(group, name)
    if kind == h5l.TYPE_SOFT:
        target = group.links.get_val(name).decode("utf-8", "replace")
        found.odd(f'"{shown(path)}" is a soft link to "{shown(target)}"; links are not followed.')
    elif kind == h5l.TYPE_EXTERNAL:
        file_name, target = (part.decode("utf-8", "replace") for part in group.links.get_val(name))
        found.odd(
            f'"{shown(path)}" is an external link to "{shown(target)}" in the file "{shown(file_name)}"; '
            "links are not followed."
        )
    else:
        found.odd(f'"{shown(path)}" is a link of a user-defined kind; links are not followed.')
    return None


def _add_dataset(dataset: h5d.DatasetID, path: str, found: Walk) -> None:
    creation = dataset.get_create_plist()
    if creation.get_layout() == h5d.VIRTUAL:
        found.odd(f'"{shown(path)}" is a virtual dataset: its values are in other files, which are not read.')
        return
    if creation.get_external_count():
        found.odd(f'"{shown(path)}" keeps its values outside of the file; other files are not read.')
    tensor = _tensor(dataset, creation, path)
    found.tensors.append(tensor)
    if not creation.get_external_count() and not stored_plausibly(tensor):
        found.odd(
            f'"{shown(path)}" declares the shape {tensor.shape} with {tensor.size_bytes:,} bytes; '
            f"the file holds {tensor.stored_bytes:,} bytes of it."
        )


def _tensor(dataset: h5d.DatasetID, creation: Any, path: str) -> Tensor:
    kind = dataset.get_type()
    space = dataset.get_space()
    shape = tuple(int(size) for size in space.get_simple_extent_dims()) if space.get_simple_extent_ndims() else ()
    null = space.get_simple_extent_type() == h5s.NULL
    return Tensor(
        path=path,
        shape=shape,
        dtype=_type_name(kind),
        # In Python's integers: HDF5's own count of a hostile shape overflows, and 2**93 elements become 0.
        size_bytes=0 if null else math.prod(shape) * int(kind.get_size()),
        stored_bytes=int(dataset.get_storage_size()),
        compressed=creation.get_nfilters() > 0,
    )


def stored_plausibly(tensor: Tensor) -> bool:
    """Return whether the file can hold what the tensor declares; deflate shrinks by 1,032 at the most."""
    if tensor.stored_bytes is None:
        return True
    return tensor.stored_bytes * (1_032 if tensor.compressed else 1) >= tensor.size_bytes


def _type_name(kind: Any) -> str:
    """Return numpy's name; never built from a compound type, whose nesting the file chooses."""
    if isinstance(kind, (h5t.TypeIntegerID, h5t.TypeFloatID)):
        return str(kind.dtype.name)
    if isinstance(kind, h5t.TypeEnumID) and kind.get_nmembers() == 2:
        return "bool"
    names = {h5t.STRING: "string", h5t.COMPOUND: "compound", h5t.REFERENCE: "reference", h5t.OPAQUE: "opaque"}
    names |= {h5t.ENUM: "enum", h5t.VLEN: "variable-length", h5t.ARRAY: "array", h5t.BITFIELD: "bitfield"}
    return names.get(kind.get_class(), "other")


def _address(identifier: Any) -> tuple[int, Any]:
    info = h5o.get_info(identifier)
    return info.fileno, info.addr


def _too_large(size_bytes: int, limit_bytes: int) -> str:
    return f"has {size_bytes:,} bytes, more than the limit of {limit_bytes:,}"


def _damage_message(path: Path, size_bytes: int, reason: str) -> str:
    expected = re.search(r"stored_eof = (\d+)", reason)
    if expected and int(expected[1]) > size_bytes:
        return (
            f'"{shown(path.name)}" is a truncated HDF5 file: its header declares {int(expected[1]):,} bytes, '
            f"the file has {size_bytes:,}."
        )
    return f'"{shown(path.name)}" is a damaged HDF5 file: {shown(reason, 200)}.'
