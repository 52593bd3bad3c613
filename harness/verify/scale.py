"""What rounding is measured against, where a tensor's own largest value would be too small."""

from __future__ import annotations

from typing import Any

import numpy as np


def usual_scale(arrays: list[Any]) -> float:
    """What an output's rounding is measured against at least: a tenth of its usual largest value.

    The usual one is the median over the probes, so that one with huge outputs excuses nothing. Measured: an
    output of 0.09 where terms of 8 cancel differs by one bit of 8, 1.1e-5 of itself.
    """
    finite = [np.abs(a[np.isfinite(a)]).max(initial=0.0) for a in arrays if a.dtype.kind == "f"]
    return max(float(np.median(finite)) * 1e-1, float(max(finite)) * 1e-3) if finite else 0.0
