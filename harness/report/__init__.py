"""The report of a run: JSON of a documented, versioned schema (``docs/report.md``), and its terminal form."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from importlib import resources
from pathlib import Path
from typing import Any

import harness
from harness.bundle import Bundle
from harness.dialects.rules import Change
from harness.errors import Exit, HarnessError
from harness.verify import Evidence, LayerResult
from harness.verify.compare import Comparison
from harness.worker.tfworker.topology import leaves

REPORT_SCHEMA = 1
#: status by exit code of an error
_STATUS = {Exit.REFUSED: "refused"}
_VERSIONS = ("tensorflow", "keras", "python", "numpy", "platform")


def schema() -> dict[str, Any]:
    """The JSON schema of a report."""
    text = resources.files(__package__).joinpath("report.schema.json").read_text(encoding="utf-8")
    return dict(json.loads(text))


def new(command: Iterable[str] = ()) -> dict[str, Any]:
    """A report with nothing done yet."""
    return {
        "report_schema": REPORT_SCHEMA,
        "harness": harness.__version__,
        "status": "failed",
        "command": list(command),
        "source": None,
        "from": None,
        "to": None,
        "environments": [],
        "outputs": [],
        "layers": None,
        "weights": None,
        "noise_floor": None,
        "proven": None,
        "training": None,
        "code": [],
        "lift": None,
        "ledger": [],
        "probes": [],
        "artifacts": [],
        "timings_s": {},
        "not_checked": [],
        "error": None,
    }


def environment(name: str, versions: Mapping[str, Any]) -> dict[str, Any]:
    """The ``from`` or ``to`` object."""
    return {"environment": name, **{key: versions.get(key) for key in _VERSIONS}}


def outputs(evidence: Iterable[Evidence]) -> list[dict[str, Any]]:
    """The worst comparison of every output in every saved form, over all probe sets."""
    return [row for item in evidence for row in worst_of(item.outputs, item.format)]


def worst_of(comparisons: Iterable[Comparison], form: str) -> list[dict[str, Any]]:
    """A row for each name: the worst of its comparisons over all probe sets (``set/name``)."""
    rows: list[dict[str, Any]] = []
    by_name: dict[str, list[Comparison]] = {}
    for comparison in comparisons:
        by_name.setdefault(comparison.name.split("/", 1)[1], []).append(comparison)
    for name, group in by_name.items():
        worst = max(group, key=lambda c: (not c.ok, _share(c)))
        row = worst.as_json()
        row.update(name=name, format=form, probe=worst.name.split("/", 1)[0], probes=len(group))
        rows.append(row)
    return rows


def _share(comparison: Comparison) -> float:
    return comparison.max_rel / comparison.tolerance if comparison.tolerance else comparison.max_rel


def layers(evidence: Iterable[Evidence]) -> dict[str, Any] | None:
    """How the layers compare, and the first that differs."""
    for item in evidence:
        if item.layers:
            first = item.first_divergent
            return {
                "compared": len(item.layers),
                "equal_within_bound": sum(r.comparison.ok for r in item.layers),
                "sampled": [r.layer for r in item.layers if r.sampled > 1],
                "missing": list(item.layers_missing),
                "first_divergent": None if first is None else _layer(first),
                "all": [_layer(r, short=True) for r in item.layers],
            }
    return None


def add_configs(layers: dict[str, Any] | None, bundle: Bundle, found: Mapping[str, Any]) -> None:
    """Put the configs of the first layer that differs side by side: the source's and, by path in ``found``, the target's."""
    first = layers["first_divergent"] if layers else None
    if first is not None:
        of = {"/".join(path): layer.get("config") for path, layer in leaves(bundle.manifest["model"]["graph"])}
        old, new = of.get(first["layer"]), found.get(first["layer"])
        first["configs"] = {"old": old, "new": new} if isinstance(old, dict) and isinstance(new, dict) else None


def _layer(result: LayerResult, *, short: bool = False) -> dict[str, Any]:
    row = {"layer": result.layer, "class_name": result.class_name, "call": result.call}
    comparison = result.comparison.as_json()
    if short:
        comparison = {key: comparison[key] for key in ("max_abs", "max_rel", "tolerance", "ok", "float64")}
    return {**row, **comparison}


def code(manifest: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The layers made of code, and which way each went."""
    ran = set(manifest["source"].get("bytecode_run", ()))
    return [
        {
            "layer": "/".join(path),
            "class_name": layer["class_name"],
            "way": "carried",
            "bytecode_run": path[-1] in ran,
        }
        for path, layer in leaves(manifest["model"]["graph"])
        if "carried" in layer
    ]


def ledger(changes: Iterable[Change]) -> list[dict[str, Any]]:
    """The changes made to the model's configuration."""
    rows = []
    for change in changes:
        row = asdict(change)
        row["where"] = f"{row.pop('layer')}.{row.pop('what')}"
        rows.append(row)
    return rows


def file_artifact(path: Path, root: Path, form: str) -> dict[str, Any]:
    """An entry of ``artifacts``; the sha256 of a folder is that of its sorted ``sha256sum`` listing."""
    if path.is_dir():
        lines = [f"{_sha256(f)}  {f.relative_to(path)}\n" for f in sorted(path.rglob("*")) if f.is_file()]
        digest = hashlib.sha256("".join(lines).encode()).hexdigest()
    else:
        digest = _sha256(path)
    return {"path": str(path.relative_to(root)), "format": form, "sha256": digest}


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def set_error(report: dict[str, Any], error: HarnessError) -> None:
    """Enter how a run ended that got to no verdict."""
    report["status"] = _STATUS.get(error.kind.exit_status, "failed")
    report["error"] = {
        "code": error.code,
        "message": error.message,
        "details": list(error.details),
        "remedy": error.remedy,
        "exit_status": int(error.kind.exit_status),
    }


def exit_status(report: Mapping[str, Any]) -> int:
    """The exit status that belongs to a report."""
    if report["status"] == "verified":
        return int(Exit.VERIFIED)
    if report["status"] == "diverged":
        return int(Exit.DIVERGED)
    return int(report["error"]["exit_status"])
