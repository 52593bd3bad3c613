"""The plan of a training: what the target worker is to build, and for which Keras."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.dialects.rules import Change

_NAMES = {"keras-3": "Keras 3", "tf2.15": "Keras 2", "tf2.3": "TensorFlow 2.3"}


@dataclass(frozen=True)
class Home:
    """The Keras that trains the model from now on.

    Attributes:
        dialect: of the target.
        style: of its optimizers: ``modern`` (tf.keras 2.11 and later, Keras 3), or ``v2`` (OptimizerV2, the formulas of
            TensorFlow 1; beside the modern ones called legacy).
    """

    dialect: str = "keras-3"
    style: str = "modern"

    @classmethod
    def of(cls, dialect: str, formats: Sequence[str], family: str) -> Home | None:
        """Where a training goes, by the target's dialect, the saved forms and the source's family; None: nowhere.

        Keras 2 saves the state of its legacy optimizers in HDF5 alone: a ``.keras`` file drops it without a word.
        """
        if dialect not in _NAMES:
            return None
        if dialect == "tf2.3" or (dialect == "tf2.15" and family != "modern" and "keras" not in formats):
            return cls(dialect, "v2")
        return cls(dialect, "modern")

    @property
    def name(self) -> str:
        """What people call it."""
        return _NAMES[self.dialect]


@dataclass(kw_only=True)
class TrainingPlan:
    """What the target worker is to build.

    Attributes:
        home: the Keras that it is said for.
        optimizer: ``{"class_name", "config"}``, and ``legacy`` for one of style ``v2``; or None.
        old_formula: the same with the class that has the source's formula, where it differs.
        losses, loss_weights, metrics, weighted_metrics: for each output, in order.
        slots: ``{"array", "layer", "role", "slot", "transforms"}`` of each; layer and role are the target's.
        scalars: ``iterations``, and Nadam's ``m_schedule``.
        known: differences of formula that are known: ``{"what", "why", "weights"}``; None for weights means all.
        not_carried: what has no place in the target, each with the reason.
    """

    home: Home = Home()
    optimizer: dict[str, Any] | None = None
    old_formula: dict[str, Any] | None = None
    pinned: bool = False
    losses: list[Any] = field(default_factory=list)
    loss_weights: list[float] | None = None
    metrics: list[list[Any]] | None = None
    weighted_metrics: list[list[Any]] | None = None
    slots: list[dict[str, Any]] = field(default_factory=list)
    scalars: dict[str, float] = field(default_factory=dict)
    known: list[dict[str, Any]] = field(default_factory=list)
    not_carried: list[str] = field(default_factory=list)
    ledger: list[Change] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """The plan as the worker reads it."""
        kept = ("optimizer", "old_formula", "pinned", "losses", "loss_weights", "metrics", "weighted_metrics")
        return {key: getattr(self, key) for key in (*kept, "slots", "scalars")}

    def note(self, what: str, before: Any, after: Any, why: str) -> None:
        """Enter a change into the ledger."""
        self.ledger.append(
            Change(
                layer="(training)",
                step=f"training → {self.home.dialect}",
                what=what,
                before=before,
                after=after,
                why=why,
            )
        )
