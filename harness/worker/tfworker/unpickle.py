"""Pickles of arrays, read as data: a machine of its own that knows containers, numbers, text and numpy arrays.

Nothing of ``pickle`` runs here, and no numpy object is made from what a file says until its size was checked: a
global is a name and never an object, so nothing can be called. Whatever else a pickle names is listed and refused.

The opcodes, and how their arguments are stored, are those of CPython's ``pickletools``.
"""

import codecs
import io
import pickletools
import struct
from typing import Any, List

import numpy as np

from .errors import Refusal

#: limits on what a file may make this program hold; arrays are views of the file's own bytes
OPCODES = 5000000
DEPTH = 64
TEXT_NUMBER = 64
#: times that the values of a file may be repeated by references to one another
REPEATED = 4
FREE_BYTES = 64 << 20

_ARRAY = {
    "numpy.core.multiarray._reconstruct",
    "numpy._core.multiarray._reconstruct",
    "numpy.core.multiarray.reconstruct",
}
_SCALAR = {"numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar"}
_BUFFER = {"numpy.core.numeric._frombuffer", "numpy._core.numeric._frombuffer"}
_TYPES = {"numpy.ndarray", "numpy.dtype"}
_ORDERED = {"collections.OrderedDict"}
_ENCODE = {"_codecs.encode"}
_LISTS = {"__builtin__.list", "builtins.list", "__builtin__.tuple", "builtins.tuple"}
_DICTS = {"__builtin__.dict", "builtins.dict"}
_BYTES = {"__builtin__.bytearray", "builtins.bytearray", "__builtin__.bytes", "builtins.bytes"}
ALLOWED = _ARRAY | _SCALAR | _BUFFER | _TYPES | _ORDERED | _ENCODE | _LISTS | _DICTS | _BYTES

_REMEDY = (
    'Write the arrays with `numpy.savez("weights.npz", **weights)` where the pickle was made; a pickle may hold numpy '
    "arrays, numbers, text, dicts, lists and tuples only."
)


class _Global(object):
    """A name in the pickle; never the thing of that name."""

    def __init__(self, name: str) -> None:
        self.name = name


class _Foreign(object):
    """What a name that is not allowed would have made."""

    __slots__ = ()


class _Dtype(object):
    """A dtype in the making: its code, and the byte order that its state adds."""

    def __init__(self, code: str) -> None:
        self.code, self.order = code, "<"

    def finished(self) -> Any:
        """The numpy dtype, or None for arrays of objects. Raises _Broken for any that is not one of plain numbers."""
        kind = self.code.lstrip("<>|=")
        if kind in ("O", "O4", "O8"):
            return None
        if kind not in _PLAIN:
            raise _Broken("an array of dtype %r" % self.code[:40])
        order = self.code[0] if self.code[0] in "<>" else self.order
        return np.dtype(kind).newbyteorder(order if order in "<>" else "<")


_PLAIN = {
    "b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "c8", "c16", "?", "b", "B", "h", "H", "i",
    "I", "l", "L", "q", "Q", "e", "f", "d", "F", "D", "bool", "int8", "int16", "int32", "int64", "uint8", "uint16",
    "uint32", "uint64", "float16", "float32", "float64",
}  # fmt: skip


class _Array(object):
    """An array in the making: what its state says, checked."""

    def __init__(self) -> None:
        self.value = None  # type: Any

    def set(self, state: Any) -> None:
        if not (isinstance(state, tuple) and len(state) in (4, 5)):
            raise _Broken("an array with an unknown state")
        shape, dtype, fortran, raw = state[-4:]
        self.value = _made(shape, dtype, bool(fortran), raw)


class _Broken(Exception):
    """The pickle is not of the form that pickle writes."""


def _made(shape: Any, dtype: Any, fortran: bool, raw: Any) -> Any:
    """A read-only view of ``raw`` bytes, or for arrays of objects the list of them."""
    if not (isinstance(shape, tuple) and all(type(n) is int and 0 <= n < 1 << 40 for n in shape) and len(shape) <= 32):
        raise _Broken("an array of shape %s" % str(shape)[:80])
    if not isinstance(dtype, _Dtype):
        raise _Broken("an array without a dtype")
    count = 1
    for size in shape:
        count *= size
    kind = dtype.finished()
    if kind is None:
        if not isinstance(raw, list) or len(raw) != count:
            raise _Broken("an array of objects whose number is not that of its shape %s" % (shape,))
        return raw[0] if shape == () else raw
    if isinstance(raw, str):  # Python 2 wrote text, which newer writers keep as such
        raw = raw.encode("latin1")
    if not isinstance(raw, (bytes, memoryview)) or len(raw) != count * kind.itemsize:
        found = len(raw) if isinstance(raw, (bytes, memoryview)) else 0
        raise _Broken("an array of shape %s and dtype %s with %d bytes" % (shape, kind.name, found))
    return np.frombuffer(raw, dtype=kind).reshape(shape, order="F" if fortran else "C")


