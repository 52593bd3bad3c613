"""Models of Keras 3 on their way back: their configs as data, what changed its meaning, operations, foreign code."""

from __future__ import annotations

import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import bad_files
import pytest
from test_dialects_keras2 import LSTM, classes, made, translate

from harness import dialects
from harness.errors import HarnessError
from harness.plan import make_plan
from harness.worker.tfworker import foreign_keras3, read_keras3, topology
from harness.worker.tfworker.errors import Refusal


def tensor(name: str, call: int = 0, output: int = 0) -> dict[str, Any]:
    return {"class_name": "__keras_tensor__", "config": {"shape": [None, 4], "dtype": "float32", "keras_history": [name, call, output]}}  # fmt: skip


def entry(name: str, class_name: str, *nodes: Any, module: str = "keras.layers", **config: Any) -> dict[str, Any]:
    made = {"module": module, "class_name": class_name, "config": {"name": name, **config}, "registered_name": None}
    calls = [{"args": args, "kwargs": kwargs} for args, kwargs in nodes]
    return {**made, "name": name, "inbound_nodes": calls}


def functional(layers: list[dict[str, Any]], outputs: Any, inputs: Any = ("x", 0, 0)) -> dict[str, Any]:
    return {"name": "net", "layers": layers, "input_layers": list(inputs), "output_layers": outputs}


def test_calls_with_numbers_names_and_states_are_read() -> None:
    layers = [
        entry("x", "InputLayer", batch_shape=[None, 4]),
        entry("plus", "Add", ([tensor("x"), 1.5], {}), module="keras.src.ops.numpy"),
        entry("r", "LSTM", ([tensor("plus")], {"initial_state": [tensor("x"), tensor("x")], "mask": None})),
        entry("a", "MultiHeadAttention", ([tensor("r")], {"value": tensor("x"), "use_causal_mask": True})),
        entry("c", "Concatenate", ([[tensor("r"), tensor("a")]], {})),
    ]
    graph = topology.parse("Functional", functional(layers, ["c", 0, 0]))
    found = {layer["name"]: layer for layer in graph["layers"]}
    assert found["plus"]["module"] == "keras.src.ops.numpy"
    assert found["plus"]["calls"] == [{"inputs": [["x", 0, 0]], "kwargs": {}, "constants": {"1": 1.5}}]
    assert found["r"]["calls"][0]["inputs"] == [["plus", 0, 0], ["x", 0, 0], ["x", 0, 0]]
    assert found["r"]["calls"][0]["kwargs"] == {}
    assert found["a"]["calls"][0]["kwargs"] == {"value": ["x", 0, 0], "use_causal_mask": True}
    assert found["c"]["calls"][0]["inputs"] == [["r", 0, 0], ["a", 0, 0]]


def test_a_nested_model_counts_its_calls_from_one_among_the_outputs_only() -> None:
    inner = functional([entry("y", "InputLayer"), entry("d", "Dense", ([tensor("y")], {}))], ["d", 0, 0], ("y", 0, 0))
    nested = {**entry("m", "Functional", ([tensor("x")], {}), ([tensor("m")], {})), "config": inner}
    graph = topology.parse("Functional", functional([entry("x", "InputLayer"), nested], [["m", 1, 0], ["m", 2, 0]]))
    assert graph["outputs"] == [["m", 0, 0], ["m", 1, 0]]
    assert [call["inputs"] for call in graph["layers"][1]["calls"]] == [[["x", 0, 0]], [["m", 0, 0]]]


def test_a_dictionary_of_tensors_is_refused() -> None:
    layers = [entry("x", "InputLayer"), entry("d", "Dense", ([{"a": tensor("x")}], {}))]
    with pytest.raises(topology.TopologyError, match="dictionary of tensors"):
        topology.parse("Functional", functional(layers, ["d", 0, 0]))


POLICY = {"module": "keras", "class_name": "DTypePolicy", "config": {"name": "float32"}, "registered_name": None}


