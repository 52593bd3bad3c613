"""What is run: models from a zoo folder, the corpus, or any folder of the user's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness import artifact
from harness.artifact import Kind
from harness.errors import HarnessError


@dataclass(frozen=True, kw_only=True)
class Case:
    """One model to migrate.

    Attributes:
        id: stable name in tables, baselines and file names.
        path: the artifact.
        layers: classes it uses, for the table by layer.
        golden: recorded inputs and outputs (npz with ``input:*`` and ``output:*``), or None.
    """

    id: str
    path: Path
    layers: tuple[str, ...] = ()
    golden: Path | None = None


def zoo_cases(folder: Path) -> Iterator[Case]:
    """The cases of a generated zoo that its own TensorFlow could build, in the order of its index."""
    index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
    for row in index["cases"]:
        if row.get("file"):
            golden = row.get("golden")
            yield Case(
                id=row["id"],
                path=folder / row["file"],
                layers=tuple(row.get("layers", ())),
                golden=folder / golden if golden else None,
            )


def folder_cases(folder: Path) -> Iterator[Case]:
    """Every whole-model HDF5 file below a folder, recognised by content."""
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or path.suffix in (".json", ".npz", ".md"):
            continue
        try:
            found = artifact.sniff(path)
        except HarnessError:
            continue
        if found.kind == Kind.KERAS_H5:
            golden = path.with_name("golden.npz")
            yield Case(
                id=str(path.relative_to(folder)),
                path=path,
                layers=tuple(found.layer_classes),
                golden=golden if golden.is_file() else None,
            )
