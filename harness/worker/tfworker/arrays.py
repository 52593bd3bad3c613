"""Arrays on disk: npz members that any numpy reads, written one at a time and mapped rather than loaded.

Every member is stored (not deflated), little-endian, C order, its data aligned to 64 bytes, so that a
reader maps it by offset: ``np.load`` ignores ``mmap_mode`` for npz files. Members carry synthetic names
(``a00000`` ...), because model names such as ``file`` or ``../up`` break or escape; the index that says
which array is which stands in the bundle's manifest. Nothing here unpickles, ever.

Shared by both programs: the host reads with the same code that the worker writes with.
"""

import ast
import hashlib
import os
import struct
import zipfile
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np

from .files import CHUNK, FormatError, size_of_regular, zip_directory_bytes

ALIGNMENT = 64
#: what every numpy can address: axes, and elements of 16 bytes
RANK, ELEMENTS = 32, (1 << 59) - 1
#: of text in memory: strings, which cost 40 bytes each as objects, and bytes of all of them
STRINGS, TEXT_BYTES = 1 << 22, 256 << 20
#: of a zip's table of contents: a hundred thousand members as we write them, and 170 MB once it is read
_DIRECTORY_BYTES = 16 << 20
_ZIP_HEADER = 30
_ZIP64_EXTRA = 20
_PADDING_ID = 0xD935  # the zip extra field id that aligners use; readers skip it
_EPOCH = (1980, 1, 1, 0, 0, 0)  # fixed, so that the same arrays give the same file

#: logical dtype -> stored dtype, for types that numpy alone cannot name.
STORED_AS = {
    "bfloat16": "uint16",
    "float8_e4m3fn": "uint8",
    "float8_e5m2": "uint8",
    "qint8": "int8",
    "quint8": "uint8",
    "qint32": "int32",
}
PLAIN = {
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
    "float16", "float32", "float64", "complex64", "complex128",
}  # fmt: skip


def logical_dtype(array: Any) -> str:
    """Name of an array's dtype as the manifest writes it. Raises FormatError for what cannot be stored."""
    name = str(array.dtype.name)
    if array.dtype.kind in "SU" or name == "object" or name.startswith("StringDType"):
        return "string"
    if name in PLAIN or name in STORED_AS:
        return name
    raise FormatError("arrays of dtype %s cannot be stored in a bundle" % array.dtype)


def _stored(array: Any, logical: str) -> Any:
    # Not ascontiguousarray: it would turn a scalar into a vector.
    array = np.array(array, copy=False, order="C") if np.__version__ < "2" else np.asarray(array, order="C")
    if logical in STORED_AS:
        return array.view(STORED_AS[logical])
    return array.astype(array.dtype.newbyteorder("<"), copy=False)


def _encode_strings(array: Any) -> Tuple[Any, Any]:
    items = [i.encode("utf-8") if isinstance(i, str) else bytes(i) for i in array.ravel().tolist()]
    offsets = np.cumsum([0] + [len(i) for i in items]).astype("<i8")
    return np.frombuffer(b"".join(items), dtype=np.uint8), offsets


def _npy_header(array: Any) -> bytes:
    text = "{'descr': '%s', 'fortran_order': False, 'shape': %r, }" % (array.dtype.str, tuple(array.shape))
    length = 10 + len(text) + 1
    text += " " * (-length % ALIGNMENT) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode("latin1")


def _blocks(array: Any) -> Any:
    if array.size:
        view = memoryview(array.reshape(-1)).cast("B")
        for start in range(0, len(view), CHUNK):
            yield view[start : start + CHUNK]


def sha256_array(array: Any) -> str:
    """Hex sha256 of an array's bytes as stored (little-endian, C order), without a second copy where possible."""
    digest = hashlib.sha256()
    for block in _blocks(_stored(array, logical_dtype(array))):
        digest.update(block)
    return digest.hexdigest()


