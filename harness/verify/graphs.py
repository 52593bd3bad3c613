"""Evidence on a graph: outputs of every signature, gradients of every trainable variable, and the variables themselves."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.bundle import Bundle
from harness.verify.compare import Comparison, compare
from harness.verify.scale import usual_scale
from harness.verify.tolerance import GRADIENT_DEPTH, graph_depth, relative_bound
from harness.worker.tfworker.arrays import ArrayReader


@dataclass(frozen=True, kw_only=True)
class GraphEvidence:
    """All comparisons of one replay.

    Attributes:
        outputs: one for each probe set and output, named ``set/signature:output``.
        gradients: one for each probe set with gradients and variable, named ``set/signature:variable``.
        findings: what else differs, a sentence each.
    """

    outputs: tuple[Comparison, ...]
    gradients: tuple[Comparison, ...]
    findings: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether everything holds."""
        return not self.findings and all(c.ok for c in (*self.outputs, *self.gradients))


def judge_graph(
    bundle: Bundle, replayed: ArrayReader, findings: list[str], *, signature: str | None = None,
    variables: Collection[str] | None = None,
) -> GraphEvidence:  # fmt: skip
    """The evidence of one replay; ``replayed`` has arrays under the bundle's own names.

    ``signature`` and ``variables`` say which of them the model has, where it has not all.
    """
    depth = graph_depth(bundle.manifest["model"]["operations"])
    return GraphEvidence(
        outputs=tuple(_outputs(bundle, replayed, depth, signature)),
        gradients=tuple(_gradients(bundle, replayed, depth, signature, variables)),
        findings=tuple(findings),
    )


def _outputs(bundle: Bundle, replayed: ArrayReader, depth: int, only: str | None) -> Iterator[Comparison]:
    reader, sets = bundle.arrays, bundle.manifest["probes"]["sets"]
    for key, signature in bundle.manifest["model"]["signatures"].items():
        if only not in (None, key):
            continue
        own = [row for row in sets if row["signature"] == key]
        for output in signature["outputs"]:
            golden = {row["name"]: reader.get(row["outputs"][output]) for row in own}
            scale = usual_scale(list(golden.values()))
            for row in own:
                expected, name = golden[row["name"]], row["outputs"][output]
                got = replayed.get(name) if name in replayed.entries else np.zeros(0)
                label = f"{row['name']}/{key}:{output}"
                yield compare(label, expected, got, relative_bound(expected.dtype.name, depth), scale=scale)


def _gradients(
    bundle: Bundle, replayed: ArrayReader, depth: int, only: str | None, variables: Collection[str] | None
) -> Iterator[Comparison]:
    reader = bundle.arrays
    for row in bundle.manifest["probes"]["sets"]:
        asked = row.get("gradients")
        if not asked or only not in (None, row["signature"]):
            continue
        expected = {name: reader.get(array) for name, array in asked["by"].items() if array is not None}
        largest = max((float(np.abs(a).max(initial=0.0)) for a in expected.values()), default=0.0)
        for name, array in asked["by"].items():
            if variables is not None and name not in variables:
                continue
            label = f"{row['name']}/{row['signature']}:{name}"
            where = array or f"probe/{row['signature']}/{row['name']}/gradients/{name}"
            got = replayed.get(where) if where in replayed.entries else None
            yield _gradient(label, expected.get(name), got, depth, largest)


def _gradient(label: str, expected: Any, got: Any, depth: int, largest: float) -> Comparison:
    """No gradient and a gradient of zeros say the same."""
    if expected is None and got is None:
        expected = got = np.zeros(0, np.float32)
    expected = np.zeros_like(got) if expected is None else expected
    got = np.zeros_like(expected) if got is None else got
    bound = relative_bound(expected.dtype.name, GRADIENT_DEPTH * depth)
    # A gradient that cancels to nearly nothing rounds on the scale of the terms, which that of its neighbours shows.
    return compare(label, expected, got, bound, scale=largest * 1e-2)


def knees_of(made: Mapping[str, Any], bundle: Bundle) -> dict[str, float] | None:
    """What to ask for where nothing but gradients differs, and the source recorded units near knees; else None.

    They are held to the source's side within the bound of the outputs, and the gradients have to come out within theirs.
    ``made`` has the rows ``outputs`` and ``gradients`` of a report.
    """
    sets = [row["gradients"] for row in bundle.manifest["probes"]["sets"] if row.get("gradients")]
    outputs, gradients = (all(row["ok"] for row in made[key]) for key in ("outputs", "gradients"))
    if gradients or not outputs or not any(row.get("knees") for row in sets):
        return None
    return {"reach": relative_bound("float32", graph_depth(bundle.manifest["model"]["operations"]))}


def variable_findings(model: Mapping[str, Any], built: list[list[str]], replayed: Mapping[str, Any]) -> list[str]:
    """How the variables of the loaded model differ from the source's: a sentence each."""
    loaded, found = dict(replayed["digests"]), list(replayed["findings"])
    expected = dict(built)
    for row in model["variables"]:
        name = row["name"]
        if name not in loaded:
            found.append(f"the variable {name} is missing")
        elif loaded[name] != expected[name]:
            found.append(f"the variable {name} has other bytes than in the source")
        if name in loaded and (name in replayed["trainable"]) != row["trainable"]:
            found.append(f"the variable {name} is {'not ' if row['trainable'] else ''}trainable, against the source")
    return found
