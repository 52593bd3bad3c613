"""From one config language to the next: the chain, its ledger, its weight plan, and all obstacles at once."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from harness import dialects
from harness.dialects import Translation
from harness.errors import HarnessError

ZEROS = {"class_name": "Zeros", "config": {"dtype": "float32"}}


def entry(name: str, class_name: str, **config: Any) -> dict[str, Any]:
    specs = [[[None, 6, 5], "float32"]]
    call = {"inputs": [["x", 0, 0]], "kwargs": {}, "input_specs": specs}
    return {
        "name": name,
        "class_name": class_name,
        "config": {"name": name, "trainable": True, **config},
        "calls": [call],
    }


def translate(*layers: dict[str, Any], old: str = "tf1.15", weights: Any = (), **options: str) -> Translation:
    first = {
        "name": "x", "class_name": "InputLayer", "calls": [{"inputs": [], "kwargs": {}}],
        "config": {"batch_input_shape": [None, 6, 5], "dtype": "float32", "sparse": False, "name": "x"},
    }  # fmt: skip
    graph = {
        "name": "m", "kind": "functional", "layers": [first, *layers], "inputs": [["x", 0, 0]],
        "outputs": [[layers[-1]["name"], 0, 0]],
    }  # fmt: skip
    arrays = [
        {"name": f"{layer}/{role}", "layer": [layer], "role": role, "shape": shape, "dtype": "float32"}
        for layer, role, shape in weights
    ]
    return dialects.translate(graph, arrays, old, "keras-3", {"hard_sigmoid": "pin", **options})


def config(done: Translation, name: str) -> dict[str, Any]:
    assert done.obstacles == ()
    return dict(next(layer["config"] for layer in done.graph["layers"] if layer["name"] == name))


def lstm(**more: Any) -> dict[str, Any]:
    return entry("l", "LSTM", units=2, activation="tanh", recurrent_activation="hard_sigmoid", dtype="float32", **more)


LSTM_WEIGHTS = [("l", "kernel", [5, 8]), ("l", "recurrent_kernel", [2, 8]), ("l", "bias", [8])]


def test_the_chain_goes_over_every_neighbour() -> None:
    names = [step.name for step in dialects.chain("tf1.12", "keras-3")]
    assert names[0] == "tf1.12 → tf1.13"
    assert names[-1] == "tf2.15 → keras-3"
    for before, after in itertools.pairwise(names):
        assert before.split(" → ")[1] == after.split(" → ")[0]
    assert dialects.chain("tf1.15", "tf1.15") == []


def test_there_is_no_way_back_or_from_nowhere() -> None:
    for old, new in (("keras-3", "keras-2.3"), ("tf0.9", "keras-3")):
        with pytest.raises(HarnessError) as caught:
            dialects.chain(old, new)
        assert caught.value.code == "pair-unsupported"
        assert caught.value.message == f"There is no translation from the dialect {old} to {new}."


def test_hard_sigmoid_is_pinned_as_native_layers_and_noted() -> None:
    done = translate(lstm(), weights=LSTM_WEIGHTS)
    pinned = config(done, "l")["recurrent_activation"]
    assert (pinned["module"], pinned["class_name"]) == ("keras", "Sequential")
    assert [layer["class_name"] for layer in pinned["config"]["layers"]] == ["InputLayer", "Rescaling", "ReLU"]
    scale, clip = (layer["config"] for layer in pinned["config"]["layers"][1:])
    assert (scale["scale"], scale["offset"], clip["max_value"]) == (0.2, 0.5, 1.0)
    (change,) = [row for row in done.ledger if row.what == "recurrent_activation"]
    assert (change.layer, change.step) == ("l", "tf2.15 → keras-3")
    assert change.why == "pinned: Keras 3's hard_sigmoid is relu6(x + 3)/6, another function"
    assert all(move["transforms"] == [] for move in done.weights.values())


def test_hard_sigmoid_of_an_lstm_is_folded_into_its_three_gates() -> None:
    done = translate(lstm(), weights=LSTM_WEIGHTS, hard_sigmoid="fold")
    assert config(done, "l")["recurrent_activation"] == "hard_sigmoid"
    # Keras orders input, forget, cell, output: the cell's columns 4 to 6 keep their tanh.
    scale = {"op": "scale", "factor": 1.2, "ranges": [[0, 4], [6, 8]]}
    assert {name: move["transforms"] for name, move in done.weights.items()} == {
        "l/kernel": [scale], "l/recurrent_kernel": [scale], "l/bias": [scale],
    }  # fmt: skip


def test_hard_sigmoid_of_a_dense_layer_is_folded_into_every_column() -> None:
    done = translate(
        entry("d", "Dense", units=2, activation="hard_sigmoid"),
        weights=[("d", "kernel", [5, 2]), ("d", "bias", [2])],
        hard_sigmoid="fold",
    )
    assert config(done, "d")["activation"] == "hard_sigmoid"
    assert done.weights["d/kernel"]["transforms"] == [{"op": "scale", "factor": 1.2, "ranges": None}]


def test_where_no_weight_feeds_it_hard_sigmoid_is_pinned_even_if_folding_was_asked_for() -> None:
    done = translate(entry("a", "Activation", activation="hard_sigmoid"), hard_sigmoid="fold")
    assert config(done, "a")["activation"]["class_name"] == "Sequential"


def test_a_gru_of_tf_1_12_that_says_nothing_resets_before() -> None:
    gru = entry("g", "GRU", units=2, activation="tanh", recurrent_activation="sigmoid")
    done = translate(gru, old="tf1.12")
    assert config(done, "g")["reset_after"] is False
    (change,) = [row for row in done.ledger if row.what == "reset_after"]
    assert (change.before, change.after, change.why) == (None, False, "the default of TF 1.x")


@pytest.mark.parametrize("value", [True, False])
def test_reset_after_that_is_written_stays(value: bool) -> None:
    gru = entry("g", "GRU", units=2, activation="tanh", recurrent_activation="sigmoid", reset_after=value)
    done = translate(gru)
    assert config(done, "g")["reset_after"] is value
    assert [row for row in done.ledger if row.what == "reset_after"] == []


def test_an_axis_in_a_list_is_unwrapped() -> None:
    norm = entry("n", "BatchNormalizationV1", axis=[2], momentum=0.99, epsilon=0.001, center=True, scale=True)
    done = translate(norm, old="tf1.13")
    assert config(done, "n")["axis"] == 2
    assert [layer["class_name"] for layer in done.graph["layers"]][1] == "BatchNormalization"


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("float32", "float32"),
        ("float64", "float64"),
        (None, None),
        ({"class_name": "Policy", "config": {"name": "float32"}}, "float32"),
        ({"class_name": "Policy", "config": {"name": "infer"}}, None),
        ("infer_float32_vars", None),
        ("float32_ref", "float32"),
    ],
)
def test_dtype_policies_become_dtypes(written: Any, kept: str | None) -> None:
    dense = entry("d", "Dense", units=2, activation="linear", dtype=written)
    assert config(translate(dense), "d").get("dtype") == kept


def test_initializers_take_keras_3_form_and_lose_what_it_does_not_know() -> None:
    glorot = {"class_name": "GlorotUniform", "config": {"seed": None, "dtype": "float32"}}
    done = config(translate(entry("d", "Dense", units=2, kernel_initializer=glorot, bias_initializer="zero")), "d")
    assert done["kernel_initializer"] == {
        "module": "keras.initializers", "class_name": "GlorotUniform", "config": {"seed": None}, "registered_name": None,
    }  # fmt: skip
    assert done["bias_initializer"]["class_name"] == "Zeros"


def test_a_truncated_normal_is_called_by_its_name() -> None:
    scaling = {"class_name": "VarianceScaling", "config": {"scale": 2.0, "mode": "fan_in", "distribution": "normal"}}
    done = translate(entry("d", "Dense", units=2, kernel_initializer=scaling))
    assert config(done, "d")["kernel_initializer"]["config"]["distribution"] == "truncated_normal"
    assert "kernel_initializer.distribution" in {row.what for row in done.ledger}


def test_every_obstacle_is_listed_at_once_with_a_way_forward() -> None:
    done = translate(
        entry("a", "Capsule"),
        entry("b", "Dense", units=2, activation="spikes"),
        entry("c", "Dense", units=2, kernel_regularizer={"class_name": "Magic", "config": {}}),
        entry("d", "Lambda", function="f"),
        entry("e", "Dense", units=2, sparkle=True),
    )
    assert [obstacle.layer for obstacle in done.obstacles] == ["a", "b", "c", "d", "e"]
    assert all(obstacle.remedy for obstacle in done.obstacles)
    assert done.obstacles[1].reason == "activation: the activation 'spikes' is not one of Keras"
    assert done.obstacles[4].reason == "the argument sparkle=True has no known translation"


def test_what_is_wrapped_is_translated_and_its_weights_keep_their_prefix() -> None:
    inner = {"class_name": "Dense", "config": {"name": "i", "units": 2, "activation": "hard_sigmoid"}}
    done = translate(entry("t", "TimeDistributed", layer=inner), weights=[("t", "kernel", [5, 2])], hard_sigmoid="fold")
    assert config(done, "t")["layer"]["module"] == "keras.layers"
    assert done.weights["t/kernel"]["transforms"] == [{"op": "scale", "factor": 1.2, "ranges": None}]


def test_both_directions_of_a_bidirectional_are_folded() -> None:
    inner = {"class_name": "LSTM", "config": lstm()["config"]}
    weights = [("b", f"{side}/kernel", [5, 8]) for side in ("forward", "backward")]
    done = translate(
        entry("b", "Bidirectional", layer=inner, merge_mode="concat"), weights=weights, hard_sigmoid="fold"
    )
    assert done.obstacles == ()
    for move in done.weights.values():
        assert move["transforms"] == [{"op": "scale", "factor": 1.2, "ranges": [[0, 4], [6, 8]]}]


def test_nothing_of_the_source_graph_is_changed() -> None:
    layer = lstm()
    before = repr(layer)
    translate(layer, weights=LSTM_WEIGHTS, hard_sigmoid="fold")
    assert repr(layer) == before


def test_a_translation_repeats_exactly() -> None:
    assert translate(lstm(), weights=LSTM_WEIGHTS) == translate(lstm(), weights=LSTM_WEIGHTS)
