"""Lifting as a stage: the plan on the host, the model built beside the SavedModel, and proved by the same probes."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from harness import lift, report
from harness.bundle import Bundle
from harness.engine import LAYERS_MODULE, Stages
from harness.errors import HarnessError
from harness.job import Worker
from harness.lift import Lifted
from harness.verify.graphs import judge_graph, knees_of
from harness.worker.tfworker.arrays import ArrayReader
from harness.worker.tfworker.files import read_json, write_json

#: the saved form, and its name
FORMAT, NAME = "keras", "model.keras"
#: what comes before it, if anything, as a SavedModel
FRONT = "front"
_FORMATS = {NAME: FORMAT, FRONT: "saved_model"}
#: the class of carried parts
GRAPH_LAYER = "GraphLayer"
#: how a build ends that Keras does not accept: the SavedModel stands, and the report says why there is nothing more
_NOT_BUILT = {"layer-unsupported", "weights-mismatch", "model-unsupported", "worker-bug"}


def plan(bundle: Bundle) -> tuple[Lifted, dict[str, Any]]:
    """What can be lifted, and its section of the report."""
    found = lift.lift_bundle(bundle)
    carried = any(row["class_name"] == GRAPH_LAYER for row in found.rows)
    return found, {
        "signature": found.signature,
        "status": "not lifted" if found.graph is None else "partly" if carried else "native",
        "front": found.front.as_json() if found.front else None,
        "layers": found.rows,
        "blocked": [row.as_json() for row in found.blocked],
        "parameters": None,
        "weights": None,
        "outputs": [],
        "gradients": [],
        "knees": [],
        "findings": [],
    }


def plan_json(found: Lifted) -> dict[str, Any]:
    """What the workers read: ``build_model`` its graph and weights, ``replay_lifted`` the rest."""
    return {
        "graph": found.graph, "weights": found.weights, "signature": found.signature, "inputs": found.inputs,
        "outputs": found.outputs, "carried": any(row["class_name"] == GRAPH_LAYER for row in found.rows),
        "nodes": {row["layer"]: row["nodes"] for row in found.rows},
        "front": found.front.signature if found.front else None,
    }  # fmt: skip


def build_ops(plan: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The operations that build a lifted model, and what comes before it."""
    paths = {"bundle": "in/bundle", "plan": "in/lift.json", "forms": {FORMAT: f"out/{NAME}"}}
    ops = [{"op": "build_model", "flavour": "keras3", **paths}]
    if plan["front"]:
        one = {"serving_default": plan["front"]}
        ops.append({"op": "build_graph", "bundle": "in/bundle", "saved_model": f"out/{FRONT}", "signatures": one})
    return ops


def replay_op(plan: Mapping[str, Any], where: str = "in", knees: Mapping[str, float] | None = None) -> dict[str, Any]:
    """The operation that loads a lifted model and runs the probes through it."""
    paths = {"bundle": "in/bundle", "plan": "in/lift.json", "outputs": "out/lifted.npz", "index": "out/lifted.json"}
    paths |= {"model": f"{where}/{NAME}"} | ({"front": f"{where}/{FRONT}"} if plan["front"] else {})
    return {"op": "replay_lifted", "knees": None if knees is None else dict(knees), **paths}


def build(stages: Stages, bundle: Bundle, worker: Worker) -> tuple[dict[str, Path], Mapping[str, Any]] | None:
    """What was saved, by name, and what was seen when it was built; None where it is not lifted, and the report says why."""
    found, section = plan(bundle)
    stages.report["lift"] = section
    if found.graph is None:
        return None
    path, made = stages.space.jobs / "lift.json", plan_json(found)
    write_json(str(path), made)
    files = {"bundle": bundle.folder, "lift.json": path}
    op, *more = build_ops(made)
    try:
        with stages.timed("import"):
            job = stages.run(worker, "lift", op, files)
            jobs = [stages.run(worker, "lift-front", before, files) for before in more]
    except HarnessError as error:
        if error.code not in _NOT_BUILT:
            raise
        section |= {"status": "not lifted", "layers": [], "findings": [error.message, *error.details[:20]]}
        return None
    module = job.folder / "out" / LAYERS_MODULE
    if module.exists():
        os.rename(module, stages.space.path / LAYERS_MODULE)
        entry = report.file_artifact(stages.space.path / LAYERS_MODULE, stages.space.path, "python")
        stages.report["artifacts"].append(entry)
    saved = {NAME: job.folder / "out" / NAME}
    if jobs:
        saved[FRONT] = jobs[0].folder / "out" / FRONT
    return saved, job.results[0]


