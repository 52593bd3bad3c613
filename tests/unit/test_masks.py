"""Which layers a mask can reach."""

from __future__ import annotations

from typing import Any

import pytest

from harness.dialects.masks import masked_layers


def entry(name: str, class_name: str, *inputs: str, **config: Any) -> dict[str, Any]:
    return {
        "name": name, "class_name": class_name, "config": config,
        "calls": [{"inputs": [[i, 0, 0] for i in inputs], "kwargs": {}}],
    }  # fmt: skip


def graph(*layers: dict[str, Any], inputs: tuple[str, ...] = ("x",)) -> dict[str, Any]:
    first = [entry(name, "InputLayer") for name in inputs]
    return {
        "layers": [*first, *layers],
        "inputs": [[name, 0, 0] for name in inputs],
        "outputs": [[layers[-1]["name"], 0, 0]],
    }


def reached(*layers: dict[str, Any]) -> set[str]:
    return {"/".join(path) for path in masked_layers(graph(*layers))}


def test_without_a_source_of_masks_nothing_is_masked() -> None:
    assert reached(entry("e", "Embedding", "x", input_dim=4), entry("l", "LSTM", "e")) == set()


@pytest.mark.parametrize(
    "source",
    [
        entry("s", "Masking", "x", mask_value=0.0),
        entry("s", "Embedding", "x", mask_zero=True),
        entry("s", "TimeDistributed", "x", layer={"class_name": "Embedding", "config": {"mask_zero": True}}),
    ],
    ids=["Masking", "Embedding", "TimeDistributed"],
)
def test_a_mask_goes_on_through_layers_that_keep_it(source: dict[str, Any]) -> None:
    assert reached(source, entry("d", "Dropout", "s"), entry("l", "LSTM", "d")) == {"d", "l"}


def test_a_recurrent_layer_hands_its_mask_on_only_with_its_sequence() -> None:
    masking = entry("m", "Masking", "x")
    assert reached(masking, entry("l", "LSTM", "m", return_sequences=True), entry("d", "Dense", "l")) == {"l", "d"}
    assert reached(masking, entry("l", "GRU", "m", return_sequences=False), entry("d", "Dense", "l")) == {"l"}
    wrapped = {"layer": {"class_name": "LSTM", "config": {"return_sequences": True}}}
    assert reached(masking, entry("b", "Bidirectional", "m", **wrapped), entry("d", "Dense", "b")) == {"b", "d"}


def test_a_mask_ends_where_the_time_axis_ends() -> None:
    assert reached(entry("m", "Masking", "x"), entry("f", "Flatten", "m"), entry("d", "Dense", "f")) == {"f"}


def test_a_mask_goes_into_and_out_of_nested_models() -> None:
    inner = graph(entry("inside", "Dropout", "x"))
    nested = {**entry("n", "Model", "m"), "graph": inner}
    assert reached(entry("m", "Masking", "x"), nested, entry("l", "LSTM", "n")) == {"n", "n/inside", "l"}


def test_a_mask_made_inside_a_nested_model_comes_out() -> None:
    nested = {**entry("n", "Model", "x"), "graph": graph(entry("inside", "Masking", "x"))}
    assert reached(nested, entry("l", "LSTM", "n")) == {"n", "l"}


def test_only_the_masked_input_of_a_nested_model_is_masked() -> None:
    inner = graph(entry("p", "Dropout", "a"), entry("q", "Dropout", "b"), inputs=("a", "b"))
    nested = {**entry("n", "Model", "m", "x"), "graph": inner}
    assert reached(entry("m", "Masking", "x"), nested) == {"n", "n/p"}


def test_a_merge_of_a_masked_and_an_unmasked_branch_counts_as_masked() -> None:
    layers = [
        entry("m", "Masking", "x"),
        entry("d", "Dense", "x"),
        entry("a", "Add", "m", "d"),
        entry("l", "LSTM", "a"),
    ]
    assert reached(*layers) == {"a", "l"}
