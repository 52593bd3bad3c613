"""Which way each layer made of code went, and what its own source gives against its record."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from harness.verify.tolerance import GRADIENT_DEPTH, graph_depth, relative_bound

#: how the ledger names what a layer became
_BECAME = {
    "native": ("Keras's own operations", "its operations were recorded; Keras's own give the same, which was proved"),
    "source": ("{}", "made from the source that was given with --target-objects"),
}


def settle(report: dict[str, Any], ways: Mapping[str, str], supplied: Iterable[Mapping[str, Any]]) -> None:
    """Enter the ways, and how layers made from source compare, into a report that has the sections ``code`` and ``ledger``."""
    proofs = {row["layer"]: row for row in supplied}
    for row in report["code"]:
        row["way"] = ways.get(row["layer"], row["way"])
        proof = proofs.get(row["layer"])
        if proof:
            row["differs"] = difference(proof)
            if proof["skipped"]:
                line = f"{row['layer']}: training and gradients of its source, because {proof['skipped']}"
                report["not_checked"].append(line)
            if proof["by"] == "order":
                line = f"{row['layer']}: its weights went by their order, because names differ"
                report["not_checked"].append(line)
            report["not_checked"] += [
                f"{row['layer']}: {role}, which the file does not hold, has no place in its source"
                for role in proof["dropped"]
            ]
    became = {f"{row['layer']}.class_name": (row["way"], row["class_name"]) for row in report["code"]}
    for change in report["ledger"]:
        way, name = became.get(change["where"], ("", ""))
        if way in _BECAME and change["after"] == "GraphLayer":
            change["after"], change["why"] = _BECAME[way][0].format(name), _BECAME[way][1]


def difference(proof: Mapping[str, Any]) -> str | None:
    """How a layer made from source differs from its record, worst first; None if it is the same up to rounding."""
    depth = graph_depth(proof.get("operations", {}))
    bad = []
    for row in proof["rows"]:
        bound = relative_bound(row["dtype"], GRADIENT_DEPTH * depth if row["gradient"] else depth)
        if row["max_rel"] is None or row["max_rel"] > bound:
            bad.append(row)
    if not bad:
        return None
    worst = max(bad, key=lambda row: float("inf") if row["max_rel"] is None else row["max_rel"])
    size = "in shape" if worst["max_rel"] is None else f"by {worst['max_rel']:.2g} of its largest value"
    return f"in {worst['phase']}, {worst['what']} differs {size}"
