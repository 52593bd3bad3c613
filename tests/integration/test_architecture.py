"""An architecture and its weights file are one model; what does not belong together is refused before anything is built."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from command_line import Harness, Once, Run

pytestmark = pytest.mark.integration

PAIRS = (
    "j_chen_ad_bidirectional_lstm_auto_encoder",
    "j_chen_ad_cnn_lstm_auto_encoder",
    "j_chen_ad_con1d_auto_encoder",
    "j_chen_ad_feedforward_encoder",
    "j_chen_ad_lstm_auto_encoder",
    "j_chen_glove_ffn",
    "j_chen_wordvec_cnn",
)
ONE, OTHER = "j_chen_ad_feedforward_encoder", "j_chen_glove_ffn"


@pytest.fixture(scope="module")
def migrated(cli_once: Callable[..., Run], corpus: Path) -> Callable[[str], Run]:
    def get(name: str) -> Run:
        return cli_once(name, "migrate", corpus / name / "arch.json", "--weights", corpus / name / "weights.h5")

    return get


@pytest.fixture(scope="module")
def plain(migrated: Callable[[str], Run], script: Callable[..., str], corpus: Path) -> dict[str, Any]:
    """What one isolated process of the target environment found, for every saved model."""
    saved = [(migrated(name).out / "model.keras", corpus / name / "golden.npz") for name in PAIRS]
    paths = [path for pair in saved for path in pair if pair[0].exists()]
    return dict(json.loads(script("tf2.21", "plain_check.py", *paths, flags=("-I", "-B"))))


@pytest.mark.parametrize("name", PAIRS)
def test_a_real_pair_is_verified_and_reproduces_its_recorded_outputs(
    migrated: Callable[[str], Run], plain: dict[str, Any], name: str
) -> None:
    made = migrated(name)
    assert made.done.status == 0, made.done.text
    report = made.report
    assert (report["status"], report["from"]["environment"]) == ("verified", "keras2.1")
    assert report["source"]["kind"] == "keras_arch"
    assert (report["source"]["file"], report["source"]["weights"]["file"]) == ("arch.json", "weights.h5")
    assert plain["strangers"] == []
    assert plain["difference"][str(made.out / "model.keras")] <= 1e-4


def test_a_partner_is_found_beside_and_named(run: Harness, corpus: Path, tmp_path: Path) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    for name in (ONE, OTHER):
        shutil.copy(corpus / name / "arch.json", folder / f"{name}.json")
    shutil.copy(corpus / ONE / "weights.h5", folder)
    done = run("migrate", folder / "weights.h5", "--out", "out")
    assert done.status == 0, done.text
    assert f'"{ONE}.json" is the only file in the folder that fits' in done.stdout
    assert "found beside it" in json.loads((tmp_path / "out" / "report.json").read_text())["source"]["note"]


def test_weights_of_another_model_are_refused_with_every_difference(run: Harness, corpus: Path) -> None:
    done = run("migrate", corpus / ONE / "arch.json", "--weights", corpus / OTHER / "weights.h5", "--json")
    assert done.status == 3
    error = done.report["error"]
    assert error["code"] == "weights-mismatch"
    assert error["message"].startswith("the architecture has 4 layers with weights, the weights file 2")
    assert len(error["details"]) == 4


def test_an_architecture_without_weights_is_refused(run: Harness, corpus: Path, tmp_path: Path) -> None:
    shutil.copy(corpus / ONE / "arch.json", tmp_path / "alone.json")
    done = run("migrate", "alone.json")
    assert (done.status, "source-architecture-only" in done.text, "`--weights WEIGHTS.h5`" in done.text) == (
        3,
        True,
        True,
    )


def small_pair(folder: Path, *layers: dict[str, Any]) -> tuple[Path, Path]:
    """An architecture of ``layers``, and a weights file of one Dense layer whose weights are all zero."""
    config = {"class_name": "Sequential", "config": list(layers), "keras_version": "2.1.2", "backend": "tensorflow"}
    (folder / "arch.json").write_text(json.dumps(config))
    with h5py.File(folder / "weights.h5", "w") as file:
        file.attrs.update({"keras_version": b"2.1.2", "backend": b"tensorflow", "layer_names": [b"dense_1"]})
        group = file.create_group("dense_1")
        group.attrs["weight_names"] = [b"dense_1/kernel:0", b"dense_1/bias:0"]
        group["dense_1/kernel:0"], group["dense_1/bias:0"] = np.zeros((3, 2), "f4"), np.zeros(2, "f4")
    return folder / "arch.json", folder / "weights.h5"


DENSE = {"name": "dense_1", "units": 2, "kernel_initializer": "zeros", "batch_input_shape": [None, 3]}


def test_weights_that_change_nothing_are_refused(run: Harness, tmp_path: Path) -> None:
    model, weights = small_pair(tmp_path, {"class_name": "Dense", "config": DENSE})
    done = run("migrate", model, "--weights", weights)
    assert done.status == 3
    assert "the weights file changes nothing: all 2 weights are as the initializers make them" in done.text


def test_all_misfits_of_shape_are_listed(run: Harness, tmp_path: Path) -> None:
    model, weights = small_pair(tmp_path, {"class_name": "Dense", "config": {**DENSE, "units": 5}})
    done = run("migrate", model, "--weights", weights)
    assert done.status == 3
    assert "dense_1 (Dense), in the file dense_1: expected [(3, 5), (5,)], found [(3, 2), (2,)]" in done.text


def test_an_architecture_with_a_lambda_is_refused_before_it_is_built(run: Harness, tmp_path: Path) -> None:
    code = {"name": "code", "function": ["4wEAAAA=\n", None, None], "function_type": "lambda"}
    model, weights = small_pair(
        tmp_path, {"class_name": "Dense", "config": DENSE}, {"class_name": "Lambda", "config": code}
    )
    done = run("migrate", model, "--weights", weights)
    assert done.status == 3
    assert "code (class Lambda): its function is no Python bytecode" in done.text


@pytest.fixture(scope="module")
def yaml_pair(once: Once, script: Callable[..., str]) -> Path:
    return once("standalone-keras2.2", lambda folder: script("keras2.2", "standalone_model.py", folder) and None)


def test_yaml_as_keras_writes_it_is_read(run: Harness, yaml_pair: Path) -> None:
    assert "!!python/tuple" in (yaml_pair / "arch.yaml").read_text()
    done = run("migrate", yaml_pair / "arch.yaml", "--weights", yaml_pair / "weights.h5", "--json")
    assert done.status == 0, done.text
    assert done.report["from"]["environment"] == "keras2.2"


@pytest.mark.parametrize("where", ["name: ", "unused: "])
def test_yaml_that_would_run_python_is_refused_unread(
    run: Harness, yaml_pair: Path, tmp_path: Path, where: str
) -> None:
    witness = tmp_path / "witness"
    text = (yaml_pair / "arch.yaml").read_text()
    (tmp_path / "evil.yaml").write_text(
        text + f"{where}!!python/object/apply:os.system ['touch {witness}']\nmore: !!python/name:os.system\n"
    )
    done = run("migrate", "evil.yaml", "--weights", yaml_pair / "weights.h5", "--json")
    assert done.status == 3
    error = done.report["error"]
    assert error["code"] == "source-unsupported-format"
    assert error["message"] == "evil.yaml asks for Python objects, which are not made"
    assert [line.partition(": ")[2] for line in error["details"]] == [
        "tag:yaml.org,2002:python/object/apply:os.system",
        "tag:yaml.org,2002:python/name:os.system",
    ]
    assert not witness.exists()
