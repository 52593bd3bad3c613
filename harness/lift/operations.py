"""The remaining operations, one by one: a table from TensorFlow's operation to layers and operations of Keras 3.

An entry gets the operation with its inputs (``Call``) and gives its outputs. What it cannot say exactly it refuses with
``UnknownError``, whose text stands in the report. Formulas and conventions are those of TensorFlow's and Keras's references.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from harness.lift import images, sampling, shapes
from harness.lift.calls import (
    Call,
    Make,
    activation,
    binary,
    cast,
    composed,
    floating,
    merge,
    named,
    operands,
    refuse,
    unary,
)  # fmt: skip
from harness.lift.graph import Node
from harness.lift.plan import CORE, INLINE, MATH, NN, NUMPY, QUANTIZERS, Plan, Tensor
from harness.lift.tiles import GATHER, Reader, Tile, UnknownError, attrs, flag, layer_name, number


def operation(reader: Reader, node: Node) -> Tile:
    """The tile of a single node.

    Raises:
        UnknownError: there is nothing for it in Keras.
    """
    if node["op"] not in TABLE:
        raise UnknownError("Keras has nothing that is known to be the same")
    make, constant = TABLE[node["op"]]
    if "string" in {reader.spec(edge).dtype for edge in (*node["inputs"], node["name"])}:
        raise UnknownError("strings are nothing that Keras computes on")
    wanted = []
    for position, edge in enumerate(node["inputs"]):
        if position in constant or (constant == LAST and position == len(node["inputs"]) - 1):
            continue
        if position == 0 and _is_lookup(reader, node):
            continue  # the layer takes the table itself
        known = reader.graph.known(edge)
        if known is not None and (known.batch is not None or not _too_large(known.value)):
            continue
        if known is not None and reader.whole(edge) is None:
            raise UnknownError(f"{edge} is a constant of {known.value.size} elements, too many for a configuration")
        wanted.append(position)

    def emit(plan: Plan, tensors: list[Tensor]) -> list[Tensor]:
        return make(Call(plan=plan, reader=reader, node=node, tensors=dict(zip(wanted, tensors, strict=True))))

    return Tile(inputs=tuple(node["inputs"][i] for i in wanted), nodes=(node["name"],), emit=emit)


def _too_large(value: np.ndarray[Any, Any]) -> bool:
    return value.dtype.kind == "f" and value.size > INLINE


def _softmax(c: Call) -> list[Tensor]:
    return c.layer("Softmax", {"axis": -1}, c.tensor(0))


def _leaky(c: Call) -> list[Tensor]:
    return c.layer("LeakyReLU", {"negative_slope": number(c.node, "alpha", 0.2)}, c.tensor(0))


_GLOBAL = {
    ("Mean", 3): "GlobalAveragePooling1D",
    ("Mean", 4): "GlobalAveragePooling2D",
    ("Max", 4): "GlobalMaxPooling2D",
}


def _reduction(name: str) -> Make:
    def make(c: Call) -> list[Tensor]:
        axes, keep, rank = sorted(c.numbers(1, "axes")), flag(c.node, "keep_dims"), c.given(0).rank
        if rank is None:
            raise UnknownError("its input is of unknown rank")
        axes = sorted(axis % rank for axis in axes)
        layer = _GLOBAL.get((name, rank))
        if layer and axes == list(range(1, rank - 1)) and floating(c):
            return c.layer(layer, {"keepdims": keep, "data_format": "channels_last"}, c.tensor(0))
        if not axes:
            return [c.tensor(0)]
        return c.op(NUMPY, name, {"axis": axes, "keepdims": keep}, x=c.tensor(0))

    return make


def _gather(c: Call) -> list[Tensor]:
    axis = c.number(2, "axis") if len(c.node["inputs"]) > 2 else 0
    if attrs.number(c.node, "batch_dims"):
        raise UnknownError("it gathers for each example by itself (batch_dims)")
    first, second = operands(c)
    return c.op(NUMPY, "Take", {"axis": axis}, x=first, indices=second)


def _matmul(first: str, second: str) -> Make:
    def make(c: Call) -> list[Tensor]:
        left, right = ("ji" if flag(c.node, first) else "ij"), ("kj" if flag(c.node, second) else "jk")
        a, b = operands(c)
        if (left, right) == ("ij", "jk"):
            return c.op(NUMPY, "Matmul", {}, x1=a, x2=b)
        if not isinstance(a, Tensor) or not isinstance(b, Tensor):
            raise UnknownError("it turns a constant")
        return c.op(NUMPY, "Einsum", {"subscripts": f"...{left},...{right}->...ik"}, positional=[a, b])

    return make


def _einsum(c: Call) -> list[Tensor]:
    values = [c.tensor(i) for i in range(len(c.node["inputs"]))]
    return c.op(NUMPY, "Einsum", {"subscripts": attrs.text(c.node, "equation")}, positional=values)


def _one_hot(c: Call) -> list[Tensor]:
    depth, on, off = c.number(1, "depth"), c.uniform(2, "on value"), c.uniform(3, "off value")
    axis, dtype = attrs.number(c.node, "axis", -1), c.spec().dtype
    made = c.op(NN, "OneHot", {"num_classes": depth, "axis": axis, "dtype": dtype}, x=c.tensor(0))
    if (on, off) == (1, 0):
        return made
    # Exact for what people use: the values of another pair are sums that are rounded once.
    made = c.op(NUMPY, "Multiply", {}, x1=made[0], x2=on - off)
    return c.op(NUMPY, "Add", {}, x1=made[0], x2=off)


def _arg(name: str) -> Make:
    def make(c: Call) -> list[Tensor]:
        made = c.op(NUMPY, name, {"axis": c.number(1, "axis")}, x=c.tensor(0))
        return c.op(CORE, "Cast", {"dtype": c.spec().dtype}, x=made[0])

    return make


def _select(c: Call) -> list[Tensor]:
    ranks = c.given(0).rank, c.spec().rank
    if c.node["op"] == "Select" and (None in ranks or ranks[0] not in (0, ranks[1])):
        raise UnknownError("it chooses whole rows")
    return c.op(NUMPY, "Where", {}, condition=c.tensor(0), x1=c.value(1), x2=c.value(2))


def _clip(c: Call) -> list[Tensor]:
    low, high = c.uniform(1, "lower bound"), c.uniform(2, "upper bound")
    return c.op(NUMPY, "Clip", {"x_min": low, "x_max": high}, x=c.tensor(0))


def _cumsum(c: Call) -> list[Tensor]:
    if flag(c.node, "exclusive") or flag(c.node, "reverse"):
        raise UnknownError("it sums backwards or leaves the own element out")
    return c.op(NUMPY, "Cumsum", {"axis": c.number(1, "axis")}, x=c.tensor(0))


def _top_k(c: Call) -> list[Tensor]:
    return c.op(MATH, "TopK", {"k": c.number(1, "k"), "sorted": flag(c.node, "sorted", True)}, outputs=2, x=c.tensor(0))


def _add_n(c: Call) -> list[Tensor]:
    values = [c.value(i) for i in range(len(c.node["inputs"]))]
    made = values[0]
    for value in values[1:]:
        made = c.op(NUMPY, "Add", {}, x1=made, x2=value)[0]
    return [made] if isinstance(made, Tensor) else refuse("it computes on constants")


def _is_lookup(reader: Reader, node: Node) -> bool:
    """Whether a node takes rows of a matrix of weights, by indices from data."""
    if node["op"] not in GATHER or attrs.number(node, "batch_dims"):
        return False
    weight = reader.table(node["inputs"][0])
    if weight is None or len(weight.shape) != 2 or reader.graph.known(node["inputs"][1]) is not None:
        return False
    return len(node["inputs"]) < 3 or reader.graph.numbers(node["inputs"][2]) == [0]


def _embedding(c: Call) -> list[Tensor]:
    """Rows of a table: the layer, if the table is a matrix of weights."""
    weight = c.reader.table(c.node["inputs"][0])
    if weight is None or not _is_lookup(c.reader, c.node):
        return _gather(c)
    config = {"input_dim": weight.shape[0], "output_dim": weight.shape[1]}
    weights, inputs = {"embeddings": weight}, [c.tensor(1)]
    return [
        c.plan.layer(
            "Embedding",
            config,
            inputs,
            c.spec(),
            name=layer_name([weight], c.node) if weight.parts else weight.edge,
            nodes=[c.name],
            weights=weights,
        )
    ]


def _quotient(c: Call) -> list[Tensor]:
    """Division as old graphs write it: of whole numbers it would cut towards zero."""
    return binary("TrueDivide")(c) if floating(c) else refuse("it divides whole numbers")


def _fake_quant(c: Call) -> list[Tensor]:
    """Rounding to what quantised numbers could say, with TensorFlow's own kernels."""
    low, high = (c.value(i) for i in (1, 2)) if len(c.node["inputs"]) > 1 else (
        np.array(number(c.node, key, default), np.float32) for key, default in (("min", -6.0), ("max", 6.0))
    )  # fmt: skip
    config = {
        "num_bits": attrs.number(c.node, "num_bits", 8), "narrow_range": flag(c.node, "narrow_range"),
        "axis": -1 if c.node["op"].endswith("PerChannel") else None,
    }  # fmt: skip
    return c.op(QUANTIZERS, "FakeQuantWithMinMaxVars", config, inputs=c.tensor(0), min_vals=low, max_vals=high)