class ArrayWriter:
    """Writes one npz file, an array at a time; the file appears under its name only when it is complete.

    Use as a context manager. ``add`` returns the index entry for the manifest.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._partial = path + ".partial"
        self._zip = zipfile.ZipFile(self._partial, "w", zipfile.ZIP_STORED, allowZip64=True)
        self._count = 0

    def __enter__(self) -> "ArrayWriter":
        return self

    def __exit__(self, kind: Any, value: Any, trace: Any) -> None:
        try:
            self._zip.close()
            if kind is None:
                os.replace(self._partial, self.path)
        finally:
            # Gone even when closing failed, because the disk was full: the response still has to be written.
            if os.path.exists(self._partial):
                os.unlink(self._partial)

    def add(self, name: str, array: Any, logical: Optional[str] = None) -> Dict[str, Any]:
        """Append ``array`` (any shape; numeric, bool, bytes or text) and return its index entry.

        ``logical`` is the dtype that the numbers stand for where numpy has no name for it: ``array`` is then of the
        type that stores it, such as uint16 for bfloat16.

        The entry holds name, file, member, shape, dtype (logical), stored_dtype, bytes and sha256; strings
        have a second member ``offsets_member`` with ``size + 1`` int64 offsets into the bytes.
        """
        array = np.asarray(array)
        if logical is not None and array.dtype.name != STORED_AS.get(logical):
            raise FormatError("%s is not stored as %s" % (logical, array.dtype.name))
        logical = logical or logical_dtype(array)
        entry = {"name": name, "file": os.path.basename(self.path), "shape": list(array.shape), "dtype": logical}
        offsets = None
        if logical == "string":
            stored, offsets = _encode_strings(array)
        else:
            stored = _stored(array, logical)
        member, digest = self._member(stored)
        entry.update(member=member, stored_dtype=stored.dtype.name, bytes=int(stored.nbytes), sha256=digest)
        if offsets is not None:
            entry["offsets_member"], entry["offsets_sha256"] = self._member(offsets)
        return entry

    def _member(self, stored: Any) -> Tuple[str, str]:
        member = "a%05d" % self._count
        self._count += 1
        info = zipfile.ZipInfo(member + ".npy", date_time=_EPOCH)
        offset = self._zip.fp.tell() + _ZIP_HEADER + len(info.filename) + _ZIP64_EXTRA + 4  # type: ignore[union-attr]
        padding = -offset % ALIGNMENT
        info.extra = struct.pack("<HH", _PADDING_ID, padding) + b"\0" * padding
        info.external_attr = 0o644 << 16
        digest = hashlib.sha256()
        with self._zip.open(info, "w", force_zip64=True) as stream:
            stream.write(_npy_header(stored))
            for block in _blocks(stored):
                digest.update(block)
                stream.write(block)
        return member, digest.hexdigest()


class ArrayReader:
    """Maps the arrays of npz files in one folder by their index entries.

    Raises FormatError for whatever does not agree with its entry, before anything is allocated.
    """

    def __init__(self, folder: str, entries: Sequence[Dict[str, Any]]) -> None:
        self.folder = folder
        self.entries = {entry["name"]: entry for entry in entries}
        if len(self.entries) != len(entries):
            raise FormatError("an array name stands twice in the index")
        keys = ("member", "offsets_member")
        places = [(entry["file"], entry[key]) for entry in entries for key in keys if isinstance(entry.get(key), str)]
        if len(set(places)) != len(places):  # else a small index has one large member read a million times
            raise FormatError("two arrays of the index are the same member")
        self._members = {}  # type: Dict[str, Dict[str, Tuple[int, int]]]

    def get(self, name: str, verify: bool = True) -> Any:
        """The array ``name``: read-only, mapped from disk, of its stored dtype (strings: an object array of bytes).

        With ``verify`` the sha256 of its bytes is compared with the index first.
        """
        entry = self._entry(name)
        if entry["dtype"] != "string":
            return self._numbers(entry, verify)
        data, offsets = self._text(entry, verify)
        raw, out = data.tobytes(), np.empty(len(offsets) - 1, dtype=object)
        for i in range(len(out)):
            out[i] = raw[offsets[i] : offsets[i + 1]]
        return out.reshape(entry["shape"])

    def check(self, name: str) -> None:
        """What ``get`` checks, in the memory of a block: strings are not made.

        Raises FormatError, or DigestError where the bytes differ from the checksum.
        """
        entry = self._entry(name)
        if entry["dtype"] == "string":
            self._text(entry, True)
        else:
            self._numbers(entry, True)

    def _entry(self, name: str) -> Dict[str, Any]:
        if name not in self.entries:
            raise FormatError("the index has no array named %r" % name)
        _check_entry(self.entries[name])
        return self.entries[name]

    def _numbers(self, entry: Dict[str, Any], verify: bool) -> Any:
        array = self._map(entry, entry["member"], entry["stored_dtype"], tuple(entry["shape"]))
        if verify:
            _check_digest(entry["name"], array, entry["sha256"])
        return array

    def _text(self, entry: Dict[str, Any], verify: bool) -> Tuple[Any, Any]:
        """The bytes of all strings, and where each begins and ends."""
        count = 1
        for dimension in entry["shape"]:
            count *= dimension
        data = self._map(entry, entry["member"], "uint8", (entry["bytes"],))
        offsets = self._map(entry, entry["offsets_member"], "int64", (count + 1,))
        if verify:
            _check_digest(entry["name"], data, entry["sha256"])
            _check_digest(entry["name"], offsets, entry["offsets_sha256"])
        if offsets[0] != 0 or offsets[-1] != len(data) or (offsets[1:] < offsets[:-1]).any():
            raise FormatError("the string offsets of %r are not ascending" % entry["name"])
        return data, offsets

    def _map(self, entry: Dict[str, Any], member: str, dtype: str, shape: Tuple[int, ...]) -> Any:
        name, file = entry["name"], entry["file"]
        members = self._open(file)
        if member not in members:
            raise FormatError("%s has no member %s for the array %r" % (file, member, name))
        start, size = members[member]
        path = os.path.join(self.folder, file)
        found_dtype, found_shape, skip = _read_npy_header(path, start, size, name)
        want = np.dtype(dtype).newbyteorder("<")
        if found_dtype != want or found_shape != shape:
            raise FormatError(
                "array %r: the manifest says %s %s, the file holds %s %s"
                % (name, want, shape, found_dtype, found_shape)
            )
        count = 1
        for dimension in shape:
            count *= dimension
        if count * want.itemsize != size - skip:
            raise FormatError(
                "array %r: shape %s needs %d bytes, the member holds %d"
                % (name, shape, count * want.itemsize, size - skip)
            )
        if not count:
            return np.empty(shape, dtype=want)
        return np.memmap(path, dtype=want, mode="r", offset=start + skip, shape=shape)

    def _open(self, file: str) -> Dict[str, Tuple[int, int]]:
        if file not in self._members:
            if file != os.path.basename(file) or not file.endswith(".npz"):
                raise FormatError("%r is no file name for arrays" % file)
            if not os.path.isfile(os.path.join(self.folder, file)):
                raise FormatError("there is no file %s" % file)
            self._members[file] = member_ranges(os.path.join(self.folder, file))
        return self._members[file]


def member_ranges(path: str) -> Dict[str, Tuple[int, int]]:
    """Member name -> (offset of its data, size in bytes) of an uncompressed npz file.

    Raises FormatError for members that are compressed, encrypted, doubled, overlapping, or not plain names.
    """
    size, found = size_of_regular(path), {}  # type: Tuple[int, Dict[str, Tuple[int, int]]]
    directory = zip_directory_bytes(path)
    if directory is not None and directory > _DIRECTORY_BYTES:
        raise FormatError(
            "%s has a table of contents of %d bytes; at most %d are read"
            % (os.path.basename(path), directory, _DIRECTORY_BYTES)
        )
    try:
        with zipfile.ZipFile(path) as archive, open(path, "rb") as stream:
            for info in archive.infolist():
                start = _data_offset(stream, info)
                name = info.filename[:-4]
                if not info.filename.endswith(".npy") or not name.isalnum() or name in found:
                    raise FormatError("%s holds an unexpected member %r" % (os.path.basename(path), info.filename))
                if info.compress_type or info.flag_bits & 1 or info.file_size != info.compress_size:
                    raise FormatError("member %s of %s is compressed or encrypted" % (name, os.path.basename(path)))
                if start + info.file_size > size:
                    raise FormatError("member %s of %s ends behind the file" % (name, os.path.basename(path)))
                found[name] = (start, info.file_size)
    except (zipfile.BadZipFile, struct.error, NotImplementedError, ValueError, EOFError) as error:
        raise FormatError("%s is no readable npz file: %s" % (os.path.basename(path), error))
    _refuse_overlaps(path, list(found.values()))
    return found


def _refuse_overlaps(path: str, ranges: List[Tuple[int, int]]) -> None:
    end = 0
    for start, length in sorted(ranges):
        if start < end:
            raise FormatError("members of %s overlap" % os.path.basename(path))
        end = start + length


def _data_offset(stream: Any, info: Any) -> int:
    if info.header_offset < 0:
        raise FormatError("member %r starts before the file" % info.filename)
    stream.seek(info.header_offset)
    header = stream.read(_ZIP_HEADER)
    if len(header) != _ZIP_HEADER or header[:4] != b"PK\x03\x04":
        raise FormatError("member %r has no local header" % info.filename)
    name_length, extra_length = struct.unpack("<HH", header[26:30])
    if stream.read(name_length) != info.orig_filename.encode("utf-8"):
        raise FormatError("member %r has another name in its local header" % info.filename)
    return int(info.header_offset + _ZIP_HEADER + name_length + extra_length)


def _read_npy_header(path: str, start: int, size: int, name: str) -> Tuple[Any, Tuple[int, ...], int]:
    with open(path, "rb") as stream:
        stream.seek(start)
        head = stream.read(min(size, 4096))
    if head[:8] != b"\x93NUMPY\x01\x00" or len(head) < 10:
        raise FormatError("array %r is no npy version 1 member" % name)
    length = struct.unpack("<H", head[8:10])[0]
    try:
        fields = ast.literal_eval(head[10 : 10 + length].decode("latin1").strip())
        if set(fields) != {"descr", "fortran_order", "shape"} or fields["fortran_order"] is not False:
            raise ValueError("unexpected fields")
        dtype, shape = np.dtype(fields["descr"]), fields["shape"]
        if dtype.hasobject or dtype.names or dtype.itemsize == 0 or dtype.byteorder == ">":
            raise ValueError("dtype %s" % dtype)
        if not isinstance(shape, tuple) or not all(type(i) is int and i >= 0 for i in shape):
            raise ValueError("shape %r" % (shape,))
    except (ValueError, SyntaxError, TypeError, KeyError, RecursionError, MemoryError) as error:
        raise FormatError("array %r has a damaged npy header: %s" % (name, error))
    return dtype, shape, 10 + length


def _check_entry(entry: Dict[str, Any]) -> None:
    """Refuse an index entry that contradicts itself, before a file is opened."""
    name, logical, shape = entry["name"], entry["dtype"], entry["shape"]
    if len(shape) > RANK:  # before the sizes are looked at: their product is as long as all of them
        raise FormatError("array %r: a shape of %d axes; at most %d are read" % (name, len(shape), RANK))
    if not all(type(i) is int and i >= 0 for i in shape):
        raise FormatError("array %r: %r is no shape" % (name, shape))
    size = 1
    for dimension in shape:
        size *= max(dimension, 1)
    if size > ELEMENTS:  # also where a zero makes it empty: numpy has no array of such a shape
        raise FormatError("array %r: %r is the shape of no array" % (name, shape))
    if logical == "string":
        keys = {"bytes": int, "offsets_member": str, "offsets_sha256": str}
        if not all(isinstance(entry.get(key), kind) for key, kind in keys.items()) or entry["bytes"] < 0:
            raise FormatError("array %r: strings need %s" % (name, ", ".join(sorted(keys))))
        if size > STRINGS or entry["bytes"] > TEXT_BYTES:
            raise FormatError(
                "array %r has %d strings of %d bytes; at most %d of %d bytes are read"
                % (name, size, entry["bytes"], STRINGS, TEXT_BYTES)
            )
    stored = "uint8" if logical == "string" else STORED_AS.get(logical, logical)
    if stored not in PLAIN or entry["stored_dtype"] != stored:
        raise FormatError("array %r: dtype %s cannot be stored as %s" % (name, logical, entry["stored_dtype"]))


def _check_digest(name: str, array: Any, expected: Optional[str]) -> None:
    found = sha256_array(array)
    if found != expected:
        raise DigestError("array %r: sha256 expected %s, found %s" % (name, expected, found))


class DigestError(FormatError):
    """An array's bytes differ from the checksum in the manifest."""
