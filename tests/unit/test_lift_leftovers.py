"""What training and old versions left in a graph: dropout that is off, operations that were renamed."""

from __future__ import annotations

from typing import Any

import pytest
from test_lift import Graph, X

from harness.worker.tfworker.graphs.renew import renewed

SHAPE = [None, 8, 8, 3]


def dropout(keep: float, form: str) -> Graph:
    """``x`` behind a dropout that keeps a share, in the spelling of a version of TF1."""
    g = Graph()
    g.const("keep", keep)
    g.const("drop", 1 - keep)
    g.const("one", 1.0)
    g.const("nothing", 0.0)
    g.known("sizes", [0, 8, 8, 3], [1, 0, 0, 0])
    g.node("random", "RandomUniform", ["sizes"], SHAPE)
    g.node("range", "Mul", ["random", "one"], SHAPE)
    g.node("uniform", "Add", ["range", "nothing"], SHAPE)
    if form == "floor":
        g.node("sum", "Add", ["keep", "uniform"], SHAPE)
        g.node("mask", "Floor", ["sum"], SHAPE)
        g.node("scaled", "RealDiv", ["x", "keep"], SHAPE)
    else:
        at, than = {"GreaterEqual": ("uniform", "drop"), "Less": ("uniform", "keep"), "Greater": ("keep", "uniform")}[
            form
        ]
        g.node("test", form, [at, than], SHAPE, dtype="bool")
        g.node("mask", "Cast", ["test"], SHAPE)
        g.node("scaled", "Mul", ["x", "keep"], SHAPE)
    g.node("y", "Mul", ["scaled", "mask"], SHAPE)
    g.node("out", "Relu", ["y"], SHAPE)
    return g


@pytest.mark.parametrize("form", ["floor", "GreaterEqual", "Less", "Greater"])
def test_dropout_that_is_off_is_left_out(form: str) -> None:
    found = dropout(1.0, form).lifted("out")
    assert found.blocked == []
    assert [row["class_name"] for row in found.rows] == ["ReLU"]


@pytest.mark.parametrize("form", ["floor", "GreaterEqual", "Less", "Greater"])
def test_dropout_that_is_on_is_not(form: str) -> None:
    assert [row.op for row in dropout(0.5, form).lifted("out").blocked] == ["RandomUniform"]


def test_a_mask_that_spreads_a_tensor_is_no_mask() -> None:
    g = Graph()
    g.const("one", [[[[1.0]] * 8]])
    g.node("y", "Mul", ["x", "one"], [None, 8, 8, 3])
    g.nodes[0]["outputs"] = [[[None, 1, 8, 3], "float32"]]
    assert [row["class_name"] for row in g.lifted("y").rows] == ["numpy.Multiply"]


def old(op: str, inputs: list[str], **attrs: Any) -> list[dict[str, Any]]:
    return renewed([{"name": "y", "op": op, "inputs": inputs, "attrs": attrs}])


def test_batch_norm_of_2015_is_written_out_and_read_as_a_layer() -> None:
    g = Graph(X)
    names = [
        g.variable(f"n/{role}", 3, trainable=role in ("beta", "gamma")) for role in ("mean", "var", "beta", "gamma")
    ]
    g.node("y", "BatchNormWithGlobalNormalization", ["x", *names], X)
    g.nodes[-1]["attrs"] = {
        "T": {"type": "DT_FLOAT"}, "variance_epsilon": {"f": 0.25}, "scale_after_normalization": {"b": True},
    }  # fmt: skip
    found = g.lifted("y")
    assert [row["class_name"] for row in found.rows] == ["BatchNormalization"]
    assert found.graph is not None
    assert found.graph["layers"][-1]["config"]["epsilon"] == 0.25
    assert found.weights["variable/n/gamma"]["role"] == "gamma"


def test_what_was_renamed_has_its_new_name() -> None:
    assert [node["op"] for node in old("BatchMatrixBandPart", ["x", "a", "b"])] == ["MatrixBandPart"]
    count, node = old("TopK", ["x", "^first"], k={"i": "3"})
    assert count["attrs"]["value"]["tensor"]["values"] == [3]
    assert (node["op"], node["inputs"], node["attrs"]) == ("TopKV2", ["x", "y/k", "^first"], {})
