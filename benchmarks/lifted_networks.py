"""Classic networks as graphs of TensorFlow 1.15, lifted to native Keras models: a row for each, as the documentation has it.

    python benchmarks/lifted_networks.py [--out FOLDER] [NAME ...]

Makes the graphs with random weights (``tests/integration/scripts/lift_graphs.py``), migrates each with ``--lift``, and loads
every ``model.keras`` in a plain process. Exits with 1 unless all are native, verified and loadable.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from harness import backends, envspec
from harness.backends import Environment

GENERATOR = Path(__file__).resolve().parent.parent / "tests" / "integration" / "scripts" / "lift_graphs.py"
NAMES = ("MobileNet", "MobileNetV2", "ResNet50", "InceptionV3", "VGG16", "DenseNet121", "Xception")
HEAD = (
    "| network | given as | layers (with weights) | outputs | gradients of the SavedModel | gradients of the Keras model | units on knees | |",
    "|---|---|---|---|---|---|---|---|",
)
#: loads a model with nothing but Keras, and calls it
PLAIN = """
import keras, numpy, sys
model = keras.models.load_model(sys.argv[1], compile=False)
model.predict_on_batch(numpy.zeros([2, *model.inputs[0].shape[1:]], "float32"))
"""


def run_in(environment: Environment, home: Path, *arguments: object) -> bool:
    """Whether Python of an environment ends well."""
    argv = [str(environment.python), "-s", "-B", *map(str, arguments)]
    done = subprocess.run(argv, env=environment.environ(home), capture_output=True, text=True, check=False)
    if done.returncode:
        print(done.stderr, file=sys.stderr)
    return done.returncode == 0


def row(name: str, form: str, report: dict[str, Any], *, loads: bool) -> tuple[bool, str]:
    """Whether a network is native, verified and loadable, and its row."""
    lift = report["lift"]
    weighted = Counter(layer["class_name"] for layer in lift["layers"] if layer["variables"])
    kinds = ", ".join(f"{count} {kind}" for kind, count in weighted.most_common())
    worst = [
        f"{max(line['max_rel'] for line in rows):.1e} ({rows[0]['tolerance']:.1e})"
        for rows in (lift["outputs"], report["gradients"], lift["gradients"])
    ]
    ok = report["status"] == "verified" and lift["status"] == "native" and loads
    verdict = f"{report['status']}, {lift['status']}{'' if loads else ', does not load'}"
    knees = f"{len(report['knees'])}, {len(lift['knees'])}"
    return ok, f"| {name} | {form} | {len(lift['layers'])} ({kinds}) | {' | '.join(worst)} | {knees} | {verdict} |"


def main() -> int:
    """0 when all networks are native, verified and loadable; 1 otherwise."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of {', '.join(NAMES)}; all by default")
    parser.add_argument("--out", type=Path, help="keep the graphs and results there")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder, specs = (arguments.out or Path(scratch)).resolve(), envspec.load_specs()
        old, new = (backends.ensure(specs[name], "auto", print) for name in ("tf1.15", "tf2.21"))
        failed = False
        print(*HEAD, sep="\n", flush=True)
        for name in arguments.names or NAMES:
            if not run_in(old, folder, GENERATOR, folder, name):
                return 1
            source = next(
                (path for path in (folder / name / "frozen.pb", folder / name / "model.ckpt.meta") if path.exists()),
                folder / name,
            )
            form = {".pb": "frozen graph", ".meta": "checkpoint"}.get(source.suffix, "SavedModel")
            out = folder / f"{name}-migrated"
            command = [sys.executable, "-m", "harness", "migrate", source, "--lift", "--from", "tf1.15", "--out", out]
            done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
            if not (out / "report.json").exists():
                print(done.stderr, file=sys.stderr)
                return 1
            loads = run_in(new, folder, "-c", PLAIN, out / "model.keras")
            ok, line = row(name, form, json.loads((out / "report.json").read_text(encoding="utf-8")), loads=loads)
            failed = failed or not ok
            print(line, flush=True)
    return int(failed)


if __name__ == "__main__":
    raise SystemExit(main())
