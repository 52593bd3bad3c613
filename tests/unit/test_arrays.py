"""Arrays on disk: what numpy reads, what can be mapped, and every defect named before anything is allocated."""

from __future__ import annotations

import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hn

from harness.worker.tfworker.arrays import (
    ALIGNMENT,
    PLAIN,
    ArrayReader,
    ArrayWriter,
    DigestError,
    logical_dtype,
    member_ranges,
    sha256_array,
)
from harness.worker.tfworker.files import FormatError

Entry = dict[str, Any]
SAMPLE = np.arange(12, dtype="float32").reshape(3, 4)


def write(folder: Path, **arrays: Any) -> list[Entry]:
    with ArrayWriter(str(folder / "weights.npz")) as writer:
        return [writer.add(name, array) for name, array in arrays.items()]


def read(folder: Path, entries: list[Entry], name: str = "x") -> Any:
    return ArrayReader(str(folder), entries).get(name)


def roundtrip(folder: Path, array: Any) -> Any:
    return read(folder, write(folder, x=array))


# --- what comes back


@given(hn.arrays(st.sampled_from(sorted(PLAIN)), hn.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)))
def test_every_number_comes_back_bit_for_bit(tmp_path_factory: pytest.TempPathFactory, array: Any) -> None:
    folder = tmp_path_factory.mktemp("roundtrip")
    found = roundtrip(folder, array)
    assert (found.shape, found.dtype) == (array.shape, array.dtype)
    assert found.tobytes() == array.tobytes()  # NaN payloads and signs of zero included
    with np.load(folder / "weights.npz", allow_pickle=False) as plain:
        assert plain["a00000"].tobytes() == array.tobytes()


@given(
    hn.arrays(object, hn.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3), elements=st.binary(max_size=20))
)
def test_every_byte_string_comes_back_with_its_trailing_nuls(
    tmp_path_factory: pytest.TempPathFactory, array: Any
) -> None:
    found = roundtrip(tmp_path_factory.mktemp("strings"), array)
    assert found.shape == array.shape
    assert found.ravel().tolist() == array.ravel().tolist()


def test_text_is_stored_as_utf_8(tmp_path: Path) -> None:
    found = roundtrip(tmp_path, np.array(["naïve", "日本", ""]))
    assert found.tolist() == ["naïve".encode(), "日本".encode(), b""]


@pytest.mark.parametrize(
    "array",
    [
        SAMPLE.astype(">f4"),
        np.asfortranarray(SAMPLE),
        SAMPLE[:, ::2],
        SAMPLE[::-1],
        np.broadcast_to(np.float32(1), (3, 4)),
        np.float32(7),
        np.zeros((0, 3), "float32"),
    ],
    ids=["big-endian", "fortran", "strided", "reversed", "broadcast", "scalar", "empty"],
)
def test_any_memory_layout_is_stored_little_endian_in_c_order(tmp_path: Path, array: Any) -> None:
    found = roundtrip(tmp_path, array)
    assert found.shape == np.shape(array)
    assert found.dtype == np.dtype("<f4")
    np.testing.assert_array_equal(found, array)


def test_types_that_numpy_lacks_are_read_as_the_integers_that_hold_them(tmp_path: Path) -> None:
    (entry,) = write(tmp_path, x=np.array([0x3F80, 0xC000], "uint16"))
    found = read(tmp_path, [{**entry, "dtype": "bfloat16"}])
    assert (found.dtype, found.tolist()) == (np.uint16, [0x3F80, 0xC000])


@pytest.mark.parametrize("array", [np.zeros(2, "datetime64[s]"), np.zeros(2, [("a", "i1")]), np.zeros(2, "longdouble")])
def test_what_no_bundle_can_hold_is_refused(tmp_path: Path, array: Any) -> None:
    with pytest.raises(FormatError, match=r"^arrays of dtype .* cannot be stored in a bundle$"):
        write(tmp_path, x=array)
    assert list(tmp_path.iterdir()) == []


# --- the file


def test_data_is_aligned_stored_and_mapped(tmp_path: Path) -> None:
    entries = write(tmp_path, x=SAMPLE, y=np.zeros(1, "bool"), z=np.ones((2, 2)))
    path = tmp_path / "weights.npz"
    for entry in entries:
        with np.load(path) as plain:
            data = plain[entry["member"]].tobytes()
        start, size = member_ranges(str(path))[entry["member"]]
        assert (start + size - len(data)) % ALIGNMENT == 0
        assert path.read_bytes()[start + size - len(data) : start + size] == data
    found = read(tmp_path, entries)
    assert isinstance(found, np.memmap)
    assert not found.flags.writeable


