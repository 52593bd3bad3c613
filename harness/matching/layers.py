"""Pairs groups of arrays with layers: by name, by the rank of generated names, by structure; the rest is ambiguous."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from harness.matching.fitting import same_size, shape_text
from harness.matching.names import (
    Stored,
    Variable,
    base_and_number,
    is_generated,
    natural,
    normal,
    place_of,
)

Item = TypeVar("Item")
Path = tuple[str, ...]
Group = list[Stored]
Weights = list[Variable]
_NTH = re.compile(r"layer_with_weights_(\d+)")


@dataclass(kw_only=True)
class Pairing:
    """Pairs with what they rest on, and what could not be told."""

    pairs: list[tuple[Stored, Variable, str]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    ambiguous: list[str] = field(default_factory=list)
    proposals: list[tuple[Variable, Stored]] = field(default_factory=list)
    set_aside: set[str] = field(default_factory=set)
    choices: list[tuple[Weights, list[Group]]] = field(default_factory=list)


def pair(
    stored: Sequence[Stored], variables: Sequence[Variable], *, skipped: Sequence[Variable] = (), ordered: bool = False
) -> Pairing:
    """Pair arrays with weights. ``skipped`` are weights that are not to be filled: they still lay claim to their names."""
    done = Pairing()
    if not stored or not variables:
        return done
    if _by_place(stored, variables, done):
        return done
    groups = _grouped(stored, lambda s: tuple(normal(part) for part in s.group))
    layers = _grouped([*variables, *skipped], lambda v: v.layer)
    wanted = {v.layer for v in variables}
    for stage, basis in (
        (_by_number, "number of the layer"),
        (_by_name, "name"),
        (_by_rank, "rank among the generated names"),
    ):
        for group, layer in stage(groups, layers):
            weights, arrays = layers.pop(layer), groups.pop(group)
            if layer in wanted:
                _enter(arrays, weights, basis, done)
            else:
                done.set_aside |= {s.name for s in arrays}
    layers = {path: weights for path, weights in layers.items() if path in wanted}
    _by_structure(groups, layers, done)
    if ordered and groups and _in_order(groups, layers, done):
        return done
    _doubts(groups, layers, done)
    return done


def _grouped(items: Iterable[Item], key: Callable[[Item], Path]) -> dict[Path, list[Item]]:
    found: dict[Path, list[Item]] = defaultdict(list)
    for item in items:
        found[key(item)].append(item)
    return dict(found)


def _by_place(stored: Sequence[Stored], variables: Sequence[Variable], done: Pairing) -> bool:
    """Arrays named by numbers only are a list: its order is that of ``model.get_weights()``."""
    places = [place_of(item) for item in stored]
    if None in places or len(set(places)) != len(places):
        return False
    if len(stored) != len(variables):
        done.problems.append(
            f"the model has {len(variables)} weights, the list {len(stored)} arrays: nothing says which are missing or too many"
        )
        return True
    ranked = sorted(zip(places, stored, strict=True), key=lambda row: row[0] or 0)
    inorder = sorted(variables, key=lambda v: v.order)
    done.pairs = [(item, v, "place in the list") for (_, item), v in zip(ranked, inorder, strict=True)]
    return True


def _by_number(groups: dict[Path, Group], layers: dict[Path, Weights]) -> list[tuple[Path, Path]]:
    """Checkpoints of TF 2 call layers ``layer_with_weights-N``: the N-th that has weights."""
    numbered = {int(m[1]): group for group in groups if group and (m := _NTH.fullmatch(group[-1]))}
    order = list(layers)
    if len(numbered) != len(order) or sorted(numbered) != list(range(len(order))):
        return []
    return [(numbered[index], layer) for index, layer in enumerate(order)]


def _by_name(groups: dict[Path, Group], layers: dict[Path, Weights]) -> list[tuple[Path, Path]]:
    """Layers whose name a person gave, and groups of that name; the longer path may have more outer names."""
    found: list[tuple[Path, Path]] = []
    for layer, weights in layers.items():
        if is_generated(layer[-1], weights[0].class_name):
            continue
        path = tuple(normal(part) for part in layer)
        same = [group for group in groups if group and _ends_alike(group, path)]
        exact = [group for group in same if group == path]
        chosen = exact or same
        if len(chosen) == 1 and not any(chosen[0] == group for group, _ in found):
            found.append((chosen[0], layer))
    return found


def _ends_alike(one: Path, other: Path) -> bool:
    short = min(len(one), len(other))
    return one[-short:] == other[-short:]


def _by_rank(groups: dict[Path, Group], layers: dict[Path, Weights]) -> list[tuple[Path, Path]]:
    """Generated names (``dense_3``) count the layers made before in that process: only their order tells.

    Names that are the same on both sides are paired as they are; other numbers only if there are as many.
    """
    ours: dict[tuple[Path, str], list[Path]] = defaultdict(list)
    theirs: dict[str, dict[Path, list[Path]]] = defaultdict(lambda: defaultdict(list))
    for layer, weights in layers.items():
        if is_generated(layer[-1], weights[0].class_name):
            ours[layer[:-1], base_and_number(layer[-1])[0]].append(layer)
    for group in groups:
        if group:
            theirs[base_and_number(group[-1])[0]][group[:-1]].append(group)
    found: list[tuple[Path, Path]] = []
    for (parent, base), mine in ours.items():
        outer = theirs.get(base, {})
        matching = outer.get(tuple(normal(part) for part in parent))
        if matching is None and len(outer) == 1 and sum(key[1] == base for key in ours) == 1:
            matching = next(iter(outer.values()))
        if matching is None or len(matching) != len(mine):
            continue
        rank = lambda path: base_and_number(path[-1])[1]  # noqa: E731 - one key for both sides
        found += list(zip(sorted(matching, key=rank), sorted(mine, key=rank), strict=True))
    return found


def _by_structure(groups: dict[Path, Group], layers: dict[Path, Weights], done: Pairing) -> None:
    """Pairs of which neither side fits anything else that is left."""
    while True:
        candidates = {layer: [g for g, a in groups.items() if complete(a, w)] for layer, w in layers.items()}
        claims = [group for fitting in candidates.values() for group in fitting]
        sure = [(f[0], layer) for layer, f in candidates.items() if len(f) == 1 and claims.count(f[0]) == 1]
        if not sure:
            return
        for group, layer in sure:
            _enter(groups.pop(group), layers.pop(layer), "the only one that fits", done)


def _in_order(groups: dict[Path, Group], layers: dict[Path, Weights], done: Pairing) -> bool:
    """What is left, in the order in which the user named it."""
    arrays = sorted((s for group in groups.values() for s in group), key=lambda s: s.order)
    weights = sorted((v for group in layers.values() for v in group), key=lambda v: v.order)
    direct = len(arrays) == len(weights) and all(_may_be(s, v) for s, v in zip(arrays, weights, strict=True))
    if direct:
        done.pairs += [(s, v, "order of the files") for s, v in zip(arrays, weights, strict=True)]
        return True
    ranked = list(groups)
    if len(ranked) != len(layers) or ranked != sorted(ranked, key=lambda g: natural("/".join(g))):
        return False
    if not all(complete(groups[g], w) for g, w in zip(ranked, layers.values(), strict=True)):
        return False
    for group, weight in zip(ranked, layers.values(), strict=True):
        _enter(groups[group], weight, "order of the files", done)
    return True


def _may_be(stored: Stored, variable: Variable) -> bool:
    bare = variable.role.split("/")[-1]
    known = {"kernel", "bias", "gamma", "beta", "moving_mean", "moving_variance"}
    contradicts = stored.role in known and bare in known and stored.role != bare
    return stored.shape == variable.shape and not contradicts


def complete(arrays: Group, weights: Weights) -> bool:
    """Whether every array has a weight of the same size, and every weight an array."""
    pairs = within(arrays, weights)
    return len(pairs) == len(arrays) == len(weights) and all(same_size(s, v) for s, v in pairs)


def within(arrays: Group, weights: Weights) -> list[tuple[Stored, Variable]]:
    """Pairs of one group and one layer: by role, by the place that the format tells, by a size that is the only one."""
    found: list[tuple[Stored, Variable]] = []
    rest, left = list(arrays), list(weights)

    def take(item: Stored, variable: Variable) -> None:
        found.append((item, variable))
        rest.remove(item)
        left.remove(variable)

    for last in (False, True):
        for item in list(rest):
            role = item.role.split("/")[-1] if item.role and last else item.role
            fitting = [v for v in left if role and role == (v.role.split("/")[-1] if last else v.role)]
            if len(fitting) == 1 and sum(s.role == item.role for s in rest) == 1:
                take(item, fitting[0])
    if rest and len(rest) == len(left) and all(s.index is not None and s.role is None for s in rest):
        # A Bidirectional's own order is forward, backward; a file has its groups in the order of the alphabet.
        for item, variable in zip(
            sorted(rest, key=lambda s: (s.side == "backward/", s.order)), list(left), strict=True
        ):
            take(item, variable)
    for item in list(rest):
        fitting = [v for v in left if same_size(item, v)]
        if len(fitting) == 1 and sum(same_size(s, fitting[0]) for s in rest) == 1:
            take(item, fitting[0])
    return found


def _enter(arrays: Group, weights: Weights, basis: str, done: Pairing) -> None:
    pairs = within(arrays, weights)
    done.pairs += [(item, variable, basis) for item, variable in pairs]
    taken = {s.name for s, _ in pairs}
    filled = {v.name for _, v in pairs}
    rest = [s for s in arrays if s.name not in taken]
    left = [v for v in weights if v.name not in filled]
    if rest and left:
        # Of one layer, and still not to be told apart.
        names = ", ".join(f"{s.name} {shape_text(s.shape)}" for s in rest)
        wanted = ", ".join(f"{v.role} {shape_text(v.shape)}" for v in left)
        done.ambiguous.append(f"{'/'.join(weights[0].layer)}: {names} may be any of {wanted}")
        done.proposals += list(zip(left, rest, strict=False))


def _doubts(groups: dict[Path, Group], layers: dict[Path, Weights], done: Pairing) -> None:
    """Say what fits more than once; propose the natural order of names for it."""
    free = sorted(groups, key=lambda g: (natural("/".join(g)), min(s.order for s in groups[g])))
    for layer, weights in layers.items():
        fitting = [group for group in free if complete(groups[group], weights)]
        alike = [other for other, w in layers.items() if fitting and complete(groups[fitting[0]], w)]
        if not fitting:
            continue
        done.choices.append((weights, [groups[group] for group in fitting]))
        shapes = ", ".join(f"{v.role} {shape_text(v.shape)}" for v in weights)
        names = ", ".join("/".join(group) or groups[group][0].name for group in fitting)
        others = f" (and so does {', '.join('/'.join(o) for o in alike if o != layer)})" if len(alike) > 1 else ""
        done.ambiguous.append(
            f"{'/'.join(layer)} ({shapes}): {names} fit{'s' if len(fitting) == 1 else ' alike'}{others}"
        )
        open_groups = [g for g in fitting if not any(s in groups[g] for _, s in done.proposals)]
        if open_groups:
            done.proposals += [(v, s) for s, v in within(groups[open_groups[0]], weights)]


def assignments(choices: Sequence[tuple[Weights, list[Group]]], limit: int) -> list[list[tuple[Stored, Variable]]]:
    """Every way to give each layer a group of its own; none if there are more than ``limit``."""
    found: list[list[tuple[Stored, Variable]]] = []

    def choose(number: int, taken: set[str], pairs: list[tuple[Stored, Variable]]) -> None:
        if number == len(choices):
            found.append(pairs)
            return
        weights, groups = choices[number]
        for group in groups:
            if len(found) <= limit and group[0].name not in taken:
                choose(number + 1, taken | {group[0].name}, [*pairs, *within(group, weights)])

    if choices:
        choose(0, set(), [])
    return found if len(found) <= limit else []
