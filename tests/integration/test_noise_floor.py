"""Float64 on both sides: rounding vanishes there, and a change too small for float32 stays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import Done, Harness, Once, Run, end, start

pytestmark = pytest.mark.integration

NORM = "tower/tower_norm"


@pytest.fixture(scope="module")
def hidden(once: Once, script: Callable[..., str], rich: Run) -> Path:
    """The migrated model with an epsilon that is off by a ten-thousandth of itself."""
    folder = once(
        "hidden-epsilon",
        lambda folder: (
            script("tf2.21", "hidden_epsilon.py", rich.out / "model.keras", NORM, folder / "h.keras") and None
        ),
    )
    return folder / "h.keras"


@pytest.fixture(scope="module")
def judged(hidden: Path, rich: Run, tmp_path_factory: pytest.TempPathFactory) -> Done:
    """The verdict at the standard proof."""
    return end(start("verify", hidden, rich.out / "bundle", "--json", cwd=tmp_path_factory.mktemp("judged")))


def test_rounding_vanishes_in_float64(rich: Run) -> None:
    floor = rich.report["noise_floor"]
    assert (floor["proof"], floor["skipped"], floor["layers"]) == ("standard", None, True)
    keras, saved = floor["forms"]
    assert (keras["format"], keras["agrees"], keras["settled"], keras["hidden"]) == ("keras", True, [], [])
    assert keras["compared"]["layers"] == rich.report["layers"]["compared"]
    assert keras["float32"] > 1e5 * keras["float64"]
    assert 0.01 < keras["float32"] / keras["noise"] < 100
    assert "functions" in saved["skipped"]
    assert any(line.startswith("float64, as saved_model: ") for line in rich.report["not_checked"])


def test_a_change_below_the_bound_of_float32_is_found_in_float64(judged: Done) -> None:
    done = judged
    assert (done.status, done.report["status"]) == (1, "diverged"), done.text
    first = done.report["layers"]["first_divergent"]
    assert first["layer"] == NORM
    assert first["max_rel"] <= first["tolerance"]
    assert first["float64"]["max_rel"] > 1e3 * first["float64"]["tolerance"]
    assert "hidden below the bound of float32" in first["reason"]
    old, new = (first["configs"][side]["epsilon"] for side in ("old", "new"))
    assert 0 < abs(old - new) < 1e-3 * old
    assert NORM in done.report["noise_floor"]["forms"][0]["hidden"]


def test_a_quick_proof_does_not_see_it_and_says_so(hidden: Path, rich: Run, run: Harness, judged: Done) -> None:
    done = run("verify", hidden, rich.out / "bundle", "--proof", "quick", "--json")
    assert (done.status, done.report["status"]) == (0, "verified"), done.text
    assert "float64: --proof quick compares in float32 only" in done.report["not_checked"]
    # Two processes computed the same float32, bit for bit.
    for rows in (lambda report: report["outputs"], lambda report: report["layers"]["all"]):
        first, again = ([row["max_abs"] for row in rows(report)] for report in (judged.report, done.report))
        assert first == again
