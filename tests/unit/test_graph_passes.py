"""The passes that take a TF1 graph apart and put it together again, on graphs small enough to read."""

from __future__ import annotations

from typing import Any

import pytest

from harness.worker.tfworker.graphs import edges, prepare
from harness.worker.tfworker.graphs.attrs import bool_attr, constant, text_attr, type_attr
from harness.worker.tfworker.graphs.control_flow import IF, WHILE, fold_constant_conditions, frames_of, functionalise
from harness.worker.tfworker.graphs.hoist import hoist_reads
from harness.worker.tfworker.graphs.names import arguments
from harness.worker.tfworker.graphs.refs import Unsupported, to_resources
from harness.worker.tfworker.graphs.tensor_arrays import to_lists

FLOAT = "DT_FLOAT"


def node(name: str, op: str, *inputs: str, **attrs: Any) -> dict[str, Any]:
    return {"name": name, "op": op, "inputs": list(inputs), "attrs": {"T": type_attr(FLOAT), **attrs}}


def variable(name: str) -> dict[str, Any]:
    return node(name, "VariableV2", dtype=type_attr(FLOAT), shape={"shape": {}})


def named(nodes: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {item["name"]: item for item in nodes}


# --- edges


def test_edges_are_split_and_joined() -> None:
    for ref in ("a", "a:1", "^a", "scope/a:12"):
        assert edges.join(*edges.split(ref)) == ref
    assert edges.split("a:0") == ("a", 0)


def test_a_cycle_is_named() -> None:
    with pytest.raises(ValueError, match="cycle through"):
        edges.in_order([node("a", "Identity", "b"), node("b", "Identity", "a")])


def test_a_long_chain_needs_no_recursion() -> None:
    chain = [node(f"n{i}", "Identity", *([f"n{i - 1}"] if i else [])) for i in range(5000)]
    assert edges.in_order(chain[::-1])[0]["name"] == "n0"


# --- references


def test_reads_and_writes_become_operations_on_resources() -> None:
    done = named(
        to_resources(
            [variable("v"), node("r", "Identity", "v"), node("a", "AssignAdd", "v", "x"), node("s", "Sqrt", "a")]
        )
    )
    assert done["v"]["op"] == "VarHandleOp"
    assert (done["r"]["op"], done["r"]["inputs"]) == ("ReadVariableOp", ["v"])
    assert (done["a"]["op"], done["a"]["inputs"]) == ("AssignAddVariableOp", ["v", "x"])
    read = done[done["s"]["inputs"][0]]
    assert read["inputs"] == ["v", "^a"]  # what follows the write reads after it


def test_a_read_waits_for_what_its_reader_waited_for() -> None:
    done = named(to_resources([variable("v"), node("u", "NoOp"), node("s", "Sqrt", "v", "^u")]))
    assert done[edges.data_inputs(done["s"])[0]]["inputs"] == ["v", "^u"]


def test_optimizers_update_the_variable_and_its_slots() -> None:
    nodes = [variable("v"), variable("m"), node("u", "ApplyMomentum", "v", "m", "lr", "g", "mu")]
    done = named(to_resources(nodes))["u"]
    assert (done["op"], done["inputs"]) == ("ResourceApplyMomentum", ["v", "m", "lr", "g", "mu"])


def test_a_reference_without_counterpart_is_named() -> None:
    with pytest.raises(Unsupported, match="sel .RefSelect."):
        to_resources([variable("v"), node("sel", "RefSelect", "i", "v")])


# --- loops


def loop(body: str = "Tanh") -> list[dict[str, Any]]:
    enter: dict[str, Any] = {"frame_name": text_attr("while/ctx"), "parallel_iterations": {"i": "10"}}
    return [
        node("x", "Placeholder"),
        node("w", "Placeholder"),
        node("enter", "Enter", "x", **enter),
        node("const", "Enter", "w", **enter, is_constant=bool_attr(True)),
        node("merge", "Merge", "enter", "next"),
        node("less", "Less", "merge", "const"),
        node("go", "LoopCond", "less"),
        node("switch", "Switch", "merge", "go"),
        node("body", body, "switch:1", "const"),
        node("next", "NextIteration", "body"),
        node("exit", "Exit", "switch"),
        node("y", "Neg", "exit"),
    ]


def test_a_frame_becomes_a_loop_with_a_condition_and_a_body() -> None:
    done = functionalise(loop())
    made = next(item for item in done if item["op"] == WHILE)
    assert made["inputs"] == ["x"]
    assert made["parallel_iterations"] == 10
    assert made["cond"]["parameters"] == made["body"]["parameters"] == ["merge"]
    assert [(n["name"], n["inputs"]) for n in made["cond"]["nodes"]] == [("less", ["merge", "w"])]
    assert [(n["name"], n["inputs"]) for n in made["body"]["nodes"]] == [("body", ["merge", "w"])]
    assert (made["cond"]["results"], made["body"]["results"]) == (["less"], ["body"])
    exit_ = named(done)["exit"]
    assert (exit_["op"], exit_["inputs"]) == ("Identity", [made["name"]])
    assert not {"Enter", "Exit", "Merge", "Switch", "NextIteration", "LoopCond"} & {n["op"] for n in done}


def test_an_inner_loop_that_counts_from_a_constant_lies_inside_of_the_outer_one() -> None:
    """Its counter comes from outside of all loops, its value from inside of the outer loop."""
    nodes = [
        node("x", "Placeholder"), node("zero", "Const"), node("x_in", "Enter", "x", frame_name={"s": "b3V0"}),
        node("i_in", "Enter", "zero", frame_name={"s": "aW4="}), node("y_in", "Enter", "x_in", frame_name={"s": "aW4="}),
        node("i", "Merge", "i_in"), node("more", "LoopCond", "i"), node("y", "Switch", "y_in", "more"),
    ]  # fmt: skip
    frames = frames_of(nodes)
    assert frames["more"] == frames["y"] == frames["i"] == ("out", "in")
    assert frames["x_in"] == ("out",)


def test_a_loop_in_unusual_form_is_refused_by_name() -> None:
    broken = [item for item in loop() if item["name"] != "next"]
    broken[4]["inputs"] = ["enter", "x"]
    with pytest.raises(Unsupported, match="merge"):
        functionalise(broken)


# --- conditionals


def choice() -> list[dict[str, Any]]:
    return [
        node("p", "Placeholder"),
        node("x", "Placeholder"),
        node("pred_id", "Identity", "p"),
        node("pivot", "Switch", "p", "p"),
        node("then", "Identity", "pivot:1"),
        node("s", "Switch", "x", "pred_id"),
        node("pos", "Neg", "s:1", "^then"),
        node("neg", "Sqrt", "s"),
        node("merge", "Merge", "neg", "pos"),
        node("y", "Neg", "merge"),
    ]


def test_switch_and_merge_become_a_conditional_whatever_names_the_predicate() -> None:
    done = functionalise(choice())
    made = next(item for item in done if item["op"] == IF)
    assert edges.data_inputs(made) == ["p"]
    assert [n["name"] for n in made["then"]["nodes"] if n["op"] == "Neg"] == ["pos"]
    assert [(n["name"], n["inputs"]) for n in made["else"]["nodes"]] == [("neg", ["x"])]
    assert (made["then"]["results"], made["else"]["results"]) == (["pos"], ["neg"])
    assert not {"Switch", "Merge"} & {n["op"] for n in done}


def test_a_branch_that_needs_both_sides_is_refused() -> None:
    wrong = [*choice()[:-2], node("both", "Add", "pos", "neg")]
    with pytest.raises(Unsupported, match="both branches"):
        functionalise(wrong)


def test_a_fixed_phase_leaves_one_branch() -> None:
    nodes = choice()
    nodes[0] = constant("p", "DT_BOOL", [], [False])
    done = named(edges.prune(fold_constant_conditions(nodes), ["y"]))
    assert "pos" not in done
    assert done["y"]["inputs"] == ["neg"]
    assert done["neg"]["inputs"] == ["x"]
    assert not {"Switch", "Merge"} & {n["op"] for n in done.values()}


def test_a_placeholder_that_is_fed_keeps_its_branches() -> None:
    nodes = [
        node("p", "PlaceholderWithDefault", "off", dtype=type_attr("DT_BOOL")),
        *choice()[1:],
        constant("off", "DT_BOOL", [], [False]),
    ]
    assert "pos" in named(prepare.folded(nodes, ["p:0", "x:0"], ["y:0"]))
    assert "pos" not in named(prepare.folded(nodes, ["x:0"], ["y:0"]))


# --- tensor arrays


def test_tensor_arrays_become_lists() -> None:
    nodes = [
        node("n", "Placeholder"),
        node("ta", "TensorArrayV3", "n", dtype=type_attr(FLOAT), element_shape={"shape": {"dim": [{"size": "3"}]}}),
        node("w", "TensorArrayWriteV3", "ta", "i", "v", "ta:1"),
        node("keep", "Identity", "w"),
        node("r", "TensorArrayReadV3", "ta", "i", "keep", dtype=type_attr(FLOAT)),
        node("size", "TensorArraySizeV3", "ta", "keep"),
    ]
    done = named(to_lists(nodes))
    assert done["ta"]["op"] == "TensorListReserve"
    assert done["w"]["inputs"] == ["ta", "i", "v"]
    assert done["keep"]["attrs"]["T"] == type_attr("DT_VARIANT")
    assert done["r"]["op"] == "TensorListGetItem"
    assert done[done["r"]["inputs"][2]]["attrs"]["value"]["tensor"]["values"] == [3]
    assert done["size"]["inputs"] == ["keep"]


def test_a_gradient_array_is_refused_by_name() -> None:
    with pytest.raises(Unsupported, match="g .TensorArrayGradV3."):
        to_lists(
            [node("ta", "TensorArrayV3", "n", dtype=type_attr(FLOAT)), node("g", "TensorArrayGradV3", "ta", "ta:1")]
        )


# --- hoisting


def test_variables_are_read_before_a_loop() -> None:
    nodes = loop("Mul")
    nodes[1] = node("w", "VarHandleOp", dtype=type_attr(FLOAT))
    read = node("read", "ReadVariableOp", "const", dtype=type_attr(FLOAT))
    for item in nodes:
        item["inputs"] = ["read" if ref == "const" else ref for ref in item["inputs"]]
    done = hoist_reads(functionalise([*nodes, read]))
    made = next(item for item in done if item["op"] == WHILE)
    inner = {n["op"] for key in ("cond", "body") for n in made[key]["nodes"]}
    assert "ReadVariableOp" not in inner
    assert [n["inputs"] for n in done if n["op"] == "ReadVariableOp"] == [["w"]]


def test_writes_are_found_by_name() -> None:
    assert prepare.writes([node("a", "AssignAdd", "v", "x"), node("i", "IsVariableInitialized", "v")]) == [
        "a (AssignAdd)"
    ]


def test_what_reaches_outside_of_the_graph_is_found_also_in_functions() -> None:
    library = [{"nodes": [node("f", "PyFuncStateless"), node("g", "Tanh")]}]
    nodes = [
        node("r", "ReadFile", "x"),
        node("s", "SaveV2", "x"),
        node("t", "LookupTableFindV2", "x"),
        node("a", "Assert", "x"),
    ]
    assert prepare.outside(nodes, library) == ["f (PyFuncStateless)", "r (ReadFile)", "s (SaveV2)"]


def test_arguments_keep_their_names_where_python_and_tensorflow_can_tell_them_apart() -> None:
    found = arguments(["x", "image/encoded", "class", "self", "a b", "a_b_", "image_encoded"])
    assert found == {
        "x": "x", "image/encoded": "image/encoded", "class": "class_", "self": "self_", "a b": "a_b__", "a_b_": "a_b_",
        "image_encoded": "image_encoded_",
    }  # fmt: skip
