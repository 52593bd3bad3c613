"""A run once more, from its report: the same command in the same environments, and what came out otherwise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import jsonschema

from harness import backends, envspec, report
from harness.cli import cli
from harness.errors import HarnessError
from harness.worker.tfworker.files import FormatError, read_json

#: commands whose reports can be repeated; a report is a file of unknown origin, and names no other program
COMMANDS = ("migrate", "export", "import", "verify", "load-weights")
#: options whose files are run
CODE = ("custom_objects", "target_objects", "builder", "source_builder")
#: options for the one who calls to give: what is written elsewhere than into the output folder, what is downloaded, what is printed
_NOT_REPEATED = ("write_mapping", "fetch_python", "as_json")
_HEAD = ["python", "-m", "harness"]
#: what has to be equal; seconds and paths may differ, and environments are told apart
COMPARED = (
    "status",
    "source",
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


def arguments(found: Mapping[str, Any], out: Path, *, allow_code: bool = False, **ours: str | bool | None) -> list[str]:
    """The command line of a report, with another output folder and with ``ours``, which win over what the report says.

    The report is read by the command's own parser, and written anew: every value belongs to its option.

    Raises:
        HarnessError: usage for a command that is none of :data:`COMMANDS` or has options that it does not know;
            code-not-allowed where it names files of code, unless ``allow_code``.
    """
    command = list(found["command"])
    rest = command[len(_HEAD) :]
    if command[: len(_HEAD)] != _HEAD or not rest or rest[0] not in COMMANDS:
        raise HarnessError(
            "usage",
            f"The report was not made by one of {', '.join(COMMANDS)}: {' '.join(command) or 'it names no command'}.",
        )
    known = cli.commands[rest[0]]
    given = _parsed(known, rest[1:])
    named = [f"--{name.replace('_', '-')} {given[name]}" for name in CODE if name in given]
    if named and not allow_code:
        raise HarnessError("code-not-allowed", "The report names files with code, which would be run.", details=named)
    given = {name: value for name, value in given.items() if name not in _NOT_REPEATED}
    if ours.get("untrusted"):
        given.pop("backend", None)
    given |= {"out": str(out), **{name: value for name, value in ours.items() if value}}
    return [rest[0], *_written(known, given)]


def _parsed(command: click.Command, words: list[str]) -> dict[str, Any]:
    """What the words give to each option and argument, as text."""
    try:
        values, left, _ = command.make_parser(click.Context(command)).parse_args(words)
    except click.UsageError as error:
        raise HarnessError("usage", f"The report's command is not understood: {error.format_message()}") from error
    if left:
        raise HarnessError("usage", f"The report's command has too many arguments: {' '.join(map(str, left))}")
    return {name: value for name, value in values.items() if isinstance(value, str | bool | list | tuple)}


def _written(command: click.Command, given: Mapping[str, Any]) -> list[str]:
    """The words that the command's parser reads as ``given``."""
    options, places = [], []
    for parameter in command.params:
        value = given.get(parameter.name or "")
        values = list(value) if isinstance(value, list | tuple) else [] if value is None else [value]
        if isinstance(parameter, click.Argument):
            places += values
        else:
            long = max(parameter.opts, key=len)
            options += [long if one is True else f"{long}={one}" for one in values]
    return [*options, "--", *places]


def other_environments(before: Mapping[str, Any], after: Mapping[str, Any] | None = None) -> list[str]:
    """What differs between the environments of two reports; without another one, those of this checkout."""
    specs, differences = envspec.load_specs(), []
    now = {entry["name"]: entry for entry in (after or {}).get("environments", ())}
    for entry in before["environments"]:
        name, backend = entry["name"], entry["backend"]
        if name not in specs:
            differences.append(f"{name}: there is no such environment in this version")
        elif backend not in backends.BACKENDS:
            differences.append(f"{name}: there is no backend {backend} in this version")
        elif after is None or name in now:
            here = now.get(name) or {"backend": backend, "key": backends.BACKENDS[backend].key(specs[name])}
            if (backend, entry["key"]) != (here["backend"], here["key"]):
                differences.append(f"{name}: was {backend} {entry['key']}, is {here['backend']} {here['key']} here")
            elif here.get("base", entry.get("base")) != entry.get("base"):
                differences.append(f"{name}: its base was {entry.get('base')}, is {here['base']} here")
    sides = ("from", "to") if after else ()
    return differences + [line for key in sides for line in _compare(key, before.get(key), (after or {}).get(key))]


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
