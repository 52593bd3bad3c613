"""BatchNormalization of old versions: virtual batches, batch renormalisation, several axes."""

from __future__ import annotations

from harness.dialects.expand import Expansion
from harness.dialects.rules import Layer


def virtual_batches(layer: Layer) -> None:
    """Virtual batches matter in training only; at inference all examples meet the same moving statistics."""
    size = layer.config.pop("virtual_batch_size", None)
    if size is None:
        return
    axes = layer.config["axis"]
    axes = [axes] if isinstance(axes, int) else list(axes)
    # The layer counts its axes on by one when it is built, for the axis of virtual batches.
    axes = layer.config["axis"] = [a - 1 for a in axes]
    layer.note("virtual_batch_size", size, None, "same inference; training takes its statistics over whole batches")
    layer.config["fused"] = False
    if len(axes) == 1:
        for role, shape in layer.weight_shapes.items():
            layer.weight(role, {"op": "reshape", "shape": [max(shape)]})


def renormalised(layer: Layer) -> None:
    """Batch renormalisation: TF1 stores running sums next to their weights, Keras 3 their quotients.

    TF1 keeps no running standard deviation: it is sqrt(moving_variance + epsilon), as TF1 itself makes the variance.
    """
    if not layer.config.get("renorm"):
        for key in ("renorm", "renorm_clipping", "renorm_momentum"):
            layer.config.pop(key, None)
        return
    sums = [(role, start) for role, start in (("renorm_mean", 0.0), ("renorm_stddev", 1.0))
            if f"{role}_weight" in layer.weight_shapes]  # fmt: skip
    for role, start in sums:
        layer.weight(role, {"op": "divide_by", "role": f"{role}_weight", "start": start})
        layer.unused[f"{role}_weight"] = f"{role} is divided by it"
    if sums and "moving_stddev" not in layer.weight_shapes:
        # The place of the weight that is divided by, which has none of its own, is taken by what is computed.
        del layer.unused["renorm_stddev_weight"]
        root = {"op": "deviation", "role": "moving_variance", "epsilon": layer.config.get("epsilon", 1e-3)}
        layer.weight("renorm_stddev_weight", root, to="moving_stddev")
        layer.note("moving_stddev", None, "sqrt(moving_variance + epsilon)",
                   "same inference; training goes on from the same statistics, averaged in Keras 3's way")  # fmt: skip


def several_axes(layer: Layer) -> None:
    """BatchNormalization over several axes: merge them into one, normalise, and take them apart again."""
    axes = layer.config.get("axis")
    if not isinstance(axes, list) or len(axes) < 2:
        return
    shape, _ = layer.input_specs[0]
    axes = sorted(a % len(shape) for a in axes)
    others = [a for a in range(1, len(shape)) if a not in axes]
    sizes = [shape[a] for a in (*others, *axes)]
    if 0 in axes or None in sizes:
        layer.refuse(f"normalises over the axes {axes} of a shape with free dimensions {shape}", "fix the input's size")
        return
    made = Expansion(layer)
    order = [*others, *axes]
    x = made.add("Permute", {"dims": order}, *made.inputs)
    merged = 1
    for axis in axes:
        merged *= int(shape[axis] or 1)
    x = made.add("Reshape", {"target_shape": [*(shape[a] for a in others), merged]}, x)
    x = made.add("BatchNormalization", {**layer.config, "axis": -1}, x, name="norm")
    x = made.add("Reshape", {"target_shape": sizes}, x)
    x = made.add("Permute", {"dims": [order.index(a) + 1 for a in range(1, len(shape))]}, x)
    for role in layer.weight_shapes:
        target = layer.target(role)
        layer.weight(role, {"op": "reshape", "shape": [merged]}, to=f"norm:{target}")
    made.done(x, why="Keras 3 normalises over one axis")
