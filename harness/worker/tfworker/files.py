"""Small files written whole or not at all: JSON without NaN, and checksums."""

import hashlib
import io
import json
import os
from typing import Any, Optional

CHUNK = 16 << 20
JSON_LIMIT = 128 << 20
#: separators in a JSON text: each costs up to 100 bytes of memory, where the text has two
JSON_VALUES = 8000000
#: how far a compressed file of a user's may grow: so many times, and so much in any case
GROWTH = 100
GROWTH_FREE_BYTES = 1 << 30
#: table of contents of a zip file: zipfile reads it whole and builds an object of about 500 bytes for each entry,
#: which takes 46 bytes in the file, before anything can be asked
ZIP_DIRECTORY_LIMIT = 32 << 20
_ZIP_END, _ZIP_END_BYTES, _ZIP_COMMENT_BYTES = b"PK\x05\x06", 22, 1 << 16
_ZIP64_LOCATOR, _ZIP64_LOCATOR_BYTES, _ZIP64_END, _ZIP64_END_BYTES = b"PK\x06\x07", 20, b"PK\x06\x06", 56


class FormatError(Exception):
    """A file breaks a rule of its format; the message says which file and which rule."""


def _no_constant(token: str) -> Any:
    raise ValueError("%s is not JSON" % token)


def _no_duplicates(pairs: Any) -> Any:
    out = {}
    for key, value in pairs:
        if key in out:
            raise ValueError("the key %r stands twice" % key)
        out[key] = value
    return out


def read_json(path: str, limit: int = JSON_LIMIT) -> Any:
    """The JSON value in a file.

    Raises FormatError for a file above ``limit`` bytes or :data:`JSON_VALUES`, text that is not UTF-8 JSON, NaN or
    infinity, duplicate keys, or nesting too deep for the parser. Memory stays below twelve times ``limit``.
    """
    size = os.path.getsize(path)
    if size > limit:
        raise FormatError("%s has %d bytes; at most %d are read" % (os.path.basename(path), size, limit))
    with open(path, "rb") as stream:
        data = stream.read(limit + 1)
    values = sum(data.count(separator) for separator in (b",", b":", b"[", b"{"))
    if values > JSON_VALUES:
        raise FormatError(
            "%s has %d separators of values; at most %d are read" % (os.path.basename(path), values, JSON_VALUES)
        )
    try:
        return json.loads(data.decode("utf-8"), parse_constant=_no_constant, object_pairs_hook=_no_duplicates)
    except (ValueError, RecursionError) as error:
        raise FormatError("%s is not valid JSON: %s" % (os.path.basename(path), error))


def write_json(path: str, value: Any) -> None:
    """Write ``value`` as UTF-8 JSON: temporary name, flush to disk, rename. Raises ValueError for NaN."""
    partial = path + ".partial"
    with io.open(partial, "w", encoding="utf-8") as stream:
        stream.write(json.dumps(value, indent=1, sort_keys=False, allow_nan=False))
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(partial, path)


def sha256_file(path: str) -> str:
    """Hex sha256 of a file's content, read in chunks."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        for block in iter(lambda: stream.read(CHUNK), b""):
            digest.update(block)
    return digest.hexdigest()


def zip_directory_bytes(path: str) -> Optional[int]:
    """Size of a zip file's table of contents, the largest that any of its end records declares; None without one.

    zipfile obeys a zip64 record wherever its locator stands, whatever the small record says. Some versions look for it
    right before the locator, others where the locator points to; both places are asked.
    """
    size = os.path.getsize(path)
    with open(path, "rb") as stream:
        start = max(0, size - _ZIP_END_BYTES - _ZIP_COMMENT_BYTES)
        stream.seek(start)
        tail = stream.read(_ZIP_END_BYTES + _ZIP_COMMENT_BYTES)
        at = tail.rfind(_ZIP_END)
        if at < 0 or len(tail) - at < _ZIP_END_BYTES:
            return None
        found = [int.from_bytes(tail[at + 12 : at + 16], "little")]
        locator_at = start + at - _ZIP64_LOCATOR_BYTES
        stream.seek(max(0, locator_at))
        locator = stream.read(_ZIP64_LOCATOR_BYTES)
        if locator_at >= 0 and locator[:4] == _ZIP64_LOCATOR:
            for place in (locator_at - _ZIP64_END_BYTES, int.from_bytes(locator[8:16], "little")):
                stream.seek(min(max(0, place), size))
                record = stream.read(_ZIP64_END_BYTES)
                if record[:4] == _ZIP64_END:
                    found.append(int.from_bytes(record[40:48], "little"))
        return max(found)
