"""Outputs that are known to be right: read from the user's npz, and compared with what a saved model gives."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from harness.errors import HarnessError
from harness.verify.compare import Comparison, compare
from harness.verify.tolerance import Bounds

INPUT, OUTPUT = "input:", "output:"


class Expected:
    """The arrays of ``--expected``: outputs, and the inputs that belong to them where they are in the same file."""

    def __init__(self, path: Path) -> None:
        """Raises HarnessError expected-invalid."""
        self.path = path
        try:
            with np.load(path, allow_pickle=False) as given:
                arrays = {name: given[name] for name in given.files}
        except (OSError, ValueError, EOFError, KeyError, AttributeError, zipfile.BadZipFile) as error:
            raise HarnessError("expected-invalid", f"{path} cannot be read as npz: {error}.") from error
        self.inputs = {k.removeprefix(INPUT): v for k, v in arrays.items() if k.startswith(INPUT)}
        self.outputs = {k.removeprefix(OUTPUT): v for k, v in arrays.items() if not k.startswith(INPUT)}
        if not self.outputs:
            raise HarnessError("expected-invalid", f"{path} holds no outputs.")

    def named(self, kind: str, specs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """The inputs or outputs in the order of the model's ``specs``, by name, or all by their order.

        Raises:
            HarnessError: expected-invalid.
        """
        arrays, names = (self.inputs if kind == "inputs" else self.outputs), [spec["name"] for spec in specs]
        if set(arrays) == set(names):
            return {name: arrays[name] for name in names}
        fits = len(arrays) == len(names) and all(
            _fits(array, spec["shape"]) for array, spec in zip(arrays.values(), specs, strict=True)
        )
        if not fits:
            details = [f"the model: {spec['name']} {spec['shape']}" for spec in specs]
            details += [f"the file: {name} {list(array.shape)}" for name, array in arrays.items()]
            raise HarnessError(
                "expected-invalid", f"{self.path} does not hold the {kind} of the model.", details=details
            )
        return dict(zip(names, arrays.values(), strict=True))


def _fits(array: Any, shape: Sequence[int | None]) -> bool:
    return array.ndim == len(shape) and all(w is None or w == g for w, g in zip(shape, array.shape, strict=True))


def comparisons(expected: Mapping[str, Any], found: Sequence[Any], bounds: Bounds) -> list[Comparison]:
    """One comparison for each output; a dtype of the file that holds the values of another is no difference."""
    rows = []
    for index, ((name, value), got) in enumerate(zip(expected.items(), found, strict=True)):
        bound = bounds.output(index, got.dtype.name)
        rows.append(compare(f"expected/{name}", value.astype(got.dtype), got, bound))
    return rows
