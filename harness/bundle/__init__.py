"""Reading bundles on the host: data only, checked before it is used (format: ``docs/bundle.md``)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import HarnessError
from harness.worker.tfworker.arrays import ArrayReader, DigestError
from harness.worker.tfworker.files import FormatError, read_json

#: Dated log of schema versions; a reader refuses what it does not know.
#: 1  2026-11-21  first version
SCHEMA_VERSION = 1
FEATURES: frozenset[str] = frozenset()
_MEMBERS = {"manifest.json", "weights.npz", "probes.npz", "optimizer.npz", "SHA256SUMS", "graphs", "assets"}
_REQUIRED = {"schema_version", "min_reader", "required_features", "producer", "source", "model", "arrays", "probes"}


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
                bundle-unsupported (a schema or feature that this reader does not know).
        """
        _check_members(folder)
        try:
            manifest = read_json(str(folder / "manifest.json"))
        except FormatError as error:
            raise HarnessError("bundle-invalid", f"{folder}: {error}") from error
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
        reader, damaged = self.arrays, []
        for name in reader.entries:
            try:
                reader.get(name)
            except DigestError as error:
                damaged.append(str(error))
            except FormatError as error:
                raise HarnessError("bundle-invalid", f"{self.folder}: {error}") from error
        if damaged:
            raise HarnessError("bundle-corrupt", f"{self.folder}: {len(damaged)} arrays are damaged", details=damaged)
        return len(reader.entries)


def _check_members(folder: Path) -> None:
    if not (folder / "manifest.json").is_file():
        raise HarnessError("bundle-invalid", f"{folder} is no bundle: it has no manifest.json.")
    found = {entry.name: entry for entry in os.scandir(folder)}
    extra = sorted(set(found) - _MEMBERS)
    links = sorted(name for name, entry in found.items() if entry.is_symlink())
    if extra or links:
        details = [f"unexpected: {name}" for name in extra] + [f"symbolic link: {name}" for name in links]
        raise HarnessError("bundle-invalid", f"{folder} holds members that no bundle has.", details=details)


def _check_manifest(folder: Path, manifest: Any) -> None:
    if not isinstance(manifest, dict) or not set(manifest) >= _REQUIRED:
        missing = sorted(_REQUIRED - set(manifest)) if isinstance(manifest, dict) else ["everything"]
        raise HarnessError("bundle-invalid", f"{folder}: the manifest lacks {', '.join(missing)}.")
    if not isinstance(manifest["min_reader"], int) or manifest["min_reader"] > SCHEMA_VERSION:
        raise HarnessError(
            "bundle-unsupported",
            f"{folder} needs a reader of schema {manifest['min_reader']}; this one reads up to {SCHEMA_VERSION}.",
        )
    unknown = sorted(set(map(str, manifest["required_features"])) - FEATURES)
    if unknown:
        raise HarnessError("bundle-unsupported", f"{folder} needs features unknown here: {', '.join(unknown)}.")
    if not isinstance(manifest["arrays"], list) or not all(_is_entry(entry) for entry in manifest["arrays"]):
        raise HarnessError("bundle-invalid", f"{folder}: the array index is not of the documented form.")


def _is_entry(entry: Any) -> bool:
    keys = {"name": str, "file": str, "member": str, "shape": list, "dtype": str, "stored_dtype": str, "sha256": str}
    return isinstance(entry, dict) and all(isinstance(entry.get(key), kind) for key, kind in keys.items())