def down(class_name: str, config: dict[str, Any], *args: Any, new: str = "tf1.12", **more: Any) -> dialects.Translation:
    return translate(class_name, {"dtype": POLICY, **config}, *args, old="keras-3", new=new, **more)


def reasons(done: dialects.Translation) -> list[str]:
    return [obstacle.reason for obstacle in done.obstacles]


def test_objects_and_policies_take_the_form_of_keras_2() -> None:
    kernel = {"module": "keras.initializers", "class_name": "HeNormal", "config": {"seed": 1}, "registered_name": None}
    config = made(down("Dense", {"units": 2, "activation": "relu", "kernel_initializer": kernel}, new="tf2.15"))[
        "config"
    ]
    assert config == {
        "name": "l", "units": 2, "activation": "relu", "dtype": "float32",
        "kernel_initializer": {"class_name": "HeNormal", "config": {"seed": 1}},
    }  # fmt: skip


HARD = {"units": 2, "activation": "hard_sigmoid"}


@pytest.mark.parametrize("new", ["tf1.12", "tf1.15", "tf2.3", "tf2.15"])
def test_hard_sigmoid_of_keras_3_is_never_taken_for_that_of_keras_2(new: str) -> None:
    done = down("Dense", dict(HARD), new=new, weights=("kernel",))
    assert classes(done) == ["Dense", "ReLU", "Average", "Activation"]
    average = made(done)["graph"]["layers"][-2]
    names = [name for name, _, _ in average["calls"][0]["inputs"]]
    assert names == ["linear"] * 5 + ["zero"]  # 5/6 of it
    (reason,) = reasons(down("LSTM", {**LSTM, "recurrent_activation": "hard_sigmoid"}, new=new))
    assert "relu6(x + 3)/6 in Keras 3" in reason


def test_hard_sigmoid_of_keras_3_can_be_folded_into_weights() -> None:
    done = down("Dense", dict(HARD), new="tf1.12", weights=("kernel",), hard_sigmoid="fold")
    assert made(done)["config"]["activation"] == "hard_sigmoid"
    (step,) = done.weights["l/kernel"]["transforms"]
    assert (step["op"], round(1 / step["factor"], 12)) == ("scale", 1.2)


def test_the_hard_sigmoid_that_the_way_up_pinned_comes_back_as_itself() -> None:
    up = translate("Dense", dict(HARD), old="tf1.12", new="keras-3")
    again = down("Dense", made(up)["config"])
    assert made(again)["config"]["activation"] == "hard_sigmoid"


def test_an_activation_that_is_a_layer_stands_behind_its_own() -> None:
    layer = {"module": "keras.layers", "class_name": "LeakyReLU", "config": {"name": "a", "negative_slope": 0.1}}
    done = down("Dense", {"units": 2, "activation": layer})
    assert classes(done) == ["Dense", "LeakyReLU"]
    assert made(done)["graph"]["layers"][-1]["config"]["alpha"] == 0.1


def test_two_directions_that_mirror_each_other_are_written_once() -> None:
    plain = {**LSTM, "recurrent_activation": "sigmoid", "zero_output_for_mask": True, "go_backwards": False}

    def direction(name: str, **more: Any) -> dict[str, Any]:
        return {"module": "keras.layers", "class_name": "LSTM", "config": {**plain, "name": name, **more}}

    both = {"layer": direction("forward_r"), "backward_layer": direction("backward_r", go_backwards=True)}
    config = made(down("Bidirectional", both))["config"]
    assert "backward_layer" not in config
    assert config["layer"]["config"]["name"] == "r"
    assert "zero_output_for_mask" not in config["layer"]["config"]
    other = {**both, "backward_layer": direction("backward_r", go_backwards=True, units=3)}
    (reason,) = reasons(down("Bidirectional", other))
    assert reason.startswith("TF 1.12 has no argument backward_layer")


