"""Images resized as TensorFlow 1 does it, normalised over neighbouring channels, and cut into patches.

Keras 3 places the pixels of a resized image by their centres, TensorFlow 1 by their corners, and Keras has no layer for local
response normalisation. Both are sums of slices with constant weights. Formulas: tensorflow/core/kernels/image_resizer_state.h,
resize_bilinear_op.cc, resize_bicubic_op.cc, and the documentation of ``tf.nn.local_response_normalization``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from harness.lift.calls import Call, Make
from harness.lift.plan import CORE, IMAGE, NUMPY, Tensor
from harness.lift.tiles import UnknownError, attrs, flag, integers, number, spatial

#: (indices, weights) for one axis; weights None stand for ones
Tap = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any] | None]
#: entries of the table of the bicubic kernel, and its parameter
_TABLE, _CUBIC = 1024, np.float32(-0.75)


def resize(taps: Callable[[int, int, bool, bool], list[Tap]], interpolation: str = "") -> Make:
    """Resizing between known sizes; by whole factors it may be the layer of Keras."""

    def make(c: Call) -> list[Tensor]:
        before, after = c.given(0).shape, c.numbers(1, "size")
        corners, half = flag(c.node, "align_corners"), flag(c.node, "half_pixel_centers")
        if before is None or None in before[1:3]:
            raise UnknownError("it resizes from a free size")
        pairs = [(int(old or 0), new) for old, new in zip(before[1:3], after, strict=True)]
        whole = all(new % old == 0 for old, new in pairs) and not corners
        if interpolation and whole and half == (interpolation == "bilinear"):
            factors = [new // old for old, new in pairs]
            return c.layer("UpSampling2D", {"size": factors, "interpolation": interpolation}, c.tensor(0))
        x = c.tensor(0)
        if c.given(0).dtype != c.spec().dtype:
            x = c.op(CORE, "Cast", {"dtype": c.spec().dtype}, x=x)[0]
        # The columns first, as TensorFlow has it.
        for axis, (old, new) in ((2, pairs[1]), (1, pairs[0])):
            x = _sampled(c, x, axis, taps(old, new, corners, half))
        return [x]

    return make


def _sampled(c: Call, x: Tensor, axis: int, taps: list[Tap]) -> Tensor:
    """The weighted sum of slices."""
    parts = []
    for indices, weights in taps:
        if weights is not None and not weights.any():
            continue
        part = c.op(NUMPY, "Take", {"axis": axis}, x=x, indices=indices.astype(np.int32))[0]
        if weights is not None:
            shape = [len(weights) if i == axis else 1 for i in range(4)]
            part = c.op(NUMPY, "Multiply", {}, x1=part, x2=weights.reshape(shape).astype(np.float32))[0]
        parts.append(part)
    total = parts[0]
    for part in parts[1:]:
        total = c.layer("Add", {}, total, part)[0]
    return total


def _places(old: int, new: int, corners: bool, half: bool) -> Any:
    """Where the new pixels lie among the old ones, in the float32 arithmetic of TensorFlow."""
    scale = np.float32((old - 1) / np.float32(new - 1)) if corners and new > 1 else np.float32(old) / np.float32(new)
    at = np.arange(new).astype(np.float32)
    return ((at + np.float32(0.5)) * scale - np.float32(0.5)) if half else at * scale


def nearest(old: int, new: int, corners: bool, half: bool) -> list[Tap]:
    """One pixel for each."""
    at = _places(old, new, corners, False)
    if half:
        at = (np.arange(new).astype(np.float32) + np.float32(0.5)) * (np.float32(old) / np.float32(new))
    # round() of C takes halves away from zero.
    found = np.floor(at + np.float32(0.5)) if corners else np.floor(at)
    return [(np.clip(found, 0, old - 1), None)]


def bilinear(old: int, new: int, corners: bool, half: bool) -> list[Tap]:
    """The two pixels around."""
    at = _places(old, new, corners, half)
    low = np.floor(at)
    share = at - low
    return [
        (np.maximum(low, 0), np.float32(1) - share),
        (np.minimum(np.ceil(at), old - 1), share),
    ]


def bicubic(old: int, new: int, corners: bool, half: bool) -> list[Tap]:
    """Four pixels, with weights from a table of 1024 steps."""
    if half:
        raise UnknownError("Keras places the pixels of this kind of resizing otherwise")
    at = _places(old, new, corners, half)
    low = np.floor(at)
    offset = np.rint((at - low) * np.float32(_TABLE)).astype(int)
    near, far = (_kernel(np.arange(_TABLE + 1).astype(np.float32) / np.float32(_TABLE) + shift) for shift in (0, 1))
    weights = (far[offset], near[offset], near[_TABLE - offset], far[_TABLE - offset])
    return [(np.clip(low + i - 1, 0, old - 1), row) for i, row in enumerate(weights)]


def _kernel(x: Any) -> Any:
    """Keys's kernel at distances of 0 to 1, or of 1 to 2."""
    inner = ((_CUBIC + 2) * x - (_CUBIC + 3)) * x * x + 1
    outer = ((_CUBIC * x - 5 * _CUBIC) * x + 8 * _CUBIC) * x - 4 * _CUBIC
    return np.where(x.max() <= 1, inner, outer).astype(np.float32)


def response(c: Call) -> list[Tensor]:
    """``x / (bias + alpha · sum of squares of the channels around) ** beta``."""
    x, radius = c.tensor(0), attrs.number(c.node, "depth_radius", 5)
    bias, alpha, beta = (number(c.node, key, default) for key, default in (("bias", 1), ("alpha", 1), ("beta", 0.5)))
    width = 2 * radius + 1
    squares = c.op(NUMPY, "Square", {}, x=x)[0]
    # The channels as a third axis of space, over which the mean is taken.
    row = c.op(NUMPY, "ExpandDims", {"axis": -1}, x=squares)[0]
    row = c.layer("ZeroPadding3D", {"padding": [[0, 0], [0, 0], [radius, radius]]}, row)[0]
    pool = {"pool_size": [1, 1, width], "strides": [1, 1, 1], "padding": "valid", "data_format": "channels_last"}
    mean = c.op(NUMPY, "Squeeze", {"axis": -1}, x=c.layer("AveragePooling3D", pool, row)[0])[0]
    scaled = c.op(NUMPY, "Multiply", {}, x1=mean, x2=alpha * width)[0]
    base = c.op(NUMPY, "Add", {}, x1=scaled, x2=bias)[0]
    return c.layer("Multiply", {}, x, c.op(NUMPY, "Power", {}, x1=base, x2=-beta)[0])


def patches(c: Call) -> list[Tensor]:
    """Windows of an image, side by side in the channels."""
    size, strides, rates = spatial(c.node, "ksizes"), spatial(c.node, "strides"), integers(c.node, "rates")
    padding = attrs.text(c.node, "padding").lower()
    if size is None or strides is None or set(rates) != {1} or not c.spec().dtype.startswith("float"):
        raise UnknownError("it leaves pixels out, or takes examples or channels apart")
    return c.op(
        IMAGE, "ExtractPatches",
        {"size": size, "strides": strides, "padding": padding, "data_format": "channels_last"}, images=c.tensor(0),
    )  # fmt: skip
