"""Layers of Keras 1 that lived on in Keras 2 for old files only: MaxoutDense and Highway, from native pieces."""

from __future__ import annotations

from typing import Any

from harness.dialects.expand import Expansion
from harness.dialects.rules import Layer


def _objects(layer: Layer, kernel: str, bias: str) -> dict[str, Any]:
    """Regularizers, constraints and initializers under today's names."""
    config, found = layer.config, {}
    for old, new in ((kernel, "kernel"), (bias, "bias")):
        for kind in ("regularizer", "constraint"):
            if config.get(f"{old}_{kind}") is not None:
                layer.note(f"{old}_{kind}", config[f"{old}_{kind}"], f"{new}_{kind}", "renamed")
                found[f"{new}_{kind}"] = config[f"{old}_{kind}"]
    return found


def maxout_dense(layer: Layer) -> None:
    """max over k of x W_k + b_k; W is (features, input, output)."""
    units, features = layer.config["output_dim"], layer.config["nb_feature"]
    bias = layer.config.get("bias", True)
    made = Expansion(layer)
    product = {
        "equation": "bi,kio->bko",
        "output_shape": [features, units],
        "bias_axes": "ko" if bias else None,
        **_objects(layer, "W", "b"),
    }
    x = made.add("EinsumDense", product, *made.inputs, name="product")
    layer.weight("W", to="product:kernel")
    layer.weight("b", to="product:bias")
    made.done(made.operation("Max", {"axis": 1}, x), why="MaxoutDense is a layer of Keras 1")


def highway(layer: Layer) -> None:
    """t f(x W + b) + (1 - t) x with t = sigmoid(x W_carry + b_carry)."""
    units, bias = layer.weight_shapes["W"][-1], layer.config.get("bias", True)
    made = Expansion(layer)
    (x,) = made.inputs
    dense = {"units": units, "use_bias": bias}
    gate = made.add("Dense", {**dense, "activation": "sigmoid"}, x, name="gate")
    activation = {"activation": layer.config.get("activation", "linear")}
    value = made.add("Dense", {**dense, **activation, **_objects(layer, "W", "b")}, x, name="value")
    carry = made.add("Multiply", {}, made.add("Rescaling", {"scale": -1.0, "offset": 1.0}, gate), x)
    layer.weight("W", to="value:kernel")
    layer.weight("b", to="value:bias")
    layer.weight("W_carry", to="gate:kernel")
    layer.weight("b_carry", to="gate:bias")
    made.done(made.add("Add", {}, made.add("Multiply", {}, gate, value), carry), why="Highway is a layer of Keras 1")
