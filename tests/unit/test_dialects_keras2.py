"""Keras 2 as the target: what the steps mark is built in its own pieces, and nothing of Keras 3 gets in."""

from __future__ import annotations

import json
from typing import Any

import pytest

from harness import dialects
from harness.dialects import Translation
from harness.dialects.names import without_slashes

SOURCE = "tf1.12"


def translate(
    class_name: str,
    config: dict[str, Any],
    *specs: list[Any],
    old: str = SOURCE,
    new: str = "tf2.15",
    masked: bool = False,
    weights: tuple[str, ...] = (),
    dtype: str = "float32",
    hard_sigmoid: str = "pin",
) -> Translation:
    """One layer on one or more inputs, behind a Masking if it is to be masked."""
    specs = specs or ([None, 6, 5],)
    inputs = [
        {
            "name": f"x{i}", "class_name": "InputLayer", "calls": [{"inputs": [], "kwargs": {}}],
            "config": {"name": f"x{i}", "batch_input_shape": shape, "dtype": "float32", "sparse": False},
        }
        for i, shape in enumerate(specs)
    ]  # fmt: skip
    given = [[f"x{i}", 0, 0] for i in range(len(specs))]
    before = []
    if masked:
        call = {"inputs": given, "kwargs": {}, "input_specs": [[specs[0], "float32"]]}
        before = [{"name": "m", "class_name": "Masking", "config": {"name": "m", "mask_value": 0.0}, "calls": [call]}]
        given = [["m", 0, 0]]
    call = {"inputs": given, "kwargs": {}, "input_specs": [[shape, dtype] for shape in specs]}
    layer = {"name": "l", "class_name": class_name, "config": {"name": "l", **config}, "calls": [call]}
    graph = {
        "name": "net", "kind": "functional", "layers": [*inputs, *before, layer],
        "inputs": [[f"x{i}", 0, 0] for i in range(len(specs))], "outputs": [["l", 0, 0]],
    }  # fmt: skip
    arrays = [{"name": f"l/{r}", "layer": ["l"], "role": r, "shape": [3], "dtype": "float32"} for r in weights]
    return dialects.translate(graph, arrays, old, new, {"hard_sigmoid": hard_sigmoid})


def made(done: Translation) -> dict[str, Any]:
    assert done.obstacles == ()
    return dict(done.graph["layers"][-1])


def classes(done: Translation) -> list[str]:
    return [layer["class_name"] for layer in made(done)["graph"]["layers"] if layer["class_name"] != "InputLayer"]


LSTM = {"units": 2, "activation": "tanh", "recurrent_activation": "hard_sigmoid", "return_sequences": True}


@pytest.mark.parametrize("new", ["tf2.3", "tf2.15"])
def test_hard_sigmoid_stays_what_it_is(new: str) -> None:
    layer = made(translate("LSTM", LSTM, new=new))
    assert (layer["class_name"], layer["config"]["recurrent_activation"]) == ("LSTM", "hard_sigmoid")


def test_objects_have_no_module() -> None:
    config = {"units": 2, "kernel_initializer": {"class_name": "Constant", "config": {"value": 1, "verify_shape": False}},
              "kernel_regularizer": {"class_name": "L1L2", "config": {"l1": {"type": "ndarray", "value": 0.5}, "l2": 0.0}},
              "kernel_constraint": {"class_name": "RadialConstraint", "config": {}}}  # fmt: skip
    found = made(translate("Dense", config))["config"]
    assert found["kernel_initializer"] == {"class_name": "Constant", "config": {"value": 1}}
    assert found["kernel_regularizer"] == {"class_name": "L1L2", "config": {"l1": 0.5, "l2": 0.0}}
    assert found["kernel_constraint"] == {"class_name": "RadialConstraint", "config": {}}
    assert "module" not in json.dumps(found)


def test_a_masked_bidirectional_of_old_keeps_its_masked_steps() -> None:
    config = {"layer": {"class_name": "LSTM", "config": {"name": "i", **LSTM}}, "merge_mode": "concat"}
    assert classes(translate("Bidirectional", config, masked=True)) == ["LSTM", "LSTM", "Flip", "Concatenate"]
    assert made(translate("Bidirectional", config))["class_name"] == "Bidirectional"
    assert made(translate("Bidirectional", config, masked=True, old="tf1.15"))["class_name"] == "Bidirectional"
    alone = translate("Bidirectional", {**config, "merge_mode": None}, masked=True)
    assert classes(alone) == ["LSTM", "LSTM", "Flip"]
    assert made(alone)["mask_rule"] == "same"


