"""What users ask about weights, from question to verdict; `docs/how-to` has a page for each."""

from __future__ import annotations

import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from command_line import Harness, Once

pytestmark = pytest.mark.integration

BUILDERS = Path(__file__).resolve().parent / "builders"
SHAPES = {"1": (768, 128), "2": (128, 64), "3": (64, 1)}


def builder(name: str) -> str:
    return f"{BUILDERS / 'questions.py'}:{name}"


def regressor_weights(kernel: str, bias: str, dtype: str = "float32") -> dict[str, np.ndarray]:
    rng, made = np.random.default_rng(0), {}
    for number, shape in SHAPES.items():
        made[kernel.format(number)] = rng.normal(scale=0.1, size=shape).astype(dtype)
        made[bias.format(number)] = rng.normal(scale=0.1, size=shape[1:]).astype(dtype)
    return made


@pytest.fixture(scope="module")
def files(once: Once, script: Callable[..., str]) -> Path:
    """What TensorFlow 1.15 saved."""
    return once("question-models", lambda folder: script("tf1.15", "question_models.py", folder, BUILDERS) and None)


def test_1a_a_list_of_npy_files_in_order(run: Harness, tmp_path: Path) -> None:
    arrays = regressor_weights("layer{}_weights", "layer{}_bias")
    for name, array in arrays.items():
        np.save(tmp_path / f"{name}.npy", array)
    done = run(
        "load-weights", *(f"{name}.npy" for name in arrays), "--builder", builder("regressor"), "--out", "out", "--json"
    )
    assert done.status == 0, done.text
    weights = done.report["weights"]
    assert (weights["total"], weights["equal"]) == (6, 6)
    assert [row["source"] for row in weights["tensors"]] == [[name] for name in arrays]
    assert done.report["layers"]["equal_within_bound"] == 3


def test_1b_a_pickled_dict_by_name_not_by_order(run: Harness, tmp_path: Path) -> None:
    arrays = regressor_weights("dense_{}_kernel", "dense_{}_bias")
    shuffled = {name: arrays[name] for name in sorted(arrays, reverse=True)}
    (tmp_path / "weights.pkl").write_bytes(pickle.dumps(shuffled, protocol=2))
    done = run("load-weights", "weights.pkl", "--builder", builder("regressor"), "--json")
    assert done.status == 0, done.text
    assert done.report["weights"]["tensors"][2]["source"] == ["dense_2_kernel"]


def test_1c_a_partial_file_names_what_is_missing_and_fills_it_only_when_asked(run: Harness, tmp_path: Path) -> None:
    arrays = regressor_weights("layer_{}/kernel", "layer_{}/bias")
    with h5py.File(tmp_path / "partial.h5", "w") as file:
        for name, array in arrays.items():
            if not name.startswith("layer_3"):
                file[name] = array
    done = run("load-weights", "partial.h5", "--builder", builder("regressor"), "--json")
    assert done.status == 3
    assert done.report["error"]["code"] == "weights-missing"
    assert done.report["error"]["details"][:2] == ["missing: dense_2/kernel (64, 1)", "missing: dense_2/bias (1,)"]
    done = run("load-weights", "partial.h5", "--builder", builder("regressor"), "--on-missing", "seed:7", "--json")
    assert done.status == 0, done.text
    assert done.report["weights"]["missing"] == ["dense_2/kernel", "dense_2/bias"]
    assert any(
        "drawn at random with seed 7: dense_2/kernel, dense_2/bias" in line for line in done.report["not_checked"]
    )