def load(data: bytes, name: str) -> Any:
    """The value of a pickle: dicts, lists and tuples of arrays, numbers, text, bytes and None.

    Text that Python 2 wrote as bytes comes as bytes. An array of objects comes as a list.

    Raises Refusal: pickle-refused (names every foreign object), source-truncated.
    """
    machine = _Machine(data)
    try:
        value = machine.run()
        if not machine.foreign:
            return _Tree(name, len(data)).plain(value, 0)
    except _Broken as error:
        if machine.foreign:
            raise _refused(name, machine.foreign)
        raise Refusal("pickle-refused", "%s holds %s, which is not read" % (name, error), remedy=_REMEDY)
    except (ValueError, IndexError, KeyError, TypeError, EOFError, struct.error, UnicodeError) as error:
        if machine.foreign:
            raise _refused(name, machine.foreign)
        raise Refusal("source-truncated", "%s is a damaged or truncated pickle: %s" % (name, str(error)[:300]))
    raise _refused(name, machine.foreign)


def _refused(name: str, foreign: List[str]) -> Refusal:
    found = sorted(set(foreign))
    lines = ["not made: %s" % item[:200] for item in found]
    return Refusal(
        "pickle-refused", "%s asks for %d Python objects that are no weights" % (name, len(found)), lines, _REMEDY
    )


class _Tree(object):
    """Plain values from what the machine made, within limits: a reference costs a byte and may stand for much."""

    def __init__(self, name: str, size: int) -> None:
        self.name, self.left = name, REPEATED * size + FREE_BYTES

    def plain(self, value: Any, depth: int) -> Any:
        if isinstance(value, _Array):
            value = value.value
            if value is None:
                raise _Broken("an array without values")
        self.left -= value.nbytes if isinstance(value, np.ndarray) else 64
        if depth > DEPTH or self.left < 0:
            what = "is nested deeper than %d levels" % DEPTH if depth > DEPTH else "repeats its values too often"
            raise Refusal("pickle-refused", "%s %s" % (self.name, what), remedy=_REMEDY)
        if isinstance(value, dict):
            return {key: self.plain(item, depth + 1) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.plain(item, depth + 1) for item in value]
        if isinstance(value, (_Dtype, _Global)):
            raise _Broken("an object that is no value")
        return value


