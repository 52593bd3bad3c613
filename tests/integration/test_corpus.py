"""Real model files of the TensorFlow 1 era: migrated, and their recorded outputs reproduced without the harness."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from command_line import Once, Run

from harness import envspec
from harness import report as reports
from harness.backends import Environment
from harness.errors import HarnessError
from harness.plan import Options
from harness.regress.cases import Case, folder_cases
from harness.regress.runner import PairRun

pytestmark = pytest.mark.integration

#: through the command line; all others through the matrix, many in one process
FILES = ("k_face_mini_xception", "k_chemvae_prop", "k_packt_stackedgan_220")
TARGETS = ("tf2.21", "tf2.15")


@pytest.fixture(scope="module")
def migrated(cli_once: Callable[..., Run], corpus: Path, mini: Run) -> Callable[[str], Run]:
    def get(name: str) -> Run:
        if name == "k_face_mini_xception":
            return mini
        (model,) = (path for path in (corpus / name).iterdir() if path.suffix in (".h5", ".hdf5"))
        return cli_once(name, "migrate", model)

    return get


@pytest.mark.parametrize("name", FILES)
def test_a_real_model_is_verified(migrated: Callable[[str], Run], name: str) -> None:
    made = migrated(name)
    assert made.done.status == 0, made.done.text
    report = made.report
    jsonschema.validate(report, reports.schema())
    assert report["status"] == "verified"
    assert report["weights"]["equal"] == report["weights"]["total"] > 0
    assert report["weights"]["transformed"] == []
    assert report["layers"]["equal_within_bound"] == report["layers"]["compared"] > 0
    assert report["layers"]["missing"] == []
    assert len(report["probes"]) >= 3


@pytest.fixture(scope="module")
def plain(migrated: Callable[[str], Run], script: Callable[..., str], corpus: Path) -> dict[str, Any]:
    """What one isolated process of the target environment found, for every saved model."""
    saved = [(migrated(name).out / "model.keras", corpus / name / "golden.npz") for name in FILES]
    pairs = [path for pair in saved for path in pair if pair[0].exists()]
    return dict(json.loads(script("tf2.21", "plain_check.py", *pairs, flags=("-I", "-B"))))


@pytest.mark.parametrize("name", FILES)
def test_the_saved_model_reproduces_the_recorded_outputs_without_us(
    migrated: Callable[[str], Run], plain: dict[str, Any], name: str
) -> None:
    assert plain["strangers"] == []
    assert plain["difference"][str(migrated(name).out / "model.keras")] <= 1e-5


def plain_models(corpus: Path) -> dict[str, Case]:
    """The corpus's whole models, and architectures with weights, that hold no code, by id."""
    index = json.loads((corpus / "INDEX.json").read_text(encoding="utf-8"))
    wanted = {
        entry["id"]
        for entry in index["artifacts"]
        if entry["kind"] in ("h5_model", "arch_weights")
        and not entry["custom_layers"]
        and "Lambda" not in entry["layers"]
        and entry["golden"]
    }
    cases = {case.path.parent.name: case for case in folder_cases(corpus, "corpus")}
    assert wanted <= set(cases), sorted(wanted - set(cases))
    return {name: cases[name] for name in sorted(wanted)}


@pytest.fixture(scope="module")
def swept(once: Once, hosted: Callable[[str], Environment], corpus: Path) -> Callable[[str], Path]:
    """``swept("tf2.15")``: a folder with what became of every model in this target, and the saved models."""

    def get(target: str) -> Path:
        def make(folder: Path) -> None:
            by_source: dict[str, list[tuple[str, Case]]] = {}
            for name, case in plain_models(corpus).items():
                try:
                    spec = envspec.choose_source(envspec.load_specs(), case.keras_version, case.backend)
                except HarnessError as error:
                    raise AssertionError(f"{name}: {error}") from error
                by_source.setdefault(spec.name, []).append((name, case))
            rows = {}
            for source, named in by_source.items():
                root = folder / source
                run = PairRun(source=hosted(source), target=hosted(target), root=root, options=Options(), keep=True)
                for (name, _), result in zip(named, run.run([case for _, case in named]), strict=True):
                    rows[name] = result.as_json()
                for place, (name, _) in enumerate(named):
                    (job,) = (root / "jobs").glob(f"{place:05d}-*")
                    rows[name]["model"] = str(job / "import" / "out" / "model.keras")
            (folder / "rows.json").write_text(json.dumps(rows), encoding="utf-8")

        return once(f"corpus-{target}", make)

    return get


@pytest.mark.parametrize("target", TARGETS)
def test_every_model_without_code_of_its_own_is_verified(swept: Callable[[str], Path], target: str) -> None:
    rows = json.loads((swept(target) / "rows.json").read_text(encoding="utf-8"))
    assert len(rows) >= 15
    assert {name: row["reason"] for name, row in rows.items() if row["status"] != "verified"} == {}
    # The recorded inputs were among the probes, and the source model gave the recorded outputs.
    assert [name for name, row in rows.items() if not row["golden"]] == []


@pytest.mark.parametrize("target", TARGETS)
def test_every_one_of_them_reproduces_its_recorded_outputs_without_us(
    swept: Callable[[str], Path], script: Callable[..., str], corpus: Path, target: str
) -> None:
    rows = json.loads((swept(target) / "rows.json").read_text(encoding="utf-8"))
    pairs = [path for name, row in rows.items() for path in (row["model"], corpus / name / "golden.npz")]
    found = json.loads(script(target, "plain_check.py", *pairs, flags=("-I", "-B")))
    assert found["strangers"] == []
    assert len(found["difference"]) == len(rows)
    assert {path: off for path, off in found["difference"].items() if off > 1e-5} == {}
