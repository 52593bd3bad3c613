"""Python bytecode read as data: the family that wrote it, its names and constants, and nothing but NoCode for the rest."""

from __future__ import annotations

import base64
import marshal
import random
import struct
import sys

import pytest

from harness.worker.tfworker import bytecode


def number(value: int) -> bytes:
    return struct.pack("<i", value)


def text(value: str, kind: bytes) -> bytes:
    return kind + (bytes([len(value)]) if kind in b"zZ" else number(len(value))) + value.encode()


def items(kind: bytes, *values: str) -> bytes:
    return b"(" + number(len(values)) + b"".join(text(value, kind) for value in values)


def function(family: str) -> bytes:
    """What marshal of that family would write for ``lambda x: K.squeeze(x, axis=2)``, as far as a reader looks."""
    old = family == "2.7"
    kind = b"t" if old else b"z"
    numbers = {"2.7": 4, "3.0-3.5": 5, "3.6-3.7": 5, "3.8-3.10": 6, "3.11-3.12": 5, "3.13": 5}[family]
    code = {
        "2.7": b"t\0\0j\1\0|\0\0d\1\0\x83\1\0S",
        "3.0-3.5": b"t\0\0j\1\0|\0\0d\1\0\x83\1\0S",
        "3.6-3.7": b"t\0j\1|\0d\1\x83\1S\0",
        "3.8-3.10": b"t\0j\1|\0d\1\x83\1S\0",
        "3.11-3.12": b"\x97\0t\0\0\0\0\0|\0S\0",
        "3.13": b"\x95\0t\0\0\0\0\0|\0$\0",
    }[family]
    consts = b"(" + number(3) + b"N" + b"i" + number(2) + text("axis", b"t" if old else b"u")
    parts = [b"s" + number(len(code)) + code]
    parts += [consts, items(kind, "K", "squeeze"), items(kind, "x")]
    if family in ("3.11-3.12", "3.13"):
        parts += [b"s" + number(1) + b"\x26", text("train.py", kind), text("<lambda>", kind), text("<lambda>", kind)]
        parts += [number(1), b"s" + number(0), b"s" + number(0)]
    else:
        parts += [
            items(kind),
            items(kind),
            text("train.py", b"s" if old else kind),
            text("<lambda>", b"s" if old else kind),
        ]
        parts += [number(1), b"s" + number(0)]
    return b"c" + number(1) + b"".join(number(0) for _ in range(numbers - 1)) + b"".join(parts)


@pytest.mark.parametrize("family", bytecode.FAMILIES)
def test_the_family_names_and_constants_are_read(family: str) -> None:
    found = bytecode.describe(function(family))
    assert (found["family"], found["arguments"], found["names"]) == (family, ["x"], ["K", "squeeze"])
    assert found["constants"] == ["None", "2", "b'axis'" if family == "2.7" else "'axis'"]


def test_what_this_python_writes_is_read() -> None:
    made = marshal.dumps((lambda x, factor: [x * factor**2, "ü", 1e300, (1, 2)]).__code__)
    found = bytecode.describe(made)
    assert found["arguments"] == ["x", "factor"]
    low, _, high = found["family"].partition("-")
    versions = [tuple(map(int, version.split("."))) for version in (low, high or low)]
    assert versions[0] <= sys.version_info[:2] <= versions[1]
    assert {"2", "'ü'", "1e+300"} <= set(found["constants"])


def test_methods_need_python_3_7() -> None:
    plain = function("3.6-3.7")
    assert bytecode.needs(plain) == ("3.6-3.7", (3, 6), (3, 7))
    assert bytecode.needs(plain.replace(b"j\1|\0", b"\xa0\1|\0")) == ("3.6-3.7", (3, 7), (3, 7))


@pytest.mark.parametrize("form", ["base64", "raw"])
def test_both_forms_of_a_config_are_read(form: str) -> None:
    made = function("3.6-3.7")
    stored = base64.encodebytes(made).decode() if form == "base64" else made.decode("raw_unicode_escape")
    assert bytecode.of_config([stored, None, None]) == made


@pytest.mark.parametrize("value", [None, 5, [7], "", "AAAA", "\U0001f600" * 3])
def test_what_is_no_code_is_refused(value: object) -> None:
    with pytest.raises(bytecode.NoCode):
        bytecode.describe(bytecode.of_config(value))


def test_damaged_bytes_end_in_no_code_quickly() -> None:
    rng = random.Random(4)
    for family in bytecode.FAMILIES:
        for _ in range(300):
            damaged = bytearray(function(family))
            for _ in range(rng.randint(1, 6)):
                damaged[rng.randrange(len(damaged))] = rng.randrange(256)
            try:
                bytecode.describe(bytes(damaged[: rng.randint(1, len(damaged))]))
            except bytecode.NoCode:
                continue


def test_nesting_and_length_are_bounded() -> None:
    with pytest.raises(bytecode.NoCode):
        bytecode.describe(b"c" + number(0) * 5 + b")\1" * 100000)
    with pytest.raises(bytecode.NoCode, match="at most"):
        bytecode.describe(b"c" * (bytecode.LIMIT + 1))
