"""Facts as JSON and back, checked against the types that are declared for them.

What comes back is built from the declared type alone: no name in the JSON chooses a class, so that JSON of any origin can
become these dataclasses, or an error, and nothing else.
"""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints


class CodecError(Exception):
    """The JSON is not of the declared type."""


def encode(value: Any) -> Any:
    """The value as JSON has it; a dataclass is the list of its fields."""
    if is_dataclass(value):
        return [encode(getattr(value, field.name)) for field in fields(value)]
    if isinstance(value, Mapping):
        return {key: encode(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [encode(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    return value.value if isinstance(value, Enum) else value


def decode(hint: Any, value: Any) -> Any:
    """The value of type ``hint`` that :func:`encode` wrote.

    Raises:
        CodecError: it is of another type.
    """
    if hint is Any:
        return value
    if hint in _PLAIN:
        if type(value) not in _PLAIN[hint]:
            raise CodecError(f"{type(value).__name__} where {hint.__name__} is expected")
        return value
    if isinstance(hint, type) and is_dataclass(hint):
        return _dataclass(hint, value)
    if isinstance(hint, type) and issubclass(hint, (Enum, Path)):
        try:
            return hint(decode(str, value))
        except ValueError as error:
            raise CodecError(str(error)) from error
    return _generic(hint, value)


_PLAIN: dict[Any, tuple[type, ...]] = {
    bool: (bool,), int: (int,), float: (float, int), str: (str,), types.NoneType: (types.NoneType,),
}  # fmt: skip


@cache
def _hints(kind: Any) -> list[tuple[str, Any]]:
    hints = get_type_hints(kind)
    return [(field.name, hints[field.name]) for field in fields(kind)]


def _dataclass(hint: Any, value: Any) -> Any:
    hints = _hints(hint)
    if not isinstance(value, list) or len(value) != len(hints):
        raise CodecError(f"no {hint.__name__}")
    return hint(**{name: decode(inner, item) for (name, inner), item in zip(hints, value, strict=True)})


def _generic(hint: Any, value: Any) -> Any:
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        for choice in inner:
            try:
                return decode(choice, value)
            except CodecError:
                continue
        raise CodecError(f"{type(value).__name__} where {hint} is expected")
    if isinstance(origin, type) and issubclass(origin, Mapping):
        if not isinstance(value, dict):
            raise CodecError(f"{type(value).__name__} where an object is expected")
        return {decode(inner[0], key): decode(inner[1], item) for key, item in value.items()}
    if origin not in (tuple, list) or not isinstance(value, list):
        raise CodecError(f"{type(value).__name__} where {hint} is expected")
    if origin is tuple and inner[-1] is not Ellipsis:
        if len(value) != len(inner):
            raise CodecError(f"{len(value)} values where {len(inner)} are expected")
        return tuple(decode(kind, item) for kind, item in zip(inner, value, strict=True))
    return origin(decode(inner[0], item) for item in value)
