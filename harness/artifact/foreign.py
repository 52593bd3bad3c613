"""Names for what is no model file: failed downloads, pointers, compressed files, other programs' formats."""

from __future__ import annotations

import bz2
import lzma
import re
import zlib
from pathlib import Path

HEAD_BYTES = 1 << 16
_INSIDE_BYTES = 1024
_YAML_BYTES = 64 << 20
_LFS_SIZE = re.compile(rb"^size (\d{1,20})$", re.MULTILINE)
_MAGICS: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (0, b"PK\x03\x04", "a zip archive"),
    (0, b"PK\x05\x06", "an empty zip archive"),
    (257, b"ustar", "a tar archive"),
    (0, b"\x28\xb5\x2f\xfd", "a zstd-compressed file"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (0, b"Rar!\x1a\x07", "a RAR archive"),
    (4, b"TFL3", "a TensorFlow Lite model"),
    (0, b"MATLAB 5.0 MAT-file", "a MATLAB file"),
    (0, b"MATLAB 7.3 MAT-file", "a MATLAB file"),
    (0, b"%PDF-", "a PDF document"),
    (0, b"\x89PNG\r\n", "a PNG image"),
    (0, b"\xff\xd8\xff", "a JPEG image"),
    (0, b"\x7fELF", "a program"),
    (0, b"GGUF", "a GGUF model"),
    (0, b"CDF\x01", "a NetCDF file"),
)


# Matched against the first 512 bytes in lower case.
_TEXTS: tuple[tuple[bytes, str], ...] = (
    (rb"<!doctype html|<html|<head|<!-- ", "an HTML page, as a failed download leaves it"),
    (rb"<\?xml", "an XML document, as a failed download leaves it"),
    (rb"(?:error )?\d{3}:? [a-z ]+\Z", "the text of an HTTP error, as a failed download leaves it"),
    (rb"[{\[]", "a JSON file"),
    (rb"#!.*python|import |from [\w.]+ import|\"\"\"|def |class ", "a Python script"),
)


def describe_foreign(head: bytes) -> str:
    """Return what the file's first bytes look like, as a noun phrase with its article."""
    for offset, magic, phrase in _MAGICS:
        if head[offset : offset + len(magic)] == magic:
            return phrase
    compressed = _compressed(head)
    if compressed:
        return compressed
    return _text(head) or "a binary file of an unknown format"


def is_tar(head: bytes) -> bool:
    """Return whether the file is a tar archive."""
    return head[257:262] == b"ustar"


def describe_pointer(head: bytes) -> str | None:
    """Return what a Git LFS pointer says; None if the file is none."""
    if not head.startswith(b"version https://git-lfs") or len(head) > 2048:
        return None
    size = _LFS_SIZE.search(head)
    real = f": the real file has {int(size[1]):,} bytes" if size else ""
    return f"a Git LFS pointer, not the model itself{real}"


def is_pickle(head: bytes, tail: bytes) -> bool:
    """Return whether the bytes are a Python pickle, from its first and last opcodes; nothing is loaded."""
    if re.match(rb"\x80[\x02-\x05][\x28\x4a-\x95\x5d\x7d\x63\x8a\x8b\x58]", head):
        return True
    old = re.match(rb"\((?:d|l|t)p\d+\n|\(i[A-Za-z_][\w.]*\n\w+\n|c[A-Za-z_][\w.]*\n\w+\n|[\]}]q[\x00-\xff]", head)
    return bool(old) and tail.endswith(b".")


def is_yaml_architecture(head: bytes) -> bool:
    """Return whether the text is an architecture as ``model.to_yaml()`` wrote it."""
    return bool(re.search(rb"^class_name: ", head, re.MULTILINE) and re.search(rb"^config:", head, re.MULTILINE))


def _compressed(head: bytes) -> str | None:
    """Return the name of the compression and of what is inside, from a bounded piece of it."""
    try:
        if head.startswith(b"\x1f\x8b"):
            return f"a gzip file with {_inside(zlib.decompressobj(31).decompress(head, _INSIDE_BYTES))} inside"
        if head.startswith(b"BZh"):
            return f"a bzip2 file with {_inside(bz2.BZ2Decompressor().decompress(head, _INSIDE_BYTES))} inside"
        if head.startswith(b"\xfd7zXZ\x00"):
            inside = lzma.LZMADecompressor(memlimit=256 << 20).decompress(head, _INSIDE_BYTES)
            return f"an xz file with {_inside(inside)} inside"
    except (zlib.error, OSError, EOFError, ValueError, lzma.LZMAError):
        return "a damaged compressed file"
    return None


def _inside(head: bytes) -> str:
    for offset, magic, phrase in _MAGICS:
        if head[offset : offset + len(magic)] == magic:
            return phrase
    return _text(head) or "something of an unknown format"


def _text(head: bytes) -> str | None:
    """Return the kind of text; None if it is none."""
    if not head.strip(b"\x00"):
        return "a file of zero bytes only, as a failed download or a full disk leaves it"
    if not _is_utf8(head):
        return None
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:512].lower().rstrip()
    return next((phrase for pattern, phrase in _TEXTS if re.match(pattern, start)), "a text file")


def _is_utf8(head: bytes) -> bool:
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start >= len(head) - 3 and b"\x00" not in head  # a character cut by the end of the head
    return b"\x00" not in head


def yaml_value(path: Path, key: str) -> str | None:
    """Return the plain value of a key at the outermost level of a YAML file, found without parsing it."""
    with path.open("rb") as stream:
        text = stream.read(_YAML_BYTES)
    found = re.search(rb"^(?:%s): *['\"]?([\w.+-]{1,64})['\"]? *\r?$" % key.encode(), text, re.MULTILINE)
    return found[1].decode("ascii", "replace") if found and found[1] not in (b"null", b"None") else None
