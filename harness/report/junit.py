"""The report as JUnit XML, a case for everything that was compared, for services that show tests."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Mapping
from typing import Any

from harness.junit_xml import clean, totals
from harness.report import story


def junit(report: Mapping[str, Any]) -> str:
    """The document. A refused or failed run is one case with an error."""
    root = ET.Element("testsuites", name="migration")
    name = clean((report["source"] or {}).get("file") or "migration")
    suite = ET.SubElement(root, "testsuite", name=name)
    for holds, line in story.evidence(report):
        what, _, said = line.partition(":")
        case = _case(suite, name, what, report)
        if holds is False:
            ET.SubElement(case, "failure", message=clean(said.strip()))
        elif holds is None:
            ET.SubElement(case, "skipped", message=clean(said.strip()))
    error = report["error"]
    if error:
        case = _case(suite, name, "verdict", report)
        found = ET.SubElement(case, "error", type=error["code"], message=clean(error["message"]))
        found.text = clean("\n".join([*error["details"], f"What to do: {error['remedy']}"]))
    totals(suite)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _case(suite: ET.Element, name: str, what: str, report: Mapping[str, Any]) -> ET.Element:
    seconds = 0.0 if len(suite) else report["timings_s"].get("total", 0.0)
    return ET.SubElement(suite, "testcase", classname=name, name=clean(what), time=f"{seconds:.3f}")
