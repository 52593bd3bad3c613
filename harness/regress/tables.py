"""Counts: by pair, and by layer class within a pair; and the support table of the documentation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from harness.regress.baseline import Entry

#: columns, in their order
COLUMNS = ("verified", "diverged", "refused", "failed")
#: containers are in every model and say nothing about layers
CONTAINERS = frozenset({"Model", "Sequential", "Functional", "InputLayer"})


@dataclass(frozen=True, order=True, kw_only=True)
class Row:
    """Counts of one layer class in one pair; the layer is empty for the pair's total."""

    layer: str
    source: str
    target: str
    counts: tuple[int, ...]

    def count(self, status: str) -> int:
        """How many cases ended so."""
        return self.counts[COLUMNS.index(status)]


def rows_of(source: str, target: str, cases: Iterable[tuple[str, Iterable[str]]]) -> list[Row]:
    """The total of a pair first, then its layers by name; from (status, layer classes) of each case."""
    total: Counter[str] = Counter()
    by_layer: dict[str, Counter[str]] = {}
    for status, layers in cases:
        total[status] += 1
        for layer in set(layers) - CONTAINERS:
            by_layer.setdefault(layer, Counter())[status] += 1
    named = [("", total), *sorted(by_layer.items())]
    return [
        Row(layer=name, source=source, target=target, counts=tuple(counts[c] for c in COLUMNS))
        for name, counts in named
    ]


def support_matrix(baselines: Mapping[tuple[str, str], Mapping[str, Entry]]) -> str:
    """The text of ``docs/support-matrix.md``: layer × source × target, from the accepted results."""
    pairs = sorted(baselines)
    rows: dict[str, dict[tuple[str, str], Row]] = {}
    for pair in pairs:
        for row in rows_of(*pair, ((e.status, e.layers) for e in baselines[pair].values())):
            rows.setdefault(row.layer, {})[pair] = row
    layers = sorted(rows, key=lambda name: (name != "", name.lower()))
    lines = [
        "# Support, layer by layer",
        "",
        "<!-- Generated from tests/golden/regress by `python docs/generate.py`. -->",
        "",
        "Models of the [matrix](regress.md) by how they ended, for every layer class and pair of environments:",
        "verified / refused / failed. A model counts for each class that it uses, so a refusal in a row may be another",
        "layer's. Nothing is accepted that diverges: a model that does is shown in bold until it is repaired.",
        "",
        "| layer | " + " | ".join(f"{source} → {target}" for source, target in pairs) + " |",
        "|---|" + "---|" * len(pairs),
    ]
    for name in layers:
        cells = [_cell(rows[name].get(pair)) for pair in pairs]
        lines.append(f"| {f'`{name}`' if name else 'all models'} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(row: Row | None) -> str:
    if row is None:
        return "–"
    text = " / ".join(str(row.count(status)) for status in ("verified", "refused", "failed"))
    return f"{text}, **{row.count('diverged')} diverged**" if row.count("diverged") else text
