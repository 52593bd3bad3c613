"""What the matrix gave when it was last accepted, and how a run compares with it.

One file for a pair, ``SOURCE--TARGET.json``: ``{"cases": {id: [status, code, "Layer Layer"]}}``, sorted, a case a line.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness.errors import HarnessError
from harness.regress.runner import CaseResult

#: from best to worst
STATUSES = ("verified", "refused", "failed", "diverged")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """How a case ended when the baseline was accepted."""

    status: str
    code: str | None
    layers: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Change:
    """A case that ended differently; ``before`` or ``after`` is None for one that is new or gone."""

    id: str
    source: str
    target: str
    before: str | None
    after: str | None
    reason: str | None = None

    def __str__(self) -> str:
        line = f"{self.source} → {self.target}  {self.id}: {self.before or 'new'} → {self.after or 'gone'}"
        return f"{line}  ({self.reason[:300]})" if self.reason else line


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """All differences from the baseline.

    Attributes:
        worse: what fails the run: any diverged case is among them, whether or not the baseline has it.
        better: improvements.
        other: refusals under another code, and new cases that are no fault.
    """

    worse: list[Change] = field(default_factory=list)
    better: list[Change] = field(default_factory=list)
    other: list[Change] = field(default_factory=list)

    def add(self, more: Comparison) -> None:
        """Join the differences of another pair."""
        self.worse.extend(more.worse)
        self.better.extend(more.better)
        self.other.extend(more.other)


def compare(
    results: Iterable[CaseResult], baseline: Mapping[str, Entry], *, complete: Iterable[str] = ()
) -> Comparison:
    """How the results of one pair compare with its baseline.

    Args:
        complete: ids of the baseline that this run must have covered; one of them without a result is for the worse.
    """
    found, seen = Comparison(), set()
    source = target = ""
    for result in results:
        seen.add(result.id)
        source, target = result.source, result.target
        before = baseline.get(result.id)
        _judge(found, result, before)
    for gone in sorted(set(complete) - seen):
        change = Change(id=gone, source=source, target=target, before=baseline[gone].status, after=None)
        (found.worse if baseline[gone].status == "verified" else found.other).append(change)
    return found


def _judge(found: Comparison, result: CaseResult, before: Entry | None) -> None:
    change = Change(
        id=result.id,
        source=result.source,
        target=result.target,
        before=_named(before.status, before.code) if before else None,
        after=_named(result.status, result.code),
        reason=result.reason,
    )
    rank = STATUSES.index(result.status)
    if result.status == "diverged":
        found.worse.append(change)  # a wrong model is never the accepted state
    elif before is None:
        (found.worse if result.status == "failed" else found.other).append(change)
    elif rank > STATUSES.index(before.status):
        found.worse.append(change)
    elif rank < STATUSES.index(before.status):
        found.better.append(change)
    elif (result.status, result.code) != (before.status, before.code):
        found.other.append(change)


def _named(status: str, code: str | None) -> str:
    return f"{status} ({code})" if code else status


def pair_file(source: str, target: str) -> str:
    """The name of a pair's baseline."""
    return f"{source}--{target}.json"


def load(path: Path) -> dict[str, Entry]:
    """The baseline in a file; empty where there is none yet.

    Raises:
        HarnessError: usage, when the file is no baseline.
    """
    if not path.exists():
        return {}
    try:
        cases = json.loads(path.read_text(encoding="utf-8"))["cases"]
        found = {name: Entry(status=s, code=c, layers=tuple(layers.split())) for name, (s, c, layers) in cases.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise HarnessError("usage", f"{path} is no baseline of the matrix: {type(error).__name__}: {error}") from error
    strange = sorted({entry.status for entry in found.values()} - set(STATUSES))
    if strange:
        raise HarnessError("usage", f"{path} is no baseline of the matrix: it has the statuses {', '.join(strange)}")
    return found


def dump(entries: Mapping[str, Entry]) -> str:
    """The text of a baseline."""
    rows = [
        f"{json.dumps(name)}:{json.dumps([e.status, e.code, ' '.join(e.layers)], separators=(',', ':'))}"
        for name, e in sorted(entries.items())
    ]
    return '{"cases":{\n' + ",\n".join(rows) + "\n}}\n"


def entries_of(results: Iterable[CaseResult]) -> dict[str, Entry]:
    """Results as a baseline keeps them."""
    return {r.id: Entry(status=r.status, code=r.code, layers=tuple(sorted(r.layers))) for r in results}
