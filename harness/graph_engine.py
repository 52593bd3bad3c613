"""The stages for whole TF1 graphs: export, import and prove, on the same workspace, workers and report as Keras models."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import harness
from harness import lift_engine, report
from harness.artifact.kinds import sha256_of_files
from harness.backends import WORKER_FOLDER, Environment
from harness.bundle import Bundle
from harness.engine import Outcome, Stages, run_export, run_stages
from harness.envspec import EnvSpec
from harness.graph_plan import FORMAT, GraphPlan
from harness.job import Worker
from harness.verify.graphs import GraphEvidence, judge_graph, knees_of, variable_findings
from harness.verify.reach import check_required, proven_graph
from harness.verify.tolerance import noticed
from harness.worker.tfworker.arrays import ArrayReader
from harness.worker.tfworker.files import read_json

#: what makes the SavedModel a Keras layer; written beside it
LAYER = WORKER_FOLDER / "saved_model_layer.py"
#: why each rewriting changes nothing
_WHY = {
    "reference variables": "read and written through handles in the same order",
    "while loops": "the same condition and body, differentiable in TensorFlow 2",
    "conditionals": "the same branches, as functions",
    "tensor arrays": "the same elements, in a list",
}


def migrate(plan: GraphPlan, progress: Any, command: list[str], *, fetch_python: bool = False) -> Outcome:
    """Run a plan to its verdict; raises what :func:`harness.engine.migrate` raises."""

    def body(stages: Stages) -> None:
        source, target = stages.environment(plan.source_env), stages.environment(plan.target_env)
        bundle = _export(stages, plan, stages.start(source, plan.source_env.keras_flavour))
        build_and_prove(stages, bundle, plan.target_env, target)

    return run_stages(plan.out, plan.options, progress, command, plan.backend, body, plan.inputs, fetch_python)


def export(plan: GraphPlan, progress: Any, command: list[str], *, fetch_python: bool = False) -> Outcome:
    """Only the first stage: the bundle stands in ``OUT/bundle``."""

    def body(stages: Stages) -> None:
        _export(stages, plan, stages.start(stages.environment(plan.source_env), plan.source_env.keras_flavour))
        stages.report["status"] = "verified"
        stages.report["not_checked"] = ["nothing was built yet: import the bundle to get a verdict"]

    return run_stages(plan.out, plan.options, progress, command, plan.backend, body, plan.inputs, fetch_python)


def read_op(plan: GraphPlan) -> tuple[dict[str, Any], dict[str, Path]]:
    """The operation that reads a graph, and the files it is given."""
    choices, files = plan.choices, {"source": plan.source}
    source = "in/source"
    if plan.checkpoint:
        files = {f"source/{path.name}": path for path in plan.inputs}
        source = f"in/source/{plan.checkpoint.prefix.name}"
    op: dict[str, Any] = {
        "op": plan.reader,
        "source": source,
        "source_name": plan.source.name,
        "source_entry": _source_entry(plan),
        "bundle": "out/bundle",
        "environment": plan.source_env.name,
        "harness_version": harness.__version__,
        "tags": None if choices.tags is None else list(choices.tags),
        "signatures": list(choices.signatures) or None,
        "inputs": dict(choices.inputs),
        "outputs": dict(choices.outputs),
        "fixed": dict(choices.fixed),
        "notice": noticed(),
    }
    if plan.options.samples:
        files["samples.npz"] = plan.options.samples
        op["samples"] = "in/samples.npz"
    return op, files


def _source_entry(plan: GraphPlan) -> dict[str, Any]:
    if plan.checkpoint is None:
        return {"file": plan.source.name, "bytes": plan.artifact.size_bytes, "sha256": plan.artifact.sha256}
    own = plan.inputs
    size = sum(path.stat().st_size for path in own)
    digest = sha256_of_files((path.name, path) for path in own)
    return {"file": plan.checkpoint.prefix.name, "bytes": size, "sha256": digest}


def _export(stages: Stages, plan: GraphPlan, worker: Worker) -> Bundle:
    op, files = read_op(plan)
    bundle = open_bundle(stages, run_export(stages, worker, op, files))
    if plan.note:
        stages.report["source"]["note"] = plan.note
    return bundle


def open_bundle(stages: Stages, folder: Path) -> Bundle:
    """A graph's bundle, entered into the report."""
    bundle = stages.bundle = Bundle.open(folder)
    if folder.parent != stages.space.path:
        bundle.check_arrays()
    manifest, made = bundle.manifest, stages.report
    made["source"] = dict(manifest["source"])
    made["from"] = report.environment(manifest["producer"]["environment"], manifest["producer"])
    sets, seed = manifest["probes"]["sets"], manifest["probes"]["seed"]
    made["probes"] = [{"name": f"{s['signature']}: {s['name']}", "holds": s["holds"], "seed": seed} for s in sets]
    made["not_checked"] += [f"probe dropped: {reason}" for reason in dict.fromkeys(manifest["probes"]["dropped"])]
    made["not_checked"] += manifest["probes"].get("notes", [])
    model = manifest["model"]
    made["ledger"] += [
        {"step": "tf1-graph", "why": "as in a session that feeds nothing else", **row} for row in model["ledger"]
    ]
    made["ledger"] += [
        {"step": "tf1-graph", "where": tensor, "before": "fed", "after": str(value), "why": "chosen for inference"}
        for tensor, value in model["fixed"].items()
        if not any(row["where"] == tensor.split(":")[0] for row in model["ledger"])
    ]
    promoted = [row["name"] for row in model["variables"] if row["was_constant"]]
    if promoted:
        why = "a frozen graph's weights: read as variables are, or used as kernels"
        where = f"{len(promoted)} constants: {', '.join(promoted[:5])}{', …' if len(promoted) > 5 else ''}"
        made["ledger"].append(
            {"step": "tf1-graph", "where": where, "before": "constant", "after": "variable", "why": why}
        )
    if folder.parent == stages.space.path:
        entry = report.file_artifact(folder / "SHA256SUMS", stages.space.path, "bundle")
        made["artifacts"].append({**entry, "path": "bundle"})
    return bundle


