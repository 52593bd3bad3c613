"""``docs/errors.md`` is what ``docs/generate.py`` writes, and covers the whole catalogue."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from harness.errors import CATALOGUE, Exit

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_generate", DOCS / "generate.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_docs_errors_page_is_current(generate: ModuleType) -> None:
    stale = [name for name, page in generate.PAGES.items() if (DOCS / name).read_text(encoding="utf-8") != page()]
    assert stale == [], "run: python docs/generate.py"


def test_docs_errors_page_explains_every_code_once(generate: ModuleType) -> None:
    headings = re.findall(r"^### (.+)$", generate.errors_page(), flags=re.MULTILINE)
    assert sorted(headings) == sorted(CATALOGUE)


def test_docs_errors_page_explains_every_exit_status(generate: ModuleType) -> None:
    rows = re.findall(r"^\| (\d+) \|", generate.errors_page(), flags=re.MULTILINE)
    assert [int(row) for row in rows] == [int(status) for status in Exit]


def test_docs_generate_writes_what_is_stale_and_says_so(
    generate: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(generate, "DOCS", tmp_path)
    assert generate.main(["--check"]) == 1
    assert generate.main([]) == 0
    assert generate.main(["--check"]) == 0
    assert (tmp_path / "errors.md").read_text(encoding="utf-8") == generate.errors_page()
    assert capsys.readouterr().out.splitlines() == [
        *(f"docs/{name} is out of date: python docs/generate.py" for name in generate.PAGES),
        *(f"wrote docs/{name}" for name in generate.PAGES),
        "up to date",
    ]


@pytest.mark.parametrize("code", CATALOGUE)
def test_docs_files_named_by_an_error_exist(code: str) -> None:
    kind = CATALOGUE[code]
    for name in re.findall(r"docs/[\w./-]+\.md", f"{kind.means} {kind.remedy}"):
        assert (DOCS.parent / name).is_file()
