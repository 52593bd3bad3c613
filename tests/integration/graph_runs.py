"""Many graphs through two warm workers: export, build and replay, judged as a migration is."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from harness import graph_engine, graph_plan, lift_engine, report
from harness.artifact import sniff
from harness.backends import Environment
from harness.bundle import Bundle
from harness.errors import HarnessError
from harness.graph_plan import Choices
from harness.job import Job
from harness.plan import Options
from harness.regress.warm import WarmWorker
from harness.verify.graphs import knees_of
from harness.worker.tfworker.files import write_json

#: a source and the choices for it
Case = tuple[str, Path, Choices]


def migrate_all(
    cases: Iterable[Case],
    source: str,
    hosted: Callable[[str], Environment],
    folder: Path,
    options: Options | None = None,
) -> dict[str, dict[str, Any]]:
    """Name → report of every case; what is refused has its error."""
    found = {}
    old = WarmWorker(hosted(source), folder / "old", flavour="tf.keras")
    new = WarmWorker(hosted("tf2.21"), folder / "new", flavour="keras3")
    try:
        for name, path, choices in cases:
            made = report.new()
            try:
                plan = graph_plan.make(sniff(path), choices, source_env=source, options=options)
                _migrate(plan, old, new, folder / name, made)
            except HarnessError as error:
                report.set_error(made, error)
            found[name] = made
    finally:
        old.stop()
        new.stop()
    return found


def _migrate(plan: graph_plan.GraphPlan, old: WarmWorker, new: WarmWorker, folder: Path, made: dict[str, Any]) -> None:
    job = Job.create(folder, "export")
    op, files = graph_engine.read_op(plan)
    for inner, path in files.items():
        job.give(path, inner)
    job.ops.append(op)
    old.run(job, 600.0)
    bundle = Bundle.open(job.folder / "out" / "bundle")
    made["not_checked"] = list(bundle.manifest["probes"]["notes"])
    job = Job.create(folder, "build")
    job.give(bundle.folder, "bundle")
    job.ops += [
        {"op": "build_graph", "bundle": "in/bundle", "saved_model": "out/saved_model"},
        graph_engine.replay_op("out/saved_model"),
    ]
    built, replayed = new.run(job, 900.0).results
    digests = built["digests"]
    evidence = graph_engine.enter(made, bundle, job.folder / "out", replayed, digests)
    if not evidence.findings and (knees := knees_of(made, bundle)):
        again = Job.create(folder, "build-knees")
        again.give(bundle.folder, "bundle")
        again.give(job.folder / "out" / "saved_model", "saved_model")
        again.ops.append(graph_engine.replay_op("in/saved_model", knees))
        replayed = new.run(again, 900.0).results[0]
        graph_engine.enter(made, bundle, again.folder / "out", replayed, digests)
    made["rewritten"] = built["rewritten"]
    if plan.options.lift:
        _lift(bundle, new, folder, made)


def _lift(bundle: Bundle, new: WarmWorker, folder: Path, made: dict[str, Any]) -> None:
    """The section of a lifted model; the worker builds, and loads what it has saved."""
    found, section = lift_engine.plan(bundle)
    made["lift"] = section
    if found.graph is None:
        return
    described = lift_engine.plan_json(found)
    write_json(str(folder / "lift.json"), described)
    job = Job.create(folder, "lift")
    job.give(bundle.folder, "bundle")
    job.give(folder / "lift.json", "lift.json")
    job.ops += [*lift_engine.build_ops(described), lift_engine.replay_op(described, "out")]
    built, *_, replayed = new.run(job, 900.0).results
    ok = lift_engine.enter(section, bundle, described, built, replayed, job.folder / "out")
    if not ok and (knees := knees_of(section, bundle)):
        again = Job.create(folder, "knees")
        again.give(bundle.folder, "bundle")
        again.give(folder / "lift.json", "lift.json")
        for name in (lift_engine.NAME, lift_engine.FRONT)[: 2 if described["front"] else 1]:
            again.give(job.folder / "out" / name, name)
        again.ops.append(lift_engine.replay_op(described, knees=knees))
        replayed = new.run(again, 900.0).results[0]
        ok = lift_engine.enter(section, bundle, described, built, replayed, again.folder / "out")
    made["status"] = made["status"] if ok else "diverged"
