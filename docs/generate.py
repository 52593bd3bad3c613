"""Writes the pages that follow from the code: ``python docs/generate.py``. ``--check`` only compares."""

from __future__ import annotations

import sys
from pathlib import Path

from harness.errors import CATALOGUE, ErrorKind, Exit
from harness.regress import baseline, matrix, tables

DOCS = Path(__file__).resolve().parent

STATUS_MEANS = {
    Exit.VERIFIED: "verified: built, and every comparison holds",
    Exit.DIVERGED: "diverged: built, and something differs by more than rounding; the report names the first layer",
    Exit.USAGE: "the call itself is off; nothing was started",
    Exit.REFUSED: "refused: understood, and not migrated, for a stated reason",
    Exit.ENVIRONMENT: "failed: a TensorFlow environment is not available",
    Exit.WORKER: "failed: the process inside an environment crashed, hung, or could not write",
    Exit.INTERNAL: "failed: a bug in the harness",
    Exit.INTERRUPTED: "stopped with Ctrl-C",
}


def errors_page() -> str:
    """The text of ``docs/errors.md``."""
    lines = [
        "# Exit statuses and errors",
        "",
        "<!-- Generated from harness/errors.py by `python docs/generate.py`; edit it there. -->",
        "",
        "Every end of a command has an exit status; every end without a verdict has a code as well, which stands in",
        "`error.code` of `report.json` and before the message on the terminal. Codes are stable: programs may",
        "compare them. The message says what happened to which thing, and what was expected instead.",
        "",
        "| exit status | means |",
        "|---|---|",
        *(f"| {status.value} | {means} |" for status, means in STATUS_MEANS.items()),
    ]
    for status, means in STATUS_MEANS.items():
        kinds = [kind for kind in CATALOGUE.values() if kind.exit_status is status]
        if kinds:
            lines += ["", f"## Exit status {status.value}: {means.split(':')[0].split(';')[0]}"]
            for kind in kinds:
                lines += _section(kind)
    return "\n".join(lines) + "\n"


def _section(kind: ErrorKind) -> list[str]:
    return ["", f"### {kind.code}", "", kind.means, "", f"What to do: {kind.remedy}"]


def support_page() -> str:
    """The text of ``docs/support-matrix.md``."""
    files = sorted(matrix.baselines_folder().glob("*--*.json"))
    pairs = {(path.stem.partition("--")[0], path.stem.partition("--")[2]): baseline.load(path) for path in files}
    return tables.support_matrix(pairs)


PAGES = {"errors.md": errors_page, "support-matrix.md": support_page}


def main(arguments: list[str]) -> int:
    """0; with ``--check`` 1 when a page is not what it would be now."""
    stale = [name for name, page in PAGES.items() if _text(DOCS / name) != page()]
    if "--check" in arguments:
        print("\n".join(f"docs/{name} is out of date: python docs/generate.py" for name in stale) or "up to date")
        return 1 if stale else 0
    for name in stale:
        (DOCS / name).write_text(PAGES[name](), encoding="utf-8")
        print(f"wrote docs/{name}")
    return 0


def _text(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
