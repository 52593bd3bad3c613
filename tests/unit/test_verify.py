"""From recorded and replayed arrays to evidence, and the first layer that differs."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.bundle import Bundle
from harness.verify import Evidence, LayerResult, judge
from harness.verify.compare import Comparison
from harness.worker.tfworker.arrays import ArrayReader, ArrayWriter

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "bundles" / "v1-small"
Change = Callable[[str, Any], Any]


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    shutil.copytree(GOLDEN, tmp_path / "bundle")
    return Bundle.open(tmp_path / "bundle")


def replay(bundle: Bundle, tmp_path: Path, change: Change, shapes: Any = None) -> Evidence:
    """The evidence of a replay that gave what was recorded, but for ``change``, which may drop arrays (None)."""
    reader, entries = bundle.arrays, []
    with ArrayWriter(str(tmp_path / "outputs.npz")) as writer:
        for entry in bundle.manifest["arrays"]:
            if "/outputs/" in entry["name"] or entry["name"].startswith("layer/"):
                value = change(entry["name"], np.array(reader.get(entry["name"])))
                if value is not None:
                    entries.append(writer.add(entry["name"], value))
    return judge(bundle, ArrayReader(str(tmp_path), entries), shapes or {}, form="keras")


def record(bundle: Bundle, *path: str) -> str:
    """Array name of a layer's first recorded call."""
    return next(str(r["array"]) for r in bundle.manifest["probes"]["layers"]["records"] if r["path"] == list(path))


def test_what_was_recorded_agrees_with_itself(bundle: Bundle, tmp_path: Path) -> None:
    evidence = replay(bundle, tmp_path, lambda name, array: array)
    assert evidence.ok
    assert evidence.first_divergent is None
    sets, outputs = bundle.manifest["probes"]["sets"], bundle.manifest["model"]["outputs"]
    assert [c.name for c in evidence.outputs] == [f"{s['name']}/{o['name']}" for o in outputs for s in sets]
    assert len(evidence.layers) == len(bundle.manifest["probes"]["layers"]["records"])


def test_one_changed_output_of_one_probe_is_enough(bundle: Bundle, tmp_path: Path) -> None:
    changed = bundle.manifest["probes"]["sets"][-1]["outputs"][1]
    evidence = replay(bundle, tmp_path, lambda name, array: array + 1e-3 if name == changed else array)
    assert not evidence.ok
    (bad,) = [c for c in evidence.outputs if not c.ok]
    assert (
        bad.name == f"{bundle.manifest['probes']['sets'][-1]['name']}/{bundle.manifest['model']['outputs'][1]['name']}"
    )


def test_a_missing_output_is_no_agreement(bundle: Bundle, tmp_path: Path) -> None:
    changed = bundle.manifest["probes"]["sets"][0]["outputs"][0]
    evidence = replay(bundle, tmp_path, lambda name, array: None if name == changed else array)
    assert not evidence.ok
    (bad,) = [c for c in evidence.outputs if not c.ok]
    assert str(bad.reason).startswith("shape expected [")


def test_swapped_outputs_are_found(bundle: Bundle, tmp_path: Path) -> None:
    def swap(name: str, array: Any) -> Any:
        if "/outputs/" not in name:
            return array
        other = name[:-1] + ("1" if name.endswith("0") else "0")
        return np.array(bundle.arrays.get(other))

    assert not any(c.ok for c in replay(bundle, tmp_path, swap).outputs)


def test_the_first_layer_in_the_order_of_the_graph_is_named(bundle: Bundle, tmp_path: Path) -> None:
    bad = {record(bundle, name) for name in ("lstm", "joined", "score")}
    evidence = replay(bundle, tmp_path, lambda name, array: array + 0.5 if name in bad else array)
    first = evidence.first_divergent
    assert first is not None
    assert (first.layer, first.class_name, first.call) == ("lstm", "LSTM", 0)


def test_a_nested_model_is_looked_into(bundle: Bundle, tmp_path: Path) -> None:
    bad = {record(bundle, "inner"), record(bundle, "inner", "norm"), record(bundle, "joined")}
    evidence = replay(bundle, tmp_path, lambda name, array: array + 0.5 if name in bad else array)
    first = evidence.first_divergent
    assert first is not None
    assert (first.layer, first.class_name) == ("inner/norm", "BatchNormalization")


def test_a_sampled_layer_of_another_full_shape_differs(bundle: Bundle, tmp_path: Path) -> None:
    name = record(bundle, "lstm")
    evidence = replay(bundle, tmp_path, lambda _, array: array, {name: [3, 99]})
    first = evidence.first_divergent
    assert first is not None
    assert first.comparison.reason == "shape expected [3, 3], found [3, 99]"


def result(layer: str, *, ok: bool) -> LayerResult:
    comparison = Comparison(
        name=layer, shape=(1,), dtype="float32", max_abs=0.0, max_rel=0.0, max_ulp=0, tolerance=0.0, ok=ok
    )
    return LayerResult(layer=layer, class_name="Dense", call=0, comparison=comparison, sampled=1)


def first(*results: LayerResult) -> str | None:
    evidence = Evidence(format="keras", outputs=(), layers=results)
    return evidence.first_divergent.layer if evidence.first_divergent else None


def test_the_innermost_of_several_nested_models_is_named() -> None:
    rows = [result("a", ok=True), result("b", ok=False), result("z", ok=False), result("b/c", ok=False)]
    assert first(*rows, result("b/c/d", ok=True), result("b/c/e", ok=False)) == "b/c/e"
    assert first(*rows) == "b/c"
    assert first(result("a", ok=True)) is None


def test_a_layer_whose_name_starts_alike_is_not_inside() -> None:
    assert first(result("block", ok=False), result("block_2/dense", ok=False)) == "block"
