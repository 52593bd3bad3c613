"""A comparison sees every difference, and says where."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hn

from harness.verify.compare import compare

BASE = np.array([[1.0, 2.0], [3.0, 4.0]], "float32")
FINITE = hn.arrays("float32", hn.array_shapes(max_dims=3, max_side=4), elements=st.floats(-1e3, 1e3, width=32))


@given(FINITE)
def test_equal_arrays_are_equal_in_every_measure(array: np.ndarray) -> None:
    found = compare("y", array, array.copy(), 0.0)
    assert found.ok
    assert (found.max_abs, found.max_rel, found.max_ulp, found.worst, found.reason) == (0.0, 0.0, 0, (), None)


@given(FINITE, st.data())
def test_one_changed_element_is_found_and_named(array: np.ndarray, data: st.DataObject) -> None:
    index = tuple(data.draw(st.integers(0, size - 1)) for size in array.shape)
    other = array.copy()
    other[index] += np.float32(1.0)
    found = compare("y", array, other, 0.0)
    assert not found.ok
    assert [worst.index for worst in found.worst] == [index]
    assert (found.worst[0].expected, found.worst[0].found) == (array[index], other[index])
    json.dumps(found.as_json(), allow_nan=False)


def test_the_same_values_in_another_order_differ() -> None:
    found = compare("y", BASE, BASE[::-1], 1e-5)
    assert not found.ok
    assert found.reason == "differs by 0.5 of the largest value; at most 1e-05 is rounding"
    assert found.worst[0].index in {(1, 1), (1, 0), (0, 0), (0, 1)}


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        (BASE[:, :1], "shape expected [2, 2], found [2, 1]"),
        (BASE.reshape(4), "shape expected [2, 2], found [4]"),
        (BASE[None], "shape expected [2, 2], found [1, 2, 2]"),
        (BASE.astype("float64"), "dtype expected float32, found float64"),
        (BASE.astype("float16"), "dtype expected float32, found float16"),
        (np.where(BASE == 2, np.nan, BASE), "finite in 3 places instead of 4"),
        (np.where(BASE == 2, np.inf, BASE), "finite in 3 places instead of 4"),
    ],
)
def test_nothing_is_broadcast_cast_or_skipped(other: np.ndarray, reason: str) -> None:
    found = compare("y", BASE, other, 1.0)
    assert (found.ok, found.reason, found.max_abs) == (False, reason, -1.0)


def test_a_nan_of_the_source_must_be_a_nan_at_the_same_place() -> None:
    one, other = np.float32([np.nan, 1]), np.float32([1, np.nan])
    assert compare("y", one, one.copy(), 0.0).ok
    assert not compare("y", one, other, 1.0).ok
    assert not compare("y", np.float32([np.inf]), np.float32([-np.inf]), 1.0).ok
    assert compare("y", np.float32([np.inf]), np.float32([np.inf]), 0.0).ok


def test_the_measure_is_relative_to_the_largest_value_of_the_tensor() -> None:
    found = compare("y", np.float32([1000, 1e-6]), np.float32([1000, 2e-6]), 1e-8)
    assert found.ok
    assert found.max_rel == pytest.approx(1e-9)


def test_a_tensor_of_zeros_allows_no_difference() -> None:
    found = compare("y", np.zeros(2, "float32"), np.float32([0, 1e-30]), 1.0)
    assert not found.ok
    assert found.max_rel == 1e308
    assert compare("y", np.zeros(2, "float32"), np.float32([0, 1e-30]), 1e-5, scale=1e-3).ok


@pytest.mark.parametrize(
    ("expected", "found", "ulp"),
    [
        (1.0, np.nextafter(np.float32(1), np.float32(2)), 1),
        (0.0, -0.0, 0),
        (np.nextafter(np.float32(0), np.float32(1)), -np.nextafter(np.float32(0), np.float32(1)), 2),
        (1.0, 2.0, 1 << 23),
    ],
)
def test_ulps_count_representable_numbers(expected: float, found: float, ulp: int) -> None:
    assert compare("y", np.float32([expected]), np.float32([found]), 1.0).max_ulp == ulp


def test_a_scalar_is_compared_too() -> None:
    found = compare("y", np.float32(1), np.float32(2), 0.1)
    assert (found.ok, found.max_ulp, found.worst[0].index) == (False, 1 << 23, ())


@pytest.mark.parametrize("dtype", ["int32", "bool", "uint8"])
def test_what_is_not_real_must_be_equal_whatever_the_tolerance(dtype: str) -> None:
    found = compare("y", np.array([0, 1, 1], dtype), np.array([0, 1, 0], dtype), 1.0)
    assert (found.ok, found.reason, found.worst[0].index) == (False, "1 of 3 values differ", (2,))


def test_strings_are_compared_as_bytes() -> None:
    one = np.array([b"a", b"b\0"], object)
    assert compare("y", one, one.copy(), 0.0).ok
    found = compare("y", one, np.array([b"a", b"b"], object), 0.0)
    assert (found.ok, found.dtype, found.worst[0].expected) == (False, "string", "b\0")


def test_at_most_five_elements_are_shown_worst_first() -> None:
    found = compare("y", np.zeros(9, "float32"), np.arange(9, dtype="float32"), 0.0)
    assert [worst.index for worst in found.worst] == [(8,), (7,), (6,), (5,), (4,)]


def test_complex_numbers_are_compared_by_distance() -> None:
    found = compare("y", np.complex64([3 + 4j]), np.complex64([3 + 4.5j]), 0.2)
    assert found.ok
    assert found.max_rel == pytest.approx(0.1)
