"""The report's other forms, written beside ``report.json``: a page, Markdown and JUnit XML."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.bundle import Bundle
from harness.report.html import markdown, page
from harness.report.junit import junit


def render(report: Mapping[str, Any], bundle: Bundle | None) -> dict[str, str]:
    """The texts by file name; ``bundle`` adds the model's diagram and the list of weights to the page."""
    return {"report.html": page(report, bundle), "report.md": markdown(report, bundle), "report.xml": junit(report)}
