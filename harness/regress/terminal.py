"""The matrix for people at a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from harness.console import Console, plain
from harness.regress.baseline import Change
from harness.regress.matrix import JUNIT, PAGE, RESULTS, Outcome
from harness.regress.naive import FLAVOURS
from harness.regress.tables import COLUMNS, Row

_STYLE = {"verified": "green", "diverged": "bold red", "refused": "yellow", "failed": "bold red"}
#: changes shown before the list is cut with a count
SHOWN = 40


def show(outcome: Outcome, console: Console) -> None:
    """Print the tables, what changed, and where the files are."""
    console.print(_table("Layers", [row for row in outcome.rows if row.layer]))
    console.print(_table("All models", [row for row in outcome.rows if not row.layer]))
    _naive(outcome, console)
    for note in outcome.notes:
        console.print(plain(note), highlight=False, soft_wrap=True)
    _changes("Improved", outcome.comparison.better, console)
    _changes("For the worse", outcome.comparison.worse, console)
    verdict = "[bold red]WORSE[/]" if outcome.comparison.worse else "[bold green]AS ACCEPTED[/]"
    console.print(f"{verdict}  {len(outcome.results)} models", highlight=False)
    for name in (PAGE, RESULTS, JUNIT):
        console.print(f"  {plain(str(outcome.folder / name))}", highlight=False, soft_wrap=True)


def _table(title: str, rows: Sequence[Row]) -> Table:
    table = Table(title=title)
    for column in ("layer", "source", "target"):
        table.add_column(column, overflow="fold")
    for column in COLUMNS:
        table.add_column(column, justify="right")
    for row in sorted(rows):
        counts = [f"[{_STYLE[c]}]{row.count(c)}[/]" if row.count(c) else "·" for c in COLUMNS]
        table.add_row(plain(row.layer or "all"), row.source, row.target, *counts)
    return table


def _naive(outcome: Outcome, console: Console) -> None:
    for flavour, name in FLAVOURS.items():
        found = [r.naive[flavour]["status"] for r in outcome.results if flavour in r.naive]
        if found:
            counts = ", ".join(f"{found.count(kind)} {kind}" for kind in ("right", "fails", "silent"))
            console.print(f"Plain load_model of {name} on the same {len(found)} files: {counts}", highlight=False)


def _changes(title: str, changes: Sequence[Change], console: Console) -> None:
    if not changes:
        return
    console.print(f"{title} ({len(changes)}):", highlight=False)
    for change in changes[:SHOWN]:
        console.print(f"  {plain(str(change))}", highlight=False, soft_wrap=True)
    if len(changes) > SHOWN:
        console.print(f"  … and {len(changes) - SHOWN} more in {RESULTS}", highlight=False)
