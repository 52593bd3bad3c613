"""Python bytecode looked at as data: which Python wrote it, and which names and constants it uses.

A reader of the format that ``marshal`` writes (https://docs.python.org/3/library/marshal.html, Python/marshal.c), for
values that code is made of. Nothing is unmarshalled: no code object is made, no module imported. Bounded in size, depth
and number of values. Used by the host to choose an environment and to word refusals, and by the worker before it loads.
"""

import base64
import binascii
import struct
from typing import Any, Dict, List, Tuple

LIMIT = 1 << 20
VALUES = 100000
DEPTH = 40
#: Pythons that run each other's bytecode, oldest first
FAMILIES = ("2.7", "3.0-3.5", "3.6-3.7", "3.8-3.10", "3.11-3.12", "3.13")
_FLAG_REF = 0x80
_NULL = object()
_CODE = "code"

#: fields of a code object, in order: i a 32-bit number, v a value
_LAYOUTS = (
    ("3.11-", "iiiiivvvvvvvvivv", ("argcount", "posonly", "kwonly", "stacksize", "flags", "code", "consts", "names",
                                   "localsplus", "kinds", "filename", "name", "qualname", "firstlineno", "lines", "table")),
    ("3.8-3.10", "iiiiiivvvvvvvviv", ("argcount", "posonly", "kwonly", "nlocals", "stacksize", "flags", "code", "consts",
                                      "names", "varnames", "free", "cells", "filename", "name", "firstlineno", "lines")),
    ("3.0-3.7", "iiiiivvvvvvvviv", ("argcount", "kwonly", "nlocals", "stacksize", "flags", "code", "consts", "names",
                                    "varnames", "free", "cells", "filename", "name", "firstlineno", "lines")),
    ("2.7", "iiiivvvvvvvviv", ("argcount", "nlocals", "stacksize", "flags", "code", "consts", "names", "varnames",
                               "free", "cells", "filename", "name", "firstlineno", "lines")),
)  # fmt: skip


class NoCode(ValueError):
    """The bytes are no code object that any known Python wrote."""


def of_config(function: Any) -> bytes:
    """The marshalled bytes in the ``function`` of a Lambda's config: base64, or raw text up to Keras 2.0.

    Raises NoCode for anything else.
    """
    text = function[0] if isinstance(function, list) and function else function
    if not isinstance(text, str):
        raise NoCode("it is no text")
    try:
        raw = base64.b64decode("".join(text.split()).encode("ascii"), validate=True)
        if raw[:1] in (b"c", b"\xe3"):
            return raw
    except (UnicodeEncodeError, binascii.Error):
        pass
    try:
        return text.encode("raw_unicode_escape")
    except UnicodeEncodeError:
        raise NoCode("it is neither base64 nor escaped bytes")


def describe(raw: bytes) -> Dict[str, Any]:
    """``family`` (one of FAMILIES), ``names``, ``constants``, ``arguments`` and ``filename`` of a marshalled function.

    Names and constants include those of functions inside. Raises NoCode.
    """
    if len(raw) > LIMIT:
        raise NoCode("it has %d bytes; at most %d are looked at" % (len(raw), LIMIT))
    for era, kinds, fields in _LAYOUTS:
        try:
            reader = _Reader(raw, kinds, fields)
            code = reader.value(0)
            if not (isinstance(code, dict) and code.get(_CODE)):
                raise NoCode("it does not hold a function")
            _check(code, era)
            return _described(code, era)
        except (ValueError, TypeError, LookupError, AttributeError, struct.error):
            continue  # damaged, or another layout; NoCode is a ValueError
    raise NoCode("no Python writes a function like that")


def needs(raw: bytes) -> Tuple[str, Tuple[int, int], Tuple[int, int]]:
    """(family, oldest Python, newest Python) that reads a marshalled function. Raises NoCode."""
    found = describe(raw)
    low, _, high = found["family"].partition("-")
    oldest, newest = [tuple(int(part) for part in version.split(".")) for version in (low, high or low)]
    if found["family"] == "3.6-3.7" and found["since_3_7"]:
        oldest = (3, 7)
    return found["family"], oldest, newest  # type: ignore[return-value]


def _check(code: Dict[str, Any], era: str) -> None:
    texts = bytes if era == "2.7" else str
    listed = [code["names"], code.get("varnames", code.get("localsplus"))]
    if not isinstance(code["code"], bytes) or not isinstance(code["filename"], texts):
        raise NoCode("its parts are of other types")
    if not all(isinstance(names, list) and all(isinstance(n, texts) for n in names) for names in listed):
        raise NoCode("its names are no names")
    if not isinstance(code["consts"], list) or not 0 <= code["argcount"] <= 255 or not code["code"]:
        raise NoCode("its parts are of other types")


