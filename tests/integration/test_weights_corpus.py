"""Published weights without their models: filled in the old TensorFlow, reproduced there, and verified in today's."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import Harness

pytestmark = pytest.mark.integration

BUILDERS = Path(__file__).resolve().parent / "builders"
DIGITS = ("W_CONV2D", "B_CONV2D", "W_DENSE", "B_DENSE")

SCRIPTS = [
    ("s_crepe_tiny_215", "crepe_tiny", ()),
    ("s_musictagger_crnn_tf", "music_tagger", ()),
    ("s_musictagger_crnn_th", "music_tagger", ("--weights-backend", "theano")),
    ("s_packt_a2c_actor_220", "actor", ()),
    ("s_packt_vae_cnn_216", "autoencoder", ("--exclude", "*z_log_var*")),
    ("s_rlcode_breakout_a3c", "breakout_actor", ()),
    ("s_rlcode_pong_k1", "pong_policy", ()),
    ("s_textgenrnn_cudnn_215", "text_generator", ()),  # rounds by 2e-3: float64 tells it from a fault
]
ARRAYS = [
    ("n_facenet_det1", "proposals", ("det1.npy",), ()),
    ("n_facenet_det2", "refinement", ("det2.npy",), ()),
    ("n_facenet_det3", "output", ("det3.npy",), ()),
    ("n_mtcnn_weights", "packaged_proposals", ("mtcnn_weights.npy",), ("--include", "PNet/*")),
    ("n_mtcnn_weights", "packaged_refinement", ("mtcnn_weights.npy",), ("--include", "RNet/*")),
    ("n_mtcnn_weights", "packaged_output", ("mtcnn_weights.npy",), ("--include", "ONet/*")),
    ("n_art_mnist", "digits", tuple(f"{name}_MNIST.npy" for name in DIGITS), ("--cast", "round")),
]


def weights_of(folder: Path) -> Path:
    return next(path for path in sorted(folder.iterdir()) if path.suffix in (".h5", ".hdf5"))


@pytest.mark.parametrize(("name", "function", "options"), SCRIPTS, ids=[row[0] for row in SCRIPTS])
def test_weights_of_published_scripts(
    run: Harness, corpus: Path, name: str, function: str, options: tuple[str, ...]
) -> None:
    # Theano's file holds the same network as its twin: only the outputs of that one are known to be right.
    golden = corpus / name.replace("crnn_th", "crnn_tf") / "golden.npz"
    script = f"{BUILDERS / 'script_weights.py'}:{function}"
    done = run(
        "load-weights", weights_of(corpus / name), "--source-builder", script, "--expected", golden, *options, "--json"
    )  # fmt: skip
    assert done.status == 0, done.text
    assert "samples" in [row["name"] for row in done.report["probes"]]
    assert done.report["weights"]["equal"] == done.report["weights"]["total"]
    if "musictagger" in name:  # channels first, and a GRU that rounds by 1.8e-4: float64 says of both what they mean
        (form,) = done.report["noise_floor"]["forms"]
        assert (form["agrees"], form["hidden"]) == (True, [])
        assert form["compared"]["layers"] > 20
        assert form["settled"] in ([], ["gru1"])


def test_theano_kernels_that_are_not_rotated_are_noticed(run: Harness, corpus: Path) -> None:
    name = "s_musictagger_crnn_th"
    golden, script = corpus / "s_musictagger_crnn_tf" / "golden.npz", f"{BUILDERS / 'script_weights.py'}:music_tagger"
    done = run("load-weights", weights_of(corpus / name), "--source-builder", script, "--expected", golden, "--json")
    assert (done.status, done.report["status"]) == (1, "diverged")
    assert done.report["outputs"][0]["probe"] == "expected"


@pytest.mark.parametrize(("name", "function", "files", "options"), ARRAYS, ids=[f"{row[0]}-{row[1]}" for row in ARRAYS])
def test_weights_of_published_numpy_files(
    run: Harness, corpus: Path, name: str, function: str, files: tuple[str, ...], options: tuple[str, ...]
) -> None:
    script = f"{BUILDERS / 'npy_weights.py'}:{function}"
    done = run(
        "load-weights", *(corpus / name / file for file in files), "--source-builder", script, *options, "--json"
    )
    assert done.status == 0, done.text
    assert done.report["weights"]["equal"] == done.report["weights"]["total"]
