"""What fuzzers and tests run: a hostile file goes in, and only declared errors may come out.

A bundle is fuzzed as one byte string: instructions that damage a small valid bundle, or whole members in its place.
"""

from __future__ import annotations

import hashlib
import json
import struct
import tempfile
from pathlib import Path

import numpy as np

from harness import artifact
from harness.bundle import Bundle
from harness.errors import HarnessError
from harness.worker.tfworker.arrays import ArrayWriter

MEMBERS = ("manifest.json", "weights.npz", "probes.npz")
#: values that matter in binary headers and in JSON
NUMBERS = (0, 1, 0x7F, 0xFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 0x7FFFFFFFFFFFFFFF, 0xFFFFFFFFFFFFFFFF)
TOKENS = (
    b"null", b"-1", b"1e999", b"NaN", b"18446744073709551616", b'"../../x"', b'"/etc/passwd"', b"[" * 3000, b"{}", b"[]",
    b'"a00001"', b'"object"', b'"|O"', b'"string"', b'"float32"', b'"probes.npz"', b"true", b'""', b"\xff\xfe", b'"\\ud800"',
)  # fmt: skip


def small_bundle(folder: Path) -> None:
    """A bundle of two layers, three arrays and strings, written as the worker writes it."""
    entries = []
    with ArrayWriter(str(folder / "weights.npz")) as writer:
        for name, role in (("a/kernel", "kernel"), ("a/bias", "bias")):
            entries.append(
                {**writer.add(name, np.ones((2, 2), "<f4")), "layer": ["a"], "role": role, "trainable": True}
            )
    with ArrayWriter(str(folder / "probes.npz")) as writer:
        entries.append(writer.add("probe/normal/inputs/0", np.zeros((1, 2), "<f4")))
        entries.append(writer.add("probe/normal/outputs/0", np.array([b"ab", b"c"], dtype=object)))
    spec = {"name": "x", "shape": [None, 2], "dtype": "float32"}
    manifest = {
        "schema_version": 1,
        "min_reader": 1,
        "required_features": [],
        "producer": {"environment": "tf1.15"},
        "source": {"kind": "keras_h5", "file": "m.h5", "sha256": "0" * 64},
        "model": {
            "dialect": "tf1.15",
            "graph": {"layers": [{"class_name": "Dense", "calls": []}], "inputs": [], "outputs": []},
            "inputs": [spec],
            "outputs": [spec],
            "training": {"optimizer_weights": False},
        },
        "arrays": entries,
        "probes": {
            "seed": 1,
            "sets": [{"name": "normal", "holds": "", "inputs": ["probe/normal/inputs/0"], "outputs": []}],
            "dropped": [],
            "layers": {"set": "normal", "records": [], "nested_inputs": []},
        },
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))


#: bytes of a damaged member
LARGEST = 1 << 18


def _valid() -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as name:
        small_bundle(Path(name))
        return {member: (Path(name) / member).read_bytes() for member in MEMBERS}


VALID = _valid()


def damaged(data: bytes) -> dict[str, bytes]:
    """The members that a byte string stands for."""
    members = {name: bytearray(content) for name, content in VALID.items()}
    at = 0
    while at + 5 <= len(data):
        head = data[at]
        target = members[MEMBERS[head & 3 if head & 3 < 3 else 0]]
        place = int.from_bytes(data[at + 1 : at + 3], "little") % (len(target) + 1)
        size, kind = data[at + 3], ((head >> 2) & 15) % 6
        rest = data[at + 4 : at + 4 + size]
        at += 4
        if kind == 0:  # overwrite
            target[place : place + len(rest)] = rest
            at += size
        elif kind == 1:  # insert
            target[place:place] = rest
            at += size
        elif kind == 2:  # delete
            del target[place : place + size + 1]
        elif kind == 3:  # a number that matters
            number = struct.pack("<Q", NUMBERS[size % len(NUMBERS)])
            target[place : place + 8] = number[: (1, 2, 4, 8)[size % 4]]
        elif kind == 4:  # a word that matters
            target[place:place] = TOKENS[size % len(TOKENS)]
        else:  # cut off, or repeat what is behind
            target[place:] = bytes(target[place:]) * (size % 3)
        del target[LARGEST:]  # twenty repetitions would be gigabytes of this function's own making
    return {name: bytes(content) for name, content in members.items()}


def read_bundle(data: bytes, folder: Path) -> str:
    """``data`` as a bundle in ``folder``, read whole: ``read``, or the code of the declared error."""
    for name, content in damaged(data).items():
        (folder / name).write_bytes(content)
    if data and data[0] & 0x80:  # a manifest that vouches for itself, so that later checks are reached
        digest = hashlib.sha256((folder / "manifest.json").read_bytes()).hexdigest()
        (folder / "SHA256SUMS").write_text(f"{digest}  manifest.json\n")
    try:
        Bundle.open(folder).check_arrays()
    except HarnessError as error:
        if error.code not in ("bundle-invalid", "bundle-corrupt", "bundle-unsupported"):
            raise AssertionError(error.code) from error
        return error.code
    finally:
        (folder / "SHA256SUMS").unlink(missing_ok=True)
    return "read"


def sniff(data: bytes, folder: Path) -> str:
    """``data`` as a file of unknown kind, recognised: its kind, or the code of the declared error."""
    path = folder / "file.h5"
    path.write_bytes(data)
    try:
        found = artifact.sniff(path)
    except HarnessError as error:
        if error.kind.exit_status not in (2, 3):
            raise AssertionError(error.code) from error
        return error.code
    return str(found.kind)
