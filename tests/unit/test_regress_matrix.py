"""The matrix without TensorFlow: what is compared, counted, written and selected."""

from __future__ import annotations

import json
import os
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import bad_files
import h5py
import numpy as np
import pytest

from harness.artifact import Kind
from harness.errors import HarnessError
from harness.regress import baseline, matrix, naive, tables, warm
from harness.regress.baseline import Comparison, Entry
from harness.regress.cases import Case, folder_cases, input_names, select, zoo_cases
from harness.regress.golden import samples_of
from harness.regress.junit import junit
from harness.regress.page import page
from harness.regress.runner import CaseResult

NASTY = "<script>alert('x')</script>\"&\x00\x1b"


def result(name: str = "core/dense", status: str = "verified", **more: Any) -> CaseResult:
    given: dict[str, Any] = {"layers": ("Dense", "InputLayer", "Model"), **more}
    return CaseResult(id=name, source="tf1.15", target="tf2.21", status=status, **given)


def accepted(status: str, code: str | None = None) -> dict[str, Entry]:
    return {"core/dense": Entry(status=status, code=code, layers=("Dense",))}


# --- the comparison with the baseline

WORSE, BETTER, OTHER = "worse", "better", "other"


@pytest.mark.parametrize(
    ("before", "after", "where"),
    [
        ("verified", "refused", WORSE),
        ("verified", "failed", WORSE),
        ("verified", "diverged", WORSE),
        ("refused", "failed", WORSE),
        ("refused", "diverged", WORSE),
        ("failed", "diverged", WORSE),
        ("diverged", "diverged", WORSE),
        (None, "diverged", WORSE),
        (None, "failed", WORSE),
        ("refused", "verified", BETTER),
        ("failed", "verified", BETTER),
        ("failed", "refused", BETTER),
        ("diverged", "verified", BETTER),
        ("diverged", "failed", BETTER),
        (None, "verified", OTHER),
        (None, "refused", OTHER),
        ("verified", "verified", None),
        ("refused", "refused", None),
        ("failed", "failed", None),
    ],
)
def test_a_change_is_for_the_worse_or_the_better(before: str | None, after: str, where: str | None) -> None:
    found = baseline.compare([result(status=after)], accepted(before) if before else {})
    assert {key: len(getattr(found, key)) for key in (WORSE, BETTER, OTHER)} == {
        key: int(key == where) for key in (WORSE, BETTER, OTHER)
    }


def test_a_refusal_with_another_code_is_reported_and_no_fault() -> None:
    found = baseline.compare([result(status="refused", code="b")], accepted("refused", "a"))
    assert [str(change) for change in found.other] == ["tf1.15 → tf2.21  core/dense: refused (a) → refused (b)"]
    assert not found.worse


def test_a_verified_case_that_is_gone_is_for_the_worse_in_a_complete_run_only() -> None:
    known = {**accepted("verified"), "core/other": Entry(status="refused", code=None, layers=())}
    ran = [result("core/new")]
    assert baseline.compare(ran, known).worse == []
    found = baseline.compare(ran, known, complete=known)
    assert [(c.id, c.after) for c in found.worse] == [("core/dense", None)]
    assert [c.id for c in found.other] == ["core/new", "core/other"]


def test_a_baseline_comes_back_as_it_was_written_sorted_a_case_a_line(tmp_path: Path) -> None:
    entries = baseline.entries_of([result("b", "refused", code="layer-unsupported"), result("a")])
    text = baseline.dump(entries)
    (tmp_path / "x.json").write_text(text)
    assert baseline.load(tmp_path / "x.json") == entries
    assert [line.split(":")[0] for line in text.splitlines()[1:3]] == ['"a"', '"b"']
    assert json.loads(text)["cases"]["a"] == ["verified", None, "Dense InputLayer Model"]


