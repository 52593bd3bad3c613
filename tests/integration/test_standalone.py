"""Standalone Keras as a source: each version reads what it wrote, Keras 2.2 what Keras 1 wrote, kernels of Theano too."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import Once, Run

from harness.bundle import Bundle

pytestmark = pytest.mark.integration

VERSIONS = ("keras2.1", "keras2.2", "keras2.3")
#: real files: what wrote them, and the environment that is chosen
FILES = {
    "k_rlcode_cartpole_121": ("1.2.1", "keras2.2"),
    "k_face_tiny_kdef": ("2.0.5", "keras2.1"),
    "k_art_mnist_222": ("2.2.2", "keras2.2"),  # its Sequential config is a bare list
    "k_ina_smn_231": ("2.3.1", "keras2.3"),
}


@pytest.fixture(scope="session")
def written(once: Once, script: Callable[..., str]) -> Callable[[str], Path]:
    """``written("keras2.1")``: the folder that standalone_model.py filled in that environment."""

    def get(name: str) -> Path:
        def make(folder: Path) -> None:
            assert script(name, "standalone_model.py", folder) == "3"

        return once(f"standalone-{name}", make)

    return get


@pytest.mark.parametrize("name", VERSIONS)
def test_each_version_reads_what_it_wrote(
    cli_once: Callable[..., Run], written: Callable[[str], Path], name: str
) -> None:
    made = cli_once(f"whole-{name}", "migrate", written(name) / "whole.h5")
    assert made.done.status == 0, made.done.text
    assert made.report["status"] == "verified"
    assert made.report["from"]["environment"] == name
    assert made.report["layers"]["equal_within_bound"] == made.report["layers"]["compared"] >= 8


@pytest.mark.parametrize("name", VERSIONS)
def test_a_file_of_theano_computes_what_the_one_of_tensorflow_does(
    cli_once: Callable[..., Run], written: Callable[[str], Path], name: str
) -> None:
    outputs = []
    for file in ("whole", "theano"):
        made = cli_once(f"{file}-exported-{name}", "export", written(name) / f"{file}.h5")
        assert made.done.status == 0, made.done.text
        outputs.append(recorded(made.out / "bundle"))
    assert outputs[0].keys() == outputs[1].keys() != set()
    for key, array in outputs[0].items():
        np.testing.assert_array_equal(array, outputs[1][key], err_msg=key)


def recorded(folder: Path) -> dict[str, Any]:
    """Every output that the source model gave, by name."""
    bundle = Bundle.open(folder)
    names = [output for probes in bundle.manifest["probes"]["sets"] for output in probes["outputs"]]
    return {name: bundle.arrays.get(name) for name in names}


@pytest.mark.parametrize(("name", "expected"), FILES.items())
def test_a_real_file_is_read_by_the_environment_of_its_writer(
    cli_once: Callable[..., Run],
    script: Callable[..., str],
    corpus: Path,
    name: str,
    expected: tuple[str, str],
) -> None:
    (model,) = (path for path in (corpus / name).iterdir() if path.suffix in (".h5", ".hdf5"))
    made = cli_once(name, "migrate", model)
    assert made.done.status == 0, made.done.text
    assert (made.report["source"]["keras_version"], made.report["from"]["environment"]) == expected
    golden = corpus / name / "golden.npz"
    found = json.loads(script("tf2.21", "plain_check.py", made.out / "model.keras", golden, flags=("-I", "-B")))
    assert max(found["difference"].values()) <= 1e-5
