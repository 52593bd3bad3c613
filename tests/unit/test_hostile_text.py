"""What strangers wrote, in files, names and messages, is seen and cannot act: on a terminal, in a page, in Markdown, in XML."""

from __future__ import annotations

import copy
import io
import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import bad_files
import pytest
from markdown_it import MarkdownIt
from rich.table import Table
from test_html import MODEL, bundle, node, parsed
from test_report import ended
from test_report import report as verdict

from harness import cli, engine, inspection
from harness.console import Console, plain
from harness.errors import HarnessError
from harness.regress import page as matrix_page
from harness.report import pages, terminal

#: clears the screen, sets the title, draws in bold green, hides, writes backwards, and begins a line of its own
NASTY = "a\x1b[2J\x1b]0;t\x07\x1b[1;32m\x9b8m\x7f\b\u202e\u2066\u2028\u2029\x85\r\nVERIFIED  TensorFlow 1.15\n\tb"
ACTING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
#: words of the schema, which no stranger chooses
FIXED = {"status", "code"}


def harmless(text: str) -> bool:
    return not ACTING.search(text) and not any(line.startswith("VERIFIED") for line in text.splitlines())


def filled(value: Any, words: str, key: str = "") -> Any:
    """The value with ``words`` after every text of it."""
    if isinstance(value, dict):
        return {name: filled(item, words, name) for name, item in value.items()}
    if isinstance(value, list):
        return [filled(item, words, key) for item in value]
    return value + words if isinstance(value, str) and key not in FIXED else value


def reports(words: str) -> list[dict[str, Any]]:
    made = [verdict(ok=False), ended("layer-unsupported")]
    made[0]["not_checked"] = ["x"]
    made[0]["layers"]["first_divergent"]["configs"] = {"old": {"k": "v"}, "new": {}}
    made[0]["code"] = [{"layer": "l", "class_name": "L", "way": "carried", "bytecode_run": False}]
    return [{**filled(copy.deepcopy(one), words), "status": one["status"]} for one in made]


def printed(show: Callable[[Console], object]) -> str:
    stream = io.StringIO()
    show(Console(file=stream, width=250))
    return stream.getvalue()


@pytest.mark.parametrize("number", [0, 1])
def test_no_text_of_a_report_acts_on_a_terminal(number: int) -> None:
    text = printed(lambda console: terminal.show(reports(NASTY)[number], Path(f"out{NASTY}"), console))
    assert text.count("VERIFIED") >= 5
    assert harmless(text), text


@pytest.mark.parametrize("number", [0, 1])
def test_no_text_of_a_report_acts_in_its_other_forms(number: int) -> None:
    model = [MODEL, bundle(node(NASTY, NASTY), node(f"<b>{NASTY}", "[b]", NASTY))][number]
    for name, text in pages.render(reports(NASTY)[number], model).items():
        assert not ACTING.search(text), name
        if name.endswith(".xml"):
            ET.fromstring(text)
    assert parsed(pages.render(reports(NASTY)[number], model)["report.html"]).open == []


def test_a_name_in_a_line_of_evidence_leaves_the_xml_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [(holds, f"of {NASTY}\x00\ufffe: differs \x00{NASTY}") for holds in (True, False, None)]
    monkeypatch.setattr("harness.report.story.evidence", lambda _report: lines)
    text = pages.render(verdict(), None)["report.xml"]
    assert len(ET.fromstring(text)[0]) == 3
    assert not ACTING.search(text)


@pytest.mark.parametrize(
    "words",
    ["[VERIFIED](http://e.x)", "![i](http://e.x/i.png)", "<http://e.x>", "`a`", "*a* **b**", "http://e.x www.e.x",
     "<img src=http://e.x>", "</details>", "a|b|c", "\\[x](y)", "&lt;b&gt;", "[x]: http://e.x"],
)  # fmt: skip
def test_names_make_no_links_and_images_in_markdown(words: str) -> None:
    # `&#8203;` breaks up what would call people by their name.
    for made in reports(f" {words} @team"):
        text = pages.render(made, None)["report.md"]
        assert "@team" not in text
        assert not re.search(r"https?:/|www\.", text)
        found: list[str] = []
        for token in MarkdownIt("commonmark").enable("table").parse(text):
            if token.type == "html_block":
                assert not re.search(
                    r"<(?!/?details>|summary>|/summary>)", token.content.replace("<details><summary>", "")
                )
            found += [child.type for child in token.children or ()]
        assert not {"link_open", "image", "html_inline", "code_inline", "em_open", "strong_open"} & (
            set(found) - ({"strong_open"} if made["error"] else set())
        )


