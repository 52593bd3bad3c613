"""Which stored array belongs to which weight of a model: by name first, then by structure, never by guess.

:func:`match` is pure. What it cannot tell is ambiguous, and what does not fit is a problem; the caller stops at either.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from harness.matching import fitting, layers
from harness.matching.names import Stored, Variable, place_of, stored_arrays
from harness.matching.rules import Rules, channels_last

CASTS = ("none", "exact", "round")
#: more ways than these are not tried
ALTERNATIVES = 24


@dataclass(frozen=True, kw_only=True)
class Move:
    """A weight with its source: arrays (several where a step joins them), steps, and what the pairing rests on."""

    target: Variable
    source: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: str
    transforms: tuple[dict[str, Any], ...]
    basis: str

    def as_plan(self) -> dict[str, Any]:
        """The move as the operation ``fill_model`` takes it."""
        steps = [{**s, "arrays": list(self.source[1:])} if s["op"] == "concat" else s for s in self.transforms]
        where = {"layer": list(self.target.layer), "role": self.target.role}
        return {**where, "name": self.source[0], "transforms": steps}


@dataclass(kw_only=True)
class Matching:
    """How source and model correspond.

    Attributes:
        missing: weights of the model for which there is no array.
        skipped: weights that ``only`` leaves at what the model made.
        unused: arrays without a place.
        left_out: (array, reason) of those that rules or ``only`` leave out.
        problems, ambiguous: what stands in the way, a line each.
        proposals: a possible pairing of what is ambiguous, in order; for a person to confirm.
        alternatives: every way to pair what is ambiguous, if those are few; for known outputs to decide.
    """

    moves: list[Move] = field(default_factory=list)
    missing: list[Variable] = field(default_factory=list)
    skipped: list[Variable] = field(default_factory=list)
    unused: list[Stored] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    ambiguous: list[str] = field(default_factory=list)
    proposals: list[tuple[Variable, Stored]] = field(default_factory=list)
    alternatives: list[list[Move]] = field(default_factory=list)

    def decided(self, chosen: Sequence[Move]) -> Matching:
        """The matching with one of the alternatives."""
        moves = sorted([*self.moves, *chosen], key=lambda move: move.target.order)
        return replace(self, moves=moves, ambiguous=[], proposals=[], alternatives=[])


def variables_of(described: Iterable[Mapping[str, Any]]) -> list[Variable]:
    """The ``variables`` of the operation ``describe_model``."""
    return [
        Variable(
            layer=tuple(row["layer"]), role=row["role"], shape=tuple(row["shape"]), dtype=row["dtype"],
            class_name=row["class_name"], trainable=row["trainable"], order=order,
        )
        for order, row in enumerate(described)
    ]  # fmt: skip


def match(
    entries: Sequence[Mapping[str, Any]], variables: Sequence[Variable], rules: Rules | None = None, *,
    ordered: bool = False, cast: str = "none", only: Sequence[str] = (),
) -> Matching:  # fmt: skip
    """Pair stored arrays with the weights of a model.

    Args:
        entries: of ``weights.json`` or of a bundle's index.
        ordered: whether the order of the arrays is the user's own (files in the order in which they were named).
        cast: ``none``; ``exact`` for dtypes that hold every value; ``round`` for any floating point dtype.
        only: globs of layers or weights to be filled; all if there is none.
    """
    rules, found = rules or Rules(), Matching()
    own = [v.layer[0] for v in variables if len(v.layer) == 1]
    stored = _taking_part(entries, rules, found, own)
    left = [v for v in variables if _wanted(v, only)]
    found.skipped = [v for v in variables if not _wanted(v, only)]
    left = _by_map(stored, left, rules, found, cast)
    used = {name for move in found.moves for name in move.source}
    rest = [item for item in stored if item.name not in used]
    steps = {item.name: [channels_last(s, len(item.shape)) for s in rules.steps(item.name)] for item in rest}
    rest = [_after(item, steps[item.name], found) for item in rest]
    pairing = layers.pair(rest, left, skipped=found.skipped, ordered=ordered)
    found.problems += pairing.problems
    found.ambiguous += pairing.ambiguous
    found.proposals += pairing.proposals

    def move(item: Stored, variable: Variable, basis: str) -> Move:
        more, problem = fitting.steps_to(item, variable, cast)
        if problem:
            found.problems.append(problem)
        original = next(s for s in stored if s.name == item.name)
        return Move(
            target=variable, source=(item.name,), shape=original.shape, dtype=original.dtype,
            transforms=(*steps[item.name], *more), basis=basis,
        )  # fmt: skip

    found.moves += [move(item, variable, basis) for item, variable, basis in pairing.pairs]
    found.alternatives = [
        [move(item, variable, "the only one that gives the expected outputs") for item, variable in pairs]
        for pairs in layers.assignments(pairing.choices, ALTERNATIVES)
    ]
    _leftovers(found, rest, left, pairing, only)
    found.moves.sort(key=lambda move: move.target.order)
    found.problems = list(dict.fromkeys(found.problems))
    return found


def _leftovers(
    found: Matching, rest: Sequence[Stored], left: Sequence[Variable], pairing: layers.Pairing, only: Sequence[str]
) -> None:
    taken = {move.target.name for move in found.moves}
    doubtful = {v.name for v, _ in found.proposals}
    found.missing = [v for v in left if v.name not in taken and v.name not in doubtful]
    used = {name for move in found.moves for name in move.source} | {s.name for _, s in found.proposals}
    for item in rest:
        if item.name in used:
            continue
        if only or item.name in pairing.set_aside:
            found.left_out.append((item.name, "belongs to what --only leaves out"))
        else:
            found.unused.append(item)


def _wanted(variable: Variable, only: Sequence[str]) -> bool:
    where = "/".join(variable.layer)
    names = [*variable.layer, where, variable.name]
    return not only or any(fnmatch.fnmatchcase(name, glob) for glob in only for name in names)


def _taking_part(
    entries: Sequence[Mapping[str, Any]], rules: Rules, found: Matching, layers: Sequence[str]
) -> list[Stored]:
    kept, names = [], []
    for entry in entries:
        if "leaf" not in entry and "role" not in entry:
            continue
        reason = rules.left_out(entry["name"])
        if reason:
            found.left_out.append((entry["name"], reason))
            continue
        label = rules.renamed(entry["name"])
        changed = {"name": label, "layer": None, "index": None, "leaf": None}
        kept.append(dict(entry) if label == entry["name"] else {**_without_role(entry), **changed})
        names.append(entry["name"])
    return [replace(item, name=name) for item, name in zip(stored_arrays(kept, layers), names, strict=True)]


def _without_role(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in entry.items() if key != "role"}


def _after(item: Stored, steps: Sequence[dict[str, Any]], found: Matching) -> Stored:
    """The array as it is after the steps that rules give it."""
    try:
        shape, dtype = fitting.after((item.shape,), item.dtype, steps)
    except ValueError as error:
        found.problems.append(f"{item.name} of shape {fitting.shape_text(item.shape)}: {error}")
        return item
    return replace(item, shape=shape, dtype=dtype)


def _by_map(
    stored: Sequence[Stored], left: Sequence[Variable], rules: Rules, found: Matching, cast: str
) -> list[Variable]:
    """Enter what the mapping file says; returns the weights that it does not name."""
    by_name, by_target = {s.name: s for s in stored}, {v.name: v for v in left}
    for target, (sources, steps) in rules.map.items():
        variable = by_target.pop(target, None)
        absent = [name for name in sources if name not in by_name]
        if variable is None or absent:
            if variable is None and not any(v.name == target for v in found.skipped):
                found.problems.append(f"the mapping names {target}, which the model does not have")
            found.problems += [f"the mapping gives {name} to {target}; there is no such array" for name in absent]
            continue
        items = [by_name[name] for name in sources]
        chain = [channels_last(step, len(items[0].shape)) for step in steps]
        try:
            shape, dtype = fitting.after(tuple(item.shape for item in items), items[0].dtype, chain)
        except ValueError as error:
            found.problems.append(f"{target} from {', '.join(sources)}: {error}")
            continue
        more, problem = fitting.steps_to(replace(items[0], shape=shape, dtype=dtype), variable, cast)
        if problem:
            found.problems.append(problem)
        found.moves.append(
            Move(
                target=variable, source=sources, shape=items[0].shape, dtype=items[0].dtype,
                transforms=(*chain, *more), basis="mapping",
            )
        )  # fmt: skip
    return list(by_target.values())


__all__ = ["CASTS", "Matching", "Move", "Rules", "Stored", "Variable", "match", "place_of", "variables_of"]
