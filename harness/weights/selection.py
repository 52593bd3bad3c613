"""A model that got only a part of its weights: which of its layers must still give what the source's give."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.bundle import Bundle
from harness.matching import Matching, Variable
from harness.verify import Evidence


def frozen(variables: Sequence[Variable], globs: Sequence[str]) -> list[tuple[str, ...]]:
    """Layers that are not to be trained further."""
    layers = dict.fromkeys(v.layer for v in variables)
    return [
        layer for layer in layers if any(fnmatch.fnmatchcase(n, g) for g in globs for n in (*layer, "/".join(layer)))
    ]


@dataclass(frozen=True, kw_only=True)
class Shared:
    """What source and target have in common.

    Attributes:
        partial: whether the target holds weights that the source does not have.
        layers: source layers whose twins, and everything before them, got all their weights from the source.
        renamed: (path of a source layer, name in the target), as ``replay`` takes it.
    """

    partial: bool
    layers: frozenset[str]
    renamed: list[tuple[list[str], str]]

    @classmethod
    def of(
        cls, found: Matching, described: Mapping[str, Any], entries: Sequence[Mapping[str, Any]], bundle: Bundle | None
    ) -> Shared:
        """What a matching of a source's arrays with a described target has in common with that source."""
        owners = {entry["name"]: tuple(entry["layer"] or ()) for entry in entries}
        twins: dict[tuple[str, ...], tuple[str, ...]] = {}
        for move in found.moves:
            if owners.get(move.source[0]):
                twins[owners[move.source[0]]] = move.target.layer
        unfilled = {v.layer[0] for v in (*found.missing, *found.skipped)}
        renamed = _renamed(twins)
        if bundle is None:
            return cls(partial=bool(unfilled), layers=frozenset(), renamed=renamed)
        source = {row["name"]: row["class_name"] for row in bundle.manifest["model"]["graph"]["layers"]}
        names = {theirs[0]: ours[0] for ours, theirs in twins.items()}
        target = {row["name"]: row for row in described["layers"]}
        if [_class(c) for c in source.values() if c != "InputLayer"] == [
            _class(row["class_name"]) for row in target.values() if row["class_name"] != "InputLayer"
        ]:
            pairs = zip(
                [n for n, c in source.items() if c != "InputLayer"],
                [n for n, row in target.items() if row["class_name"] != "InputLayer"],
                strict=True,
            )
            for ours, theirs in pairs:
                names.setdefault(theirs, ours)
        for name, row in target.items():
            if name not in names and _class(source.get(name, "")) == _class(row["class_name"]):
                names.setdefault(name, name)
        known = {tuple(path) for path, _ in renamed}
        renamed += [([ours], name) for name, ours in names.items() if ours != name and (ours,) not in known]
        spoiled = _after(unfilled, target)
        shared = frozenset(ours for name, ours in names.items() if name not in spoiled)
        return cls(partial=bool(unfilled), layers=shared, renamed=renamed)

    def only(self, evidence: Evidence) -> Evidence:
        """The evidence on shared layers; the outputs belong to what is new."""
        layers = tuple(row for row in evidence.layers if row.layer.split("/")[0] in self.layers)
        return Evidence(format=evidence.format, outputs=(), layers=layers, layers_missing=())

    def note(self, said: list[str]) -> None:
        """Say what was compared."""
        said.append(
            f"outputs: the new layers are not the source's; the activations of the {len(self.layers)} layers before them were compared"
        )


def _renamed(twins: Mapping[tuple[str, ...], tuple[str, ...]]) -> list[tuple[list[str], str]]:
    found: dict[tuple[str, ...], str] = {}
    for ours, theirs in twins.items():
        if len(ours) == len(theirs):
            for depth in range(1, len(ours) + 1):
                if ours[depth - 1] != theirs[depth - 1]:
                    found[ours[:depth]] = theirs[depth - 1]
    return [(list(path), name) for path, name in found.items()]


def _class(name: str) -> str:
    return re.sub(r"V\d+$", "", {"Model": "Functional"}.get(name, name))


def _after(unfilled: set[str], layers: Mapping[str, Mapping[str, Any]]) -> set[str]:
    """The unfilled layers and all that takes what they give, directly or not."""
    spoiled = set(unfilled)
    while True:
        more = {name for name, row in layers.items() if name not in spoiled and spoiled & set(row["before"])}
        if not more:
            return spoiled
        spoiled |= more
