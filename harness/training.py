"""Carry a model's training over and prove it: what stands between ``engine`` and the modules that do it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.dialects.training import Home, TrainingPlan, translate_training
from harness.verify.training import judge_training, unproved
from harness.worker.tfworker.arrays import ArrayReader
from harness.worker.tfworker.files import read_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.bundle import Bundle
    from harness.dialects import Translation
    from harness.dialects.rules import Change
    from harness.envspec import EnvSpec
    from harness.plan import Options

#: written beside a model with a pinned optimizer, which needs it to be loaded
PINNED_MODULE = Path(__file__).parent / "worker" / "tfworker" / "pinned_optimizers.py"


@dataclass(frozen=True, kw_only=True)
class Stage:
    """The training of one model on its way to one target.

    Attributes:
        asked: the choice of ``--training``.
        plan: None if the model brings no optimizer, or the target cannot take it.
        weights: where every weight goes, see :class:`harness.dialects.Translation`.
        reason: why there is no plan although the model brings an optimizer, or None.
    """

    asked: str
    plan: TrainingPlan | None
    weights: dict[str, dict[str, Any]]
    reason: str | None = None
    flavour: str = "keras3"

    @classmethod
    def of(cls, bundle: Bundle, done: Translation, target: EnvSpec, options: Options) -> Stage:
        """How the model of a bundle is to be trained in ``target``."""
        manifest, asked = bundle.manifest, options.training
        if asked == "off" or not manifest["model"]["training"].get("optimizer"):
            return cls(asked=asked, plan=None, weights=done.weights)
        family, flavour = manifest["model"]["training"]["optimizer"]["family"], target.keras_flavour
        home = Home.of(target.dialect, options.formats, family)
        reason = None if home else f"training is not carried to {target.name} yet"
        if home and home.dialect != "keras-3" and set(options.formats) == {"saved_model"}:
            reason = "Keras 2 restores no optimizer's state from a SavedModel: add --format h5"
        if home is None or reason:
            reason = f"{reason}; the model is saved without its optimizer"
            return cls(asked=asked, plan=None, weights=done.weights, reason=reason)
        source = manifest["producer"].get("flavour", "tf.keras")
        plan = translate_training(manifest["model"], source, done.weights, options.optimizer_formula, home)
        if plan and home.dialect != "keras-3" and "saved_model" in options.formats:
            plan.not_carried.append("optimizer state in the SavedModel: Keras 2 restores none; load the other form")
        return cls(asked=asked, plan=plan, weights=done.weights, flavour=flavour)

    @property
    def provable(self) -> bool:
        """Whether the target's model has an optimizer."""
        return self.plan is not None and self.plan.optimizer is not None

    @property
    def ledger(self) -> Sequence[Change]:
        """The changes made to the training configuration."""
        return self.plan.ledger if self.plan else ()

    def as_json(self) -> dict[str, Any] | None:
        """The part of the plan file that the target worker reads."""
        return self.plan.as_json() if self.plan is not None and self.provable else None

    def built(self, result: dict[str, Any] | None) -> Stage:
        """This stage after the model was built; ``result`` says what the target's Keras did not take."""
        if result is None or self.plan is None:
            return self
        if result["failed"]:
            return replace(self, plan=None, reason=f"the optimizer was left behind: {result['failed']}")
        return replace(self, plan=replace(self.plan, not_carried=[*self.plan.not_carried, *result["lost"]]))

    def request(self, model: str) -> dict[str, Any]:
        """The operation that loads a compiled model in a fresh process and takes steps with it."""
        paths = {"model": model, "bundle": "in/bundle", "plan": "in/plan.json"}
        written = {"arrays": "out/training.npz", "index": "out/training.json"}
        return {"op": "replay_training", "flavour": self.flavour, **paths, **written, "step": self.asked != "state"}

    def section(self, bundle: Bundle, result: dict[str, Any], out: Path) -> dict[str, Any]:
        """The ``training`` section of the report, from what :meth:`request` gave in the folder ``out``."""
        assert self.plan is not None
        entries = read_json(str(out / "training.json"))["arrays"]
        return judge_training(bundle, self.plan, self.weights, result, ArrayReader(str(out), entries))

    def unproved(self, bundle: Bundle) -> dict[str, Any] | None:
        """The section of a model whose training was not proved; None if there is none to speak of."""
        training = bundle.manifest["model"]["training"]
        if not training["config"]:
            return None
        reason = self.reason or "the model was saved without an optimizer"
        if self.asked == "off":
            reason = "--training off: the optimizer was left behind"
        return unproved(self.plan, training, reason)

    def write_module(self, folder: Path) -> list[Path]:
        """The module that a pinned optimizer needs, beside the model; empty where there is none."""
        if self.plan is None or not self.plan.pinned:
            return []
        return [Path(shutil.copyfile(PINNED_MODULE, folder / PINNED_MODULE.name))]
