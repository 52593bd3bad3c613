"""The same file gives the same bundle, byte for byte."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import Run

pytestmark = pytest.mark.integration


def test_two_exports_of_a_file_are_the_same_bytes(cli_once: Callable[..., Run], mini: Run, corpus: Path) -> None:
    again = cli_once("exported", "export", corpus / "k_face_mini_xception" / "model.hdf5")
    assert again.done.status == 0, again.done.text
    first, second = mini.out / "bundle", again.out / "bundle"
    assert {path.name for path in first.iterdir()} == {path.name for path in second.iterdir()}
    for path in first.iterdir():
        assert path.read_bytes() == (second / path.name).read_bytes(), path.name


def test_two_exports_in_parallel_processes_share_nothing(
    cli_once: Callable[..., Run], rich_model: Callable[[str], Path], rich: Run
) -> None:
    again = cli_once("rich-exported", "export", rich_model("tf1.15"))
    for name in ("weights.npz", "probes.npz"):
        assert (rich.out / "bundle" / name).read_bytes() == (again.out / "bundle" / name).read_bytes(), name


def test_an_export_says_that_nothing_was_built(cli_once: Callable[..., Run], corpus: Path, mini: Run) -> None:
    again = cli_once("exported", "export", corpus / "k_face_mini_xception" / "model.hdf5")
    report = json.loads((again.out / "report.json").read_text())
    assert (report["outputs"], report["weights"], report["to"]) == ([], None, None)
    sentence = "nothing was built yet: import the bundle to get a verdict"
    assert sentence in report["not_checked"]
    assert f"Not checked: {sentence}" in again.done.stdout
