"""Memory of a migration of about 2 GB against what TensorFlow itself needs; too large for continuous integration.

    python benchmarks/large_model.py [--rows 4000000] [--units 16384] [--tmp FOLDER]

Needs about 10 GB of disk and 12 GB of memory. The bounds: the host stays under 300 MB; each worker stays under
the peak of a plain script that does the same step in the same environment, plus 1.25 × the largest single array.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path

import measure

from harness import backends, envspec
from harness.backends import Environment

SCRIPTS = Path(__file__).resolve().parent / "scripts"
HOST_LIMIT = 300e6
COPY_FACTOR = 1.25


def plain(environment: Environment, script: str, *arguments: object, home: Path) -> measure.Usage:
    """The usage of one of our TensorFlow scripts in an environment."""
    argv = [str(environment.python), "-s", "-B", str(SCRIPTS / script), *map(str, arguments)]
    usage = measure.run(argv, env=environment.environ(home))
    if usage.status:
        sys.exit(f"{script} failed:\n{usage.output}")
    return usage


def main() -> int:
    """0 when all bounds hold, 1 otherwise."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=4_000_000, help="rows of the Embedding, 64 float32 each")
    parser.add_argument("--units", type=int, default=16_384, help="the large Dense has UNITS × UNITS float32")
    parser.add_argument("--tmp", type=Path, help="where to put the files")
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="harness-large-", dir=given.tmp))
    try:
        return compare(folder, given.rows, given.units)
    finally:
        shutil.rmtree(folder)


def compare(folder: Path, rows: int, units: int) -> int:
    """Make the model, run the plain scripts and the migration, print the table."""
    specs = envspec.load_specs()
    source, target = (backends.ensure(specs[name]) for name in ("tf1.15", "tf2.21"))
    model, saved = folder / "large.h5", folder / "plain.keras"
    plain(source, "large_make.py", model, rows, units, home=folder)
    largest = max(rows * 64, units * units) * 4
    print(f"model: {model.stat().st_size / 1e9:.2f} GB, largest array {largest / 1e9:.2f} GB", flush=True)
    usages = [
        plain(source, "large_plain_source.py", model, home=folder),
        plain(target, "large_plain_build.py", saved, rows, units, home=folder),
        plain(target, "large_plain_load.py", saved, home=folder),
    ]
    saved.unlink()
    argv = [sys.executable, "-m", "harness", "migrate", str(model), "--out", str(folder / "out")]
    done = measure.run(argv, cwd=folder)
    print(done.output)
    report = json.loads((folder / "out" / "report.json").read_text())
    print(json.dumps(report["timings_s"], indent=1))
    workers = [p for _, p in sorted(done.processes.items()) if p.label == source.spec.name]
    workers += [p for _, p in sorted(done.processes.items()) if p.label == target.spec.name]
    print(f"verdict {report['status']}, {done.seconds:.0f} s; plain scripts {sum(u.seconds for u in usages):.0f} s")
    ok = done.status == 0
    host = done.host
    ok &= row("host", host, HOST_LIMIT) and host.peak_rss <= HOST_LIMIT
    for name, worker, usage in zip(("export", "import", "replay"), workers, usages, strict=True):
        ok &= row(name, worker, usage.host.peak_private + COPY_FACTOR * largest, usage.host)
    print("bounds hold" if ok else "A BOUND IS BROKEN")
    return 0 if ok else 1


def row(name: str, process: measure.Process, limit: float, reference: measure.Process | None = None) -> bool:
    """Print one line; whether the private memory is within the limit."""
    mb = [process.peak_private / 1e6, process.peak_rss / 1e6, limit / 1e6]
    against = (
        f"; TensorFlow alone {reference.peak_private / 1e6:.0f} ({reference.peak_rss / 1e6:.0f})" if reference else ""
    )
    print(f"{name:8} private {mb[0]:6.0f} MB, with mapped files {mb[1]:6.0f}, limit {mb[2]:6.0f}{against}")
    return process.peak_private <= limit


if __name__ == "__main__":
    sys.exit(main())
