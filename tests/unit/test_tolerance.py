"""The only home of numeric slack."""

from __future__ import annotations

from typing import Any

import pytest

from harness.verify.tolerance import EPSILON, RECURRENT_STEPS, depth, relative_bound


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