NONE: tuple[int, ...] = ()
#: the last input is a constant, such as the axis of ConcatV2
LAST = (-1,)
#: operation → how it is made, and which of its inputs say how rather than what
TABLE: dict[str, tuple[Make, tuple[int, ...]]] = {
    **{op: (unary(NUMPY, name), NONE) for op, name in {
        "Neg": "Negative", "Exp": "Exp", "Expm1": "Expm1", "Log": "Log", "Log1p": "Log1p", "Sqrt": "Sqrt", "Square": "Square",
        "Abs": "Absolute", "Sign": "Sign", "Floor": "Floor", "Ceil": "Ceil", "Round": "Round", "Rint": "Round", "Sin": "Sin",
        "Cos": "Cos", "Tan": "Tan", "Sinh": "Sinh", "Cosh": "Cosh", "Asin": "Arcsin", "Acos": "Arccos", "Atan": "Arctan",
        "Asinh": "Arcsinh", "Acosh": "Arccosh", "Atanh": "Arctanh", "Reciprocal": "Reciprocal", "Inv": "Reciprocal",
        "LogicalNot": "LogicalNot", "IsNan": "Isnan", "IsFinite": "Isfinite", "IsInf": "Isinf", "ZerosLike": "ZerosLike",
        "OnesLike": "OnesLike",
    }.items()},
    "Rsqrt": (unary(MATH, "Rsqrt"), NONE), "Erf": (unary(MATH, "Erf"), NONE), "Softsign": (named("softsign"), NONE),
    "Relu": (activation("ReLU"), NONE), "Relu6": (activation("ReLU", max_value=6.0), NONE), "LeakyRelu": (_leaky, NONE),
    "Elu": (activation("ELU"), NONE), "Selu": (named("selu"), NONE), "Sigmoid": (named("sigmoid"), NONE),
    "Tanh": (named("tanh"), NONE), "Softplus": (named("softplus"), NONE), "Softmax": (_softmax, NONE),
    "LogSoftmax": (named("log_softmax"), NONE), "StopGradient": (lambda c: c.op(CORE, "StopGradient", {}, variable=c.tensor(0)), NONE),
    "Add": (merge("Add", "Add"), NONE), "AddV2": (merge("Add", "Add"), NONE), "BiasAdd": (images.bias_add, NONE),
    "BiasAddV1": (binary("Add"), NONE), "AddN": (_add_n, NONE),
    "Sub": (merge("Subtract", "Subtract"), NONE), "Mul": (merge("Multiply", "Multiply"), NONE),
    **{op: (binary(name), NONE) for op, name in {
        "RealDiv": "TrueDivide", "Maximum": "Maximum", "Minimum": "Minimum", "Pow": "Power", "FloorDiv": "FloorDivide",
        "FloorMod": "Mod", "Greater": "Greater", "GreaterEqual": "GreaterEqual", "Less": "Less", "LessEqual": "LessEqual",
        "Equal": "Equal", "NotEqual": "NotEqual", "LogicalAnd": "LogicalAnd", "LogicalOr": "LogicalOr", "Atan2": "Arctan2",
    }.items()},
    "SquaredDifference": (composed("Subtract", "Square"), NONE),
    "MatMul": (_matmul("transpose_a", "transpose_b"), NONE), "BatchMatMul": (_matmul("adj_x", "adj_y"), NONE),
    "BatchMatMulV2": (_matmul("adj_x", "adj_y"), NONE), "Einsum": (_einsum, NONE),
    "Conv2D": (images.linear("Conv"), NONE), "Conv3D": (images.linear("Conv"), NONE),
    "DepthwiseConv2dNative": (images.linear("DepthwiseConv"), NONE),
    **dict.fromkeys(("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3"), (images.fused_norm, NONE)),
    "MaxPool": (images.pooling("MaxPooling"), NONE), "MaxPoolV2": (images.pooling("MaxPooling"), (1, 2)),
    "AvgPool": (images.pooling("AveragePooling"), NONE), "MaxPool3D": (images.pooling("MaxPooling"), NONE),
    "AvgPool3D": (images.pooling("AveragePooling"), NONE),
    **{name: (_reduction(name), (1,)) for name in ("Mean", "Sum", "Max", "Min", "Prod", "All", "Any")},
    "Reshape": (shapes.reshape, (1,)), "Squeeze": (shapes.squeeze, NONE), "Transpose": (shapes.transpose, (1,)),
    "ExpandDims": (lambda c: c.op(NUMPY, "ExpandDims", {"axis": c.number(1, "axis")}, x=c.tensor(0)), (1,)),
    "ConcatV2": (shapes.concat, LAST), "Concat": (shapes.concat, (0,)), "Pack": (shapes.stack, NONE), "Unpack": (shapes.unstack, NONE),
    "Split": (shapes.split, (0,)), "SplitV": (shapes.split, (1, 2)), "StridedSlice": (shapes.strided_slice, (1, 2, 3)), "Slice": (shapes.cut, (1, 2)),
    "Gather": (_embedding, NONE), "ResourceGather": (_embedding, NONE), "GatherV2": (_embedding, (2,)),
    "Pad": (images.pad, (1,)), "PadV2": (images.pad, (1, 2)), "MirrorPad": (images.mirror, (1,)),
    "Tile": (shapes.tile, (1,)), "Fill": (shapes.fill, (0, 1)), "Range": (shapes.count, (0, 1, 2)), "ReverseV2": (
        lambda c: c.op(NUMPY, "Flip", {"axis": c.numbers(1, "axes")}, x=c.tensor(0)), (1,)),
    "OneHot": (_one_hot, (1, 2, 3)), "Cast": (cast, NONE), "ArgMax": (_arg("Argmax"), (1,)), "ArgMin": (_arg("Argmin"), (1,)),
    "Select": (_select, NONE), "SelectV2": (_select, NONE), "ClipByValue": (_clip, (1, 2)), "Cumsum": (_cumsum, (1,)),
    "TopKV2": (_top_k, (1,)), "DepthToSpace": (images.blocks("DepthToSpace"), NONE), "SpaceToDepth": (images.blocks("SpaceToDepth"), NONE),
    "ResizeNearestNeighbor": (sampling.resize(sampling.nearest, "nearest"), (1,)),
    "ResizeBilinear": (sampling.resize(sampling.bilinear, "bilinear"), (1,)),
    "ResizeBicubic": (sampling.resize(sampling.bicubic), (1,)), "LRN": (sampling.response, NONE),
    "ExtractImagePatches": (sampling.patches, NONE), "Div": (_quotient, NONE), "DivNoNan": (binary("DivideNoNan"), NONE),
    **dict.fromkeys(
        ("FakeQuantWithMinMaxVars", "FakeQuantWithMinMaxVarsPerChannel", "FakeQuantWithMinMaxArgs"), (_fake_quant, NONE)
    ),
}  # fmt: skip
