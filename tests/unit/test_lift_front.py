"""What is cut off before a network, because Keras computes on numbers."""

from __future__ import annotations

from typing import Any

import pytest
from test_lift import F32, Graph

FEATURES = [None, 6]


def decoded(*, dtype: str = "string", shape: Any = None) -> Graph:
    """Decoding that Keras has nothing for, and a dense layer."""
    g = Graph([None] if shape is None else shape, dtype)
    g.node("decoded", "DecodeWav", ["x"], FEATURES)
    g.nodes[-1]["outputs"].append([[], "int32"])
    g.node("features", "Mfcc", ["decoded", "decoded:1"], FEATURES)
    kernel = g.variable("fc/kernel", 6, 2)
    g.node("fc/MatMul", "MatMul", ["features", kernel], [None, 2])
    g.node("out", "Relu", ["fc/MatMul"], [None, 2])
    return g


def test_a_network_begins_behind_what_decodes_strings() -> None:
    found = decoded().lifted("out")
    assert found.front is not None
    assert found.graph is not None
    assert found.front.nodes == ["decoded", "features"]
    assert list(found.front.signature["inputs"]) == ["x"]
    assert found.front.signature["outputs"] == {"features": {"tensor": "features:0", "shape": FEATURES, "dtype": F32}}
    assert found.inputs == ["features"]
    assert [row["class_name"] for row in found.rows] == ["Dense", "ReLU"]
    assert [row.op for row in found.blocked] == ["Mfcc", "DecodeWav"]


def test_numbers_are_carried_inside_of_the_model() -> None:
    found = decoded(dtype=F32, shape=[None, 9]).lifted("out")
    assert found.front is None
    assert [row["class_name"] for row in found.rows] == ["GraphLayer", "Dense", "ReLU"]


def test_one_string_for_all_examples_is_no_input_of_a_model() -> None:
    g = decoded(shape=[])
    assert g.lifted("out").inputs == ["features"]
    g.node("late", "StringJoin", ["x", "x"], [], dtype="string")
    assert g.lifted("out", "late").graph is None


@pytest.mark.parametrize("trainable", [True, False])
def test_nothing_with_a_weight_is_cut_off(trainable: bool) -> None:
    g = decoded()
    scale = g.variable("scale", 6, trainable=trainable)
    g.node("scaled", "NobodyKnows", ["features", scale], FEATURES)
    g.node("y", "Relu", ["scaled"], FEATURES)
    found = g.lifted("y", "out")
    assert found.front is None or "scaled" not in found.front.nodes
