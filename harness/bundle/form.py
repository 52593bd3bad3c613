"""The declared form of manifests: what every reader relies on, and what of a manifest is not of it.

A form is a type; ``range`` (whole numbers within); a pattern of text; a list of one form; an object with at least some keys
(``key?`` may be missing); or one of the classes below. Keys that nobody reads are not declared, and may hold anything.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

#: what is wrong with a manifest, at most so many lines of it: a hostile one has millions
FINDINGS = 200
#: axes of the largest shapes that any numpy has
_AXES = 64


@dataclass(frozen=True)
class Maybe:
    """A form, or null."""

    form: Any


@dataclass(frozen=True)
class Each:
    """An object of any keys, whose values are of one form."""

    form: Any


@dataclass(frozen=True)
class Row:
    """A list of so many values, each of its form."""

    forms: tuple[Any, ...]


@dataclass(frozen=True)
class Shape:
    """A list of sizes, null where ``free`` allows it; not of more axes than there can be."""

    free: bool = False


NUMBER = float
SIZE = range(1 << 63)
_SHA256 = re.compile(r"[0-9a-f]{64}")
_PATH = [str]
_SPEC = {"name": str, "shape": Maybe(Shape(free=True)), "dtype": str}
_TENSOR = Row((str, SIZE, SIZE))
_CALL = {"inputs": [_TENSOR], "kwargs": dict, "input_specs?": [Row((Maybe(Shape(free=True)), str))], "masks?": list}
_LAYER: dict[str, Any] = {
    "name": str, "class_name": str, "config?": Maybe(dict), "calls": [_CALL], "carried?": dict, "mask_rule?": Maybe(str),
}  # fmt: skip
_GRAPH = {"name": str, "kind": str, "layers": [_LAYER], "inputs": [_TENSOR], "outputs": [_TENSOR]}
_LAYER |= {"graph?": _GRAPH, "wrapped?": _GRAPH}
_ARRAY = {
    "name": str, "file": str, "member": str, "shape": Shape(), "dtype": str, "stored_dtype": str, "sha256": str,
    "bytes?": SIZE, "offsets_member?": str, "offsets_sha256?": str, "layer?": _PATH, "role?": str, "trainable?": bool,
}  # fmt: skip
_SOURCE = {
    "kind": str, "file": str, "sha256": _SHA256, "bytes?": SIZE, "keras_version?": Maybe(str), "backend?": Maybe(str),
    "replaced_layers?": [{"layer": str, "before": str, "after": str}], "repaired?": [str], "left_behind?": [str],
    "weights_renamed?": [str], "bytecode_run?": [str],
}  # fmt: skip
_PRODUCER = {
    "environment": str, "flavour?": str,
    **{f"{key}?": Maybe(str) for key in ("tensorflow", "keras", "python", "numpy", "platform")},
}  # fmt: skip
_STEP = {
    "skipped": Maybe(str), "inputs": [str], "targets": [str], "count?": SIZE, "loss?": Maybe(NUMBER), "end_loss?": Maybe(NUMBER),
    "replaced_losses?": [str], "replaced_because?": Maybe(str), "one_because?": Maybe(str),
    "weights": [
        {"layer": _PATH, "role": str, "gradient": Maybe(str), "after": str, "later?": [Maybe(str)], "end?": str, "end_gradient?": str}
    ],
}  # fmt: skip
_TRAINING = {
    "config": Maybe(dict), "optimizer_weights": bool, "state?": str, "scalars?": dict, "reasons?": [str],
    "optimizer?": Maybe({"class_name": str, "config": dict, "family": str}),
    "slots?": [{"array": str, "layer": _PATH, "role": str, "slot": str}], "step?": Maybe(_STEP),
}  # fmt: skip
_SENSITIVITY = {
    "skipped": Maybe(str), "gradients?": Maybe(str), "saturated": [str],
    "weights": [
        {"layer": _PATH, "role": str, "elements": SIZE, "by_outputs": SIZE, "reached": SIZE, "reason": Maybe(str)}
    ],
}  # fmt: skip
_RECORD = {"path": _PATH, "call": SIZE, "tensor": SIZE, "array": str, "shape": Shape(), "stride": SIZE}
_FORM: dict[str, Any] = {
    "schema_version": int,
    "min_reader": int,
    "required_features": [str],
    "producer": _PRODUCER,
    "source": _SOURCE,
    "model": {"dialect": str, "name?": str, "graph": _GRAPH, "inputs": [_SPEC], "outputs": [_SPEC], "training": _TRAINING},
    "arrays": [_ARRAY],
    "probes": {
        "seed": int,
        "sets": [
            {
                "name": str, "holds": str, "inputs": [str], "outputs": [str], "continues?": bool,
                "noise?": [{"layer": _PATH, "array": str}],
            }
        ],
        "dropped": [str],
        "layers": {"set": str, "records": [_RECORD], "nested_inputs": [{"path": _PATH, "arrays": [str]}]},
        "sensitivity?": Maybe(_SENSITIVITY),
        "double?": Maybe({"skipped": Maybe(str), "level?": str, "layers?": bool}),
    },
}  # fmt: skip
_KNEE = {
    "node": str, "op": str, "input": SIZE, "shape": Shape(), "scale": NUMBER, "units": str, "values": str, "distances": str,
}  # fmt: skip
_TENSORS = Each({"tensor": str, "dtype": str, "shape?": Maybe(Shape(free=True))})
#: the same for a bundle whose model is a whole graph
_GRAPH_FORM: dict[str, Any] = {
    **_FORM,
    "model": {
        "kind": str,
        "name": str,
        "graph": str,
        "signatures": Each({"inputs": _TENSORS, "outputs": _TENSORS}),
        "operations": Each(SIZE),
        "ledger": [{"where": str, "before": str, "after": str}],
        "fixed": dict,
        "variables": [
            {"name": str, "shape": Shape(), "dtype": str, "trainable": bool, "array": str, "was_constant": bool}
        ],
        "tables": [{"name": str, "key_dtype": str, "value_dtype": str, "keys": str, "values": str}],
        "assets": [{"file": str, "sha256": str, "tensor": str}],
    },
    "probes": {
        "seed": int,
        "sets": [
            {
                "name": str, "signature": str, "holds": str, "inputs": Each(str), "outputs": Each(str),
                "gradients?": Maybe({"by": Each(Maybe(str)), "cotangents": Each(str), "knees?": [_KNEE]}),
            }
        ],
        "dropped": [str],
        "notes?": [str],
    },
}  # fmt: skip


def holds_graph(manifest: Mapping[str, Any]) -> bool:
    """Whether the model of a manifest of any form is a whole graph."""
    model = manifest.get("model")
    return isinstance(model, dict) and model.get("kind") == "graph"


def findings(manifest: Mapping[str, Any]) -> list[str]:
    """What in a manifest is not of the declared form, a line each; of many the first."""
    graph = holds_graph(manifest)
    wrong = _first(_wrong(manifest, _GRAPH_FORM if graph else _FORM, "manifest"))
    # What names something else is looked at only where every name is one.
    return wrong or _first(_wrong_graph(manifest) if graph else _wrong_model(manifest))


def _first(lines: Iterator[str]) -> list[str]:
    found = list(islice(lines, FINDINGS + 1))
    return [*found[:FINDINGS], "and more"] if len(found) > FINDINGS else found


_NAMES = {
    dict: "object", list: "list", str: "text", int: "whole number", bool: "boolean", NUMBER: "number", Each: "object",
    Row: "list", Shape: "list",
}  # fmt: skip


def _wrong(value: Any, form: Any, where: str) -> Iterator[str]:
    """One line for each place at which ``value`` is not of ``form``."""
    if isinstance(form, Maybe):
        if value is not None:
            yield from _wrong(value, form.form, where)
    elif isinstance(form, range):
        if type(value) is not int:
            yield f"{where} is no whole number"
        elif value not in form:
            yield f"{where} is no number of 0 to {form[-1]}"
    elif isinstance(form, re.Pattern):
        if type(value) is not str or not form.fullmatch(value):
            yield f"{where} is no text of the form {form.pattern}"
    elif not _is(value, form if isinstance(form, type) else type(form)):
        yield f"{where} is no {_NAMES[form if isinstance(form, type) else type(form)]}"
    elif not isinstance(form, type):
        yield from _wrong_inside(value, form, where)


def _is(value: Any, kind: type) -> bool:
    if kind is NUMBER:
        return type(value) in (int, float)
    return type(value) is {Each: dict, Row: list, Shape: list}.get(kind, kind)


def _wrong_inside(value: Any, form: Any, where: str) -> Iterator[str]:
    if isinstance(form, dict):
        for key, inner in form.items():
            name = key.removesuffix("?")
            if name in value:
                yield from _wrong(value[name], inner, f"{where}.{name}")
            elif name == key:
                yield f"{where} lacks {key}"
    elif isinstance(form, Each):
        for key, item in value.items():
            yield from _wrong(item, form.form, f"{where}.{key}")
    elif isinstance(form, Row):
        if len(value) != len(form.forms):
            yield f"{where} has {len(value)} values, not {len(form.forms)}"
        for index, (item, inner) in enumerate(zip(value, form.forms, strict=False)):
            yield from _wrong(item, inner, f"{where}[{index}]")
    elif isinstance(form, Shape) and len(value) > _AXES:
        yield f"{where} has {len(value)} axes; at most {_AXES} are read"
    else:
        inner = form[0] if isinstance(form, list) else Maybe(SIZE) if form.free else SIZE
        for index, item in enumerate(value):
            yield from _wrong(item, inner, f"{where}[{index}]")


def _wrong_model(manifest: Mapping[str, Any]) -> Iterator[str]:
    model, probes = manifest["model"], manifest["probes"]
    yield from _wrong_layers(model["graph"], "manifest.model.graph")
    for index, entry in enumerate(manifest["arrays"]):
        if "role" in entry and "layer" not in entry:
            yield f"manifest.arrays[{index}] has a role, and lacks layer"
    for side in ("inputs", "outputs"):
        for index, row in enumerate(probes["sets"]):
            if len(row[side]) != len(model[side]):
                yield f"manifest.probes.sets[{index}].{side} has {len(row[side])} arrays, and the model {len(model[side])}"
    if model["training"].get("optimizer") and not {"state", "slots", "scalars", "reasons"} <= set(model["training"]):
        yield "manifest.model.training has an optimizer, and lacks one of state, slots, scalars and reasons"


def _wrong_layers(graph: Mapping[str, Any], where: str) -> Iterator[str]:
    """Names that stand twice in a graph, and tensors of calls that are not there; those of nested graphs as well."""
    calls = {layer["name"]: len(layer["calls"]) for layer in graph["layers"]}
    if len(calls) != len(graph["layers"]):
        yield f"{where}.layers: two layers have the same name"
    for side in ("inputs", "outputs"):
        yield from _wrong_tensors(graph[side], calls, f"{where}.{side}")
    for index, layer in enumerate(graph["layers"]):
        here = f"{where}.layers[{index}]"
        for number, call in enumerate(layer["calls"]):
            yield from _wrong_tensors(call["inputs"], calls, f"{here}.calls[{number}].inputs")
        for key in ("graph", "wrapped"):
            if key in layer:
                yield from _wrong_layers(layer[key], f"{here}.{key}")


def _wrong_tensors(tensors: Collection[Any], calls: Mapping[str, int], where: str) -> Iterator[str]:
    for index, (name, call, _) in enumerate(tensors):
        if call >= calls.get(name, 0):
            yield f"{where}[{index}] names call {call} of the layer {name}, which is not there"


def _wrong_graph(manifest: Mapping[str, Any]) -> Iterator[str]:
    model, signatures = manifest["model"], manifest["model"]["signatures"]
    if not signatures:
        yield "manifest.model.signatures is empty"
    for row in manifest["probes"]["sets"]:
        if row["signature"] not in signatures:
            yield f"manifest.probes.sets: {row['name']} is for {row['signature']}, which is no signature"
            continue
        for side in ("inputs", "outputs"):
            for name in sorted(set(signatures[row["signature"]][side]) - set(row[side])):
                yield f"manifest.probes.sets: {row['name']} for {row['signature']} lacks {name} among its {side}"
    if model["graph"] != "graphs/graph.json":
        yield "manifest.model.graph names another file than graphs/graph.json"
    for row in model["assets"]:
        if row["file"] != Path(row["file"]).name or row["file"] in ("", ".", ".."):
            yield f"manifest.model.assets: {row['file']!r} is no file name"
