"""What a file is, is decided by its content."""

from __future__ import annotations

import json
import os
import pickle
import resource
import struct
import time
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import bad_files
import h5py
import numpy as np
import pytest

from harness.artifact import Artifact, Kind, tensorflow_versions, written_by
from harness.artifact.sniffing import sniff
from harness.errors import HarnessError

YAML = b"backend: tensorflow\nclass_name: Sequential\nconfig:\n- class_name: Dense\nkeras_version: 2.0.4\n"
TEXT_GRAPH = b'# comment\nnode {\n  name: "x"\n  op: "Placeholder"\n}\n'

KINDS: list[tuple[Kind, str, Callable[[Path], Path]]] = [
    (Kind.KERAS_H5, "whole model", bad_files.keras_h5),
    (Kind.KERAS_H5, "behind a user block", lambda path: bad_files.keras_h5(path, userblock=2048)),
    (Kind.KERAS_H5_WEIGHTS, "Keras 2", bad_files.weights_only),
    (Kind.KERAS_H5_WEIGHTS, "Keras 1, no version", bad_files.weights_only_keras1),
    (Kind.KERAS_H5_WEIGHTS, "names in chunks", bad_files.weights_only_chunked),
    (Kind.KERAS_H5_WEIGHTS, "in model_weights", bad_files.weights_only_in_model_weights),
    (Kind.KERAS_H5_WEIGHTS, "Keras 3", bad_files.weights_only_keras3),
    (Kind.KERAS_H5_WEIGHTS, "TF 2.12", bad_files.weights_only_tf212),
    (Kind.KERAS3_ARCHIVE, "archive", bad_files.keras3),
    (Kind.KERAS_JSON, "JSON", lambda path: bad_files.written(path, json.dumps(bad_files.SEQUENTIAL).encode())),
    (
        Kind.KERAS_JSON,
        "twice",
        lambda path: bad_files.written(path, json.dumps(json.dumps(bad_files.SEQUENTIAL)).encode()),
    ),
    (Kind.KERAS_YAML, "YAML", lambda path: bad_files.written(path, YAML)),
    (Kind.SAVED_MODEL, "folder", bad_files.saved_model),
    (Kind.SAVED_MODEL, "its graph file", lambda path: bad_files.saved_model(path) / "saved_model.pb"),
    (Kind.HUB_MODULE, "folder", bad_files.hub_module),
    (Kind.CHECKPOINT, "prefix", bad_files.checkpoint),
    (Kind.CHECKPOINT, "folder", lambda path: bad_files.checkpoint(path).parent),
    (Kind.CHECKPOINT, "index", lambda path: Path(f"{bad_files.checkpoint(path)}.index")),
    (Kind.CHECKPOINT, "meta graph", lambda path: Path(f"{bad_files.checkpoint(path)}.meta")),
    (Kind.CHECKPOINT, "data", lambda path: Path(f"{bad_files.checkpoint(path)}.data-00000-of-00001")),
    (Kind.CHECKPOINT, "V1", lambda path: bad_files.written(path, bytes(40) + bytes.fromhex("57fb808b247547db"))),
    (Kind.GRAPH_DEF, "binary", bad_files.graph_def),
    (Kind.GRAPH_DEF, "text", lambda path: bad_files.written(path, TEXT_GRAPH)),
    (Kind.NPY, "numbers", bad_files.npy),
    (Kind.NPZ, "numbers", bad_files.npz),
    *(
        (Kind.PICKLE, f"protocol {p}", lambda path, p=p: bad_files.written(path, pickle.dumps({"w": [1.5, 2]}, p)))
        for p in range(6)
    ),
    *(
        (Kind.PICKLE, f"list, protocol {p}", lambda path, p=p: bad_files.written(path, pickle.dumps([1, "a"], p)))
        for p in range(6)
    ),
    (Kind.SAFETENSORS, "one tensor", bad_files.safetensors),
    (Kind.BUNDLE, "folder", bad_files.bundle),
    (
        Kind.BUNDLE,
        "zip",
        lambda path: bad_files.zipped(path, {"manifest.json": json.dumps(bad_files.MANIFEST).encode()}),
    ),
    (Kind.UNKNOWN, "plain HDF5", bad_files.plain_hdf5),
    (Kind.UNKNOWN, "text", lambda path: bad_files.written(path, b"(some notes)\n")),
    (Kind.UNKNOWN, "other zip", lambda path: bad_files.zipped(path, {"notes.txt": b"x"})),
]


