"""The report's page in a real browser: it can be read on a phone, in the dark, by keyboard, and asks the network for nothing."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from test_html import samples

from harness.report import pages

BROWSER = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chromium-browser")

#: runs inside the page, which stands in a frame of the width that is tested, and writes what it finds into the outer page
DRIVER = r"""
const found = { errors: [] };
window.addEventListener("error", event => found.errors.push(event.message));
window.addEventListener("securitypolicyviolation", event => found.errors.push(event.violatedDirective));
window.addEventListener("load", () => {
  const all = selector => [...document.querySelectorAll(selector)];
  found.dark = matchMedia("(prefers-color-scheme: dark)").matches;
  found.width = [innerWidth, document.documentElement.scrollWidth];
  found.requests = performance.getEntriesByType("resource").map(entry => entry.name).filter(name => /^http/.test(name));
  const numbers = colour => colour.match(/[\d.]+/g).map(Number);
  const luminance = colour => numbers(colour).slice(0, 3).map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const background = element => {
    for (let at = element; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if ((numbers(colour)[3] ?? 1) > 0) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  found.contrast = [21, ""];
  for (const element of all("body *")) {
    const own = [...element.childNodes].some(node => node.nodeType === 3 && node.textContent.trim());
    if (!own || ["SCRIPT", "STYLE", "title"].includes(element.tagName)) continue;
    const style = getComputedStyle(element), svg = element instanceof SVGElement;
    const box = svg ? element.parentElement.querySelector("rect") : null;
    const behind = box ? getComputedStyle(box).fill : background(svg ? element.closest("svg").parentElement : element);
    const [a, b] = [luminance(svg ? style.fill : style.color), luminance(behind)].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < found.contrast[0]) found.contrast = [ratio, element.tagName + " " + element.textContent.trim().slice(0, 40)];
  }
  found.unnamed = all("svg[role=img], [role=img], [role=region], nav").filter(e => !e.getAttribute("aria-label")).length
    + all("input").filter(e => !document.querySelector(`label[for="${e.id}"]`)).length;
  found.scrollable = all(".scroll").filter(e => e.tabIndex < 0).length;
  found.headings = all("h1").length;
  const rows = () => all("#weights-table tbody tr").filter(row => !row.hidden).map(row => row.cells[0].textContent);
  found.rows = { all: rows() };
  const search = document.getElementById("weights-search");
  if (search) {
    search.focus();
    found.focus = document.activeElement === search;
    search.value = "w1 FLOAT32";
    search.dispatchEvent(new Event("input"));
    found.rows.searched = rows();
    found.rows.said = document.getElementById("weights-shown").textContent;
    search.value = "";
    search.dispatchEvent(new Event("input"));
    const button = all("#weights-table th button")[3];
    button.focus();
    found.focus = found.focus && document.activeElement === button;
    button.click();
    found.rows.up = rows();
    button.click();
    found.rows.down = rows();
    found.sorted = all("#weights-table th").map(head => head.getAttribute("aria-sort"));
  }
  parent.document.getElementById("found").textContent = JSON.stringify(found);
});
"""


@cache
def looked_at(name: str, width: int, dark: bool, folder: Path) -> dict[str, Any]:
    """What the driver finds in the page of a sample."""
    if BROWSER is None:
        pytest.skip("there is no Chromium on this machine")
    page = pages.render(*samples()[name])["report.html"].replace("<script>", f"<script>{DRIVER}</script><script>", 1)
    frame = f'<iframe width="{width}" height="800" srcdoc="{html.escape(page)}"></iframe>'
    outer = folder / f"{name}-{width}-{dark}.html"
    outer.write_text(f"<!DOCTYPE html><meta charset=utf-8><body>{frame}<pre id=found></pre></body>", encoding="utf-8")
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=5000", "--dump-dom"]
    command += [f"--user-data-dir={folder / 'profile'}", *(["--force-dark-mode"] if dark else []), outer.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    match = re.search(r'<pre id="found">(.+?)</pre>', done.stdout, re.DOTALL)
    assert match, done.stdout[-2000:] + done.stderr[-2000:]
    return dict(json.loads(html.unescape(match[1])))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("browser")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("name", ["verified", "diverged", "refused"])
def test_a_page_fits_a_phone_and_has_contrast(name: str, dark: bool, folder: Path) -> None:
    found = looked_at(name, 360, dark, folder)
    assert found["dark"] is dark
    assert found["errors"] == found["requests"] == []
    assert found["width"][1] <= found["width"][0] <= 360
    assert found["contrast"][0] >= 4.5, found["contrast"]


@pytest.mark.parametrize("name", ["verified", "diverged", "refused"])
def test_a_page_has_names_for_what_is_drawn_and_is_reached_by_keyboard(name: str, folder: Path) -> None:
    found = looked_at(name, 360, False, folder)
    assert (found["unnamed"], found["scrollable"], found["headings"]) == (0, 0, 1)


def test_weights_are_searched_and_sorted(folder: Path) -> None:
    found = looked_at("verified", 360, False, folder)
    rows = found["rows"]
    assert rows["all"] == ["a/w0", "a/w1", "a/w2"]
    assert rows["searched"] == ["a/w1"]
    assert rows["said"] == "1 of 3 shown"
    assert rows["up"] == ["a/w0", "a/w1", "a/w2"]
    assert rows["down"] == ["a/w2", "a/w1", "a/w0"]
    assert found["sorted"] == ["none", "none", "none", "descending", "none", "none"]
    assert found["focus"]
