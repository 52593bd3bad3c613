"""Small files written whole or not at all: JSON without NaN, and checksums."""

import hashlib
import io
import json
import os
from typing import Any

CHUNK = 16 << 20
JSON_LIMIT = 256 << 20


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

    Raises FormatError for a file above ``limit`` bytes, text that is not UTF-8 JSON, NaN or infinity,
    duplicate keys, or nesting too deep for the parser.
    """
    size = os.path.getsize(path)
    if size > limit:
        raise FormatError("%s has %d bytes; at most %d are read" % (os.path.basename(path), size, limit))
    try:
        with io.open(path, encoding="utf-8") as stream:
            return json.load(stream, parse_constant=_no_constant, object_pairs_hook=_no_duplicates)
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