def test_an_empty_baseline_can_be_written_and_read(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(baseline.dump({}))
    assert baseline.load(tmp_path / "x.json") == baseline.load(tmp_path / "absent.json") == {}


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"cases":{"a":["verified"]}}', '{"cases":{"a":["fine",null,""]}}'])
def test_what_is_no_baseline_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(HarnessError, match="no baseline of the matrix"):
        baseline.load(tmp_path / "x.json")


# --- counts


def test_a_layer_is_counted_once_for_a_model_and_containers_never() -> None:
    rows = tables.rows_of("a", "b", [("verified", ("Dense", "Dense", "Model")), ("refused", ("Dense", "LSTM"))])
    assert [(row.layer, row.count("verified"), row.count("refused")) for row in rows] == [
        ("", 1, 1),
        ("Dense", 1, 1),
        ("LSTM", 0, 1),
    ]


def test_the_support_table_has_a_row_a_layer_and_a_column_a_pair() -> None:
    text = tables.support_matrix({("b", "t"): accepted("verified"), ("a", "t"): accepted("diverged")})
    assert "| layer | a → t | b → t |" in text
    assert "| `Dense` | 0 / 0 / 0, **1 diverged** | 1 / 0 / 0 |" in text


# --- the page


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))


def nasty_page() -> str:
    bad = result(NASTY, "diverged", reason=NASTY, first_divergent=NASTY, layers=(NASTY,))
    bad = replace(bad, naive={"keras3": {"status": "fails", "max_rel": None, "reason": NASTY}})
    rows = tables.rows_of("tf1.15", "tf2.21", [(bad.status, bad.layers)])
    return page([bad, result()], rows, baseline.compare([bad], {}), about=NASTY)


def test_the_page_escapes_whatever_a_model_or_a_worker_says() -> None:
    tags = Tags()
    tags.feed(nasty_page())
    assert [tag for tag, _ in tags.seen].count("script") == 1
    assert "alert('x')" not in nasty_page().replace("alert(&#x27;x&#x27;)", "")


def test_the_page_needs_nothing_from_elsewhere_and_fits_a_phone_and_the_dark() -> None:
    text = nasty_page()
    assert not re.search(r"https?://|src=|<link|@import|url\(", text)
    assert 'name="viewport"' in text
    assert "prefers-color-scheme: dark" in text


def test_the_page_marks_each_row_with_what_the_filters_ask_for() -> None:
    tags = Tags()
    tags.feed(nasty_page())
    rows = [attributes for tag, attributes in tags.seen if tag == "tr" and "data-status" in attributes]
    assert [row["data-status"] for row in rows] == ["diverged naive-keras3-fails", "verified"]
    assert {row["data-pair"] for row in rows} == {"tf1.15 → tf2.21"}


def test_the_page_of_no_results_is_a_page() -> None:
    assert "Migration matrix: as accepted" in page([], [], Comparison(), about="nothing")


# --- JUnit


def test_junit_has_a_suite_a_pair_and_a_kind_a_status() -> None:
    results = [
        result("ok", seconds=1.5),
        result("off", "diverged", reason="differs"),
        result("broken", "failed", code="worker-crashed"),
        result("no", "refused", code="layer-unsupported"),
        replace(result("ok"), source="tf1.12"),
    ]
    root = ET.fromstring(junit(results).partition("\n")[2])
    assert [suite.get("name") for suite in root] == ["tf1.12--tf2.21", "tf1.15--tf2.21"]
    suite = root[1]
    assert {key: suite.get(key) for key in ("tests", "failures", "errors", "skipped", "time")} == {
        "tests": "4", "failures": "1", "errors": "1", "skipped": "1", "time": "1.500",
    }  # fmt: skip
    assert [[child.tag for child in case] for case in suite] == [[], ["failure"], ["error"], ["skipped"]]


def test_junit_shows_changes_for_the_worse_and_what_is_gone_as_failures() -> None:
    results = [result("core/dense", "refused", code="x")]
    known = {**accepted("verified"), "lost": Entry(status="verified", code=None, layers=())}
    root = ET.fromstring(junit(results, baseline.compare(results, known, complete=known).worse).partition("\n")[2])
    assert [(case.get("name"), [child.tag for child in case]) for case in root[0]] == [
        ("core/dense", ["failure"]),
        ("lost", ["failure"]),
    ]
    assert "verified → refused (x)" in (root[0][0][0].text or "")


