"""The target's model in float64: the same config and the loaded weights, for the probes that the source computed so too.

Part of the operation ``replay``. Arrays are named ``double/`` and the name of the float32 one.
"""

from typing import Any, Dict, List

import numpy as np

from . import compat, compat_target, exact
from .arrays import ArrayWriter
from .roles import roles_of


def replay_exact(keras: Any, model: Any, manifest: Dict[str, Any], reader: Any, request: Dict[str, Any]) -> Any:
    """({"skipped": why nothing was computed, or null}, index entries of the arrays written to ``request["double"]``)."""
    told = {"skipped": None}  # type: Dict[str, Any]
    with exact.reasons(told, "the target"):
        config, kind = exact.config_of(keras, model), type(model)
        held = roles_of(model)
        values = dict(zip([name for name, _ in held], compat_target.values(keras, [v for _, v in held])))
        with exact.in_float64(keras), ArrayWriter(request["double"]) as writer:
            live = exact.build(keras, kind, config)
            exact.assign(keras, live, values)
            return told, _run(keras, live, manifest, exact.Reader(reader), _Prefixed(writer), request)
    return told, []


def _run(keras: Any, model: Any, manifest: Any, reader: Any, writer: Any, request: Any) -> List[Dict[str, Any]]:
    from .replay import Layers, Renamed, runner, served  # replay uses this module

    eager, entries = bool(request.get("eager")), []  # type: bool, List[Dict[str, Any]]
    single = exact.single_tensors(list(model.outputs), ["%d" % i for i, _ in enumerate(model.outputs)])
    if single:
        raise exact.Skipped("output %s of the target stays in float32: a cast inside leads there" % ", ".join(single))
    if request.get("beside"):
        path = request["double"] + ".saved_model"
        compat_target.save(keras, model, "saved_model", path)
        inputs = [dict(spec, dtype=_wide(spec["dtype"])) for spec in manifest["model"]["inputs"]]
        run = served(compat_target.serving(keras, path, None), {"inputs": inputs}, None)
    else:
        run = runner(keras, model, manifest["model"], eager)
    for row in manifest["probes"]["sets"]:
        if not row.get("continues"):
            compat.reset_states(model)
        outputs = run([reader.get(name) for name in row["inputs"]])
        for index, value in enumerate(outputs):
            entries.append(writer.add("probe/%s/outputs/%d" % (row["name"], index), np.asarray(value)))
    if request.get("layers"):
        own = recorded(manifest)
        layers = Layers(keras, own, reader, writer, entries, eager, Renamed(request.get("renamed", ())))
        if own["probes"]["layers"]["records"]:
            entries, _ = layers.replay(model)
    return entries


def recorded(manifest: Dict[str, Any]) -> Dict[str, Any]:
    """The manifest with those layers only that the source has recorded in float64."""
    there = {entry["name"] for entry in manifest["arrays"]}
    layers = manifest["probes"]["layers"]
    records = [row for row in layers["records"] if exact.PREFIX + row["array"] in there]
    return dict(manifest, probes=dict(manifest["probes"], layers=dict(layers, records=records)))


def _wide(dtype: str) -> str:
    return "float64" if dtype == "float32" else dtype


class _Prefixed(object):
    """A writer that puts every array behind the prefix."""

    def __init__(self, writer: ArrayWriter) -> None:
        self.writer = writer

    def add(self, name: str, array: Any) -> Dict[str, Any]:
        """Append an array and return its index entry."""
        return self.writer.add(exact.PREFIX + name, array)
