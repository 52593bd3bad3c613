"""Functions of TensorFlow in a Keras 2 graph, as operations of Keras 3."""

from __future__ import annotations

from typing import Any

import pytest

from harness import dialects
from harness.dialects import tf_ops
from harness.dialects.tf_ops import CORE, NN, NUMPY
from harness.worker.tfworker import topology

X, Y = ["x", 0, 0], ["y", 0, 0]


def call(function: str, *inputs: Any, **kwargs: Any) -> dict[str, Any]:
    """The operation of a call as TF 2.15 writes it: a constant first argument stands in the tensor's place."""
    constants = {str(i): value for i, value in enumerate(inputs) if not isinstance(value, list)}
    made = {"inputs": [i for i in inputs if isinstance(i, list)], "kwargs": {"name": None, **kwargs}}
    entry = {"config": {"function": function}, "calls": [{**made, **({"constants": constants} if constants else {})}]}
    return tf_ops.translated(entry)


@pytest.mark.parametrize(
    ("made", "module", "class_name", "config", "kwargs"),
    [
        (call("math.multiply", X, y=2.5), NUMPY, "Multiply", {}, {"x1": X, "x2": 2.5}),
        (call("math.subtract", 1.0, y=X), NUMPY, "Subtract", {}, {"x1": 1.0, "x2": X}),
        (call("math.reduce_mean", X, axis=1), NUMPY, "Mean", {"axis": 1, "keepdims": False}, {"x": X}),
        (call("concat", X, Y, axis=1), NUMPY, "Concatenate", {"axis": 1}, {"xs": [X, Y]}),
        (call("cast", X, dtype="float64"), CORE, "Cast", {"dtype": "float64"}, {"x": X}),
        (call("nn.leaky_relu", X), NN, "LeakyRelu", {"negative_slope": 0.2}, {"x": X}),
        (
            call("__operators__.getitem", X, slice_spec=[{"start": 1, "stop": None, "step": 2}, {"class_name": "__ellipsis__"}, 0]),
            NUMPY, "GetItem", {}, {"x": X, "key": {"tuple": [{"slice": [1, None, 2]}, "...", 0]}},
        ),
    ],
)  # fmt: skip
def test_functions(made: Any, module: str, class_name: str, config: Any, kwargs: Any) -> None:
    assert made == {
        "class_name": class_name, "module": module, "config": config, "calls": [{"inputs": [], "kwargs": kwargs}]
    }  # fmt: skip


def test_a_transposed_product_is_a_sum_over_indices() -> None:
    made = call("linalg.matmul", X, b=Y, transpose_b=True)
    assert (made["class_name"], made["config"]) == ("Einsum", {"subscripts": "...ij,...kj->...ik"})
    assert made["calls"] == [{"inputs": [X, Y], "kwargs": {}}]


@pytest.mark.parametrize(
    ("function", "inputs", "kwargs", "reason"),
    [
        ("image.resize", [X], {"size": [2, 2]}, "no operation"),
        ("math.multiply", [X], {"y": 2.0, "colour": 1}, "not known: colour"),
        ("math.multiply", [X], {"y": [[1.0, 2.0]]}, "y is a constant array"),
        ("reshape", [X], {"shape": [Y, 6]}, "shape is computed"),
        ("math.cumsum", [X], {"reverse": True}, "reverse has another value"),
        ("math.l2_normalize", [X], {"axis": 1, "epsilon": 0.1}, "epsilon has another value"),
        ("split", [X], {"num_or_size_splits": [1, 2]}, "given sizes"),
        ("math.multiply", [X], {}, "without y"),
    ],
)
def test_what_is_not_known_is_refused(function: str, inputs: Any, kwargs: Any, reason: str) -> None:
    with pytest.raises(tf_ops.UnknownError, match=reason):
        call(function, *inputs, **kwargs)


def config(*nodes: Any) -> dict[str, Any]:
    given = {"name": "x", "class_name": "InputLayer", "config": {"batch_input_shape": [None, 3]}, "inbound_nodes": []}
    added = {"name": "f", "class_name": "TFOpLambda", "config": {"name": "f", "function": "math.subtract"}}
    return {
        "name": "net", "layers": [given, {**added, "inbound_nodes": list(nodes)}],
        "input_layers": [["x", 0, 0]], "output_layers": [["f", 0, 0]],
    }  # fmt: skip


def test_constants_of_a_call_are_read_and_translated() -> None:
    graph = topology.parse("Functional", config(["_CONSTANT_VALUE", -1, 1.0, {"y": X, "name": None}]))
    assert graph["layers"][1]["calls"] == [{"inputs": [], "kwargs": {"y": X, "name": None}, "constants": {"0": 1.0}}]
    done = dialects.translate(graph, [], "tf2.15", "keras-3", {})
    assert done.obstacles == ()
    assert done.graph["layers"][1]["calls"] == [{"inputs": [], "kwargs": {"x1": 1.0, "x2": X}}]
    assert [change.after for change in done.ledger] == ["keras.ops (Subtract)"]


def test_a_function_without_an_equivalent_is_an_obstacle_that_names_it() -> None:
    graph = topology.parse("Functional", config(["x", 0, 0, {"y": X}]))
    graph["layers"][1]["config"]["function"] = "math.bincount"
    (obstacle,) = dialects.translate(graph, [], "tf2.15", "keras-3", {}).obstacles
    assert obstacle.reason == "tf.math.bincount: no operation of Keras 3 is known to be the same"


def test_attention_of_heads_takes_its_shapes_from_its_inputs() -> None:
    config = {
        "name": "l",
        "num_heads": 2,
        "key_dim": 3,
        "query_shape": [None, 4, 6],
        "key_shape": [None, 4, 6],
        "value_shape": [None, 4, 6],
    }
    layer = {"name": "l", "class_name": "MultiHeadAttention", "config": config}
    given = {"name": "x", "class_name": "InputLayer", "config": {"batch_input_shape": [None, 4, 6]}}
    graph = {
        "name": "net", "kind": "functional", "inputs": [X], "outputs": [["l", 0, 0]],
        "layers": [
            {**given, "calls": [{"inputs": [], "kwargs": {}}]},
            {**layer, "calls": [{"inputs": [X], "kwargs": {"value": X}}]},
        ],
    }  # fmt: skip
    done = dialects.translate(graph, [], "tf2.15", "keras-3", {})
    assert done.obstacles == ()
    assert done.graph["layers"][1]["config"] == {"name": "l", "num_heads": 2, "key_dim": 3}
