"""What fuzzers and tests run: a hostile file goes in, and only declared errors may come out.

A bundle is fuzzed as one byte string: instructions that damage the bytes of a small valid bundle, or, for the second
target, values in its manifest.
"""

from __future__ import annotations

import copy
import hashlib
import json
import struct
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from harness import engine, graph_engine, report
from harness.artifact import sniffing
from harness.bundle import Bundle, is_graph
from harness.errors import HarnessError
from harness.plan import Options
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
    entries, ones = [], np.ones((1, 2), "<f4")
    with ArrayWriter(str(folder / "weights.npz")) as writer:
        for role, value in (("kernel", np.ones((2, 2), "<f4")), ("bias", ones[0])):
            entries.append({**writer.add(f"a/{role}", value), "layer": ["a"], "role": role, "trainable": True})
        entries.append(writer.add("words", np.array([b"ab", b"c"], dtype=object)))
    with ArrayWriter(str(folder / "probes.npz")) as writer:
        for name, value in (("inputs/0", 0 * ones), ("outputs/0", ones), ("noise/0", ones)):
            entries.append(writer.add(f"probe/normal/{name}", value))
        entries.append(writer.add("layer/normal/a/0/0", ones))
    spec = {"shape": [None, 2], "dtype": "float32"}
    config = {"name": "a", "units": 2, "activation": "linear", "dtype": "float32", "use_bias": True, "trainable": True}
    call = {"inputs": [["x", 0, 0]], "kwargs": {}, "input_specs": [[[None, 2], "float32"]]}
    given = {"name": "x", "batch_input_shape": [None, 2], "dtype": "float32"}
    layers = [
        {"name": "x", "class_name": "InputLayer", "config": given, "calls": [{"inputs": [], "kwargs": {}}]},
        {"name": "a", "class_name": "Dense", "config": config, "calls": [call]},
    ]
    manifest = {
        "schema_version": 1,
        "min_reader": 1,
        "required_features": [],
        "producer": {"environment": "tf1.15", "flavour": "tf.keras", "tensorflow": "1.15.5", "keras": "2.2.4-tf"},
        "source": {
            "kind": "keras_h5", "file": "m.h5", "bytes": 1, "sha256": "0" * 64, "keras_version": "2.2.4-tf", "backend": None,
            "replaced_layers": [{"layer": "a", "before": "CuDNNLSTM", "after": "LSTM"}], "repaired": ["a note"],
            "left_behind": ["a reason"], "weights_renamed": ["a/b"], "bytecode_run": ["a"],
        },
        "model": {
            "dialect": "tf1.15",
            "name": "m",
            "graph": {
                "name": "m", "kind": "functional", "layers": layers, "inputs": [["x", 0, 0]], "outputs": [["a", 0, 0]],
            },
            "inputs": [{"name": "x", **spec}],
            "outputs": [{"name": "a", **spec}],
            "training": {"config": None, "optimizer_weights": False},
        },
        "arrays": entries,
        "probes": {
            "seed": 1,
            "sets": [
                {
                    "name": "normal", "holds": "", "inputs": ["probe/normal/inputs/0"], "outputs": ["probe/normal/outputs/0"],
                    "continues": False, "noise": [{"layer": ["a"], "array": "probe/normal/noise/0"}],
                }
            ],
            "dropped": ["one"],
            "layers": {
                "set": "normal",
                "records": [
                    {"path": ["a"], "call": 0, "tensor": 0, "array": "layer/normal/a/0/0", "shape": [1, 2], "stride": 1}
                ],
                "nested_inputs": [],
            },
            "sensitivity": {"skipped": None, "gradients": None, "saturated": [], "weights": []},
            "double": {"skipped": "no", "level": "standard", "layers": False},
        },
    }  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps(manifest))