def _described(code: Dict[str, Any], era: str) -> Dict[str, Any]:
    parts = list(_functions(code))
    family = _family(code["code"], era)
    locals_ = code.get("varnames", code.get("localsplus"))
    return {
        "family": family,
        "since_3_7": era == "3.0-3.7" and any(_has_method_calls(part["code"]) for part in parts),
        "arguments": [_text(n) for n in locals_[: code["argcount"]]],
        "names": _distinct(_text(name) for part in parts for name in part["names"]),
        "constants": _distinct(repr(_shown(c)) for part in parts for c in part["consts"] if not _is_code(c)),
        "filename": _text(code["filename"]),
    }


def _family(code: bytes, era: str) -> str:
    if era == "3.0-3.7":
        # Since 3.6 an instruction is two bytes and ends in an argument; before, RETURN_VALUE (83) is the last byte.
        return "3.6-3.7" if len(code) % 2 == 0 and code[-2] == 83 and code[-1] == 0 else "3.0-3.5"
    if era == "3.11-":
        # RESUME comes first, or soon after the cells are made: 151 up to 3.12, another number since.
        return "3.11-3.12" if 151 in code[:24:2] else "3.13"
    return era


def _has_method_calls(code: bytes) -> bool:
    """Whether word code holds LOAD_METHOD (160) or CALL_METHOD (161), which came with 3.7."""
    return any(op in (160, 161) for op in code[::2])


def _functions(code: Dict[str, Any]) -> Any:
    yield code
    for constant in code["consts"]:
        if _is_code(constant):
            for inner in _functions(constant):
                yield inner


def _is_code(value: Any) -> bool:
    return isinstance(value, dict) and bool(value.get(_CODE))


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _shown(value: Any) -> Any:
    return tuple(_shown(item) for item in value) if isinstance(value, list) else value


def _distinct(items: Any) -> List[Any]:
    out = []  # type: List[Any]
    for item in items:
        if item not in out:
            out.append(item)
    return out


class _Reader:
    """Reads one value. Tuples become lists, code objects become dicts."""

    def __init__(self, raw: bytes, kinds: str, fields: Tuple[str, ...]) -> None:
        self.raw, self.kinds, self.fields = raw, kinds, fields
        self.at, self.count = 0, 0
        self.refs, self.interned = [], []  # type: List[Any], List[Any]

    def take(self, size: int) -> bytes:
        if size < 0 or self.at + size > len(self.raw):
            raise NoCode("it ends in the middle of a value")
        self.at += size
        return self.raw[self.at - size : self.at]

    def number(self) -> int:
        return int(struct.unpack("<i", self.take(4))[0])

    def value(self, depth: int) -> Any:
        self.count += 1
        if depth > DEPTH or self.count > VALUES:
            raise NoCode("it is nested too deeply, or too long")
        kind = self.take(1)[0]
        place = None
        if kind & _FLAG_REF and kind & 0x7F != ord("r"):
            place = len(self.refs)
            self.refs.append(None)
        made = self._of_kind(chr(kind & 0x7F), depth)
        if place is not None:
            self.refs[place] = made
        return made

    def _of_kind(self, kind: str, depth: int) -> Any:
        if kind in _SINGLE:
            return _SINGLE[kind]
        if kind == "i":
            return self.number()
        if kind == "I":
            return struct.unpack("<q", self.take(8))[0]
        if kind == "g":
            return struct.unpack("<d", self.take(8))[0]
        if kind == "y":
            return complex(*struct.unpack("<dd", self.take(16)))
        if kind in "fx":
            parts = [float(self.take(self.take(1)[0])) for _ in range(1 if kind == "f" else 2)]
            return parts[0] if kind == "f" else complex(*parts)
        if kind == "l":
            return self._long()
        if kind in "stuaAzZ":
            return self._string(kind)
        if kind == "R":
            return self._at(self.interned, self.number())
        if kind == "r":
            return self._at(self.refs, self.number())
        if kind in "([<>)":
            size = self.take(1)[0] if kind == ")" else self.number()
            if size < 0 or size > len(self.raw):
                raise NoCode("a tuple is longer than the bytes")
            return [self.value(depth + 1) for _ in range(size)]
        if kind == "c":
            code = {_CODE: True}  # type: Dict[str, Any]
            code.update(
                (f, self.number() if k == "i" else self.value(depth + 1)) for f, k in zip(self.fields, self.kinds)
            )
            return code
        raise NoCode("it holds a value of unknown kind %r" % kind)

    def _at(self, held: List[Any], index: int) -> Any:
        if not 0 <= index < len(held):
            raise NoCode("a reference points nowhere")
        return held[index]

    def _long(self) -> int:
        size = self.number()
        total = 0
        for place in range(abs(size)):
            total |= struct.unpack("<H", self.take(2))[0] << (15 * place)
        return -total if size < 0 else total

    def _string(self, kind: str) -> Any:
        raw = self.take(self.take(1)[0] if kind in "zZ" else self.number())
        if kind == "s":
            return raw
        if kind == "t" and "kwonly" not in self.fields:  # Python 2: a byte string, kept for later references
            self.interned.append(raw)
            return raw
        if kind in "ut":
            return raw.decode("utf-8", "surrogatepass")
        return raw.decode("latin-1")


_SINGLE = {"N": None, "T": True, "F": False, ".": Ellipsis, "S": StopIteration, "0": _NULL}
