"""A bundle of nothing but probes: what a saved model is compared with where no source model was run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from harness.bundle import SCHEMA_VERSION, Bundle
from harness.errors import HarnessError
from harness.worker.tfworker.arrays import ArrayWriter
from harness.worker.tfworker.errors import Refusal
from harness.worker.tfworker.files import write_json
from harness.worker.tfworker.samples import read_samples

SAMPLES = "samples"


def samples(path: Path, inputs: list[dict[str, Any]]) -> dict[str, Any]:
    """The user's inputs by name.

    Raises:
        HarnessError: samples-invalid.
    """
    try:
        arrays = read_samples(str(path), inputs)
    except Refusal as refusal:
        raise HarnessError("samples-invalid", f"{refusal.message}.", details=refusal.details) from refusal
    return {spec["name"]: array for spec, array in zip(inputs, arrays, strict=True)}


def graph(described: Mapping[str, Any]) -> dict[str, Any]:
    """As much of a graph as the bounds of a comparison need: how many layers there are, and what the last one is."""
    layers = [{"name": row["name"], "class_name": row["class_name"], "calls": [{}]} for row in described["layers"]]
    last = [described["layers"][-1]["name"], 0, 0]
    return {"layers": layers, "inputs": [], "outputs": [last for _ in described["outputs"]]}


def write(folder: Path, described: Mapping[str, Any], inputs: Mapping[str, Any], outputs: Mapping[str, Any]) -> Bundle:
    """A bundle with one set of probes, or none if there are no ``inputs``."""
    folder.mkdir()
    names: dict[str, list[str]] = {"inputs": [], "outputs": []}
    entries = []
    with ArrayWriter(str(folder / "probes.npz")) as writer:
        for kind, arrays in (("inputs", inputs), ("outputs", outputs)):
            for index, (array, spec) in enumerate(zip(arrays.values(), described[kind], strict=False)):
                typed = np.asarray(array) if spec["dtype"] == "string" else np.asarray(array).astype(spec["dtype"])
                entries.append(writer.add(f"probe/{SAMPLES}/{kind}/{index}", typed))
                names[kind].append(entries[-1]["name"])
    with ArrayWriter(str(folder / "weights.npz")):
        pass
    sets = [{"name": SAMPLES, "holds": "given with --expected", "continues": False, **names}] if inputs else []
    manifest = {
        "schema_version": SCHEMA_VERSION,
        "min_reader": SCHEMA_VERSION,
        "required_features": [],
        "producer": {"environment": "none"},
        "source": {"kind": "expected", "file": "-", "sha256": "0" * 64},
        "model": {
            "dialect": "none",
            "graph": graph(described),
            "inputs": described["inputs"],
            "outputs": described["outputs"],
            "training": {"optimizer_weights": False},
        },
        "arrays": entries,
        "probes": {
            "seed": 0,
            "sets": sets,
            "dropped": [],
            "layers": {"set": SAMPLES, "records": [], "nested_inputs": []},
        },
    }
    write_json(str(folder / "manifest.json"), manifest)
    return Bundle(folder=folder, manifest=manifest)
