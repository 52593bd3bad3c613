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


def test_sums_of_no_weight_yet_take_their_start() -> None:
    step = {"op": "divide_by", "value": np.float32(0), "start": 1.0}
    np.testing.assert_array_equal(apply(np.zeros(3, "float32"), [step]), np.ones(3, "float32"))
    np.testing.assert_array_equal(apply(np.float32([1, 3]), [{**step, "value": np.float32(0.5)}]), np.float32([2, 6]))


def test_a_deviation_is_the_root_of_a_variance() -> None:
    step = {"op": "deviation", "epsilon": 0.25, "value": np.float32([2, 0])}
    np.testing.assert_array_equal(apply(np.float32(1), [step]), np.float32([1.5, 0.5]))


def local(implementation: int, data_format: str, padding: str) -> dict[str, object]:
    return {
        "op": "local_kernel", "implementation": implementation, "data_format": data_format, "padding": padding,
        "input": [5, 4], "kernel": [2, 3], "strides": [2, 1], "channels": 2, "filters": 3,
    }  # fmt: skip


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_every_form_of_a_local_kernel_is_the_same_product(data_format: str, padding: str) -> None:
    """The dense (input, output) matrix of the layer, made of each form, is one matrix."""
    rng = np.random.default_rng(1)
    out = [3, 4] if padding == "same" else [2, 2]
    starts = [-1, -1] if padding == "same" else [0, 0]  # kernel // 2 places before the input
    matrix = np.zeros((5, 4, 2, *out, 3), "float32")
    patches = np.zeros((*out, 2, 3, 2, 3), "float32")
    for r, c, i, j in np.ndindex(*out, 2, 3):
        y, x = starts[0] + 2 * r + i, starts[1] + c + j
        if 0 <= y < 5 and 0 <= x < 4:
            patches[r, c, i, j] = rng.standard_normal((2, 3))
            matrix[y, x, :, r, c, :] = patches[r, c, i, j]
    expected = patches.reshape(out[0] * out[1], 12, 3)
    if data_format == "channels_first":
        matrix = matrix.transpose(2, 0, 1, 5, 3, 4)
    np.testing.assert_array_equal(apply(matrix, [local(2, data_format, padding)]), expected)
    flat = matrix.reshape(40, -1).T
    entries = flat[flat != 0]  # sorted by output, then input, as the sparse form is
    np.testing.assert_array_equal(apply(entries, [local(3, data_format, padding)]), expected)
    if padding == "valid":
        one = patches.transpose(0, 1, 4, 2, 3, 5) if data_format == "channels_first" else patches
        one = one.reshape(expected.shape)
        np.testing.assert_array_equal(apply(one, [local(1, data_format, padding)]), expected)
