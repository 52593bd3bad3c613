"""Layers that become small graphs: where their weights go, and what a wrapper may hold."""

from __future__ import annotations

from typing import Any

import pytest
from test_dialects_core import config, entry, translate

DENSE = {"units": 2, "activation": "linear", "use_bias": True}


def wrapped(*layers: dict[str, Any]) -> dict[str, Any]:
    """The graph of a model inside a TimeDistributed, over inputs of one step."""
    first = {
        "name": "y", "class_name": "InputLayer", "calls": [{"inputs": [], "kwargs": {}}],
        "config": {"batch_input_shape": [None, 5], "dtype": "float32", "name": "y"},
    }  # fmt: skip
    for layer in layers:
        layer["calls"][0] = {"inputs": [["y", 0, 0]], "kwargs": {}, "input_specs": [[[None, 5], "float32"]]}
    return {
        "name": "steps", "kind": "functional", "layers": [first, *layers], "inputs": [["y", 0, 0]],
        "outputs": [[layers[-1]["name"], 0, 0]],
    }  # fmt: skip


def distributed(graph: dict[str, Any] | None, **model: Any) -> dict[str, Any]:
    layer = entry("td", "TimeDistributed", layer={"class_name": "Model", "config": {"name": "steps", **model}})
    return {**layer, "wrapped": graph} if graph else layer


def test_a_model_inside_a_wrapper_is_translated_and_keeps_its_weights_there() -> None:
    graph = wrapped(entry("d", "Dense", **DENSE), entry("block/n", "BatchNormalization", axis=[1], epsilon=1e-3))
    weights = [("td", "d/kernel", [5, 2]), ("td", "block/n/gamma", [5])]
    done = translate(distributed(graph), weights=weights)
    inner = config(done, "td")["layer"]
    assert [layer["name"] for layer in inner["graph"]["layers"]] == ["y", "d", "block_n"]
    assert inner["graph"]["layers"][2]["config"]["axis"] == 1
    assert done.weights["td/d/kernel"] == {"layer": ["td"], "role": "d/kernel", "transforms": []}
    assert done.weights["td/block/n/gamma"]["role"] == "block_n/gamma"


def test_a_rule_about_the_weights_holds_inside_a_wrapper_too() -> None:
    graph = wrapped(entry("d", "Dense", **{**DENSE, "activation": "hard_sigmoid"}))
    done = translate(distributed(graph), weights=[("td", "d/kernel", [5, 2])], hard_sigmoid="fold")
    assert [t["op"] for t in done.weights["td/d/kernel"]["transforms"]] == ["scale"]


def test_a_model_that_does_not_know_its_input_is_refused_with_a_way_out() -> None:
    (obstacle,) = translate(distributed(None)).obstacles
    assert "input_shape" in obstacle.remedy


def test_a_mask_over_a_wrapped_model_is_refused() -> None:
    masking = entry("m", "Masking", mask_value=0.0)
    layer = distributed(wrapped(entry("d", "Dense", **DENSE)))
    layer["calls"][0]["inputs"] = [["m", 0, 0]]
    (obstacle,) = translate(masking, layer).obstacles
    assert "mask" in obstacle.reason


def test_a_wrapped_layer_that_became_several_is_held_as_a_model() -> None:
    local = {
        "filters": 3, "kernel_size": [2], "strides": [1], "padding": "valid", "data_format": "channels_last",
        "activation": "linear", "use_bias": True, "implementation": 1, "name": "local",
    }  # fmt: skip
    layer = entry("td", "TimeDistributed", layer={"class_name": "LocallyConnected1D", "config": local})
    layer["calls"][0]["input_specs"] = [[[None, 6, 4, 5], "float32"]]
    done = translate(layer, weights=[("td", "kernel", [3, 10, 3]), ("td", "bias", [3, 3])])
    assert config(done, "td")["layer"]["name"] == "local"
    assert {move["role"] for move in done.weights.values()} == {"product/kernel", "product/bias"}


NORM = {"axis": [2], "epsilon": 1e-3, "momentum": 0.9}


def test_virtual_batches_are_whole_batches_at_inference() -> None:
    layer = entry("n", "BatchNormalization", **{**NORM, "axis": [3]}, virtual_batch_size=2)
    done = translate(layer, weights=[("n", "gamma", [1, 1, 1, 5])])
    found = config(done, "n")
    assert found["axis"] == 2
    assert "virtual_batch_size" not in found
    assert done.weights["n/gamma"]["transforms"] == [{"op": "reshape", "shape": [5]}]
    assert "training" in next(c.why for c in done.ledger if c.what == "virtual_batch_size")


@pytest.mark.parametrize("role", ["moving_stddev", "renorm_stddev"])
def test_renormalisation_finds_every_statistic(role: str) -> None:
    names = ("moving_mean", "moving_variance", "renorm_mean", "renorm_stddev")
    weights = [("n", name, [5]) for name in names] + [("n", f"renorm_{n}_weight", []) for n in ("mean", "stddev")]
    done = translate(entry("n", "BatchNormalization", **NORM, renorm=True), weights=weights)
    (move,) = [move for move in done.weights.values() if move["role"] == role]
    (step,) = move["transforms"]
    assert (step["op"], step["array"]) == {
        "moving_stddev": ("deviation", "n/moving_variance"),
        "renorm_stddev": ("divide_by", "n/renorm_stddev_weight"),
    }[role]
    assert "n/renorm_mean_weight" not in done.weights


