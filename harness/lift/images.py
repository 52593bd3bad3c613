"""Operations on images: pooling, padding, resizing, and convolutions whose kernels are no weights of their own."""

from __future__ import annotations

import numpy as np

from harness.lift.calls import Call, Make, binary, floating
from harness.lift.convolutions import padded
from harness.lift.plan import NN, NUMPY, Tensor
from harness.lift.tiles import UnknownError, attrs, channels_last, flag, number, spatial


def pooling(class_name: str) -> Make:
    def make(c: Call) -> list[Tensor]:
        if len(c.node["inputs"]) == 3:  # MaxPoolV2 takes its sizes as tensors
            size, strides = (c.numbers(i, "window")[1:-1] for i in (1, 2))
        else:
            size, strides = spatial(c.node, "ksize") or [], spatial(c.node, "strides") or []
        padding = attrs.text(c.node, "padding").lower()
        if not size or not strides or not channels_last(c.node) or padding not in ("same", "valid"):
            raise UnknownError("it pools over examples or channels, with the channels first, or with explicit padding")
        config = {"pool_size": size, "strides": strides, "padding": padding, "data_format": "channels_last"}
        return c.layer(f"{class_name}{len(size)}D", config, c.tensor(0))

    return make


def pad(c: Call) -> list[Tensor]:
    numbers = c.numbers(1, "padding")
    pairs = list(zip(numbers[::2], numbers[1::2], strict=True))
    fill = c.value(2) if c.node["op"] == "PadV2" else None
    zero = fill is None or (isinstance(fill, np.ndarray) and fill.item() == 0)
    if zero and len(pairs) in (3, 4, 5) and not any(pairs[0] + pairs[-1]) and floating(c):
        return [padded(c.plan, c.tensor(0), tuple(pairs[1:-1]), c.name, [c.name])]
    config = {"pad_width": [list(pair) for pair in pairs], "mode": "constant"}
    if zero:
        return c.op(NUMPY, "Pad", config, x=c.tensor(0))
    return c.op(NUMPY, "Pad", config, x=c.tensor(0), constant_values=fill)


def mirror(c: Call) -> list[Tensor]:
    numbers = c.numbers(1, "padding")
    pairs = [list(pair) for pair in zip(numbers[::2], numbers[1::2], strict=True)]
    return c.op(NUMPY, "Pad", {"pad_width": pairs, "mode": attrs.text(c.node, "mode").lower()}, x=c.tensor(0))


def blocks(name: str) -> Make:
    def make(c: Call) -> list[Tensor]:
        if not channels_last(c.node):
            raise UnknownError("its channels come first")
        config = {"block_size": attrs.number(c.node, "block_size"), "data_format": "channels_last"}
        return c.op(NN, name, config, x=c.tensor(0))

    return make


def linear(name: str) -> Make:
    """A convolution whose kernel is no weight of its own."""

    def make(c: Call) -> list[Tensor]:
        strides, dilations = spatial(c.node, "strides"), spatial(c.node, "dilations")
        padding = attrs.text(c.node, "padding").lower()
        if strides is None or not channels_last(c.node) or padding not in ("same", "valid"):
            raise UnknownError("it steps over examples or channels, has its channels first, or explicit padding")
        config = {"strides": strides, "padding": padding, "data_format": "channels_last"}
        config["dilation_rate"] = dilations or [1] * len(strides)
        return c.op(NN, name, config, inputs=c.tensor(0), kernel=c.value(1))

    return make


def bias_add(c: Call) -> list[Tensor]:
    if channels_last(c.node):
        return binary("Add")(c)
    rank, bias = c.given(0).rank, c.value(1)
    if rank is None:
        raise UnknownError("its channels come first, of how many axes is unknown")
    shape = [-1] + [1] * (rank - 2)
    column = c.op(NUMPY, "Reshape", {"newshape": shape}, x=bias)[0] if isinstance(bias, Tensor) else bias.reshape(shape)
    return c.op(NUMPY, "Add", {}, x1=c.tensor(0), x2=column)


def fused_norm(c: Call) -> list[Tensor]:
    if flag(c.node, "is_training", True) or not channels_last(c.node):
        raise UnknownError("it normalises by the batch (is_training), or its channels come first")
    scale, offset, mean, variance = (c.value(i) for i in range(1, 5))
    config = {"axis": -1, "epsilon": number(c.node, "epsilon", 1e-4)}
    return c.op(NN, "BatchNorm", config, x=c.tensor(0), mean=mean, variance=variance, offset=offset, scale=scale)[:1]
