"""Real model files of the TensorFlow 1 era: migrated, and their recorded outputs reproduced without the harness."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from command_line import Run

from harness import report as reports

pytestmark = pytest.mark.integration

FILES = (
    "k_face_mini_xception",
    "k_face_big_xception",
    "k_face_gender_xception",
    "k_face_tiny_kdef",
    "k_chemvae_encoder",
    "k_chemvae_prop",
    "k_chen_ffae_whole",
    "k_packt_stackedgan_220",
)


@pytest.fixture(scope="module")
def migrated(cli_once: Callable[..., Run], corpus: Path, mini: Run) -> Callable[[str], Run]:
    def get(name: str) -> Run:
        if name == "k_face_mini_xception":
            return mini
        (model,) = (path for path in (corpus / name).iterdir() if path.suffix in (".h5", ".hdf5"))
        return cli_once(name, "migrate", model)

    return get


@pytest.mark.parametrize("name", FILES)
def test_a_real_model_is_verified(migrated: Callable[[str], Run], name: str) -> None:
    made = migrated(name)
    assert made.done.status == 0, made.done.text
    report = made.report
    jsonschema.validate(report, reports.schema())
    assert report["status"] == "verified"
    assert report["weights"]["equal"] == report["weights"]["total"] > 0
    assert report["weights"]["transformed"] == []
    assert report["layers"]["equal_within_bound"] == report["layers"]["compared"] > 0
    assert report["layers"]["missing"] == []
    assert len(report["probes"]) >= 3


@pytest.fixture(scope="module")
def plain(migrated: Callable[[str], Run], script: Callable[..., str], corpus: Path) -> dict[str, Any]:
    """What one isolated process of the target environment found, for every saved model."""
    saved = [(migrated(name).out / "model.keras", corpus / name / "golden.npz") for name in FILES]
    pairs = [path for pair in saved for path in pair if pair[0].exists()]
    return dict(json.loads(script("tf2.21", "plain_check.py", *pairs, flags=("-I", "-B"))))


@pytest.mark.parametrize("name", FILES)
def test_the_saved_model_reproduces_the_recorded_outputs_without_us(
    migrated: Callable[[str], Run], plain: dict[str, Any], name: str
) -> None:
    assert plain["strangers"] == []
    assert plain["difference"][str(migrated(name).out / "model.keras")] <= 1e-5
