"""What the documentation says is there: links, commands, options, sessions, environments, and keys of the formats."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from harness import report
from harness.cli import cli
from harness.envspec import load_specs
from harness.errors import CATALOGUE, Exit
from harness.worker.tfworker import protocol

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("*.md"))

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def text_of(page: Path | str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def without_code(text: str) -> str:
    return re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives to headings."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", text_of(page), flags=re.DOTALL), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def code_of(page: Path) -> Iterator[str]:
    """Lines of code blocks, and pieces of code in the text."""
    text = text_of(page)
    for block in re.findall(r"```.*?\n(.*?)```", text, flags=re.DOTALL):
        yield from block.splitlines()
    yield from re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))


def commands(group: click.Group, prefix: str = "") -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        yield f"{prefix}{name}", command
        if isinstance(command, click.Group):
            yield from commands(command, f"{prefix}{name} ")


COMMANDS = dict(commands(cli))
OPTIONS = {
    name: {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    | {"--help"}
    for name, command in COMMANDS.items()
}


@every_page
def test_docs_links_lead_somewhere(page: Path) -> None:
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", without_code(text_of(page))):
        if target.startswith(("https://", "http://")):
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        if not found.exists() or (anchor and anchor not in anchors(found)):
            broken.append(target)
    assert broken == []


@every_page
def test_docs_name_only_commands_and_options_that_exist(page: Path) -> None:
    for line in code_of(page):
        found = re.search(r"(?:python -m harness|tf-harness) ([a-z].*)", line)
        if not found:
            continue
        words = found[1].split("#")[0].split()
        name = " ".join(words[:2]) if " ".join(words[:2]) in COMMANDS else words[0]
        assert name in COMMANDS, line
        used = {word.partition("=")[0] for word in words if word.startswith("--")}
        assert used <= OPTIONS[name], line


def test_docs_command_line_page_has_every_command_and_option() -> None:
    code = " ".join(code_of(ROOT / "docs" / "cli.md"))
    shown = [name for name in COMMANDS if name != "envs"]
    assert [name for name in shown if not re.search(rf"(^|\s|`){re.escape(name)}\b", code)] == []
    options = {option for used in OPTIONS.values() for option in used if option.startswith("--")} - {"--help"}
    assert sorted(option for option in options if option not in code) == []


def test_docs_command_line_page_has_every_exit_status() -> None:
    rows = re.findall(r"^\| (\d+) \|", text_of("docs/cli.md"), flags=re.MULTILINE)
    assert [int(row) for row in rows] == [int(status) for status in Exit]


@every_page
def test_docs_name_only_make_targets_that_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", text_of("Makefile"), flags=re.MULTILINE))
    used = {found[1] for line in code_of(page) if (found := re.match(r"(?:\$ )?make ([a-z0-9-]+)", line))}
    assert used <= targets


@every_page
def test_docs_name_only_sessions_that_exist(page: Path) -> None:
    defined = set(re.findall(r"^@nox\.session.*?\ndef (\w+)", text_of("noxfile.py"), flags=re.MULTILINE | re.DOTALL))
    defined |= {f"env-{name}" for name in load_specs()} | {"env-NAME", "env-tf2.9"}  # the last is the example to add
    used = {name for line in code_of(page) for name in re.findall(r"nox -s ([\w.-]+)", line)}
    assert used <= defined


@every_page
def test_docs_name_only_tests_that_exist(page: Path) -> None:
    files = sorted((ROOT / "tests").rglob("*.py"))
    defined = {name for file in files for name in re.findall(r"^def (test_\w+)", file.read_text(), flags=re.MULTILINE)}
    defined |= {file.stem for file in files} | {file.name for file in files}
    used = {name for line in code_of(page) for name in re.findall(r"\btest_\w+(?:\.py)?", line)}
    assert used <= defined


@every_page
def test_docs_name_no_place_of_one_machine(page: Path) -> None:
    assert re.findall(r"(?<![\w.])/(?:home|root|Users|work|tmp|opt|srv)/\S*", text_of(page)) == []


@pytest.mark.parametrize("page", DECISIONS, ids=lambda page: page.stem)
def test_docs_decisions_are_numbered_dated_and_listed(page: Path) -> None:
    number = page.stem[:4]
    first, _, date = text_of(page).splitlines()[:3]
    assert first.startswith(f"# {number}: ")
    assert re.fullmatch(r"\d{4}-\d{2}-\d{2}", date)
    assert f"decisions/{page.name}" in text_of("docs/architecture.md")
    assert [other.name[:4] for other in DECISIONS].count(number) == 1


def properties(schema: object) -> Iterator[str]:
    """Names of all properties in a JSON schema, nested ones included."""
    if isinstance(schema, dict):
        yield from schema.get("properties", {})
        for value in schema.values():
            yield from properties(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from properties(value)


def test_docs_report_page_has_every_key() -> None:
    page = text_of("docs/report.md")
    assert sorted({key for key in [*report.new(), *properties(report.schema())] if f"`{key}`" not in page}) == []


def test_docs_protocol_page_has_every_operation_and_exit_status() -> None:
    page = text_of("docs/protocol.md")
    assert [name for name in protocol.OPERATIONS if f"`{name}`" not in page] == []
    assert all(f"| {status} |" in page for status in (protocol.EXIT_OK, protocol.EXIT_ERROR, protocol.EXIT_UNREADABLE))
    assert f"protocol {protocol.PROTOCOL}" in page


def test_docs_bundle_page_names_the_versions_that_the_reader_knows() -> None:
    from harness import bundle

    source = Path(bundle.__file__).read_text(encoding="utf-8")
    logged = re.findall(r"^#: (\d+)  (\d{4}-\d{2}-\d{2})  ", source, flags=re.MULTILINE)
    written = re.findall(r"^\| (\d+) \| (\d{4}-\d{2}-\d{2}) \|", text_of("docs/bundle.md"), flags=re.MULTILINE)
    assert logged == written
    assert int(written[-1][0]) == bundle.SCHEMA_VERSION


def test_docs_codes_in_the_text_are_in_the_catalogue() -> None:
    """Words of the form of a code, such as source-missing, in backticks."""
    families = {code.partition("-")[0] for code in CATALOGUE if "-" in code}
    for page in PAGES:
        for piece in code_of(page):
            if re.fullmatch(r"[a-z]+(-[a-z]+)+", piece) and piece.partition("-")[0] in families - {"model", "pair"}:
                assert piece in CATALOGUE, f"{page.name}: {piece}"
