"""The evidence on training: the loaded optimizer state, and one step in float64 against the source's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from harness.bundle import Bundle
from harness.dialects.training import TrainingPlan
from harness.verify.compare import Array, Comparison, compare
from harness.verify.tolerance import STEP_BOUND
from harness.worker.tfworker import transforms
from harness.worker.tfworker.arrays import ArrayReader

#: a tensor that hardly moves is measured on this share of the largest update of the model at least
_FLOOR = 1e-3


def judge_training(
    bundle: Bundle, plan: TrainingPlan, moves: Mapping[str, Any], result: Mapping[str, Any], replayed: ArrayReader
) -> dict[str, Any]:
    """The ``training`` section of the report.

    Args:
        moves: where every weight goes, see :class:`harness.dialects.Translation`.
        result: of the operation ``replay_training``.
        replayed: the arrays that it wrote.
    """
    training = bundle.manifest["model"]["training"]
    state = _state(bundle, plan, result, replayed)
    step = _step(bundle, plan, moves, result, replayed) if training["step"] else None
    wrong = list(state["wrong"])
    wrong += _hyperparameters(plan, result["optimizer"]) + _trainable(bundle, moves, result["trainable"])
    return {
        "optimizer": result["optimizer"],
        "state": training["state"] if not training["slots"] or plan.slots or not plan.not_carried else "refused",
        "slots": {"total": len(plan.slots), "equal": state["equal"]},
        "iterations": result["iterations"],
        "step": step,
        "wrong": wrong,
        "known": [{key: known[key] for key in ("what", "why")} for known in plan.known],
        "not_carried": list(plan.not_carried),
        "ok": not wrong and (step is None or step["status"] != "differs"),
    }


def unproved(plan: TrainingPlan | None, training: Mapping[str, Any], reason: str) -> dict[str, Any]:
    """The section of a model whose training was not proved."""
    return {
        "optimizer": plan.optimizer if plan else None,
        "state": training["state"],
        "slots": {"total": 0, "equal": 0},
        "iterations": None,
        "step": {"status": "skipped", "reason": reason},
        "wrong": [],
        "known": [],
        "not_carried": list(plan.not_carried) if plan else list(training.get("reasons", ())),
        "ok": True,
    }


def _state(bundle: Bundle, plan: TrainingPlan, result: Mapping[str, Any], replayed: ArrayReader) -> dict[str, Any]:
    """Every slot of the loaded optimizer against the source's, bit for bit, and the step counter."""
    wrong, equal = [], 0
    for slot in plan.slots:
        name = "/".join((*slot["layer"], slot["role"]))
        expected = transforms.apply(bundle.arrays.get(slot["array"]), slot["transforms"])
        key = f"slot/{name}/{slot['slot']}"
        found = replayed.get(key) if key in replayed.entries else None
        if found is not None and found.shape == expected.shape and np.array_equal(found, expected, equal_nan=True):
            equal += 1
        else:
            wrong.append(f"the slot {slot['slot']} of {name} is not the source's")
    if plan.scalars and result["iterations"] != plan.scalars["iterations"]:
        wrong.append(f"the step counter is {result['iterations']} instead of {int(plan.scalars['iterations'])}")
    return {"wrong": wrong, "equal": equal}


def _hyperparameters(plan: TrainingPlan, found: Mapping[str, Any]) -> list[str]:
    wanted = plan.old_formula if plan.pinned else plan.optimizer
    assert wanted is not None
    wrong = []
    if found["class_name"] != wanted["class_name"]:
        wrong.append(f"the optimizer is {found['class_name']} instead of {wanted['class_name']}")
    for key, value in wanted["config"].items():
        other = found["config"].get(key)
        wanted_value = value
        if isinstance(value, dict):  # a schedule
            wanted_value = value["config"]
            other = {k: v for k, v in ((other or {}).get("config") or {}).items() if k in wanted_value}
        if not _same(wanted_value, other):
            wrong.append(f"{key} of the optimizer is {other} instead of {wanted_value}")
    return wrong


