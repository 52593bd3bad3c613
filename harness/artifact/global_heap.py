"""The place where HDF5 keeps variable-length strings, checked before libhdf5 reads it.

libhdf5 2.0.0 (h5py 3.16) loops for ever on a free object of size 0 in a global heap collection, and
cannot be interrupted there, not even by Ctrl-C. One flipped byte is enough: found by flipping bytes
in real models. The check follows section "Global Heap" of the HDF5 file format specification.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

# Signature and version. The three reserved bytes behind are not compared, because libhdf5 ignores them too.
COLLECTION = b"GCOL\x01"
HEADER_BYTES = 16
#: collections and their objects, in use or free, of all that is walked; none of it is free of charge
HEADERS_LIMIT = 200_000
_BLOCK_BYTES = 1 << 18
#: of a larger file its first and its last half are scanned: what is written before the weights, and what is behind them
SCANNED_BYTES = 1 << 30


class HeapError(Exception):
    """A collection is damaged; the message is the reason."""


def largest_object(path: Path) -> int:
    """Return the size in bytes of the largest string in any collection of the file; 0 if there is none.

    Raises:
        HeapError: a collection has an object without extent, or too many objects to check.
    """
    largest, headers = 0, 0
    with path.open("rb") as stream:
        end = stream.seek(0, os.SEEK_END)
        for start in list(_collections(stream, end)):
            for size in _objects(stream, start, end):
                largest, headers = max(largest, size), headers + 1
                if headers > HEADERS_LIMIT:
                    raise HeapError(f"its global heaps hold more than {HEADERS_LIMIT:,} objects")
    return largest


def _collections(stream: BinaryIO, end: int) -> Iterator[int]:
    """Yield the offsets of all collections: any attribute may point to any of them."""
    found, half = 0, SCANNED_BYTES // 2
    for first, last in [(0, end)] if end <= SCANNED_BYTES else [(0, half), (end - half, end)]:
        position, kept = stream.seek(first), b""
        while position < last and (block := stream.read(min(_BLOCK_BYTES, last - position))):
            window = kept + block
            at = window.find(COLLECTION)
            while at >= 0:
                found += 1
                if found > HEADERS_LIMIT:
                    raise HeapError(f"it has more than {HEADERS_LIMIT:,} global heaps")
                yield position - len(kept) + at
                at = window.find(COLLECTION, at + 1)
            position += len(block)
            kept = window[-(len(COLLECTION) - 1) :]


def _objects(stream: BinaryIO, start: int, file_end: int) -> Iterator[int]:
    """Yield the size of each object, 0 of a free one (index 0), whose extent includes its header."""
    stream.seek(start)
    header = stream.read(HEADER_BYTES)
    if len(header) < HEADER_BYTES:
        return
    end = min(start + int(struct.unpack_from("<Q", header, 8)[0]), file_end)
    position = start + HEADER_BYTES
    while position + HEADER_BYTES <= end:
        stream.seek(position)
        index, _, _, size = struct.unpack("<HHIQ", stream.read(HEADER_BYTES))
        extent = HEADER_BYTES + (size + 7) // 8 * 8 if index else size
        if extent == 0:
            raise HeapError(f"the global heap at byte {start:,} has a free object of size 0")
        yield size if index else 0
        position += extent
