"""JSON files: strict on the way in, whole on the way out."""

from __future__ import annotations

import io
import json
import os
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.worker.tfworker.files import FormatError, read_json, sha256_file, write_json, zip_directory_bytes

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**298), 10**298)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(VALUES)
def test_every_value_comes_back(tmp_path_factory: pytest.TempPathFactory, value: Any) -> None:
    path = str(tmp_path_factory.mktemp("json") / "value.json")
    try:
        write_json(path, value)
    except UnicodeEncodeError:  # half of a surrogate pair is no text
        return
    assert read_json(path) == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b'{"a": NaN}', r"^x\.json is not valid JSON: NaN is not JSON$"),
        (b"[Infinity]", r"^x\.json is not valid JSON: Infinity is not JSON$"),
        (b"[-Infinity]", r"^x\.json is not valid JSON: -Infinity is not JSON$"),
        (b"[1e999]", r"^x\.json is not valid JSON: the number 1e999 is above what a float holds$"),
        (b"-1" + b"0" * 400 + b".5", r"^x\.json is not valid JSON: the number -10{38} is above what a float holds$"),
        (b"1" * 301, r"^x\.json is not valid JSON: a number of 301 digits is above what is read$"),
        (b'["\\ud800"]', r"^x\.json is not valid JSON: .* can't encode character '\\ud800'"),
        (b'{"a": {"\\udfff": 1}}', r"^x\.json is not valid JSON: .* can't encode character '\\udfff'"),
        (b"[" * 201 + b"]" * 201, r"^x\.json is not valid JSON: it nests deeper than 200 levels$"),
        (b'{"a": 1, "a": 2}', r"^x\.json is not valid JSON: the key 'a' stands twice$"),
        (b"[" * 200_000, r"^x\.json is not valid JSON: .*recursion"),
        (b"\xff\xfe", r"^x\.json is not valid JSON: 'utf-8' codec can't decode byte 0xff in position 0"),
        (b"", r"^x\.json is not valid JSON: Expecting value"),
        (b"{} {}", r"^x\.json is not valid JSON: Extra data"),
    ],
    ids=[
        "nan", "infinity", "minus-infinity", "too-large", "too-small", "digits", "surrogate", "surrogate-key", "nested", "duplicate", "deep", "not-utf-8", "empty", "two-values",
    ],
)  # fmt: skip
def test_what_is_no_strict_json_is_refused(tmp_path: Path, text: bytes, message: str) -> None:
    (tmp_path / "x.json").write_bytes(text)
    with pytest.raises(FormatError, match=message):
        read_json(str(tmp_path / "x.json"))


@pytest.mark.parametrize("text", [b'["\\ud83d\\ude00"]', b'["\\\\ud800"]', b"[" * 200 + b"]" * 200])
def test_pairs_of_surrogates_and_what_only_looks_like_half_of_one_are_text(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "x.json").write_bytes(text)
    assert read_json(str(tmp_path / "x.json")) == json.loads(text)


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir, lambda path: path.symlink_to("/dev/zero")])
def test_what_is_no_regular_file_is_not_opened(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "x.json")
    with pytest.raises(FormatError, match=r"^x\.json is no regular file$"):
        read_json(str(tmp_path / "x.json"))


def test_a_file_above_the_limit_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_bytes(b"1" * 11)
    with pytest.raises(FormatError, match=r"^x\.json has 11 bytes; at most 10 are read$"):
        read_json(str(tmp_path / "x.json"), limit=10)


def test_a_missing_file_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_json(str(tmp_path / "x.json"))


def test_nan_is_never_written_and_the_old_content_stays(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    write_json(str(path), {"a": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(str(path), float("nan"))
    assert read_json(str(path)) == {"a": 1}


def test_checksums_are_those_of_sha256sum(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"abc")
    assert sha256_file(str(tmp_path / "x")) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def zipped(members: int, comment: bytes = b"") -> tuple[bytes, int]:
    """A zip file and the size of its table of contents."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for number in range(members):
            archive.writestr(f"{number:05d}", b"")
        archive.comment = comment
    return stream.getvalue(), members * (46 + 5)


def ended(declared: int, gap: int = 0, points_to: int | None = None, small: int = 46) -> bytes:
    """A zip64 end record for ``declared`` bytes, ``gap`` bytes, its locator, and the small end record."""
    record = struct.pack("<4sQHHIIQQQQ", b"PK\6\6", 44, 45, 45, 0, 0, 1, 1, declared, 0)
    at = 30 if points_to is None else points_to
    locator = struct.pack("<4sIQI", b"PK\6\7", 0, at, 1)
    return (
        b"PK\3\4"
        + bytes(26)
        + record
        + bytes(gap)
        + locator
        + struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 1, 1, small, 0, 0)
    )


@pytest.mark.parametrize("comment", [b"", b"made by hand", b"c" * 65_535])
def test_the_table_of_contents_of_a_zip_file_is_measured(tmp_path: Path, comment: bytes) -> None:
    content, size = zipped(3, comment)
    (tmp_path / "a.zip").write_bytes(content)
    assert zip_directory_bytes(str(tmp_path / "a.zip")) == size


@pytest.mark.parametrize(
    ("content", "size"),
    [
        (ended(3 << 30), 3 << 30),  # right before its locator, where zipfile of Python 3.11 looks
        (ended(3 << 30, gap=100), 3 << 30),  # where the locator points to
        (ended(3 << 30, points_to=1 << 60), 3 << 30),
        (ended(1, gap=100, points_to=1 << 60, small=77), 77),  # the record is nowhere
        (ended(1, small=0xFFFFFFFF), 0xFFFFFFFF),  # the larger of both counts
        (b"PK\5\6" + bytes(18), 0),
        (b"PK\5\6" + bytes(17), None),
        (b"PK\3\4" + bytes(100), None),
        (b"", None),
    ],
)
def test_a_zip64_record_counts_whatever_the_small_one_says(tmp_path: Path, content: bytes, size: int | None) -> None:
    (tmp_path / "a.zip").write_bytes(content)
    assert zip_directory_bytes(str(tmp_path / "a.zip")) == size


def test_many_members_make_a_large_table_of_contents(tmp_path: Path) -> None:
    content, size = zipped(70_000)  # more than fit into the small record, so that zipfile writes both
    (tmp_path / "a.zip").write_bytes(content)
    assert zip_directory_bytes(str(tmp_path / "a.zip")) == size