def _same(left: Any, right: Any) -> bool:
    """Equal, numbers as float32 tells them apart."""
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        return set(left) == set(right) and all(_same(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(_same, left, right))
    if isinstance(left, float) and isinstance(right, int | float):
        return bool(np.float32(left) == np.float32(right))
    return bool(left == right)


def _trainable(bundle: Bundle, moves: Mapping[str, Any], found: list[str]) -> list[str]:
    """Weights that one side trains and the other does not."""
    wrong, trained = [], set(found)
    for entry in bundle.manifest["arrays"]:
        move = moves.get(entry["name"]) if "role" in entry else None
        if move is None:
            continue
        name = "/".join((*move["layer"], move["role"]))
        if bool(entry["trainable"]) != (name in trained):
            wrong.append(f"{name} is {'not ' if entry['trainable'] else ''}trained in the target")
    return wrong


def _step(
    bundle: Bundle, plan: TrainingPlan, moves: Mapping[str, Any], result: Mapping[str, Any], replayed: ArrayReader
) -> dict[str, Any]:
    recorded = bundle.manifest["model"]["training"]["step"]
    if recorded["skipped"]:
        return {"status": "skipped", "reason": recorded["skipped"]}
    if not result["steps"]:
        return {"status": "skipped", "reason": result["steps_failed"] or "it was not asked for"}
    bound = STEP_BOUND
    rows = _compare_all(bundle, moves, replayed, "source", bound)
    loss = compare("loss", np.array(recorded["loss"]), np.array(result["steps"]["source"]["loss"]), bound)
    trained = frozenset("/".join((*r["layer"], r["role"])) for r in recorded["weights"] if r["gradient"])
    judged = [c for c in rows if not _excused(plan, c.name, trained)] + ([] if _all_excused(plan) else [loss])
    bad = [c for c in judged if not c.ok]
    worst = max(judged, key=_share, default=loss)
    native = None
    if "native" in result["steps"]:
        native_rows = _compare_all(bundle, moves, replayed, "native", bound)
        native = max((c.max_rel for c in native_rows if not _excused(plan, c.name, trained)), default=0.0)
    known = _all_excused(plan)
    return {
        "status": "differs" if bad else "known" if known else "equal",
        "reason": bad[0].reason if bad else known,
        "batch": recorded["batch"],
        "replaced_losses": recorded["replaced_losses"],
        "loss": {"expected": recorded["loss"], "found": result["steps"]["source"]["loss"]},
        "compared": len(judged),
        "max_rel": worst.max_rel,
        "tolerance": bound,
        "first_divergent": _named(bad) if bad else None,
        "native_formula": native,
    }


def _named(bad: list[Comparison]) -> dict[str, Any]:
    """The first weight that differs after the step; a gradient only where no weight does."""
    first = next((c for c in bad if c.name.startswith("weight ")), bad[0])
    return first.as_json()


def _share(comparison: Comparison) -> float:
    return comparison.max_rel if comparison.ok else float("inf")


def _excused(plan: TrainingPlan, name: str, trained: frozenset[str]) -> bool:
    """Whether a known difference touches a comparison.

    A weight that is trained is judged even where the gradients are known to differ: the optimizer got the source's.
    """
    kind, _, weight = name.partition(" ")
    if _all_excused(plan) and (kind == "gradient" or weight not in trained):
        return True
    return kind == "weight" and any(weight in (known["weights"] or ()) for known in plan.known)


def _all_excused(plan: TrainingPlan) -> str | None:
    """Why the step as a whole is another one by a known difference (not of the formula: that one is pinned for this)."""
    whole = [k for k in plan.known if k["weights"] is None and not k.get("formula")]
    return f"{whole[0]['what']}: {whole[0]['why']}" if whole else None


def _compare_all(
    bundle: Bundle, moves: Mapping[str, Any], replayed: ArrayReader, kind: str, bound: float
) -> list[Comparison]:
    """Gradients, then weights after the step, in the order of the graph; names are the source's."""
    reader, pairs = bundle.arrays, []
    for row in bundle.manifest["model"]["training"]["step"]["weights"]:
        source = "/".join((*row["layer"], row["role"]))
        move = moves.get(source)
        if move is None or any(t["op"] not in transforms.PERMUTING for t in move["transforms"]):
            continue
        target = "/".join((*move["layer"], move["role"]))

        def taken(name: str, move: Mapping[str, Any] = move) -> Array:
            return np.asarray(transforms.apply(reader.get(name), move["transforms"]))

        pairs.append((source, target, row, taken))
    before = {s: np.asarray(taken(s), dtype=np.float64) for s, _, _, taken in pairs}
    largest = max(
        (float(np.abs(t(r["after"]) - before[s]).max(initial=0)) for s, _, r, t in pairs if r["after"]), default=0.0
    )
    steepest = max(
        (float(np.abs(t(r["gradient"])).max(initial=0)) for _, _, r, t in pairs if r["gradient"]), default=0.0
    )
    found = []
    for source, target, row, taken in pairs:
        if row["gradient"]:
            other = _get(replayed, f"{kind}/gradient/{target}")
            found.append(compare(f"gradient {source}", taken(row["gradient"]), other, bound, scale=steepest * _FLOOR))
    for source, target, row, taken in pairs:
        if row["after"]:
            other = _get(replayed, f"{kind}/after/{target}")
            moved = taken(row["after"]) - before[source]
            other = other - before[source] if other.shape == moved.shape else other
            found.append(compare(f"weight {source}", moved, other, bound, scale=largest * _FLOOR))
    return found


def _get(replayed: ArrayReader, name: str) -> Array:
    return np.asarray(replayed.get(name)) if name in replayed.entries else np.zeros(0)
