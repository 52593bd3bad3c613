"""What may be done to a weight: exact or correctly rounded, and of unchanged dtype."""

from __future__ import annotations

import numpy as np
import pytest

from harness.worker.tfworker.transforms import apply

KERNEL = np.arange(24, dtype="float32").reshape(2, 12)


def test_scale_touches_the_named_columns_only() -> None:
    found = apply(KERNEL, [{"op": "scale", "factor": 1.2, "ranges": [[0, 3], [9, 12]]}])
    np.testing.assert_array_equal(found[:, 3:9], KERNEL[:, 3:9])
    np.testing.assert_array_equal(found[:, :3], (KERNEL[:, :3].astype("float64") * 1.2).astype("float32"))
    np.testing.assert_array_equal(found[:, 9:], (KERNEL[:, 9:].astype("float64") * 1.2).astype("float32"))
    assert KERNEL[0, 1] == 1, "the source stays as it is"


def test_scale_rounds_once() -> None:
    value = np.float32(0.1)
    found = apply(np.array([value]), [{"op": "scale", "factor": 1.2, "ranges": None}])
    assert found[0] == np.float32(float(value) * 1.2)


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        ({"op": "transpose", "axes": [1, 0]}, KERNEL.T),
        ({"op": "reshape", "shape": [4, 6]}, KERNEL.reshape(4, 6)),
        ({"op": "flip", "axes": [0]}, KERNEL[::-1]),
    ],
)
def test_moves_keep_every_value(step: dict[str, object], expected: np.ndarray) -> None:
    found = apply(KERNEL, [step])
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == KERNEL.dtype
    assert found.flags.c_contiguous


def test_halves_are_added() -> None:
    np.testing.assert_array_equal(apply(np.float32([1, 2, 10, 20]), [{"op": "sum_halves"}]), np.float32([11, 22]))


def test_steps_are_applied_in_order() -> None:
    found = apply(KERNEL, [{"op": "transpose", "axes": [1, 0]}, {"op": "reshape", "shape": [24]}])
    np.testing.assert_array_equal(found, KERNEL.T.reshape(-1))


def test_an_unknown_step_is_an_error_and_no_step_a_copy_of_nothing() -> None:
    with pytest.raises(KeyError):
        apply(KERNEL, [{"op": "pickle"}])
    np.testing.assert_array_equal(apply(KERNEL, []), KERNEL)
