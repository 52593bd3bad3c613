"""Pickles are read as data: arrays come out, and nothing that a pickle asks for is ever run or made."""

from __future__ import annotations

import collections
import io
import os
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.worker.tfworker import unpickle
from harness.worker.tfworker.errors import Refusal

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)
TREE = {
    "conv": {"weights": np.arange(12, dtype="f4").reshape(3, 4).T, "bias": np.ones(4, "f8")},
    "list": [np.float32(2.5), np.int64(-3), True, None, "text", b"\xff\x00"],
    "ordered": collections.OrderedDict(half=np.ones(2, "f2")),
    "numbers": (1, 2.5, 10**12, -5),
    7: np.array([[1, 2]], dtype=">i2"),
}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_arrays_and_containers_of_every_protocol(protocol: int) -> None:
    found = unpickle.load(pickle.dumps(TREE, protocol=protocol), "w.pkl")
    np.testing.assert_array_equal(found["conv"]["weights"], TREE["conv"]["weights"])  # type: ignore[call-overload]
    assert found["conv"]["bias"].dtype == np.float64
    assert [float(found["list"][0]), int(found["list"][1]), *found["list"][2:]] == [
        2.5,
        -3,
        True,
        None,
        "text",
        b"\xff\x00",
    ]
    assert found["ordered"]["half"].dtype == np.float16
    assert found["numbers"] == [1, 2.5, 10**12, -5]
    np.testing.assert_array_equal(found[7], [[1, 2]])


#: what Python 2.7 wrote for {"w": numpy.array([1, -1], "<f4")}: text as bytes, in protocol 0 escaped
PYTHON_2 = {
    0: b"(dp0\nS'w'\np1\ncnumpy.core.multiarray\n_reconstruct\np2\n(cnumpy\nndarray\np3\n(I0\ntp4\nS'b'\np5\ntp6\nRp7\n"
    b"(I1\n(I2\ntp8\ncnumpy\ndtype\np9\n(S'f4'\np10\nI0\nI1\ntp11\nRp12\n(I3\nS'<'\np13\nNNNI-1\nI-1\nI0\ntp14\nbI00\n"
    b"S'\\x00\\x00\\x80?\\x00\\x00\\x80\\xbf'\np15\ntp16\nbs.",
    2: b"\x80\x02}q\x00U\x01wq\x01cnumpy.core.multiarray\n_reconstruct\nq\x02cnumpy\nndarray\nq\x03K\x00\x85q\x04U\x01bq\x05"
    b"\x87q\x06Rq\x07(K\x01K\x02\x85q\x08cnumpy\ndtype\nq\tU\x02f4q\nK\x00K\x01\x87q\x0bRq\x0c(K\x03U\x01<q\rNNNJ\xff\xff"
    b"\xff\xffJ\xff\xff\xff\xffK\x00tq\x0eb\x89U\x08\x00\x00\x80?\x00\x00\x80\xbfq\x0ftq\x10bs.",
}


@pytest.mark.parametrize("protocol", PYTHON_2)
def test_python_2_pickles(protocol: int) -> None:
    found = unpickle.load(PYTHON_2[protocol], "w.pkl")
    np.testing.assert_array_equal(found["w"], np.array([1, -1], "f4"))


class Reduced:
    """Pickles as a call of its first argument."""

    def __init__(self, *call: Any) -> None:
        self.call = call

    def __reduce__(self) -> Any:
        return self.call[0], tuple(self.call[1:])


def hostile(witness: Path) -> dict[str, bytes]:
    touch = f"touch {witness}"
    array = pickle.dumps(np.zeros(4, "f4"), protocol=2)
    shape = array.index(b"K\x04\x85")
    nested = (
        b"\x80\x02"
        b"]q\x00" + b"".join(b"(h" + bytes([i]) + b"h" + bytes([i]) + b"lq" + bytes([i + 1]) for i in range(60)) + b"."
    )
    return {
        "os.system": pickle.dumps(Reduced(os.system, touch)),
        "eval": pickle.dumps(Reduced(eval, f"__import__('os').system({touch!r})")),
        "old style": f"cos\nsystem\n(S'{touch}'\ntR.".encode(),
        "instance": f"(S'{touch}'\nios\nsystem\n.".encode(),
        "nested reducers": pickle.dumps({"w": [np.zeros(2), (Reduced(map, Reduced(eval, "len"), Reduced(os.system, touch)),)]}),
        "builtins through numpy": b"cnumpy.f2py.diagnose\nrun_command\n(S'" + touch.encode() + b"'\ntR.",
        "numpy.load": b"\x80\x02cnumpy.lib.npyio\nload\n(U\x05x.npyNI01\ntR.",
        "state for a function": b"\x80\x02cos\nsystem\n}U\x08__code__U\x01xsb.",
        "array with a huge shape": array[:shape] + b"J\xff\xff\xff\x7f\x85" + array[shape + 3 :],
        "bytes announced and absent": b"\x80\x05\x96" + struct.pack("<Q", 1 << 40) + b"abc.",
        "long announced": b"\x80\x02\x8b" + struct.pack("<i", 1 << 20) + b"\x01" * (1 << 20) + b".",
        "a billion laughs": nested,
        "object array of code": _object_array(touch),
        "persistent id": b"\x80\x02U\x03abcQ.",
        "extension registry": b"\x80\x02\x82\x01.",
        "out of band": b"\x80\x05\x97.",
        "truncated": pickle.dumps(TREE)[:-40],
        "no stop": b"\x80\x02}q\x00",
        "number of a million digits": b"L" + b"9" * 1_000_000 + b"L\n.",
        "unknown opcode": b"\x80\x02\xff.",
    }  # fmt: skip


def _object_array(command: str) -> bytes:
    stream = io.BytesIO()
    box = np.empty(1, dtype=object)
    box[0] = Reduced(os.system, command)
    np.save(stream, box, allow_pickle=True)
    return stream.getvalue()[128:]


NAMES = sorted(hostile(Path("witness")))


@pytest.mark.parametrize("name", NAMES)
def test_hostile_pickles_are_refused_and_nothing_runs(name: str, tmp_path: Path) -> None:
    witness = tmp_path / "witness"
    with pytest.raises(Refusal) as caught:
        unpickle.load(hostile(witness)[name], "evil.pkl")
    assert caught.value.code in ("pickle-refused", "source-truncated")
    assert not witness.exists()


def test_every_foreign_object_is_named() -> None:
    data = pickle.dumps([Reduced(os.system, "true"), {"x": Reduced(eval, "1")}], protocol=4)
    with pytest.raises(Refusal) as caught:
        unpickle.load(data, "evil.pkl")
    assert caught.value.message == "evil.pkl asks for 2 Python objects that are no weights"
    assert caught.value.details == ["not made: builtins.eval", "not made: posix.system"]


def test_the_hostile_pickles_are_hostile(tmp_path: Path) -> None:
    """The samples do what they say in Python's own unpickler; else their refusal would prove nothing."""
    witness = tmp_path / "witness"
    for name in ("os.system", "eval", "old style"):
        pickle.loads(hostile(witness)[name])
        assert witness.exists(), name
        witness.unlink()


def test_nothing_of_pickle_is_imported() -> None:
    source = Path(unpickle.__file__).read_text(encoding="utf-8")
    assert "import pickle\n" not in source
    assert "getattr(self" in source  # only its own methods are looked up by name
