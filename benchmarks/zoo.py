"""Seconds per model of the matrix, beyond importing TensorFlow.

    python benchmarks/zoo.py [--source tf1.15] [--models 200] [--out DIR]

The zoo of the source environment is generated into DIR (or taken from there: the ``OUT`` of an earlier
``python -m harness regress`` will do), and models spread evenly over it go through the pair. The clock starts with the
first result, when both environments have imported TensorFlow; the proof is `quick`, as in the matrix. Processor time is that of the two worker processes; load on
the machine does not change it as it changes wall time.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import tempfile
import time
from collections import Counter
from pathlib import Path

from harness import backends, envspec
from harness.plan import DEFAULT_TARGET, Options
from harness.regress import zoo
from harness.regress.cases import select, zoo_cases
from harness.regress.runner import CaseResult, PairRun

LIMIT_S = 0.25


def main() -> int:
    """0 when a model takes less than the limit, 1 otherwise."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", default="tf1.15")
    parser.add_argument("--models", type=int, default=200)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    specs = envspec.load_specs()
    source, target = (backends.ensure(specs[name]) for name in (given.source, DEFAULT_TARGET))
    script = zoo.generator()
    assert script, "the zoo is generated in a checkout"
    with tempfile.TemporaryDirectory(prefix="harness-zoo-") as folder:
        made = zoo.ensure(source, script, (given.out or Path(folder)).resolve() / "zoo" / given.source)
        cases = select(zoo_cases(made), limit=given.models)
        times, processor = [], []

        def note(_result: CaseResult) -> None:
            times.append(time.monotonic())
            processor.append(_processor_s())

        run = PairRun(
            source=source, target=target, root=Path(folder) / "jobs", options=Options(timeout_s=120, proof="quick")
        )
        results = run.run(cases, note)
    steps = [after - before for before, after in itertools.pairwise(times)]
    seconds = (times[-1] - times[0]) / len(steps)
    counts = ", ".join(f"{count} {status}" for status, count in sorted(Counter(r.status for r in results).items()))
    print(f"{given.source} → {DEFAULT_TARGET}: {len(results)} models ({counts})")
    print(f"  {seconds:.3f} s per model (median {statistics.median(steps):.3f} s), limit {LIMIT_S} s")
    _print_processor(processor)
    print(f"  load average at the end {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    return int(seconds > LIMIT_S)


def _print_processor(samples: list[dict[int, float]]) -> None:
    """Growth between the first result and the last, of processes that lived through both."""
    first, last = samples[0], samples[-1]
    own = last[0] - first[0]
    workers = [last[pid] - first[pid] for pid in first.keys() & last.keys() - {0}]
    count = len(samples) - 1
    replaced = "" if len(workers) == 2 else " (workers were replaced meanwhile: use at most 200 models)"
    print(f"  processor time per model: host {own / count:.3f} s, workers {sum(workers) / count:.3f} s{replaced}")


def _processor_s() -> dict[int, float]:
    """Processor seconds by process: workers by their id, this process under 0."""
    found = {0: time.process_time()}
    for task in Path("/proc/self/task").glob("*/children"):
        for pid in map(int, task.read_text().split()):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            found[pid] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return found


if __name__ == "__main__":
    raise SystemExit(main())