def test_a_line_of_markdown_is_no_heading_and_no_list() -> None:
    made = ended("layer-unsupported")
    made["error"] = {**made["error"], "details": ["# VERIFIED", "- a", "1. b", "+ c", "> d"]}
    tokens = MarkdownIt("commonmark").parse(pages.render(made, None)["report.md"])
    assert [token.tag for token in tokens if token.type == "heading_open"] == ["h2"]
    assert sum(token.type in ("bullet_list_open", "ordered_list_open", "blockquote_open") for token in tokens) == 1


def error_text(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert cli._guarded(list(arguments)) != 0
    out, err = capsys.readouterr()
    assert "VERIFIED" in out + err
    return str(out + err)


def test_no_message_acts(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert harmless(error_text(capsys, "inspect", f"nothing{NASTY}"))
    assert harmless(error_text(capsys, "migrate", "a", f"b{NASTY}"))
    assert harmless(error_text(capsys, "migrate", "a", "--format", NASTY))
    for error in (HarnessError("source-empty", NASTY, details=[NASTY, f"\n{NASTY}"], remedy=NASTY), ValueError(NASTY)):

        def raising(*_: object, error: Exception = error, **__: object) -> None:
            raise error

        monkeypatch.setattr(engine, "migrate", raising)
        text = error_text(capsys, "migrate", str(bad_files.keras_h5(tmp_path / "m.h5")))
        assert not ACTING.search(text)
        assert harmless(text) or isinstance(error, ValueError), text


def test_files_whose_names_act_are_shown(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / NASTY.replace("\n", " ").replace("VERIFIED", "\nVERIFIED")
    path.write_bytes(b"no model at all" * 10)
    for command in ("inspect", "migrate", "plan", "export"):
        cli._guarded([command, str(path)])
        text = "".join(capsys.readouterr())
        assert "VERIFIED" in text
        assert harmless(text), text
    bad_files.keras_h5(path)
    cli._guarded(["plan", str(path)])
    assert harmless("".join(capsys.readouterr()))


@pytest.mark.parametrize("key", ["schema_version", "min_reader", "required_features", "producer", "source", "arrays"])
def test_no_entry_of_a_bundle_acts(tmp_path: Path, key: str) -> None:
    folder = bad_files.bundle(tmp_path / "bundle")
    manifest = json.loads((folder / "manifest.json").read_text())
    for value in (NASTY, {NASTY: NASTY}, [NASTY]):
        (folder / "manifest.json").write_text(json.dumps({**manifest, key: value}))
        found = inspection.describe_artifact(folder)
        assert harmless(printed(lambda console, found=found: inspection.render(found, console)))  # type: ignore[misc]


def test_no_text_of_a_description_acts(tmp_path: Path) -> None:
    found = inspection.describe_artifact(bad_files.keras_h5(tmp_path / "m.h5"))
    spec = {"name": "p", "dtype": "float32", "shape": None}
    found["graphs"] = [
        {"tags": ["t"], "nodes": 1, "signatures": {}, "variables": [spec], "placeholders": [spec], "assets": []}
    ]
    found["graphs"] += [{**found["graphs"][0], "signatures": {"k": {"inputs": {"a": "b"}, "outputs": {}}}}]
    found["warnings"] = ["w"]
    found["migration"]["note"] = "n"
    hostile = filled(found, NASTY)
    assert harmless(printed(lambda console: inspection.render(hostile, console)))
    assert json.loads(json.dumps(hostile)) == hostile


def test_what_nobody_cleaned_is_stopped_at_the_console(monkeypatch: pytest.MonkeyPatch) -> None:
    table = Table(title=NASTY)
    table.add_column(NASTY)
    table.add_row(NASTY)
    for thing in (NASTY, table):
        assert not ACTING.search(printed(lambda console, thing=thing: console.print(thing)))  # type: ignore[misc]
    assert printed(lambda console: console.print(plain("[red]:x: a\nb"))) == "[red]:x: a?b\n"


def test_the_line_of_progress_cannot_act(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(cli, "console", Console(file=stream, force_terminal=True, width=200))
    with cli._progress(False) as progress:
        progress(f"export: {NASTY}")
    text = re.sub(r"\x1b\[[0-9;?]*[A-Zabcdhlmn]", "", stream.getvalue().replace("\x1b[2J", "CLEARED"))
    assert "CLEARED" not in text
    assert "VERIFIED" in text
    assert harmless(text.replace("\r", "")), repr(text)


def test_the_page_of_the_matrix_holds_no_control_characters() -> None:
    found = SimpleNamespace(better=[NASTY], worse=[], same=[])
    text = matrix_page.page([], [], found, about=NASTY)  # type: ignore[arg-type]
    assert "VERIFIED" in text
    assert not ACTING.search(text)
