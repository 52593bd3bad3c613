"""Lifting of small hand-made graphs: which layers they become, which weights those take, and what is named as in the way."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import pytest

from harness.lift import Lifted, lift

F32 = "float32"
X = [None, 8, 8, 3]


class Graph:
    """A graph in the making, as a bundle holds it."""

    def __init__(self, shape: list[int | None] | None = None, dtype: str = F32) -> None:
        self.nodes: list[dict[str, Any]] = []
        self.variables: list[dict[str, Any]] = []
        self.shape, self.dtype = X if shape is None else shape, dtype
        self.node("x", "Placeholder", [], self.shape, dtype=dtype)

    def node(self, name: str, op: str, inputs: list[str], shape: Any, *, dtype: str = F32, **attrs: Any) -> str:
        self.nodes.append(
            {
                "name": name, "op": op, "inputs": inputs, "outputs": [[shape, dtype]],
                "attrs": {key: attr(value) for key, value in attrs.items()},
            }
        )  # fmt: skip
        return name

    def const(self, name: str, value: Any, dtype: str = "DT_FLOAT") -> str:
        array = np.array(value)
        tensor = {"dtype": dtype, "shape": list(array.shape), "values": array.ravel().tolist()}
        attrs = {"dtype": {"type": dtype}, "value": {"tensor": tensor}}
        plain = "float32" if dtype == "DT_FLOAT" else "int32"
        self.nodes.append(
            {"name": name, "op": "Const", "inputs": [], "outputs": [[list(array.shape), plain]], "attrs": attrs}
        )
        return name

    def ints(self, name: str, value: Any) -> str:
        return self.const(name, value, "DT_INT32")

    def variable(self, name: str, *shape: int, trainable: bool = True, was_constant: bool = False) -> str:
        self.node(name, "VariableV2", [], list(shape))
        self.nodes[-1]["attrs"] = {
            "dtype": {"type": "DT_FLOAT"},
            "shape": {"shape": {"dim": [{"size": str(n)} for n in shape]}},
        }
        self.node(f"{name}/read", "Identity", [name], list(shape), T="DT_FLOAT")
        row = {"name": name, "shape": list(shape), "dtype": F32, "array": f"variable/{name}"}
        self.variables.append({**row, "trainable": trainable, "was_constant": was_constant})
        return f"{name}/read"

    def known(self, name: str, values: list[int], batch: list[int] | None = None) -> str:
        """A node whose value the source has found not to depend on data."""
        self.node(name, "Pack", ["x_shape"], [len(values)], dtype="int32")
        if not any(node["name"] == "x_shape" for node in self.nodes):
            self.node("x_shape", "Shape", ["x"], [len(self.shape)], dtype="int32")
        value: dict[str, Any] = {"dtype": "DT_INT32", "shape": [len(values)], "values": values}
        self.nodes[-1 if self.nodes[-1]["name"] == name else -2]["known"] = {
            "0": {**value, **({"batch": batch} if batch else {})}
        }
        return name

    def lifted(self, *outputs: str) -> Lifted:
        signature = {
            "inputs": {"x": {"tensor": "x:0", "shape": self.shape, "dtype": self.dtype}},
            "outputs": {name: {"tensor": f"{name}:0", "shape": None, "dtype": F32} for name in outputs},
        }
        return lift("serving_default", signature, self.nodes, self.variables, {}.__getitem__, "model")


def attr(value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"b": value}
    if isinstance(value, int):
        return {"i": str(value)}
    if isinstance(value, float):
        return {"f": value}
    if isinstance(value, list):
        return {"list": {"i": [str(n) for n in value]}}
    return {"type": value} if value.startswith("DT_") else {"s": base64.b64encode(value.encode()).decode()}


def made(found: Lifted) -> list[tuple[str, dict[str, Any]]]:
    """(class, what its config says of it) of every layer but the inputs."""
    assert found.blocked == []
    assert found.graph is not None
    return [(row["class_name"], row["config"]) for row in found.graph["layers"] if row["class_name"] != "InputLayer"]


def classes(found: Lifted) -> list[str]:
    return [name for name, _ in made(found)]


def convolution(graph: Graph, name: str = "conv", x: str = "x", padding: str = "SAME", strides: int = 1) -> str:
    kernel = graph.variable(f"{name}/kernel", 3, 3, 3, 4)
    return graph.node(
        f"{name}/Conv2D", "Conv2D", [x, kernel], [None, 8, 8, 4], strides=[1, strides, strides, 1], padding=padding,
        dilations=[1, 1, 1, 1], data_format="NHWC",
    )  # fmt: skip


def test_a_convolution_takes_its_bias_and_the_name_of_its_scope() -> None:
    graph = Graph()
    inner = convolution(graph)
    graph.node("conv/BiasAdd", "BiasAdd", [inner, graph.variable("conv/bias", 4)], [None, 8, 8, 4])
    found = graph.lifted("conv/BiasAdd")
    ((name, config),) = made(found)
    assert name == "Conv2D"
    assert (config["filters"], config["kernel_size"], config["use_bias"], config["padding"]) == (
        4,
        [3, 3],
        True,
        "same",
    )
    assert found.rows == [
        {
            "layer": "conv", "class_name": "Conv2D", "nodes": ["conv/Conv2D", "conv/BiasAdd"],
            "variables": ["conv/kernel", "conv/bias"],
        }
    ]  # fmt: skip
    assert found.weights["variable/conv/bias"]["role"] == "bias"
    assert all(row["trainable"] for row in found.weights.values())


def test_a_convolution_that_something_else_reads_keeps_its_bias_apart() -> None:
    graph = Graph()
    inner = convolution(graph)
    graph.node("sum", "Add", [inner, graph.variable("conv/bias", 4)], [None, 8, 8, 4])
    found = graph.lifted("sum", "conv/Conv2D")
    assert classes(found).count("Conv2D") == 1
    assert "Embedding" in classes(found)  # the bias is held, and trains
    assert set(found.weights) == {"variable/conv/kernel", "variable/conv/bias"}


def test_explicit_padding_becomes_a_layer_before_the_convolution() -> None:
    graph = Graph()
    convolution(graph, padding="EXPLICIT", strides=2)
    graph.nodes[-1]["attrs"]["explicit_paddings"] = attr([0, 0, 0, 1, 2, 3, 0, 0])
    (pad, pads), (conv, config) = made(graph.lifted("conv/Conv2D"))
    assert (pad, pads["padding"], conv, config["padding"]) == ("ZeroPadding2D", [[0, 1], [2, 3]], "Conv2D", "valid")


@pytest.mark.parametrize(("around", "padding"), [([2, 2], "same"), ([0, 0], "valid"), ([1, 3], "valid")])
def test_a_dilation_between_blocks_is_read_with_its_padding(around: list[int], padding: str) -> None:
    graph, extra = Graph(), [1, 1]
    pads = [[around[0], around[1] + extra[0]], [around[0], around[1] + extra[1]]]
    block, kernel = graph.ints("block", [2, 2]), graph.variable("k", 3, 3, 3, 4)
    inner = graph.node("to", "SpaceToBatchND", ["x", block, graph.ints("pads", pads)], [None, 6, 6, 3])
    inner = graph.node("conv", "Conv2D", [inner, kernel], [None, 4, 4, 4], strides=[1, 1, 1, 1], padding="VALID")
    crops = graph.ints("crops", [[0, extra[0]], [0, extra[1]]])
    graph.node("back", "BatchToSpaceND", [inner, block, crops], [None, 8, 8, 4])
    layers = made(graph.lifted("back"))
    assert [name for name, _ in layers] == (["ZeroPadding2D"] if around == [1, 3] else []) + ["Conv2D"]
    assert (layers[-1][1]["dilation_rate"], layers[-1][1]["padding"]) == ([2, 2], padding)


def test_depthwise_and_pointwise_become_one_separable_layer() -> None:
    graph = Graph()
    deep, point = graph.variable("s/depthwise_kernel", 3, 3, 3, 2), graph.variable("s/pointwise_kernel", 1, 1, 6, 5)
    more = {"strides": [1, 1, 1, 1], "dilations": [1, 1, 1, 1]}
    inner = graph.node("s/d", "DepthwiseConv2dNative", ["x", deep], [None, 8, 8, 6], padding="SAME", **more)
    graph.node("s/p", "Conv2D", [inner, point], [None, 8, 8, 5], padding="VALID", **more)
    found = graph.lifted("s/p")
    ((name, config),) = made(found)
    assert (name, config["depth_multiplier"], config["filters"]) == ("SeparableConv2D", 2, 5)
    assert {row["role"] for row in found.weights.values()} == {"depthwise_kernel", "pointwise_kernel"}


def test_a_transposed_kernel_is_told_to_the_weight() -> None:
    graph = Graph([None, 3])
    kernel = graph.variable("w", 5, 3)
    graph.node("y", "MatMul", ["x", kernel], [None, 5], transpose_b=True)
    found = graph.lifted("y")
    assert made(found)[0][1]["units"] == 5
    assert found.weights["variable/w"]["transforms"] == [{"op": "transpose", "axes": [1, 0]}]


def fused(graph: Graph, *, is_training: bool = False, trained: bool = False) -> str:
    names = [
        graph.variable(f"bn/{n}", 3, trainable=n in "gammabeta" or trained)
        for n in ("gamma", "beta", "mean", "variance")
    ]
    return graph.node(
        "bn/y", "FusedBatchNormV3", ["x", *names], X, epsilon=0.002, is_training=is_training, data_format="NHWC"
    )


def test_fused_batch_norm_becomes_a_layer_whose_statistics_do_not_train() -> None:
    graph = Graph()
    found = graph.lifted(fused(graph))
    ((name, config),) = made(found)
    assert (name, config["epsilon"], config["scale"], config["center"]) == ("BatchNormalization", 0.002, True, True)
    trained = {row["role"]: row["trainable"] for row in found.weights.values()}
    assert trained == {"gamma": True, "beta": True, "moving_mean": False, "moving_variance": False}


def test_statistics_that_the_source_trains_are_no_moving_averages() -> None:
    graph = Graph()
    found = graph.lifted(fused(graph, trained=True))
    assert "BatchNormalization" not in classes(found)
    assert all(row["trainable"] for row in found.weights.values())


def test_batch_norm_by_the_batch_is_no_layer() -> None:
    graph = Graph()
    found = graph.lifted(fused(graph, is_training=True))
    assert [(row.node, row.op) for row in found.blocked] == [("bn/y", "FusedBatchNormV3")]
    assert "is_training" in found.blocked[0].reason


def unfused(graph: Graph, form: str) -> str:
    stats = {"trainable": False}
    mean, variance = graph.variable("bn/moving_mean", 3, **stats), graph.variable("bn/moving_variance", 3, **stats)
    gamma, beta = graph.variable("bn/gamma", 3), graph.variable("bn/beta", 3)
    var = graph.node("a", "Add", [variance, graph.const("eps", 0.001)], [3])
    if form == "library":
        inv = graph.node("m", "Mul", [graph.node("r", "Rsqrt", [var], [3]), gamma], [3])
        shift = graph.node("s", "Sub", [beta, graph.node("m2", "Mul", [mean, inv], [3])], [3])
        return graph.node("y", "Add", [graph.node("m1", "Mul", ["x", inv], X), shift], X)
    centred = graph.node("c", "Sub", ["x", mean], X)
    if form == "divided":
        core = graph.node("d", "RealDiv", [centred, graph.node("r", "Sqrt", [var], [3])], X)
    else:
        core = graph.node("d", "Mul", [centred, graph.node("r", "Rsqrt", [var], [3])], X)
    return graph.node("y", "AddV2", [beta, graph.node("g", "Mul", [gamma, core], X)], X)


@pytest.mark.parametrize("form", ["library", "divided", "multiplied"])
def test_batch_norm_in_steps_is_read_as_one_layer(form: str) -> None:
    graph = Graph()
    found = graph.lifted(unfused(graph, form))
    assert classes(found) == ["BatchNormalization"]
    assert {row["role"]: row["variable"] for row in found.weights.values()} == {
        role: f"bn/{role}" for role in ("gamma", "beta", "moving_mean", "moving_variance")
    }


def test_layer_norm_is_told_from_batch_norm_by_where_its_moments_come_from() -> None:
    graph = Graph([None, 6])
    axes = graph.ints("axes", [1])
    mean = graph.node("mean", "Mean", ["x", axes], [None, 1], keep_dims=True)
    squared = graph.node(
        "sq", "SquaredDifference", ["x", graph.node("stop", "StopGradient", [mean], [None, 1])], [None, 6]
    )
    variance = graph.node("var", "Mean", [squared, axes], [None, 1], keep_dims=True)
    var = graph.node("a", "Add", [variance, graph.const("eps", 1e-12)], [None, 1])
    inv = graph.node("m", "Mul", [graph.node("r", "Rsqrt", [var], [None, 1]), graph.variable("ln/gamma", 6)], [None, 6])
    shift = graph.node(
        "s", "Sub", [graph.variable("ln/beta", 6), graph.node("m2", "Mul", [mean, inv], [None, 6])], [None, 6]
    )
    graph.node("y", "Add", [graph.node("m1", "Mul", ["x", inv], [None, 6]), shift], [None, 6])
    ((name, config),) = made(graph.lifted("y"))
    assert (name, config["axis"], config["epsilon"]) == ("LayerNormalization", -1, float(np.float32(1e-12)))


def test_weights_that_are_used_twice_are_one_layer_called_twice() -> None:
    graph = Graph([None, 3])
    kernel = graph.variable("w/kernel", 3, 3)
    first = graph.node("one", "MatMul", ["x", kernel], [None, 3])
    graph.node("two", "MatMul", [first, kernel], [None, 3])
    found = graph.lifted("two")
    assert classes(found) == ["Dense"]
    assert found.graph is not None
    assert len(found.graph["layers"][1]["calls"]) == 2
    assert found.rows[0]["nodes"] == ["one", "two"]


def test_weights_that_two_kinds_of_layers_want_are_held_and_read_by_both() -> None:
    graph = Graph([None, 3])
    kernel = graph.variable("w/kernel", 3, 3)
    first = graph.node("one", "MatMul", ["x", kernel], [None, 3])
    graph.node("two", "MatMul", [first, kernel], [None, 3], transpose_b=True)
    found = graph.lifted("two")
    assert "Dense" not in classes(found)
    assert classes(found).count("Embedding") == 1
    assert found.weights["variable/w/kernel"]["trainable"]


def test_rows_of_a_table_are_an_embedding() -> None:
    graph = Graph([None, 4], "int32")
    table = graph.variable("table", 9, 5)
    graph.node("y", "GatherV2", [table, "x", graph.ints("axis", 0)], [None, 4, 5])
    ((name, config),) = made(graph.lifted("y"))
    assert (name, config["input_dim"], config["output_dim"]) == ("Embedding", 9, 5)


def test_a_shape_of_the_number_of_examples_leaves_it_free() -> None:
    graph = Graph([None, 12])
    graph.node("y", "Reshape", ["x", graph.known("sizes", [0, 3, 4], batch=[1, 0, 0])], [None, 3, 4])
    graph.node("z", "Reshape", ["y", graph.known("flat", [0, 4], batch=[3, 0])], [None, 4])
    (first, kept), (second, mixed) = made(graph.lifted("z"))
    assert (first, kept) == ("Reshape", {"target_shape": [3, 4]})
    assert (second, mixed) == ("Reshape", {"newshape": [-1, 4]})  # the operation, not the layer


def test_a_shape_from_data_is_named() -> None:
    graph = Graph([None, 12])
    graph.node("sizes", "Cast", ["x"], [2], dtype="int32")
    graph.node("y", "Reshape", ["x", "sizes"], [None, None])
    found = graph.lifted("y")
    assert [(row.node, row.op) for row in found.blocked] == [("y", "Reshape")]


def test_everything_that_is_in_the_way_is_named_at_once() -> None:
    graph = Graph()
    first = graph.node("lrn", "Dilation2D", ["x"], X)
    second = graph.node("relu", "Relu", [first], X)
    graph.node("svd", "Svd", [second], X)
    found = graph.lifted("svd")
    assert sorted((row.node, row.op) for row in found.blocked) == [("lrn", "Dilation2D"), ("svd", "Svd")]


def test_what_keras_lacks_is_carried_between_layers() -> None:
    graph = Graph()
    inner = graph.node("lrn", "Dilation2D", [convolution(graph)], [None, 8, 8, 4])
    inner = graph.node("svd", "Svd", [inner], [None, 8, 8, 4])
    graph.node("relu", "Relu", [inner], [None, 8, 8, 4])
    found = graph.lifted("relu")
    assert [row["class_name"] for row in found.rows] == ["Conv2D", "GraphLayer", "ReLU"]
    assert found.rows[1]["nodes"] == ["lrn", "svd"]
    assert found.graph is not None
    carried = found.graph["layers"][2]["carried"]
    assert [node["name"] for node in carried["nodes"]] == ["lrn", "svd"]
    assert (carried["phase"]["inputs"], carried["phase"]["outputs"]) == (
        ["conv/Conv2D:0"],
        [["svd:0", [None, 8, 8, 4], F32]],
    )


def test_what_lies_between_carried_nodes_is_carried_with_them() -> None:
    graph = Graph()
    first = graph.node("lrn", "Dilation2D", ["x"], X)
    relu = graph.node("relu", "Relu", [first], X)
    graph.node("svd", "Svd2", [first, relu], X)
    graph.node("y", "Tanh", ["svd"], X)
    found = graph.lifted("y")
    assert [(row["class_name"], row["nodes"]) for row in found.rows] == [
        ("GraphLayer", ["lrn", "relu", "svd"]), ("Activation", ["y"]),
    ]  # fmt: skip


def test_a_guess_of_what_trains_gives_way_to_the_layer() -> None:
    graph = Graph()
    names = [graph.variable(f"bn/{n}", 3, was_constant=True) for n in ("gamma", "beta", "a", "b")]
    graph.node("y", "FusedBatchNorm", ["x", *names], X, epsilon=0.001, is_training=False)
    found = graph.lifted("y")
    assert classes(found) == ["BatchNormalization"]
    assert not found.weights["variable/bn/a"]["trainable"]


@pytest.mark.parametrize(
    ("first", "second", "made_of"),
    [
        (
            [None, 1, 4],
            [None, 1],
            ["Negative", "Subtract"],
        ),  # Keras 3 would take (batch, 1) for a bias where batch is 4
        ([None, 4], [1, 4], ["Negative", "Subtract"]),
        ([None, 4], [4], ["Add"]),
        ([None, 3, 4], [None, 3, 4], ["Add"]),
    ],
)
def test_a_sum_whose_second_operand_could_pass_for_a_bias_is_a_difference(
    first: list[int | None], second: list[int | None], made_of: list[str]
) -> None:
    graph = Graph()
    graph.node("a", "Placeholder", [], first)
    graph.node("b", "Placeholder", [], second)
    graph.node("total", "AddV2", ["a", "b"], first)
    signature = {
        "inputs": {
            name: {"tensor": f"{name}:0", "shape": shape, "dtype": F32} for name, shape in (("a", first), ("b", second))
        },
        "outputs": {"total": {"tensor": "total:0", "shape": None, "dtype": F32}},
    }
    found = lift("serving_default", signature, graph.nodes, [], {}.__getitem__, "model")
    assert classes(found) == made_of
