"""Writes the pages that follow from the code: ``python docs/generate.py``. ``--check`` only compares."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import Any

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


FAULTS = DOCS.parent / "tests" / "golden" / "faults.json"
STAGES = ("start", "export", "translate", "import", "verify", "report", "whole run", "environment build")
FAULTS_INTRO = """# Faults

<!-- Generated from tests/golden/faults.json by `python docs/generate.py`; the tests that cause the faults write that file. -->

What comes of a run when something breaks under it. Every line is a test that breaks it: the table holds what the command
ended with then, and the tests fail when that changes. In each case an earlier good result stays as it was to the last
byte, no process is left, nothing half-written takes the place of a result, and the next run works. What a killed host
could not tidy up, the next run on the same output does.

A run belongs to the output folder: two at once are each whole, and the last one stands. Its name changes hands in one
step, where the file system can do that (Linux; not on some network file systems)."""


def faults_page() -> str:
    """The text of ``docs/faults.md``."""
    rows = json.loads(FAULTS.read_text(encoding="utf-8"))
    cells = {(row["fault"], row["backend"], row["stage"]): _ending(row) for row in rows}
    lines = [FAULTS_INTRO, "", f"| fault | backend | {' | '.join(STAGES)} |", "|---" * (len(STAGES) + 2) + "|"]
    for fault, backend in dict.fromkeys((row["fault"], row["backend"]) for row in rows):
        found = [cells.get((fault, backend, stage), "") for stage in STAGES]
        lines.append(f"| {fault} | {backend} | {' | '.join(found)} |")
    lines += [
        "",
        "A cell is the exit status and the [code](errors.md) of the message; a signal stands where the command itself",
        "was killed. An empty cell is a fault that cannot happen there, or that another cell stands for.",
        "",
    ]
    lines += ["## What is said", "", "| fault | stage | backend | message | test |", "|---|---|---|---|---|"]
    for row in rows:
        message = row["message"].replace("|", "\\|").replace("<", "&lt;") or "(nothing: it was killed, or it works)"
        lines.append(f"| {row['fault']} | {row['stage']} | {row['backend']} | {message} | `{row['test']}` |")
    return "\n".join(lines) + "\n"


def _ending(row: dict[str, Any]) -> str:
    status, code = row["exit_status"], row["code"]
    if status < 0:
        return signal.Signals(-status).name
    return f"{status} {code}" if status == 0 else f"{status}" if code == "-" else f"{status} `{code}`"


PAGES = {"faults.md": faults_page, "errors.md": errors_page, "support-matrix.md": support_page}


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
