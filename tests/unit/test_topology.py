"""Model configs of every Keras 2 dialect become one graph."""

from __future__ import annotations

from typing import Any

import pytest

from harness.worker.tfworker.topology import (
    TopologyError,
    asks_for_states,
    is_model,
    leaves,
    name_sequential_input,
    parse,
    schedule,
)

DENSE = {"class_name": "Dense", "config": {"name": "d", "units": 2}}


def node(*tensors: tuple[Any, ...]) -> list[list[Any]]:
    return [[*tensor[:3], tensor[3] if len(tensor) > 3 else {}] for tensor in tensors]


def layer(name: str, *calls: Any, class_name: str = "Dense", **config: Any) -> dict[str, Any]:
    return {"name": name, "class_name": class_name, "config": {"name": name, **config}, "inbound_nodes": list(calls)}


def functional(*layers: dict[str, Any], inputs: Any = (("x", 0, 0),), outputs: Any) -> dict[str, Any]:
    return {
        "name": "m", "layers": [layer("x", class_name="InputLayer"), *layers],
        "input_layers": [list(t) for t in inputs], "output_layers": [list(t) for t in outputs],
    }  # fmt: skip


def calls(graph: dict[str, Any], name: str) -> list[Any]:
    return next(layer["calls"] for layer in graph["layers"] if layer["name"] == name)


@pytest.mark.parametrize("config", [[DENSE], {"name": "s", "layers": [DENSE]}], ids=["list", "object"])
def test_a_sequential_is_a_chain_behind_an_unnamed_input(config: Any) -> None:
    graph = parse("Sequential", config, "s")
    assert (graph["name"], graph["kind"]) == ("s", "sequential")
    assert [entry["name"] for entry in graph["layers"]] == [None, "d"]
    assert calls(graph, "d") == [{"inputs": [[None, 0, 0]], "kwargs": {}}]
    assert (graph["inputs"], graph["outputs"]) == ([[None, 0, 0]], [["d", 0, 0]])


def test_the_live_model_names_the_input_of_a_sequential() -> None:
    graph = parse("Sequential", [DENSE], "s")
    name_sequential_input(graph, "d_input", {"batch_input_shape": [None, 3]})
    assert graph["layers"][0]["config"] == {"batch_input_shape": [None, 3], "name": "d_input"}
    assert graph["inputs"] == [["d_input", 0, 0]]
    assert calls(graph, "d") == [{"inputs": [["d_input", 0, 0]], "kwargs": {}}]


def test_a_sequential_with_its_input_layer_keeps_it() -> None:
    first = {"class_name": "InputLayer", "config": {"name": "i", "batch_input_shape": [None, 3]}}
    graph = parse("Sequential", {"name": "s", "layers": [first, DENSE]})
    name_sequential_input(graph, "other", {})
    assert graph["inputs"] == [["i", 0, 0]]


def test_an_unwrapped_node_with_one_input_is_the_same_as_a_wrapped_one() -> None:
    wrapped = parse("Model", functional(layer("d", node(("x", 0, 0))), outputs=[("d", 0, 0)]))
    unwrapped = parse("Functional", functional(layer("d", ["x", 0, 0, {}]), outputs=[("d", 0, 0)]))
    assert wrapped == unwrapped
    assert calls(wrapped, "d") == [{"inputs": [["x", 0, 0]], "kwargs": {}}]


@pytest.mark.parametrize("ends", [["x", 0, 0], [["x", 0, 0]], {"x": ["x", 0, 0]}], ids=["alone", "list", "named"])
def test_ends_are_read_in_every_form(ends: Any) -> None:
    config = functional(layer("d", node(("x", 0, 0))), outputs=[("d", 0, 0)])
    assert parse("Model", {**config, "input_layers": ends})["inputs"] == [["x", 0, 0]]


def test_a_shared_layer_has_a_call_for_each_use() -> None:
    shared = layer("d", node(("x", 0, 0)), node(("d", 0, 0)))
    graph = parse("Model", functional(shared, outputs=[("d", 1, 0)]))
    assert [call["inputs"] for call in calls(graph, "d")] == [[["x", 0, 0]], [["d", 0, 0]]]
    assert graph["outputs"] == [["d", 1, 0]]


def test_several_inputs_keep_their_order_and_call_arguments_stay() -> None:
    joined = layer("j", node(("x", 0, 0), ("d", 0, 0, {"training": False})), class_name="Concatenate")
    graph = parse("Model", functional(layer("d", node(("x", 0, 0))), joined, outputs=[("j", 0, 0)]))
    assert calls(graph, "j") == [{"inputs": [["x", 0, 0], ["d", 0, 0]], "kwargs": {"training": False}}]


