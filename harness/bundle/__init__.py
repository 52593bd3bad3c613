"""Reading bundles on the host: data only, checked before it is used (format: ``docs/bundle.md``)."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from harness.errors import HarnessError
from harness.worker.tfworker.arrays import ArrayReader, DigestError
from harness.worker.tfworker.files import FormatError, read_json, sha256_file

#: Dated log of schema versions; a reader refuses what it does not know.
#: 1  2026-11-21  first version
#: 2  2026-11-21  whole graphs (model.kind "graph"); models of Keras are still written as 1
SCHEMA_VERSION = 2
#: ``carried-layers``: layers with the key ``carried``, whose computation is below ``graphs``; ``graph``: a whole graph;
#: ``double``: the member ``double.npz``, what the source gives in float64
FEATURES: frozenset[str] = frozenset({"carried-layers", "graph", "double"})
#: what is wrong with a manifest, at most so many lines of it: a hostile one has millions
FINDINGS = 200
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
_REQUIRED = {"schema_version", "min_reader", "required_features", "producer", "source", "model", "arrays", "probes"}
_ARRAY = {"name": str, "file": str, "member": str, "shape": [int], "dtype": str, "stored_dtype": str, "sha256": str}
_SPEC = {"name": str, "shape": list, "dtype": str}
#: what every reader relies on: a type, a list of one form, or an object with at least these keys
_FORM: dict[str, Any] = {
    "required_features": [str],
    "producer": {"environment": str},
    "source": {"kind": str, "file": str, "sha256": str},
    "model": {
        "dialect": str,
        "graph": {"layers": [{"class_name": str, "calls": list}], "inputs": list, "outputs": list},
        "inputs": [_SPEC],
        "outputs": [_SPEC],
        "training": {"optimizer_weights": bool},
    },
    "arrays": [_ARRAY],
    "probes": {
        "seed": int,
        "sets": [{"name": str, "holds": str, "inputs": [str], "outputs": [str]}],
        "dropped": [str],
        "layers": {"set": str, "records": list, "nested_inputs": list},
    },
}
#: the same for a bundle whose model is a whole graph
_GRAPH_FORM: dict[str, Any] = {
    **_FORM,
    "model": {
        "kind": str,
        "graph": str,
        "signatures": dict,
        "operations": dict,
        "ledger": [dict],
        "fixed": dict,
        "variables": [
            {"name": str, "shape": [int], "dtype": str, "trainable": bool, "array": str, "was_constant": bool}
        ],
        "tables": [{"name": str, "key_dtype": str, "value_dtype": str, "keys": str, "values": str}],
        "assets": [{"file": str, "sha256": str, "tensor": str}],
    },
    "probes": {
        "seed": int,
        "sets": [{"name": str, "signature": str, "holds": str, "inputs": dict, "outputs": dict}],
        "dropped": [str],
    },
}
_TENSORS = {"tensor": str, "dtype": str}


def is_bundle(path: Path) -> bool:
    """Whether a path is meant as the folder of a bundle, whole or not: any folder but that of a SavedModel."""
    return path.is_dir() and not any(path.glob("saved_model.pb*"))


def is_graph(folder: Path) -> bool:
    """Whether the bundle in a folder holds a whole graph; False for what is no bundle."""
    try:
        manifest = read_json(str(folder / "manifest.json"))
    except (OSError, FormatError):
        return False
    return isinstance(manifest, dict) and _holds_graph(manifest)


def _holds_graph(manifest: Mapping[str, Any]) -> bool:
    model = manifest.get("model")
    return isinstance(model, dict) and model.get("kind") == "graph"


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
                    reader.get(name)
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
    if not (folder / "manifest.json").is_file():
        raise HarnessError("bundle-invalid", f"{folder} is no bundle: it has no manifest.json.")
    found = {entry.name: entry for entry in os.scandir(folder)}
    extra = sorted(set(found) - _MEMBERS)
    links = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_symlink())
    if extra or links:
        details = [f"unexpected: {name}" for name in extra] + [f"symbolic link: {name}" for name in links]
        raise HarnessError("bundle-invalid", f"{folder} holds members that no bundle has.", details=details)


def _check_sum(folder: Path, name: str) -> None:
    """The manifest guards the arrays; the manifest itself is guarded by SHA256SUMS, where that was kept."""
    sums = folder / "SHA256SUMS"
    if not sums.is_file():
        return
    found = sha256_file(str(folder / name))
    for line in sums.read_text("utf-8", "replace").splitlines():
        expected, _, listed = line.partition("  ")
        if listed == name and expected != found:
            raise HarnessError("bundle-corrupt", f"{folder / name}: sha256 expected {expected}, found {found}.")


def _check_manifest(folder: Path, manifest: Any) -> None:
    if not isinstance(manifest, dict) or not set(manifest) >= _REQUIRED:
        missing = sorted(_REQUIRED - set(manifest)) if isinstance(manifest, dict) else ["everything"]
        raise HarnessError("bundle-invalid", f"{folder}: the manifest lacks {', '.join(missing)}.")
    if not isinstance(manifest["min_reader"], int) or manifest["min_reader"] > SCHEMA_VERSION:
        raise HarnessError(
            "bundle-unsupported",
            f"{folder} needs a reader of schema {manifest['min_reader']}; this one reads up to {SCHEMA_VERSION}.",
        )
    findings = _wrong_graph(manifest) if _holds_graph(manifest) else _wrong(manifest, _FORM, "manifest")
    wrong = list(islice(findings, FINDINGS + 1))
    if wrong:
        wrong[FINDINGS:] = ["and more"] if len(wrong) > FINDINGS else []
        raise HarnessError("bundle-invalid", f"{folder}: the manifest is not of the documented form.", details=wrong)
    unknown = sorted(set(manifest["required_features"]) - FEATURES)
    if unknown:
        raise HarnessError("bundle-unsupported", f"{folder} needs features unknown here: {', '.join(unknown)}.")


def _wrong_graph(manifest: Mapping[str, Any]) -> Iterator[str]:
    """What ``_wrong`` finds in a graph's manifest, its signatures and the files that it names included."""
    first = list(islice(_wrong(manifest, _GRAPH_FORM, "manifest"), FINDINGS + 1))
    yield from first
    if first:
        return
    model = manifest["model"]
    for key, signature in model["signatures"].items():
        for side in ("inputs", "outputs"):
            tensors = signature.get(side) if isinstance(signature, dict) else None
            if not isinstance(tensors, dict):
                yield f"manifest.model.signatures.{key} lacks {side}"
                continue
            for name, spec in tensors.items():
                yield from _wrong(spec, _TENSORS, f"manifest.model.signatures.{key}.{side}.{name}")
    yield from (
        f"manifest.probes.sets: {row['name']} is for {row['signature']}, which is no signature"
        for row in manifest["probes"]["sets"]
        if row["signature"] not in model["signatures"]
    )
    if model["graph"] != "graphs/graph.json":
        yield "manifest.model.graph names another file than graphs/graph.json"
    yield from (
        f"manifest.model.assets: {row['file']!r} is no file name" for row in model["assets"]
        if row["file"] != Path(row["file"]).name or row["file"] in ("", ".", "..")
    )  # fmt: skip


def _wrong(value: Any, form: Any, where: str) -> Iterator[str]:
    """One line for each place at which ``value`` is not of ``form``."""
    kind = form if isinstance(form, type) else type(form)
    fits = type(value) is kind
    if not fits:
        yield f"{where} is no {_NAMES[kind]}"
    elif isinstance(form, list):
        for index, item in enumerate(value):
            yield from _wrong(item, form[0], f"{where}[{index}]")
    elif isinstance(form, dict):
        for key, inner in form.items():
            if key in value:
                yield from _wrong(value[key], inner, f"{where}.{key}")
            else:
                yield f"{where} lacks {key}"


_NAMES = {dict: "object", list: "list", str: "text", int: "whole number", bool: "boolean"}