@pytest.mark.parametrize(("kind", "build"), [(k, b) for k, _, b in KINDS], ids=[f"{k}: {n}" for k, n, _ in KINDS])
@pytest.mark.parametrize("name", ["model.h5", "x"])
def test_a_kind_is_recognised_under_any_name(
    tmp_path: Path, name: str, kind: Kind, build: Callable[[Path], Path]
) -> None:
    assert sniff(build(tmp_path / name)).kind is kind


def test_a_pickle_is_recognised_without_loading_it(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
            return os.mkdir, (str(tmp_path / "sprung"),)

    for protocol in range(6):
        path = bad_files.written(tmp_path / "w.pkl", pickle.dumps(Trap(), protocol))
        assert sniff(path).kind is Kind.PICKLE
    assert not (tmp_path / "sprung").exists()


def test_a_whole_model_tells_its_facts(tmp_path: Path) -> None:
    training = json.dumps({"optimizer_config": {"class_name": "Adam", "config": {}}})
    found = sniff(bad_files.keras_h5(tmp_path / "m.h5", training_config=training))
    assert (found.keras_version, found.backend, found.class_name) == ("2.2.4", "tensorflow", "Sequential")
    assert found.model_config == bad_files.SEQUENTIAL
    assert [(t.path, t.shape, t.dtype, t.size_bytes) for t in found.weights] == [
        ("model_weights/dense_1/dense_1/bias:0", (2,), "float32", 8),
        ("model_weights/dense_1/dense_1/kernel:0", (3, 2), "float32", 24),
    ]
    assert (found.parameters, found.weight_bytes) == (8, 32)
    assert (found.has_training_config, found.has_optimizer_weights, found.optimizer) == (True, False, "Adam")
    assert (found.inputs[0].name, found.inputs[0].shape, found.inputs[0].dtype) == ("dense_1", (None, 3), "float32")
    assert found.oddities == ()


@pytest.mark.parametrize(
    "convert",
    [str, str.encode, lambda t: np.bytes_(t.encode()), lambda t: np.array([t.encode()])],
    ids=["str", "bytes", "fixed", "list of one"],
)
def test_the_config_attribute_of_any_era_is_read(tmp_path: Path, convert: Callable[[str], object]) -> None:
    found = sniff(bad_files.keras_h5(tmp_path / "m.h5", convert(json.dumps(bad_files.SEQUENTIAL))))
    assert found.model_config == bad_files.SEQUENTIAL


def test_optimizer_weights_are_no_model_parameters(tmp_path: Path) -> None:
    path = bad_files.edited(tmp_path / "m.h5", lambda f: f.create_dataset("optimizer_weights/m", data=np.zeros(9)))
    found = sniff(path)
    assert (found.has_optimizer_weights, found.parameters) == (True, 8)


def test_layers_are_counted_through_models_and_wrappers(tmp_path: Path) -> None:
    cells = bad_files.layer("StackedRNNCells", cells=[bad_files.layer("LSTMCell"), bad_files.layer("GRUCell")])
    config = bad_files.sequential(
        bad_files.layer("Bidirectional", layer=bad_files.layer("LSTM"), backward_layer=bad_files.layer("LSTM")),
        bad_files.layer("TimeDistributed", layer=bad_files.sequential(bad_files.layer("Dense"))),
        bad_files.layer("RNN", cell=cells),
        bad_files.layer("AnchorBoxes"),
    )
    found = sniff(bad_files.keras_h5(tmp_path / "m.h5", config))
    assert found.layer_classes == {
        "AnchorBoxes": 1, "Bidirectional": 1, "Dense": 1, "GRUCell": 1, "LSTM": 2, "LSTMCell": 1, "RNN": 1,
        "Sequential": 1, "StackedRNNCells": 1, "TimeDistributed": 1,
    }  # fmt: skip
    assert found.custom_classes == ("AnchorBoxes",)


def test_a_sequential_config_that_is_a_list_is_read(tmp_path: Path) -> None:
    found = sniff(bad_files.keras_h5(tmp_path / "m.h5", {"class_name": "Sequential", "config": [bad_files.DENSE]}))
    assert found.layer_classes == {"Dense": 1}
    assert found.inputs[0].shape == (None, 3)


@pytest.mark.parametrize("references", [[["b", 0, 0], ["a", 0, 0]], ["b", 0, 0]], ids=["list", "unwrapped"])
def test_inputs_of_a_functional_model_keep_their_order(tmp_path: Path, references: list[object]) -> None:
    layers = [
        {"name": name, **bad_files.layer("InputLayer", batch_input_shape=[None, size], dtype="int32")}
        for name, size in [("a", 1), ("b", 2)]
    ]
    config = {"class_name": "Model", "config": {"name": "m", "layers": layers, "input_layers": references}}
    found = sniff(bad_files.keras_h5(tmp_path / "m.h5", config))
    assert [(item.name, item.shape) for item in found.inputs][:1] == [("b", (None, 2))]


def test_lambda_layers_tell_how_they_are_stored(tmp_path: Path) -> None:
    config = bad_files.sequential(
        bad_files.layer("Lambda", function=["\u00e3", None, None], function_type="lambda"),
        {"class_name": "Lambda", "config": {"name": "second", "function": "scale", "function_type": "function"}},
    )
    found = sniff(bad_files.keras_h5(tmp_path / "m.h5", config))
    assert [(item.name, item.stored_as) for item in found.lambda_layers] == [("lambda", "bytecode"), ("second", "name")]


def test_the_writing_tensorflow_is_read_from_a_saved_model(tmp_path: Path) -> None:
    found = sniff(bad_files.saved_model(tmp_path / "m"))
    assert (found.tensorflow_version, found.operations) == ("1.12.0", {"Placeholder": 1})


def test_the_checksum_is_that_of_the_file(tmp_path: Path) -> None:
    path = bad_files.written(tmp_path / "x", b"abc")
    assert sniff(path).sha256 == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_the_checksum_of_a_folder_changes_with_any_file(tmp_path: Path) -> None:
    folder = bad_files.saved_model(tmp_path / "m")
    before = sniff(folder).sha256
    bad_files.written(folder / "extra", b"x")
    assert sniff(folder).sha256 != before


VERSIONS = [
    ("2.1.6-tf", ("1.12",), "tf.keras 2.1.6-tf of TensorFlow 1.12"),
    (
        "2.2.4-tf",
        ("1.13", "1.14", "1.15", "2.0", "2.1"),
        "tf.keras 2.2.4-tf of TensorFlow 1.13, 1.14, 1.15, 2.0 or 2.1",
    ),
    ("2.3.0-tf", ("2.2",), "tf.keras 2.3.0-tf of TensorFlow 2.2"),
    ("2.4.0", ("2.3", "2.4"), "tf.keras 2.4.0 of TensorFlow 2.3 or 2.4"),
    ("2.15.0", ("2.15",), "tf.keras 2.15.0 of TensorFlow 2.15"),
    ("2.2.4", (), "standalone Keras 2.2.4 on theano"),
    ("2.3.1", (), "standalone Keras 2.3.1 on theano"),
    ("3.3.3", (), "Keras 3.3.3 on theano"),
    (None, (), "an unknown Keras (no keras_version in the file: Keras 1 or older, or another program)"),
]


@pytest.mark.parametrize(("version", "tensorflow", "text"), VERSIONS, ids=[str(row[0]) for row in VERSIONS])
def test_the_keras_version_tells_the_tensorflow(version: str | None, tensorflow: tuple[str, ...], text: str) -> None:
    assert (tensorflow_versions(version), written_by(version, "theano")) == (tensorflow, text)


def test_a_giant_declared_shape_costs_no_memory(tmp_path: Path) -> None:
    def add(file: h5py.File) -> None:
        file.create_dataset("model_weights/giant", shape=(2**31, 2**31, 2**31), chunks=(1, 1, 1), dtype="float64")

    path = bad_files.edited(tmp_path / "m.h5", add)
    tracemalloc.start()
    found = sniff(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.parameters == 2**93 + 8
    assert peak < 8 << 20
    assert found.oddities == (
        '"model_weights/giant" declares the shape (2147483648, 2147483648, 2147483648) with '
        "79,228,162,514,264,337,593,543,950,336 bytes; the file holds 0 bytes of it.",
    )


def test_a_zip_bomb_is_read_up_to_the_limit_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.artifact.archives.CONFIG_BYTES_LIMIT", 1000)
    path = bad_files.zipped(tmp_path / "m.keras", {"metadata.json": b"{}", "config.json": b" " * 100_000})
    found = sniff(path)
    assert found.model_config_text is not None
    assert len(found.model_config_text) == 1001


ODDITIES = [
    ("soft link", lambda f: f.__setitem__("model_weights/s", h5py.SoftLink("/keras")), '"model_weights/s" is a soft link to "/keras"; links are not followed.'),
    ("soft link loop", lambda f: f.__setitem__("model_weights/s", h5py.SoftLink("/model_weights/s")), '"model_weights/s" is a soft link to "/model_weights/s"; links are not followed.'),
    ("external link", lambda f: f.__setitem__("model_weights/e", h5py.ExternalLink("/etc/passwd", "/x")), '"model_weights/e" is an external link to "/x" in the file "/etc/passwd"; links are not followed.'),
    ("hard link loop", lambda f: f.__setitem__("model_weights/loop", f["model_weights"]), '"model_weights/loop" is a second name of another object (a link loop ends there).'),
    ("external storage", lambda f: f.create_dataset("model_weights/x", (2,), "f4", external=[("/etc/passwd", 0, 8)]), '"model_weights/x" keeps its values outside of the file; other files are not read.'),
    ("control characters", lambda f: f.__setitem__("a\x1b[31m", h5py.SoftLink("b")), '"a?[31m" is a soft link to "b"; links are not followed.'),
]  # fmt: skip


@pytest.mark.parametrize(("edit", "sentence"), [row[1:] for row in ODDITIES], ids=[row[0] for row in ODDITIES])
def test_what_keras_never_writes_is_reported_and_not_followed(
    tmp_path: Path, edit: Callable[[h5py.File], None], sentence: str
) -> None:
    assert sniff(bad_files.edited(tmp_path / "m.h5", edit)).oddities == (sentence,)


def test_a_virtual_dataset_is_reported_and_not_opened(tmp_path: Path) -> None:
    def add(file: h5py.File) -> None:
        layout = h5py.VirtualLayout(shape=(2,), dtype="f4")
        layout[:] = h5py.VirtualSource("/other.h5", "x", shape=(2,))
        file.create_virtual_dataset("model_weights/v", layout)

    assert sniff(bad_files.edited(tmp_path / "m.h5", add)).oddities == (
        '"model_weights/v" is a virtual dataset: its values are in other files, which are not read.',
    )


def test_deep_groups_end_at_the_limit(tmp_path: Path) -> None:
    found = sniff(bad_files.edited(tmp_path / "m.h5", lambda f: f.create_group("/".join("a" * 100))))
    assert [sentence.split(" is ", 1)[1] for sentence in found.oddities] == [
        "nested deeper than 64 groups; what is inside was not looked at."
    ]


def test_an_external_link_named_model_weights_is_not_followed(tmp_path: Path) -> None:
    other = bad_files.weights_only(tmp_path / "other.h5")

    def swap(file: h5py.File) -> None:
        del file["model_weights"]
        file["model_weights"] = h5py.ExternalLink(str(other), "/")

    assert sniff(bad_files.edited(tmp_path / "m.h5", swap)).weights == ()


CONFIGS = [
    ("broken JSON", b'{"class_name": "Sequ', "is not valid JSON: Unterminated string starting at at character 15 of 20"),
    ("a list", b"[1]", "is a JSON list; expected an object with class_name and config"),
    ("a number", b"7", "is a JSON number; expected an object with class_name and config"),
    ("null", b"null", "is a JSON null; expected an object with class_name and config"),
    ("no class_name", b'{"config": {}}', "has no class_name"),
    ("class_name a number", b'{"class_name": 1, "config": {}}', "has no class_name"),
    ("config a string", b'{"class_name": "Model", "config": "x"}', "has a config of type string; expected an object or a list"),
    ("deep", b"[" * 300 + b"]" * 300, "nests more than 200 levels deep"),
    ("very deep", b"[" * 50_000 + b"]" * 50_000, "nests more than 200 levels deep"),
    ("long number", b'{"a": ' + b"9" * 5000 + b"}", "is not valid JSON: a number is too long"),
    ("no UTF-8", b'{"a": "\xff"}', "is not UTF-8 text: byte 7 is 0xff"),
    ("an array", np.zeros((2, 2)), "is of type float64; expected a string"),
    ("two strings", np.array([b"a", b"b"]), "has the shape (2,); expected one string"),
]  # fmt: skip


@pytest.mark.parametrize(("config", "error"), [row[1:] for row in CONFIGS], ids=[row[0] for row in CONFIGS])
def test_a_broken_config_is_told_as_what_it_is(tmp_path: Path, config: bytes, error: str) -> None:
    found = sniff(bad_files.keras_h5(tmp_path / "m.h5", config))
    assert (found.kind, found.model_config, found.config_error) == (Kind.KERAS_H5, None, error)


def test_a_config_above_the_limit_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.artifact.keras_h5.CONFIG_BYTES_LIMIT", 20)
    for text in ("x" * 21, np.bytes_(b"x" * 21)):  # of variable and of fixed length
        found = sniff(bad_files.keras_h5(tmp_path / "m.h5", text))
        assert found.config_error == "has 21 bytes, more than the limit of 20"


def broken(build: Callable[[Path], Path], tmp_path: Path) -> HarnessError:
    with pytest.raises(HarnessError) as caught:
        sniff(build(tmp_path / "m.h5"))
    return caught.value


BROKEN = [
    ("source-missing", lambda p: p, '"m.h5" does not exist in the folder "{folder}".'),
    ("source-missing", lambda p: p / "x.h5", '"x.h5" does not exist: there is no folder "{folder}/m.h5".'),
    ("source-missing", lambda p: p.with_name("n" * 300), '"{n79}…" does not exist in the folder "{folder}".'),
    ("source-empty", lambda p: bad_files.written(p, b""), '"m.h5" is empty: it has 0 bytes.'),
    ("source-truncated", lambda p: bad_files.written(p, b"\x89HDF"), '"m.h5" is a truncated HDF5 file: it ends after 4 bytes.'),
    ("source-truncated", lambda p: bad_files.truncated(p, 0.5), '"m.h5" is a truncated HDF5 file: its header declares {whole} bytes, the file has {half}.'),
    ("source-truncated", lambda p: bad_files.written(p, b"PK\x03\x04" + bytes(100)), '"m.h5" is a truncated zip archive: it starts like one, but its end record is missing.'),
]  # fmt: skip


@pytest.mark.parametrize(("code", "build", "message"), BROKEN)
def test_what_cannot_be_read_is_an_error(
    tmp_path: Path, code: str, build: Callable[[Path], Path], message: str
) -> None:
    whole = bad_files.keras_h5(tmp_path / "whole.h5").stat().st_size
    values = {"folder": tmp_path, "n79": "n" * 79, "whole": f"{whole:,}", "half": f"{whole // 2:,}"}
    error = broken(build, tmp_path)
    assert (error.code, error.message) == (code, message.format(**values))


def test_damage_anywhere_is_an_error_and_never_an_exception(tmp_path: Path) -> None:
    whole = bad_files.keras_h5(tmp_path / "whole.h5").read_bytes()
    for cut in range(0, len(whole), 97):
        path = bad_files.written(tmp_path / "m.h5", whole[:cut])
        with pytest.raises(HarnessError) as caught:
            sniff(path)
        assert caught.value.code in ("source-empty", "source-truncated")


def test_a_string_heap_on_which_libhdf5_would_hang_is_an_error(tmp_path: Path) -> None:
    path = bad_files.heap_loop(tmp_path / "m.h5")
    at = path.read_bytes().index(b"GCOL")
    with pytest.raises(HarnessError) as caught:
        sniff(path)
    assert (caught.value.code, caught.value.message) == (
        "source-truncated",
        f'"m.h5" is a damaged HDF5 file: the global heap at byte {at:,} has a free object of size 0.',
    )


def test_a_string_that_claims_gigabytes_is_an_error_without_allocating_them(tmp_path: Path) -> None:
    path = bad_files.string_claims_gigabytes(tmp_path / "m.h5")
    started = time.perf_counter()
    with pytest.raises(HarnessError) as caught:
        sniff(path)
    assert caught.value.code == "source-truncated"
    assert time.perf_counter() - started < 1  # 15 s where it is allocated


def test_the_memory_limit_is_lifted_again(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_AS)
    sniff(bad_files.keras_h5(tmp_path / "m.h5"))
    assert resource.getrlimit(resource.RLIMIT_AS) == before


def test_a_string_above_the_limit_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.artifact.hdf5.STRING_BYTES_LIMIT", 1000)
    with pytest.raises(HarnessError) as caught:
        sniff(bad_files.keras_h5(tmp_path / "m.h5", "x" * 1001))
    assert caught.value.message == '"m.h5" holds a string of 1,001 bytes; the limit is 1,000.'


def test_a_string_heap_across_two_blocks_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = bad_files.heap_loop(tmp_path / "m.h5")
    monkeypatch.setattr("harness.artifact.global_heap._BLOCK_BYTES", path.read_bytes().index(b"GCOL") + 2)
    with pytest.raises(HarnessError, match="free object of size 0"):
        sniff(path)


@pytest.mark.parametrize("cut", [1, 20, 60])
def test_a_damaged_npy_header_is_told(tmp_path: Path, cut: int) -> None:
    whole = bad_files.npy(tmp_path / "a.npy").read_bytes()
    found = sniff(bad_files.written(tmp_path / "b.npy", whole[:10] + whole[10 + cut :]))
    assert found.looks_like == "a numpy array (.npy) with a damaged header"


def test_a_file_that_may_not_be_read_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = bad_files.keras_h5(tmp_path / "m.h5")

    def refuse(*args: object, **kwargs: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)  # a mode of 000 stops nobody who runs as root
    with pytest.raises(HarnessError) as caught:
        sniff(path)
    assert (caught.value.code, caught.value.message) == (
        "source-unreadable",
        '"m.h5" exists but could not be read: Permission denied.',
    )


def test_a_pipe_is_refused_without_waiting_for_its_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "m.h5")
    with pytest.raises(HarnessError) as caught:
        sniff(tmp_path / "m.h5")
    assert caught.value.message == '"m.h5" is a device, a pipe or a socket; expected a file.'


def test_a_loop_of_symbolic_links_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "m.h5").symlink_to(tmp_path / "m.h5")
    with pytest.raises(HarnessError) as caught:
        sniff(tmp_path / "m.h5")
    assert caught.value.code == "source-unreadable"


