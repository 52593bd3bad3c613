"""The user's samples: what fits is cast without loss of kind, and what does not is named all at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.worker.tfworker.errors import Refusal
from harness.worker.tfworker.samples import read_samples

INPUTS = [
    {"name": "tokens", "shape": [None, 3], "dtype": "int32"},
    {"name": "image", "shape": [None, None, 2], "dtype": "float32"},
]
GOOD = {"tokens": np.arange(6).reshape(2, 3), "image": np.ones((2, 5, 2))}


def read(folder: Path, inputs: Any = INPUTS, **arrays: Any) -> list[Any]:
    np.savez(folder / "samples.npz", **arrays)
    return read_samples(str(folder / "samples.npz"), inputs)


def refused(folder: Path, **arrays: Any) -> list[str]:
    with pytest.raises(Refusal, match="^the samples do not fit the inputs tokens, image$") as caught:
        read(folder, **arrays)
    assert caught.value.code == "samples-invalid"
    return list(caught.value.details)


def test_arrays_come_in_the_order_of_the_inputs_and_in_their_dtype(tmp_path: Path) -> None:
    tokens, image = read(tmp_path, **dict(reversed(GOOD.items())))
    assert (tokens.dtype, image.dtype) == (np.int32, np.float32)
    np.testing.assert_array_equal(tokens, GOOD["tokens"])


def test_images_of_bytes_become_reals(tmp_path: Path) -> None:
    _, image = read(tmp_path, **{**GOOD, "image": np.full((2, 4, 2), 255, "uint8")})
    assert (image.dtype, image.max()) == (np.float32, 255.0)


def test_text_becomes_bytes(tmp_path: Path) -> None:
    (words,) = read(tmp_path, [{"name": "w", "shape": [None], "dtype": "string"}], w=np.array(["a", "ü"]))
    assert words.tolist() == [b"a", "ü".encode()]


@pytest.mark.parametrize(
    ("change", "problems"),
    [
        ({"tokens": None}, ["missing: tokens"]),
        ({"tokens": None, "token": GOOD["tokens"]}, ["missing: tokens", "not an input of the model: token"]),
        ({"tokens": GOOD["tokens"] + 0.5}, ["tokens: dtype expected int32, found float64"]),
        ({"image": np.array([["a"]])}, ["image: shape expected [any, any, 2], found [1, 1]", "image: dtype expected float32, found str32", "the arrays differ in their number of rows: 1, 2"]),
        ({"tokens": np.zeros((2, 4), int)}, ["tokens: shape expected [any, 3], found [2, 4]"]),
        ({"tokens": np.int32(1)}, ["tokens: shape expected [any, 3], found []"]),
        ({"tokens": np.zeros((4, 3), int)}, ["the arrays differ in their number of rows: 2, 4"]),
        ({"tokens": np.zeros((0, 3), int), "image": np.zeros((0, 1, 2))}, ["tokens: no values", "image: no values"]),
    ],
)  # fmt: skip
def test_every_problem_is_named(tmp_path: Path, change: dict[str, Any], problems: list[str]) -> None:
    arrays = {name: array for name, array in {**GOOD, **change}.items() if array is not None}
    assert refused(tmp_path, **arrays) == problems


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04 and no more", b"\x93NUMPY\x01\x00"])
def test_what_is_no_npz_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "samples.npz").write_bytes(content)
    with pytest.raises(Refusal, match="^the samples cannot be read: "):
        read_samples(str(tmp_path / "samples.npz"), INPUTS)


def test_nothing_is_ever_unpickled(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="^the samples cannot be read: Object arrays cannot be loaded"):
        read(tmp_path, **{**GOOD, "tokens": np.array([{"a": 1}], dtype=object)})
