"""The way back to TensorFlow 1: what went up comes down unchanged, and what the old version lacks is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from test_dialects_complete import EXPLAINED, WRAPPED, _configs, _shape
from test_dialects_keras2 import LSTM, classes, made, translate

from harness import dialects

CONFIGS = Path(__file__).parents[1] / "golden" / "configs"
TARGETS = ("tf1.12", "tf1.15")


#: what the way up writes down: a value that the old version takes whatever its config says, or says nothing
SPELLED_OUT = {
    "BatchNormalization": ("epsilon",),
    "BatchNormalizationV1": ("epsilon",),
    "Conv2DTranspose": ("dilation_rate",),
    "Conv3DTranspose": ("dilation_rate",),
}


#: what the way up to Keras 3 takes away: arguments that it does not have, and that change nothing that is computed
GONE_IN_KERAS_3 = {
    **dict.fromkeys(("LSTM", "GRU", "SimpleRNN", "RNN", "LSTMCell", "GRUCell"), ("implementation", "time_major")),
    "ConvLSTM2D": ("unroll", "time_major"),
    "Conv2D": ("kernel_constraint",),  # RadialConstraint, which the ledger names
    "Embedding": ("input_length",),
    **dict.fromkeys(
        ("SeparableConv1D", "SeparableConv2D"), ("kernel_constraint", "kernel_initializer", "kernel_regularizer")
    ),
    **{f"SpatialDropout{rank}D": ("noise_shape", "trainable") for rank in (1, 2, 3)},
    "ThresholdedReLU": ("theta", "threshold"),
    "Layer": ("activation",),
}
#: classes that come back as another one of the same meaning
OTHER_CLASS = {"ThresholdedReLU": "ReLU", "Layer": "Activation"}


def graph_of(class_name: str, config: dict[str, Any], masked: bool) -> dict[str, Any]:
    specs = [[_shape(class_name), "float32"]]
    first = {"name": "x", "class_name": "InputLayer", "calls": [{"inputs": [], "kwargs": {}}],
             "config": {"name": "x", "batch_input_shape": specs[0][0], "dtype": "float32", "sparse": False}}  # fmt: skip
    mask = {"name": "m", "class_name": "Masking", "config": {"name": "m", "mask_value": 0.0},
            "calls": [{"inputs": [["x", 0, 0]], "kwargs": {}, "input_specs": specs}]}  # fmt: skip
    call = {"inputs": [["m" if masked else "x", 0, 0]], "kwargs": {}, "input_specs": specs}
    layer = {"name": "l", "class_name": class_name, "config": {**config, "name": "l"}, "calls": [call]}
    layers = [first, *([mask] if masked else []), layer]
    return {"name": "net", "kind": "functional", "layers": layers, "inputs": [["x", 0, 0]], "outputs": [["l", 0, 0]]}


def through(graph: dict[str, Any], arrays: list[dict[str, Any]], *legs: tuple[str, str]) -> dialects.Translation:
    """The graph after several chains, of which the last one lands."""
    steps = [step for old, new in legs for step in dialects.chain(old, new)]
    landing = dialects.LANDINGS[legs[-1][1]]
    run = dialects._Run([*steps, landing], landing.new, {}, arrays)
    masked = dialects.masks.masked_layers(graph)
    translated = run.graph(graph, (), masked)
    moves = {e["name"]: move for e in arrays if (move := run.weight(tuple(e["layer"]), e["role"])) is not None}
    return dialects.Translation(graph=translated, weights=moves, renamed=[], ledger=(), obstacles=tuple(run.obstacles))


@pytest.mark.parametrize("masked", [False, True], ids=["plain", "masked"])
@pytest.mark.parametrize("top", ["tf2.3", "tf2.15"])
@pytest.mark.parametrize("old", TARGETS)
def test_up_then_down_gives_the_same_model(old: str, top: str, masked: bool) -> None:
    snapshot = json.loads((CONFIGS / f"{old}.json").read_text(encoding="utf-8"))
    compared = 0
    for class_name, arguments in snapshot.get("layers", snapshot).items():
        if class_name in EXPLAINED or class_name == "InputLayer":
            continue
        for config in _configs({**arguments, **{k: [v] for k, v in WRAPPED.get(class_name, {}).items()}}):
            graph = graph_of(class_name, config, masked)
            arrays = [
                {"name": f"l/{r}", "layer": ["l"], "role": r, "shape": [3], "dtype": "float32"}
                for r in ("kernel", "bias")
            ]
            copies = [json.loads(json.dumps(graph)) for _ in range(2)]
            stays = through(copies[0], arrays, (old, old))
            back = through(copies[1], arrays, (old, top), (top, old))
            # Nothing that went up is refused on its way back, but for what this test makes up: types that do not fit.
            more = set(back.obstacles) - set(stays.obstacles)
            assert all("it casts its" in obstacle.reason for obstacle in more), more
            assert set(stays.obstacles) <= set(back.obstacles)
            if back.obstacles:
                continue
            compared += 1
            there, here = (t.graph["layers"][-1] for t in (back, stays))
            for key in SPELLED_OUT.get(class_name, ()):
                for one in (there, here):
                    one["config"].pop(key, None)
            assert there == here, class_name
            assert back.weights == stays.weights
            assert all(move["transforms"] == [] for move in back.weights.values())
    assert compared > 500


@pytest.mark.parametrize("masked", [False, True], ids=["plain", "masked"])
@pytest.mark.parametrize("old", TARGETS)
def test_up_to_keras_3_and_down_gives_the_same_model(old: str, masked: bool) -> None:
    """Wherever the way down does not refuse, and the way up has not made a graph of the layer."""
    snapshot = json.loads((CONFIGS / f"{old}.json").read_text(encoding="utf-8"))
    compared = 0
    for class_name, arguments in snapshot.get("layers", snapshot).items():
        if class_name in EXPLAINED or class_name == "InputLayer":
            continue
        for config in _configs({**arguments, **{k: [v] for k, v in WRAPPED.get(class_name, {}).items()}}):
            graph = graph_of(class_name, config, masked)
            roles = ("depthwise_kernel", "bias") if class_name == "DepthwiseConv2D" else ("kernel", "bias")
            arrays = [{"name": f"l/{r}", "layer": ["l"], "role": r, "shape": [3], "dtype": "float32"} for r in roles]
            copies = [json.loads(json.dumps(graph)) for _ in range(2)]
            stays = through(copies[0], arrays, (old, old))
            back = through(copies[1], arrays, (old, "keras-3"), ("keras-3", old))
            assert set(stays.obstacles) <= set(back.obstacles)
            there, here = (t.graph["layers"][-1] for t in (back, stays))
            if back.obstacles or ("graph" in there and "graph" not in here):
                continue
            compared += 1
            for key in (*SPELLED_OUT.get(class_name, ()), *GONE_IN_KERAS_3.get(class_name, ())):
                for one in (there, here):
                    (one["config"] or {}).pop(key, None)
            if class_name in OTHER_CLASS:
                assert there.pop("class_name") == OTHER_CLASS[class_name]
                here.pop("class_name")
            assert there == here, class_name
            assert back.weights == stays.weights
            assert all(move["transforms"] == [] for move in back.weights.values())
    assert compared > (400 if masked else 600)


def reasons(done: dialects.Translation) -> list[str]:
    return [obstacle.reason for obstacle in done.obstacles]


@pytest.mark.parametrize(
    ("class_name", "config", "new", "reason"),
    [
        ("LayerNormalization", {"axis": [2]}, "tf1.12", "the target has no layer LayerNormalization"),
        ("Conv1D", {"filters": 2, "kernel_size": [1], "groups": 5}, "tf1.15", "TF 1.x has no argument groups (here 5)"),
        ("LSTM", {"units": 2, "time_major": True}, "tf1.12", "TF 1.12 has no argument time_major"),
        ("Dense", {"units": 2, "activation": "exponential"}, "tf1.12", "activation: tf1.12 has no activation 'exponential'"),
        ("Dense", {"units": 2, "dtype": "mixed_float16"}, "tf1.15", "the dtype policy mixed_float16"),
        ("Dense", {"units": 2, "dtype": "float64"}, "tf1.15", "it casts its float32 input to float64"),
        ("LSTM", {**LSTM, "activation": "swish"}, "tf1.15", "activation: tf1.15 has no activation 'swish'"),
        ("Dense", {"units": 2, "brand_new": 1}, "tf1.15", "the argument brand_new=1 has no known translation"),
    ],
)  # fmt: skip
def test_what_the_old_version_lacks_is_refused(class_name: str, config: dict[str, Any], new: str, reason: str) -> None:
    (found,) = reasons(translate(class_name, config, old="tf2.3", new=new))
    assert found.startswith(reason)


@pytest.mark.parametrize(
    ("class_name", "config", "new", "reason"),
    [
        ("Bidirectional", {"layer": {"class_name": "LSTM", "config": {"name": "i", **LSTM}}}, "tf1.12", "masked Bidirectional"),
        ("ActivityRegularization", {"l1": 0.1, "l2": 0.0}, "tf1.12", "lost the mask"),
        ("LSTM", {**LSTM, "zero_output_for_mask": True}, "tf1.12", "zero_output_for_mask"),
    ],
)  # fmt: skip
def test_a_mask_that_would_mean_something_else_is_refused(
    class_name: str, config: dict[str, Any], new: str, reason: str
) -> None:
    (found,) = reasons(translate(class_name, config, old="tf2.3", new=new, masked=True))
    assert reason in found
    assert reasons(translate(class_name, config, old="tf2.3", new=new)) == []
    assert reasons(translate(class_name, config, old="tf2.3", new="tf1.15", masked=True)) == []


def test_arguments_that_say_nothing_go() -> None:
    config = {"filters": 2, "kernel_size": [1], "groups": 1, "dtype": "float32"}
    assert made(translate("Conv1D", config, old="tf2.3", new="tf1.12"))["config"] == {
        "name": "l", "filters": 2, "kernel_size": [1], "dtype": "float32",
    }  # fmt: skip
    config = {
        "layer": {"class_name": "GRU", "config": {"name": "i", "units": 2, "time_major": False, "reset_after": True}}
    }
    inner = made(translate("Bidirectional", config, old="tf2.3", new="tf1.12"))["config"]["layer"]
    assert inner == {"class_name": "GRU", "config": {"name": "i", "units": 2, "reset_after": True}}


def test_objects_are_named_as_tensorflow_1_finds_them() -> None:
    config = {"units": 2, "kernel_initializer": {"class_name": "HeNormal", "config": {"seed": 1}},
              "kernel_regularizer": {"class_name": "L2", "config": {"l2": 0.5}}}  # fmt: skip
    found = made(translate("Dense", config, old="tf2.15", new="tf1.12"))["config"]
    scaling = {"scale": 2.0, "mode": "fan_in", "distribution": "truncated_normal", "seed": 1}
    assert found["kernel_initializer"] == {"class_name": "VarianceScaling", "config": scaling}
    assert found["kernel_regularizer"] == {"class_name": "L1L2", "config": {"l1": 0.0, "l2": 0.5}}


def test_swish_is_the_input_times_its_sigmoid() -> None:
    done = translate("Dense", {"units": 2, "activation": "swish"}, old="tf2.3", new="tf1.12", weights=("kernel",))
    assert classes(done) == ["Dense", "Activation", "Multiply"]
    assert done.weights["l/kernel"] == {"layer": ["l", "linear"], "role": "kernel", "transforms": []}


def test_the_input_of_a_newer_keras_2_loses_what_says_nothing() -> None:
    graph = graph_of("Dense", {"units": 2}, masked=False)
    graph["layers"][0]["config"]["optional"] = False
    assert dialects.translate(graph, [], "tf2.15", "tf1.15", {}).obstacles == ()
    graph["layers"][0]["config"]["optional"] = True
    (reason,) = reasons(dialects.translate(graph, [], "tf2.15", "tf1.15", {}))
    assert reason.startswith("TF 2.3 has no argument optional")


def test_softmax_takes_a_number_again() -> None:
    assert made(translate("Softmax", {"axis": [1]}, old="tf2.15", new="tf1.12"))["config"]["axis"] == 1
    (reason,) = reasons(translate("Softmax", {"axis": [1, 2]}, old="tf2.15", new="tf1.12"))
    assert reason.startswith("softmax over the axes [1, 2]")


@pytest.mark.parametrize(
    ("name", "shape", "made_of"),
    [
        ("GlobalMaxPooling1D", [None, 6, 5], ["Reshape", "GlobalMaxPooling2D"]),
        ("GlobalMaxPooling2D", [None, None, None, 5], ["Reshape", "GlobalMaxPooling1D"]),
    ],
)
def test_tensorflow_1_12_cannot_take_a_maximum_apart(name: str, shape: list[int | None], made_of: list[str]) -> None:
    config = {"data_format": "channels_last"}
    assert classes(translate(name, dict(config), shape, old="tf2.3", new="tf1.12")) == made_of
    assert made(translate(name, dict(config), shape, old="tf2.3", new="tf1.15"))["class_name"] == name


def test_a_causal_mask_is_an_argument_of_the_constructor_again() -> None:
    config = {"use_scale": False, "score_mode": "dot", "dropout": 0.0}
    graph = graph_of("Attention", config, masked=False)
    graph["layers"][-1]["calls"][0]["kwargs"]["use_causal_mask"] = True
    done = dialects.translate(graph, [], "tf2.15", "tf1.15", {})
    layer = made(done)
    assert layer["config"]["causal"] is True
    assert layer["calls"][0]["kwargs"] == {}
