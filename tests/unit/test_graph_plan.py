"""Graphs are read, and their inputs and outputs proposed, without TensorFlow; checkpoints are found by any of their files."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import graph_plan
from harness.artifact import sniff
from harness.artifact.checkpoints import checkpoint_files, find_checkpoint
from harness.artifact.graph_candidates import named, propose
from harness.artifact.graph_messages import GraphFacts, GraphNode, read_graphs
from harness.artifact.wire import WireError
from harness.errors import HarnessError

TEXT = """
node { name: "x" op: "Placeholder" attr { key: "dtype" value { type: DT_FLOAT } }
       attr { key: "shape" value { shape { dim { size: -1 } dim { size: 3 } } } } }
node { name: "w" op: "VariableV2" attr { key: "dtype" value { type: DT_FLOAT } } }
node { name: "layer/y" op: "MatMul" input: "x" input: "w" }  # the model
versions { producer: 134 }
"""


def graph(*nodes: tuple[str, ...], **dtypes: str) -> GraphFacts:
    return GraphFacts(nodes=tuple(GraphNode(name=n, op=op, inputs=i, dtype=dtypes.get(n)) for n, op, *i in nodes))


def refused(code: str) -> pytest.RaisesExc[HarnessError]:
    return pytest.raises(HarnessError, check=lambda error: error.code == code)


# --- reading


def test_a_graph_in_text_form_is_read(tmp_path: Path) -> None:
    (tmp_path / "g.pbtxt").write_text(TEXT)
    (facts,) = read_graphs(tmp_path / "g.pbtxt")
    assert facts.placeholders == (GraphNode(name="x", op="Placeholder", dtype="float32", shape=(None, 3)),)
    assert [n.name for n in facts.variables] == ["w"]
    assert propose(facts).outputs == {"y": "layer/y:0"}


@pytest.mark.parametrize("text", ["node {", "node { name: }", "node { name: 'x' op: @ }", "node {" * 100])
def test_damaged_text_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "g.pbtxt").write_text(text)
    with pytest.raises(WireError):
        read_graphs(tmp_path / "g.pbtxt")


def test_a_graph_that_is_cut_off_is_told_from_other_files(tmp_path: Path) -> None:
    node = b"\x0a\x06\x0a\x01%c\x12\x01A"
    whole = b"".join(node % letter for letter in b"abc")
    (tmp_path / "g.pb").write_bytes(whole)
    assert sniff(tmp_path / "g.pb").operations == {"A": 3}
    (tmp_path / "g.pb").write_bytes(whole[:-3])
    with refused("source-truncated"):
        sniff(tmp_path / "g.pb")


# --- candidates


def test_a_loss_and_its_labels_are_no_part_of_the_model() -> None:
    facts = graph(
        ("x", "Placeholder"), ("labels", "Placeholder"), ("w", "VariableV2"), ("w/read", "Identity", "w"),
        ("logits", "MatMul", "x", "w/read"), ("pred", "Softmax", "logits"), ("flat", "Reshape", "logits"),
        ("loss", "SoftmaxCrossEntropyWithLogits", "flat", "labels"), ("gradients/g", "Mul", "loss"),
        ("train", "ApplyGradientDescent", "w", "gradients/g"),
    )  # fmt: skip
    found = propose(facts)
    assert found.inputs == {"x": "x:0"}
    assert set(found.outputs) == {"pred", "logits"}


def test_what_dropout_and_the_phase_need_is_fixed() -> None:
    facts = graph(
        ("x", "Placeholder"), ("keep_prob", "Placeholder"), ("is_training", "Placeholder"),
        ("d/random_uniform", "Add", "x"), ("d/add", "Add", "keep_prob", "d/random_uniform"),
        ("d/div", "RealDiv", "x", "keep_prob"), ("d/mul", "Mul", "d/div", "d/add"), ("y", "Switch", "d/mul", "is_training"),
        keep_prob="float32", is_training="bool",
    )  # fmt: skip
    found = propose(facts)
    assert found.fixed == {"keep_prob:0": 1.0, "is_training:0": False}
    assert found.inputs == {"x": "x:0"}


def test_rates_of_dropout_are_known_by_what_is_done_with_them() -> None:
    facts = graph(
        ("x", "Placeholder"), ("keep", "Placeholder"), ("rate", "Placeholder"), ("other", "Placeholder"),
        ("sub", "Sub", "one", "keep"), ("random_uniform", "Add", "r"), ("a", "GreaterEqual", "random_uniform", "sub"),
        ("b", "GreaterEqual", "random_uniform", "rate"), ("y", "Select", "a", "b", "x", "other"),
        keep="float32", rate="float32", other="float32",
    )  # fmt: skip
    assert propose(facts).fixed == {"keep:0": 1.0, "rate:0": 0.0}


def test_moving_averages_are_no_output() -> None:
    facts = graph(
        ("x", "Placeholder"), ("w", "VariableV2"), ("y", "Mul", "x", "w"), ("mean", "Mean", "x", "w"),
        ("scaled", "Mul", "mean"), ("update", "AssignSub", "w", "scaled"),
    )  # fmt: skip
    assert list(propose(facts).outputs) == ["y"]


def test_what_a_metric_counts_is_an_output() -> None:
    facts = graph(
        ("x", "Placeholder"), ("labels", "Placeholder"), ("w", "VariableV2"), ("count", "VariableV2"), ("y", "Mul", "x", "w"),
        ("equal", "Equal", "y", "labels"), ("sum", "Sum", "equal"), ("update", "AssignAdd", "count", "sum"),
    )  # fmt: skip
    assert list(propose(facts).outputs) == ["y"]


def test_what_goes_round_a_loop_is_no_output() -> None:
    facts = graph(
        ("x", "Placeholder"), ("enter", "Enter", "x"), ("merge", "Merge", "enter", "next"), ("switch", "Switch", "merge"),
        ("inside", "Tanh", "switch"), ("next", "NextIteration", "inside"), ("exit", "Exit", "switch"), ("y", "Neg", "exit"),
    )  # fmt: skip
    assert list(propose(facts).outputs.values()) == ["y:0"]


def test_arguments_are_called_by_the_last_part_of_a_name() -> None:
    assert named(["a/x:0", "b/x", "x:1"]) == {"x": "a/x:0", "b_x": "b/x:0", "x_1": "x:1"}


# --- the command line's words


def test_tensors_and_values_are_parsed() -> None:
    assert graph_plan.parse_tensors(("a/b", "image=c:1"), "--input-tensor") == {"b": "a/b:0", "image": "c:1"}
    assert graph_plan.parse_fixed(("p=false", "k=0.5", "n:1=3", "s=text")) == {
        "p:0": False,
        "k:0": 0.5,
        "n:1": 3,
        "s:0": "text",
    }
    for wrong in ("=x", "a b", "^x"):
        with refused("usage"):
            graph_plan.parse_tensors((wrong,), "--input-tensor")
    with refused("usage"):
        graph_plan.parse_fixed(("p",))


def test_a_plan_says_what_it_proposes(tmp_path: Path) -> None:
    (tmp_path / "g.pbtxt").write_text(TEXT)
    plan = graph_plan.make(sniff(tmp_path / "g.pbtxt"), graph_plan.Choices())
    assert plan.as_json()["reader"] == "read_frozen_graph"
    assert plan.note == "proposed inputs x:0; outputs layer/y:0"
    with refused("tensor-unknown"):
        graph_plan.make(sniff(tmp_path / "g.pbtxt"), graph_plan.Choices(outputs={"z": "z:0"}))
    with refused("pair-unsupported"):
        graph_plan.make(sniff(tmp_path / "g.pbtxt"), graph_plan.Choices(), source_env="tf2.15")


# --- checkpoints


def checkpoint(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).write_bytes(b"x")
    return folder


@pytest.mark.parametrize("named_by", ["m.index", "m.meta", "m.data-00000-of-00002", "m", ""])
def test_a_checkpoint_is_found_by_any_of_its_files(tmp_path: Path, named_by: str) -> None:
    checkpoint(tmp_path, "m.index", "m.meta", "m.data-00000-of-00002", "m.data-00001-of-00002")
    assert find_checkpoint(tmp_path / named_by if named_by else tmp_path).prefix == tmp_path / "m"


def test_the_latest_checkpoint_of_a_folder_is_taken(tmp_path: Path) -> None:
    for name in ("m-1", "m-2"):
        checkpoint(tmp_path, f"{name}.index", f"{name}.meta", f"{name}.data-00000-of-00001")
    with refused("source-not-recognised"):
        find_checkpoint(tmp_path)
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "elsewhere/m-2"\n')
    assert find_checkpoint(tmp_path).prefix.name == "m-2"


def test_missing_files_are_named(tmp_path: Path) -> None:
    checkpoint(tmp_path, "m.index", "m.meta", "m.data-00001-of-00003")
    with refused("source-incomplete") as caught:
        find_checkpoint(tmp_path / "m")
    assert caught.value.details == ("missing: m.data-00000-of-00003", "missing: m.data-00002-of-00003")
    (tmp_path / "m.meta").unlink()
    checkpoint(tmp_path, "m.data-00000-of-00003", "m.data-00002-of-00003")
    with refused("source-weights-only"):
        find_checkpoint(tmp_path / "m.index")


def test_a_checkpoint_is_its_own_files_only(tmp_path: Path) -> None:
    """Its folder may hold other checkpoints, and whatever else a home folder has."""
    own = {"m-1.index", "m-1.meta", "m-1.data-00000-of-00002", "m-1.data-00001-of-00002", "m-1", "m-1-00000-of-00001"}
    for name in own | {"m-10.index", "m-1-2.meta", "m-1.py", "m-1.data", "checkpoint", "secret", "m.index"}:
        (tmp_path / name).touch()
    assert {path.name for path in checkpoint_files(tmp_path / "m-1")} == own