def test_a_last_output_that_was_zero_where_it_is_masked_stays_so() -> None:
    config = {"layer": {"class_name": "LSTM", "config": {"name": "i", **LSTM, "return_sequences": False}}}
    done = translate("Bidirectional", {**config, "merge_mode": "concat"}, masked=True, old="tf1.13")
    assert classes(done) == ["LSTM", "LSTM", "Take", "Take", "Concatenate"]
    inner = [layer["config"] for layer in made(done)["graph"]["layers"] if layer["class_name"] == "LSTM"]
    assert all(c["zero_output_for_mask"] and c["return_sequences"] for c in inner)


def test_a_threshold_below_zero_is_computed() -> None:
    done = translate("ReLU", {"max_value": 6.0, "negative_slope": 0.5, "threshold": -0.5}, old="tf1.15")
    assert classes(done) == ["Greater", "Multiply", "Clip", "Rescaling", "ReLU", "Rescaling", "Subtract"]


def test_states_of_stacked_cells_are_put_into_order() -> None:
    cells = [{"class_name": name, "config": {"name": name, "units": 2}} for name in ("LSTMCell", "GRUCell")]
    config = {"cell": {"class_name": "StackedRNNCells", "config": {"cells": cells}}, "return_state": True}
    done = translate("RNN", config, [None, 5, 3], old="keras-2.1")
    graph = made(done)["graph"]
    assert [output[2] for output in graph["outputs"]] == [0, 3, 1, 2]
    assert "module" not in json.dumps(graph)
    given = translate("RNN", config, [None, 5, 3], [None, 2], [None, 2], [None, 2], old="keras-2.1")
    assert [o.reason for o in given.obstacles] == ["stacked LSTM cells that are given their first states"]


def test_pools_of_keras_2_1_compute_in_float32() -> None:
    spec = {"pool_size": [2, 2]}
    assert (
        made(translate("MaxPooling2D", spec, [None, 4, 4, 1], old="keras-2.1", dtype="float64"))["config"]["dtype"]
        == "float32"
    )
    assert (
        made(translate("MaxPooling2D", spec, [None, 4, 4, 1], old="keras-2.2", dtype="float64"))["config"]["dtype"]
        == "float64"
    )


RANK4 = ([None, 2, 3, 4], [None, 2, 4, 5])


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ("tf1.15", "tf2.3", ["Matmul"]),
        ("tf1.15", "tf2.15", ["Matmul"]),
        ("keras-2.2", "tf2.15", ["Matmul"]),
        ("keras-2.3", "tf2.15", "Dot"),  # an outer product on both sides
        ("keras-2.3", "tf2.3", "Dot"),
        ("tf2.3", "keras-3", "Dot"),
    ],
)
def test_dot_of_high_rank_is_what_the_source_meant(old: str, new: str, found: Any) -> None:
    done = translate("Dot", {"axes": [3, 2], "normalize": False}, *RANK4, old=old, new=new)
    assert (classes(done) if isinstance(found, list) else made(done)["class_name"]) == found
    if found == "Dot":
        assert made(done)["config"]["axes"] == [3, 2]
        assert set(made(done)["config"]) <= {"name", "axes", "normalize"}


@pytest.mark.parametrize(("old", "new"), [("tf1.15", "tf2.15"), ("tf2.3", "keras-3")])
def test_a_softmax_that_ignored_masks_goes_on_doing_so(old: str, new: str) -> None:
    assert classes(translate("Softmax", {"axis": -1}, old=old, new=new, masked=True)) == ["Activation"]


@pytest.mark.parametrize(("old", "new"), [("tf1.15", "tf2.3"), ("tf2.15", "keras-3"), ("tf2.15", "tf2.15")])
def test_a_softmax_between_versions_that_agree_stays(old: str, new: str) -> None:
    layer = made(translate("Softmax", {"axis": -1}, old=old, new=new, masked=True))
    assert (layer["class_name"], layer["config"]["axis"]) == ("Softmax", -1)


def test_causal_attention_is_asked_for_at_the_call_since_it_would_be_lost_in_saving() -> None:
    done = translate("Attention", {"causal": True, "use_scale": False}, [None, 6, 5], [None, 6, 5], old="tf1.15")
    assert made(done)["calls"][0]["kwargs"] == {"use_causal_mask": True}
    assert "causal" not in made(done)["config"]
    kept = translate("Attention", {"causal": True}, [None, 6, 5], [None, 6, 5], old="tf1.15", new="tf2.3")
    assert made(kept)["config"]["causal"] is True