def test_model_names_never_become_member_names(tmp_path: Path) -> None:
    entries = write(tmp_path, **{"file": SAMPLE, "../up": SAMPLE, "allow_pickle": SAMPLE})
    with zipfile.ZipFile(tmp_path / "weights.npz") as archive:
        assert archive.namelist() == ["a00000.npy", "a00001.npy", "a00002.npy"]
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
    np.testing.assert_array_equal(read(tmp_path, entries, "../up"), SAMPLE)


def test_the_same_arrays_give_the_same_bytes(tmp_path: Path) -> None:
    made = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        write(tmp_path / name, x=SAMPLE, y=np.array([b"a", b"bc"], object))
        made.append((tmp_path / name / "weights.npz").read_bytes())
    assert made[0] == made[1]


def test_the_index_says_what_is_stored(tmp_path: Path) -> None:
    numbers, strings = write(tmp_path, x=SAMPLE, y=np.array([b"a", b"bc"], object))
    assert numbers == {
        "name": "x", "file": "weights.npz", "shape": [3, 4], "dtype": "float32", "member": "a00000",
        "stored_dtype": "float32", "bytes": 48, "sha256": sha256_array(SAMPLE),
    }  # fmt: skip
    assert (strings["dtype"], strings["stored_dtype"], strings["bytes"]) == ("string", "uint8", 3)
    assert strings["offsets_member"] == "a00002"
    json.dumps([numbers, strings])


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    with pytest.raises(FormatError):
        write(tmp_path, x=SAMPLE, y=np.zeros(1, "datetime64[s]"))
    assert list(tmp_path.iterdir()) == []


def test_a_writer_that_cannot_be_closed_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(zipfile.ZipFile, "close", full)
    with pytest.raises(OSError, match="No space left"), ArrayWriter(str(tmp_path / "weights.npz")) as writer:
        writer.add("x", SAMPLE)
    monkeypatch.undo()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("array", "name"), [(np.zeros(1, "U3"), "string"), (np.zeros(1, "S3"), "string"), (np.zeros(1, ">i2"), "int16")]
)
def test_logical_names_hide_width_and_byte_order(array: Any, name: str) -> None:
    assert logical_dtype(array) == name


# --- damage: one defect per case


def edited(**changes: Any) -> Callable[[Path, list[Entry]], list[Entry]]:
    return lambda folder, entries: [{**entries[0], **changes}, *entries[1:]]


def bytes_changed(change: Callable[[bytes], bytes]) -> Callable[[Path, list[Entry]], list[Entry]]:
    def damage(folder: Path, entries: list[Entry]) -> list[Entry]:
        path = folder / "weights.npz"
        path.write_bytes(change(path.read_bytes()))
        return entries

    return damage


def repacked(member: Callable[[zipfile.ZipFile, bytes], None]) -> Callable[[Path, list[Entry]], list[Entry]]:
    def damage(folder: Path, entries: list[Entry]) -> list[Entry]:
        path = folder / "weights.npz"
        with zipfile.ZipFile(path) as archive:
            data = archive.read("a00000.npy")
        with zipfile.ZipFile(path, "w") as archive:
            member(archive, data)
        return entries

    return damage


def npy(header: str, data: bytes = SAMPLE.tobytes()) -> bytes:
    padded = header.encode("latin1") + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(padded)) + padded + data


def doubled(archive: zipfile.ZipFile, data: bytes) -> None:
    archive.writestr("a00000.npy", data)
    with pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("a00000.npy", data)


