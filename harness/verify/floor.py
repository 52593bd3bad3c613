"""The noise floor, measured: the same comparison in float64, where rounding vanishes and a changed meaning stays.

Source and target compute the model in float64 as well (``tfworker/record_exact.py``, ``replay_exact.py``). What the source
itself gives otherwise in float32 than in float64 is its noise: how far rounding carries this model for this probe.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from harness.bundle import Bundle
from harness.verify.compare import Array, Comparison, Exact, compare
from harness.verify.tolerance import exact_bound, explained
from harness.worker.tfworker.arrays import ArrayReader

#: as in the worker's ``exact``
PREFIX = "double/"


class Floor:
    """Float64 on both sides of one replay, where both computed it."""

    def __init__(self, bundle: Bundle, replayed: ArrayReader) -> None:
        self._source, self._replayed = bundle.arrays, replayed

    def judged(self, comparison: Comparison, name: str, found: str, scale: float, bound: float) -> Comparison:
        """The verdict on one value, from float32 and, where there is one, float64.

        Args:
            comparison: in float32.
            name: of the source's array.
            found: of the target's array, where that is another.
            scale: smallest scale, as for ``compare``.
            bound: of float64, for this place of the model.
        """
        there = PREFIX + name in self._source.entries and PREFIX + found in self._replayed.entries
        if not there or comparison.dtype != "float32" or comparison.max_rel < 0:
            return comparison
        expected = self._source.get(PREFIX + name)
        noise = _noise(self._source.get(name), expected, scale)
        exact = compare(
            comparison.name, expected, self._replayed.get(PREFIX + found), exact_bound(bound, noise), scale=scale
        )
        return settled(comparison, exact, noise)


def _noise(single: Array, double: Array, scale: float) -> float:
    """How far the source's own float32 is from its float64, as a share of the largest value; 0 where it is not known.

    Numbers that are finite in both types tell it: what overflows in float32 may be finite in float64.
    """
    if single.shape != double.shape:
        return 0.0
    finite = np.isfinite(double) & np.isfinite(single)
    size = max(float(np.abs(double[finite]).max(initial=0.0)), scale)
    return float(np.abs(single[finite] - double[finite]).max(initial=0.0)) / size if size else 0.0


def settled(single: Comparison, exact: Comparison, noise: float) -> Comparison:
    """The verdict of both comparisons.

    Float64 decides whether the meaning is the same. A difference in float32 beyond its bound counts as rounding only if
    float64 agrees and the source's own noise is of that size.
    """
    told = Exact(max_rel=exact.max_rel, tolerance=exact.tolerance, noise=noise, ok=exact.ok, decides=False)
    if not exact.ok:
        reason = f"in float64 it {exact.reason}: another meaning, hidden below the bound of float32"
        if not single.ok:
            reason = f"{single.reason}; in float64 by {exact.max_rel:.3g}, at most {exact.tolerance:.3g}"
        return replace(single, ok=False, float64=told, reason=reason, worst=exact.worst or single.worst)
    if single.ok:
        return replace(single, float64=told)
    if explained(single.max_rel, noise):
        return replace(single, ok=True, reason=None, float64=replace(told, decides=True))
    reason = f"{single.reason}; float64 agrees, but the source's own float32 is only {noise:.3g} from its float64"
    return replace(single, reason=reason, float64=told)


def borrowed(single: Comparison, exact: Exact | None) -> Comparison:
    """The verdict on values that were recorded elsewhere, in float32 only, for inputs whose float64 is known.

    What float64 said of the same inputs explains a difference up to the noise, as in :func:`settled`.
    """
    if single.ok or exact is None or not exact.ok or single.max_rel < 0 or not explained(single.max_rel, exact.noise):
        return single
    return replace(single, ok=True, reason=None, float64=replace(exact, decides=True))


def section(level: str, bundle: Bundle, evidence: Sequence[Any], skipped: Mapping[str, str | None]) -> dict[str, Any]:
    """The ``noise_floor`` of a report.

    Args:
        level: what ``--proof`` asked for.
        evidence: of every saved form.
        skipped: by form, why the target computed nothing in float64.
    """
    told = bundle.manifest["probes"].get("double")
    reason = _not_measured(level, told)
    return {
        "proof": level,
        "skipped": reason,
        "layers": bool(reason is None and told and told.get("layers")),
        "forms": [] if reason else [_form(item, skipped.get(item.format)) for item in evidence],
    }


def _not_measured(level: str, told: Mapping[str, Any] | None) -> str | None:
    if level == "quick":
        return "--proof quick compares in float32 only"
    if told is None:
        return "the bundle was made without it"
    return str(told["skipped"]) if told["skipped"] else None


def _form(item: Any, skipped: str | None) -> dict[str, Any]:
    rows = [c for c in item.outputs if c.float64] + [r.comparison for r in item.layers if r.comparison.float64]
    outputs = [c for c in item.outputs if c.float64]
    if not rows and skipped is None:
        skipped = "no value of it is float32"
    return {
        "format": item.format,
        "skipped": skipped if not rows else None,
        "compared": {"outputs": len(outputs), "layers": len(rows) - len(outputs)},
        "agrees": all(c.float64.ok for c in rows),
        "float32": max((c.max_rel for c in outputs), default=None),
        "float64": max((c.float64.max_rel for c in outputs), default=None),
        "noise": max((c.float64.noise for c in outputs), default=None),
        "settled": list(dict.fromkeys(c.name for c in rows if c.float64.decides)),
        "hidden": list(dict.fromkeys(c.name for c in rows if not c.float64.ok and c.max_rel <= c.tolerance)),
    }
