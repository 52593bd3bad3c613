"""Every bad input ends with its documented status and one clear message, and leaves nothing half-made behind."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import jsonschema
import numpy as np
import pytest
from command_line import REPORTS, Done, Harness, Run, content

from harness import report as reports
from harness.errors import CATALOGUE

pytestmark = pytest.mark.integration

MINI = Path("k_face_mini_xception") / "model.hdf5"


def assert_ended(done: Done, code: str, message: str) -> None:
    """The documented status, and the whole sentence of the message behind its code."""
    assert done.status == int(CATALOGUE[code].exit_status), done.text
    assert f"{code}: {message}\n" in done.stderr
    assert "What to do: " in done.stderr
    assert "Traceback" not in done.text
    assert done.stdout == ""


def cut(size: int) -> Callable[[Path, Path], None]:
    return lambda path, model: path.write_bytes(model.read_bytes()[:size]) and None


def written(content: bytes) -> Callable[[Path, Path], None]:
    return lambda path, model: path.write_bytes(content) and None


def npz(path: Path, model: Path) -> None:
    with path.open("wb") as stream:
        np.savez(stream, kernel=np.zeros(3))


def weights_only(path: Path, model: Path) -> None:
    with h5py.File(model) as whole, h5py.File(path, "w") as file:
        whole.copy("model_weights/conv2d_1", file)
        file.attrs["layer_names"] = [b"conv2d_1"]
        file.attrs["keras_version"] = "2.0.5"
        file.attrs["backend"] = "tensorflow"


EXPECTED = 'expected a whole Keras model in HDF5, as `model.save("model.h5")` writes it.'


@pytest.mark.parametrize(
    ("make", "code", "message"),
    [
        (written(b"not a model\n"), "source-not-recognised", f'"model.h5" is a text file; {EXPECTED}'),
        (written(b""), "source-empty", '"model.h5" is empty: it has 0 bytes.'),
        (cut(60), "source-truncated", '"model.h5" is a truncated HDF5 file: its header declares 872,856 bytes, the file has 60.'),
        (cut(4000), "source-truncated", '"model.h5" is a truncated HDF5 file: its header declares 872,856 bytes, the file has 4,000.'),
        (cut(872_855), "source-truncated", '"model.h5" is a truncated HDF5 file: its header declares 872,856 bytes, the file has 872,855.'),
        (npz, "source-unsupported-format", None),
        (weights_only, "source-weights-only", None),
        (lambda path, model: path.mkdir(), "source-is-directory", f'"model.h5" is an empty folder; {EXPECTED}'),
        (lambda path, model: None, "source-missing", '"model.h5" does not exist in the folder ".".'),
    ],
    ids=["text", "empty", "cut-60", "cut-4000", "cut-last-byte", "npz", "weights-only", "folder", "missing"],
)  # fmt: skip
def test_what_is_no_model_is_named_and_left_alone(
    run: Harness, corpus: Path, tmp_path: Path, make: Callable[[Path, Path], None], code: str, message: str | None
) -> None:
    make(tmp_path / "model.h5", corpus / MINI)
    before, names = content(tmp_path), sorted(path.name for path in tmp_path.iterdir())
    done = run("migrate", "model.h5", "--out", "out")
    assert_ended(done, code, message or done.stderr.splitlines()[0].removeprefix(f"{code}: "))
    assert content(tmp_path) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == names


def test_a_keras_3_file_named_h5_needs_no_migration(run: Harness, mini: Run, tmp_path: Path) -> None:
    shutil.copy(mini.out / "model.keras", tmp_path / "model.h5")
    done = run("migrate", "model.h5")
    message = '"model.h5" is a Keras archive (.keras), written by Keras 3.15.1.'
    assert_ended(done, "source-unsupported-format", message)
    assert "needs no migration: today's Keras loads it" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["model.h5"]


def test_a_tf2_file_is_not_read_by_tf1(run: Harness, corpus: Path, tmp_path: Path) -> None:
    shutil.copy(corpus / MINI, tmp_path / "model.h5")
    (tmp_path / "model.h5").chmod(0o644)
    with h5py.File(tmp_path / "model.h5", "r+") as file:
        file.attrs["keras_version"] = "2.4.0"
    before = content(tmp_path)
    done = run("migrate", "model.h5", "--from", "tf1.15")
    assert_ended(
        done,
        "source-wrong-era",
        "model.h5 was written by tf.keras 2.4.0 of TensorFlow 2.3 or 2.4 (keras_version 2.4.0), which tf1.15 does not read.",
    )
    assert content(tmp_path) == before


def test_a_file_without_read_permission_is_named(run: Harness, corpus: Path, tmp_path: Path) -> None:
    # Root reads everything, unless its capabilities are taken away.
    prefix = ("setpriv", "--inh-caps", "-all", "--bounding-set", "-all") if os.geteuid() == 0 else ()
    if prefix and not shutil.which("setpriv"):
        pytest.skip("run by root, and setpriv is not there to take away its rights")
    shutil.copy(corpus / MINI, tmp_path / "model.h5")
    (tmp_path / "model.h5").chmod(0)
    done = run("migrate", "model.h5", prefix=prefix)
    assert_ended(done, "source-unreadable", done.stderr.splitlines()[0].removeprefix("source-unreadable: "))
    assert '"model.h5"' in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["model.h5"]


def test_a_folder_of_the_user_is_never_replaced(run: Harness, corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("three years of work")
    before = content(tmp_path)
    done = run("migrate", corpus / MINI, "--out", "out")
    where = tmp_path / "out"
    assert_ended(
        done, "output-occupied", f"{where} is a folder with other content, not an earlier result of the harness."
    )
    assert content(tmp_path) == before


def test_a_file_of_the_user_is_never_replaced(run: Harness, corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("three years of work")
    done = run("migrate", corpus / MINI, "--out", "out")
    assert_ended(done, "output-occupied", f"{tmp_path / 'out'} is a file, not an earlier result of the harness.")
    assert (tmp_path / "out").read_text() == "three years of work"


def test_a_folder_that_holds_the_input_is_never_replaced(run: Harness, mini: Run, tmp_path: Path) -> None:
    shutil.copytree(mini.out, tmp_path / "out")
    before = content(tmp_path)
    done = run("import", "out/bundle", "--out", "out")
    assert_ended(done, "output-occupied", f"{tmp_path / 'out'} holds the input out/bundle, and would be replaced.")
    done = run("verify", "out/model.keras", "out/bundle", "--out", "out")
    assert_ended(done, "output-occupied", f"{tmp_path / 'out'} holds the input out/model.keras, and would be replaced.")
    assert content(tmp_path) == before


def test_an_output_folder_that_cannot_be_made_is_named(run: Harness, corpus: Path, tmp_path: Path) -> None:
    done = run("migrate", corpus / MINI, "--out", "/proc/nowhere/out")
    assert_ended(done, "output-unwritable", done.stderr.splitlines()[0].removeprefix("output-unwritable: "))
    assert "/proc/nowhere/out" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_every_layer_without_usable_code_is_listed_at_once(run: Harness, tmp_path: Path) -> None:
    def entry(class_name: str, name: str, **config: Any) -> dict[str, Any]:
        return {"class_name": class_name, "config": {"name": name, **config}}

    layers = [
        entry("Dense", "dense_1", units=2, activation="relu", batch_input_shape=[None, 3], dtype="float32"),
        entry("Lambda", "twice", function=["AAAA", None, None], function_type="lambda"),
        entry("Capsule", "capsule_1"),
        entry("TimeDistributed", "wrapped", layer=entry("Squeeze", "squeeze_1")),
    ]
    with h5py.File(tmp_path / "model.h5", "w") as file:
        file.attrs["model_config"] = json.dumps({"class_name": "Sequential", "config": {"name": "s", "layers": layers}})
        file.attrs["keras_version"], file.attrs["backend"] = "2.2.4-tf", "tensorflow"
        file.create_group("model_weights").attrs["layer_names"] = [b"dense_1"]
    before = content(tmp_path)
    done = run("migrate", "model.h5", "--out", "out", "--json")
    assert done.status == 3, done.text
    assert "Traceback" not in done.text
    error = done.report["error"]
    assert error["code"] == "code-missing"
    assert error["message"] == "3 layers are made of code that the file does not carry in a usable form"
    assert sorted(error["details"]) == [
        "capsule_1 (class Capsule): no source for this class",
        "squeeze_1 (class Squeeze): no source for this class",
        "twice (class Lambda): its function is no Python bytecode: no Python writes a function like that",
    ]
    assert "class Capsule(keras.layers.Layer):  # capsule_1\n    ..." in error["remedy"]
    jsonschema.validate(json.loads((tmp_path / "out" / "report.json").read_text()), reports.schema())
    # The refusal is on record, and nothing else was made.
    assert {name: entry for name, entry in content(tmp_path).items() if not name.startswith("out/report.")} == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.h5", "out"]


def flipped(path: Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("command", ["import", "verify"])
@pytest.mark.parametrize("file", ["weights.npz", "probes.npz"])
def test_one_flipped_bit_in_an_array_is_found(run: Harness, mini: Run, tmp_path: Path, file: str, command: str) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(mini.out / "bundle", bundle)
    entry = next(e for e in json.loads((bundle / "manifest.json").read_text())["arrays"] if e["file"] == file)
    with np.load(bundle / file) as arrays:
        start = (bundle / file).read_bytes().index(arrays[entry["member"]].tobytes())
    flipped(bundle / file, start)
    before = content(bundle)
    arguments = [bundle] if command == "import" else [mini.out / "model.keras", bundle]
    done = run(command, *arguments, "--out", "out", "--json")
    assert done.status == 3, done.text
    assert "Traceback" not in done.text
    error = done.report["error"]
    count = len(json.loads((bundle / "manifest.json").read_text())["arrays"])
    assert error["code"] == "bundle-corrupt"
    assert error["message"] == f"{bundle}: 1 of {count} arrays differ from their checksums."
    assert error["details"] == [
        f"array {entry['name']!r}: sha256 expected {entry['sha256']}, found {error['details'][0][-64:]}"
    ]
    assert content(bundle) == before
    assert {path.name for path in (tmp_path / "out").iterdir()} == REPORTS


def test_one_changed_letter_in_the_manifest_is_found(run: Harness, mini: Run, tmp_path: Path) -> None:
    shutil.copytree(mini.out / "bundle", tmp_path / "bundle")
    manifest = tmp_path / "bundle" / "manifest.json"
    flipped(manifest, manifest.read_bytes().index(b'"filters"') + 3)
    done = run("import", tmp_path / "bundle", "--out", "out", "--json")
    assert (done.status, done.report["error"]["code"]) == (3, "bundle-corrupt"), done.text
    assert done.report["error"]["message"].startswith(f"{manifest}: sha256 expected ")


def test_what_is_no_bundle_is_refused(run: Harness, tmp_path: Path) -> None:
    done = run("import", tmp_path, "--out", "out", "--json")
    assert (done.status, done.report["error"]["code"]) == (3, "bundle-invalid")
    assert done.report["error"]["message"] == f"{tmp_path} is no bundle: it has no manifest.json."


def test_what_today_s_keras_cannot_load_is_refused_by_verify(run: Harness, mini: Run, tmp_path: Path) -> None:
    (tmp_path / "mine.keras").write_text("no archive")
    done = run("verify", "mine.keras", mini.out / "bundle", "--out", "out", "--json")
    assert (done.status, done.report["error"]["code"]) == (3, "model-not-loadable"), done.text
    assert "Traceback" not in done.text


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MB: enough for the weights, not for the probes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = (
        os.geteuid() == 0
        and not subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder], check=False, capture_output=True
        ).returncode
    )
    if not mounted:
        pytest.skip("a small file system can be mounted by root only")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk_is_named_and_left_clean(run: Harness, corpus: Path, small_disk: Path) -> None:
    done = run("migrate", corpus / MINI, "--out", small_disk / "out", "--json")
    assert done.status == 5, done.text
    assert "Traceback" not in done.text
    assert "no-space" in done.text
    assert not [path.name for path in small_disk.iterdir() if path.name.startswith(".")]


def test_a_file_above_the_allowed_size_is_a_full_disk(run: Harness, corpus: Path, tmp_path: Path) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))

    done = run("migrate", corpus / MINI, "--out", "out", "--json", preexec=limit)
    assert done.status == 5, done.text
    assert "Traceback" not in done.text
    report = done.report
    jsonschema.validate({key: report[key] for key in report if key != "folder"}, reports.schema())
    assert (report["status"], report["error"]["code"]) == ("failed", "no-space")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
