"""Convolutions and matrix products with their bias become Conv2D, DepthwiseConv2D, SeparableConv2D, Dense and their like."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from harness.lift.graph import Node
from harness.lift.plan import Plan, Tensor, Weight
from harness.lift.tiles import (
    Reader,
    Tile,
    agree,
    attrs,
    channels_last,
    flag,
    integers,
    layer_name,
    spatial,
    typed,
)  # fmt: skip

_CONVOLUTIONS = {"Conv2D": "Conv2D", "DepthwiseConv2dNative": "DepthwiseConv2D", "Conv3D": "Conv3D"}
_ADDS = ("BiasAdd", "Add", "AddV2")


@dataclass(frozen=True, kw_only=True)
class Product:
    """A linear layer as found, without its bias.

    Attributes:
        edge: what it gives, before the bias.
        x: what it is given.
        pads: zeros to put around the input first, a pair for each spatial axis, or None.
        cuts: what is cut off of the output, likewise; zeros are added where a number is negative.
    """

    class_name: str
    config: dict[str, Any]
    weights: dict[str, Weight]
    edge: str
    x: str
    nodes: tuple[str, ...]
    pads: tuple[tuple[int, int], ...] | None = None
    units: int = 0
    cuts: tuple[tuple[int, int], ...] | None = None


def linear(reader: Reader, node: Node) -> Tile | None:
    """The tile of a linear layer that ends in ``node``, which may add the bias."""
    if node["op"] in _ADDS:
        return _with_bias(reader, node)
    product = _product(reader, node["name"])
    return None if product is None else _tile(reader, node, product, None)


def _with_bias(reader: Reader, node: Node) -> Tile | None:
    first, second = node["inputs"][:2]
    if node["op"] == "BiasAdd" and not channels_last(node):
        return None
    for given, added in ((first, second), (second, first)):
        product = _product(reader, given)
        if product is None or not reader.inside(product.nodes, node["name"]):
            continue
        if any(size < 0 for pair in product.cuts or () for size in pair):
            continue  # the bias is added to those zeros as well
        bias = reader.vector(added, product.units)
        if bias is not None and agree([*product.weights.values(), bias]):
            return _tile(reader, node, product, bias)
    return None


def _tile(reader: Reader, node: Node, product: Product, bias: Weight | None) -> Tile | None:
    inner = [name for name in product.nodes if name != node["name"]]
    weights = {**product.weights, **({"bias": bias} if bias else {})}
    if (
        not reader.inside(inner, node["name"])
        or not agree(weights.values())
        or not typed(reader, node, weights.values())
    ):
        return None
    name, config = layer_name(weights.values(), node), {**product.config, "use_bias": bias is not None}
    spec = reader.spec(node["name"])

    def emit(plan: Plan, given: list[Tensor]) -> list[Tensor]:
        x = given[0]
        if product.pads is not None:
            x = padded(plan, x, product.pads, f"{name}_pad", inner[:1])
        nodes = (*inner, node["name"])
        made = plan.layer(product.class_name, config, [x], spec, name=name, nodes=nodes, weights=weights)
        return [made if product.cuts is None else _cut(plan, made, product.cuts, name)]

    return Tile(inputs=(product.x,), nodes=(*inner, node["name"]), emit=emit, outputs=(0,))


def padded(plan: Plan, x: Tensor, pads: tuple[tuple[int, int], ...], name: str, nodes: Any = ()) -> Tensor:
    """``x`` with zeros around its spatial axes."""
    from harness.lift.graph import Spec

    shape = x.spec.shape
    sizes = None if shape is None else [
        size if not 0 < i < len(shape) - 1 or size is None else size + sum(pads[i - 1]) for i, size in enumerate(shape)
    ]  # fmt: skip
    spec = Spec(shape=None if sizes is None else tuple(sizes), dtype=x.spec.dtype)
    padding: Any = list(pads[0]) if len(pads) == 1 else [list(pair) for pair in pads]
    return plan.layer(f"ZeroPadding{len(pads)}D", {"padding": padding}, [x], spec, name=name, nodes=nodes)


def _cut(plan: Plan, x: Tensor, cuts: tuple[tuple[int, int], ...], name: str) -> Tensor:
    """``x`` without some of its rows and columns, or with zeros after them."""
    crops, zeros = ([[max(sign * size, 0) for size in pair] for pair in cuts] for sign in (1, -1))
    for class_name, sizes in (("Cropping", crops), ("ZeroPadding", zeros)):
        if any(map(any, sizes)):
            key, rank = {"Cropping": "cropping", "ZeroPadding": "padding"}[class_name], len(cuts)
            x = plan.layer(f"{class_name}{rank}D", {key: sizes}, [x], x.spec, name=f"{name}_size")
    return x


def _product(reader: Reader, edge: str) -> Product | None:
    node = reader.graph.node(edge)
    if node is None or node["name"] != edge:
        return None
    if node["op"] in _CONVOLUTIONS:
        return _separable(reader, node) or _convolution(reader, node)
    found = {
        "MatMul": _dense, "BatchToSpaceND": _dilated, "Squeeze": _one_dimensional, "Reshape": _dense_on_last_axis,
        "BatchToSpace": _dilated, **dict.fromkeys(_TRANSPOSED, _transposed),
    }.get(node["op"])  # fmt: skip
    return None if found is None else found(reader, node)


def _convolution(reader: Reader, node: Node) -> Product | None:
    """A convolution by itself; its padding may be said in numbers."""
    strides = spatial(node, "strides")
    dilations = spatial(node, "dilations") if "dilations" in node["attrs"] else None
    kernel = reader.weight(node["inputs"][1])
    if kernel is None or strides is None or not channels_last(node):
        return None
    dilations = dilations or [1] * len(strides)
    padding, pads = attrs.text(node, "padding").lower(), None
    if padding == "explicit":
        numbers = integers(node, "explicit_paddings")
        pads, padding = tuple(zip(numbers[2:-2:2], numbers[3:-2:2], strict=True)), "valid"
    return _kernel(reader, node, node["inputs"][0], kernel, strides, dilations, padding, pads, (node["name"],))


def _kernel(
    reader: Reader, node: Node, x: str, kernel: Weight, strides: list[int], dilations: list[int], padding: str,
    pads: tuple[tuple[int, int], ...] | None, nodes: tuple[str, ...],
) -> Product | None:  # fmt: skip
    if max(strides) > 1 and max(dilations) > 1:
        return None
    depthwise, sizes = node["op"].startswith("Depthwise"), list(kernel.shape[:-2])
    config: dict[str, Any] = {
        "kernel_size": sizes, "strides": strides, "dilation_rate": dilations, "padding": padding,
        "data_format": "channels_last",
    }  # fmt: skip
    units = kernel.shape[-1]
    if depthwise:
        if len(set(strides)) > 1:
            return None
        units *= kernel.shape[-2]
        config["depth_multiplier"] = kernel.shape[-1]
    else:
        given = reader.channels(x)
        if given is None or given % kernel.shape[-2]:
            return None
        config |= {"filters": units, "groups": given // kernel.shape[-2]}
    return Product(
        class_name=_CONVOLUTIONS[node["op"]], config=config, weights={"kernel": kernel}, edge=nodes[-1], x=x, nodes=nodes,
        pads=pads, units=units,
    )  # fmt: skip


def _separable(reader: Reader, node: Node) -> Product | None:
    """A depthwise convolution right before one with kernels of 1×1."""
    if node["op"] != "Conv2D":
        return None
    point, inner = _convolution(reader, node), reader.node(node["inputs"][0], "DepthwiseConv2dNative", "BatchToSpaceND")
    if point is None or inner is None or point.config["kernel_size"] != [1, 1] or point.config["groups"] != 1:
        return None
    first = _convolution(reader, inner) if inner["op"] != "BatchToSpaceND" else _dilated(reader, inner)
    if first is None or first.class_name != "DepthwiseConv2D" or point.pads or point.config["strides"] != [1, 1]:
        return None
    weights = {"depthwise_kernel": first.weights["kernel"], "pointwise_kernel": point.weights["kernel"]}
    if not reader.inside(first.nodes, node["name"]) or not agree(weights.values()):
        return None
    config = {**first.config, "filters": point.units}
    return Product(
        class_name="SeparableConv2D", config=config, weights=weights, edge=node["name"], x=first.x,
        nodes=(*first.nodes, node["name"]), pads=first.pads, units=point.units,
    )  # fmt: skip


def _dilated(reader: Reader, node: Node) -> Product | None:
    """A convolution between SpaceToBatch and BatchToSpace: TF1's way to dilate."""
    to_blocks, at = node["op"].replace("BatchToSpace", "SpaceToBatch"), node["inputs"][0]
    inner = reader.node(at, "Conv2D", "DepthwiseConv2dNative")
    found = _convolution(reader, inner) if inner else _product_of(reader, reader.node(at, "Squeeze"))
    outer = None if found is None else reader.node(found.x, to_blocks)
    if found is None or outer is None or found.pads or found.config["padding"] != "valid":
        return None
    (rates, pads), (again, crops) = (_blocks(reader, n) for n in (outer, node))
    spread = [size - 1 for size in found.config["kernel_size"]]
    if not (rates and pads and crops) or rates != again or len(rates) != len(spread) or any(crops[::2]):
        return None
    if set(found.config["strides"]) != {1} or set(found.config["dilation_rate"]) != {1}:
        return None
    # What is cropped at the end was added there to fill the last block.
    around = tuple((pads[2 * i], pads[2 * i + 1] - crops[2 * i + 1]) for i in range(len(rates)))
    nodes = (outer["name"], *found.nodes, node["name"])
    if any(side < 0 for pair in around for side in pair) or not reader.inside(nodes[:-1], nodes[-1]):
        return None
    wide = [size * rate for size, rate in zip(spread, rates, strict=True)]
    same = around == tuple((total // 2, total - total // 2) for total in wide)
    return replace(
        found, config={**found.config, "dilation_rate": rates, "padding": "same" if same else "valid"}, nodes=nodes,
        x=outer["inputs"][0], edge=node["name"], pads=around if not same and any(map(any, around)) else None,
    )  # fmt: skip


def _product_of(reader: Reader, node: Node | None) -> Product | None:
    return None if node is None else _one_dimensional(reader, node)


def _blocks(reader: Reader, node: Node) -> tuple[list[int] | None, list[int] | None]:
    """Sizes of the blocks, and pads or crops."""
    if node["op"].endswith("ND"):
        return reader.graph.numbers(node["inputs"][1]), reader.graph.numbers(node["inputs"][2])
    return [attrs.number(node, "block_size")] * 2, reader.graph.numbers(node["inputs"][1])


def _one_dimensional(reader: Reader, node: Node) -> Product | None:
    """tf.nn.conv1d: a convolution over an image of height 1."""
    inner = reader.node(node["inputs"][0], "Conv2D")
    outer = None if inner is None else reader.node(inner["inputs"][0], "ExpandDims")
    if inner is None or outer is None or integers(node, "squeeze_dims") not in ([1], [-3]):
        return None
    found = _convolution(reader, inner)
    axis, rank = reader.graph.numbers(outer["inputs"][1]), reader.spec(outer["inputs"][0]).rank
    if found is None or axis not in ([1], [-3]) or rank != 3 or found.config["kernel_size"][0] != 1 or found.pads:
        return None
    if found.config["strides"][0] != 1 and found.config["strides"][0] != found.config["strides"][1]:
        return None
    kernel = found.weights["kernel"]
    kernel = kernel.then(kernel.shape[1:], op="reshape", shape=list(kernel.shape[1:]))
    config = {key: value[1:] if isinstance(value, list) else value for key, value in found.config.items()}
    return Product(
        class_name="Conv1D", config=config, weights={"kernel": kernel}, edge=node["name"], x=outer["inputs"][0],
        nodes=(outer["name"], inner["name"], node["name"]), units=found.units,
    )  # fmt: skip


_TRANSPOSED = {"Conv2DBackpropInput": "Conv2DTranspose", "Conv3DBackpropInputV2": "Conv3DTranspose"}


def _transposed(reader: Reader, node: Node) -> Product | None:
    """The gradient of a convolution, forwards: a transposed one, cut to size where Keras would give another."""
    kernel, strides = reader.weight(node["inputs"][1]), spatial(node, "strides")
    if kernel is None or strides is None or not channels_last(node) or set(spatial(node, "dilations") or [1]) != {1}:
        return None
    padding, x = attrs.text(node, "padding").lower(), node["inputs"][2]
    before, after = reader.spec(x).shape, reader.spec(node["name"]).shape
    if padding not in ("same", "valid") or before is None or after is None:
        return None
    cuts, fits = [], True
    for given, made, size, stride in zip(before[1:-1], after[1:-1], kernel.shape, strides, strict=False):
        if given is None or made is None or size < stride:  # kernels below the strides crash TensorFlow 2.21
            return None
        whole = given * stride + max(size - stride, 0)
        first = max((given - 1) * stride + size - made, 0) // 2 if padding == "same" else 0
        cuts.append((first, whole - first - made))
        fits = fits and made == (given * stride if padding == "same" else whole)
    config = {
        "filters": kernel.shape[-2], "kernel_size": list(kernel.shape[:-2]), "strides": strides,
        "padding": padding if fits else "valid", "data_format": "channels_last",
    }  # fmt: skip
    return Product(
        class_name=_TRANSPOSED[node["op"]], config=config, weights={"kernel": kernel}, edge=node["name"], x=x,
        nodes=(node["name"],), units=kernel.shape[-2], cuts=None if fits else tuple(cuts),
    )  # fmt: skip


def _dense(reader: Reader, node: Node) -> Product | None:
    """A matrix product of rows and a weight."""
    kernel = reader.weight(node["inputs"][1])
    if kernel is None or len(kernel.shape) != 2 or flag(node, "transpose_a"):
        return None
    if flag(node, "transpose_b"):
        kernel = kernel.then(kernel.shape[::-1], op="transpose", axes=[1, 0])
    return Product(
        class_name="Dense", config={"units": kernel.shape[1]}, weights={"kernel": kernel}, edge=node["name"],
        x=node["inputs"][0], nodes=(node["name"],), units=kernel.shape[1],
    )  # fmt: skip


def _dense_on_last_axis(reader: Reader, node: Node) -> Product | None:
    """tf.tensordot on the last axis: all other axes made one, a product, and apart again."""
    inner = reader.node(node["inputs"][0], "MatMul")
    found = None if inner is None else _dense(reader, inner)
    outer = None if found is None else reader.node(found.x, "Reshape")
    if inner is None or found is None or outer is None:
        return None
    x, nodes = outer["inputs"][0], [outer["name"], inner["name"], node["name"]]
    order = reader.node(x, "Transpose")
    if order is not None and (moved := reader.graph.numbers(order["inputs"][1])) == list(range(len(moved or ()))):
        x, nodes = order["inputs"][0], [order["name"], *nodes]
    before, after = reader.spec(x).shape, reader.spec(node["name"]).shape
    if before is None or after is None or len(before) < 3 or before[:-1] != after[:-1] or before[:-1].count(None) > 1:
        return None
    if before[-1] != found.weights["kernel"].shape[0] or after[-1] != found.units:
        return None
    return Product(
        class_name="Dense", config=found.config, weights=found.weights, edge=node["name"], x=x, nodes=tuple(nodes),
        units=found.units,
    )  # fmt: skip