@pytest.mark.parametrize(("new", "epsilon"), [("tf2.3", 1e-6), ("tf2.15", 1.001e-5), ("keras-3", 1.001e-5)])
def test_the_smallest_epsilon_of_the_fused_kernel_is_written_where_there_is_none(new: str, epsilon: float) -> None:
    config = {"axis": [3], "epsilon": 1e-6, "momentum": 0.9, "center": True, "scale": True}
    assert made(translate("BatchNormalization", config, [None, 4, 4, 2], new=new))["config"]["epsilon"] == epsilon


def test_an_activation_without_a_name_there_stands_behind_its_layer() -> None:
    done = translate("Dense", {"units": 2, "activation": "relu6"}, weights=("kernel", "bias"))
    assert classes(done) == ["Dense", "Relu6"]
    assert done.weights["l/kernel"]["layer"] == ["l", "linear"]
    (obstacle,) = translate("LSTM", {**LSTM, "activation": "relu6"}).obstacles
    assert obstacle.reason == "activation: the activation 'relu6' is not one of this Keras"


@pytest.mark.parametrize("form", ['{"name": "a", "op": "%s"}', 'name: "a"\nop: "%s"\n'])
def test_only_operations_that_compute_stay_as_layers(form: str) -> None:
    assert translate("TensorFlowOpLayer", {"node_def": form % "Square", "constants": {}}, old="tf1.15").obstacles == ()
    for bad in ("WriteFile", "PyFunc", "ReadVariableOp", "SquareAndWriteFile"):
        (obstacle,) = translate("TensorFlowOpLayer", {"node_def": form % bad, "constants": {}}, old="tf1.15").obstacles
        assert obstacle.reason.startswith(f"the operation {bad} ")
    (obstacle,) = translate("TensorFlowOpLayer", {"node_def": None}, old="tf1.15").obstacles
    assert obstacle.reason.startswith("the operation in it ")


def test_nested_models_lose_the_mask_only_where_one_came_out() -> None:
    inner = {
        "name": "n", "class_name": "Sequential", "config": None, "calls": [{"inputs": [["x", 0, 0]], "kwargs": {}}],
        "graph": {
            "name": "n", "kind": "sequential", "inputs": [["y", 0, 0]], "outputs": [["e", 0, 0]],
            "layers": [
                {"name": "y", "class_name": "InputLayer", "config": {"batch_input_shape": [None, 4]},
                 "calls": [{"inputs": [], "kwargs": {}}]},
                {"name": "e", "class_name": "Embedding", "config": {"input_dim": 5, "output_dim": 2, "mask_zero": True},
                 "calls": [{"inputs": [["y", 0, 0]], "kwargs": {}, "input_specs": [[[None, 4], "float32"]]}]},
            ],
        },
    }  # fmt: skip
    first = {"name": "x", "class_name": "InputLayer", "config": {}, "calls": [{"inputs": [], "kwargs": {}}]}
    graph = {
        "name": "o",
        "kind": "functional",
        "layers": [first, inner],
        "inputs": [["x", 0, 0]],
        "outputs": [["n", 0, 0]],
    }
    for mask, rule in ((True, "none"), (False, None)):
        inner["graph"]["layers"][1]["config"]["mask_zero"] = mask  # type: ignore[index]
        done = dialects.translate(graph, [], "tf1.12", "tf2.15", {})
        assert done.graph["layers"][1].get("mask_rule") == rule


@pytest.mark.parametrize(("old", "kept"), [("tf1.12", False), ("keras-2.3", False), ("tf2.3", True)])
def test_a_bidirectional_carries_no_states_where_it_never_did(old: str, kept: bool) -> None:
    inner = {"class_name": "LSTM", "config": {**LSTM, "stateful": True}}
    done = translate("Bidirectional", {"layer": inner, "merge_mode": "concat"}, [3, 5, 4], old=old, new="keras-3")
    assert done.obstacles == ()
    assert made(done)["config"]["layer"]["config"]["stateful"] is kept


def test_a_layer_below_another_in_a_file_is_renamed() -> None:
    done = without_slashes(["a", "a/b", "c/d", "a_b"], clashing=True)
    assert done == {"a/b": "a_b_2"}


@pytest.mark.parametrize(
    ("shapes", "found"),
    [
        (([None, 5], [None, 5]), ["Add"]),
        (([None, 5], [None, 1]), ["Negative", "Subtract"]),
        (([None, 4], [None, 3, 4]), ["Negative", "Subtract"]),
        (([None, None, 3], [None, 7, 3]), ["Add"]),
    ],
)
def test_a_sum_of_different_shapes_is_no_addition_of_keras_3(shapes: Any, found: list[str]) -> None:
    done = translate("Add", {}, *shapes, old="tf1.15", new="keras-3")
    assert done.obstacles == ()
    assert (classes(done) if found != ["Add"] else [made(done)["class_name"]]) == found
