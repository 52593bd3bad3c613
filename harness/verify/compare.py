"""Comparison of one array with its reference: finite first, then shape and dtype, then values.

Nothing is sorted, truncated, broadcast or averaged before judging.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
_INTEGER_OF: dict[int, Any] = {2: np.int16, 4: np.int32, 8: np.int64}


@dataclass(frozen=True, kw_only=True)
class Worst:
    """One element that differs most."""

    index: tuple[int, ...]
    expected: Any
    found: Any


@dataclass(frozen=True, kw_only=True)
class Exact:
    """The same comparison in float64.

    Attributes:
        max_rel, tolerance, ok: as in a comparison.
        noise: how far the source's own float32 is from its float64, on the same scale.
        decides: whether the values agree although float32 exceeds its bound.
    """

    max_rel: float
    tolerance: float
    noise: float
    ok: bool
    decides: bool


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What comparing two arrays gave.

    Attributes:
        max_abs: max|found - expected|.
        max_rel: max|found - expected| / max|expected|, the scale taken over the tensor (see ``scale``).
        max_ulp: largest distance in representable numbers of the dtype; None for other than floats.
        tolerance: the bound on ``max_rel``.
        reason: why it is not ok, or None.
        float64: the same in float64, where both sides computed that; ``ok`` then rests on both.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    max_abs: float
    max_rel: float
    max_ulp: int | None
    tolerance: float
    ok: bool
    reason: str | None = None
    worst: tuple[Worst, ...] = ()
    float64: Exact | None = None

    def as_json(self) -> dict[str, Any]:
        """The comparison as the report writes it."""
        return asdict(self)


def compare(name: str, expected: Array, found: Array, tolerance: float, *, scale: float = 0.0) -> Comparison:
    """The comparison of ``found`` with the reference ``expected``.

    Args:
        tolerance: bound on ``max_rel``; integers, booleans and strings must be equal whatever it is.
        scale: smallest scale for ``max_rel``: a tensor of nearly zeros that the same layer fills with larger
            numbers for other probes rounds on their scale.
    """
    common: dict[str, Any] = {"name": name, "shape": expected.shape, "dtype": _dtype(expected), "tolerance": tolerance}
    refused = _refusal(expected, found)
    if refused:
        return Comparison(**common, max_abs=-1.0, max_rel=-1.0, max_ulp=None, ok=False, reason=refused)
    if expected.dtype.kind not in "fc":
        return _exact(common, expected, found)
    left, right = _wide(expected), _wide(found)
    finite = np.isfinite(left)
    if not np.array_equal(finite, np.isfinite(right)) or not np.array_equal(
        left[~finite], right[~finite], equal_nan=True
    ):
        places = f"finite in {int(np.isfinite(right).sum())} places instead of {int(finite.sum())}"
        return Comparison(**common, max_abs=-1.0, max_rel=-1.0, max_ulp=None, ok=False, reason=places)
    difference = np.abs(np.subtract(right, left, where=finite, out=np.zeros_like(left)))
    max_abs = float(difference.max(initial=0.0))
    size = max(float(np.abs(left[finite]).max(initial=0.0)), scale)
    max_rel = max_abs / size if size else (0.0 if max_abs == 0 else float("inf"))
    ok = max_rel <= tolerance
    reason = None if ok else f"differs by {max_rel:.3g} of the largest value; at most {tolerance:.3g} is rounding"
    worst = () if max_abs == 0 else _worst(difference, expected, found)
    ulp = _ulp(expected, found)
    return Comparison(
        **common, max_abs=max_abs, max_rel=min(max_rel, 1e308), max_ulp=ulp, ok=ok, reason=reason, worst=worst
    )


def _dtype(array: Array) -> str:
    return "string" if array.dtype.kind in "OSU" else array.dtype.name


def _refusal(expected: Array, found: Array) -> str | None:
    if expected.shape != found.shape:
        return f"shape expected {list(expected.shape)}, found {list(found.shape)}"
    if _dtype(expected) != _dtype(found):
        return f"dtype expected {_dtype(expected)}, found {_dtype(found)}"
    return None


def _wide(array: Array) -> Array:
    return np.asarray(array, dtype=np.complex128 if array.dtype.kind == "c" else np.float64)


def _exact(common: dict[str, Any], expected: Array, found: Array) -> Comparison:
    different = np.asarray(expected != found)
    count = int(different.sum())
    reason = f"{count} of {expected.size} values differ" if count else None
    worst = _worst(different.astype(np.float64), expected, found) if count else ()
    return Comparison(
        **common,
        max_abs=float(count > 0),
        max_rel=float(count > 0),
        max_ulp=None,
        ok=not count,
        reason=reason,
        worst=worst,
    )


def _worst(difference: Array, expected: Array, found: Array, count: int = 5) -> tuple[Worst, ...]:
    flat = difference.reshape(-1)
    order = np.argsort(flat, kind="stable")[::-1][:count]
    picked = [int(i) for i in order if flat[i] > 0]
    return tuple(
        Worst(
            index=tuple(int(i) for i in np.unravel_index(place, difference.shape)),
            expected=_plain(expected.reshape(-1)[place]),
            found=_plain(found.reshape(-1)[place]),
        )
        for place in picked
    )


def _plain(value: Any) -> Any:
    value = value.item() if hasattr(value, "item") else value
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, complex) or (isinstance(value, float) and not np.isfinite(value)):
        return str(value)
    return value


def _ulp(expected: Array, found: Array) -> int | None:
    """Distance in representable numbers: the bits, read as sign-magnitude integers, are ordered like the values."""
    if expected.dtype.kind != "f" or expected.dtype.itemsize not in _INTEGER_OF or not expected.size:
        return None
    kind = _INTEGER_OF[expected.dtype.itemsize]

    def ordered(array: Array) -> Array:
        bits = np.ascontiguousarray(array).view(kind)
        lowest = np.iinfo(kind).min
        return np.asarray(np.where(bits < 0, lowest - bits, bits), dtype=np.float64)

    finite = np.isfinite(expected) & np.isfinite(found)
    return int(np.abs(ordered(expected) - ordered(found))[finite].max(initial=0.0))