def test_junit_is_xml_whatever_a_reason_holds() -> None:
    ET.fromstring(junit([result(NASTY, "failed", reason=NASTY + "\ud800")]).partition("\n")[2])


# --- what is run


def h5(path: Path, config: dict[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps(config)
        file.attrs["keras_version"] = "2.2.4-tf"
        file.attrs["backend"] = "tensorflow"
        file.create_group("model_weights").attrs["layer_names"] = np.array([b"dense"])
        file["model_weights"].create_group("dense").attrs["weight_names"] = np.array([], dtype="S1")
    return path


DENSE = {"class_name": "Dense", "config": {"name": "dense", "units": 1, "batch_input_shape": [None, 2]}}
INPUT = {"class_name": "InputLayer", "config": {"name": "given", "batch_input_shape": [None, 2], "dtype": "float32"}}
SEQUENTIAL = {"class_name": "Sequential", "config": {"name": "s", "layers": [DENSE]}}
FUNCTIONAL = {
    "class_name": "Model",
    "config": {
        "name": "m",
        "layers": [
            {**INPUT, "name": "given", "inbound_nodes": []},
            {**DENSE, "name": "dense", "inbound_nodes": [[["given", 0, 0, {}]]]},
        ],
        "input_layers": [["given", 0, 0]],
        "output_layers": [["dense", 0, 0]],
    },
}


def test_a_folder_gives_its_whole_models_by_content(tmp_path: Path) -> None:
    h5(tmp_path / "a" / "model.bin", SEQUENTIAL)
    h5(tmp_path / "b.h5", FUNCTIONAL)
    (tmp_path / "c.h5").write_text("no HDF5")
    (tmp_path / "README.md").write_text("text")
    np.savez(tmp_path / "a" / "golden.npz", **{"input:0": np.ones(2)})
    found = list(folder_cases(tmp_path, "mine"))
    assert [(case.id, case.golden is not None, case.suite) for case in found] == [
        ("mine:a/model.bin", True, "mine"),
        ("mine:b.h5", False, "mine"),
    ]
    assert found[0].layers == ("Dense",)
    assert (found[0].keras_version, found[0].backend) == ("2.2.4-tf", "tensorflow")


def test_a_folder_gives_architectures_whose_weights_lie_beside_them(tmp_path: Path) -> None:
    for name in ("pair", "alone"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "arch.json").write_text(json.dumps({**SEQUENTIAL, "keras_version": "2.1.2"}))
    bad_files.weights_only(tmp_path / "pair" / "weights.h5")
    named = json.dumps({**SEQUENTIAL, "keras_version": "2.1.2"}).replace('"dense"', '"dense_1"')
    (tmp_path / "pair" / "arch.json").write_text(named)
    (case,) = folder_cases(tmp_path, "mine")
    assert (case.id, case.keras_version) == ("mine:pair/arch.json", "2.1.2")
    assert case.weights == tmp_path / "pair" / "weights.h5"
    assert case.kind is Kind.KERAS_JSON


def test_a_zoo_gives_what_its_version_could_build(tmp_path: Path) -> None:
    rows = [
        {"id": "a", "file": "a.h5", "golden": "a.npz", "layers": ["Dense"]},
        {"id": "b", "file": None, "golden": None, "layers": []},
    ]
    assert list(zoo_cases(tmp_path)) == []
    (tmp_path / "index.json").write_text(json.dumps({"cases": rows}))
    (case,) = zoo_cases(tmp_path)
    assert (case.id, case.golden, case.layers, case.suite) == ("a", tmp_path / "a.npz", ("Dense",), "zoo")


@pytest.mark.parametrize(
    ("only", "limit", "chosen"),
    [
        ((), None, "c/0 c/1 c/2 c/3 d/0"),
        (("c/*",), None, "c/0 c/1 c/2 c/3"),
        (("c/0", "d/*"), None, "c/0 d/0"),
        (("c/*",), 2, "c/0 c/2"),
        ((), 9, "c/0 c/1 c/2 c/3 d/0"),
        (("nothing",), 3, ""),
    ],
)
def test_cases_are_chosen_by_glob_and_spread(only: tuple[str, ...], limit: int | None, chosen: str) -> None:
    cases = [Case(id=name, path=Path(name)) for name in ("c/0", "c/1", "c/2", "c/3", "d/0")]
    assert " ".join(case.id for case in select(cases, only, limit)) == chosen


@pytest.mark.parametrize(
    ("config", "names"),
    [
        (SEQUENTIAL, ["dense_input"]),
        ({"class_name": "Sequential", "config": [DENSE]}, ["dense_input"]),
        ({"class_name": "Sequential", "config": {"name": "s", "layers": [INPUT, DENSE]}}, ["given"]),
        (FUNCTIONAL, ["given"]),
    ],
)
def test_golden_inputs_are_named_as_the_model_names_them(
    config: dict[str, Any], names: list[str], tmp_path: Path
) -> None:
    path = h5(tmp_path / "m.h5", config)
    assert input_names(path, 1) == names
    assert input_names(path, 2) is None
    golden = tmp_path / "golden.npz"
    np.savez(golden, **{"input:in_0": np.ones((1, 2)), "output:out_0": np.ones(1)})
    assert samples_of(Case(id="m", path=path, golden=golden), tmp_path / "samples.npz")
    with np.load(tmp_path / "samples.npz") as samples:
        assert samples.files == names


def test_without_golden_inputs_there_are_no_samples(tmp_path: Path) -> None:
    assert not samples_of(Case(id="m", path=tmp_path / "m.h5"), tmp_path / "samples.npz")
    assert not (tmp_path / "samples.npz").exists()


# --- workers


@pytest.mark.parametrize(
    ("jobs", "resident", "due"),
    [
        (0, 1, False),
        (warm.RECYCLE_AFTER - 1, warm.RECYCLE_ABOVE, False),
        (warm.RECYCLE_AFTER, 1, True),
        (1, warm.RECYCLE_ABOVE + 1, True),
        (1, None, False),
        (warm.RECYCLE_AFTER, None, True),
    ],
)
def test_a_worker_is_replaced_by_count_or_by_memory(jobs: int, resident: int | None, due: bool) -> None:
    assert warm.recycle_due(jobs, resident) is due


def test_the_memory_of_a_process_is_what_the_system_says() -> None:
    held = warm.resident_bytes(os.getpid())
    assert held is None or 1 << 20 < held < 1 << 40
    assert warm.resident_bytes(2**22 + 1) is None


@pytest.mark.parametrize(
    ("found", "status"),
    [
        ({"error": "ValueError: no"}, "fails"),
        ({"error": None, "max_rel": 0.0}, "right"),
        ({"error": None, "max_rel": 1e-4}, "right"),
        ({"error": None, "max_rel": 2e-4}, "silent"),
        ({"error": None, "max_rel": None}, "silent"),
    ],
)
def test_a_plain_load_is_right_fails_or_is_silently_wrong(found: dict[str, Any], status: str) -> None:
    assert naive.judged(found)["status"] == status


# --- the request


@pytest.mark.parametrize("text", ["tf1.15", "tf1.15:", ":tf2.21", ""])
def test_a_pair_has_two_sides(text: str) -> None:
    with pytest.raises(HarnessError, match="is no pair"):
        matrix.parse_pair(text)


def refused(expected: str, **given: Any) -> None:
    with pytest.raises(HarnessError) as caught:
        matrix.run(matrix.Request(zoo=False, **given), lambda _step: None)
    assert caught.value.code == expected


def test_faults_of_the_call_are_found_before_anything_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matrix.backends, "ensure", None)
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "thesis.txt").write_text("mine")
    refused("output-occupied", out=tmp_path / "taken")
    refused("source-missing", out=tmp_path / "new", folders=(tmp_path / "absent",))
    two = (("tf1.12", "tf2.21"), ("tf1.15", "tf2.21"))
    refused("usage", out=tmp_path / "new", baseline=tmp_path / "one.json", pairs=two)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["taken"]


