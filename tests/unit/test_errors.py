"""The catalogue of errors is complete, and says what it promises."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import harness
from harness.errors import CATALOGUE, Exit, HarnessError

PACKAGE = Path(harness.__file__).parent
#: callables whose first argument is a code
RAISERS = {"HarnessError", "Refusal", "_failure", "unreadable", "refused"}


def codes(tree: ast.AST) -> Iterator[str]:
    """Every literal that an error is made with, either branch of a conditional included."""
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and getattr(node.func, "id", getattr(node.func, "attr", "")) in RAISERS
            and node.args
        ):
            first = node.args[0]
            for option in [first.body, first.orelse] if isinstance(first, ast.IfExp) else [first]:
                if isinstance(option, ast.Constant) and isinstance(option.value, str):
                    yield option.value


def raised() -> dict[str, str]:
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        for code in codes(ast.parse(path.read_text(encoding="utf-8"))):
            found[code] = str(path.relative_to(PACKAGE))
    return found


def test_every_code_that_is_raised_is_in_the_catalogue() -> None:
    assert {code: path for code, path in raised().items() if code not in CATALOGUE} == {}


def test_enough_codes_are_seen_for_that_to_mean_something() -> None:
    assert {"source-truncated", "layer-unsupported", "worker-crashed", "bundle-corrupt", "no-space"} <= set(raised())


def test_every_code_of_the_catalogue_stands_somewhere_in_the_source() -> None:
    text = "".join(p.read_text(encoding="utf-8") for p in PACKAGE.rglob("*.py") if p.name != "errors.py")
    # `usage` and `interrupted` are what click and Ctrl-C become; they have a status, but no exception.
    assert [code for code in CATALOGUE if f'"{code}"' not in text and code not in {"usage", "interrupted"}] == []


@pytest.mark.parametrize("code", CATALOGUE)
def test_every_row_is_in_whole_sentences(code: str) -> None:
    kind = CATALOGUE[code]
    assert kind.code == code
    assert kind.exit_status not in {Exit.VERIFIED, Exit.DIVERGED}
    for text in (kind.means, kind.remedy):
        assert text.endswith(".")
        assert text[0].isupper() or text[0] == "`"


def test_an_error_says_what_happened_all_findings_and_what_to_do() -> None:
    error = HarnessError("bundle-corrupt", "Two arrays are damaged.", details=["a", "b"])
    assert str(error) == ("Two arrays are damaged.\n  - a\n  - b\nWhat to do: Copy or export the bundle again.")
    assert error.code == "bundle-corrupt"
    assert int(error.kind.exit_status) == 3


def test_a_better_remedy_replaces_the_general_one() -> None:
    assert HarnessError("no-space", "Full.", remedy="Delete x.").remedy == "Delete x."


def test_an_unknown_code_cannot_be_raised() -> None:
    with pytest.raises(KeyError):
        HarnessError("made-up", "x")
