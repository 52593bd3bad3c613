"""The rules of an environment file: which keys there are, what each holds, and what must agree."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement

FLAVOURS = ("tf.keras", "keras", "keras3", "tf_keras")
DIALECTS = (
    "tf1.12", "tf1.13", "tf1.14", "tf1.15", "tf2.3", "tf2.15", "keras-2.1", "keras-2.2", "keras-2.3", "keras-3",
)  # fmt: skip
ROLES = ("source", "target")
FORMATS = ("keras-h5", "keras-v3", "saved-model", "checkpoint", "frozen-graph")

Check = Callable[[str, Any], Iterator[str]]


def defects_of(table: Mapping[str, Any], stem: str) -> list[str]:
    """Everything that is wrong with the table of the file ``stem``.toml; empty when it may be used."""
    defects = list(_check_keys("", table, _TOP, optional=("omits", "installed_as")))
    if table.get("name") != stem:
        defects.append(f"name: is {table.get('name')!r}, but the file is called {stem}.toml")
    if not defects:
        defects += _disagreements(table)
    return defects


def _disagreements(table: Mapping[str, Any]) -> Iterator[str]:
    pinned = {_distribution(pin["requirement"]): pin["requirement"] for pin in table["pins"]}
    wanted = [f"{name}=={table['tensorflow']}" for name in ("tensorflow", "tensorflow-cpu")]
    if not set(wanted) & set(pinned.values()):
        yield f"pins: expected {' or '.join(wanted)}, because tensorflow = {table['tensorflow']!r}"
    for name in ("numpy", "h5py"):
        if name not in pinned:
            yield f"pins: {name} is not pinned; the worker imports it"
    for omit in table.get("omits", []):
        if omit["distribution"] in pinned:
            yield f"omits: {omit['distribution']} is pinned as well"
    yield from (
        f"reads.chosen_for: {pattern!r} is not in reads.readable"
        for pattern in table["reads"]["chosen_for"]
        if pattern not in table["reads"]["readable"]
    )


def _check_keys(
    where: str, table: Mapping[str, Any], checks: Mapping[str, Check], *, optional: tuple[str, ...] = ()
) -> Iterator[str]:
    prefix = f"{where}." if where else ""
    yield from (f"{prefix}{key}: unknown key" for key in table if key not in checks)
    for key, check in checks.items():
        if key in table:
            yield from check(prefix + key, table[key])
        elif key not in optional:
            yield f"{prefix}{key}: missing key"


def _text(pattern: str, example: str) -> Check:
    def check(where: str, value: Any) -> Iterator[str]:
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            yield f"{where}: expected text like {example!r}, found {value!r}"

    return check


def _one_of(*allowed: str) -> Check:
    def check(where: str, value: Any) -> Iterator[str]:
        if value not in allowed:
            yield f"{where}: expected one of {', '.join(allowed)}, found {value!r}"

    return check


def _list_of(item: Check, *, may_be_empty: bool = False) -> Check:
    def check(where: str, value: Any) -> Iterator[str]:
        if not isinstance(value, list) or not (value or may_be_empty):
            yield f"{where}: expected a {'' if may_be_empty else 'non-empty '}list, found {value!r}"
            return
        for number, element in enumerate(value):
            yield from item(f"{where}[{number}]", element)

    return check


def _table_of(checks: Mapping[str, Check]) -> Check:
    def check(where: str, value: Any) -> Iterator[str]:
        if isinstance(value, dict):
            yield from _check_keys(where, value, checks)
        else:
            yield f"{where}: expected a table, found {value!r}"

    return check


def _requirement(where: str, value: Any) -> Iterator[str]:
    if _distribution(value) is None:
        yield f"{where}: expected an exact requirement like 'numpy==1.18.5', found {value!r}"


def _distribution(requirement: Any) -> str | None:
    """The name in an exact requirement; None for anything else."""
    try:
        parsed = Requirement(requirement)
    except (InvalidRequirement, TypeError):
        return None
    exact = [clause.operator for clause in parsed.specifier] == ["=="]
    return parsed.name if exact else None


def _variables(where: str, value: Any) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{where}: expected a table of process variables, found {value!r}"
        return
    for name, text in value.items():
        if not re.fullmatch(r"[A-Z][A-Z0-9_]*", name) or not isinstance(text, str):
            yield f'{where}.{name}: expected NAME = "text", found {text!r}'
        elif name.startswith("PYTHON") or name in {"PATH", "HOME", "TMPDIR", "LANG"}:
            yield f"{where}.{name}: is set by the harness itself"


_ANY = _text(r"\S.*", "some text")
_PATTERN = _text(r"missing|[0-9]+(\.[0-9*]+)*(-tf)?", "2.2.*-tf")
#: keys that say what is installed: an environment that is ``installed_as`` another one has them from there
INSTALLED = ("python", "tensorflow", "pins", "omits", "variables", "container")


def completed(table: Mapping[str, Any], tables: Mapping[str, Mapping[str, Any]]) -> tuple[dict[str, Any], list[str]]:
    """A table with what it is ``installed_as`` filled in, and the defects of that; ``tables`` holds all, by file name."""
    shared = table.get("installed_as")
    if shared is None:
        return dict(table), []
    base = tables.get(shared) if isinstance(shared, str) else None
    if base is None or "installed_as" in base:
        return dict(table), [
            f"installed_as: expected the name of an environment with pins of its own, found {shared!r}"
        ]
    own = [key for key in INSTALLED if key in table]
    defects = [f"{key}: stands in {shared}.toml, because installed_as names it" for key in own]
    return {**{key: base[key] for key in INSTALLED if key in base}, **table}, defects


_TOP: dict[str, Check] = {
    "name": _text(r"[a-z_]+[0-9]+\.[0-9]+", "tf1.15"),
    "python": _text(r"3\.[0-9]+", "3.7"),
    "tensorflow": _text(r"[0-9]+\.[0-9]+\.[0-9]+", "1.15.5"),
    "installed_as": _text(r"[a-z_]+[0-9]+\.[0-9]+", "tf2.21"),
    "keras_flavour": _one_of(*FLAVOURS),
    "dialect": _one_of(*DIALECTS),
    "roles": _list_of(_one_of(*ROLES)),
    "pins": _list_of(_table_of({"requirement": _requirement, "reason": _ANY})),
    "omits": _list_of(_table_of({"distribution": _text(r"[A-Za-z0-9._-]+", "tensorflow"), "reason": _ANY})),
    "reads": _table_of(
        {
            "chosen_for": _list_of(_PATTERN, may_be_empty=True),
            "readable": _list_of(_PATTERN),
            "backends": _list_of(_text(r"[a-z]+", "tensorflow")),
        }
    ),
    "writes": _table_of({"formats": _list_of(_one_of(*FORMATS))}),
    "variables": _variables,
    "container": _table_of({"image": _text(r"[a-z0-9./_-]+:[A-Za-z0-9._-]+", "python:3.7-slim")}),
}
