"""The drawings of the page, as numbers: where each layer stands in the model's diagram, and each error on a log axis."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

WIDTH, HEIGHT, GAP_X, GAP_Y = 216, 46, 20, 30
#: a layer call: name and index
Key = tuple[str, int]
#: sweeps that order the layers of a row by where their inputs stand
_SWEEPS = 3
#: decades of the plot: what is smaller stands at its foot; further down where there is float64
_LOWEST, _LOWEST_EXACT = -10, -18


def diagram(graph: Mapping[str, Any], rows: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Boxes and lines of a graph's outer level; ``rows`` are the compared layer calls of the report.

    Returns ``width``, ``height``, ``boxes`` (``x``, ``y``, ``name``, ``class_name``, ``state``, ``said``) and ``lines`` (SVG paths).
    """
    boxes, feeds = _calls(graph), _edges(graph)
    rank = _ranks(boxes, feeds)
    levels: list[list[tuple[str, int]]] = [[] for _ in range(max(rank.values(), default=-1) + 1)]
    for key in boxes:
        levels[rank[key]].append(key)
    _order(levels, feeds)
    widest = max((len(level) for level in levels), default=0)
    width = widest * (WIDTH + GAP_X) + GAP_X
    place = {}
    for y, level in enumerate(levels):
        left = (width - len(level) * (WIDTH + GAP_X) + GAP_X) / 2
        for x, key in enumerate(level):
            place[key] = (left + x * (WIDTH + GAP_X), GAP_Y / 2 + y * (HEIGHT + GAP_Y))
    states = _states(list(rows))
    return {
        "width": width,
        "height": len(levels) * (HEIGHT + GAP_Y),
        "boxes": [
            {"x": place[key][0], "y": place[key][1], **boxes[key], **states.get(key, _NOT_COMPARED)} for key in boxes
        ],
        "lines": [
            _line(place[start], place[end]) for end, starts in feeds.items() for start in starts if start in place
        ],
    }


_NOT_COMPARED = {"state": "none", "mark": "", "said": "not compared"}


def _calls(graph: Mapping[str, Any]) -> dict[tuple[str, int], dict[str, Any]]:
    boxes = {}
    for layer in graph["layers"]:
        inner = f" of {len(layer['graph']['layers'])} layers" if "graph" in layer else ""
        for index in range(len(layer["calls"])):
            again = f" (call {index + 1})" if len(layer["calls"]) > 1 else ""
            boxes[layer["name"], index] = {
                "name": f"{layer['name']}{again}",
                "class_name": f"{layer['class_name']}{inner}",
            }
    return boxes


def _edges(graph: Mapping[str, Any]) -> dict[tuple[str, int], list[tuple[str, int]]]:
    return {
        (layer["name"], index): list(dict.fromkeys((tensor[0], tensor[1]) for tensor in call["inputs"]))
        for layer in graph["layers"]
        for index, call in enumerate(layer["calls"])
    }


def _ranks(boxes: Iterable[Key], feeds: Mapping[Key, Sequence[Key]]) -> dict[Key, int]:
    """The longest way from an input to each box, by Kahn's algorithm."""
    keys = list(boxes)
    waits = {key: sum(start in feeds for start in feeds[key]) for key in keys}
    readers: dict[Key, list[Key]] = {}
    for key in keys:
        for start in feeds[key]:
            readers.setdefault(start, []).append(key)
    rank = dict.fromkeys(keys, 0)  # boxes of a cycle, which only a damaged graph has, stay where they got
    ready = [key for key in keys if not waits[key]]
    while ready:
        key = ready.pop()
        for reader in readers.get(key, ()):
            rank[reader] = max(rank[reader], rank[key] + 1)
            waits[reader] -= 1
            if not waits[reader]:
                ready.append(reader)
    return rank


def _order(levels: list[list[Any]], feeds: Mapping[Any, Sequence[Any]]) -> None:
    for _ in range(_SWEEPS):
        at = {key: x - len(level) / 2 for level in levels for x, key in enumerate(level)}
        for level in levels:
            middle = {key: _mean([at[start] for start in feeds[key] if start in at], at[key]) for key in level}
            level.sort(key=lambda key: middle[key])