def build_and_prove(stages: Stages, bundle: Bundle, target: EnvSpec, environment: Environment) -> None:
    """Build the SavedModel, then prove it in a fresh process."""
    builder = stages.start(environment, target.keras_flavour)
    op = {"op": "build_graph", "bundle": "in/bundle", "saved_model": "out/saved_model"}
    with stages.timed("import"):
        job = stages.run(builder, "import", op, {"bundle": bundle.folder})
    lifted = lift_engine.build(stages, bundle, builder) if stages.options.lift else None
    builder.stop()
    built = job.results[0]
    stages.report["to"] = report.environment(target.name, built["versions"])
    for kind, count in built["rewritten"].items():
        row = {"step": "tf1-graph → tf2", "where": f"{count} {kind}", "before": "TensorFlow 1", "after": "TensorFlow 2"}
        stages.report["ledger"].append({**row, "why": _WHY[kind]})
    fresh = stages.start(environment, target.keras_flavour)
    prove(stages, bundle, job.folder / "out" / "saved_model", fresh, target, built["digests"])
    if lifted is not None:
        lift_engine.prove(stages, bundle, *lifted, fresh)


def prove(
    stages: Stages, bundle: Bundle, model: Path, worker: Worker, target: EnvSpec, built: list[list[str]] | None = None
) -> None:
    """Replay a SavedModel, judge it, and put it under the name that its verdict allows."""
    made, files = stages.report, {"bundle": bundle.folder, "saved_model": model}
    with stages.timed("prove"):
        job = stages.run(worker, "replay-saved_model", replay_op("in/saved_model"), files)
        evidence = enter(made, bundle, job.folder / "out", job.results[0], built)
        if not evidence.findings and (knees := knees_of(made, bundle)):
            job = stages.run(worker, "replay-saved_model-knees", replay_op("in/saved_model", knees), files)
            evidence = enter(made, bundle, job.folder / "out", job.results[0], built)
    made["to"] = made["to"] or report.environment(target.name, job.results[0]["versions"])
    made["proven"] = proven_graph(bundle, stages.options.require_proven)
    if evidence.ok:
        check_required(made["proven"])
    if stages.space.path in model.parents:
        final = stages.space.path / f"saved_model{'' if evidence.ok else '.diverged'}"
        os.rename(model, final)
        for link in stages.space.jobs.glob("replay-saved_model*/in/saved_model"):
            link.unlink()
            link.symlink_to(os.path.relpath(final, link.parent))
        made["artifacts"].append(report.file_artifact(final, stages.space.path, FORMAT))
        layer = stages.space.path / LAYER.name
        shutil.copyfile(LAYER, layer)
        made["artifacts"].append(report.file_artifact(layer, stages.space.path, "python"))


def replay_op(model: str, knees: Mapping[str, float] | None = None) -> dict[str, Any]:
    """The operation that loads a SavedModel and runs every probe through it."""
    paths = {"outputs": "out/outputs.npz", "index": "out/outputs.json", "knees": None if knees is None else dict(knees)}
    return {"op": "replay_graph", "model": model, "bundle": "in/bundle", **paths}


def enter(
    made: dict[str, Any], bundle: Bundle, folder: Path, result: Mapping[str, Any], built: list[list[str]] | None
) -> GraphEvidence:
    """Judge a replay, and put the evidence into a report, and the verdict that follows."""
    findings = list(result["findings"]) if built is None else variable_findings(bundle.manifest["model"], built, result)
    entries = read_json(str(folder / "outputs.json"))["arrays"]
    evidence = judge_graph(bundle, ArrayReader(str(folder), entries), findings)
    made["outputs"] = report.worst_of(evidence.outputs, FORMAT)
    made["gradients"] = report.worst_of(evidence.gradients, FORMAT)
    rows = bundle.manifest["model"]["variables"]
    wrong = [line for line in evidence.findings if line.startswith("the variable ")]
    equal = len(rows) - len({line.split()[2] for line in wrong})
    made["weights"] = {
        "total": len(rows), "equal": equal, "transformed": [], "unequal": list(evidence.findings), "missing": [], "unused": [],
    }  # fmt: skip
    made["knees"] = list(result["knees"])
    made["status"] = "verified" if evidence.ok else "diverged"
    return evidence
