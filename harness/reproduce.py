"""A run once more, from its report: the same command in the same environments, and what came out otherwise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jsonschema

from harness import backends, envspec, report
from harness.errors import HarnessError
from harness.worker.tfworker.files import FormatError, read_json

#: commands whose reports can be repeated; a report is a file of unknown origin, and names no other program
COMMANDS = ("migrate", "export", "import", "verify")
_HEAD = ["python", "-m", "harness"]
#: what has to be equal; seconds and paths may differ
COMPARED = (
    "status",
    "source",
    "from",
    "to",
    "outputs",
    "gradients",
    "layers",
    "noise_floor",
    "weights",
    "training",
    "ledger",
    "probes",
)


def read(path: Path) -> dict[str, Any]:
    """The report in a file, or in the folder of a run.

    Raises:
        HarnessError: usage for a file that is no report of this version.
    """
    path = path / "report.json" if path.is_dir() else path
    try:
        found = read_json(str(path))
        jsonschema.validate(found, report.schema())
    except (OSError, FormatError, jsonschema.ValidationError) as error:
        reason = error.message if isinstance(error, jsonschema.ValidationError) else str(error)
        raise HarnessError("usage", f"{path} is no report of this version: {reason[:300]}") from error
    return dict(found)


def arguments(found: Mapping[str, Any], out: Path) -> list[str]:
    """The command line of a report, with another output folder.

    Raises:
        HarnessError: usage for a command that is none of :data:`COMMANDS`.
    """
    command = list(found["command"])
    rest = command[len(_HEAD) :]
    if command[: len(_HEAD)] != _HEAD or not rest or rest[0] not in COMMANDS:
        raise HarnessError(
            "usage",
            f"The report was not made by one of {', '.join(COMMANDS)}: {' '.join(command) or 'it names no command'}.",
        )
    kept: list[str] = []
    skip = False
    for word in rest:
        if skip or word == "--out":
            skip = not skip
        elif not word.startswith("--out=") and word != "--json":
            kept.append(word)
    return [*kept, "--out", str(out)]


def other_environments(found: Mapping[str, Any]) -> list[str]:
    """What differs between the environments that a report names and those of this checkout."""
    specs, differences = envspec.load_specs(), []
    for entry in found["environments"]:
        name = entry["name"]
        if name not in specs:
            differences.append(f"{name}: there is no such environment in this version")
            continue
        host = backends.get_backend(entry["backend"])
        key = host.key(specs[name])
        if key != entry["key"]:
            differences.append(f"{name} ({entry['backend']}): was {entry['key']}, is {key} here")
    return differences


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Every value that is not the same in both reports, as a path into them."""
    return [line for key in COMPARED for line in _compare(key, before.get(key), after.get(key))]


def _compare(where: str, before: Any, after: Any) -> list[str]:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        keys = sorted({*before, *after})
        return [line for key in keys for line in _compare(f"{where}.{key}", before.get(key), after.get(key))]
    if _is_list(before) and _is_list(after) and len(before) == len(after):
        return [
            line for i, pair in enumerate(zip(before, after, strict=True)) for line in _compare(f"{where}[{i}]", *pair)
        ]
    return [] if before == after else [f"{where}: {before!r} → {after!r}"]


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)
