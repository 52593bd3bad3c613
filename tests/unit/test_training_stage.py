"""What the target did not take of a model's training stands in the report, and costs nothing else."""

from __future__ import annotations

from harness.dialects.training import TrainingPlan
from harness.training import Stage

ADAM = {"class_name": "Adam", "config": {"learning_rate": 0.1}}


def stage() -> Stage:
    return Stage(asked="auto", plan=TrainingPlan(optimizer=ADAM, not_carried=["a"]), weights={})


def test_an_optimizer_that_the_target_refused_is_not_proved() -> None:
    done = stage().built({"lost": [], "failed": "ValueError: no"})
    assert not done.provable
    assert done.reason == "the optimizer was left behind: ValueError: no"


def test_metrics_that_the_target_refused_are_named() -> None:
    done = stage().built({"lost": ["metric b"], "failed": None})
    assert done.provable
    assert done.plan is not None
    assert done.plan.not_carried == ["a", "metric b"]


def test_a_model_without_training_stays_as_it_is() -> None:
    assert stage().built(None) == stage()
