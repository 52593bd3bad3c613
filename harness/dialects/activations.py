"""Activations that Keras 3 lacks, rebuilt as operations behind the layer."""

from __future__ import annotations

from harness.dialects.expand import Expansion
from harness.dialects.rules import Layer

CRELU = "crelu"


def crelu(layer: Layer) -> None:
    """The positive and the negative part side by side: concat([relu(x), relu(-x)]) along the last axis."""
    if layer.config.get("activation") != CRELU or layer.obstacles:
        return
    made = Expansion(layer)
    (x,) = made.inputs
    if layer.class_name != "Activation":
        x = made.add(layer.class_name, {**layer.config, "activation": "linear"}, x, name="linear")
        for role in layer.weight_shapes:
            layer.weight(role, to=f"linear:{layer.target(role)}")
    parts = [made.add("ReLU", {}, x), made.add("ReLU", {}, made.add("Rescaling", {"scale": -1.0, "offset": 0.0}, x))]
    made.done(made.add("Concatenate", {"axis": -1}, *parts), why="Keras 3 has no crelu: relu(x) and relu(-x), joined")


def negative_threshold(layer: Layer) -> None:
    """ReLU with a threshold below zero: x where x > threshold, clipped to [0, max_value] if there is one, less
    negative_slope * relu(threshold - x). As ``K.relu`` of Keras 2 computes it.
    """
    threshold = layer.config.get("threshold") or 0
    if threshold >= 0:
        return
    made = Expansion(layer)
    (x,) = made.inputs
    above = made.operation("Greater", {}, x, x2=float(threshold))
    y = made.operation("Multiply", {}, x, above)
    top, slope = layer.config.get("max_value"), layer.config.get("negative_slope") or 0
    if top is not None:
        y = made.operation("Clip", {"x_min": 0.0, "x_max": float(top)}, y)
    if slope:
        below = made.add("ReLU", {}, made.add("Rescaling", {"scale": -1.0, "offset": float(threshold)}, x))
        y = made.add("Subtract", {}, y, made.add("Rescaling", {"scale": float(slope), "offset": 0.0}, below))
    made.done(y, why="today's ReLU takes no threshold below zero")
