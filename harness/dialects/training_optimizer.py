"""An old optimizer, said in the target's Keras: class, hyperparameters, learning rate, and where each slot goes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from harness.dialects.training_plan import Home, TrainingPlan
from harness.worker.tfworker import transforms

#: classes whose old formula differs from Keras 3's: (pinned class, what differs)
PINNED = {
    "RMSprop": ("EpsilonOutsideRMSprop", "epsilon was added outside the square root; Keras 3 adds it inside"),
    "Adagrad": ("EpsilonOutsideAdagrad", "epsilon was added outside the square root; Keras 3 adds it inside"),
    "Nadam": ("ScheduledNadam", "the momentum schedule was 0.96^(step · schedule_decay); Keras 3's is 0.96^step"),
}
_HYPERPARAMETERS = {
    "SGD": ("momentum", "nesterov"),
    "RMSprop": ("rho", "momentum", "epsilon", "centered"),
    "Adagrad": ("initial_accumulator_value", "epsilon"),
    "Adadelta": ("rho", "epsilon"),
    "Adam": ("beta_1", "beta_2", "epsilon", "amsgrad"),
    "Adamax": ("beta_1", "beta_2", "epsilon"),
    "Nadam": ("beta_1", "beta_2", "epsilon"),
    "Ftrl": (
        "learning_rate_power", "initial_accumulator_value", "l1_regularization_strength", "l2_regularization_strength",
        "l2_shrinkage_regularization_strength", "beta",
    ),
}  # fmt: skip
#: of tf.keras 2.11 and later, the same in Keras 3
_BASE = ("weight_decay", "global_clipnorm", "use_ema", "ema_momentum", "ema_overwrite_frequency")
_SCHEDULES = frozenset(
    {"ExponentialDecay", "PiecewiseConstantDecay", "PolynomialDecay", "InverseTimeDecay", "CosineDecay"}
)


def optimizer(plan: TrainingPlan, found: Mapping[str, Any], flavour: str) -> None:
    """Enter the target's optimizer into the plan; what has no place there is named."""
    name, old, home = found["class_name"], dict(found["config"]), plan.home
    reason = _without_place(name, old, found["family"], home)
    if reason:
        plan.not_carried.append(f"optimizer: {reason}")
        return
    config: dict[str, Any] = {k: old[k] for k in _HYPERPARAMETERS[name] if old.get(k) is not None}
    if home.style == "modern":
        config |= {key: old[key] for key in _BASE if old.get(key) is not None}
    _defaults(name, config, found["family"])
    rate = old.get("learning_rate", old.get("lr"))
    if "learning_rate" not in old:
        plan.note("lr", "lr", "learning_rate", "same argument, renamed")
    decay = old.get("decay") or 0.0
    if home.style == "v2":
        config |= _v2_rate(name, rate, decay, found["family"])
    else:
        config["learning_rate"] = _rate(plan, name, rate, decay, found["family"])
    clip = [key for key in ("clipnorm", "clipvalue") if old.get(key)]
    if len(clip) == 2 and home.dialect != "tf2.3":
        plan.not_carried.append(f"optimizer: {home.name} clips gradients by norm or by value, not by both")
        return
    for key in clip:
        config[key] = float(old[key])
    if flavour == "keras" and "clipnorm" in config:
        if home.dialect == "tf2.3":
            plan.not_carried.append(f"optimizer: {home.name} does not clip by the norm of all gradients together")
            return
        config["global_clipnorm"] = config.pop("clipnorm")
        plan.note("clipnorm", "clipnorm", "global_clipnorm", "standalone Keras clips by the norm of all gradients")
    if config["learning_rate"] is None:
        plan.not_carried.append("optimizer: its learning rate is a schedule that " + home.name + " does not have")
        return
    plan.optimizer = {"class_name": name, "config": config, **({"legacy": True} if home.style == "v2" else {})}
    other = name in PINNED and found["family"] != "modern" and home.style == "modern"
    if other and not (name == "RMSprop" and config["momentum"]):
        _old_formula(plan, name, old, rate, found["family"])


def _old_formula(plan: TrainingPlan, name: str, old: Mapping[str, Any], rate: Any, family: str) -> None:
    """The source's formula: of a class that the harness brings for Keras 3, of the legacy class in Keras 2."""
    assert plan.optimizer is not None
    pinned, why = PINNED[name]
    config = dict(plan.optimizer["config"])
    if name == "Nadam":
        config["schedule_decay"] = _schedule_decay(old)
    if plan.home.dialect == "keras-3":
        plan.old_formula = {"class_name": pinned, "config": config}
    else:
        config |= _v2_rate(name, rate, old.get("decay") or 0.0, family)
        plan.old_formula = {"class_name": name, "config": config, "legacy": True}
        why += ". Saved as --format h5 alone, the optimizer keeps the old formula"
    why = why.replace("Keras 3", plan.home.name)
    plan.known.append({"what": f"formula of {name}", "why": why, "weights": None, "formula": True})


