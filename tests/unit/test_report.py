"""Every report fits its schema, the schema is strict, and people see what matters."""

from __future__ import annotations

import copy
import io
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from rich.console import Console

from harness import report as reports
from harness.dialects.rules import Change
from harness.errors import CATALOGUE, HarnessError
from harness.report import terminal
from harness.verify import Evidence, LayerResult
from harness.verify.compare import Comparison, Worst

SHA = "0" * 64
VERSIONS = {
    "tensorflow": "1.15.5",
    "keras": "2.2.4-tf",
    "python": "3.7.16",
    "numpy": "1.18.5",
    "platform": "linux-x86_64",
}


def comparison(name: str, *, ok: bool = True, max_rel: float = 1e-7) -> Comparison:
    worst = (Worst(index=(0, 1), expected=1.0, found="nan"),)
    return Comparison(
        name=name, shape=(3, 2), dtype="float32", max_abs=max_rel, max_rel=max_rel, max_ulp=3, tolerance=1e-5, ok=ok,
        reason=None if ok else "differs by 1 of the largest value; at most 1e-05 is rounding", worst=worst,
    )  # fmt: skip


def layer(name: str, *, ok: bool = True) -> LayerResult:
    return LayerResult(layer=name, class_name="Dense", call=0, comparison=comparison(name, ok=ok), sampled=1)


def evidence(*, ok: bool = True) -> Evidence:
    return Evidence(
        format="keras", outputs=(comparison("normal/y"), comparison("unit/y", ok=ok)), layers=(layer("a"), layer("b", ok=ok)),
    )  # fmt: skip


def report(*, ok: bool = True) -> dict[str, Any]:
    """A report of a run that got to a verdict."""
    made = reports.new(["python", "-m", "harness"])
    made["status"] = "verified" if ok else "diverged"
    made["source"] = {
        "kind": "keras_h5",
        "file": "m.h5",
        "bytes": 3,
        "sha256": SHA,
        "keras_version": None,
        "backend": None,
    }
    made["from"] = made["to"] = reports.environment("tf1.15", VERSIONS)
    made["outputs"] = reports.outputs([evidence(ok=ok)])
    made["layers"] = reports.layers([evidence(ok=ok)])
    made["proven"] = {
        "tensors": {"total": 2, "proven": 1}, "elements": {"total": 9, "proven": 4}, "share": 0.5, "by": "outputs", "skipped": None,
        "gradients": None, "saturated": ["y"], "required": 0.4,
        "knees": {"total": 2, "crossed": 1, "missed": [{"layer": "r", "activation": "relu6", "missing": ["at 6"]}]},
        "unproven": [{"name": "a/bias", "elements": 5, "proven": 0, "reason": "no output depends on it"}],
    }  # fmt: skip
    made["weights"] = {
        "total": 2, "equal": 2, "unequal": [], "missing": [], "unused": [],
        "transformed": [{"name": "a/kernel", "transforms": [{"op": "scale", "factor": 1.2, "ranges": None}], "sha256": SHA}],
    }  # fmt: skip
    made["ledger"] = reports.ledger(
        [Change(layer="l", step="tf2.15 → keras-3", what="axis", before=[2], after=2, why="one axis")]
    )
    made["probes"] = [{"name": "normal", "holds": "numbers", "seed": 7}]
    made["artifacts"] = [{"path": "model.keras", "format": "keras", "sha256": SHA}]
    made["timings_s"] = {"total": 1.5}
    return json.loads(json.dumps(made))  # type: ignore[no-any-return]


def ended(code: str) -> dict[str, Any]:
    made = reports.new()
    reports.set_error(made, HarnessError(code, "What happened.", details=["a"]))
    return made


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(reports.schema())


@pytest.mark.parametrize("made", [report(), report(ok=False), ended("layer-unsupported"), ended("worker-crashed")])
def test_reports_of_every_verdict_fit_the_schema(made: dict[str, Any]) -> None:
    jsonschema.validate(made, reports.schema())


@pytest.mark.parametrize("code", CATALOGUE)
def test_every_error_ends_with_its_own_status(code: str) -> None:
    made = ended(code)
    status = int(CATALOGUE[code].exit_status)
    assert reports.exit_status(made) == status
    assert made["status"] == ("refused" if status == 3 else "failed")
    jsonschema.validate(made, reports.schema())


def test_verdicts_have_their_exit_status() -> None:
    assert (reports.exit_status(report()), reports.exit_status(report(ok=False))) == (0, 1)


def bent(change: Any) -> dict[str, Any]:
    made = copy.deepcopy(report())
    change(made)
    return made


