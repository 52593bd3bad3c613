"""LocallyConnected1D and 2D, which Keras 3 lacks, rebuilt as one product over shifted views."""

from __future__ import annotations

from typing import Any

from harness.dialects.expand import Expansion, Tensor
from harness.dialects.rules import Layer


def locally_connected(layer: Layer) -> None:
    """Shifted views of the input side by side, then one product per position.

    ``same`` padding is that of the layer itself: kernel // 2 places before the input, wherever the strides lead.
    """
    config, rank = layer.config, 1 if layer.class_name == "LocallyConnected1D" else 2
    shape, _ = layer.input_specs[0]
    if None in shape[1:]:
        layer.refuse(f"a locally connected layer on a free shape {shape}", "fix the input's size")
        return
    sizes = [int(n or 0) for n in shape[1:]]
    first = config.get("data_format") == "channels_first"
    lengths, channels = (sizes[1:], sizes[0]) if first else (sizes[:-1], sizes[-1])
    kernel, strides = (
        [config[k]] if isinstance(config[k], int) else list(config[k]) for k in ("kernel_size", "strides")
    )
    filters, same = config["filters"], config.get("padding", "valid") == "same"
    made = Expansion(layer)
    (x,) = made.inputs
    if first:
        x = made.add("Permute", {"dims": [*range(2, rank + 2), 1]}, x)
    if same:
        out = [(n + s - 1) // s for n, s in zip(lengths, strides, strict=True)]
        pads = [
            [k // 2, max(0, (o - 1) * s + k - k // 2 - n)]
            for n, k, s, o in zip(lengths, kernel, strides, out, strict=True)
        ]
        x = made.add(f"ZeroPadding{rank}D", {"padding": pads[0] if rank == 1 else pads}, x)
        padded = [n + sum(p) for n, p in zip(lengths, pads, strict=True)]
    else:
        out = [(n - k) // s + 1 for n, k, s in zip(lengths, kernel, strides, strict=True)]
        padded = lengths
    views = _views(made, x, padded, kernel, strides, out)
    x = views[0] if len(views) == 1 else made.add("Concatenate", {"axis": -1}, *views)
    letters = "xy"[:rank]
    dense = {
        "equation": f"b{letters}k,{letters}kf->b{letters}f",
        "output_shape": [*out, filters],
        "bias_axes": f"{letters}f" if config.get("use_bias", True) else None,
        **{k: v for k, v in config.items() if k.startswith(("kernel_", "bias_", "activ")) and k != "kernel_size"},
    }
    if first:
        dense.pop("activation", None)  # it may look along an axis
    x = made.add("EinsumDense", dense, x, name="product")
    if first:
        x = made.add("Permute", {"dims": [rank + 1, *range(1, rank + 1)]}, x)
        x = made.add("Activation", {"activation": config.get("activation", "linear")}, x)
    _weights(layer, lengths, kernel, strides, channels, out, first)
    made.done(x, why="locally connected layers were removed from Keras 3")


def _weights(
    layer: Layer, lengths: list[int], kernel: list[int], strides: list[int], channels: int, out: list[int], first: bool
) -> None:
    config, filters = layer.config, layer.config["filters"]
    local = {"op": "local_kernel", "implementation": config.get("implementation", 1), "input": lengths, "kernel": kernel,
             "strides": strides, "channels": channels, "filters": filters, "padding": config.get("padding", "valid"),
             "data_format": config.get("data_format")}  # fmt: skip
    wide = [*out, channels * _product(kernel), filters]
    layer.weight("kernel", local, {"op": "reshape", "shape": wide}, to="product:kernel")
    if first:
        # The old bias_add reshapes where it should transpose: the bias has its own order with the channels first.
        order = [{"op": "reshape", "shape": [filters, *out]}, {"op": "transpose", "axes": [*range(1, len(out) + 1), 0]}]
        layer.weight("bias", *order, to="product:bias")
    else:
        layer.weight("bias", {"op": "reshape", "shape": [*out, filters]}, to="product:bias")


def _product(values: list[int]) -> int:
    total = 1
    for value in values:
        total *= value
    return total


def _views(
    made: Expansion, whole: Tensor, lengths: list[int], kernel: list[int], strides: list[int], out: list[int]
) -> list[Tensor]:
    """The input shifted to every place of the kernel, row by row, each thinned to the strides."""
    rank = len(kernel)
    places = [[i] for i in range(kernel[0])]
    for size in kernel[1:]:
        places = [[*p, i] for p in places for i in range(size)]
    views = []
    for place in places:
        crop = [[p, n - p - (o - 1) * s - 1] for p, n, o, s in zip(place, lengths, out, strides, strict=True)]
        x = made.add(f"Cropping{rank}D", {"cropping": crop[0] if rank == 1 else crop}, whole)
        if any(s > 1 for s in strides):
            pool: dict[str, Any] = (
                {"pool_size": [1] * rank, "strides": strides} if rank > 1 else {"pool_size": 1, "strides": strides[0]}
            )
            x = made.add(f"MaxPooling{rank}D", pool, x)
        views.append(x)
    return views
