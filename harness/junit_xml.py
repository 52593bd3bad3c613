"""What every JUnit XML document needs: text that XML can hold, and counts."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

from harness.artifact.text import visible

# What XML 1.0 cannot hold, not even as a reference.
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def clean(text: str) -> str:
    """The text without characters that XML forbids, or that act in a viewer instead of being seen."""
    return _FORBIDDEN.sub("�", visible(text, lines=True))


def totals(suite: ET.Element) -> None:
    """Enter the counts of its cases into a suite."""
    suite.set("tests", str(len(suite)))
    for attribute, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(attribute, str(len(suite.findall(f"testcase/{tag}"))))
    suite.set("time", f"{sum(float(case.get('time', '0')) for case in suite):.3f}")