def merged(class_name: str, masks: list[str | None], **config: Any) -> dialects.Translation:
    def call(*inputs: str) -> dict[str, Any]:
        specs = [[[None, 6, 5], "float32"] for _ in inputs]
        return {"inputs": [[name, 0, 0] for name in inputs], "kwargs": {}, "input_specs": specs}

    first = {"name": "x", "class_name": "InputLayer", "config": {"batch_shape": [None, 6, 5], "dtype": "float32"}, "calls": [{"inputs": [], "kwargs": {}}]}  # fmt: skip
    mask = {"name": "m", "class_name": "Masking", "config": {"mask_value": 0.0}, "calls": [call("x")]}
    merge = {"name": "l", "class_name": class_name, "config": config, "calls": [{**call("m", "m"), "masks": masks}]}
    graph = {"name": "n", "kind": "functional", "layers": [first, mask, merge], "inputs": [["x", 0, 0]], "outputs": [["l", 0, 0]]}  # fmt: skip
    return dialects.translate(graph, [], "keras-3", "tf1.15", {})


@pytest.mark.parametrize(
    ("class_name", "masks", "reason"),
    [
        ("Add", ["mask_0", "mask_0"], None),
        ("Add", ["mask_0", "mask_1"], "different masks"),
        ("Add", ["mask_0", None], "different masks"),
        ("Multiply", ["mask_0", "mask_0"], "leaves masked values out"),
        ("Concatenate", ["mask_0", "mask_0"], None),
    ],
)
def test_a_merge_goes_back_where_both_kerases_make_the_same_mask(
    class_name: str, masks: Any, reason: str | None
) -> None:
    found = reasons(merged(class_name, masks))
    assert found == [] if reason is None else reason in found[0]


def test_states_make_keras_3_forget_a_mask() -> None:
    plain = {**LSTM, "recurrent_activation": "sigmoid"}
    (reason,) = reasons(merged("LSTM", [None, None], **plain))
    assert "does not look at the mask in Keras 3" in reason
    assert reasons(merged("LSTM", ["mask_0", None], **plain)) == []


def operation(name: str, shape: list[int | None], count: int = 1, **config: Any) -> dialects.Translation:
    specs = [[shape, "float32"]] * count
    first = {"name": "x", "class_name": "InputLayer", "config": {"batch_shape": shape, "dtype": "float32"}, "calls": [{"inputs": [], "kwargs": {}}]}  # fmt: skip
    call = {"inputs": [["x", 0, 0]] * count, "kwargs": {}, "input_specs": specs, **config.pop("call", {})}
    layer = {"name": "l", "class_name": name, "module": "keras.src.ops.numpy", "config": config, "calls": [call]}
    graph = {"name": "n", "kind": "functional", "layers": [first, layer], "inputs": [["x", 0, 0]], "outputs": [["l", 0, 0]]}  # fmt: skip
    return dialects.translate(graph, [], "keras-3", "tf1.15", {})


@pytest.mark.parametrize(
    ("name", "shape", "count", "config", "class_name", "key", "value"),
    [
        ("Add", [None, 4], 2, {}, "Add", "name", "l"),
        ("Relu", [None, 4], 1, {}, "Activation", "activation", "relu"),
        ("Reshape", [None, 6, 2], 1, {"newshape": [-1, 12]}, "Reshape", "target_shape", [12]),
        ("Transpose", [None, 6, 2], 1, {"axes": [0, 2, 1]}, "Permute", "dims", [2, 1]),
        ("ExpandDims", [None, 6], 1, {"axis": -1}, "Reshape", "target_shape", [6, 1]),
        ("Squeeze", [None, 6, 1], 1, {"axis": 2}, "Reshape", "target_shape", [6]),
        ("Mean", [None, 4, 4, 3], 1, {"axis": [1, 2]}, "GlobalAveragePooling2D", "data_format", "channels_last"),
    ],
)  # fmt: skip
def test_an_operation_becomes_the_layer_that_does_the_same(
    name: str, shape: Any, count: int, config: Any, class_name: str, key: str, value: Any
) -> None:
    layer = made(operation(name, shape, count, **config))
    assert (layer["class_name"], layer["config"][key]) == (class_name, value)