def classes(done: Any, name: str) -> list[str]:
    assert done.obstacles == ()
    graph = next(layer["graph"] for layer in done.graph["layers"] if layer["name"] == name)
    return [layer["class_name"] for layer in graph["layers"][1:]]


def test_crelu_stands_behind_its_layer_with_both_signs() -> None:
    done = translate(entry("d", "Dense", **{**DENSE, "activation": "crelu"}), weights=[("d", "kernel", [5, 2])])
    assert classes(done, "d") == ["Dense", "ReLU", "Rescaling", "ReLU", "Concatenate"]
    assert done.weights["d/kernel"]["layer"] == ["d", "linear"]


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, ["Greater", "Multiply"]),
        ({"max_value": 6.0}, ["Greater", "Multiply", "Clip"]),
        ({"negative_slope": 0.1}, ["Greater", "Multiply", "Rescaling", "ReLU", "Rescaling", "Subtract"]),
    ],
)
def test_a_threshold_below_zero_is_spelled_out(more: dict[str, Any], expected: list[str]) -> None:
    assert classes(translate(entry("r", "ReLU", threshold=-0.5, **more)), "r") == expected


def called(layer: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
    layer["calls"][0]["kwargs"] = kwargs
    return layer


def test_normalisation_by_the_batch_is_spelled_out() -> None:
    norm = entry("n", "BatchNormalization", **NORM, scale=True, center=True)
    weights = [("n", role, [5]) for role in ("gamma", "beta", "moving_mean", "moving_variance")]
    done = translate(called(norm, training=True), weights=weights)
    assert classes(done, "n") == ["Mean", "Var", "Rescaling", "Sqrt", "Subtract", "Divide", "EinsumDense"]
    assert {name: (move["layer"][-1], move["role"]) for name, move in done.weights.items()} == {
        "n/gamma": ("affine", "kernel"),
        "n/beta": ("affine", "bias"),
    }
    assert done.graph["layers"][1]["calls"][0]["kwargs"] == {}


def test_random_numbers_at_inference_are_refused() -> None:
    (obstacle,) = translate(called(entry("o", "Dropout", rate=0.5), training=True)).obstacles
    assert "random" in obstacle.reason


def test_a_nested_model_in_the_training_phase_is_refused() -> None:
    nested = {**entry("inner", "Model"), "graph": wrapped(entry("d", "Dense", **DENSE))}
    (obstacle,) = translate(called(nested, training=True)).obstacles
    assert (obstacle.layer, "training=True" in obstacle.reason) == ("inner", True)


def test_states_of_stacked_cells_are_put_in_order() -> None:
    cells = [{"class_name": f"{kind}Cell", "config": {"name": kind, "units": 2}} for kind in ("LSTM", "GRU")]
    layer = entry("r", "RNN", cell={"class_name": "StackedRNNCells", "config": {"cells": cells}}, return_state=True)
    layer["calls"][0] |= {"inputs": [["x", 0, i] for i in range(4)], "input_specs": [[[None, 6, 5], "float32"]] * 4}
    done = translate(layer, old="keras-2.1")
    assert classes(done, "r")[-1] == "RNN"
    graph = next(layer["graph"] for layer in done.graph["layers"] if layer["name"] == "r")
    # Given and returned as GRU, LSTM h, LSTM c; inside as LSTM h, LSTM c, GRU.
    assert [t[0] for t in graph["layers"][-1]["calls"][0]["inputs"]] == ["input_0", "input_2", "input_3", "input_1"]
    assert graph["outputs"] == [["recurrent", 0, i] for i in (0, 3, 1, 2)]


def test_a_constraint_that_is_gone_goes_with_a_note() -> None:
    done = translate(entry("d", "Dense", **DENSE, kernel_constraint={"class_name": "RadialConstraint", "config": {}}))
    assert config(done, "d")["kernel_constraint"] is None
    assert "training" in next(change.why for change in done.ledger if change.what == "kernel_constraint")


@pytest.mark.parametrize(("old", "taken"), [("tf1.12", False), ("tf1.13", True), ("tf1.14", False)])
def test_tf_1_13_alone_gave_zeros_where_the_last_step_is_masked(old: str, taken: bool) -> None:
    masking = entry("m", "Masking", mask_value=0.0)
    inner = {"name": "l", "units": 2, "activation": "tanh", "recurrent_activation": "sigmoid"}
    layer = entry("b", "Bidirectional", layer={"class_name": "LSTM", "config": inner}, merge_mode="concat")
    layer["calls"][0]["inputs"] = [["m", 0, 0]]
    done = translate(masking, layer, old=old)
    assert any("graph" in found for found in done.graph["layers"]) is taken
    if taken:
        assert classes(done, "b") == ["LSTM", "LSTM", "Take", "Take", "Concatenate"]
