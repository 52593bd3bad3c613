"""Names that Keras 3 does not allow, replaced by the nearest ones that it does."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any


def scope(name: str) -> str:
    """A model's name as TensorFlow takes it for the outermost scope of a graph."""
    cleaned = re.sub(r"[^A-Za-z0-9_.>-]", "_", name)
    return cleaned if re.match(r"[A-Za-z0-9.]", cleaned) else f"model{cleaned}"


def without_slashes(names: Iterable[str], clashing: bool = False) -> dict[str, str]:
    """New names for those of ``names`` that hold a slash; distinct from all others.

    With ``clashing`` only for those below another one: HDF5 would put the one inside of the other.
    """
    taken = list(names)
    renamed: dict[str, str] = {}
    for name in taken:
        if "/" in name and (not clashing or any(name.startswith(f"{other}/") for other in taken)):
            wanted = base = name.replace("/", "_")
            count = 1
            while wanted in taken or wanted in renamed.values():
                count += 1
                wanted = f"{base}_{count}"
            renamed[name] = wanted
    return renamed


def apply(graph: dict[str, Any], renamed: Mapping[str, str]) -> dict[str, Any]:
    """The graph with layers renamed, and every reference to them."""
    if not renamed:
        return graph

    def reference(value: Any) -> Any:
        if isinstance(value, list):
            if len(value) >= 3 and isinstance(value[0], str) and value[0] in renamed and isinstance(value[1], int):
                return [renamed[value[0]], *value[1:]]
            return [reference(item) for item in value]
        return value

    def called(calls: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
        return [
            {
                **call,
                "inputs": reference(call["inputs"]),
                "kwargs": {key: reference(value) for key, value in call["kwargs"].items()},
            }
            for call in calls
        ]

    layers = []
    for layer in graph["layers"]:
        made = {**layer, "name": renamed.get(layer["name"], layer["name"]), "calls": called(layer["calls"])}
        if "calls" in layer.get("supplied", ()):
            made["supplied"] = {**layer["supplied"], "calls": called(layer["supplied"]["calls"])}
        layers.append(made)
    return {**graph, "layers": layers, "inputs": reference(graph["inputs"]), "outputs": reference(graph["outputs"])}
