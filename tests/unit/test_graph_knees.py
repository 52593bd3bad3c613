"""Which inputs of an operation that chooses nearly tie, found with numpy."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from harness.verify.graphs import knees_of
from harness.verify.tolerance import relative_bound
from harness.worker.tfworker.graph_knees import chosen, pooled
from harness.worker.tfworker.graphs.names import node_of

INF = np.inf


def operation(kind: str, made_by: str = "Conv2D", **attrs: Any) -> Any:
    attrs = {"data_format": b"NHWC", "ksize": [1, 2, 2, 1], "strides": [1, 2, 2, 1], "padding": b"VALID", **attrs}
    given = SimpleNamespace(op=SimpleNamespace(type=made_by))
    return SimpleNamespace(type=kind, inputs=[given], get_attr=attrs.__getitem__)


def near(kind: str, *values: Any, share: float = 0.01, **more: Any) -> Any:
    arrays = [np.asarray(value) for value in values]
    return {row[0]: row[3].tolist() for row in chosen(operation(kind, **more), arrays, share)}


def brute(x: Any, size: int, stride: int, same: bool) -> Any:
    """Distances in windows, element by element."""
    out = np.full(x.shape, INF)
    for n, c in np.ndindex(x.shape[0], x.shape[3]):
        length = x.shape[1]
        count = -(-length // stride) if same else (length - size) // stride + 1
        before = max((count - 1) * stride + size - length, 0) // 2 if same else 0
        for i, j in np.ndindex(count, count):
            rows, columns = (
                [k for k in range(a * stride - before, a * stride - before + size) if 0 <= k < length] for a in (i, j)
            )
            places = [(n, row, column, c) for row in rows for column in columns]
            for place in places:
                rest = [x[other] for other in places if other != place]
                if rest:
                    out[place] = min(
                        out[place], abs(max(rest) - x[place]) if x[place] >= max(rest) else max(rest) - x[place]
                    )
    return out


@pytest.mark.parametrize(
    ("size", "stride", "same"), [(2, 2, False), (3, 2, True), (3, 2, False), (3, 1, True), (1, 2, False)]
)
def test_each_element_of_a_pooling_has_its_smallest_distance_of_all_windows(size: int, stride: int, same: bool) -> None:
    x = np.random.RandomState(0).randint(0, 9, (2, 6, 6, 3)).astype("float32")
    np.testing.assert_array_equal(pooled(x, (size, size), (stride, stride), same), brute(x, size, stride, same))


def test_only_windows_in_which_the_largest_has_a_rival_count() -> None:
    x = np.array([[5.0, 5.01, 9.0, 1.0], [1.0, 2.0, 1.0, 1.0]], "float32").reshape(1, 2, 4, 1)
    assert near("MaxPool", x) == {0: [0, 1]}
    assert near("MaxPool", x * 0) == {0: list(range(8))}
    assert near("MaxPool", x * 0, made_by="Relu") == {0: []}
    assert near("MaxPool", np.transpose(x, (0, 3, 1, 2)), data_format=b"NCHW", ksize=[1, 1, 2, 2]) == {}


def test_what_is_compared_counts_on_both_sides_where_it_is_whole() -> None:
    left, right = np.array([1.0, 2.0, 3.0]), np.array([1.001, 4.0, -3.0])
    assert near("Maximum", left, right) == {0: [0], 1: [0]}
    assert near("Minimum", left, np.array(2.01)) == {0: [1]}
    assert near("ClipByValue", left, np.array(1.0), np.array(3.0)) == {0: [0, 2]}


def test_a_largest_along_axes_has_rivals_along_those_only() -> None:
    x = np.array([[1.0, 1.001], [5.0, 0.9]])
    assert near("Max", x, np.array([1])) == {0: [0, 1]}
    assert near("Max", x, np.array([0])) == {0: []}
    assert near("Min", x, np.array([0, 1]), share=0.1) == {0: [0, 1, 3]}


def test_an_operation_of_a_function_is_named_after_its_node() -> None:
    assert [node_of(name) for name in ("graph/a/b", "graph_12/a", "graphs/a", "a/graph/b")] == [
        "a/b",
        "a",
        "graphs/a",
        "a/graph/b",
    ]


def test_units_are_held_only_where_nothing_but_gradients_differs_and_the_source_named_some() -> None:
    def asked(outputs: bool, gradients: bool, knees: Any = ({"node": "relu"},)) -> Any:
        sets = [{"name": "zeros"}, {"gradients": None}, {"gradients": {"by": {}, "knees": list(knees)}}]
        manifest = {"probes": {"sets": sets}, "model": {"operations": {"Conv2D": 3, "MatMul": 1, "Relu": 4}}}
        rows: Any = {"outputs": [{"ok": True}, {"ok": outputs}], "gradients": [{"ok": gradients}]}
        return knees_of(rows, SimpleNamespace(manifest=manifest))  # type: ignore[arg-type]

    assert asked(outputs=True, gradients=False) == {"reach": relative_bound("float32", 4)}
    assert asked(outputs=True, gradients=True) is None
    assert asked(outputs=False, gradients=False) is None
    assert asked(outputs=True, gradients=False, knees=()) is None
