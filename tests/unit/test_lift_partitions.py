"""Variables in parts: one weight of the lifted model, and their gradients apart again."""

from __future__ import annotations

import numpy as np
import pytest
from test_lift import Graph

from harness.worker.tfworker import transforms
from harness.worker.tfworker.replay_lifted import _as_in_source


def parts(g: Graph, name: str, *shapes: tuple[int, ...], axis: int = 0) -> str:
    """The edge on which the parts of a variable are joined."""
    held = [g.variable(f"{name}/part_{i}", *shape) for i, shape in enumerate(shapes)]
    whole = [sum(s[i] for s in shapes) if i == axis else n for i, n in enumerate(shapes[0])]
    return g.node(name, "ConcatV2", [*held, g.ints(f"{name}/axis", axis)], whole)


@pytest.mark.parametrize(("shapes", "axis"), [(((2, 4), (3, 4)), 0), (((5, 1), (5, 3)), 1)])
def test_parts_are_one_kernel(shapes: tuple[tuple[int, ...], ...], axis: int) -> None:
    g = Graph([None, 5])
    g.node("y", "MatMul", ["x", parts(g, "fc/kernel", *shapes, axis=axis)], [None, 4])
    found = g.lifted("y")
    assert [row["class_name"] for row in found.rows] == ["Dense"]
    assert found.rows[0]["layer"] == "fc"
    (row,) = found.weights.values()
    assert row["variable"] == "fc/kernel/part_0"
    assert row["parts"] == [["fc/kernel/part_1", "variable/fc/kernel/part_1"]]
    assert row["transforms"] == [{"op": "append", "array": "variable/fc/kernel/part_1", "axis": axis}]


def lookup(*, strategy: str) -> Graph:
    """``tf.nn.embedding_lookup`` in two parts of three rows."""
    g = Graph([None], "int64")
    tables = [g.variable(f"table/part_{i}", 3, 4) for i in range(2)]
    g.const("two", 2, "DT_INT32")
    g.const("three", 3, "DT_INT32")
    g.node("place", "FloorDiv", ["x", "three"], [None], dtype="int64")
    g.node("div", "Maximum", ["place", "place"], [None], dtype="int64")
    g.node("mod", "FloorMod", ["x", "two"], [None], dtype="int64")
    g.node("part", "Cast", [strategy], [None], dtype="int32")
    g.node("size", "Size", ["x"], [], dtype="int32")
    g.node("all", "Range", ["two", "size", "two"], [None], dtype="int32")
    for name, given in (("places", "all"), ("ids", "x")):
        g.node(name, "DynamicPartition", [given, "part"], [None], dtype="int32")
        g.nodes[-1]["outputs"].append([[None], "int32"])
    rows = [
        g.node(f"rows_{i}", "Gather", [table, f"ids:{i}" if i else "ids"], [None, 4]) for i, table in enumerate(tables)
    ]
    g.node("y", "ParallelDynamicStitch", ["places", "places:1", *rows], [None, 4])
    return g


@pytest.mark.parametrize(("strategy", "last"), [("div", "append"), ("mod", "deal")])
def test_a_lookup_in_parts_is_an_embedding(strategy: str, last: str) -> None:
    found = lookup(strategy=strategy).lifted("y")
    assert [row["class_name"] for row in found.rows] == ["Embedding"]
    assert found.rows[0]["variables"] == ["table/part_0", "table/part_1"]
    (row,) = found.weights.values()
    assert row["transforms"][-1]["op"] == last


def test_a_part_that_is_used_alone_is_no_part() -> None:
    g = lookup(strategy="div")
    g.node("sum", "Sum", ["table/part_0/read", g.ints("axes", [0, 1])], [])
    g.node("alone", "AddV2", ["y", "sum"], [None, 4])
    found = g.lifted("alone")
    assert "ParallelDynamicStitch" in {row.op for row in found.blocked}


def test_rows_are_dealt_in_turn() -> None:
    rows = np.arange(7)
    lying = np.concatenate([rows[part::3] for part in range(3)])[:, None] * np.ones((1, 2))
    assert transforms.apply(lying, [{"op": "deal", "parts": 3}])[:, 0].tolist() == rows.tolist()


@pytest.mark.parametrize("steps", [[], [{"op": "deal", "parts": 2}], [{"op": "transpose", "axes": [1, 0]}]])
def test_gradients_of_parts_come_apart_as_they_were_joined(steps: list[dict[str, object]]) -> None:
    first, second = np.arange(6.0).reshape(3, 2), np.arange(6.0, 10.0).reshape(2, 2)
    row = {
        "variable": "a", "parts": [["b", "array/b"]],
        "transforms": [{"op": "append", "array": "array/b", "axis": 0}, *steps],
    }  # fmt: skip
    made = transforms.apply(first, [{"op": "append", "value": second, "axis": 0}, *steps])
    found = _as_in_source(made, "array/a", row, {"array/a": [3, 2], "array/b": [2, 2]})
    assert np.array_equal(found["a"], first)
    assert np.array_equal(found["b"], second)