def prove(stages: Stages, bundle: Bundle, saved: Mapping[str, Path], built: Mapping[str, Any], worker: Worker) -> None:
    """Replay the lifted model, judge it, and put it under the name that its verdict allows."""
    path = stages.space.jobs / "lift.json"
    section, made = stages.report["lift"], read_json(str(path))
    files = {"bundle": bundle.folder, "lift.json": path, **saved}
    with stages.timed("prove"):
        job = stages.run(worker, "replay-lifted", replay_op(made), files)
        ok = enter(section, bundle, made, built, job.results[0], job.folder / "out")
        if not ok and (knees := knees_of(section, bundle)):
            job = stages.run(worker, "replay-lifted-knees", replay_op(made, knees=knees), files)
            ok = enter(section, bundle, made, built, job.results[0], job.folder / "out")
    if not ok:
        stages.report["status"] = "diverged"
    for name, path in saved.items():
        stem, dot, suffix = name.partition(".")
        final = stages.space.path / (name if ok else f"{stem}.diverged{dot}{suffix}")
        os.rename(path, final)
        for link in stages.space.jobs.glob(f"replay-lifted*/in/{name}"):
            link.unlink()
            link.symlink_to(os.path.relpath(final, link.parent))
        stages.report["artifacts"].append(report.file_artifact(final, stages.space.path, _FORMATS[name]))


def enter(
    section: dict[str, Any], bundle: Bundle, plan: Mapping[str, Any], built: Mapping[str, Any], replayed: Mapping[str, Any],
    folder: Path,
) -> bool:  # fmt: skip
    """Put the evidence on a lifted model into its section; whether everything holds."""
    weights = dict(built["weights"])
    findings = [f"the weight {name} has other bytes than in the source" for name in weights["unequal"]]
    lost = Counter(map(tuple, weights.pop("digests"))) - Counter(map(tuple, replayed["digests"]))
    findings += [f"{role}: not the same after saving and loading" for role, _ in sorted(lost.elements())]
    findings += [
        f"the variable {row['variable']} is {'not ' if row['trainable'] else ''}trainable, against the plan"
        for array, row in plan["weights"].items()
        if replayed["trainable"][array] != row["trainable"]
    ]
    findings += _uncovered(bundle, plan)
    entries = read_json(str(folder / "lifted.json"))["arrays"]
    evidence = judge_graph(
        bundle, ArrayReader(str(folder), entries), findings, signature=plan["signature"],
        variables=_held(row for row in plan["weights"].values() if row["trainable"]),
    )  # fmt: skip
    section["outputs"] = report.worst_of(evidence.outputs, FORMAT)
    section["gradients"] = report.worst_of(evidence.gradients, FORMAT)
    section["weights"] = {key: weights[key] for key in ("total", "equal", "transformed")}
    section["parameters"], section["findings"] = replayed["parameters"], findings
    section["knees"] = replayed["knees"]
    return evidence.ok


def _held(rows: Iterable[Mapping[str, Any]]) -> set[str]:
    """The variables that weights are made of."""
    return {name for row in rows for name in (row["variable"], *(part for part, _ in row["parts"]))}


def _uncovered(bundle: Bundle, plan: Mapping[str, Any]) -> list[str]:
    """Trained variables that move an output, by the recorded gradients, and are no weight of the lifted model."""
    held = _held(plan["weights"].values())
    moving = {
        name
        for row in bundle.manifest["probes"]["sets"]
        if row["signature"] == plan["signature"] and row.get("gradients")
        for name, array in row["gradients"]["by"].items()
        if array is not None
    }
    return [
        f"the variable {name} has a gradient in the source and no place in the model" for name in sorted(moving - held)
    ]