HEADER = "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }"
DAMAGE: dict[str, tuple[Callable[[Path, list[Entry]], list[Entry]], str]] = {
    "checksum": (edited(sha256="0" * 64), r"^array 'x': sha256 expected 0{64}, found [0-9a-f]{64}$"),
    "one bit": (
        bytes_changed(lambda b: b.replace(SAMPLE.tobytes(), b"\x01" + SAMPLE.tobytes()[1:])),
        r"^array 'x': sha256 expected [0-9a-f]{64}, found [0-9a-f]{64}$",
    ),
    "truncated": (bytes_changed(lambda b: b[:-30]), r"^weights\.npz is no readable npz file: File is not a zip file$"),
    "not a zip": (bytes_changed(lambda b: b"hello"), r"^weights\.npz is no readable npz file: File is not a zip file$"),
    "missing file": (lambda f, e: ((f / "weights.npz").unlink(), e)[1], r"^there is no file weights\.npz$"),
    "shape": (
        edited(shape=[4, 3]),
        r"^array 'x': the manifest says float32 \(4, 3\), the file holds float32 \(3, 4\)$",
    ),
    "negative shape": (edited(shape=[-3, -4]), r"^array 'x': \[-3, -4\] is no shape$"),
    "shape of text": (edited(shape=["3", "4"]), r"^array 'x': \['3', '4'\] is no shape$"),
    "shape that overflows": (edited(shape=[2**40, 2**40]), r"^array 'x': .* is the shape of no array$"),
    "empty shape that overflows": (edited(shape=[0, 2**63]), r"^array 'x': .* is the shape of no array$"),
    "too many axes": (edited(shape=[1] * 33), r"^array 'x': a shape of 33 axes; at most 32 are read$"),
    "dtype": (
        edited(dtype="int32", stored_dtype="int32"),
        r"^array 'x': the manifest says int32 \(3, 4\), the file holds float32 \(3, 4\)$",
    ),
    "another stored dtype": (edited(dtype="int32"), r"^array 'x': dtype int32 cannot be stored as float32$"),
    "object dtype": (
        edited(dtype="object", stored_dtype="object"),
        r"^array 'x': dtype object cannot be stored as object$",
    ),
    "nonsense dtype": (edited(dtype="float33", stored_dtype="float33"), r"^array 'x': dtype float33 cannot be stored"),
    "strings without offsets": (
        edited(dtype="string", stored_dtype="uint8"),
        r"^array 'x': strings need bytes, offsets_member, offsets_sha256$",
    ),
    "no such member": (edited(member="a00009"), r"^weights\.npz has no member a00009 for the array 'x'$"),
    "file above the folder": (edited(file="../weights.npz"), r"^'\.\./weights\.npz' is no file name for arrays$"),
    "absolute file": (edited(file="/etc/passwd"), r"^'/etc/passwd' is no file name for arrays$"),
    "compressed": (
        repacked(lambda a, d: a.writestr("a00000.npy", d, zipfile.ZIP_DEFLATED)),
        r"^member a00000 of weights\.npz is compressed or encrypted$",
    ),
    "doubled": (repacked(doubled), r"^weights\.npz holds an unexpected member 'a00000\.npy'$"),
    "traversal": (
        repacked(lambda a, d: a.writestr("../a00000.npy", d)),
        r"^weights\.npz holds an unexpected member '\.\./a00000\.npy'$",
    ),
    "foreign member": (
        repacked(lambda a, d: a.writestr("run.py", d)),
        r"^weights\.npz holds an unexpected member 'run\.py'$",
    ),
    "other name inside": (
        bytes_changed(lambda b: b.replace(b"a00000.npy", b"a00009.npy", 1)),
        r"^member 'a00000\.npy' has another name in its local header$",
    ),
    "start before the file": (
        bytes_changed(lambda b: b[:-6] + struct.pack("<I", struct.unpack("<I", b[-6:-2])[0] + 9) + b[-2:]),
        r"^member 'a00000\.npy' starts before the file$",
    ),
    "no npy": (repacked(lambda a, d: a.writestr("a00000.npy", b"hello")), r"^array 'x' is no npy version 1 member$"),
    "pickled": (
        repacked(lambda a, d: a.writestr("a00000.npy", npy(HEADER.replace("<f4", "|O")))),
        r"^array 'x' has a damaged npy header: dtype object$",
    ),
    "code in the header": (
        repacked(lambda a, d: a.writestr("a00000.npy", npy("__import__('os').abort()"))),
        r"^array 'x' has a damaged npy header: malformed node or string",
    ),
    "deep header": (
        repacked(lambda a, d: a.writestr("a00000.npy", npy("(" * 3000))),
        r"^array 'x' has a damaged npy header: ",
    ),
    "fortran order": (
        repacked(lambda a, d: a.writestr("a00000.npy", npy(HEADER.replace("False", "True")))),
        r"^array 'x' has a damaged npy header: unexpected fields$",
    ),
    "big-endian": (
        repacked(lambda a, d: a.writestr("a00000.npy", npy(HEADER.replace("<", ">")))),
        r"^array 'x' has a damaged npy header: dtype >f4$",
    ),
    "short data": (
        repacked(lambda a, d: a.writestr("a00000.npy", npy(HEADER, b"1234"))),
        r"^array 'x': shape \(3, 4\) needs 48 bytes, the member holds 4$",
    ),
    "long data": (
        repacked(lambda a, d: a.writestr("a00000.npy", npy(HEADER, bytes(52)))),
        r"^array 'x': shape \(3, 4\) needs 48 bytes, the member holds 52$",
    ),
}


