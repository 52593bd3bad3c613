"""The evidence on training: the loaded optimizer state, and steps in float64 against the source's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.bundle import Bundle
from harness.dialects.training import TrainingPlan
from harness.verify.compare import Array, Comparison, compare
from harness.verify.tolerance import STEP_BOUND
from harness.worker.tfworker import transforms
from harness.worker.tfworker.arrays import ArrayReader

#: how a line of ``not_carried`` begins that is about slots
_STATE = "optimizer state: the weight"
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
        "state": "refused" if any(line.startswith(_STATE) for line in plan.not_carried) else training["state"],
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
    if found.get("legacy", False) != wanted.get("legacy", False):
        wrong.append(f"the optimizer is {'' if found.get('legacy') else 'not '}one of the legacy ones")
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


@dataclass(frozen=True, kw_only=True)
class _Row:
    """One comparison of the steps: of ``gradient`` or ``weight``, at the start or at the end."""

    kind: str
    weight: str
    result: Comparison

    @property
    def ok(self) -> bool:
        return self.result.ok


def _step(
    bundle: Bundle, plan: TrainingPlan, moves: Mapping[str, Any], result: Mapping[str, Any], replayed: ArrayReader
) -> dict[str, Any]:
    recorded = bundle.manifest["model"]["training"]["step"]
    if recorded["skipped"]:
        return {"status": "skipped", "reason": recorded["skipped"]}
    if not result["steps"]:
        return {"status": "skipped", "reason": result["steps_failed"] or "it was not asked for"}
    bound, count, found = STEP_BOUND, recorded.get("count", 1), result["steps"]["source"]
    steps = _Steps(bundle, moves, replayed, count)
    rows = steps.rows("source")
    losses = [compare("loss", np.array(recorded["loss"]), np.array(found["loss"]), bound)]
    if count > 1 and found["end_loss"] is not None:
        name = f"loss after {count} steps"
        losses.append(compare(name, np.array(recorded["end_loss"]), np.array(found["end_loss"]), bound))
    trained = frozenset("/".join((*r["layer"], r["role"])) for r in recorded["weights"] if r["gradient"])
    judged = [row.result for row in rows if not _excused(plan, row, trained)] + ([] if _all_excused(plan) else losses)
    bad = [c for c in judged if not c.ok]
    worst = max(judged, key=_share, default=losses[0])
    native = None
    if "native" in result["steps"]:
        native_rows = [row for row in steps.rows("native", end=False) if not _excused(plan, row, trained)]
        native = max((row.result.max_rel for row in native_rows), default=0.0)
    known = _all_excused(plan)
    return {
        "status": "differs" if bad else "known" if known else "equal",
        "reason": bad[0].reason if bad else known,
        "batch": recorded["batch"],
        "steps": count,
        "one_because": recorded.get("one_because"),
        "replaced_losses": recorded["replaced_losses"],
        "loss": {"expected": recorded["loss"], "found": found["loss"]},
        "end_loss": {"expected": recorded["end_loss"], "found": found["end_loss"]} if count > 1 else None,
        "compared": len(judged),
        "max_rel": worst.max_rel,
        "tolerance": worst.tolerance,
        "first_divergent": _named(bad) if bad else None,
        "native_formula": native,
    }


def _named(bad: list[Comparison]) -> dict[str, Any]:
    """The first weight that differs after a step; a gradient only where no weight does."""
    first = next((c for c in bad if c.name.startswith("weight ")), bad[0])
    return first.as_json()


def _share(comparison: Comparison) -> float:
    return comparison.max_rel / comparison.tolerance if comparison.ok else float("inf")


def _excused(plan: TrainingPlan, row: _Row, trained: frozenset[str]) -> bool:
    """Whether a known difference touches a comparison.

    A weight that is trained is judged even where the gradients are known to differ: the optimizer got the source's.
    """
    if _all_excused(plan) and (row.kind == "gradient" or row.weight not in trained):
        return True
    return row.kind == "weight" and any(row.weight in (known["weights"] or ()) for known in plan.known)


def _all_excused(plan: TrainingPlan) -> str | None:
    """Why the step as a whole is another one by a known difference (not of the formula: that one is pinned for this)."""
    by_reason: dict[str, list[str]] = {}
    for known in plan.known:
        if known["weights"] is None and not known.get("formula"):
            by_reason.setdefault(known["why"], []).append(known["what"])
    return "; ".join(f"{', '.join(what)}: {why}" for why, what in by_reason.items()) or None


@dataclass(frozen=True)
class _Pair:
    """A weight of the source and its place in the target, joined by moves that keep every element."""

    source: str
    target: str
    row: Mapping[str, Any]
    move: Mapping[str, Any]
    reader: ArrayReader

    def taken(self, name: str) -> Array:
        """An array of the bundle as the target holds it."""
        return np.asarray(transforms.apply(self.reader.get(name), self.move["transforms"]))


class _Steps:
    """What the source recorded of its steps beside what the target made of them."""

    def __init__(self, bundle: Bundle, moves: Mapping[str, Any], replayed: ArrayReader, count: int) -> None:
        self.replayed, self.count = replayed, count
        self.pairs = []
        for row in bundle.manifest["model"]["training"]["step"]["weights"]:
            source = "/".join((*row["layer"], row["role"]))
            move = moves.get(source)
            if move is None or any(t["op"] not in transforms.PERMUTING for t in move["transforms"]):
                continue
            target = "/".join((*move["layer"], move["role"]))
            self.pairs.append(_Pair(source, target, row, move, bundle.arrays))

    def rows(self, kind: str, *, end: bool = True) -> list[_Row]:
        """Gradients, then weights, in the order of the graph, after one step and after the last; names are the source's."""
        found = self._gradients(kind, "gradient", "") + self._weights(kind, "after", "", STEP_BOUND)
        if end and self.count > 1:
            later = f" after {self.count} steps"
            if any(f"{kind}/end_gradient/{pair.target}" in self.replayed.entries for pair in self.pairs):
                found += self._gradients(kind, "end_gradient", later)
            found += self._weights(kind, "end", later, self.count * STEP_BOUND)
        return found

    def _gradients(self, kind: str, key: str, later: str) -> list[_Row]:
        pairs = [pair for pair in self.pairs if pair.row.get(key)]
        steepest = max((float(np.abs(p.taken(p.row[key])).max(initial=0)) for p in pairs), default=0.0)
        found = []
        for pair in pairs:
            other = _get(self.replayed, f"{kind}/{key}/{pair.target}")
            name = f"gradient {pair.source}{later}"
            result = compare(name, pair.taken(pair.row[key]), other, STEP_BOUND, scale=steepest * _FLOOR)
            found.append(_Row(kind="gradient", weight=pair.source, result=result))
        return found

    def _weights(self, kind: str, key: str, later: str, bound: float) -> list[_Row]:
        """Updates from the start on, on the scale of the first step at least: later ones may lead back."""
        pairs = [pair for pair in self.pairs if pair.row.get(key)]
        before = {p.source: np.asarray(p.taken(p.source), dtype=np.float64) for p in pairs}
        first = {p.source: float(np.abs(p.taken(p.row["after"]) - before[p.source]).max(initial=0)) for p in pairs}
        largest = max(first.values(), default=0.0) * _FLOOR
        found = []
        for pair in pairs:
            start = before[pair.source]
            other, moved = _get(self.replayed, f"{kind}/{key}/{pair.target}"), pair.taken(pair.row[key]) - start
            other = other - start if other.shape == moved.shape else other
            scale = max(largest, first[pair.source])
            result = compare(f"weight {pair.source}{later}", moved, other, bound, scale=scale)
            found.append(_Row(kind="weight", weight=pair.source, result=result))
        return found


def _get(replayed: ArrayReader, name: str) -> Array:
    return np.asarray(replayed.get(name)) if name in replayed.entries else np.zeros(0)
