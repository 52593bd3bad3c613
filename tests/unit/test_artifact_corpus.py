"""Every file of the corpus of real TF1-era models is recognised, quickly."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from harness.artifact import Kind, sniff

CORPUS = Path(os.environ.get("HARNESS_CORPUS") or Path(__file__).parents[3] / "shared" / "corpus")
LIMIT_S = 1.0  # measured: 0.1 to 30 ms; the rest is for a busy machine
KIND_OF_FILE = {
    ("h5_model", ".h5"): Kind.KERAS_H5,
    ("h5_model", ".hdf5"): Kind.KERAS_H5,
    ("arch_weights", ".json"): Kind.KERAS_JSON,
    ("arch_weights", ".h5"): Kind.KERAS_H5_WEIGHTS,
    ("script_weights", ".h5"): Kind.KERAS_H5_WEIGHTS,
    ("script_weights", ".hdf5"): Kind.KERAS_H5_WEIGHTS,
    ("frozen", ".pb"): Kind.GRAPH_DEF,
    ("savedmodel", ".pb"): Kind.SAVED_MODEL,
    ("npy", ".npy"): Kind.NPY,
}


def artifacts() -> list[Any]:
    index = CORPUS / "INDEX.json"
    if not index.is_file():
        reason = f"no corpus at {CORPUS}; set HARNESS_CORPUS to its folder"
        return [pytest.param({}, id="corpus", marks=pytest.mark.skip(reason=reason))]
    return [pytest.param(entry, id=entry["id"]) for entry in json.loads(index.read_text())["artifacts"]]


@pytest.mark.parametrize("entry", artifacts())
def test_every_file_is_what_the_index_says(entry: dict[str, Any]) -> None:
    for file in entry["files"]:
        path = CORPUS / entry["id"] / file["local"]
        started = time.perf_counter()
        found = sniff(path)
        assert time.perf_counter() - started < LIMIT_S
        assert found.kind is KIND_OF_FILE.get((entry["kind"], path.suffix), Kind.CHECKPOINT)
        assert (found.oddities, found.size_bytes) == ((), file["bytes"])
        assert found.sha256 == file["sha256"]


@pytest.mark.parametrize("entry", artifacts())
def test_every_model_tells_what_the_index_says(entry: dict[str, Any]) -> None:
    folder = CORPUS / entry["id"]
    if entry["kind"] == "savedmodel":
        assert sniff(folder).kind is Kind.SAVED_MODEL
    elif entry["kind"] == "ckpt":
        assert sniff((folder / entry["files"][0]["local"]).with_suffix("")).kind is Kind.CHECKPOINT
    elif entry["kind"] in ("h5_model", "arch_weights"):
        found = sniff(folder / entry["files"][0]["local"])
        assert (found.keras_version, found.backend) == (entry["keras_version"], entry["backend"])
        counted = {name: found.layer_classes.get(name, 0) + (name == found.class_name) for name in entry["layers"]}
        assert counted == entry["layers"]
        assert sum(found.layer_classes.values()) + 1 == sum(entry["layers"].values())
        assert list(found.custom_classes) == entry["custom_layers"]
        assert found.has_optimizer_weights == ("optimizer_state" in entry["flags"])
        assert bool(found.lambda_layers) == ("lambda" in entry["flags"])
