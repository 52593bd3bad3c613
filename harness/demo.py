"""The demonstration behind ``make tf1-to-tf2``: train in TF 1.15, migrate, and show what a naive load would do."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from rich.table import Table

from harness import backends, engine, envspec
from harness.backends import Environment, Progress
from harness.console import Console, plain
from harness.engine import Outcome
from harness.job import Job, Worker
from harness.plan import DEFAULT_TARGET, Options, make_plan

SOURCE = "tf1.15"
TIMEOUT_S = 600.0


def run(out: Path, progress: Progress, console: Console, backend: str = "auto") -> Outcome:
    """Run the demonstration; its results stand in ``out``.

    Raises:
        HarnessError: when an environment is not available or a worker fails.
    """
    specs = envspec.load_specs()
    source = backends.ensure(specs[SOURCE], backend, progress)
    target = backends.ensure(specs[DEFAULT_TARGET], backend, progress)
    with tempfile.TemporaryDirectory(prefix="tf-harness-demo-") as name:
        folder = Path(name)
        trained = _job(
            source, folder, "make_demo", {"flavour": specs[SOURCE].keras_flavour, "model": "out/demo.h5"}, {}
        )
        model = folder / "make_demo" / "out" / "demo.h5"
        loss = trained["loss"]
        console.print(
            f"Trained in TensorFlow {trained['versions']['tensorflow']}: loss {loss[0]:.3f} → {loss[-1]:.3f}, saved as demo.h5.",
            highlight=False,
        )
        outcome = engine.migrate(
            make_plan(model, out=out, backend=backend, options=Options()), progress, ["make", "tf1-to-tf2"]
        )
        if outcome.report["status"] == "verified":
            files = {"demo.h5": model, "bundle": outcome.folder / "bundle"}
            naive = _job(target, folder, "naive_load", {"model": "in/demo.h5", "bundle": "in/bundle"}, files)
            console.print(_table(naive, outcome.report))
            (outcome.folder / "naive.json").write_text(json.dumps(naive, indent=1) + "\n", encoding="utf-8")
    return outcome


def _job(environment: Environment, folder: Path, op: str, request: dict[str, Any], files: dict[str, Path]) -> Any:
    job = Job.create(folder, op)
    for inner, path in files.items():
        job.give(path, inner)
    job.ops.append({"op": op, **request})
    flavour = environment.spec.keras_flavour
    with Worker(environment, folder / f"{op}-worker", flavour=flavour) as worker:
        return worker.run(job, timeout_s=TIMEOUT_S).results[0]


def _table(naive: dict[str, Any], report: dict[str, Any]) -> Table:
    table = Table(
        title=f"The same file in Keras {naive['versions']['keras']}: how far the outputs are from TensorFlow 1.15"
    )
    table.add_column("way")
    table.add_column("max|difference| / max|output|", overflow="fold")
    table.add_column("and it says", overflow="fold")
    for way, key in (("keras.models.load_model", "load_model"), ("same script, old weights set", "by_hand")):
        row = naive[key]
        error = row["error"]
        says = plain(error.split(" using config=")[0]) if error else "nothing: silently wrong"
        table.add_row(way, "-" if error else f"[red]{row['max_rel']:.1e}[/]", says)
    worst = max(row["max_rel"] for row in report["outputs"])
    table.add_row("harness", f"[green]{worst:.1e}[/]", f"{report['status']}, with evidence")
    return table
