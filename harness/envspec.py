"""Environments: one TOML file in ``envs/`` describes one TensorFlow version.

Adding a version is adding a file (``docs/adding-a-tensorflow-version.md``). Every key is checked, and all
defects of all files are listed at once, because a key that is accepted and ignored is a trap.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from harness.envschema import completed, defects_of
from harness.errors import HarnessError

#: How a file without the attribute ``keras_version`` (or ``backend``) is written in the tables.
MISSING = "missing"
PAIRS_FILE = "pairs.toml"
#: Distributions that were published as source only. They are built by the locked tools of ``locks/build.txt``; of every
#: other one a wheel is installed, and none of its code runs meanwhile.
WITHOUT_WHEEL = frozenset({"gast==0.2.2", "termcolor==1.1.0"})


@dataclass(frozen=True, kw_only=True)
class Pin:
    """A requirement that the environment fixes, and why."""

    requirement: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Reads:
    """Which ``.h5`` files an environment reads, by their attributes ``keras_version`` and ``backend``."""

    chosen_for: tuple[str, ...]
    readable: tuple[str, ...]
    backends: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One row of the tested matrix, which is the support claim.

    Attributes:
        zoo: how many models of the zoo the matrix runs, spread evenly; None for all.
    """

    source: str
    target: str
    note: str
    zoo: int | None = None


@dataclass(frozen=True, kw_only=True)
class EnvSpec:
    """One environment: a Python, a TensorFlow, its pins, and what it reads and writes.

    Attributes:
        installed_as: the environment whose packages it uses; its own name for all but those that share one.
    """

    name: str
    installed_as: str
    python: str
    tensorflow: str
    keras_flavour: str
    dialect: str
    roles: tuple[str, ...]
    pins: tuple[Pin, ...]
    omits: tuple[str, ...]
    reads: Reads
    writes: tuple[str, ...]
    variables: Mapping[str, str]
    image: str
    path: Path
    lock_path: Path

    @classmethod
    def from_table(cls, table: Mapping[str, Any], path: Path) -> EnvSpec:
        """The environment that a checked TOML table describes."""
        reads = table["reads"]
        return cls(
            name=table["name"],
            installed_as=table.get("installed_as", table["name"]),
            python=table["python"],
            tensorflow=table["tensorflow"],
            keras_flavour=table["keras_flavour"],
            dialect=table["dialect"],
            roles=tuple(table["roles"]),
            pins=tuple(Pin(**pin) for pin in table["pins"]),
            omits=tuple(omit["distribution"] for omit in table.get("omits", [])),
            reads=Reads(**{key: tuple(reads[key]) for key in ("chosen_for", "readable", "backends")}),
            writes=tuple(table["writes"]["formats"]),
            variables=dict(table["variables"]),
            image=table["container"]["image"],
            path=path,
            lock_path=path.parent / "locks" / f"{table.get('installed_as', table['name'])}.txt",
        )

    @property
    def key(self) -> str:
        """Sixteen hex digits that change when, and only when, what is installed changes.

        Covers the Python version, the pins, the lock file and, where something is built, that of the tools; not comments,
        reasons or process variables.

        Raises:
            HarnessError: ``environment-invalid`` when the lock file is absent.
        """
        installed = [self.python, sorted(pin.requirement for pin in self.pins), sorted(self.omits)]
        digest = hashlib.sha256(json.dumps(installed).encode())
        digest.update(self.lock_text().encode())
        if self.built:
            digest.update(self.tools_path.read_bytes())
        return digest.hexdigest()[:16]

    @property
    def built(self) -> tuple[str, ...]:
        """The names of the locked distributions that are built from source."""
        locked = {line.split()[0] for line in self.lock_text().splitlines() if line[:1].isalnum()}
        return tuple(sorted(one.partition("==")[0] for one in locked & WITHOUT_WHEEL))

    @property
    def sources(self) -> tuple[str, ...]:
        """Which kinds of files may be installed, as options that pip and uv understand alike."""
        return ("--only-binary", ":all:", *(word for name in self.built for word in ("--no-binary", name)))

    @property
    def tools_path(self) -> Path:
        """The lock of what builds :attr:`built`."""
        return envs_folder() / "locks" / "build.txt"

    def lock_text(self) -> str:
        """The text of the lock file.

        Raises:
            HarnessError: ``environment-invalid`` when the lock file is absent.
        """
        try:
            return self.lock_path.read_text(encoding="utf-8")
        except OSError as error:
            raise HarnessError(
                "environment-invalid",
                f"The environment {self.name} has no readable lock file: {self.lock_path} ({error.strerror}).",
                remedy=f"Generate it with `nox -s lock -- {self.name}` and commit it.",
            ) from error


def envs_folder() -> Path:
    """The folder of the environment files: beside the package in a checkout, inside it in a wheel."""
    package = Path(__file__).resolve().parent
    inside = package / "_envs"
    return inside if inside.is_dir() else package.parent / "envs"


def load_specs(folder: Path | None = None) -> dict[str, EnvSpec]:
    """All environments by name, in the order of their versions.

    Raises:
        HarnessError: ``environment-invalid``, with every defect of every file.
    """
    folder = folder or envs_folder()
    paths = [path for path in sorted(folder.glob("*.toml"), key=_natural) if path.name != PAIRS_FILE]
    specs, defects = {}, []
    read = {path: _read_table(path) for path in paths}
    tables = {path.stem: table for path, (table, _) in read.items()}
    for path, (found_table, unreadable) in read.items():
        table, shared = completed(found_table, tables)
        found = unreadable or shared or defects_of(table, path.stem)
        defects += [f"{path.name}: {defect}" for defect in found]
        if not found:
            specs[path.stem] = EnvSpec.from_table(table, path)
    if not paths:
        defects.append("the folder holds no environment file (*.toml)")
    if defects:
        raise HarnessError("environment-invalid", f"The environments in {folder} are not usable.", details=defects)
    return specs


