"""The matrix with real TensorFlow: a subset, crashes in both environments, a broken rule and a changed reference."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import Run, descendants, end, start, venv_only

from harness.backends import Environment
from harness.dialects import keras3_step, objects
from harness.dialects.rules import Layer
from harness.plan import Options
from harness.regress import baseline
from harness.regress.cases import Case, select, zoo_cases
from harness.regress.runner import CaseResult, PairRun

pytestmark = pytest.mark.integration

DENSE = ("core/dense-[nmp]*",)
SIGMOIDS = ("activations/*-hard_sigmoid", "recurrent/*-gate-hard_sigmoid")
LAMBDA = ("lambda/as_activation",)  # the file names a function that it does not hold
GLOBS = (*DENSE, *SIGMOIDS, *LAMBDA)
OPTIONS = [part for glob in GLOBS for part in ("--only", glob)]


@pytest.fixture(scope="module")
def subset(cli_once: Callable[..., Run]) -> Run:
    """A run over about a dozen models, compared with no baseline."""
    return cli_once("regress", "regress", "--pair", "tf1.15:tf2.21", *OPTIONS, "--naive", "--baseline", "none")


@pytest.fixture(scope="module")
def cases(subset: Run) -> list[Case]:
    return [case for case in zoo_cases(subset.out / "zoo" / "tf1.15") if not case.id.startswith("lambda/")]


def results(out: Path) -> dict[str, dict[str, Any]]:
    return {case["id"]: case for case in json.loads((out / "results.json").read_text())["cases"]}


def test_a_subset_is_verified_and_its_refusals_are_no_fault(subset: Run) -> None:
    assert subset.done.status == 0, subset.done.text
    found = results(subset.out)
    assert len(found) >= 10
    assert {name: case["status"] for name, case in found.items() if case["status"] != "verified"} == {
        LAMBDA[0]: "refused"
    }
    assert all(case["golden"] for case in found.values() if case["status"] == "verified")


def test_plain_loads_stand_beside_it(subset: Run) -> None:
    found = results(subset.out)
    kinds = Counter(case["naive"]["tf_keras"]["status"] for name, case in found.items() if name != LAMBDA[0])
    assert kinds == {"right": len(found) - 1}
    keras3 = [case["naive"]["keras3"]["status"] for name, case in found.items() if "hard_sigmoid" in name]
    assert "right" not in keras3


def test_the_files_say_the_same_as_the_terminal(subset: Run) -> None:
    found = results(subset.out)
    root = ET.parse(subset.out / "junit.xml").getroot()
    assert [(s.get("name"), s.get("tests"), s.get("skipped")) for s in root] == [
        ("tf1.15--tf2.21", str(len(found)), "1")
    ]
    page = (subset.out / "index.html").read_text()
    assert page.count("<tr data-status=") == len(found)
    assert "AS ACCEPTED" in subset.done.stdout
    assert not list((subset.out / "jobs").rglob("request.json"))


def worker_of(process: int, environment: str, limit_s: float = 120) -> int:
    """The worker process that a command line started in an environment, as soon as there is one."""
    end_at = time.monotonic() + limit_s
    while time.monotonic() < end_at:
        for pid, command in descendants(process):
            if f"/{environment}-" in command[0] and "--serve" in command:
                return pid
        time.sleep(0.01)
    raise TimeoutError(environment)


def wait_for(folder: Path, pattern: str, limit_s: float = 120) -> Path:
    end_at = time.monotonic() + limit_s
    while time.monotonic() < end_at:
        for path in folder.rglob(pattern):
            return path
        time.sleep(0.01)
    raise TimeoutError(pattern)


@venv_only
@pytest.mark.skipif(sys.platform != "linux", reason="finds the workers below /proc")
def test_a_crash_on_either_side_costs_one_model_each(subset: Run, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "zoo").symlink_to(subset.out / "zoo")
    process = start(
        "regress", "--pair", "tf1.15:tf2.21", "--only", DENSE[0], "--baseline", "none", "--out", out, cwd=tmp_path
    )
    try:
        # Stopped while they still import TensorFlow, both have a job before them when they are killed.
        victims = {name: worker_of(process.pid, name) for name in ("tf1.15", "tf2.21")}
        for pid in victims.values():
            os.kill(pid, signal.SIGSTOP)
        for name, request in (("tf1.15", "export/request.json"), ("tf2.21", "import/request.json")):
            wait_for(out / "jobs", request)
            os.kill(victims[name], signal.SIGKILL)
    finally:
        done = end(process)
    assert done.status == 1, done.text
    found = results(out)
    assert [(case["status"], case["code"]) for case in found.values()] == [
        ("failed", "worker-crashed"),
        ("failed", "worker-crashed"),
        *[("verified", None)] * (len(found) - 2),
    ]
    assert len(found) == len([name for name in results(subset.out) if name.startswith("core/")]) >= 4
    for name in list(found)[:2]:
        assert "SIGKILL" in found[name]["reason"]
    assert len(list((out / "jobs").rglob("request.json"))) == 3  # the second model's export was done


@pytest.fixture(scope="module")
def pair_run(hosted: Callable[[str], Environment], tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """``pair_run(cases)``: their results, in this process, where rules can be changed."""

    def run(cases: list[Case]) -> list[CaseResult]:
        return PairRun(
            source=hosted("tf1.15"),
            target=hosted("tf2.21"),
            root=tmp_path_factory.mktemp("matrix"),
            options=Options(timeout_s=120, proof="quick"),
        ).run(cases)

    return run


def test_a_broken_rule_turns_exactly_its_models_red(
    cases: list[Case], pair_run: Callable[..., list[CaseResult]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "pinned_hard_sigmoid", lambda _dtype, _units: "hard_sigmoid")
    found = pair_run(cases)
    red = {result.id for result in found if result.status == "diverged"}
    assert red == {case.id for case in select(cases, SIGMOIDS)}
    assert {result.status for result in found if result.id not in red} == {"verified"}
    accepted = baseline.entries_of(replace(result, status="verified") for result in found)
    assert {change.id for change in baseline.compare(found, accepted).worse} == red
    assert all(result.first_divergent for result in found if result.id in red)


def test_permuted_gates_turn_red_what_has_them_and_nothing_else(
    cases: list[Case], pair_run: Callable[..., list[CaseResult]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gates of an LSTM in the order o, c, f, i: weights that are assigned bit for bit, and mean something else."""

    def reversed_gates(layer: Layer) -> None:
        rows, columns = layer.weight_shapes["kernel"]
        apart, back = [rows, 4, columns // 4], [rows, columns]
        layer.weight("kernel", {"op": "reshape", "shape": apart}, {"op": "flip", "axes": [1]})
        layer.weight("kernel", {"op": "reshape", "shape": back})

    chosen = select(cases, ("recurrent/*", "core/dense-plain"))
    having = {case.id for case in chosen if "LSTM" in case.layers}
    assert having
    assert having != {case.id for case in chosen}
    monkeypatch.setitem(keras3_step.UP, "LSTM", (*keras3_step.UP["LSTM"], reversed_gates))
    found = {result.id: result for result in pair_run(chosen)}
    assert {name for name, result in found.items() if result.status == "diverged"} == having
    assert {result.status for name, result in found.items() if name not in having} == {"verified"}
    assert all("LSTM" in (found[name].first_divergent or "") for name in having)


def test_a_source_model_that_is_not_the_recorded_one_is_found(
    cases: list[Case], pair_run: Callable[..., list[CaseResult]], tmp_path: Path
) -> None:
    (case,) = select(cases, ("core/dense-plain",))
    assert case.golden
    with np.load(case.golden) as golden:
        arrays = dict(golden)
    arrays["output:0"] = arrays["output:0"] * 1.001
    np.savez(tmp_path / "changed.npz", **arrays)
    (found,) = pair_run([replace(case, golden=tmp_path / "changed.npz")])
    assert (found.status, found.code) == ("diverged", "golden")
    assert "does not reproduce the recorded output 0" in (found.reason or "")


def test_the_zoo_is_made_once(subset: Run) -> None:
    stamp = json.loads((subset.out / "zoo" / "tf1.15" / "generated.json").read_text())
    assert stamp["globs"] == list(GLOBS)


@venv_only
def test_ctrl_c_ends_all_workers_at_once(subset: Run, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "zoo").symlink_to(subset.out / "zoo")
    process = start("regress", "--pair", "tf1.15:tf2.21", "--only", DENSE[0], "--out", out, cwd=tmp_path)
    workers = [worker_of(process.pid, name) for name in ("tf1.15", "tf2.21")]
    started = time.monotonic()
    process.send_signal(signal.SIGINT)
    assert end(process).status == 130
    assert time.monotonic() - started < 15
    assert [pid for pid in workers if Path(f"/proc/{pid}").exists()] == []
