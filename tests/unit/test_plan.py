"""What a migration would do is decided before anything is started."""

from __future__ import annotations

import json
from pathlib import Path

import bad_files
import pytest

from harness.errors import HarnessError
from harness.plan import Options, default_out, make_plan


def refused(*arguments: object, **options: object) -> HarnessError:
    with pytest.raises(HarnessError) as caught:
        make_plan(*arguments, **options)  # type: ignore[arg-type]
    return caught.value


@pytest.mark.parametrize(
    ("version", "source"),
    [("2.0.5", "keras2.1"), ("2.1.6-tf", "tf1.12"), ("2.2.4-tf", "tf1.15"), ("2.2.4", "keras2.2")],
)
def test_the_source_environment_follows_from_what_wrote_the_file(tmp_path: Path, version: str, source: str) -> None:
    model = bad_files.keras_h5(tmp_path / "model.h5", keras_version=version)
    made = make_plan(model)
    assert (made.source_env.name, made.target_env.name, made.reader) == (source, "tf2.21", "read_keras_h5")


def test_a_plan_is_readable_and_starts_nothing(tmp_path: Path) -> None:
    model = bad_files.keras_h5(tmp_path / "model.h5", keras_version="2.2.4-tf")
    made = make_plan(model, options=Options(formats=("keras", "saved_model")), out=tmp_path / "new")
    assert made.steps[0].startswith(
        "read model.h5 (a whole Keras model in HDF5) in tf1.15 (TensorFlow 1.15.5, Python 3.7)"
    )
    assert made.steps[2] == "translate the configuration: tf1.15 → tf2.3 → tf2.15 → keras-3"
    assert made.steps[4] == f"save it as keras and saved_model below {tmp_path / 'new'}"
    assert json.loads(json.dumps(made.as_json()))["formats"] == ["keras", "saved_model"]
    assert [path.name for path in tmp_path.iterdir()] == ["model.h5"]


def test_an_unknown_environment_is_a_usage_error(tmp_path: Path) -> None:
    model = bad_files.keras_h5(tmp_path / "model.h5")
    assert refused(model, source_env="tf9").code == "environment-unknown"
    assert refused(model, target_env="tf9").code == "environment-unknown"


def test_an_environment_that_builds_no_models_is_no_target(tmp_path: Path) -> None:
    error = refused(bad_files.keras_h5(tmp_path / "model.h5", keras_version="2.2.4-tf"), target_env="tf1.14")
    assert error.code == "pair-unsupported"
    assert error.message == "tf1.14 is not a target; tf1.12, tf1.15, tf2.3, tf2.15, tf2.21, tf_keras2.21 are."


@pytest.mark.parametrize(
    ("target", "own", "chain"),
    [
        ("tf2.21", "keras", "tf1.15 → tf2.3 → tf2.15 → keras-3"),
        ("tf2.15", "keras", "tf1.15 → tf2.3 → tf2.15"),
        ("tf_keras2.21", "keras", "tf1.15 → tf2.3 → tf2.15"),
        ("tf2.3", "h5", "tf1.15 → tf2.3"),
    ],
)
def test_every_target_has_a_saved_form_and_a_chain_of_its_own(
    tmp_path: Path, target: str, own: str, chain: str
) -> None:
    made = make_plan(bad_files.keras_h5(tmp_path / "model.h5", keras_version="2.2.4-tf"), target_env=target)
    assert made.options.formats == (own,)
    assert made.steps[2] == f"translate the configuration: {chain}"


@pytest.mark.parametrize(
    ("keras_version", "target", "chain"),
    [
        ("2.4.0", "tf1.15", "tf2.3 → tf1.15"),
        ("2.4.0", "tf1.12", "tf2.3 → tf1.15 → tf1.14 → tf1.13 → tf1.12"),
        ("2.15.0", "tf1.12", "tf2.15 → tf2.3 → tf1.15 → tf1.14 → tf1.13 → tf1.12"),
    ],
)
def test_the_way_back_goes_through_the_same_dialects(
    tmp_path: Path, keras_version: str, target: str, chain: str
) -> None:
    made = make_plan(bad_files.keras_h5(tmp_path / "model.h5", keras_version=keras_version), target_env=target)
    assert made.options.formats == ("h5",)
    assert made.steps[2] == f"translate the configuration: {chain}"


@pytest.mark.parametrize(("target", "forms"), [("tf2.21", ("keras", "saved_model")), ("tf1.15", ("h5",))])
def test_a_full_proof_has_a_saved_model_where_the_target_writes_one(
    tmp_path: Path, target: str, forms: tuple[str, ...]
) -> None:
    model = bad_files.keras_h5(tmp_path / "model.h5", keras_version="2.4.0")
    assert make_plan(model, target_env=target, options=Options(proof="full")).options.formats == forms


def test_a_form_that_the_target_does_not_write_is_a_usage_error(tmp_path: Path) -> None:
    model = bad_files.keras_h5(tmp_path / "model.h5", keras_version="2.2.4-tf")
    error = refused(model, target_env="tf2.3", options=Options(formats=("keras", "saved_model")))
    assert (error.code, error.message) == ("usage", "tf2.3 (TensorFlow 2.3.1) does not write keras.")
    assert error.remedy == "Choose from `--format h5`, `--format saved_model`."


def test_a_file_of_another_era_names_the_right_environment(tmp_path: Path) -> None:
    error = refused(bad_files.keras_h5(tmp_path / "model.h5", keras_version="2.4.0"), source_env="tf1.15")
    assert error.code == "source-wrong-era"
    assert error.message.endswith("(keras_version 2.4.0), which tf1.15 does not read.")
    assert error.remedy == "Leave `--from` at `auto`, or use `--from tf2.3`."


def test_what_is_no_model_ends_the_plan(tmp_path: Path) -> None:
    assert refused(tmp_path / "nothing.h5").code == "source-missing"
    assert refused(bad_files.weights_only(tmp_path / "weights.h5")).code == "source-weights-only"


@pytest.mark.parametrize(
    ("source", "out"),
    [("a/model.h5", "model-migrated"), ("a/model.v2.hdf5", "model.v2-migrated"), ("a/b", "b-migrated")],
)
def test_results_go_to_the_current_folder_named_after_the_source(source: str, out: str) -> None:
    assert default_out(Path(source)) == Path(out)