def small_graph(folder: Path) -> None:
    """A bundle of a whole graph, y = x + w."""
    ones = np.ones(2, "<f4")
    with ArrayWriter(str(folder / "weights.npz")) as writer:
        entries = [writer.add("variable/w", ones)]
    with ArrayWriter(str(folder / "probes.npz")) as writer:
        entries += [writer.add(name, ones) for name in ("x", "y", "dy", "dw")]
    spec = {"shape": [2], "dtype": "float32"}
    manifest = {
        "schema_version": 2,
        "min_reader": 2,
        "required_features": ["graph"],
        "producer": {"environment": "tf1.15", "flavour": "tf", "tensorflow": "1.15.5", "keras": "2.2.4-tf"},
        "source": {"kind": "saved_model", "file": "m", "bytes": 1, "sha256": "0" * 64},
        "model": {
            "kind": "graph", "dialect": "tf1-graph", "name": "m", "graph": "graphs/graph.json",
            "signatures": {"serve": {"inputs": {"x": {"tensor": "x:0", **spec}}, "outputs": {"y": {"tensor": "y:0", **spec}}}},
            "operations": {"Placeholder": 1, "AddV2": 1, "VarHandleOp": 1, "ReadVariableOp": 1},
            "ledger": [{"where": "keep", "before": "fed", "after": "1.0"}],
            "fixed": {"keep:0": 1.0, "phase:0": False},
            "variables": [{"name": "w", **spec, "trainable": True, "array": "variable/w", "was_constant": True}],
            "tables": [], "assets": [], "tags": None,
        },
        "arrays": entries,
        "probes": {
            "seed": 1,
            "sets": [
                {
                    "name": "normal", "signature": "serve", "holds": "", "inputs": {"x": "x"}, "outputs": {"y": "y"},
                    "gradients": {"by": {"w": "dw"}, "cotangents": {"y": "dy"}, "knees": []},
                }
            ],
            "dropped": ["one", "one"],
            "notes": ["a note"],
        },
    }  # fmt: skip
    nodes = [
        {"name": "x", "op": "Placeholder", "inputs": [], "attrs": {}},
        {"name": "w", "op": "VarHandleOp", "inputs": [], "attrs": {}},
        {"name": "r", "op": "ReadVariableOp", "inputs": ["w"], "attrs": {}},
        {"name": "y", "op": "AddV2", "inputs": ["x", "r"], "attrs": {}},
    ]
    (folder / "graphs").mkdir(exist_ok=True)
    (folder / "graphs" / "graph.json").write_text(json.dumps({"format": 1, "nodes": nodes, "library": []}))
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


#: what is put into a manifest in the place of something else
VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 7, 1 << 62, 1 << 63, 10**299, 1e308, 5e-324, "", "a", "../x", "\x00\x1b[31m\n|<b>", "\ufffe\U0001f600",
    [], {}, [5], [None], ["a"], [["a", 0, 0]], [["a", 0, 1 << 62]], {"a": 1}, {"a": {"a": [1]}}, "x" * 3000, [0] * 70, [1 << 62] * 30,
    {"class_name": "Dense"}, [[]], [{}], "serve", "graph", "normal", "float32", "string",
)  # fmt: skip


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) of a JSON value."""
    found, waiting = [], [value]
    while waiting:
        outer = waiting.pop()
        for key, inner in list(outer.items() if isinstance(outer, dict) else enumerate(outer)):
            found.append((outer, key))
            if isinstance(inner, (dict, list)):
                waiting.append(inner)
    return found


def altered(manifest: Any, data: bytes) -> Any:
    """A manifest with some values replaced, deleted, doubled or put elsewhere, five bytes for each."""
    for at in range(0, min(len(data), 60) - 4, 5):
        slots = places(manifest)
        outer, key = slots[int.from_bytes(data[at : at + 2], "little") % len(slots)]
        kind, choice = data[at + 2] % 5, int.from_bytes(data[at + 3 : at + 5], "little")
        other, name = slots[choice % len(slots)]
        if kind == 0:
            outer[key] = copy.deepcopy(VALUES[choice % len(VALUES)])
        elif kind == 1:
            del outer[key]
        elif kind == 2:
            outer[key] = copy.deepcopy(other[name])
        elif kind == 3 and isinstance(outer, list):
            outer += copy.deepcopy(outer[: 1 + choice % 20])
        elif kind == 4:
            outer[key] = "".join(map(chr, data[at + 3 : at + 5]))
    return manifest


def enter_bundle(data: bytes, folder: Path) -> str:
    """A bundle with an altered manifest, from the command to where a worker would start: the code of how that ended.

    The report of it is published in all its forms, as after any other run.
    """
    graph = bool(data and data[0] & 0x80)
    given, out = folder / ("graph" if graph else "keras"), folder / "out"
    if not given.is_dir():
        given.mkdir()
        (small_graph if graph else small_bundle)(given)
        (given / "manifest.json").rename(folder / f"{given.name}.json")
    manifest = altered(json.loads((folder / f"{given.name}.json").read_text()), data[1:])
    (given / "manifest.json").write_text(json.dumps(manifest))

    def body(stages: engine.Stages) -> None:
        opened = (graph_engine if is_graph(given) else engine).open_bundle(stages, given)
        if not is_graph(given):
            stages.report["code"] = report.code(opened.manifest)
        raise HarnessError("worker-crashed", "Here the worker would start.")

    done = engine.run_stages(out, Options(), lambda _: None, ["import"], "venv", body, [given])
    for name in ("report.json", "report.html", "report.md", "report.xml"):
        (done.folder / name).read_text(encoding="utf-8")
    error = done.report["error"]
    if error["code"] not in ("bundle-invalid", "bundle-corrupt", "bundle-unsupported", "worker-crashed"):
        raise AssertionError(error)
    return str(error["code"])


def sniff(data: bytes, folder: Path) -> str:
    """``data`` as a file of unknown kind, recognised: its kind, or the code of the declared error."""
    path = folder / "file.h5"
    path.write_bytes(data)
    try:
        found = sniffing.sniff(path)  # in this process, where a fuzzer sees which branches are taken
    except HarnessError as error:
        if error.kind.exit_status not in (2, 3):
            raise AssertionError(error.code) from error
        return error.code
    return str(found.kind)
