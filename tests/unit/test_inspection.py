"""What ``inspect`` tells about a file: stable keys for programs, one table for people."""

from __future__ import annotations

import io
import json
import pickle
from pathlib import Path

import bad_files
import pytest
from rich.console import Console

from harness.errors import HarnessError
from harness.inspection import describe_artifact, render

KEYS = [
    "format_version", "path", "kind", "what", "size_bytes", "sha256", "written_by", "model", "weights", "operations",
    "graphs", "training", "bundle", "migration", "warnings",
]  # fmt: skip
DOCUMENT = Path(__file__).parents[2] / "docs" / "formats.md"


def shown(path: Path, **options: object) -> str:
    stream = io.StringIO()
    render(describe_artifact(path, **options), Console(file=stream, width=200))  # type: ignore[arg-type]
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines())


def model(tmp_path: Path, *layers: dict[str, object]) -> Path:
    return bad_files.keras_h5(tmp_path / "model.h5", bad_files.sequential(*layers))


BUILDERS = [
    bad_files.keras_h5,
    bad_files.weights_only,
    bad_files.saved_model,
    bad_files.bundle,
    bad_files.npz,
    bad_files.plain_hdf5,
]


@pytest.mark.parametrize("build", BUILDERS, ids=[build.__name__ for build in BUILDERS])
def test_the_keys_are_the_same_for_every_kind(tmp_path: Path, build: object) -> None:
    description = describe_artifact(build(tmp_path / "model"))  # type: ignore[operator]
    assert list(description) == KEYS
    assert json.loads(json.dumps(description, allow_nan=False)) == description


def test_every_key_is_documented(tmp_path: Path) -> None:
    text = DOCUMENT.read_text()
    description = describe_artifact(bad_files.keras_h5(tmp_path / "model.h5"))
    inner = [name for value in description.values() if isinstance(value, dict) for name in value]
    inner += list(describe_artifact(bad_files.bundle(tmp_path / "bundle"))["bundle"])
    assert [name for name in [*KEYS, *inner] if f"`{name}`" not in text and name != "Dense"] == []


def test_a_model_is_described(tmp_path: Path) -> None:
    description = describe_artifact(bad_files.keras_h5(tmp_path / "model.h5", keras_version="2.2.4-tf"))
    assert description["written_by"] == {
        "keras_version": "2.2.4-tf",
        "backend": "tensorflow",
        "tensorflow_versions": ["1.13", "1.14", "1.15", "2.0", "2.1"],
        "text": "tf.keras 2.2.4-tf of TensorFlow 1.13, 1.14, 1.15, 2.0 or 2.1",
    }
    assert description["model"]["inputs"] == [{"name": "dense_1", "shape": [None, 3], "dtype": "float32"}]
    assert description["weights"] == {"tensors": 2, "parameters": 8, "size_bytes": 32, "dtypes": {"float32": 2}}
    assert description["migration"] == {"possible": True, "source_environment": None, "reason": None, "note": None}


def test_the_chosen_environment_is_told(tmp_path: Path) -> None:
    asked = []

    def choose(keras_version: str | None, backend: str | None) -> str:
        asked.append((keras_version, backend))
        return "tf1.15"

    description = describe_artifact(bad_files.keras_h5(tmp_path / "model.h5"), choose_source=choose)
    assert (description["migration"]["source_environment"], asked) == ("tf1.15", [("2.2.4", "tensorflow")])


def test_a_refusal_of_the_chooser_is_told_as_the_reason(tmp_path: Path) -> None:
    def choose(keras_version: str | None, backend: str | None) -> str:
        raise HarnessError("source-unsupported-format", f"No environment reads Keras {keras_version} on {backend}.")

    migration = describe_artifact(bad_files.keras_h5(tmp_path / "model.h5"), choose_source=choose)["migration"]
    assert (migration["possible"], migration["reason"]["message"]) == (
        False,
        "No environment reads Keras 2.2.4 on tensorflow.",
    )


def test_what_cannot_be_migrated_says_why(tmp_path: Path) -> None:
    migration = describe_artifact(bad_files.written(tmp_path / "w.pkl", pickle.dumps([1])))["migration"]
    assert (migration["possible"], migration["reason"]["code"]) == (False, "source-unsupported-format")


def test_the_checksum_is_made_only_when_asked_for(tmp_path: Path) -> None:
    path = bad_files.keras_h5(tmp_path / "model.h5")
    assert describe_artifact(path)["sha256"] is None
    assert len(describe_artifact(path, checksum=True)["sha256"]) == 64