@pytest.fixture
def without_workers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., matrix.Outcome]:
    """``run(statuses)``: the matrix over a folder of models, whose results are given."""
    models = tmp_path / "models"

    class Stand:
        def __init__(self, spec: Any) -> None:
            self.spec = spec

    def run(statuses: dict[str, str], **given: Any) -> matrix.Outcome:
        for name in statuses:
            h5(models / name, SEQUENTIAL)

        def run_pair(self: Any, cases: list[Case], report: Any) -> list[CaseResult]:
            found = [result(case.id, statuses[case.path.name], layers=case.layers) for case in cases]
            for one in found:
                report(one)
            return found

        monkeypatch.setattr(matrix.PairRun, "run", run_pair)
        request = {"out": tmp_path / "out", "zoo": False, "folders": (models,), "pairs": (("tf1.15", "tf2.21"),)}
        return matrix.run(matrix.Request(**{**request, **given}), lambda _step: None)

    monkeypatch.setattr(matrix.backends, "ensure", lambda spec, *_args, **_more: Stand(spec))
    monkeypatch.setenv("HARNESS_CORPUS", str(tmp_path / "no-corpus"))
    return run


@pytest.mark.parametrize(("status", "exit_status"), [("verified", 0), ("refused", 0), ("diverged", 1), ("failed", 1)])
def test_the_exit_status_says_whether_anything_is_worse(
    without_workers: Callable[..., matrix.Outcome], tmp_path: Path, status: str, exit_status: int
) -> None:
    outcome = without_workers({"a.h5": "verified", "b.h5": status})
    assert outcome.exit_status == exit_status
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "index.html", "jobs", "junit.xml", "results.json",
    ]  # fmt: skip
    written = json.loads((tmp_path / "out" / "results.json").read_text())
    assert written["exit_status"] == exit_status
    assert [case["id"] for case in written["cases"]] == ["models:a.h5", "models:b.h5"]
    documented = (Path(__file__).resolve().parents[2] / "docs" / "regress.md").read_text()
    assert [key for key in (*written, *written["cases"][0]) if f"`{key}`" not in documented] == []


