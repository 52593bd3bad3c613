"""Arrays out of files: what comes out, and what damaged or hostile files end with."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from harness.worker.tfworker import weight_files, weight_formats
from harness.worker.tfworker.errors import Refusal
from harness.worker.tfworker.weight_formats import Found, Skipped

KERNEL = np.arange(6, dtype="f4").reshape(2, 3)


def arrays(found: Any) -> dict[str, Any]:
    return {item.name: item.array for item in found if isinstance(item, Found)}


def test_npy_and_npz(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.asfortranarray(KERNEL.astype(">f4")))
    np.testing.assert_array_equal(arrays(weight_formats.npy(str(tmp_path / "a.npy"), "a.npy"))["a"], KERNEL)
    np.savez_compressed(tmp_path / "w.npz", **{"x/kernel": KERNEL, "number": np.float64(2)})
    found = arrays(weight_formats.npz(str(tmp_path / "w.npz"), "w.npz"))
    np.testing.assert_array_equal(found["x/kernel"], KERNEL)
    assert found["number"].shape == ()


def test_a_nested_dict_in_an_npy_file(tmp_path: Path) -> None:
    np.save(tmp_path / "d.npy", np.array({"conv": {"w": KERNEL}, "list": [KERNEL, 3.0], "note": "x"}, dtype=object))
    found = list(weight_formats.npy(str(tmp_path / "d.npy"), "d.npy"))
    assert list(arrays(found)) == ["conv/w", "list/0", "list/1"]
    assert [(item.name, item.reason) for item in found if isinstance(item, Skipped)] == [("note", "str, no array")]


def safetensors(path: Path, header: dict[str, Any], data: bytes) -> str:
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return str(path)


def test_safetensors_with_types_that_numpy_lacks(tmp_path: Path) -> None:
    header = {
        "__metadata__": {"format": "pt"},
        "half": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]},
        "whole": {"dtype": "F32", "shape": [1, 1], "data_offsets": [4, 8]},
        "tiny": {"dtype": "F8_E4M3", "shape": [], "data_offsets": [8, 9]},
    }
    path = safetensors(tmp_path / "w.safetensors", header, b"\x80\x3f\x00\xc0" + struct.pack("<f", 1.5) + b"\x38")
    found = {item.name: item for item in weight_formats.safetensors(path, "w")}
    assert (found["half"].dtype, found["half"].array.dtype.name) == ("bfloat16", "uint16")
    assert found["whole"].array.tolist() == [[1.5]]
    assert (found["tiny"].dtype, found["tiny"].array.shape) == ("float8_e4m3fn", ())


@pytest.mark.parametrize(
    "entry",
    [
        {"dtype": "F32", "shape": [4], "data_offsets": [0, 8]},
        {"dtype": "F32", "shape": [2], "data_offsets": [8, 16]},
        {"dtype": "F32", "shape": [-2], "data_offsets": [0, 8]},
        {"dtype": "F32", "shape": [1 << 62, 1 << 62], "data_offsets": [0, 8]},
        {"dtype": "F32", "shape": "2", "data_offsets": [0, 8]},
        {"dtype": "F99", "shape": [2], "data_offsets": [0, 8]},
    ],
)
def test_safetensors_that_contradict_themselves_are_refused(tmp_path: Path, entry: dict[str, Any]) -> None:
    path = safetensors(tmp_path / "w.safetensors", {"w": entry}, b"\0" * 8)
    with pytest.raises(Refusal):
        list(weight_formats.safetensors(path, "w"))


def test_an_npy_file_that_claims_more_than_it_has_is_refused(tmp_path: Path) -> None:
    stream = io.BytesIO()
    np.save(stream, KERNEL)
    (tmp_path / "a.npy").write_bytes(stream.getvalue().replace(b"(2, 3)", b"(9999999999, 3)".ljust(6))[:140])
    with pytest.raises(Refusal) as caught:
        list(weight_formats.npy(str(tmp_path / "a.npy"), "a.npy"))
    assert caught.value.code == "source-truncated"


def test_an_npz_that_grows_beyond_measure_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weight_formats, "GROWTH_FREE_BYTES", 1000)
    with zipfile.ZipFile(tmp_path / "w.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", b"\0" * 10_000_000)
    with pytest.raises(Refusal) as caught:
        list(weight_formats.npz(str(tmp_path / "w.npz"), "w.npz"))
    assert "grows to 10000000 bytes" in caught.value.message


def test_keras_2_files_list_their_layers(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file.attrs["layer_names"] = [b"flatten", b"dense_1"]
        file.attrs["keras_version"] = b"2.1.6"
        file.create_group("flatten").attrs["weight_names"] = np.array([], dtype="S1")
        group = file.create_group("dense_1")
        group.attrs["weight_names"] = [b"dense_1/kernel:0", b"dense_1/bias:0"]
        group["dense_1/kernel:0"], group["dense_1/bias:0"] = KERNEL, KERNEL[0]
    writer, *found = weight_files.hdf5(str(tmp_path / "w.h5"), "w.h5")
    assert (writer.keras_version, writer.backend) == ("2.1.6", None)
    assert [(f.name, f.layer, f.index, f.leaf) for f in found] == [
        ("dense_1/dense_1/kernel", ["dense_1", "dense_1"], 0, "kernel"),
        ("dense_1/dense_1/bias", ["dense_1", "dense_1"], 1, "bias"),
    ]


def test_keras_3_files_number_their_variables(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "w.weights.h5", "w") as file:
        file["layers/dense/vars/0"], file["layers/dense/vars/1"] = KERNEL, KERNEL[0]
        file["layers/lstm/cell/vars/0"] = KERNEL
        file["layers/lstm"].attrs["name"] = "recurrent"
        file["layers/dropout/seed_generator/vars/0"] = np.zeros(2, "u4")
        file["optimizer/vars/0"] = np.int64(1)
    found = list(weight_files.hdf5(str(tmp_path / "w.weights.h5"), "w"))
    assert [(f.name, f.layer, f.index) for f in found if isinstance(f, Found)] == [
        ("dense/0", ["dense"], 0), ("dense/1", ["dense"], 1), ("recurrent/cell/0", ["recurrent", "cell"], 0),
    ]  # fmt: skip
    assert [f.reason for f in found if isinstance(f, Skipped)] == [
        "state of a random number generator", "state of the optimizer",
    ]  # fmt: skip


def test_other_hdf5_files_are_their_datasets(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file["dense_1/kernel"], file["note"] = KERNEL, "text"
    found = list(weight_files.hdf5(str(tmp_path / "w.h5"), "w"))[1:]
    assert list(arrays(found)) == ["dense_1/kernel"]
    assert [f.name for f in found if isinstance(f, Skipped)] == ["note"]


def test_state_of_the_optimizer_is_no_weight() -> None:
    shapes = dict.fromkeys(
        ["w", "w/Adam", "v/Adam", "beta1_power", "global_step", "optimizer/iter/.ATTRIBUTES/VARIABLE_VALUE"]
    )
    reasons = {key: weight_files._no_weight(key, shapes) for key in shapes}
    assert {key for key, reason in reasons.items() if reason is None} == {"w", "v/Adam"}