def _mean(values: list[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _states(rows: Sequence[Mapping[str, Any]]) -> dict[tuple[str, int], dict[str, str]]:
    """By layer name and call: how it compares, a nested model as the worst of its layers."""
    found: dict[tuple[str, int], Mapping[str, Any]] = {}
    for row in rows:
        name, _, inner = row["layer"].partition("/")
        key = (name, 0 if inner else row["call"])
        if key not in found or (row["ok"], -row["max_rel"]) < (found[key]["ok"], -found[key]["max_rel"]):
            found[key] = row
    return {key: _state(row) for key, row in found.items()}


def _state(row: Mapping[str, Any]) -> dict[str, str]:
    if not row["ok"]:
        exact = row.get("float64")
        where = "" if exact is None or exact["ok"] else f", in float64 by {exact['max_rel']:.2g}"
        return {
            "state": "bad",
            "mark": "✗",
            "said": f"differs by {row['max_rel']:.2g}{where}, bound {row['tolerance']:.2g}",
        }
    if row["max_rel"] == 0:
        return {"state": "same", "mark": "=", "said": "equal bit for bit"}
    return {"state": "good", "mark": "✓", "said": f"agrees within {row['max_rel']:.2g}, bound {row['tolerance']:.2g}"}


def _line(start: tuple[float, float], end: tuple[float, float]) -> str:
    x1, y1, x2, y2 = start[0] + WIDTH / 2, start[1] + HEIGHT, end[0] + WIDTH / 2, end[1]
    bend = max(GAP_Y / 2, (y2 - y1) / 2)
    return f"M{x1:.1f} {y1:.1f}C{x1:.1f} {y1 + bend:.1f} {x2:.1f} {y2 - bend:.1f} {x2:.1f} {y2:.1f}"


def plot(rows: Sequence[Mapping[str, Any]], name: str) -> dict[str, Any]:
    """Points and the bound of a plot of ``max_rel`` over the rows, ``name`` being the key of a row's name.

    In a box of ``width`` times ``height``: ``points`` (``x``, ``y``, ``state``, ``said``), ``bound`` (an SVG path), ``decades`` (``y``,
    ``power``); where rows have ``float64`` also ``exact``, its points, and ``noise``, the path of the source's own rounding.
    """
    width, height = 900.0, 300.0
    doubles = [(index, row["float64"]) for index, row in enumerate(rows) if row.get("float64")]
    lowest = _LOWEST_EXACT if doubles else _LOWEST
    largest = max([row["max_rel"] for row in rows] + [row["tolerance"] for row in rows] + [1e-4])
    top = min(math.ceil(math.log10(largest)), 3) + 0.5

    def y_of(value: float) -> float:
        power = min(max(math.log10(value), lowest), top) if value > 0 else lowest
        return round((top - power) / (top - lowest) * height, 1)

    def x_of(index: float) -> float:
        return round((index + 0.5) / max(len(rows), 1) * width, 1)

    points = []
    for index, row in enumerate(rows):
        value = row["max_rel"] if row["max_rel"] >= 0 else 10.0**top
        points.append({"x": x_of(index), "y": y_of(value), "name": row[name], **_state(row)})

    def steps(values: Sequence[tuple[int, float]]) -> str:
        drawn = "".join(
            f"L{x_of(index - 0.5)} {y_of(value)}H{x_of(index + 0.5)}" for index, value in values if value > 0
        )
        return "M" + drawn[1:] if drawn else ""

    exact = [
        {"x": x_of(index), "y": y_of(row["max_rel"]), "name": rows[index][name], **_state(row)}
        for index, row in doubles
    ]
    decades = [{"power": power, "y": y_of(10.0**power)} for power in range(lowest, math.floor(top) + 1, 2)]
    return {
        "width": width, "height": height, "points": points, "decades": decades, "exact": exact,
        "bound": steps([(index, row["tolerance"]) for index, row in enumerate(rows)]),
        "noise": steps([(index, row["noise"]) for index, row in doubles]),
    }  # fmt: skip
