"""Which sides of their activations' bends the recorded layers show: the ``knees`` of the section ``proven``.

An activation of several pieces (relu, elu, hard_sigmoid) is compared only where a probe has reached each piece. Which one
a value came from is seen from the layer's output, of the set of probes whose layers were recorded. Recurrent layers
apply theirs to inner values that no output shows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from harness.bundle import Bundle
from harness.worker.tfworker.topology import leaves

_BELOW, _ABOVE = ("below 0", -np.inf, 0.0), ("above 0", 0.0, np.inf)
_FLAT = ("at 0", 0.0, 0.0)
#: activation → pieces by what comes out: name, and the open interval or the one value of its outputs
PIECES: dict[str, tuple[tuple[str, float, float], ...]] = {
    "relu": (_FLAT, _ABOVE),
    "relu6": (_FLAT, ("between 0 and 6", 0.0, 6.0), ("at 6", 6.0, 6.0)),
    "elu": (_BELOW, _ABOVE),
    "selu": (_BELOW, _ABOVE),
    "leaky_relu": (_BELOW, _ABOVE),
    "hard_sigmoid": (_FLAT, ("between 0 and 1", 0.0, 1.0), ("at 1", 1.0, 1.0)),
}
#: layers whose output is what the activation in their config gives
_PLAIN = ("Activation", "Dense", "Conv", "SeparableConv", "DepthwiseConv", "LocallyConnected")


def knees(bundle: Bundle) -> dict[str, Any] | None:
    """``total`` activations of several pieces, those ``crossed`` (every piece seen), and ``missed`` with what was not seen.

    None where no layer was recorded.
    """
    probes = bundle.manifest["probes"]["layers"]
    layers = dict(leaves(bundle.manifest["model"]["graph"]))
    seen: dict[tuple[str, ...], tuple[str, set[str]]] = {}
    for record in probes["records"]:
        path = tuple(record["path"])
        activation = activation_of(layers.get(path, {}))
        if activation is None:
            continue
        name, pieces = activation
        values = np.asarray(bundle.arrays.get(record["array"]))
        if values.dtype.kind != "f":
            continue  # types that numpy lacks
        found = seen.setdefault(path, (name, {piece for piece, _, _ in pieces}))[1]
        found -= {piece for piece, low, high in pieces if _has(values, low, high)}
    missed = [
        {"layer": "/".join(path), "activation": name, "missing": sorted(left)}
        for path, (name, left) in seen.items()
        if left
    ]
    return {"total": len(seen), "crossed": len(seen) - len(missed), "missed": missed} if probes["records"] else None


def activation_of(layer: Mapping[str, Any]) -> tuple[str, tuple[tuple[str, float, float], ...]] | None:
    """Name and pieces of a layer's activation, as the source wrote it; None for smooth ones and for those that do not show."""
    class_name, config = str(layer.get("class_name", "")), layer.get("config") or {}
    if class_name == "ReLU":
        most = config.get("max_value")
        low = _BELOW if config.get("negative_slope") else _FLAT
        top = () if most is None else ((f"at {most:g}", float(most), float(most)),)
        return "relu", (low, ("above 0", 0.0, np.inf if most is None else float(most)), *top)
    if class_name in ("LeakyReLU", "ELU"):
        return class_name, (_BELOW, _ABOVE)
    if class_name == "ThresholdedReLU":
        return class_name, (_FLAT, _ABOVE)
    name = config.get("activation")
    if not class_name.startswith(_PLAIN) or "LSTM" in class_name or not isinstance(name, str) or name not in PIECES:
        return None
    return name, PIECES[name]


def _has(values: Any, low: float, high: float) -> bool:
    return bool(np.any(values == low if low == high else (values > low) & (values < high)))
