"""Protocol-buffer wire format, walked without loading: tags and lengths are read, payloads are skipped."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
_FIXED_SIZES = {FIXED64: 8, FIXED32: 4}


class WireError(Exception):
    """The bytes are no protocol-buffer message."""


@dataclass(frozen=True, kw_only=True)
class Field:
    """One field: its payload stands at ``start``..``end``; ``value`` is that of a varint."""

    number: int
    wire_type: int
    start: int
    end: int
    value: int = 0


def fields(stream: BinaryIO, start: int, end: int, limit: int = 200_000) -> Iterator[Field]:
    """Yield the fields of the message at ``start``..``end``, at most ``limit`` of them.

    Raises:
        WireError: the bytes are no message, or a field reaches beyond ``end``.
    """
    position = start
    for _ in range(limit):
        if position >= end:
            return
        tag, position = _varint(stream, position, end)
        number, wire_type = tag >> 3, tag & 7
        if number == 0:
            raise WireError("field number 0")
        value, after = 0, position
        if wire_type == VARINT:
            value, after = _varint(stream, position, end)
        elif wire_type == BYTES:
            length, position = _varint(stream, position, end)
            after = position + length
        elif wire_type in _FIXED_SIZES:
            after = position + _FIXED_SIZES[wire_type]
        else:
            raise WireError(f"wire type {wire_type}")
        if after > end:
            raise WireError("a field reaches beyond the end")
        yield Field(number=number, wire_type=wire_type, start=position, end=after, value=value)
        position = after


def text(stream: BinaryIO, found: Field, limit: int = 256) -> str | None:
    """Return a short string field; None if it is longer than ``limit`` bytes or not printable UTF-8."""
    if found.wire_type != BYTES or found.end - found.start > limit:
        return None
    stream.seek(found.start)
    try:
        value = stream.read(found.end - found.start).decode("utf-8")
    except UnicodeDecodeError:
        return None
    return value if value.isprintable() else None


def _varint(stream: BinaryIO, position: int, end: int) -> tuple[int, int]:
    stream.seek(position)
    raw = stream.read(min(10, end - position))
    value = 0
    for index, byte in enumerate(raw):
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value, position + index + 1
    raise WireError("a number without an end")
