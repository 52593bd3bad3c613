"""``mapping.toml``: what a person decided about names, layouts and types of weights."""

from __future__ import annotations

import fnmatch
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.errors import HarnessError

_KEYS = {"include", "exclude", "drop_prefix", "add_prefix", "rename", "transform", "map"}
_OPS: dict[str, set[str]] = {
    "transpose": {"axes"},
    "reshape": {"shape"},
    "flip": {"axes"},
    "scale": {"factor"},
    "cast": {"dtype"},
    "part": {"axis", "parts", "index"},
    "concat": {"axis"},
    "gates": {"axis", "from", "to"},
    "dequantize": {"scale", "zero_point", "dtype", "axis"},
    "to_channels_last": set(),
}
#: a kernel of (out, in, space …) as (space …, in, out), by its number of axes
_CHANNELS_LAST = {2: [1, 0], 3: [2, 1, 0], 4: [2, 3, 1, 0], 5: [2, 3, 4, 1, 0]}


@dataclass(frozen=True, kw_only=True)
class Rules:
    """A mapping file, checked.

    Attributes:
        include, exclude: globs of stored names; what is left out takes no part.
        drop_prefix, add_prefix: taken off, or put before, stored names before they are looked at.
        rename: (regular expression, replacement) applied in order.
        transform: (glob of stored names, step).
        map: target name -> (stored names, steps).
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    drop_prefix: str = ""
    add_prefix: str = ""
    rename: tuple[tuple[str, str], ...] = ()
    transform: tuple[tuple[str, dict[str, Any]], ...] = ()
    map: Mapping[str, tuple[tuple[str, ...], tuple[dict[str, Any], ...]]] = field(default_factory=dict)

    def left_out(self, name: str) -> str | None:
        """Why a stored array takes no part, or None."""
        if self.include and not _any(self.include, name):
            return "not among the included"
        return "excluded" if _any(self.exclude, name) else None

    def renamed(self, name: str) -> str:
        """A stored name as the rules want it read."""
        if self.drop_prefix and name.startswith(self.drop_prefix):
            name = name[len(self.drop_prefix) :]
        name = self.add_prefix + name
        for pattern, replacement in self.rename:
            name = re.sub(pattern, replacement, name)
        return name

    def steps(self, name: str) -> list[dict[str, Any]]:
        """The steps that rules give to every array of this stored name."""
        return [step for glob, step in self.transform if fnmatch.fnmatchcase(name, glob)]


def _any(globs: Iterable[str], name: str) -> bool:
    return any(fnmatch.fnmatchcase(name, glob) for glob in globs)


def read_rules(path: Path) -> Rules:
    """The rules of a mapping file.

    Raises:
        HarnessError: mapping-invalid, with every finding.
    """
    try:
        value = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise HarnessError("mapping-invalid", f"{path} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise HarnessError("mapping-invalid", f"{path} is no TOML: {error}.") from error
    problems = list(_problems(value))
    if problems:
        raise HarnessError("mapping-invalid", f"{path} has {len(problems)} faults.", details=problems)
    return Rules(
        include=tuple(value.get("include", ())),
        exclude=tuple(value.get("exclude", ())),
        drop_prefix=value.get("drop_prefix", ""),
        add_prefix=value.get("add_prefix", ""),
        rename=tuple(_rename(row) for row in value.get("rename", ())),
        transform=tuple((row["match"], _step(row)) for row in value.get("transform", ())),
        map={
            row["target"]: (tuple(_listed(row["source"])), tuple(_step(step) for step in row.get("transforms", ())))
            for row in value.get("map", ())
        },
    )


def _listed(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def _rename(row: Mapping[str, str]) -> tuple[str, str]:
    """A glob becomes a regular expression whose stars are groups; ``to`` has as many stars."""
    if "regex" in row:
        return row["regex"], row["to"]
    pattern = "".join("(.*)" if part == "*" else re.escape(part) for part in re.split(r"(\*)", row["glob"]))
    count = iter(range(1, 100))
    to = "".join(f"\\g<{next(count)}>" if p == "*" else p.replace("\\", "\\\\") for p in re.split(r"(\*)", row["to"]))
    return f"^{pattern}$", to


def _step(row: Mapping[str, Any]) -> dict[str, Any]:
    step = {key: value for key, value in row.items() if key != "match"}
    if step["op"] == "gates":
        given, wanted = step.pop("from"), step.pop("to")
        step["order"] = [given.index(gate) for gate in wanted]
    if step["op"] == "scale":
        step["ranges"] = None
    return step


def channels_last(step: dict[str, Any], rank: int) -> dict[str, Any]:
    """The transposition that ``to_channels_last`` stands for; other steps as they are."""
    if step["op"] != "to_channels_last":
        return step
    return {"op": "transpose", "axes": _CHANNELS_LAST.get(rank, list(range(rank)))}


def _problems(value: Mapping[str, Any]) -> Iterable[str]:
    for key in sorted(set(value) - _KEYS):
        yield f"{key} is no key; expected {', '.join(sorted(_KEYS))}"
    for key in ("include", "exclude"):
        if not _is_texts(value.get(key, [])):
            yield f"{key} is no list of texts"
    for key in ("drop_prefix", "add_prefix"):
        if not isinstance(value.get(key, ""), str):
            yield f"{key} is no text"
    for key in ("rename", "transform", "map"):
        rows = value.get(key, [])
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            yield f"{key} is no list of tables: write [[{key}]]"
            continue
        for number, row in enumerate(rows, 1):
            yield from (f"{key} {number}: {problem}" for problem in _CHECKS[key](row))
    targets = [row.get("target") for row in value.get("map", []) if isinstance(row, dict)]
    yield from (f"map: {name} stands twice" for name in sorted({str(t) for t in targets if targets.count(t) > 1}))


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _rename_problems(row: Mapping[str, Any]) -> Iterable[str]:
    if set(row) not in ({"glob", "to"}, {"regex", "to"}) or not all(isinstance(item, str) for item in row.values()):
        yield "expected glob and to, or regex and to"
    elif "glob" in row and row["glob"].count("*") != row["to"].count("*"):
        yield "glob and to have different numbers of stars"
    elif "regex" in row:
        try:
            re.compile(row["regex"])
        except re.error as error:
            yield f"{row['regex']!r} is no regular expression: {error}"


def _transform_problems(row: Mapping[str, Any]) -> Iterable[str]:
    if not isinstance(row.get("match"), str):
        yield "match is missing"
    yield from _step_problems({key: value for key, value in row.items() if key != "match"})


def _step_problems(row: Any) -> Iterable[str]:
    if not isinstance(row, dict) or row.get("op") not in _OPS:
        op = row.get("op") if isinstance(row, dict) else row
        yield f"op {op!r} is none of {', '.join(_OPS)}"
    elif set(row) - {"op"} != _OPS[row["op"]] and not (row["op"] == "dequantize" and "scale" in row):
        yield f"{row['op']} takes {', '.join(sorted(_OPS[row['op']])) or 'nothing'}, found {', '.join(sorted(set(row) - {'op'}))}"
    elif row["op"] == "gates" and sorted(row["from"]) != sorted(row["to"]):
        yield f"gates: {row['from']!r} and {row['to']!r} do not name the same gates"


def _map_problems(row: Mapping[str, Any]) -> Iterable[str]:
    source = row.get("source")
    if not isinstance(row.get("target"), str) or not (isinstance(source, str) or _is_texts(source)):
        yield "expected target and source"
    elif (
        isinstance(source, list)
        and len(source) > 1
        and not any(isinstance(step, dict) and step.get("op") == "concat" for step in row.get("transforms", ()))
    ):
        yield f"{row['target']}: several sources need a step concat"
    if set(row) - {"target", "source", "transforms"}:
        yield f"unknown: {', '.join(sorted(set(row) - {'target', 'source', 'transforms'}))}"
    for step in row.get("transforms", ()):
        yield from _step_problems(step)


_CHECKS = {"rename": _rename_problems, "transform": _transform_problems, "map": _map_problems}
