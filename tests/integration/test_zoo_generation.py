"""The generator in real old environments: what it writes is complete, deterministic and survives bad cases."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.backends import Environment

GENERATE = Path(__file__).resolve().parent.parent / "zoo" / "generate.py"

pytestmark = [pytest.mark.integration, pytest.mark.parametrize("name", ["tf1.12", "tf1.15"])]


def generate(environment: Environment, folder: Path, only: str) -> dict[str, Any]:
    """The index by case id."""
    subprocess.run([environment.python, GENERATE, "--out", folder, "--only", only], check=True, capture_output=True)
    index = json.loads((folder / "index.json").read_text())
    return {entry["id"]: entry for entry in index["cases"]}


def test_models_and_goldens_are_written(environment: Callable[[str], Environment], name: str, tmp_path: Path) -> None:
    found = generate(environment(name), tmp_path, "merging/add-*")
    assert all(entry["applicable"] for entry in found.values())
    for entry in found.values():
        assert hashlib.sha256((tmp_path / entry["file"]).read_bytes()).hexdigest() == entry["sha256"]
        with np.load(tmp_path / entry["golden"], allow_pickle=False) as golden:
            assert {"input:0", "output:0"} <= set(golden.files)
            assert golden["output:0"].std() > 0
        assert entry["golden_from"] == "reloaded"
    assert found["merging/add-mask_both"]["layers"] == ["Add", "InputLayer", "Masking", "Model"]


def test_goldens_are_the_same_every_time(environment: Callable[[str], Environment], name: str, tmp_path: Path) -> None:
    outputs = []
    for folder in (tmp_path / "first", tmp_path / "second"):
        entry = generate(environment(name), folder, "recurrent/lstm-masked-sequences")[
            "recurrent/lstm-masked-sequences"
        ]
        with np.load(folder / entry["golden"], allow_pickle=False) as golden:
            outputs.append(golden["output:0"])
    np.testing.assert_array_equal(*outputs)


def test_a_layer_of_another_version_is_recorded_as_not_applicable(
    environment: Callable[[str], Environment], name: str, tmp_path: Path
) -> None:
    entry = generate(environment(name), tmp_path, "attention/multi_head")["attention/multi_head"]
    assert (entry["applicable"], entry["file"]) == (False, None)
    assert "has no attribute 'MultiHeadAttention'" in entry["reason"]
