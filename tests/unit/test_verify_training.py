"""What five steps show that one does not: an optimizer that forgets between its steps, in numpy."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from harness.dialects.training import TrainingPlan
from harness.verify.training import judge_training

KERNEL = np.array([1.0, -2.0, 0.5])
TARGET = np.array([0.2, 0.1, -0.3])
STEPS = 5
Update = Callable[[Any, Any, int], Any]


def gradient(w: Any) -> Any:
    return 0.1 * (w - TARGET) + 0.01 * w**3


def loss(w: Any) -> float:
    return float(np.sum(0.05 * (w - TARGET) ** 2 + 0.0025 * w**4))


def adam(*, forgets: str = "") -> Update:
    """Adam in float64; ``forgets`` names what is as it was at the start in every step after the first."""
    state = {"m": np.full(3, 0.02), "v": np.full(3, 3e-4), "t": 3}

    def update(w: Any, g: Any, number: int) -> Any:
        m, v = 0.9 * state["m"] + 0.1 * g, 0.999 * state["v"] + 0.001 * g**2
        t = state["t"] + 1
        new = {"m": m, "v": v, "t": t}
        state.update({key: value for key, value in new.items() if key != forgets})
        return w - 0.01 * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-7)

    return update


def run(update: Update, gradients: Any = None) -> tuple[list[Any], list[Any]]:
    """The weights after every step, and the gradients that they were taken with (the own, or given ones)."""
    w, weights, taken = KERNEL, [], []
    for number in range(STEPS):
        g = gradient(w) if gradients is None else gradients[number]
        w = update(w, g, number)
        weights.append(w)
        taken.append(g)
    return weights, taken


class Arrays(dict[str, Any]):
    """Stands for a reader of arrays."""

    @property
    def entries(self) -> Arrays:
        return self

    def get(self, name: str) -> Any:  # type: ignore[override]
        return self[name]


def judge(update: Update, **replaced: Any) -> Any:
    weights, gradients = run(adam())
    arrays = Arrays({"d/kernel": KERNEL, "g": gradients[0], "after": weights[0], "end": weights[-1]})
    arrays["eg"] = gradient(weights[-1])
    row = {"layer": ["d"], "role": "kernel", "gradient": "g", "after": "after", "end": "end", "end_gradient": "eg"}
    step = {
        "skipped": None, "batch": "normal", "replaced_losses": [], "weights": [row], "count": STEPS,
        "loss": loss(KERNEL), "end_loss": loss(weights[-1]),
    }  # fmt: skip
    training = {"slots": [], "state": "carried", "step": step}
    kernel = {"name": "d/kernel", "layer": ["d"], "role": "kernel", "trainable": True}
    bundle: Any = SimpleNamespace(manifest={"model": {"training": training}, "arrays": [kernel]}, arrays=arrays)
    found = run(update, gradients)[0]
    replayed = {
        "source/gradient/d/kernel": gradients[0], "source/after/d/kernel": found[0],
        "source/end/d/kernel": found[-1], "source/end_gradient/d/kernel": gradient(weights[-1]), **replaced,
    }  # fmt: skip
    optimizer = {"class_name": "Adam", "config": {}}
    steps = {"source": {"loss": step["loss"], "end_loss": step["end_loss"]}}
    result = {"optimizer": optimizer, "iterations": None, "trainable": ["d/kernel"], "steps": steps}
    moves = {"d/kernel": {"layer": ["d"], "role": "kernel", "transforms": []}}
    plan = TrainingPlan(optimizer=optimizer)
    return judge_training(bundle, plan, moves, result, Arrays(replayed))  # type: ignore[arg-type]


def test_the_same_optimizer_agrees_after_one_step_and_after_five() -> None:
    section = judge(adam())
    assert section["ok"]
    step = section["step"]
    assert (step["status"], step["steps"], step["compared"]) == ("equal", STEPS, 6)


@pytest.mark.parametrize("forgets", ["m", "v", "t"])
def test_a_state_that_is_not_kept_between_steps_is_noticed(forgets: str) -> None:
    """One step alone would agree: the state that was loaded is right."""
    step = judge(adam(forgets=forgets))["step"]
    assert step["status"] == "differs"
    assert step["first_divergent"]["name"] == "weight d/kernel after 5 steps"


def test_a_gradient_that_is_another_at_the_end_is_noticed() -> None:
    step = judge(adam(), **{"source/end_gradient/d/kernel": gradient(KERNEL)})["step"]
    assert step["first_divergent"]["name"] == "gradient d/kernel after 5 steps"


def test_rounding_is_no_difference() -> None:
    end = run(adam())[0][-1]
    assert judge(adam(), **{"source/end/d/kernel": end * (1 + 1e-9)})["ok"]