def test_3a_renamed_layers_are_matched_by_a_mapping(run: Harness, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    names = ("output_layer1/kernel", "feature/kernel", "output_layer1/bias", "feature/bias")
    np.savez(tmp_path / "w.npz", **{n: rng.normal(size=(16, 16) if "kernel" in n else 16).astype("f4") for n in names})
    call = ("load-weights", "w.npz", "--builder", builder("orientation"), "--json")
    done = run(*call, "--write-mapping", "proposed.toml")
    assert (done.status, done.report["error"]["code"]) == (3, "weights-ambiguous")
    assert 'target = "output_layer/kernel"' in (tmp_path / "proposed.toml").read_text()
    (tmp_path / "m.toml").write_text(
        '[[rename]]\nglob = "output_layer1/*"\nto = "output_layer/*"\n'
        '[[rename]]\nglob = "feature/*"\nto = "feature_layer/*"\n'
    )
    done = run(*call, "--mapping", "m.toml")
    assert done.status == 0, done.text
    assert {row["target"]: row["source"][0] for row in done.report["weights"]["tensors"]} == {
        "feature_layer/kernel": "feature/kernel", "feature_layer/bias": "feature/bias",
        "output_layer/kernel": "output_layer1/kernel", "output_layer/bias": "output_layer1/bias",
    }  # fmt: skip


def test_3b_float64_is_cast_only_when_asked_and_the_rounding_is_stated(run: Harness, tmp_path: Path) -> None:
    np.savez(tmp_path / "w.npz", **regressor_weights("dense_{}_kernel", "dense_{}_bias", "float64"))
    call = ("load-weights", "w.npz", "--builder", builder("regressor"), "--json")
    done = run(*call)
    assert (done.status, done.report["error"]["code"]) == (3, "weights-mismatch")
    assert len([line for line in done.report["error"]["details"] if "expected float32" in line]) == 6
    done = run(*call, "--cast", "round")
    assert done.status == 0, done.text
    rounding = done.report["weights"]["tensors"][0]["rounding"]
    assert 0 < rounding["max_rel"] < 6e-8


def test_3c_a_checkpoint_goes_into_a_script(run: Harness, files: Path) -> None:
    done = run("load-weights", files / "orientation.ckpt", "--builder", builder("orientation"), "--json")
    assert done.status == 0, done.text
    assert done.report["weights"]["tensors"][0]["source"] == ["feature_layer/kernel"]


def test_4a_weights_of_save_weights(run: Harness, files: Path) -> None:
    done = run("load-weights", files / "classifier_weights.h5", "--builder", builder("classifier"), "--json")
    assert done.status == 0, done.text
    assert done.report["weights"]["equal"] == done.report["weights"]["total"] == 6


@pytest.mark.parametrize(
    ("file", "function", "status", "code", "says"),
    [
        ("nothing.h5", "classifier", 2, "source-missing", "nothing.h5"),
        ("torn.h5", "classifier", 3, "source-truncated", "torn.h5"),
        ("other_weights.h5", "classifier", 3, "weights-mismatch", "head (Dense), in the file new_head: expected"),
        ("other_weights.h5", "regressor", 3, "weights-mismatch", "dense (Dense), in the file conv1: expected"),
        (
            "classifier_weights.h5",
            "orientation",
            3,
            "weights-mismatch",
            "has 2 layers with weights, the weights file 3",
        ),
        ("classifier_weights.h5", "fails", 3, "builder-failed", "NoSuchLayer"),
        ("classifier_weights.h5", "absent", 3, "builder-failed", "has no function absent"),
    ],
)
def test_4b_loads_that_fail_say_why(
    run: Harness, files: Path, tmp_path: Path, file: str, function: str, status: int, code: str, says: str
) -> None:
    path = files / file
    if file == "torn.h5":
        path = tmp_path / file
        path.write_bytes((files / "classifier_weights.h5").read_bytes()[:-3000])
    done = run("load-weights", path, "--builder", builder(function))
    assert done.status == status, done.text
    assert code in done.text
    assert says in done.text


def test_4c_a_new_head_on_old_convolutions(run: Harness, files: Path, tmp_path: Path) -> None:
    done = run(
        "load-weights", files / "classifier.h5", "--builder", builder("new_head"), "--only", "conv*", "--freeze", "conv*",
        "--out", "out", "--json",
    )  # fmt: skip
    assert done.status == 0, done.text
    report = done.report
    assert {row["target"]: row["status"] for row in report["weights"]["tensors"] if row["target"]} == {
        "conv1/kernel": "matched", "conv1/bias": "matched", "conv2/kernel": "matched", "conv2/bias": "matched",
        "new_head/kernel": "skipped", "new_head/bias": "skipped",
    }  # fmt: skip
    assert report["outputs"] == []
    assert [row["layer"] for row in report["layers"]["all"]] == ["conv1", "pool1", "conv2", "flatten"]
    assert any("new_head/kernel, new_head/bias" in line for line in report["not_checked"])
    with zipfile.ZipFile(tmp_path / "out" / "model.keras") as archive:
        layers = json.loads(archive.read("config.json"))["config"]["layers"]
    frozen = {layer["config"]["name"]: layer["config"].get("trainable") for layer in layers}
    assert (frozen["conv1"], frozen["conv2"], frozen["new_head"]) == (False, False, True)


def test_outputs_that_were_kept_are_the_proof_where_there_is_no_old_script(run: Harness, tmp_path: Path) -> None:
    arrays = regressor_weights("dense_{}_kernel", "dense_{}_bias")
    np.savez(tmp_path / "w.npz", **arrays)
    x = np.random.default_rng(3).normal(size=(4, 768)).astype("f4")
    hidden = x
    for number in SHAPES:
        hidden = hidden @ arrays[f"dense_{number}_kernel"] + arrays[f"dense_{number}_bias"]
        hidden = np.maximum(hidden, 0) if number != "3" else hidden
    np.savez(tmp_path / "right.npz", **{"input:x": x, "output:y": hidden})
    np.savez(tmp_path / "wrong.npz", **{"input:x": x, "output:y": hidden + 0.01})
    call = ("load-weights", "w.npz", "--builder", builder("regressor"), "--json")
    done = run(*call, "--expected", "right.npz")
    assert done.status == 0, done.text
    assert done.report["from"] is None
    done = run(*call, "--expected", "wrong.npz")
    assert (done.status, done.report["status"]) == (1, "diverged"), done.text
    done = run(*call, "--proof", "weights")
    assert done.status == 0
    assert any(line.startswith("outputs: nothing to compare with was given") for line in done.report["not_checked"])


def test_outputs_that_were_kept_decide_between_layers_of_equal_shape(run: Harness, tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    kernels, biases = rng.normal(scale=0.3, size=(2, 16, 16)).astype("f4"), rng.normal(size=(2, 16)).astype("f4")
    # Named against their order: the first layer's weights are the second pair.
    np.savez(tmp_path / "w.npz", a_kernel=kernels[1], a_bias=biases[1], b_kernel=kernels[0], b_bias=biases[0])
    x = rng.normal(size=(4, 16)).astype("f4")
    y = np.tanh(x @ kernels[0] + biases[0]) @ kernels[1] + biases[1]
    np.savez(tmp_path / "right.npz", **{"input:x": x, "output:y": y})
    np.savez(tmp_path / "wrong.npz", **{"input:x": x, "output:y": y + 0.01})
    call = ("load-weights", "w.npz", "--builder", builder("orientation"), "--json")
    done = run(*call, "--expected", "right.npz")
    assert done.status == 0, done.text
    rows = done.report["weights"]["tensors"]
    assert (rows[0]["target"], rows[0]["source"]) == ("feature_layer/kernel", ["b_kernel"])
    assert rows[0]["basis"] == "the only one that gives the expected outputs"
    done = run(*call, "--expected", "wrong.npz")
    assert (done.status, done.report["error"]["code"]) == (3, "weights-ambiguous")
    assert any("0 of 2 pairings give the expected outputs" in line for line in done.report["error"]["details"])


@pytest.mark.parametrize("file", ["new.weights.h5", "checkpoint"])
def test_weights_files_of_tensorflow_2(run: Harness, once: Once, script: Callable[..., str], file: str) -> None:
    made = once("new-weights", lambda folder: script("tf2.15", "new_weights.py", folder, BUILDERS) and None)
    call = ("load-weights", made / file, "--builder", builder("sequences"), "--expected", made / "golden.npz")
    done = run(*call, "--json")
    assert done.status == 0, done.text
    assert done.report["weights"]["equal"] == done.report["weights"]["total"] == 14


class _Call:
    def __reduce__(self) -> object:
        return eval, ("open('witness', 'w').close()",)


def test_a_pickle_that_would_run_code_is_refused_and_runs_nothing(run: Harness, tmp_path: Path) -> None:
    (tmp_path / "evil.pkl").write_bytes(pickle.dumps({"dense_1_kernel": _Call()}))
    done = run("load-weights", "evil.pkl", "--builder", builder("regressor"), "--json")
    assert (done.status, done.report["error"]["code"]) == (3, "pickle-refused")
    assert done.report["error"]["details"] == ["not made: builtins.eval"]
    assert not list(tmp_path.rglob("witness"))
