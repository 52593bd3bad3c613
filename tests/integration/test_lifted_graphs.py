"""Graphs of TensorFlow 1.15 as native Keras models: small graphs of one construction each, classic networks, a BERT-like encoder."""

from __future__ import annotations

import json
import os
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command_line import Once
from graph_runs import migrate_all

from harness.backends import WORKER_FOLDER, Environment
from harness.graph_plan import Choices
from harness.plan import Options

pytestmark = pytest.mark.integration
Script = Callable[..., str]
Environments = Callable[[str], Environment]
SMALL = (
    "bert", "forms_of_batch_norm", "forms_of_convolution", "shared_weights", "partly", "unrolled_lstm", "dynamic_lstm",
    "bert_heads", "partitioned",
)  # fmt: skip
#: frozen graphs, one habit of the time each
FROZEN = (
    "phase_left_open", "dropout_off", "unknown_rank", "stored_in_half", "fake_quant", "resized", "of_2015", "dilations",
    "transposed",
)  # fmt: skip
#: layers with weights of each network, as Keras counts them
NETWORKS = {
    "MobileNet": {"Conv2D": 15, "DepthwiseConv2D": 13, "BatchNormalization": 27},
    "MobileNetV2": {"Conv2D": 35, "DepthwiseConv2D": 17, "BatchNormalization": 52, "Dense": 1},
    "ResNet50": {"Conv2D": 53, "BatchNormalization": 53, "Dense": 1},
    "InceptionV3": {"Conv2D": 94, "BatchNormalization": 94, "Dense": 1},
    "VGG16": {"Conv2D": 13, "Dense": 3},
    "DenseNet121": {"Conv2D": 120, "BatchNormalization": 121, "Dense": 1},
    "Xception": {"Conv2D": 6, "SeparableConv2D": 34, "BatchNormalization": 40, "Dense": 1},
}
#: the two that are always run; HARNESS_LIFT_ALL=1 runs all seven, which takes minutes
ALWAYS = ("MobileNet", "ResNet50")


def source(folder: Path) -> Path:
    found = [folder / name for name in ("frozen.pb", "model.ckpt.meta") if (folder / name).exists()]
    return found[0] if found else folder


@pytest.fixture(scope="module")
def lifted(once: Once, script: Script, environment: Environments, tmp_path_factory: Any) -> Any:
    networks = tuple(NETWORKS) if os.environ.get("HARNESS_LIFT_ALL") else ALWAYS
    names = (*SMALL, *networks)
    folder = once("lift", lambda folder: script("tf1.15", "lift_graphs.py", folder, *names) and None)
    work = tmp_path_factory.mktemp("lifted")
    frozen = once("lift-frozen", lambda folder: script("tf1.15", "lift_frozen.py", folder, *FROZEN) and None)
    cases = [(name, source(folder / name), Choices()) for name in names]
    cases += [(name, source(frozen / name), Choices()) for name in FROZEN]
    return migrate_all(cases, "tf1.15", environment, work, Options(lift=True)), work


def test_every_lifted_graph_is_verified(lifted: Any) -> None:
    reports, _ = lifted
    rows = {name: [*r["lift"]["outputs"], *r["lift"]["gradients"]] for name, r in reports.items() if r["lift"]}
    assert set(rows) == set(reports)
    wrong = {name: [row["name"] for row in found if not row["ok"]] for name, found in rows.items()}
    assert {name: (found, reports[name]["lift"]["findings"]) for name, found in wrong.items() if found} == {}
    assert {name: r["status"] for name, r in reports.items() if r["status"] != "verified"} == {}
    assert all(r["lift"]["gradients"] for r in reports.values())


def test_only_what_keras_lacks_is_carried_and_named(lifted: Any) -> None:
    reports, _ = lifted
    partly = {
        name: sorted(row["op"] for row in r["lift"]["blocked"]) for name, r in reports.items() if r["lift"]["blocked"]
    }
    assert partly.pop("partly") == ["Cumsum", "Dilation2D"]
    assert "a loop" in partly.pop("dynamic_lstm")
    assert partly == {}


def test_networks_consist_of_the_layers_that_they_were_made_of(lifted: Any) -> None:
    reports, _ = lifted
    for name in set(NETWORKS) & set(reports):
        counts = Counter(row["class_name"] for row in reports[name]["lift"]["layers"])
        assert {key: counts[key] for key in NETWORKS[name]} == NETWORKS[name], name
        assert "Embedding" not in counts, name


def test_native_files_name_nothing_of_the_harness(lifted: Any) -> None:
    reports, work = lifted
    for name, made in reports.items():
        with zipfile.ZipFile(work / name / "lift" / "out" / "model.keras") as file:
            text = file.read("config.json").decode()
        assert ("GraphLayer" in text) == (made["lift"]["status"] == "partly"), name


def test_units_on_knees_explain_gradients_and_nothing_else(script: Script) -> None:
    found = json.loads(script("tf2.21", "knee_units.py", WORKER_FOLDER))
    pooled = [["pooled", [0, row, column, 0]] for row, column in ([0, 1], [1, 0])]
    for way in ("as_function", "as_model"):
        made = found[way]
        assert made["jump"] > 1e-1
        # Both inputs of a maximum are near; of a pooling, the two that compete.
        assert made["units"] == [["larger", [2, 3]], ["larger", [2, 3]], *pooled, ["relu6", [1, 2]]]
        assert made["left"] < 1e-6
        assert made["wrong"] > 9e-3, "a wrong gradient is found with units held, too"
        assert made["out_of_reach"] == made["jump"], "what is farther off than rounding is not held"
