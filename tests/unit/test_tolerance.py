"""The only home of numeric slack."""

from __future__ import annotations

from typing import Any

import pytest

from harness.verify.tolerance import EPSILON, RECURRENT_STEPS, Bounds, computed_in, depth, relative_bound


def graph(*layers: tuple[str, int]) -> dict[str, Any]:
    return {"layers": [{"class_name": name, "calls": [{}] * count} for name, count in layers]}


def test_the_bound_grows_with_the_root_of_the_depth() -> None:
    assert relative_bound("float32", 1) == 32 * 2.0**-23
    assert relative_bound("float32", 4) == 2 * relative_bound("float32", 1)


@pytest.mark.parametrize("dtype", ["int32", "bool", "string", "uint8"])
def test_what_is_not_real_has_no_slack(dtype: str) -> None:
    assert relative_bound(dtype, 100) == 0.0


def test_no_slack_hides_a_changed_hard_sigmoid() -> None:
    # The smallest change of meaning seen is 9e-4, in a small model; 100 layers is a large one.
    assert relative_bound("float32", 100) < 9e-4 / 10


def test_narrower_types_round_more() -> None:
    assert EPSILON["bfloat16"] > EPSILON["float16"] > EPSILON["float32"] > EPSILON["float64"]


def test_recurrent_layers_count_their_steps_and_shared_layers_their_calls() -> None:
    assert depth(graph(("InputLayer", 1))) == 1
    assert depth(graph(("InputLayer", 1), ("Dense", 1), ("Dense", 2))) == 3
    assert depth(graph(("LSTM", 1))) == RECURRENT_STEPS


def test_nested_models_count_what_is_inside_for_each_call() -> None:
    nested = {"layers": [{"class_name": "Model", "calls": [{}, {}], "graph": graph(("Dense", 1), ("LSTM", 1))}]}
    assert depth(nested) == 2 * (1 + RECURRENT_STEPS)


def typed(name: str, dtype: Any, *sources: str, **more: Any) -> dict[str, Any]:
    call = {"inputs": [[source, 0, 0] for source in sources], "kwargs": {}}
    return {"name": name, "class_name": "Dense", "config": {"name": name, "dtype": dtype}, "calls": [call], **more}


MIXED = {"class_name": "PolicyV1", "config": {"name": "mixed_float16", "loss_scale": None}}


def test_what_passed_through_half_precision_rounds_as_it_does() -> None:
    model = {
        "layers": [typed("x", "float32"), typed("mixed", MIXED, "x"), typed("behind", "float32", "mixed"), typed("beside", "float32", "x")],
        "outputs": [["behind", 0, 0], ["beside", 0, 0]],
    }  # fmt: skip
    bounds = Bounds(model)
    assert bounds.output(0, "float32") == bounds.layer(["mixed"], "float16") == relative_bound("float16", 4)
    assert bounds.output(1, "float32") == relative_bound("float32", 4)
    assert bounds.output(0, "int32") == 0.0


def test_half_precision_goes_in_and_out_of_nested_models_and_wrappers() -> None:
    wrapper = {"class_name": "Dense", "config": {"dtype": "mixed_bfloat16"}}
    inner = {"layers": [typed("in", "float32"), typed("a", "float32", "in"), typed("b", "float16", "in")]}
    model = {
        "layers": [typed("x", "float32"), typed("nested", None, "x", graph=inner), typed("wrap", "float32", "nested")],
        "outputs": [["wrap", 0, 0]],
    }
    model["layers"][2]["config"]["layer"] = wrapper  # type: ignore[call-overload,index]
    found = computed_in(model)
    assert found["nested", "a"] is None
    assert found["nested", "b"] == found["nested",] == "float16"
    assert found["wrap",] == "bfloat16"