def nested(first_call: int) -> dict[str, Any]:
    inner = functional(layer("d", node(("x", 0, 0))), outputs=[("d", 0, 0)])
    inside = {
        "name": "inner", "class_name": "Model", "config": {**inner, "name": "inner"},
        "inbound_nodes": [node(("x", 0, 0)), node(("inner", first_call, 0))],
    }  # fmt: skip
    return functional(inside, outputs=[("inner", first_call + 1, 0)])


@pytest.mark.parametrize("first_call", [0, 1])
def test_calls_of_a_nested_model_count_from_zero_whatever_keras_counts_from(first_call: int) -> None:
    graph = parse("Model", nested(first_call))
    assert [call["inputs"] for call in calls(graph, "inner")] == [[["x", 0, 0]], [["inner", 0, 0]]]
    assert graph["outputs"] == [["inner", 1, 0]]
    assert [path for path, _ in leaves(graph)] == [("x",), ("inner", "x"), ("inner", "d")]


def test_a_sequential_nested_as_a_list_is_a_model() -> None:
    inside = {"name": "s", "class_name": "Sequential", "config": [DENSE], "inbound_nodes": [node(("x", 0, 0))]}
    graph = parse("Model", functional(inside, outputs=[("s", 1, 0)]))
    assert [path for path, _ in leaves(graph)][-1] == ("s", "d")
    assert graph["outputs"] == [["s", 0, 0]]


@pytest.mark.parametrize(
    ("class_name", "config", "message"),
    [
        ("Model", {"name": "subclassed"}, "^Model is neither a Sequential nor a Functional model$"),
        ("Dense", {"units": 2}, "^Dense is neither a Sequential nor a Functional model$"),
        ("Sequential", [], "^the Sequential model None has no layers$"),
        (
            "Model",
            functional(layer("d", node(("x", 3, 0))), outputs=[("d", 0, 0)]),
            "^'m' refers to call 3 of the layer 'x', which is not there$",
        ),
        (
            "Model",
            functional(layer("d", node(("x", 0, 0))), layer("d", node(("x", 0, 0))), outputs=[("d", 0, 0)]),
            "^two layers of 'm' have the same name$",
        ),
        (
            "Model",
            functional(layer("d", [["x", 0]]), outputs=[("d", 0, 0)]),
            r"^inbound node \['x', 0\] is of no known form$",
        ),
    ],
)
def test_what_is_no_graph_is_refused(class_name: str, config: Any, message: str) -> None:
    with pytest.raises(TopologyError, match=message):
        parse(class_name, config)


def test_a_subclassed_model_is_no_graph() -> None:
    assert not is_model("Model", {"name": "subclassed"})
    assert not is_model("Capsule", {"layers": []})


def order(graph: dict[str, Any]) -> list[tuple[str, int]]:
    return [(entry["name"], index) for entry, index in schedule(graph)]


def test_calls_are_scheduled_behind_what_they_need() -> None:
    # b stands first in the file and needs a, which needs b's first call.
    config = functional(
        layer("b", node(("x", 0, 0)), node(("a", 0, 0))), layer("a", node(("b", 0, 0))), outputs=[("b", 1, 0)]
    )
    assert order(parse("Model", config)) == [("x", 0), ("b", 0), ("a", 0), ("b", 1)]


def test_a_tensor_given_by_keyword_is_waited_for() -> None:
    config = functional(
        layer("b", node(("x", 0, 0, {"initial_state": [["a", 0, 0]]}))),
        layer("a", node(("x", 0, 0))),
        outputs=[("b", 0, 0)],
    )
    assert order(parse("Model", config)) == [("x", 0), ("a", 0), ("b", 0)]


def test_layers_that_wait_for_each_other_are_named() -> None:
    config = functional(layer("a", node(("b", 0, 0))), layer("b", node(("a", 0, 0))), outputs=[("a", 0, 0)])
    with pytest.raises(TopologyError, match="^the layers a, b wait for each other$"):
        schedule(parse("Model", config))


def test_states_are_asked_for_by_layers_inside_of_wrappers_and_models() -> None:
    def layers(stateful: bool) -> list[Any]:
        wrapped = {"class_name": "LSTM", "config": {"stateful": stateful}}
        return [{"name": "inner", "graph": {"layers": [{"name": "both", "config": {"layer": wrapped}}]}}]

    assert asks_for_states(layers(True))
    assert not asks_for_states(layers(False))


def test_inputs_by_name_are_refused_with_the_layer_and_a_way_out() -> None:
    layers = [
        {"name": "age", "class_name": "InputLayer", "config": {}, "inbound_nodes": []},
        {"name": "f", "class_name": "DenseFeatures", "config": {}, "inbound_nodes": [{"age": ["age", 0, 0, {}]}]},
    ]
    config = {"layers": layers, "input_layers": [["age", 0, 0]], "output_layers": [["f", 0, 0]]}
    with pytest.raises(TopologyError, match=r"^the layer 'f' \(DenseFeatures\) takes its inputs by name.* SavedModel"):
        parse("Model", config)
