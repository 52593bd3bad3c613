"""The matrix as JUnit XML, which every CI service can show."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterable, Sequence

from harness.junit_xml import clean, totals
from harness.regress.baseline import Change
from harness.regress.runner import CaseResult


def junit(results: Sequence[CaseResult], worse: Iterable[Change] = ()) -> str:
    """The document: a suite for each pair; diverged and worse cases are failures, failed ones errors, refusals skipped."""
    changed = {(c.source, c.target, c.id): c for c in worse}
    root = ET.Element("testsuites", name="regress")
    pairs = sorted({(r.source, r.target) for r in results} | {(c.source, c.target) for c in changed.values()})
    for source, target in pairs:
        name = f"{source}--{target}"
        suite = ET.SubElement(root, "testsuite", name=name)
        for result in (r for r in results if (r.source, r.target) == (source, target)):
            _case(suite, name, result, changed.pop((source, target, result.id), None))
        for change in [c for c in changed.values() if (c.source, c.target) == (source, target)]:
            gone = ET.SubElement(suite, "testcase", classname=name, name=clean(change.id), time="0")
            ET.SubElement(gone, "failure", message=clean(str(change)))
        totals(suite)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _case(suite: ET.Element, name: str, result: CaseResult, change: Change | None) -> None:
    element = ET.SubElement(
        suite, "testcase", classname=name, name=clean(result.id), time=f"{max(result.seconds, 0):.3f}"
    )
    kind = {"diverged": "failure", "failed": "error", "refused": "skipped"}.get(result.status)
    if change is not None and kind != "error":
        kind = "failure"
    if kind is None:
        return
    message = " ".join(part for part in (result.code, result.first_divergent, result.reason) if part)
    child = ET.SubElement(element, kind, message=clean(message or result.status))
    if change is not None:
        child.text = clean(str(change))