class _Machine(object):
    """Reads opcodes and keeps a stack, as CPython's unpickler does."""

    def __init__(self, data: bytes) -> None:
        self.data, self.stream = data, io.BytesIO(data)
        self.stack, self.marks, self.memo = [], [], {}  # type: List[Any], List[Any], Dict[int, Any]
        self.foreign = []  # type: List[str]

    def run(self) -> Any:
        for _ in range(OPCODES):
            code = self.stream.read(1)
            if not code:
                raise EOFError("it ends before its last opcode")
            if code == b".":
                return self.stack.pop()
            self._step(code)
        raise _Broken("more than %d opcodes" % OPCODES)

    def _step(self, code: bytes) -> None:
        if code == b"\x96":  # BYTEARRAY8 of protocol 5, which pickletools before Python 3.8 does not know
            self.stack.append(self._bytes(8))
            return
        known = pickletools.code2op.get(code.decode("latin1"))
        if known is None:
            raise _Broken("an unknown opcode %r" % code)
        if known.name in _SIZED:
            value = self._bytes(_SIZED[known.name])
            self.stack.append(value.decode("utf-8", "surrogatepass") if "UNICODE" in known.name else value)
        elif known.name in _LINES:
            self.stack.append(_LINES[known.name](self._line()))
        elif known.name in ("GLOBAL", "INST"):
            self._global(self._line().decode("utf-8"), self._line().decode("utf-8"))
            if known.name == "INST":
                self._foreign_from_mark()
        elif known.name in ("LONG1", "LONG4"):
            raw = self._bytes(1 if known.name == "LONG1" else 4)
            if len(raw) > TEXT_NUMBER:
                raise _Broken("a number of %d bytes" % len(raw))
            self.stack.append(int.from_bytes(raw, "little", signed=True))
        else:
            argument = known.arg.reader(self.stream) if known.arg is not None else None
            getattr(self, "op_" + known.name.lower(), self._unknown(known.name))(argument)

    def _unknown(self, name: str) -> Any:
        def refuse(_argument: Any) -> None:
            raise _Broken("the opcode %s" % name)

        return refuse

    def _bytes(self, width: int) -> bytes:
        size = int.from_bytes(self._exactly(width), "little")
        return self._exactly(size)

    def _exactly(self, size: int) -> bytes:
        if size > len(self.data) - self.stream.tell():
            raise EOFError("it announces %d bytes and has %d" % (size, len(self.data) - self.stream.tell()))
        return self.stream.read(size)

    def _line(self) -> bytes:
        line = self.stream.readline()
        if not line.endswith(b"\n"):
            raise EOFError("a line has no end")
        return line[:-1]

    def _mark(self) -> List[Any]:
        """What was put on the stack since the last mark."""
        items, self.stack = self.stack, self.marks.pop()
        return items

    def _global(self, module: str, name: str) -> None:
        full = "%s.%s" % (module, name)
        if full not in ALLOWED:
            self.foreign.append(full)
        self.stack.append(_Global(full))

    def _foreign_from_mark(self) -> None:
        made = self.stack.pop()
        self.foreign.append(made.name)
        self._mark()
        self.stack.append(_Foreign())

    # -- opcodes without effect on the result
    def op_proto(self, version: Any) -> None:
        if version > 5:
            raise _Broken("protocol %d" % version)

    def op_frame(self, _size: Any) -> None:
        pass

    # -- values
    def op_none(self, _: Any) -> None:
        self.stack.append(None)

    def op_newtrue(self, _: Any) -> None:
        self.stack.append(True)

    def op_newfalse(self, _: Any) -> None:
        self.stack.append(False)

    def _push(self, value: Any) -> None:
        self.stack.append(value)

    op_binint = op_binint1 = op_binint2 = op_binfloat = _push

    # -- containers
    def op_mark(self, _: Any) -> None:
        self.marks.append(self.stack)
        self.stack = []

    def op_pop(self, _: Any) -> None:
        if self.stack:
            self.stack.pop()
        else:
            self._mark()

    def op_pop_mark(self, _: Any) -> None:
        self._mark()

    def op_dup(self, _: Any) -> None:
        self.stack.append(self.stack[-1])

    def op_empty_list(self, _: Any) -> None:
        self.stack.append([])

    def op_empty_tuple(self, _: Any) -> None:
        self.stack.append(())

    def op_empty_dict(self, _: Any) -> None:
        self.stack.append({})

    def op_list(self, _: Any) -> None:
        items = self._mark()  # first: it changes the stack
        self.stack.append(items)

    def op_tuple(self, _: Any) -> None:
        items = self._mark()
        self.stack.append(tuple(items))

    def op_dict(self, _: Any) -> None:
        items = self._mark()
        self.stack.append({})
        self._set(items)

    def op_tuple1(self, _: Any) -> None:
        self.stack[-1:] = [tuple(self.stack[-1:])]

    def op_tuple2(self, _: Any) -> None:
        self.stack[-2:] = [tuple(self.stack[-2:])]

    def op_tuple3(self, _: Any) -> None:
        self.stack[-3:] = [tuple(self.stack[-3:])]

    def op_append(self, _: Any) -> None:
        value = self.stack.pop()
        self._extend([value])

    def op_appends(self, _: Any) -> None:
        self._extend(self._mark())

    def _extend(self, items: List[Any]) -> None:
        if isinstance(self.stack[-1], _Foreign):
            return
        if not isinstance(self.stack[-1], list):
            raise _Broken("an append to something that is no list")
        self.stack[-1].extend(items)

    def op_setitem(self, _: Any) -> None:
        items, self.stack[-2:] = self.stack[-2:], []
        self._set(items)

    def op_setitems(self, _: Any) -> None:
        self._set(self._mark())

    def _set(self, items: List[Any]) -> None:
        if isinstance(self.stack[-1], _Foreign):
            return
        if not isinstance(self.stack[-1], dict) or len(items) % 2:
            raise _Broken("an item of something that is no dict")
        for key, value in zip(items[::2], items[1::2]):
            self.stack[-1][_key(key)] = value

    # -- memo
    def op_put(self, index: Any) -> None:
        self.memo[index] = self.stack[-1]

    op_binput = op_long_binput = op_put

    def op_memoize(self, _: Any) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def op_get(self, index: Any) -> None:
        self.stack.append(self.memo[index])

    op_binget = op_long_binget = op_get

    # -- objects
    def op_stack_global(self, _: Any) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        if not (isinstance(name, str) and isinstance(module, str)):
            raise _Broken("a global without a name")
        self._global(module, name)

    def op_reduce(self, _: Any) -> None:
        arguments, callee = self.stack.pop(), self.stack.pop()
        self.stack.append(self._called(callee, arguments))

    def op_newobj(self, _: Any) -> None:
        self.op_reduce(None)

    def op_newobj_ex(self, _: Any) -> None:
        self.stack.pop()
        self.op_reduce(None)

    def op_obj(self, _: Any) -> None:
        items = self._mark()
        self.stack.append(self._called(items[0], tuple(items[1:])))

    def op_build(self, _: Any) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        if isinstance(target, _Array):
            target.set(state)
        elif isinstance(target, _Dtype):
            if not (isinstance(state, tuple) and len(state) >= 5 and all(part is None for part in state[2:5])):
                raise _Broken("a dtype with fields")
            target.order = _text(state[1])
        elif not isinstance(target, _Foreign):
            raise _Broken("a state for something that has none")

    def op_reference(self, _: Any) -> None:
        raise _Broken("a reference to data outside of the file")

    op_persid = op_binpersid = op_ext1 = op_ext2 = op_ext4 = op_next_buffer = op_readonly_buffer = op_reference

    def _called(self, callee: Any, arguments: Any) -> Any:
        """What a call would give: one of the few forms that are understood, made here."""
        if not isinstance(callee, _Global) or not isinstance(arguments, tuple) or callee.name not in ALLOWED:
            if isinstance(callee, _Global):
                return _Foreign()
            raise _Broken("a call of something that is no function")
        name = callee.name
        if name in _ARRAY:
            return _Array()
        if name == "numpy.dtype":
            return _Dtype(_text(arguments[0]))
        if name in _SCALAR:
            dtype, raw = arguments
            return _made((), dtype, False, raw)
        if name in _BUFFER:
            raw, dtype, shape, order = arguments
            return _made(tuple(shape), dtype, order == "F", raw)
        if name in _ENCODE:
            return arguments[0].encode("latin1")
        if name in _ORDERED | _DICTS:
            pairs = arguments[0] if arguments else []
            return {_key(key): value for key, value in (pairs.items() if isinstance(pairs, dict) else pairs)}
        if name in _BYTES:
            return b"".join(a if isinstance(a, bytes) else _text(a).encode("latin1") for a in arguments[:1])
        if name in _LISTS:
            return list(arguments[0]) if arguments else []
        raise _Broken("a call of %s" % name)


