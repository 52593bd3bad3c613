"""The report as one page that needs nothing else (``report.html``), and as Markdown for pull requests (``report.md``)."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from harness.artifact.text import visible
from harness.bundle import Bundle
from harness.report import diagram, story

#: layer calls above which the model is not drawn: a browser would take seconds for it
MOST_BOXES = 1500


def page(report: Mapping[str, Any], bundle: Bundle | None = None) -> str:
    """The text of ``report.html``; ``bundle`` adds the model's diagram and the list of weights."""
    return _render("report.html.j2", report, bundle)


def markdown(report: Mapping[str, Any], bundle: Bundle | None = None) -> str:
    """The text of ``report.md``."""
    return _render("report.md.j2", report, bundle)


@cache
def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("harness.report"),
        autoescape=select_autoescape(("html", "html.j2")),
        undefined=StrictUndefined,
        finalize=_seen,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(measure=story.measure, cell=_cell, shape=_shape)
    return made


def _render(template: str, report: Mapping[str, Any], bundle: Bundle | None) -> str:
    manifest = bundle.manifest if bundle else None
    layers = report["layers"]["all"] if report["layers"] else []
    errors = layers or report.get("gradients") or []
    return _environment().get_template(template).render(
        report=report,
        headline=story.headline(report),
        sides=story.sides(report),
        evidence=story.evidence(report),
        source=(report["source"] or {}).get("file"),
        command=shlex.join(report["command"]),
        diagram=_diagram(manifest, layers),
        layers=layers,
        plot=diagram.plot(errors, "layer" if layers else "name") if errors else None,
        plotted="layer" if layers else "gradient",
        weights=_weights(report, manifest),
    )  # fmt: skip


def _diagram(manifest: Mapping[str, Any] | None, layers: list[dict[str, Any]]) -> dict[str, Any] | None:
    graph = manifest["model"].get("graph") if manifest else None
    if not isinstance(graph, Mapping) or sum(len(layer["calls"]) for layer in graph["layers"]) > MOST_BOXES:
        return None
    return diagram.diagram(graph, layers)


def _weights(report: Mapping[str, Any], manifest: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """A row for each weight: what it is, how it compares, and whether a change of it would be noticed."""
    if manifest is None:
        return []
    compared, proven = report["weights"], report.get("proven")
    changed = {row["name"]: row["transforms"] for row in compared["transformed"]} if compared else {}
    wrong = {line.partition(":")[0] for line in compared["unequal"]} if compared else set()
    unproven = {row["name"]: row for row in proven["unproven"]} if proven and not proven["skipped"] else None
    rows = []
    for entry in _entries(manifest):
        name = entry["name"]
        size = 1
        for length in entry["shape"]:
            size *= length
        state = "not compared" if compared is None else "differs" if name in wrong else "equal"
        if name in changed and name not in wrong:
            state = "equal after " + ", ".join(step["op"] for step in changed[name])
        row = (unproven or {}).get(name)
        reach = "not known" if unproven is None else "all of it"
        if row is not None:
            reach = f"{row['proven']} of {row['elements']}: {row['reason']}"
        rows.append({**entry, "elements": size, "state": state, "reach": reach, "reached": row is None})
    return rows


def _entries(manifest: Mapping[str, Any]) -> list[dict[str, Any]]:
    if manifest["model"].get("kind") == "graph":
        return [{key: row[key] for key in ("name", "shape", "dtype")} for row in manifest["model"]["variables"]]
    return [{key: e[key] for key in ("name", "shape", "dtype")} for e in manifest["arrays"] if "role" in e]


def _shape(lengths: list[int]) -> str:
    return "×".join(map(str, lengths)) or "scalar"


def _seen(value: Any) -> Any:
    """What a template prints, without control characters; what holds no text of strangers stays as it is."""
    if isinstance(value, Markup):  # made by `tojson`, which quotes most of them itself
        return Markup(visible(value, lines=True))  # noqa: S704 - only characters are replaced
    return visible(value, lines=True) if isinstance(value, str) else value


#: what makes links, images, emphasis, code, cells and mentions of people in GitHub's Markdown
_ACTIVE = re.compile(r"[\\`*\[\]!|~]|(?<=[A-Za-z]):(?=//)|(?i:(?<=www)\.)|^\s*(?:[#+-]|\d+(?=[.)]))")
_ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


def _cell(value: Any) -> str:
    """Text that stays text in a line of Markdown, and in a cell of a table."""
    text = " ".join(str(value).splitlines()).translate(_ENTITIES)
    text = _ACTIVE.sub(_escaped, text)
    return text.replace("@", "@&#8203;")  # a space of no width: nobody of that name is called


def _escaped(found: re.Match[str]) -> str:
    """A backslash before a sign, or behind a number that would begin a list."""
    return f"{found[0]}\\" if found[0].strip().isdigit() else f"\\{found[0].lstrip()}"
