"""The proof is tested too: a migrated model that was damaged on purpose is found out, and the right layer is named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import Harness, Once, Run

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def mutants(once: Once, script: Callable[..., str], rich: Run) -> Path:
    assert rich.report["status"] == "verified"
    return once("mutants", lambda folder: script("tf2.21", "mutate.py", rich.out / "model.keras", folder) and None)


@pytest.mark.parametrize(
    ("mutant", "layer", "class_name"),
    [
        ("permuted_kernel", "tower/tower_conv", "Conv1D"),  # an early layer: everything behind it differs as well
        ("swapped_gates", "lstm", "LSTM"),
        ("todays_hard_sigmoid", "gru_after", "GRU"),
        ("other_epsilon", "tower/tower_norm", "BatchNormalization"),
        ("dropped_bias", "shared", "Dense"),
        ("swapped_inputs", "difference", "Subtract"),
        ("one_weight_by_1e-3", "aux", "Dense"),
    ],
)
def test_a_damaged_model_diverges_at_the_damaged_layer(
    mutants: Path, rich: Run, run: Harness, mutant: str, layer: str, class_name: str
) -> None:
    done = run("verify", mutants / f"{mutant}.keras", rich.out / "bundle", "--json")
    assert done.status == 1, done.text
    report = done.report
    assert report["status"] == "diverged"
    assert not all(output["ok"] for output in report["outputs"])
    first = report["layers"]["first_divergent"]
    assert (first["layer"], first["class_name"]) == (layer, class_name)
    assert first["reason"].startswith("differs by ")
    assert first["max_rel"] > first["tolerance"]
    assert first["worst"]


def test_the_same_model_saved_again_is_verified(mutants: Path, rich: Run, run: Harness) -> None:
    done = run("verify", mutants / "saved_again.keras", rich.out / "bundle", "--json")
    assert (done.status, done.report["status"]) == (0, "verified")
    assert done.report["not_checked"][0] == "weights: only what the model computes was compared"


def test_two_model_files_are_compared_without_a_bundle(
    rich_model: Callable[[str], Path], mutants: Path, run: Harness
) -> None:
    """For whoever migrated by hand: the old file is exported in its own TensorFlow first."""
    done = run("verify", rich_model("tf1.15"), mutants / "swapped_gates.keras", "--json")
    assert (done.status, done.report["status"]) == (1, "diverged")
    assert done.report["layers"]["first_divergent"]["layer"] == "lstm"
    assert done.report["from"]["environment"] == "tf1.15"


def test_the_terminal_names_layer_and_elements(mutants: Path, rich: Run, run: Harness, tmp_path: Path) -> None:
    done = run("verify", mutants / "dropped_bias.keras", rich.out / "bundle", "--out", tmp_path / "out")
    assert done.status == 1
    assert "First layer that differs: shared (Dense): differs by " in done.stdout
    assert "  at [" in done.stdout
    assert "DIVERGED" in done.stdout
    assert not list((tmp_path / "out").glob("*.keras")), "the model under test is the user's, and stays where it is"
    # What was run stands there to be run again.
    assert (tmp_path / "out" / "jobs" / "replay-keras" / "in" / "model.keras").samefile(mutants / "dropped_bias.keras")