def load_pairs(folder: Path | None = None) -> tuple[Pair, ...]:
    """The tested (source, target) pairs, in the order of ``pairs.toml``.

    Raises:
        HarnessError: ``environment-invalid`` when the file is absent or a row has other keys.
    """
    path = (folder or envs_folder()) / PAIRS_FILE
    table, defects = _read_table(path)
    try:
        pairs = tuple(Pair(**row) for row in table.get("pairs", []))
    except TypeError as error:
        defects.append(f"a row of [[pairs]] needs source, target and note, and may have zoo: {error}")
    if defects:
        raise HarnessError("environment-invalid", f"{path} is not usable.", details=defects)
    return pairs


def get_spec(specs: Mapping[str, EnvSpec], name: str) -> EnvSpec:
    """The environment called ``name``.

    Raises:
        HarnessError: ``environment-unknown``, naming those that exist.
    """
    if name not in specs:
        raise HarnessError("environment-unknown", f"There is no environment {name!r}; there are {', '.join(specs)}.")
    return specs[name]


def reads_keras_version(spec: EnvSpec, keras_version: str | None) -> bool:
    """Whether ``spec`` can read an ``.h5`` file with this ``keras_version`` (None: the attribute is absent)."""
    return _best_match(spec.reads.readable, keras_version) is not None


def runs(spec: EnvSpec, pythons: Iterable[tuple[tuple[int, int], tuple[int, int]]]) -> bool:
    """Whether the Python of ``spec`` lies in every range (oldest, newest) of ``pythons``."""
    major, minor = (int(part) for part in spec.python.split(".")[:2])
    return all(oldest <= (major, minor) <= newest for oldest, newest in pythons)


def for_bytecode(
    specs: Mapping[str, EnvSpec], chosen: EnvSpec, keras_version: str | None,
    pythons: Collection[tuple[tuple[int, int], tuple[int, int]]],
) -> EnvSpec:  # fmt: skip
    """``chosen``, or the nearest reader of the same files whose Python runs the bytecode in them, if there is one."""
    if runs(chosen, pythons):
        return chosen
    able = [
        spec
        for spec in specs.values()
        if "source" in spec.roles and spec.keras_flavour == chosen.keras_flavour
        and reads_keras_version(spec, keras_version) and runs(spec, pythons)
    ]  # fmt: skip
    return able[0] if able else chosen


def choose_source(specs: Mapping[str, EnvSpec], keras_version: str | None, backend: str | None) -> EnvSpec:
    """The environment that reads an ``.h5`` file best, by its attributes ``keras_version`` and ``backend``.

    Args:
        specs: the environments to choose from.
        keras_version: the attribute as written, such as ``2.2.4-tf``; None where it is absent.
        backend: the attribute as written, such as ``tensorflow``; None where it is absent.

    Raises:
        HarnessError: ``source-unsupported-format`` when no environment is chosen for this version, or the
            chosen one does not convert the weights of this backend.
    """
    candidates = [(match, spec) for spec in specs.values() if (match := _match_chosen(spec, keras_version))]
    if not candidates:
        raise _no_reader(specs, keras_version)
    spec = max(candidates, key=lambda pair: len(pair[0]))[1]
    if (backend or MISSING) not in spec.reads.backends:
        raise HarnessError(
            "source-unsupported-format",
            f"The file was written by Keras {keras_version} with the backend {backend!r}; {spec.name}, which reads"
            f" this version, understands {', '.join(b for b in spec.reads.backends if b != MISSING)}.",
            remedy="Load the model in that Keras with the TensorFlow backend and save it again.",
        )
    return spec


def _match_chosen(spec: EnvSpec, keras_version: str | None) -> str | None:
    return _best_match(spec.reads.chosen_for, keras_version) if "source" in spec.roles else None


def _no_reader(specs: Mapping[str, EnvSpec], keras_version: str | None) -> HarnessError:
    able = [spec.name for spec in specs.values() if reads_keras_version(spec, keras_version)]
    hint = f"Name one that can read it: {', '.join(f'`--from {name}`' for name in able)}." if able else None
    return HarnessError(
        "source-unsupported-format",
        f"No environment is the reader for files with keras_version = {keras_version!r}.",
        details=[f"{spec.name} reads {', '.join(spec.reads.readable)}" for spec in specs.values()],
        remedy=hint,
    )


def _best_match(patterns: tuple[str, ...], keras_version: str | None) -> str | None:
    """The longest pattern that matches. ``2.2.*`` does not match ``2.2.4-tf``: the suffix names another Keras."""
    version = keras_version or MISSING
    stem = version.removesuffix("-tf")
    fits = [
        pattern
        for pattern in patterns
        if pattern.endswith("-tf") == version.endswith("-tf") and fnmatchcase(stem, pattern.removesuffix("-tf"))
    ]
    return max(fits, key=len, default=None)


def _read_table(path: Path) -> tuple[dict[str, Any], list[str]]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8")), []
    except (OSError, ValueError) as error:  # TOMLDecodeError and UnicodeDecodeError are ValueErrors
        return {}, [f"cannot be read as TOML: {error}"]


def _natural(path: Path) -> list[tuple[int, str]]:
    """Sorts tf2.3 before tf2.15, and standalone Keras after TensorFlow."""
    family = path.stem.rstrip("0123456789.")
    numbers = [int(part) for part in path.stem[len(family) :].split(".") if part]
    return [(0 if family == "tf" else 1, family), *((number, "") for number in numbers)]