@pytest.mark.parametrize(
    "change",
    [
        lambda r: r.update(extra=1),
        lambda r: r.pop("ledger"),
        lambda r: r.update(report_schema=2),
        lambda r: r.update(status="skipped"),
        lambda r: r.update(error=ended("internal")["error"]),
        lambda r: r.update(status="failed"),
        lambda r: r["outputs"][0].update(ok=False),
        lambda r: r["outputs"][0].pop("max_ulp"),
        lambda r: r["outputs"][0].update(format="onnx"),
        lambda r: r["from"].update(host="secret"),
        lambda r: r["weights"]["transformed"][0].update(sha256="abc"),
        lambda r: r["layers"]["all"][0].pop("tolerance"),
        lambda r: r["ledger"][0].pop("why"),
        lambda r: r["timings_s"].update(total=-1),
        lambda r: r["artifacts"][0].update(format="pickle"),
    ],
)
def test_the_schema_is_strict(change: Any) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(bent(change), reports.schema())


def undescribed(node: dict[str, Any], where: str) -> list[str]:
    """Properties without a description; what is only a reference or a fixed value is described elsewhere."""
    found = []
    for name, inner in node.get("properties", {}).items():
        if not {"description", "$ref", "const"} & set(inner):
            found.append(f"{where}.{name}")
        found += undescribed(inner, f"{where}.{name}")
    if isinstance(node.get("items"), dict):
        found += undescribed(node["items"], where)
    return found


def test_everything_in_the_schema_is_described() -> None:
    schema = reports.schema()
    assert undescribed(schema, "report") == ["report.weights.transformed.transforms.op"]
    for name, definition in schema["$defs"].items():
        assert undescribed(definition, name) == []


def test_the_worst_probe_of_an_output_stands_for_it() -> None:
    rows = reports.outputs(
        [
            Evidence(
                format="keras",
                outputs=(comparison("normal/y", max_rel=2e-6), comparison("wide/y", max_rel=3e-6)),
                layers=(),
            )
        ]
    )
    assert [(row["name"], row["probe"], row["probes"], row["max_rel"]) for row in rows] == [("y", "wide", 2, 3e-6)]


def test_a_failed_comparison_stands_before_a_larger_number() -> None:
    failed = comparison("unit/y", ok=False, max_rel=-1.0)
    rows = reports.outputs(
        [Evidence(format="keras", outputs=(comparison("normal/y", max_rel=9e-6), failed), layers=())]
    )
    assert (rows[0]["probe"], rows[0]["ok"]) == ("unit", False)


def test_the_checksum_of_a_folder_depends_on_names_and_content(tmp_path: Path) -> None:
    sums = []
    for number, (name, text) in enumerate([("a", "x"), ("b", "x"), ("a", "y")]):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / name).write_text(text)
        sums.append(reports.file_artifact(folder, tmp_path, "saved_model")["sha256"])
    assert len(set(sums)) == 3


def shown(made: dict[str, Any]) -> str:
    stream = io.StringIO()
    terminal.show(made, Path("out"), Console(file=stream, width=200))
    return stream.getvalue()


def test_people_see_verdict_proof_and_changes() -> None:
    text = shown(report())
    assert "Weights: 2 of 2 equal bit for bit, 1 of them transformed.\n" in text
    assert "Layers: 2 of 2 calls agree.\n" in text
    assert "  l.axis: [2] → 2  (one axis)\n" in text
    assert "VERIFIED  TensorFlow 1.15.5 (Keras 2.2.4-tf) → TensorFlow 1.15.5 (Keras 2.2.4-tf)\n" in text
    assert "  out/model.keras  (keras)\n  out/report.html\n  out/report.json\n" in text


def test_people_see_the_layer_and_the_elements_that_differ() -> None:
    text = shown(report(ok=False))
    assert "First layer that differs: b (Dense): differs by 1 of the largest value; at most 1e-05 is rounding\n" in text
    assert "  at [0, 1]: expected 1.0, found nan\n" in text
    assert "DIVERGED" in text


def test_people_see_all_findings_and_what_to_do() -> None:
    text = shown(ended("layer-unsupported"))
    assert text.startswith(
        f"layer-unsupported: What happened.\n  • a\nWhat to do: {CATALOGUE['layer-unsupported'].remedy}\n"
    )
    assert "REFUSED" in text


def test_what_was_not_checked_is_always_said() -> None:
    made = {**ended("worker-crashed"), "not_checked": ["the moon"]}
    assert "Not checked: the moon\n" in shown(made)


def test_names_from_the_model_are_never_read_as_markup() -> None:
    made = report(ok=False)
    made["outputs"][0]["name"] = made["layers"]["first_divergent"]["layer"] = "[red]y[/red]"
    text = shown(made)
    assert text.count("[red]y[/red]") == 2


def test_a_long_ledger_is_cut_with_a_count() -> None:
    made = report()
    made["ledger"] = made["ledger"] * 20
    assert "  … and 8 more in report.json\n" in shown(made)
