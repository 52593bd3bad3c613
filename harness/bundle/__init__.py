"""Reading bundles on the host: data only, checked before it is used (format: ``docs/bundle.md``)."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from harness.bundle.form import FINDINGS, findings, holds_graph
from harness.errors import HarnessError
from harness.worker.tfworker.arrays import ArrayReader, DigestError
from harness.worker.tfworker.files import JSON_LIMIT, FormatError, read_json, sha256_file

#: Dated log of schema versions; a reader refuses what it does not know.
#: 1  2026-11-21  first version
#: 2  2026-11-21  whole graphs (model.kind "graph"); models of Keras are still written as 1
SCHEMA_VERSION = 2
#: ``carried-layers``: layers with the key ``carried``, whose computation is below ``graphs``; ``graph``: a whole graph;
#: ``double``: the member ``double.npz``, what the source gives in float64
FEATURES: frozenset[str] = frozenset({"carried-layers", "graph", "double"})
_MEMBERS = {
    "manifest.json",
    "weights.npz",
    "probes.npz",
    "double.npz",
    "optimizer.npz",
    "step.npz",
    "SHA256SUMS",
    "graphs",
    "graphs.npz",
    "assets",
}
_FOLDERS = {"graphs", "assets"}
#: folders in folders (none has any), and bytes of SHA256SUMS (ten thousand files)
DEPTH, SUMS_BYTES = 8, 1 << 20
_REQUIRED = {"schema_version", "min_reader", "required_features", "producer", "source", "model", "arrays", "probes"}


def is_bundle(path: Path) -> bool:
    """Whether a path is meant as the folder of a bundle, whole or not: any folder but that of a SavedModel."""
    return path.is_dir() and not any(path.glob("saved_model.pb*"))


def is_graph(folder: Path) -> bool:
    """Whether the bundle in a folder holds a whole graph; False for what is no bundle."""
    path = folder / "manifest.json"
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            return False
        manifest = read_json(str(path))
    except (OSError, FormatError):
        return False
    return isinstance(manifest, dict) and holds_graph(manifest)


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """An open bundle: its folder and its checked manifest. Arrays stay on disk until asked for."""

    folder: Path
    manifest: Mapping[str, Any]

    @classmethod
    def open(cls, folder: Path) -> Bundle:
        """The bundle in a folder.

        Raises:
            HarnessError: bundle-invalid (a member or key is missing, extra or of the wrong form; links),
                bundle-unsupported (a schema or feature that this reader does not know),
                bundle-corrupt (the manifest differs from its line in SHA256SUMS).
        """
        _check_members(folder)
        _check_sum(folder, "manifest.json")
        try:
            manifest = read_json(str(folder / "manifest.json"))
        except FormatError as error:
            raise HarnessError("bundle-invalid", f"{folder}: {error}.") from error
        _check_manifest(folder, manifest)
        return cls(folder=folder, manifest=manifest)

    @property
    def arrays(self) -> ArrayReader:
        """Reader of the arrays by name."""
        return ArrayReader(str(self.folder), list(self.manifest["arrays"]))

    def check_arrays(self) -> int:
        """Number of arrays, after every array's checksum was compared, one array in memory at a time.

        Raises:
            HarnessError: bundle-corrupt with all damaged arrays, bundle-invalid.
        """
        damaged = []
        try:
            reader = self.arrays
            for name in reader.entries:
                try:
                    reader.check(name)
                except DigestError as error:
                    damaged.append(str(error))
        except FormatError as error:
            raise HarnessError("bundle-invalid", f"{self.folder}: {error}.") from error
        if damaged:
            count = f"{len(damaged)} of {len(reader.entries)} arrays"
            raise HarnessError(
                "bundle-corrupt", f"{self.folder}: {count} differ from their checksums.", details=damaged
            )
        return len(reader.entries)


def _check_members(folder: Path) -> None:
    """Names and kinds of all members, before any is opened: opening a pipe waits, and a device may have no end."""
    if not os.path.lexists(folder / "manifest.json"):
        raise HarnessError("bundle-invalid", f"{folder} is no bundle: it has no manifest.json.")
    details = list(islice(_strange(folder), FINDINGS + 1))
    if details:
        details[FINDINGS:] = ["and more"] if len(details) > FINDINGS else []
        raise HarnessError(
            "bundle-invalid", f"{folder} holds members that no bundle has.", details=sorted(details, reverse=True)
        )


def _strange(folder: Path) -> Iterator[str]:
    """A line for each member that is not as it must be; folders in folders without recursion."""
    waiting = [(folder, 0)]
    while waiting:
        inside, depth = waiting.pop()
        try:
            with os.scandir(inside) as entries:
                for entry in entries:
                    path = os.path.relpath(entry.path, folder)
                    if wrong := _strange_entry(entry, depth):
                        yield f"{wrong}: {path}"
                    elif depth == DEPTH:
                        yield f"deeper than {DEPTH} folders: {Path(path).parts[0]}"
                    elif entry.is_dir(follow_symlinks=False):
                        waiting.append((Path(entry.path), depth + 1))
        except OSError as error:
            yield f"cannot be listed ({error.strerror}): {os.path.relpath(inside, folder)}"


def _strange_entry(entry: os.DirEntry[str], depth: int) -> str | None:
    if entry.is_symlink():
        return "symbolic link"
    if depth == 0 and entry.name not in _MEMBERS:
        return "unexpected"
    folder = entry.is_dir(follow_symlinks=False)
    if depth == 0 and folder != (entry.name in _FOLDERS):
        return "no regular file" if folder else "no folder"
    return None if folder or entry.is_file(follow_symlinks=False) else "no regular file"


def _check_sum(folder: Path, name: str) -> None:
    """The manifest guards the arrays; the manifest itself is guarded by SHA256SUMS, where that was kept."""
    sums = folder / "SHA256SUMS"
    if not sums.exists() or (folder / name).stat().st_size > JSON_LIMIT:
        return  # a manifest above the limit is refused by whoever reads it, and not hashed for hours before that
    if (size := sums.stat().st_size) > SUMS_BYTES:
        raise HarnessError("bundle-invalid", f"{sums} has {size} bytes; at most {SUMS_BYTES} are read.")
    found = sha256_file(str(folder / name))
    for line in sums.read_text("utf-8", "replace").splitlines():
        expected, _, listed = line.partition("  ")
        if listed == name and expected != found:
            raise HarnessError("bundle-corrupt", f"{folder / name}: sha256 expected {expected}, found {found}.")


def _check_manifest(folder: Path, manifest: Any) -> None:
    if not isinstance(manifest, dict) or not set(manifest) >= _REQUIRED:
        missing = sorted(_REQUIRED - set(manifest)) if isinstance(manifest, dict) else ["everything"]
        raise HarnessError("bundle-invalid", f"{folder}: the manifest lacks {', '.join(missing)}.")
    least = manifest["min_reader"]
    if type(least) is int and least > SCHEMA_VERSION:
        raise HarnessError(
            "bundle-unsupported", f"{folder} needs a reader of schema {least}; this one reads up to {SCHEMA_VERSION}."
        )
    if wrong := findings(manifest):
        raise HarnessError("bundle-invalid", f"{folder}: the manifest is not of the documented form.", details=wrong)
    unknown = sorted(set(manifest["required_features"]) - FEATURES)[:FINDINGS]
    if unknown:
        raise HarnessError("bundle-unsupported", f"{folder} needs features unknown here: {', '.join(unknown)}.")
