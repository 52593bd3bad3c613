"""Float64 where TensorFlow rounds Python's numbers or lacks a kernel: the same function in the oldest and the newest."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.backends import WORKER_FOLDER, Environment

pytestmark = pytest.mark.integration
SCRIPT = Path(__file__).parent / "scripts" / "float64.py"


@pytest.mark.parametrize("name", ["tf1.12", "tf2.21"])
def test_operations_give_in_float64_what_they_mean(
    name: str, environment: Callable[[str], Environment], tmp_path: Path
) -> None:
    found = environment(name)
    done = subprocess.run(
        [str(found.python), "-s", "-B", str(SCRIPT)],
        env={**found.environ(tmp_path), "PYTHONPATH": str(WORKER_FOLDER), "TF_CPP_MIN_LOG_LEVEL": "2"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    off = json.loads(done.stdout.strip().splitlines()[-1])
    assert {"cast", "zeros", "slope", "convolution", "maxima", "means"} <= set(off)
    assert all(value < 1e-14 for value in off.values()), off
