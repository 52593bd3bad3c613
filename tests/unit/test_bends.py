"""Which pieces of activations the recorded layers show."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from harness.verify.bends import activation_of, knees


def bundle(*layers: tuple[dict[str, Any], Any]) -> Any:
    rows = [{"name": f"l{i}", **layer} for i, (layer, _) in enumerate(layers)]
    arrays = {f"a{i}": np.asarray(values) for i, (_, values) in enumerate(layers)}
    records = [{"path": [f"l{i}"], "array": f"a{i}"} for i in range(len(layers))]
    manifest = {"model": {"graph": {"layers": rows}}, "probes": {"layers": {"records": records}}}
    return SimpleNamespace(manifest=manifest, arrays=arrays)


def layer(class_name: str, **config: Any) -> dict[str, Any]:
    return {"class_name": class_name, "config": config}


@pytest.mark.parametrize(
    ("one", "values", "missing"),
    [
        (layer("Dense", activation="relu"), [0.0, 1.0], None),
        (layer("Dense", activation="relu"), [0.5, 1.0], ["at 0"]),
        (layer("Conv2D", activation="relu6"), [0.0, 1.0], ["at 6"]),
        (layer("Activation", activation="hard_sigmoid"), [0.2, 0.8], ["at 0", "at 1"]),
        (layer("ReLU", max_value=3.0, negative_slope=0.1), [-1.0, 1.0, 3.0], None),
        (layer("ReLU", max_value=3.0), [-0.0, 3.0], ["above 0"]),
        (layer("LeakyReLU", alpha=0.3), [1.0], ["below 0"]),
        (layer("Dense", activation="elu"), [np.nan], ["above 0", "below 0"]),
    ],
)
def test_pieces_that_no_value_lies_on_are_named(one: dict[str, Any], values: Any, missing: Any) -> None:
    found = knees(bundle((one, np.array(values, "float32"))))
    assert found is not None
    assert [row["missing"] for row in found["missed"]] == ([missing] if missing else [])
    assert (found["total"], found["crossed"]) == (1, 0 if missing else 1)


@pytest.mark.parametrize(
    "one",
    [
        layer("Dense", activation="tanh"),
        layer("LSTM", activation="relu"),
        layer("ConvLSTM2D", activation="relu"),
        layer("Dense", activation={"class_name": "Function"}),
        layer("Flatten"),
    ],
)
def test_what_has_no_bend_or_does_not_show_it_is_not_counted(one: dict[str, Any]) -> None:
    assert activation_of(one) is None


def test_calls_of_one_layer_count_together_and_half_types_not_at_all() -> None:
    made = bundle(
        (layer("Dense", activation="relu"), [0.0]), (layer("Dense", activation="relu"), np.array([1], "uint16"))
    )
    made.manifest["probes"]["layers"]["records"].append({"path": ["l0"], "array": "a2"})
    made.arrays["a2"] = np.array([2.0])
    assert knees(made) == {"total": 1, "crossed": 1, "missed": []}
    made.manifest["probes"]["layers"]["records"] = []
    assert knees(made) is None