@pytest.mark.parametrize(
    ("name", "config", "reason"),
    [
        ("Add", {"call": {"constants": {"1": 1.0}}}, "numbers that stand in the call"),
        ("Reshape", {"newshape": [3, -1]}, "may mix examples"),
        ("Transpose", {"axes": [1, 0]}, "the axis of examples"),
        ("Sin", {}, "no layer that does the same"),
    ],
)
def test_an_operation_without_a_layer_is_refused(name: str, config: dict[str, Any], reason: str) -> None:
    (found,) = reasons(operation(name, [None, 6], **config))
    assert found.startswith(f"the operation {name} of keras.ops")
    assert reason in found


KERAS = SimpleNamespace(
    layers=SimpleNamespace(Dense=type("Dense", (), {}), Lambda=type("Lambda", (), {})),
    activations=SimpleNamespace(relu=None), initializers=SimpleNamespace(), ops=SimpleNamespace(),
)  # fmt: skip


@pytest.mark.parametrize(
    ("layer", "code", "told"),
    [
        ({"module": "keras.layers", "class_name": "Lambda", "config": {"name": "l"}}, "layer-unsupported", "l (class Lambda)"),
        ({"module": "keras.layers", "class_name": "Dense", "config": {"name": "l", "activation": {"class_name": "__lambda__", "config": {}}}}, "layer-unsupported", "__lambda__"),
        ({"module": "mine", "class_name": "Own", "config": {"name": "l"}, "registered_name": "mine>Own"}, "code-missing", "l (class Own)"),
        ({"module": "os", "class_name": "system", "config": {"name": "l"}, "registered_name": None}, "code-missing", "system"),
        ({"class_name": "Own", "config": {"name": "l", "trainable": True}}, "code-missing", "l (class Own)"),
        ({"module": "keras.layers", "class_name": "Dense", "config": {"name": "l", "activation": {"module": "builtins", "class_name": "function", "config": "bent"}}}, "code-missing", "the function bent"),
    ],
)  # fmt: skip
def test_code_in_a_keras_3_file_is_named_before_anything_is_loaded(layer: dict[str, Any], code: str, told: str) -> None:
    plain = {"module": "keras.layers", "class_name": "Dense", "config": {"name": "d", "activation": "relu"}}
    model = {"module": "keras", "class_name": "Sequential", "config": {"name": "s", "layers": [plain]}}
    foreign_keras3.check(KERAS, model, {})
    model["config"]["layers"].append(layer)  # type: ignore[index]
    with pytest.raises(Refusal) as caught:
        foreign_keras3.check(KERAS, model, {})
    assert caught.value.code == code
    assert any(told in line for line in caught.value.details)


def test_an_archive_that_unpacks_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "bomb.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("metadata.json", "{}")
        archive.writestr("config.json", " " * 5000)
    monkeypatch.setattr(read_keras3, "CONFIG_BYTES", 4000)
    with pytest.raises(Refusal) as caught:
        read_keras3.read_archive(str(path))
    assert "more than 4000 bytes" in caught.value.message


def test_a_keras_3_file_is_read_for_older_targets_and_needs_nothing_for_its_own(tmp_path: Path) -> None:
    path = bad_files.keras3(tmp_path / "m.h5")
    plan = make_plan(path, target_env="tf1.12")
    assert (plan.source_env.name, plan.reader) == ("tf2.21", "read_keras3")
    with pytest.raises(HarnessError) as caught:
        make_plan(path)
    assert caught.value.code == "source-unsupported-format"
    assert "needs no migration" in str(caught.value.remedy)
