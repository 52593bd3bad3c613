"""The demonstration behind ``make tf1-to-tf2``."""

from __future__ import annotations

import json
from collections.abc import Callable

import jsonschema
import pytest
from command_line import Run

from harness import report as reports

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def demo(cli_once: Callable[..., Run]) -> Run:
    return cli_once("demo", "demo")


def test_the_demo_ends_verified(demo: Run) -> None:
    assert demo.done.status == 0, demo.done.text
    jsonschema.validate(demo.report, reports.schema())
    assert demo.report["status"] == "verified"
    assert "VERIFIED  TensorFlow 1.15." in demo.done.stdout
    assert "Trained in TensorFlow 1.15." in demo.done.stdout


def test_the_naive_way_fails_or_is_silently_wrong(demo: Run) -> None:
    naive = json.loads((demo.out / "naive.json").read_text())
    assert naive["load_model"]["error"] or naive["load_model"]["max_rel"] > 1e-3
    assert naive["by_hand"]["error"] is None
    assert naive["by_hand"]["max_rel"] > 1e-3
    assert max(output["max_rel"] for output in demo.report["outputs"]) < 1e-5
