"""BatchNormalization of old versions: virtual batches, batch renormalisation, several axes."""

from __future__ import annotations

from typing import Any

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


#: layers that draw random numbers in the training phase
_RANDOM = ("Dropout", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D", "GaussianNoise", "GaussianDropout",
           "AlphaDropout")  # fmt: skip


def always_training(layer: Layer, calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The calls of a layer of which some have ``training=True``, as Keras 3 can make them."""
    if layer.class_name in _RANDOM:
        layer.refuse(
            "called with training=True, it gives random numbers at inference too, which cannot be compared",
            "call it without the argument in the source model; the migrated model may be called with training=True",
        )
    elif layer.class_name == "BatchNormalization" and all(call["kwargs"].get("training") for call in calls):
        batch_statistics(layer)
        return [{**c, "kwargs": {k: v for k, v in c["kwargs"].items() if k != "training"}} for c in calls]
    else:
        layer.refuse(
            "it is called with training=True, which Keras 3 overrides with the phase of the model",
            "call it without the argument in the source model",
        )
    return calls


def batch_statistics(layer: Layer) -> None:
    """BatchNormalization called with ``training=True``: it normalises by the batch it is given, in every phase.

    gamma * (x - mean) / sqrt(variance + epsilon) + beta, over all axes but one.
    """
    config, (shape, _) = layer.config, layer.input_specs[0]
    rank, axis = len(shape), config.get("axis", -1)
    if config.get("renorm") or layer.expansion is not None or (config.get("center") and not config.get("scale")):
        layer.refuse(
            "it is called with training=True, for which there is no equivalent with these arguments",
            "call it without training=True in the source model",
        )
        return
    axis %= rank
    made = Expansion(layer)
    (x,) = made.inputs
    others = [a for a in range(rank) if a != axis]
    mean = made.operation("Mean", {"axis": others, "keepdims": True}, x)
    variance = made.operation("Var", {"axis": others, "keepdims": True}, x)
    root = made.operation("Sqrt", {}, made.add("Rescaling", {"scale": 1.0, "offset": config["epsilon"]}, variance))
    x = made.operation("Divide", {}, made.operation("Subtract", {}, x, mean), root)
    if config.get("scale"):
        order = [a for a in others if a] + [axis]
        last = axis == rank - 1
        x = x if last else made.add("Permute", {"dims": order}, x)
        letters = "abcdefg"[:rank]
        affine = {
            "equation": f"{letters},{letters[-1]}->{letters}",
            "output_shape": [shape[a] for a in order],
            "bias_axes": letters[-1] if config.get("center") else None,
            **{new + key.removeprefix(old): value for old, new in (("gamma", "kernel"), ("beta", "bias"))
               for key, value in config.items() if key.startswith(f"{old}_")},
        }  # fmt: skip
        x = made.add("EinsumDense", affine, x, name="affine")
        x = x if last else made.add("Permute", {"dims": [order.index(a) + 1 for a in range(1, rank)]}, x)
        layer.weight("gamma", to="affine:kernel")
        layer.weight("beta", to="affine:bias")
    for role in ("moving_mean", "moving_variance"):
        layer.unused[role] = "called with training=True, the layer never looks at it"
    made.done(x, why="called with training=True: Keras 3 would take the phase of the model instead")
