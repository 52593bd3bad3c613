"""What is run: models from a zoo folder, the corpus, or any folder of the user's."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from harness import artifact
from harness.artifact import Artifact, Kind, Sources
from harness.artifact.requirement import WHOLE_MODELS
from harness.errors import HarnessError
from harness.plan import READERS

ZOO = "zoo"


@dataclass(frozen=True, kw_only=True)
class Case:
    """One model to migrate.

    Attributes:
        id: stable name in tables, baselines and file names.
        path: the whole model, or the architecture.
        weights: the weights file of an architecture, else None.
        suite: where it is from: ``zoo``, or the name of a folder.
        layers: classes it uses, for the table by layer.
        golden: inputs and outputs recorded by others (npz with ``input:*`` and ``output:*``), or None.
        keras_version: the file's attribute; None for a zoo, whose environment wrote it.
        backend: likewise.
    """

    id: str
    path: Path
    suite: str = ZOO
    layers: tuple[str, ...] = ()
    golden: Path | None = None
    keras_version: str | None = None
    backend: str | None = None
    weights: Path | None = None
    kind: Kind = Kind.KERAS_H5


def zoo_cases(folder: Path) -> Iterator[Case]:
    """The cases of a generated zoo that its own TensorFlow could build, in the order of its index."""
    path = folder / "index.json"
    if not path.is_file():
        return  # no case was asked for
    index = json.loads(path.read_text(encoding="utf-8"))
    for row in index["cases"]:
        if row.get("file"):
            golden = row.get("golden")
            yield Case(
                id=row["id"],
                path=folder / row["file"],
                layers=tuple(row.get("layers", ())),
                golden=folder / golden if golden else None,
                kind=Kind.KERAS3_ARCHIVE if row["file"].endswith(".keras") else Kind.KERAS_H5,
            )


def folder_cases(folder: Path, suite: str | None = None) -> Iterator[Case]:
    """Every whole-model HDF5 file below a folder, and every architecture whose weights lie beside it.

    Recognised by content; ids begin with the folder's name.
    """
    suite = suite or folder.resolve().name
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or path.suffix in (".npz", ".md"):
            continue
        found = _sources(path)
        if found is not None:
            golden = path.with_name("golden.npz")
            yield Case(
                id=f"{suite}:{path.relative_to(folder).as_posix()}",
                path=path,
                suite=suite,
                layers=tuple(sorted(found.model.layer_classes)),
                golden=golden if golden.is_file() else None,
                keras_version=found.keras_version,
                backend=found.backend,
                weights=found.weights.path if found.weights else None,
                kind=found.model.kind,
            )


def _sources(path: Path) -> Sources | None:
    """The model that a file is, alone or with the weights beside it; None for any other file."""
    found = _sniffed(path)
    if found is None or found.kind not in READERS:
        return None
    if found.kind in WHOLE_MODELS:
        return Sources(model=found)
    try:
        return artifact.find_sources(path)
    except HarnessError:
        return None


def _sniffed(path: Path) -> Artifact | None:
    try:
        return artifact.sniff(path)
    except HarnessError:
        return None


def select(cases: Iterable[Case], only: Iterable[str] = (), limit: int | None = None) -> list[Case]:
    """The cases whose id matches one of the globs (all, where there are none), at most ``limit``, spread evenly."""
    globs = tuple(only)
    chosen = [case for case in cases if not globs or any(fnmatchcase(case.id, glob) for glob in globs)]
    if limit is None or len(chosen) <= limit:
        return chosen
    return [chosen[index * len(chosen) // limit] for index in range(limit)]


def input_names(path: Path, count: int) -> list[str] | None:
    """The names of a model's inputs in their order, told from its config; None where they cannot be told.

    A Sequential without an input layer calls its input after its first layer.
    """
    found = _sniffed(path)
    if found is None or len(found.inputs) != count or not all(item.name for item in found.inputs):
        return None
    names = [item.name for item in found.inputs]
    if found.class_name == "Sequential" and not _starts_with_input(found):
        names = [f"{name}_input" for name in names]
    return names


def _starts_with_input(found: Artifact) -> bool:
    config = (found.model_config or {}).get("config")
    layers = config.get("layers") if isinstance(config, dict) else config
    while isinstance(layers, list) and layers and isinstance(layers[0], dict):
        first = layers[0]
        if first.get("class_name") == "InputLayer":
            return True
        inner = first.get("config")
        if first.get("class_name") not in ("Sequential", "Model", "Functional"):
            return False
        layers = inner.get("layers") if isinstance(inner, dict) else inner
    return False
