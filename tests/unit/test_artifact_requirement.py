"""Each kind that is not migrated is refused with what it is, what was expected and what to do."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import bad_files
import pytest

from harness.artifact import Kind, require_keras_model, sniff
from harness.artifact.requirement import _REMEDIES, WHOLE_MODELS
from harness.errors import HarnessError

EXPECTED = 'expected a whole Keras model in HDF5, as `model.save("model.h5")` writes it.'
HTML = b"<!DOCTYPE html>\n<html><body>Not found</body></html>"

REFUSALS: list[tuple[str, Callable[[Path], Path], str, str]] = [
    ("Git LFS pointer", lambda p: bad_files.written(p, bad_files.LFS_POINTER), "source-not-recognised", "a Git LFS pointer, not the model itself: the real file has 872,856 bytes"),
    ("HTML page", lambda p: bad_files.written(p, HTML), "source-not-recognised", "an HTML page, as a failed download leaves it"),
    ("HTTP error", lambda p: bad_files.written(p, b"404: Not Found"), "source-not-recognised", "the text of an HTTP error, as a failed download leaves it"),
    ("XML error", lambda p: bad_files.written(p, b"<?xml version='1.0'?><Error/>"), "source-not-recognised", "an XML document, as a failed download leaves it"),
    ("zero bytes", lambda p: bad_files.written(p, bytes(4096)), "source-not-recognised", "a file of zero bytes only, as a failed download or a full disk leaves it"),
    ("text", lambda p: bad_files.written(p, b"hello\n"), "source-not-recognised", "a text file"),
    ("script", lambda p: bad_files.written(p, b"import keras\n"), "source-not-recognised", "a Python script"),
    ("other JSON", lambda p: bad_files.written(p, b'{"a": 1}'), "source-not-recognised", "a JSON file"),
    ("binary", lambda p: bad_files.written(p, b"\x00\xff\xfe\x01" * 9), "source-not-recognised", "a binary file of an unknown format"),
    ("gzip", bad_files.gzipped, "source-not-recognised", "a gzip file with an HDF5 file inside"),
    ("damaged gzip", lambda p: bad_files.written(p, b"\x1f\x8bxxxxxxxxxx"), "source-not-recognised", "a damaged compressed file"),
    ("tar", bad_files.tarred, "source-not-recognised", "a tar archive"),
    ("zip", lambda p: bad_files.zipped(p, {"a.txt": b""}), "source-not-recognised", "a zip archive of 1 file"),
    ("PyTorch", lambda p: bad_files.zipped(p, {"archive/data.pkl": b""}), "source-not-recognised", "a PyTorch file"),
    ("TensorFlow Lite", lambda p: bad_files.written(p, b"\x1c\x00\x00\x00TFL3" + bytes(9)), "source-not-recognised", "a TensorFlow Lite model"),
    ("HDF5 without Keras", bad_files.plain_hdf5, "source-not-recognised", "an HDF5 file without Keras attributes, holding 1 dataset (kernel)"),
    ("empty folder", lambda p: p.mkdir() or p, "source-is-directory", "an empty folder"),
    ("SavedModel", bad_files.saved_model, "source-unsupported-format", "a SavedModel"),
    ("hub module", bad_files.hub_module, "source-unsupported-format", "a TensorFlow Hub module (TF1 format)"),
    ("checkpoint", bad_files.checkpoint, "source-unsupported-format", "a TensorFlow checkpoint (V2) of 3 files"),
    ("graph", bad_files.graph_def, "source-unsupported-format", "a TensorFlow GraphDef"),
    ("pickle", lambda p: bad_files.written(p, pickle.dumps([1])), "source-unsupported-format", "a Python pickle"),
    ("npz", bad_files.npz, "source-unsupported-format", "a numpy archive (.npz) of 2 arrays"),
    ("safetensors", bad_files.safetensors, "source-unsupported-format", "a safetensors file of 1 tensor"),
    ("bundle", bad_files.bundle, "source-unsupported-format", "a bundle of this harness"),
    ("weights", bad_files.weights_only, "source-weights-only", "a Keras weights file of 1 layer without an architecture, written by standalone Keras 2.1.2 on tensorflow"),
    ("weights of Keras 1", bad_files.weights_only_keras1, "source-weights-only", "a Keras weights file of 1 layer without an architecture"),
    ("weights of Keras 3", bad_files.weights_only_keras3, "source-weights-only", "a Keras weights file of 1 layer without an architecture"),
]  # fmt: skip


def refusal(path: Path) -> HarnessError:
    with pytest.raises(HarnessError) as caught:
        require_keras_model(sniff(path))
    return caught.value


@pytest.mark.parametrize(("build", "code", "what"), [row[1:] for row in REFUSALS], ids=[row[0] for row in REFUSALS])
def test_a_refusal_says_what_the_file_is(tmp_path: Path, build: Callable[[Path], Path], code: str, what: str) -> None:
    error = refusal(build(tmp_path / "model.h5"))
    assert (error.code, error.message) == (code, f'"model.h5" is {what}; {EXPECTED}')


def test_a_sound_model_is_accepted(tmp_path: Path) -> None:
    require_keras_model(sniff(bad_files.keras_h5(tmp_path / "any-name.bin")))
    require_keras_model(sniff(bad_files.keras3(tmp_path / "another-name.bin")))


def test_every_known_kind_has_its_remedy() -> None:
    assert set(_REMEDIES) == set(Kind) - {*WHOLE_MODELS, Kind.UNKNOWN}


def test_a_misleading_extension_is_named(tmp_path: Path) -> None:
    assert refusal(bad_files.gzipped(tmp_path / "model.keras")).details == (
        'The extension ".keras" promises a Keras archive; the content is a gzip file with an HDF5 file inside.',
    )


def test_a_fitting_extension_is_not_mentioned(tmp_path: Path) -> None:
    assert refusal(bad_files.weights_only_keras3(tmp_path / "model.h5")).details == ()


def test_a_folder_names_the_models_inside(tmp_path: Path) -> None:
    bad_files.keras_h5(tmp_path / "inside.h5")
    assert refusal(tmp_path).details == ('In it: "inside.h5"',)


REMEDIES = [
    (lambda p: bad_files.written(p, bad_files.LFS_POINTER), "Run `git lfs pull` in the repository it came from, then use the file that this brings."),
    (lambda p: bad_files.written(p, HTML), "Download the file again, and compare its size and checksum with those the source gives."),
    (bad_files.gzipped, "Unpack it, and name the model file inside."),
]  # fmt: skip


@pytest.mark.parametrize(("build", "remedy"), REMEDIES)
def test_a_refusal_says_what_to_do(tmp_path: Path, build: Callable[[Path], Path], remedy: str) -> None:
    assert refusal(build(tmp_path / "model.h5")).remedy == remedy


def test_a_broken_config_is_refused_with_its_defect(tmp_path: Path) -> None:
    error = refusal(bad_files.keras_h5(tmp_path / "m.h5", b"[1]"))
    assert (error.code, error.message) == (
        "source-truncated",
        '"m.h5" is a Keras model in HDF5 whose model_config is a JSON list; expected an object with class_name and config.',
    )


def test_a_declared_shape_without_its_values_is_refused(tmp_path: Path) -> None:
    add = lambda f: f.create_dataset("model_weights/giant", (2**40,), "f4", chunks=(1,))  # noqa: E731
    error = refusal(bad_files.edited(tmp_path / "m.h5", add))
    assert error.code == "source-truncated"
    assert error.details == (
        '"model_weights/giant" declares the shape (1099511627776,) with 4,398,046,511,104 bytes; the file holds 0 bytes of it.',
    )
