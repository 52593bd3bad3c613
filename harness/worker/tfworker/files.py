"""Small files written whole or not at all: JSON without NaN, and checksums."""

import hashlib
import io
import json
import os
import re
import stat
from typing import Any, Optional

CHUNK = 16 << 20
#: bytes of a JSON text: one character beyond the first plane makes four of each
JSON_LIMIT = 16 << 20
#: separators in a JSON text: each costs up to 110 bytes of memory, where the text has two. DenseNet121 has 99,124
JSON_VALUES = 1250000
#: both, for the nodes of a graph, which only a worker reads whole: a frozen detector has some ten thousand, at 25 to 50 separators
GRAPH_LIMIT, GRAPH_VALUES = 128 << 20, 8000000
#: levels of a JSON text; models in models in models have about five each, and readers recurse
JSON_DEPTH = 200
#: digits of a whole number: what a float holds
_DIGITS = 300
#: what may spell half of a surrogate pair
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
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


def _whole(token: str) -> int:
    if len(token) > _DIGITS:
        raise ValueError("a number of %d digits is above what is read" % len(token))
    return int(token)


def _finite(token: str) -> float:
    value = float(token)
    if value in (float("inf"), float("-inf")):
        raise ValueError("the number %s is above what a float holds" % token[:40])
    return value


def size_of_regular(path: str) -> int:
    """Size in bytes of a regular file, links followed.

    Raises FormatError for anything else, before it is opened: opening a pipe waits for whoever writes it, and a device
    may have no end.
    """
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        raise FormatError("%s is no regular file" % os.path.basename(path))
    return status.st_size


def separators(data: bytes) -> int:
    """How many values a JSON text may hold at most, without parsing it."""
    return sum(data.count(separator) for separator in (b",", b":", b"[", b"{"))


def read_json(path: str, limit: int = JSON_LIMIT, values: int = JSON_VALUES) -> Any:
    """The JSON value in a file.

    Raises FormatError for what is no regular file, is above ``limit`` bytes, ``values`` separators or :data:`JSON_DEPTH`, for
    text that is not UTF-8 JSON, numbers that are not finite, halves of surrogate pairs, and duplicate keys. Memory stays
    below ten times ``limit``.
    """
    name, size = os.path.basename(path), size_of_regular(path)
    if size <= limit:
        with open(path, "rb") as stream:
            data = stream.read(limit + 1)
        size = max(size, len(data))
    if size > limit:
        raise FormatError("%s has %d bytes; at most %d are read" % (name, size, limit))
    found = separators(data)
    if found > values:
        raise FormatError("%s has %d separators of values; at most %d are read" % (name, found, values))
    try:
        text, surrogates = data.decode("utf-8"), _SURROGATE.search(data) is not None
        del data
        value = json.loads(
            text, parse_constant=_no_constant, parse_float=_finite, parse_int=_whole, object_pairs_hook=_no_duplicates
        )
        _check_inside(value, surrogates)
    except (ValueError, RecursionError) as error:
        raise FormatError("%s is not valid JSON: %s" % (name, error))
    return value


def read_graph(bundle: str) -> Any:
    """The whole graph of a bundle. Raises as :func:`read_json`, with the limits for graphs."""
    return read_json(os.path.join(bundle, "graphs", "graph.json"), GRAPH_LIMIT, GRAPH_VALUES)


def _check_inside(value: Any, surrogates: bool) -> None:
    """Refuse what nests too deep for those who walk it and, where there may be any, text that no file can hold."""
    level, depth = [[value]], -1  # type: Any
    while level:
        depth += 1
        if depth > JSON_DEPTH:
            raise ValueError("it nests deeper than %d levels" % JSON_DEPTH)
        if surrogates:
            _check_text(level)
        children = (item for outer in level for item in (outer.values() if isinstance(outer, dict) else outer))
        level = [item for item in children if isinstance(item, (dict, list))]


def _check_text(level: Any) -> None:
    for outer in level:
        for item in outer if isinstance(outer, list) else [part for pair in outer.items() for part in pair]:
            if isinstance(item, str):
                item.encode("utf-8")  # UnicodeEncodeError is a ValueError


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
