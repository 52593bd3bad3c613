"""Which weights the probes would notice a change of: the ``proven`` section of the report.

Measured in the source environment, where the probes were recorded (``tfworker/sensitivity.py``; for graphs, the recorded
gradients). A tensor is proven if some element of it is reached; elements are counted beside.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from harness.bundle import Bundle
from harness.errors import HarnessError
from harness.verify.bends import knees
from harness.verify.tolerance import NOTICED_DEPTH, depth

#: unproven tensors that an error names
_NAMED = 20


def proven(bundle: Bundle, *, layers: bool, required: float | None = None) -> dict[str, Any]:
    """The section for a model of Keras; ``layers`` says whether its layers were compared as well."""
    told = bundle.manifest["probes"].get("sensitivity")
    if told is None:
        return _section([], required, skipped="the bundle was made without looking at it")
    key = "reached" if layers else "by_outputs"
    rows = [
        {
            "name": "/".join((*row["layer"], row["role"])),
            "elements": row["elements"],
            "proven": row[key],
            "reason": None if row[key] == row["elements"] else row["reason"] or "only outputs of layers depend on it",
        }
        for row in told["weights"]
    ]
    made = _section(rows, required, skipped=told["skipped"], layers=layers)
    made["gradients"], made["saturated"] = told.get("gradients"), list(told["saturated"])
    made["knees"] = knees(bundle) if layers else None
    if depth(bundle.manifest["model"]["graph"]) > NOTICED_DEPTH:
        made["gradients"] = "the model is deeper than what the measure of noticed changes was made for"
    return made


def proven_graph(bundle: Bundle, required: float | None = None) -> dict[str, Any]:
    """The section for a graph: a variable is proven by a recorded gradient that is not zero."""
    reached: dict[str, Any] = {}
    for probe_set in bundle.manifest["probes"]["sets"]:
        for name, array in ((probe_set.get("gradients") or {}).get("by") or {}).items():
            mask = False if array is None else np.asarray(bundle.arrays.get(array)) != 0
            reached[name] = reached.get(name, False) | mask
    if not reached:
        return _section([], required, skipped="the source has no gradients of this graph")
    rows = []
    for variable in bundle.manifest["model"]["variables"]:
        if variable["name"] in reached:
            size, found = int(np.prod(variable["shape"])), int(np.sum(reached[variable["name"]]))
            left = "the others have no gradient for any probe" if found else "no output of a probe depends on it"
            reason = None if found == size else left
            rows.append({"name": variable["name"], "elements": size, "proven": found, "reason": reason})
    return _section(rows, required, skipped=None)


def check_required(section: Mapping[str, Any]) -> None:
    """Raises HarnessError proof-insufficient where ``--require-proven`` asks for more than was proven."""
    required = section["required"]
    if required is None or (section["skipped"] is None and section["share"] >= required):
        return
    tensors = section["tensors"]
    lacking = [row for row in section["unproven"] if not row["proven"]]
    found = (
        f"nothing is known ({section['skipped']})"
        if section["skipped"]
        else f"{tensors['proven']} of {tensors['total']} weights ({section['share']:.1%}) are"
    )
    more = [f"and {len(lacking) - _NAMED} more, in report.json"] if len(lacking) > _NAMED else []
    raise HarnessError(
        "proof-insufficient",
        f"Everything that was compared agrees, but {required:.1%} of the weights are to be proven, and {found}.",
        details=[f"{row['name']}: {row['reason']}" for row in lacking[:_NAMED]] + more,
    )


def _section(
    rows: list[dict[str, Any]], required: float | None, *, skipped: str | None, layers: bool = False
) -> dict[str, Any]:
    tensors = sum(1 for row in rows if row["proven"])
    return {
        "tensors": {"total": len(rows), "proven": tensors},
        "elements": {"total": sum(r["elements"] for r in rows), "proven": sum(r["proven"] for r in rows)},
        "share": tensors / len(rows) if rows else 1.0,
        "by": "outputs and layers" if layers else "outputs",
        "skipped": skipped,
        "gradients": None,
        "knees": None,
        "saturated": [],
        "unproven": sorted((r for r in rows if r["reason"]), key=lambda r: bool(r["proven"])),
        "required": required,
    }