@pytest.mark.parametrize("defect", DAMAGE)
def test_a_damaged_array_is_named_and_never_returned(tmp_path: Path, defect: str) -> None:
    damage, message = DAMAGE[defect]
    entries = damage(tmp_path, write(tmp_path, x=SAMPLE, y=np.ones(2)))
    with pytest.raises(FormatError, match=message) as caught:
        read(tmp_path, entries)
    assert isinstance(caught.value, DigestError) == ("sha256 expected" in message)


def test_a_huge_declared_shape_allocates_nothing(tmp_path: Path) -> None:
    header = HEADER.replace("(3, 4)", f"({2**20}, {2**30})")
    (tmp_path / "weights.npz").touch()
    with zipfile.ZipFile(tmp_path / "weights.npz", "w") as archive:
        archive.writestr("a00000.npy", npy(header))
    entry = {
        "name": "x", "file": "weights.npz", "member": "a00000", "shape": [2**20, 2**30], "dtype": "float32",
        "stored_dtype": "float32", "bytes": 48, "sha256": "0" * 64,
    }  # fmt: skip
    with pytest.raises(FormatError, match=rf"needs {2**52} bytes, the member holds 48$"):
        read(tmp_path, [entry])


def test_string_offsets_must_ascend(tmp_path: Path) -> None:
    (entry,) = write(tmp_path, x=np.array([b"ab", b"c"], object))
    offsets = np.array([0, 2, 3], "<i8")
    path = tmp_path / "weights.npz"
    path.write_bytes(path.read_bytes().replace(offsets.tobytes(), np.array([0, 4, 3], "<i8").tobytes()))
    bad = {**entry, "offsets_sha256": sha256_array(np.array([0, 4, 3], "<i8"))}
    with pytest.raises(FormatError, match=r"^the string offsets of 'x' are not ascending$"):
        read(tmp_path, [bad])


def test_members_that_overlap_are_refused(tmp_path: Path) -> None:
    write(tmp_path, x=SAMPLE, y=SAMPLE + 1)
    path = tmp_path / "weights.npz"
    data = bytearray(path.read_bytes())
    # The directory entry of the second member points at the first one, whose local header is given its name.
    second = data.rindex(b"a00001.npy") - 46
    data[second + 42 : second + 46] = struct.pack("<I", 0)
    data[second + 46 : second + 56] = b"a00000.npy"
    first = data.index(b"PK\x01\x02")
    data[first + 46 : first + 56] = b"a00000.npy"
    path.write_bytes(data)
    with pytest.raises(FormatError):  # as doubled, or as overlapping: which comes first is the zip module's affair
        member_ranges(str(path))


def test_a_name_that_stands_twice_in_the_index_is_refused(tmp_path: Path) -> None:
    (entry,) = write(tmp_path, x=SAMPLE)
    with pytest.raises(FormatError, match=r"^an array name stands twice in the index$"):
        ArrayReader(str(tmp_path), [entry, entry])


def test_an_unknown_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"^the index has no array named 'y'$"):
        read(tmp_path, write(tmp_path, x=SAMPLE), "y")


@given(st.data())
def test_any_damage_of_the_file_is_found_or_harmless(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    entries = write(folder, x=SAMPLE, s=np.array([b"a\0", b"bc"], object))
    path = folder / "weights.npz"
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content)
    for name, expected in (("x", SAMPLE), ("s", np.array([b"a\0", b"bc"], object))):
        try:
            found = read(folder, entries, name)
        except FormatError:
            continue
        np.testing.assert_array_equal(found, expected)
