"""Small readable rules that turn a layer config of one dialect into its neighbour's, and the ledger they leave.

A rule changes a :class:`Layer` in place, notes every change, and refuses what has no equivalent. Nothing
is dropped before its value was looked at, nothing is approximated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

Rule = Callable[["Layer"], None]
Table = dict[str, Sequence[Rule]]

#: key of a step's table whose rules run for every layer, before those of its class
EVERY = "*"
_ABSENT = object()


@dataclass(frozen=True, kw_only=True)
class Change:
    """One line of the ledger."""

    layer: str
    step: str
    what: str
    before: Any
    after: Any
    why: str


@dataclass(frozen=True, kw_only=True)
class Obstacle:
    """Why a layer cannot be translated, and what a person can do."""

    layer: str
    class_name: str
    reason: str
    remedy: str


@dataclass(kw_only=True)
class Layer:
    """A layer on its way between dialects.

    Attributes:
        path: names from the outermost model to this layer.
        class_name, config: as the dialect reached so far writes them.
        masked: whether a mask can reach this layer's input.
        input_specs: (shape with None where free, dtype) of every input, over all calls.
        weight_shapes, weight_dtypes: role -> shape and dtype of the source's weight.
        options: the user's choices, e.g. ``{"hard_sigmoid": "fold"}``.
        weights: role -> (target role, transforms in order); roles that are not listed stay as they are.
            Roles below wrappers are prefixed (``forward/``), see ``harness/worker/tfworker/roles.py``.
        unused: role -> why this weight has no place of its own in the target.
        calls: the arguments by name of every call.
        masks: for every call of a Keras 3 layer, a name for the mask of each input (equal for equal ones), or None.
        call_kwargs: arguments that the other dialect takes at the call; None for one that it does not take.
        mask_rule: how the old Keras made this layer's output mask, where Keras 3 makes another one.
        expansion: a graph that takes this layer's place under its name, or None.
        supplied: whether classes and functions that Keras does not have are supplied in the target.
    """

    path: tuple[str, ...]
    class_name: str
    config: dict[str, Any]
    masked: bool = False
    input_specs: list[tuple[list[int | None], str]] = field(default_factory=list)
    weight_shapes: dict[str, list[int]] = field(default_factory=dict)
    weight_dtypes: dict[str, str] = field(default_factory=dict)
    options: dict[str, str] = field(default_factory=dict)
    weights: dict[str, tuple[str, list[dict[str, Any]]]] = field(default_factory=dict)
    unused: dict[str, str] = field(default_factory=dict)
    calls: list[dict[str, Any]] = field(default_factory=list)
    masks: list[list[str | None]] = field(default_factory=list)
    call_kwargs: dict[str, Any] = field(default_factory=dict)
    mask_rule: str | None = None
    expansion: dict[str, Any] | None = None
    supplied: bool = False
    prefix: str = ""
    step: str = ""
    ledger: list[Change] = field(default_factory=list)
    obstacles: list[Obstacle] = field(default_factory=list)

    @property
    def where(self) -> str:
        """The path as people read it."""
        return "/".join(self.path)

    def note(self, what: str, before: Any, after: Any, why: str) -> None:
        """Enter a change into the ledger."""
        change = Change(layer=self.where, step=self.step, what=what, before=before, after=after, why=why)
        self.ledger.append(change)

    def refuse(self, reason: str, remedy: str) -> None:
        """Say that this layer has no equivalent; translation goes on so that all obstacles are found."""
        self.obstacles.append(Obstacle(layer=self.where, class_name=self.class_name, reason=reason, remedy=remedy))

    def set(self, key: str, value: Any, why: str) -> None:
        """Set a config value and note it, if it is another one."""
        before = self.config.get(key, _ABSENT)
        if before is _ABSENT or before != value:
            self.config[key] = value
            self.note(key, None if before is _ABSENT else before, value, why)

    def target(self, role: str) -> str:
        """The role that a weight goes to so far, below the prefix."""
        return self.weights.get(self.prefix + role, (self.prefix + role, []))[0][len(self.prefix) :]

    def weight(self, role: str, *transforms: dict[str, Any], to: str | None = None) -> None:
        """Add transforms to a weight, or rename its role."""
        target, chain = self.weights.get(self.prefix + role, (self.prefix + role, []))
        self.weights[self.prefix + role] = (self.prefix + to if to else target, [*chain, *transforms])


def rename_class(new: str) -> Rule:
    """The class goes by another name in the newer dialect; arguments stay."""

    def rule(layer: Layer) -> None:
        layer.note("class_name", layer.class_name, new, "same layer, renamed")
        layer.class_name = new

    return rule


def rename_key(old: str, new: str) -> Rule:
    """An argument goes by another name; its meaning stays."""

    def rule(layer: Layer) -> None:
        if old in layer.config:
            layer.config[new] = layer.config.pop(old)
            layer.note(new, old, new, "same argument, renamed")

    return rule


def set_if_absent(key: str, value: Any, why: str) -> Rule:
    """The old dialect left an argument out and meant this value."""

    def rule(layer: Layer) -> None:
        if key not in layer.config:
            layer.set(key, value, why)

    return rule


def drop(keys: Iterable[str], why: str, *, silent_if: tuple[Any, ...] = (None,)) -> Rule:
    """Arguments without any effect on what is computed; noted unless their value says nothing."""

    def rule(layer: Layer) -> None:
        for key in keys:
            value = layer.config.pop(key, None)
            if value not in silent_if:
                layer.note(key, value, None, why)

    return rule


def drop_if(key: str, allowed: Sequence[Any], reason: str, remedy: str) -> Rule:
    """The newer dialect lacks an argument: it may go if its value is one of ``allowed``, else the layer is refused."""

    def rule(layer: Layer) -> None:
        if key in layer.config and layer.config.pop(key) not in allowed:
            layer.refuse(reason, remedy)

    return rule


def refuse_unless(key: str, allowed: Sequence[Any], reason: str, remedy: str) -> Rule:
    """The argument stays, but only these values are understood."""

    def rule(layer: Layer) -> None:
        if key in layer.config and layer.config[key] not in allowed:
            layer.refuse(reason, remedy)

    return rule


def refuse(reason: str, remedy: str) -> Rule:
    """The class has no equivalent."""

    def rule(layer: Layer) -> None:
        layer.refuse(reason, remedy)

    return rule


def rename_weight(old: str, new: str) -> Rule:
    """A weight goes by another role."""

    def rule(layer: Layer) -> None:
        layer.weight(old, to=new)

    return rule


def unchanged(_: Layer) -> None:
    """Declares that a class needs no rule in this step."""