def _text(value: Any) -> str:
    """Text of either Python: Python 2 wrote it as bytes."""
    if isinstance(value, bytes):
        return value.decode("latin1")
    if not isinstance(value, str):
        raise _Broken("%s where text was expected" % type(value).__name__)
    return value


def _key(value: Any) -> Any:
    """A key of a dict, Python 2's text as text."""
    if isinstance(value, bytes):
        return _text(value)
    if isinstance(value, (str, int, float, bool)):
        return value
    raise _Broken("a key that is neither text nor number")


def _number(line: bytes) -> Any:
    if len(line) > TEXT_NUMBER:
        raise _Broken("a number of %d digits" % len(line))
    if line in (b"00", b"01"):
        return line == b"01"
    return int(line.rstrip(b"L"))


def _quoted(line: bytes) -> bytes:
    """A Python 2 string literal: ``'...'`` with escapes."""
    if len(line) < 2 or line[:1] != line[-1:] or line[:1] not in (b"'", b'"'):
        raise ValueError("a text without quotes")
    return codecs.escape_decode(line[1:-1])[0]  # type: ignore[attr-defined]


_LINES = {
    "INT": _number,
    "LONG": _number,
    "FLOAT": lambda line: float(line[:TEXT_NUMBER]),
    "STRING": _quoted,
    "UNICODE": lambda line: line.decode("raw-unicode-escape"),
}
#: opcode -> width of the length that stands before its bytes
_SIZED = {
    "BINSTRING": 4, "SHORT_BINSTRING": 1, "BINBYTES": 4, "SHORT_BINBYTES": 1, "BINBYTES8": 8,
    "BINUNICODE": 4, "SHORT_BINUNICODE": 1, "BINUNICODE8": 8,
}  # fmt: skip