WARNINGS = [
    (bad_files.layer("AnchorBoxes"), "Custom layer classes: AnchorBoxes. Their source code is not in the file and has to be supplied."),
    (bad_files.layer("Dense", activation="relu6"), "Custom activations: relu6. Their source code is not in the file and has to be supplied."),
    (bad_files.layer("Lambda", function=["x", None, None]), "Lambda layers stored as Python bytecode: lambda (of no known Python). Bytecode runs only in Python versions close to the one that wrote it."),
    (bad_files.layer("Lambda", function="scale", function_type="function"), "Lambda layers that name a function outside of the file: lambda."),
    (bad_files.layer("LSTM", recurrent_activation="hard_sigmoid"), "hard_sigmoid in 1 layer: it computes differently in Keras 3; the translation keeps the old formula, a plain load would not."),
    (bad_files.layer("LSTM", inner_activation="hard_sigmoid"), "hard_sigmoid in 1 layer: it computes differently in Keras 3; the translation keeps the old formula, a plain load would not."),
    (bad_files.layer("GRU"), "no reset_after in 1 GRU layer: that means False in the old version and would default to True today; the translation writes False."),
    (bad_files.layer("CuDNNLSTM"), "cuDNN kernels in 1 layer: rebuilt as plain LSTM or GRU with reordered weights."),
]  # fmt: skip


@pytest.mark.parametrize(("layer", "warning"), WARNINGS)
def test_one_warning_for_each_thing_to_know(tmp_path: Path, layer: dict[str, object], warning: str) -> None:
    assert describe_artifact(model(tmp_path, layer))["warnings"] == [warning]


def test_a_model_without_anything_special_has_no_warnings(tmp_path: Path) -> None:
    gru = bad_files.layer("GRU", reset_after=False, recurrent_activation="sigmoid")
    assert describe_artifact(model(tmp_path, bad_files.DENSE, gru))["warnings"] == []


def test_another_backend_is_a_warning(tmp_path: Path) -> None:
    path = bad_files.keras_h5(tmp_path / "model.h5", backend="theano")
    assert describe_artifact(path)["warnings"] == [
        "Written on the backend theano: its convolution kernels are stored rotated by 180°."
    ]


def test_a_broken_config_is_a_warning(tmp_path: Path) -> None:
    description = describe_artifact(bad_files.keras_h5(tmp_path / "model.h5", b"[1]"))
    assert description["warnings"] == [
        "The model_config is a JSON list; expected an object with class_name and config."
    ]


def test_the_table_of_a_model(tmp_path: Path) -> None:
    path = bad_files.keras_h5(tmp_path / "model.h5")
    assert shown(path, choose_source=lambda *_: "tf1.15").replace(str(path), "PATH").splitlines() == [
        "file            PATH",
        "kind            a whole Keras model in HDF5 (keras_h5)",
        f"size            {path.stat().st_size:,} bytes",
        "written by      standalone Keras 2.2.4 on tensorflow",
        "model           Sequential, 1 layer",
        "layers          Dense",
        "input           dense_1 (None, 3) float32",
        "parameters      8 in 2 tensors (float32)",
        "training state  none",
        "migrate         yes, reading it with tf1.15",
    ]


def test_the_table_of_a_bundle(tmp_path: Path) -> None:
    text = shown(bad_files.bundle(tmp_path / "bundle"))
    assert "schema    1, readers from 1" in text
    assert "producer  name harness, version 0.1.0" in text
    assert "source    kind keras_h5, keras_version 2.2.4" in text
    assert "arrays    1 array, 24 bytes" in text


@pytest.mark.parametrize("value", [None, 7, "x", [], {}, [1], {"a": 1}])
@pytest.mark.parametrize("key", ["source", "model", "arrays", "probes", "producer"])
def test_a_bundle_of_another_form_is_shown_all_the_same(tmp_path: Path, key: str, value: object) -> None:
    folder = bad_files.bundle(tmp_path / "bundle")
    (folder / "manifest.json").write_text(json.dumps({**bad_files.MANIFEST, key: value}))
    assert "a bundle of this harness" in shown(folder)


def test_names_from_the_file_reach_the_terminal_without_escapes_or_markup(tmp_path: Path) -> None:
    text = shown(model(tmp_path, bad_files.layer("\x1b[31mRed"), bad_files.layer("[bold]Loud[/bold]")))
    assert "\x1b" not in text
    assert "?[31mRed" in text
    assert "[bold]Loud[/bold]" in text