def test_an_artifact_is_frozen(tmp_path: Path) -> None:
    artifact: Artifact = sniff(bad_files.npy(tmp_path / "a.npy"))
    with pytest.raises(AttributeError):
        artifact.kind = Kind.NPZ  # type: ignore[misc]


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_members_are_stored_or_deflated(tmp_path: Path, method: int) -> None:
    with zipfile.ZipFile(tmp_path / "m.keras", "w", method) as archive:
        archive.writestr("metadata.json", "{}")
        archive.writestr("config.json", "{}")
    with pytest.raises(HarnessError, match="by a method that neither numpy nor Keras uses") as caught:
        sniff(tmp_path / "m.keras")
    assert caught.value.code == "source-truncated"
    with zipfile.ZipFile(tmp_path / "m.npz", "w", method) as archive:
        archive.writestr("a.npy", bytes(1000))
    with pytest.raises(HarnessError, match="by a method that neither numpy nor Keras uses"):
        sniff(tmp_path / "m.npz")


def test_a_zip64_record_does_not_hide_a_large_table_of_contents(tmp_path: Path) -> None:
    path = tmp_path / "m.npz"
    with path.open("wb") as stream:
        stream.write(b"PK\3\4" + bytes(26))
        stream.truncate(3 << 30)  # a hole: nothing of it is on the disk
        stream.seek(0, 2)
        stream.write(struct.pack("<4sQHHIIQQQQ", b"PK\6\6", 44, 45, 45, 0, 0, 1, 1, (3 << 30) - 30, 30))
        stream.write(struct.pack("<4sIQI", b"PK\6\7", 0, 3 << 30, 1))
        stream.write(struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 1, 1, 46, 30, 0))
    assert sniff(path).looks_like == "a zip archive whose table of contents has 3,221,225,442 bytes"
