"""From TensorFlow 2 back to TensorFlow 1: a file that the old TensorFlow loads by itself and that computes the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import Harness, Once, Run

pytestmark = pytest.mark.integration

DOUBLE = Path(__file__).parent / "builders" / "double_layer.py"
ROUTES = [("tf2.3", "tf1.12"), ("tf2.3", "tf1.15"), ("tf2.15", "tf1.12")]


@pytest.fixture(scope="module")
def back(cli_once: Callable[..., Run], once: Once, script: Callable[..., str]) -> Callable[[str, str], Run]:
    """``back("tf2.3", "tf1.12")``: a model of a newer version, migrated."""

    def get(source: str, target: str) -> Run:
        name = f"modern-{source}"
        model = once(name, lambda folder: script(source, "modern_model.py", folder / "model.h5") and None) / "model.h5"
        return cli_once(f"{name}-{target}", "migrate", model, "--to", target)

    return get


@pytest.mark.parametrize(("source", "target"), ROUTES)
def test_a_keras_2_model_is_verified_in_tensorflow_1(back: Callable[[str, str], Run], source: str, target: str) -> None:
    made = back(source, target)
    assert made.done.status == 0, made.done.text
    report = made.report
    assert (report["status"], report["to"]["environment"]) == ("verified", target)
    assert [a["path"] for a in report["artifacts"] if a["format"] == "h5"] == ["model.h5"]
    assert report["weights"]["equal"] == report["weights"]["total"]
    assert report["layers"]["equal_within_bound"] == report["layers"]["compared"] > 8


@pytest.mark.parametrize(
    ("name", "target"), [("model.keras", "tf1.12"), ("model.h5", "tf1.15"), ("model.keras", "tf2.15")]
)
def test_a_keras_3_model_is_verified_in_older_versions(
    cli_once: Callable[..., Run], once: Once, script: Callable[..., str], name: str, target: str
) -> None:
    folder = once("keras3", lambda folder: script("tf2.21", "keras3_model.py", folder) and None)
    made = cli_once(f"keras3-{target}", "migrate", folder / name, "--to", target)
    assert made.done.status == 0, made.done.text
    report = made.report
    assert (report["status"], report["from"]["environment"]) == ("verified", "tf2.21")
    assert report["weights"]["equal"] == report["weights"]["total"]
    assert report["layers"]["equal_within_bound"] == report["layers"]["compared"] > 12
    assert any("compile the model in the target" in line for line in report["not_checked"])


@pytest.fixture(scope="module")
def question(once: Once, script: Callable[..., str]) -> Path:
    """The models of TF 2.3 that users of TF 1.12 ask for."""
    return once("question-5", lambda folder: script("tf2.3", "question_5.py", folder, DOUBLE) and None)


def test_5a_a_sequential_model_of_dense_layers(cli_once: Callable[..., Run], question: Path) -> None:
    made = cli_once("question-5a", "migrate", question / "sequential.h5", "--to", "tf1.12")
    assert (made.done.status, made.report["status"]) == (0, "verified"), made.done.text
    assert [row["name"] for row in made.report["outputs"]] == ["dense_1"]


def test_5b_a_custom_layer_with_its_source_on_both_sides(cli_once: Callable[..., Run], question: Path) -> None:
    given = ("--custom-objects", DOUBLE, "--target-objects", DOUBLE)
    made = cli_once("question-5b", "migrate", question / "custom.h5", "--to", "tf1.12", *given)
    assert (made.done.status, made.report["status"]) == (0, "verified"), made.done.text
    assert [(row["layer"], row["way"]) for row in made.report["code"]] == [("double", "source")]


@pytest.mark.parametrize("target", ["tf1.12", "tf1.15"])
def test_5c_relu_in_the_place_of_selu_diverges_at_that_layer(
    back: Callable[[str, str], Run], script: Callable[..., str], run: Harness, tmp_path: Path, target: str
) -> None:
    made = back("tf2.3", target)
    script(target, "rename_activation.py", made.out / "model.h5", "selu", "relu", tmp_path / "model.h5")
    done = run("verify", tmp_path / "model.h5", made.out / "bundle", "--in", target, "--json")
    assert (done.status, done.report["status"]) == (1, "diverged"), done.text
    first = done.report["layers"]["first_divergent"]
    assert (first["layer"], first["class_name"]) == ("selu", "Dense")
