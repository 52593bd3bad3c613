"""Configs that a Keras version writes and cannot read again."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from harness.worker.tfworker import compat
from harness.worker.tfworker.repair import repair, restore_axes


def sequential(*layers: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    entries = [{"class_name": name, "config": config} for name, config in layers]
    return {"class_name": "Sequential", "config": {"name": "s", "layers": entries}}


@pytest.mark.parametrize(
    ("class_name", "kernel", "expected"),
    [
        ("Dense", (6, 3), [None, 6]),
        ("LSTM", (5, 16), [None, None, 5]),
        ("Conv2D", (3, 3, 4, 8), [None, None, None, 4]),
        ("Embedding", (9, 3), [None, None]),
    ],
)
def test_an_input_that_was_left_out_is_told_from_the_weights(class_name: str, kernel: Any, expected: Any) -> None:
    stored = [("first", [np.zeros(kernel, "float64"), np.zeros(3, "float64")])]
    config, notes = repair(sequential(("Dropout", {"rate": 0.1}), (class_name, {})), stored)
    head = config["config"]["layers"][0]["config"]
    assert head["batch_input_shape"] == expected
    assert head.get("dtype") == (None if class_name == "Embedding" else "float64")
    assert "told from the weights of first" in notes[0]


@pytest.mark.parametrize(
    "config",
    [
        sequential(("Dense", {"batch_input_shape": [None, 4, 6]})),
        sequential(("Flatten", {}), ("Dense", {})),
        sequential(("Conv2D", {"data_format": "channels_first"})),
    ],
)
def test_what_is_known_or_cannot_be_told_is_left_alone(config: dict[str, Any]) -> None:
    assert repair(config, [("first", [np.zeros((6, 3))])]) == (config, [])


def test_the_axes_of_virtual_batches_are_counted_back() -> None:
    layers = [("BatchNormalization", {"axis": [3], "virtual_batch_size": 2}), ("BatchNormalization", {"axis": [3]})]
    found = restore_axes(sequential(*layers))["config"]["layers"]
    assert [entry["config"]["axis"] for entry in found] == [[2], [3]]


def test_another_name_of_the_same_distribution() -> None:
    config = {"class_name": "VarianceScaling", "config": {"distribution": "truncated_normal"}}
    repaired, notes = repair(config)
    assert repaired["config"]["distribution"] == "normal"
    assert notes


@pytest.mark.parametrize(
    ("version", "config", "expected"),
    [
        ("1.14.0", {"name": "a"}, ["a (class Attention): causal and use_scale, which TF 1.14 does not write"]),
        ("1.15.5", {"name": "a", "causal": False, "use_scale": True}, []),
        ("2.15.1", {"name": "a", "use_scale": True}, []),
    ],
)
def test_arguments_that_the_file_never_had_are_named(
    monkeypatch: pytest.MonkeyPatch, version: str, config: dict[str, Any], expected: list[str]
) -> None:
    monkeypatch.setattr(compat, "import_tensorflow", lambda: SimpleNamespace(__version__=version))
    assert compat.unsaved_arguments("a", {"class_name": "Attention", "config": config}) == expected
