"""From recorded and replayed arrays to evidence: outputs, layers, and the first layer that differs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from harness.bundle import Bundle
from harness.verify.compare import Comparison, compare
from harness.verify.floor import Floor
from harness.verify.scale import usual_scale
from harness.verify.tolerance import Bounds, rounding_at_one
from harness.worker.tfworker.arrays import ArrayReader


@dataclass(frozen=True, kw_only=True)
class LayerResult:
    """One recorded layer call, compared."""

    layer: str
    class_name: str
    call: int
    comparison: Comparison
    sampled: int
    array: str = ""


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """All comparisons of one replay.

    Attributes:
        format: which saved form was replayed.
        outputs: one comparison per probe set and output, named ``set/output``.
        layers: in the order of the source graph.
        layers_missing: recorded layers that the model does not have under their name.
    """

    format: str
    outputs: tuple[Comparison, ...]
    layers: tuple[LayerResult, ...]
    layers_missing: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether every comparison holds."""
        return all(c.ok for c in self.outputs) and all(r.comparison.ok for r in self.layers)

    @property
    def suspects(self) -> list[str]:
        """Recorded arrays of layers that differ although no output does: rounding that added up, or an accident.

        Where float64 differs as well it is neither.
        """
        if not all(c.ok for c in self.outputs):
            return []
        return [
            r.array
            for r in self.layers
            if not r.comparison.ok and (r.comparison.float64 is None or r.comparison.float64.ok)
        ]

    def settled(self, alone: Evidence) -> Evidence:
        """The evidence with the layers that agree when they are fed the recorded inputs."""
        agreeing = {r.array: r.comparison for r in alone.layers if r.comparison.ok}
        return replace(
            self,
            layers=tuple(
                replace(r, comparison=replace(agreeing[r.array], float64=r.comparison.float64))
                if r.array in agreeing
                else r
                for r in self.layers
            ),
        )

    @property
    def first_divergent(self) -> LayerResult | None:
        """The first layer, in the order of the graph, that differs; inside a nested model where it can be told."""
        bad = [result for result in self.layers if not result.comparison.ok]
        if not bad:
            return None
        first = bad[0]
        while inner := [r for r in bad if r.layer.startswith(first.layer + "/")]:
            first = inner[0]
        return first


def judge(bundle: Bundle, replayed: ArrayReader, shape_of: Mapping[str, Any], *, form: str) -> Evidence:
    """The evidence of one replay of ``bundle``.

    Args:
        replayed: arrays under the bundle's own array names (outputs, and layers where they were asked for).
        shape_of: full shape of each sampled layer array.
        form: name of the saved format, for the report.
    """
    graph = bundle.manifest["model"]["graph"]
    bounds, floor = Bounds(graph), Floor(bundle, replayed)
    return Evidence(
        format=form,
        outputs=tuple(_outputs(bundle, replayed, bounds, floor)),
        layers=tuple(_layers(bundle, replayed, shape_of, bounds, floor)),
    )


def _pair(reader: ArrayReader, name: str, replayed: ArrayReader, found: str) -> tuple[Any, Any, str]:
    """What was recorded, what was replayed (nothing if it is not there), and the dtype; bfloat16 as float32, exactly."""
    expected = reader.get(name)
    got = replayed.get(found) if found in replayed.entries else np.zeros(0)
    dtype = reader.entries[name]["dtype"]
    if dtype != "bfloat16":
        return expected, got, expected.dtype.name
    if found in replayed.entries and replayed.entries[found]["dtype"] == dtype:
        got = _widened(got)
    return _widened(expected), got, dtype


def _widened(array: Any) -> Any:
    """The numbers of a bfloat16 array, which is stored as uint16: the upper halves of float32."""
    return (array.astype(np.uint32) << 16).view(np.float32)


def _outputs(bundle: Bundle, replayed: ArrayReader, bounds: Bounds, floor: Floor) -> list[Comparison]:
    manifest, reader, found = bundle.manifest, bundle.arrays, []
    sets = manifest["probes"]["sets"]
    for index, spec in enumerate(manifest["model"]["outputs"]):
        pairs = {
            s["name"]: _pair(reader, s["outputs"][index], replayed, f"probe/{s['name']}/outputs/{index}") for s in sets
        }
        scale = usual_scale([expected for expected, _, _ in pairs.values()])
        for probe_set in sets:
            expected, got, dtype = pairs[probe_set["name"]]
            bound = bounds.output(index, dtype)
            name = f"{probe_set['name']}/{spec['name']}"
            result = compare(name, expected, got, bound, scale=scale)
            own, its = probe_set["outputs"][index], f"probe/{probe_set['name']}/outputs/{index}"
            found.append(floor.judged(result, own, its, scale, bounds.output(index, "float64")))
    return found


def _layers(
    bundle: Bundle, replayed: ArrayReader, shape_of: Mapping[str, Any], bounds: Bounds, floor: Floor
) -> list[LayerResult]:
    reader, found = bundle.arrays, []
    known = dict(_known(bundle.manifest["model"]["graph"], ()))
    for record in bundle.manifest["probes"]["layers"]["records"]:
        if record["array"] not in replayed.entries:
            continue
        expected, got, dtype = _pair(reader, record["array"], replayed, record["array"])
        where = "/".join(record["path"])
        layer = known.get(tuple(record["path"]), {"class_name": "?"})
        bound = bounds.layer(record["path"], dtype)
        result = compare(where, expected, got, bound, scale=rounding_at_one(layer, dtype, bound))
        if list(shape_of.get(record["array"], record["shape"])) != list(record["shape"]):
            shapes = f"shape expected {record['shape']}, found {shape_of[record['array']]}"
            result = replace(result, ok=False, reason=shapes)
        else:
            double = bounds.layer(record["path"], "float64")
            least = rounding_at_one(layer, "float64", double)
            result = floor.judged(result, record["array"], record["array"], least, double)
        found.append(
            LayerResult(
                layer=where,
                class_name=layer["class_name"],
                call=record["call"],
                comparison=result,
                sampled=record["stride"],
                array=record["array"],
            )
        )
    return found


def _known(graph: Mapping[str, Any], path: tuple[str, ...]) -> list[tuple[tuple[str, ...], Mapping[str, Any]]]:
    found: list[tuple[tuple[str, ...], Mapping[str, Any]]] = []
    for layer in graph["layers"]:
        here = (*path, layer["name"])
        found.append((here, layer))
        if "graph" in layer:
            found.extend(_known(layer["graph"], here))
    return found
