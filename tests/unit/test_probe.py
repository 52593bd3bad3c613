"""Probe inputs respect each input's domain and repeat exactly."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from harness.worker.tfworker import probe

REAL = {"below": None, "masks": False, "mask_value": None}
SETS = [row[0] for row in probe.SETS]
LENGTHS = probe.LENGTHS[0]


def entry(name: str, class_name: str, *inputs: str, **config: Any) -> dict[str, Any]:
    calls = [{"inputs": [[i, 0, 0] for i in inputs], "kwargs": {}}]
    return {"name": name, "class_name": class_name, "config": config, "calls": calls}


def domain(*layers: dict[str, Any]) -> Any:
    graph = {"layers": [entry("x", "InputLayer"), *layers], "inputs": [["x", 0, 0]], "outputs": []}
    (found,) = probe.domains(graph)
    return found


def test_ids_stay_below_the_vocabulary_behind_layers_that_pass_them_on() -> None:
    found = domain(entry("r", "Reshape", "x"), entry("e", "Embedding", "r", input_dim=9, mask_zero=True))
    assert found == {"below": 9, "masks": True, "mask_value": None}


def test_the_smallest_vocabulary_of_several_readers_counts() -> None:
    found = domain(entry("a", "Embedding", "x", input_dim=9), entry("b", "Embedding", "x", input_dim=5))
    assert found["below"] == 5


def test_the_vocabulary_behind_another_layer_does_not_count() -> None:
    assert domain(entry("d", "Dense", "x"), entry("e", "Embedding", "d", input_dim=9)) == REAL


def test_vocabularies_inside_wrappers_and_nested_models_count() -> None:
    wrapped = {"class_name": "Embedding", "config": {"input_dim": 4}}
    assert domain(entry("t", "TimeDistributed", "x", layer=wrapped))["below"] == 4
    inner = {"layers": [entry("i", "InputLayer"), entry("e", "Embedding", "i", input_dim=6)], "inputs": [["i", 0, 0]]}
    assert domain({**entry("n", "Model", "x"), "graph": inner})["below"] == 6


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("below", [1, 2, 50])
@pytest.mark.parametrize("masks", [False, True])
def test_every_id_is_in_the_vocabulary(name: str, below: int, masks: bool) -> None:
    spec = {"shape": [None, 6], "dtype": "int32"}
    ids = probe.make(name, spec, {"below": below, "masks": masks, "mask_value": None}, LENGTHS, 0)
    assert ids.dtype == np.int32
    assert ids.min() >= 0
    assert ids.max() < below


@pytest.mark.parametrize("name", SETS)
def test_no_row_is_masked_whole_and_padding_stands_behind(name: str) -> None:
    spec = {"shape": [None, 8], "dtype": "int32"}
    ids = probe.make(name, spec, {"below": 50, "masks": True, "mask_value": None}, LENGTHS, 0)
    for row in ids:
        kept = row != 0
        assert kept.any()
        assert (np.diff(kept.astype(int)) <= 0).all()


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int32", "uint8", "bool", "string"])
def test_probes_repeat_exactly_and_have_the_declared_shape(name: str, dtype: str) -> None:
    spec = {"shape": [None, None, 3], "dtype": dtype}
    first, again = (probe.make(name, spec, REAL, LENGTHS, 0) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert first.shape[0] == probe.SETS[SETS.index(name)][1]
    assert first.shape[1] == LENGTHS[probe.SETS[SETS.index(name)][2]]
    assert first.dtype == (object if dtype == "string" else np.dtype(dtype))


def test_a_fixed_batch_size_is_kept() -> None:
    assert probe.make("normal", {"shape": [4, 2], "dtype": "float32"}, REAL, LENGTHS, 0).shape == (4, 2)


def test_two_inputs_never_get_the_same_numbers() -> None:
    spec = {"shape": [None, 20], "dtype": "float32"}
    first, second = (probe.make("normal", spec, REAL, LENGTHS, position) for position in (0, 1))
    assert (first != second).all()


def test_wide_numbers_cross_the_knees_of_every_activation() -> None:
    values = probe.make("wide", {"shape": [None, 500], "dtype": "float32"}, REAL, LENGTHS, 0)
    assert values.min() < -6 < 6 < values.max()  # relu6 and hard_sigmoid end at 6 and 3


def test_a_masking_layer_meets_its_own_value() -> None:
    spec = {"shape": [None, 6, 2], "dtype": "float32"}
    values = probe.make("normal", spec, {"below": None, "masks": True, "mask_value": -1.0}, LENGTHS, 0)
    assert (values[1, -2:] == -1.0).all()
    assert (values[0] != -1.0).all()


def test_virtual_batches_divide_the_number_of_examples() -> None:
    layers = [
        entry("x", "InputLayer"),
        *[entry(n, "BatchNormalization", "x", virtual_batch_size=s) for n, s in (("a", 4), ("b", 2))],
    ]
    rows = probe.multiple({"layers": layers, "inputs": [["x", 0, 0]], "outputs": []})
    assert rows == 4
    assert probe.make("normal", {"shape": [None, 2], "dtype": "float32"}, REAL, LENGTHS, 0, rows).shape == (12, 2)
