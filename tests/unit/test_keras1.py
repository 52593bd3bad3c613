"""Configs of Keras 1 that Keras 2 no longer understands."""

from __future__ import annotations

from typing import Any

import pytest
from test_dialects_core import entry, translate
from test_dialects_rebuilt import classes

from harness.worker.tfworker.keras1 import respell


def layer(class_name: str, name: str, **config: Any) -> dict[str, Any]:
    return {"class_name": class_name, "config": {"name": name, **config}}


def merge(mode: str, name: str = "m", **config: Any) -> dict[str, Any]:
    return layer("Merge", name, mode=mode, mode_type="raw", concat_axis=1, dot_axes=[2, 1], **config)


@pytest.mark.parametrize(
    ("mode", "class_name", "more"),
    [
        ("sum", "Add", {}),
        ("mul", "Multiply", {}),
        ("ave", "Average", {}),
        ("max", "Maximum", {}),
        ("concat", "Concatenate", {"axis": 1}),
        ("dot", "Dot", {"axes": [2, 1]}),
    ],
)
def test_a_merge_is_the_layer_of_its_mode(mode: str, class_name: str, more: dict[str, Any]) -> None:
    found, notes = respell(merge(mode), None)
    assert found == {"class_name": class_name, "config": {"name": "m", **more}}
    assert notes


def test_a_merge_that_is_code_or_has_no_layer_stays() -> None:
    for kept in (merge("cos"), {**merge("sum"), "config": {**merge("sum")["config"], "mode_type": "lambda"}}):
        assert respell(kept, "1.2.2") == (kept, [])


def test_other_layers_of_keras_1() -> None:
    found, notes = respell(
        [
            layer("Embedding", "e", input_dtype="int32", input_dim=9),
            layer("TimeDistributedDense", "t", output_dim=3, input_length=None),
            layer("AtrousConvolution2D", "a", nb_filter=2, atrous_rate=[2, 2]),
        ],
        None,
    )
    assert found == [
        layer("Embedding", "e", input_dim=9),
        layer("Dense", "t", output_dim=3),
        layer("Convolution2D", "a", nb_filter=2, dilation_rate=[2, 2]),
    ]
    assert len(notes) == 2


def test_files_of_keras_2_are_left_alone() -> None:
    assert respell(merge("sum"), "2.0.4") == (merge("sum"), [])


def branch(name: str, *more: dict[str, Any]) -> dict[str, Any]:
    first = layer("Dense", name, batch_input_shape=[None, 6], input_dtype="float32", output_dim=4)
    return {"class_name": "Sequential", "config": [first, *more]}


def test_a_sequential_over_a_merge_is_a_functional_model() -> None:
    head = merge("concat", layers=[branch("a"), branch("b", layer("Dropout", "drop", p=0.5))])
    found, _ = respell({"class_name": "Sequential", "config": [head, layer("Dense", "c", output_dim=2)]}, None)
    assert found["class_name"] == "Model"
    nodes = {entry["name"]: entry["inbound_nodes"] for entry in found["config"]["layers"]}
    assert list(nodes) == ["a_input", "a", "b_input", "b", "drop", "m", "c"]
    assert nodes["m"] == [[["a", 0, 0], ["drop", 0, 0]]]
    assert nodes["c"] == [[["m", 0, 0]]]
    assert found["config"]["input_layers"] == [["a_input", 0, 0], ["b_input", 0, 0]]
    assert found["config"]["output_layers"] == [["c", 0, 0]]
    assert found["config"]["layers"][5]["class_name"] == "Concatenate"


def test_a_branch_that_is_used_twice_is_left_to_be_refused() -> None:
    same = {"class_name": "Sequential", "config": [merge("sum", layers=[branch("a"), branch("a")])]}
    assert respell(same, None)[0]["class_name"] == "Sequential"


def test_maxout_and_highway_are_rebuilt() -> None:
    maxout = entry("x1", "MaxoutDense", output_dim=4, nb_feature=3, bias=True)
    maxout["calls"][0]["input_specs"] = [[[None, 5], "float32"]]
    done = translate(maxout, old="keras-2.2", weights=[("x1", "W", [3, 5, 4]), ("x1", "b", [3, 4])])
    assert classes(done, "x1") == ["EinsumDense", "Max"]
    assert [move["role"] for move in done.weights.values()] == ["kernel", "bias"]

    roles = [("W", [5, 5]), ("b", [5]), ("W_carry", [5, 5]), ("b_carry", [5])]
    highway = entry("h", "Highway", activation="tanh", bias=True)
    done = translate(highway, old="keras-2.2", weights=[("h", role, shape) for role, shape in roles])
    assert classes(done, "h") == ["Dense", "Dense", "Rescaling", "Multiply", "Multiply", "Add"]
    assert [move["layer"][-1] for move in done.weights.values()] == ["value", "value", "gate", "gate"]