def _schedule_decay(old: Mapping[str, Any]) -> float:
    return float(old["schedule_decay"] if "schedule_decay" in old else old.get("decay") or 0.0)


def _without_place(name: str, old: Mapping[str, Any], family: str, home: Home) -> str | None:
    """Why an optimizer does not exist in the target, or None."""
    if name not in _HYPERPARAMETERS:
        return f"{home.name} has no {name} that is known to be the same"
    if home.style != "v2":
        return None
    if family == "modern":
        set_ = [key for key in ("weight_decay", "global_clipnorm", "use_ema") if old.get(key)]
        if name in PINNED or set_:
            return f"{home.name} has no {name} with the formula of TensorFlow 2.11 and later" + (
                f" ({', '.join(set_)})" if set_ else ""
            )
    elif name == "Nadam" and np.float32(_schedule_decay(old)) != np.float32(0.004):
        return f"{home.name} loads every Nadam with schedule_decay=0.004"
    return None


def _v2_rate(name: str, rate: Any, decay: float, family: str) -> dict[str, Any]:
    """Learning rate and decay as OptimizerV2 takes them; a schedule stays one."""
    if isinstance(rate, Mapping):
        known = rate["class_name"] in _SCHEDULES
        config = {key: value for key, value in rate["config"].items() if value is not None}
        return {"learning_rate": {"class_name": rate["class_name"], "config": config} if known else None}
    plain = not decay or (name == "Nadam" and family == "v2")  # there, ``decay`` is the momentum's schedule
    return {"learning_rate": float(rate)} if plain else {"learning_rate": float(rate), "decay": float(decay)}


def _defaults(name: str, config: dict[str, Any], family: str) -> None:
    for key in ("momentum", "rho", "epsilon", "beta_1", "beta_2"):
        if key in config:
            config[key] = float(config[key])
    if name in ("SGD", "RMSprop"):
        config.setdefault("momentum", 0.0)
    if name == "Adagrad" and family == "keras":
        config["initial_accumulator_value"] = 0.0


def _rate(plan: TrainingPlan, name: str, rate: Any, decay: float, family: str) -> Any:
    """The learning rate, or the schedule that stands for rate and decay; None if there is none."""
    if isinstance(rate, Mapping):
        config = {key: value for key, value in rate["config"].items() if value is not None}
        if rate["class_name"] not in _SCHEDULES or (decay and name != "Nadam"):
            return None
        return {"class_name": rate["class_name"], "config": config}
    if not decay or (name == "Nadam" and family == "v2"):  # there, ``decay`` is the momentum's schedule
        return float(rate)
    after = {"initial_learning_rate": float(rate), "decay_steps": 1, "decay_rate": decay, "staircase": False}
    plan.note(
        "decay",
        decay,
        "InverseTimeDecay",
        f"{plan.home.name} has no decay here; lr / (1 + decay · step) is this schedule",
    )
    return {"class_name": "InverseTimeDecay", "config": after}


def slots(plan: TrainingPlan, training: Mapping[str, Any], weights: Mapping[str, Mapping[str, Any]]) -> None:
    """Where each slot goes: with its weight, and through the same transforms where those only move elements."""
    assert plan.optimizer is not None
    found = []
    for slot in training["slots"]:
        name = "/".join((*slot["layer"], slot["role"]))
        move = weights.get(name)
        if move is None:
            plan.not_carried.append(f"optimizer state: the weight {name} has no place of its own in the target")
            return
        changing = [t["op"] for t in move["transforms"] if t["op"] not in transforms.PERMUTING]
        if changing:
            plan.not_carried.append(
                f"optimizer state: the weight {name} is changed by {changing[0]}, which slots do not follow exactly"
            )
            return
        found.append({**slot, "layer": move["layer"], "role": move["role"], "transforms": move["transforms"]})
    if plan.optimizer["class_name"] == "SGD" and not plan.optimizer["config"]["momentum"]:
        if found:
            plan.note(
                "slots", "momentum", None, "without momentum they have no effect, and " + plan.home.name + " has none"
            )
        found = []
    plan.slots, plan.scalars = found, dict(training["scalars"])


def pin(plan: TrainingPlan, formula: str) -> None:
    """Take the source's formula where that was asked for and Keras does not save it by itself."""
    if plan.old_formula is None or plan.optimizer is None:
        return
    name, pinned = plan.optimizer["class_name"], plan.old_formula["class_name"]
    if formula == "pin" and plan.home.dialect == "keras-3":
        plan.pinned = True
        plan.note("optimizer", name, pinned, "the source's formula, pinned")
        plan.known = [known for known in plan.known if not known.get("formula")]
    elif "m_schedule" in plan.scalars and plan.home.dialect != "keras-3":
        plan.not_carried.append("optimizer state: a .keras file of Keras 2 does not hold Nadam's momentum schedule")
    elif "m_schedule" in plan.scalars:
        plan.note(
            "m_schedule", plan.scalars["m_schedule"], f"{plan.home.name}'s own product", "the schedule is another one"
        )
