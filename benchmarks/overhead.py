"""What the harness costs over the least that anybody would have to run by hand.

    python benchmarks/overhead.py [--rounds 5] [MODEL.h5 ...]

The floor is three plain scripts (``scripts/floor_*.py``) in the same two environments: load, predict and save in
the source's; rebuild, set weights, compare and save in the target's; load and compare in a fresh process. Floor
and harness take turns, so that both meet the same machine. A MODEL has to be one that today's ``load_model`` reads
correctly; without any, only the demonstration's model is run, which the floor builds by hand.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import measure
import numpy as np

from harness import backends, envspec
from harness.backends import Environment
from harness.bundle import Bundle
from harness.job import Job, Worker

SCRIPTS = Path(__file__).resolve().parent / "scripts"
LIMIT = 1.25


@dataclass(kw_only=True)
class Rounds:
    """What was measured: seconds and bytes per round."""

    seconds: list[float] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)

    def add(self, usages: Sequence[measure.Usage]) -> None:
        """One round of processes that ran one after the other."""
        self.seconds.append(sum(usage.seconds for usage in usages))
        self.memory.append(max(usage.peak_memory for usage in usages))


def main() -> int:
    """0 when every time ratio is within the limit, 1 otherwise."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("models", type=Path, nargs="*")
    given = parser.parse_args()
    specs = envspec.load_specs()
    source, target = (backends.ensure(specs[name]) for name in ("tf1.15", "tf2.21"))
    folder = Path(tempfile.mkdtemp(prefix="harness-overhead-"))
    try:
        ok = [bench("demo", demo_model(source, folder), source, target, folder, given.rounds)]
        ok += [bench(m.parent.name or m.name, m.resolve(), source, target, folder, given.rounds) for m in given.models]
    finally:
        shutil.rmtree(folder)
    return 0 if all(ok) else 1


def demo_model(source: Environment, folder: Path) -> Path:
    """The demonstration's model, trained in TF 1.15."""
    job = Job.create(folder, "make_demo")
    job.ops.append({"op": "make_demo", "flavour": source.spec.keras_flavour, "model": "out/demo.h5"})
    with Worker(source, folder / "make_demo-worker", flavour=source.spec.keras_flavour) as worker:
        worker.run(job, timeout_s=600)
    return job.folder / "out" / "demo.h5"


def bench(name: str, model: Path, source: Environment, target: Environment, root: Path, rounds: int) -> bool:
    """Print the comparison for one model; whether the time ratio is within the limit."""
    folder = root / name
    folder.mkdir()
    write_probes(harness(model, folder)[1], folder)
    floor, ours, reports = Rounds(), Rounds(), []
    for _ in range(rounds):
        floor.add(floor_scripts("demo" if name == "demo" else str(model), model, source, target, folder))
        usage, out = harness(model, folder)
        ours.add([usage])
        reports.append(json.loads((out / "report.json").read_text())["timings_s"])
    times = [o / f for o, f in zip(ours.seconds, floor.seconds, strict=True)]
    ratio = statistics.median(times)
    print(f"{name}: {rounds} rounds, {model.stat().st_size / 1e6:.1f} MB")
    print(
        f"  wall time    floor {spread(floor.seconds, 1)} s, harness {spread(ours.seconds, 1)} s, ratio {spread(times, 1)}"
    )
    memory = [o / f for o, f in zip(ours.memory, floor.memory, strict=True)]
    print(
        f"  peak memory  floor {spread(floor.memory, 1e6)} MB, harness {spread(ours.memory, 1e6)} MB, ratio {spread(memory, 1)}"
    )
    breakdown(ours.seconds, reports)
    print(f"  {'within' if ratio <= LIMIT else 'ABOVE'} the limit of {LIMIT}", flush=True)
    return ratio <= LIMIT


def spread(values: Sequence[float], unit: float) -> str:
    """Median and range."""
    digits = 0 if unit > 1 else 2
    low, mid, high = (f"{v / unit:.{digits}f}" for v in (min(values), statistics.median(values), max(values)))
    return f"{mid} ({low}–{high})"


def breakdown(seconds: list[float], reports: list[dict[str, Any]]) -> None:
    """Where the harness spends its time: steps as workers report them, waiting for imports, and itself."""
    middle = {key: statistics.median(r.get(key, 0.0) for r in reports) for key in reports[0]}
    for stage, prefix in (("export", "export: "), ("import", "import: "), ("prove", "replay-")):
        steps = {key: value for key, value in middle.items() if key.startswith(prefix)}
        told = ", ".join(f"{key.split(': ')[1]} {value:.2f}" for key, value in steps.items())
        rest = middle[stage] - sum(steps.values())
        print(f"    {stage:7}{middle[stage]:6.2f} s: {told}; waiting for TensorFlow and judging {rest:.2f}")
    stages = [sum(report[stage] for stage in ("export", "import", "prove")) for report in reports]
    host = statistics.median(whole - told for whole, told in zip(seconds, stages, strict=True))
    print(f"    host   {host:6.2f} s: start of Python, planning, environments, report, clean-up")


def harness(model: Path, folder: Path) -> tuple[measure.Usage, Path]:
    """One migration, from the command line to its end."""
    out = folder / "out"
    shutil.rmtree(out, ignore_errors=True)
    usage = measure.run([sys.executable, "-m", "harness", "migrate", str(model), "--out", str(out)], cwd=folder)
    if usage.status:
        sys.exit(f"the migration of {model} ended with {usage.status}:\n{usage.output}")
    return usage, out


def write_probes(out: Path, folder: Path) -> None:
    """The harness's own probe inputs, as the floor's scripts read them."""
    bundle = Bundle.open(out / "bundle")
    arrays = {}
    for probe_set in bundle.manifest["probes"]["sets"]:
        for index, name in enumerate(probe_set["inputs"]):
            arrays[f"{probe_set['name']}:{index}"] = np.array(bundle.arrays.get(name))
    np.savez(folder / "probes.npz", **arrays)


def floor_scripts(
    build: str, model: Path, source: Environment, target: Environment, folder: Path
) -> list[measure.Usage]:
    """The usages of the floor's three processes."""
    probes, weights, outputs, saved = (folder / n for n in ("probes.npz", "weights.npz", "outputs.npz", "floor.keras"))
    calls = [
        (source, ["floor_source.py", model, probes, weights, outputs]),
        (target, ["floor_target.py", build, probes, weights, outputs, saved]),
        (target, ["floor_fresh.py", saved, probes, outputs]),
    ]
    usages = []
    for environment, (script, *arguments) in calls:
        argv = [str(environment.python), "-s", "-B", str(SCRIPTS / str(script)), *map(str, arguments)]
        usages.append(measure.run(argv, env=environment.environ(folder)))
        if usages[-1].status:
            sys.exit(f"{script} failed:\n{usages[-1].output}")
    return usages


if __name__ == "__main__":
    sys.exit(main())
