"""The matrix as one HTML page: self-contained, for a phone as well, light or dark as the reader has it."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from string import Template
from typing import Any

from harness.artifact.text import visible
from harness.regress.baseline import Change, Comparison
from harness.regress.naive import FLAVOURS
from harness.regress.runner import CaseResult
from harness.regress.tables import COLUMNS, Row

_PAGE = Template("""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Migration matrix</title>
<style>
:root { color-scheme: light dark; --line: #8885; --soft: #8882; --good: #1a7f37; --bad: #cf222e; --warn: #9a6700; }
@media (prefers-color-scheme: dark) { :root { --good: #3fb950; --bad: #ff7b72; --warn: #d29922; } }
body { font: 15px/1.45 system-ui, sans-serif; margin: 1rem auto; max-width: 76rem; padding: 0 .8rem; }
h1 { font-size: 1.35rem } h2 { font-size: 1.1rem; margin-top: 2rem }
.scroll { overflow-x: auto } table { border-collapse: collapse; width: 100% }
th, td { text-align: left; vertical-align: top; padding: .25rem .6rem; border-bottom: 1px solid var(--line) }
th { white-space: nowrap } td.n { text-align: right; font-variant-numeric: tabular-nums }
td.why { overflow-wrap: anywhere; min-width: 14rem; font-size: .9em }
.verified, .right { color: var(--good) } .refused, .fails { color: var(--warn) }
.diverged, .failed, .silent { color: var(--bad); font-weight: 600 }
.bar { position: sticky; top: 0; padding: .5rem 0; background: Canvas; display: flex; flex-wrap: wrap; gap: .5rem }
input, select { font: inherit; padding: .25rem .4rem; max-width: 100% }
tr[hidden] { display: none } .zero { opacity: .35 }
</style></head><body>
<h1>Migration matrix: $verdict</h1>
<p>$about</p>
$changes
<h2>Pairs</h2><div class="scroll"><table><thead><tr><th>source</th><th>target</th>$heads$naive_heads</tr></thead>
<tbody>$totals</tbody></table></div>
<h2>Layers</h2><div class="scroll"><table><thead><tr><th>layer</th><th>source</th><th>target</th>$heads</tr></thead>
<tbody>$layers</tbody></table></div>
<h2>Models</h2>
<div class="bar"><select id="status" aria-label="status"><option value="">every status</option>$options</select>
<select id="pair" aria-label="pair"><option value="">every pair</option>$pairs</select>
<input id="text" type="search" placeholder="name, layer, reason" aria-label="search"><span id="shown"></span></div>
<div class="scroll"><table id="cases"><thead><tr><th>model</th><th>pair</th><th>status</th><th>max rel</th>
$naive_columns<th>reason</th></tr></thead><tbody>$cases</tbody></table></div>
<script>
const rows = [...document.querySelectorAll("#cases tbody tr")], by = id => document.getElementById(id);
function filter() {
  const status = by("status").value, pair = by("pair").value, text = by("text").value.toLowerCase();
  let shown = 0;
  for (const row of rows) {
    const words = row.dataset.status.split(" ");
    row.hidden = (status && !words.includes(status)) || (pair && row.dataset.pair !== pair)
      || (text && !row.textContent.toLowerCase().includes(text) && !row.dataset.layers.toLowerCase().includes(text));
    shown += !row.hidden;
  }
  by("shown").textContent = shown + " of " + rows.length;
}
for (const id of ["status", "pair", "text"]) by(id).addEventListener("input", filter);
filter();
</script></body></html>
""")


def escape(text: str) -> str:
    """Text for the page: no markup, no control characters."""
    return html.escape(visible(text, lines=True))


def page(results: Sequence[CaseResult], rows: Iterable[Row], comparison: Comparison, *, about: str) -> str:
    """The document. Every text that comes from a model file or a worker is escaped."""
    rows = list(rows)
    naive = any(result.naive for result in results)
    pairs = list(dict.fromkeys(_pair(r.source, r.target) for r in results))
    statuses = [*COLUMNS, *([f"naive-{flavour}-silent" for flavour in FLAVOURS] if naive else [])]
    return _PAGE.substitute(
        verdict="worse than its baseline" if comparison.worse else "as accepted",
        about=escape(about),
        changes=_changes("For the worse", comparison.worse) + _changes("Improved", comparison.better),
        heads="".join(f"<th>{escape(column)}</th>" for column in COLUMNS),
        naive_heads="".join(f"<th>plain {escape(n)}: right / fails / silent</th>" for n in _named(naive)),
        naive_columns="".join(f"<th>plain {escape(name)}</th>" for name in _named(naive)),
        totals="".join(_total(row, results, naive) for row in rows if not row.layer),
        layers="".join(_layer(row) for row in sorted(rows) if row.layer),
        options="".join(f'<option value="{escape(s)}">{escape(s)}</option>' for s in statuses),
        pairs="".join(f'<option value="{escape(p)}">{escape(p)}</option>' for p in pairs),
        cases="".join(_case(result, naive) for result in results),
    )


def _named(naive: bool) -> list[str]:
    return list(FLAVOURS.values()) if naive else []


def _pair(source: str, target: str) -> str:
    return f"{source} → {target}"


def _changes(title: str, changes: Sequence[Change]) -> str:
    if not changes:
        return ""
    items = "".join(f"<li>{escape(str(change))}</li>" for change in changes)
    return f"<h2>{escape(title)} ({len(changes)})</h2><ul>{items}</ul>"


def _number(count: int, css: str) -> str:
    return f'<td class="n {css if count else "zero"}">{count}</td>'


def _counts(row: Row) -> str:
    return "".join(_number(row.count(column), column) for column in COLUMNS)


def _total(row: Row, results: Sequence[CaseResult], naive: bool) -> str:
    cells = ""
    for flavour in FLAVOURS if naive else ():
        found = [
            r.naive.get(flavour, {}).get("status") for r in results if (r.source, r.target) == (row.source, row.target)
        ]
        spans = (f'<span class="{kind}">{found.count(kind)}</span>' for kind in ("right", "fails", "silent"))
        cells += f"<td>{' / '.join(spans)}</td>"
    return f"<tr><td>{escape(row.source)}</td><td>{escape(row.target)}</td>{_counts(row)}{cells}</tr>"


def _layer(row: Row) -> str:
    names = "".join(f"<td>{escape(text)}</td>" for text in (row.layer, row.source, row.target))
    return f"<tr>{names}{_counts(row)}</tr>"


def _case(result: CaseResult, naive: bool) -> str:
    tags = [result.status, *(f"naive-{k}-{v['status']}" for k, v in result.naive.items())]
    why = " ".join(part for part in (result.code, result.first_divergent, result.reason) if part)
    size = "" if result.max_rel is None else f"{result.max_rel:.1e}"
    plain = "".join(_plain(result.naive.get(flavour)) for flavour in FLAVOURS) if naive else ""
    return (
        f'<tr data-status="{escape(" ".join(tags))}" data-pair="{escape(_pair(result.source, result.target))}"'
        f' data-layers="{escape(" ".join(result.layers))}"><td>{escape(result.id)}</td>'
        f"<td>{escape(_pair(result.source, result.target))}</td>"
        f'<td class="{escape(result.status)}">{escape(result.status)}</td><td class="n">{size}</td>{plain}'
        f'<td class="why">{escape(why)}</td></tr>\n'
    )


def _plain(outcome: Mapping[str, Any] | None) -> str:
    if outcome is None:
        return "<td></td>"
    off = (
        "" if outcome["status"] != "silent" else f" {outcome['max_rel']:.1e}" if outcome["max_rel"] else " other shape"
    )
    title = escape(outcome["reason"] or "")
    return f'<td class="{escape(outcome["status"])}" title="{title}">{escape(outcome["status"] + off)}</td>'
