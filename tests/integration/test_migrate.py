"""Models of every topology, from the oldest and the newest TensorFlow 1.x that is supported, in every form."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from command_line import REPORTS, Harness, Once, Run

from harness import report as reports

pytestmark = pytest.mark.integration


def assert_verified(made: Run) -> dict[str, Any]:
    assert made.done.status == 0, made.done.text
    report = made.report
    jsonschema.validate(report, reports.schema())
    assert report["status"] == "verified"
    assert all(output["ok"] for output in report["outputs"])
    assert report["layers"]["equal_within_bound"] == report["layers"]["compared"] > 20
    assert report["layers"]["missing"] == []
    weights = report["weights"]
    assert weights["equal"] == weights["total"] == 35
    assert weights["unequal"] == weights["missing"] == weights["unused"] == []
    return report


def test_a_model_of_tf_1_12_is_verified(cli_once: Callable[..., Run], rich_model: Callable[[str], Path]) -> None:
    report = assert_verified(cli_once("rich-tf1.12-run", "migrate", rich_model("tf1.12"), "--from", "tf1.12"))
    assert report["from"]["tensorflow"].startswith("1.12.")


def test_a_model_of_tf_1_15_is_verified_in_both_formats(rich: Run) -> None:
    report = assert_verified(rich)
    assert report["from"]["tensorflow"].startswith("1.15.")
    assert {(o["name"], o["format"]) for o in report["outputs"]} == {
        ("main", "keras"), ("aux", "keras"), ("main", "saved_model"), ("aux", "saved_model"),
    }  # fmt: skip
    assert [a["format"] for a in report["artifacts"]] == ["bundle", "keras", "saved_model"]
    for artifact in report["artifacts"]:
        assert (rich.out / artifact["path"]).exists()
    assert report["weights"]["transformed"] == []


def test_every_pinned_hard_sigmoid_stands_in_the_ledger(rich: Run) -> None:
    pinned = {row["where"] for row in rich.report["ledger"] if row["why"].startswith("pinned: ")}
    assert pinned == {
        "both/layer.recurrent_activation",
        "gru_before.recurrent_activation",
        "gru_after.recurrent_activation",
        "simple.activation",
        "lstm.activation",
        "lstm.recurrent_activation",
        "shared.activation",
        "gate.activation",
        "tower/tower_conv.activation",
        "tower/head/head_dense.activation",
    }


def test_a_successful_run_leaves_results_only(rich: Run) -> None:
    assert {path.name for path in rich.out.iterdir()} == {"bundle", "model.keras", "saved_model", *REPORTS}
    assert {path.name for path in rich.out.parent.iterdir()} == {"out", "done.json", "complete"}


def test_folded_hard_sigmoid_is_verified_and_lists_its_weights(cli_once: Callable[..., Run], rich: Run) -> None:
    made = cli_once("rich-folded", "import", rich.out / "bundle", "--hard-sigmoid", "fold")
    report = assert_verified(made)
    folded = {row["name"].rpartition("/")[0] for row in report["weights"]["transformed"]}
    assert {
        "shared",
        "gru_before",
        "gru_after",
        "simple",
        "lstm",
        "tower/tower_conv",
        "tower/head/head_dense",
    } <= folded
    for row in report["weights"]["transformed"]:
        assert [step["op"] for step in row["transforms"]] == ["scale"] * len(row["transforms"])
        assert {step["factor"] for step in row["transforms"]} == {1.2}
    assert not {"main", "aux", "embedding"} & folded


def test_a_saved_model_alone_is_verified(run: Harness, rich: Run, tmp_path: Path) -> None:
    done = run("import", rich.out / "bundle", "--format", "saved_model", "--out", tmp_path / "out", "--json")
    assert (done.status, done.report["status"]) == (0, "verified"), done.text
    assert {o["format"] for o in done.report["outputs"]} == {"saved_model"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"saved_model", *REPORTS}


def test_sha256sum_checks_a_bundle_without_us(rich: Run) -> None:
    checked = subprocess.run(["sha256sum", "-c", "--quiet", "SHA256SUMS"], cwd=rich.out / "bundle", check=False)
    assert checked.returncode == 0


@pytest.fixture(scope="module")
def samples(once: Once) -> Path:
    def make(folder: Path) -> None:
        rng = np.random.RandomState(1)
        good = {
            "tokens": rng.randint(1, 20, size=(9, 6)),  # int64, as users have it
            "left": rng.randn(9, 8, 3),
            "right": rng.randn(9, 8, 3).astype("float32"),
        }
        np.savez(folder / "good.npz", **good)
        bad = {"tokens": good["tokens"] + 0.5, "left": good["left"][:4], "rigth": good["right"]}
        np.savez(folder / "bad.npz", **bad)
        np.save(folder / "array.npy", good["left"])
        np.savez(folder / "pickled.npz", **{**good, "tokens": np.array([{"a": 1}], dtype=object)})

    return once("samples", make)


def test_the_users_samples_are_compared_too(
    cli_once: Callable[..., Run], rich_model: Callable[[str], Path], samples: Path
) -> None:
    made = cli_once("rich-samples", "migrate", rich_model("tf1.15"), "--inputs", samples / "good.npz")
    report = assert_verified(made)
    assert report["probes"][-1]["name"] == "samples"
    with np.load(samples / "good.npz") as given:
        assert len(given["left"]) == 9
    assert {output["probes"] for output in report["outputs"]} == {len(report["probes"])}


@pytest.mark.parametrize(
    ("file", "message", "details"),
    [
        (
            "bad.npz",
            "samples-invalid: the samples do not fit the inputs tokens, left, right\n",
            [
                "missing: right",
                "not an input of the model: rigth",
                "tokens: dtype expected int32, found float64",
                "the arrays differ in their number of rows: 4, 9",
            ],
        ),
        ("array.npy", "samples-invalid: the samples cannot be read: it is no npz file\n", []),
        ("pickled.npz", "samples-invalid: the samples cannot be read: Object arrays cannot be loaded when ", []),
    ],
)
def test_samples_that_do_not_fit_are_a_usage_error(
    run: Harness,
    rich_model: Callable[[str], Path],
    samples: Path,
    tmp_path: Path,
    file: str,
    message: str,
    details: list[str],
) -> None:
    done = run("migrate", rich_model("tf1.15"), "--inputs", samples / file, "--out", tmp_path / "out")
    assert done.status == 2, done.text
    assert message in done.stderr
    assert [line.removeprefix("  • ") for line in done.stderr.splitlines() if line.startswith("  • ")] == details
    assert "Traceback" not in done.text
    assert list(tmp_path.iterdir()) == []


def test_the_golden_bundle_of_schema_1_still_becomes_a_verified_model(run: Harness, tmp_path: Path) -> None:
    golden = Path(__file__).resolve().parents[1] / "golden" / "bundles" / "v1-small"
    done = run("import", golden, "--out", tmp_path / "out", "--json")
    assert (done.status, done.report["status"]) == (0, "verified"), done.text
