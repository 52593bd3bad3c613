"""Which weights the probes reach, measured by a real TensorFlow: dead units are found, and everything else is proven."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import Once, Run

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def dead(once: Once, script: Callable[..., str], cli_once: Callable[..., Run]) -> Run:
    model = (
        once("dead-model", lambda folder: script("tf1.12", "dead_model.py", folder / "dead.h5") and None) / "dead.h5"
    )
    return cli_once("dead", "migrate", model, "--require-proven", "0.99")


def test_weights_of_dead_units_are_not_proven_and_refuse_the_required_share(dead: Run) -> None:
    assert dead.done.status == 3, dead.done
    assert dead.report["error"]["code"] == "proof-insufficient"
    proven = dead.report["proven"]
    assert proven["tensors"] == {"total": 6, "proven": 4}
    rows = {row["name"]: row for row in proven["unproven"]}
    assert rows["dead/kernel"]["proven"] == rows["dead/bias"]["proven"] == 0
    assert rows["alive/kernel"]["reason"] == "1 of 6 units are reached by no probe"
    assert rows["head/kernel"]["reason"] == "4 of 9 inputs are zero for every probe"
    assert not list(Path(dead.out).glob("model*"))


def test_every_weight_of_a_real_model_is_proven_its_moving_averages_too(mini: Run) -> None:
    proven = mini.report["proven"]
    assert (proven["share"], proven["by"]) == (1.0, "outputs and layers")
    assert (proven["skipped"], proven["gradients"], proven["saturated"]) == (None, None, [])
    assert proven["elements"]["proven"] > 0.95 * proven["elements"]["total"]