def test_the_users_own_folders_never_enter_the_baseline(
    without_workers: Callable[..., matrix.Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    h5(tmp_path / "corpus" / "c.h5", SEQUENTIAL)
    monkeypatch.setenv("HARNESS_CORPUS", str(tmp_path / "corpus"))
    without_workers({"a.h5": "verified", "c.h5": "refused"}, update=True, baseline=tmp_path / "accepted")
    written = baseline.load(tmp_path / "accepted" / "tf1.15--tf2.21.json")
    assert {name: entry.status for name, entry in written.items()} == {"corpus:c.h5": "refused"}


def test_a_partial_run_updates_what_it_ran_and_keeps_the_rest(
    without_workers: Callable[..., matrix.Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "one.json"
    kept = {"core/dense": Entry(status="verified", code=None, layers=("Dense",))}
    file.write_text(baseline.dump({**kept, "corpus:c.h5": Entry(status="failed", code="x", layers=())}))
    h5(tmp_path / "corpus" / "c.h5", SEQUENTIAL)
    monkeypatch.setenv("HARNESS_CORPUS", str(tmp_path / "corpus"))
    outcome = without_workers({"c.h5": "verified"}, update=True, baseline=file, only=("corpus:*",))
    assert [change.id for change in outcome.comparison.better] == ["corpus:c.h5"]
    assert {name: entry.status for name, entry in baseline.load(file).items()} == {
        "core/dense": "verified",
        "corpus:c.h5": "verified",
    }
