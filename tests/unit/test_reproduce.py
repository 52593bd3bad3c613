"""Reports as the recipe of a run, and bills of materials."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from harness import report, reproduce, sbom
from harness.envspec import EnvSpec
from harness.errors import HarnessError


def written(folder: Path, **changes: object) -> Path:
    made = {**report.new(), **changes}
    report.set_error(made, HarnessError("source-missing", "m"))
    (folder / "report.json").write_text(json.dumps(made))
    return folder


def test_the_command_runs_again_into_another_folder(tmp_path: Path) -> None:
    command = ["python", "-m", "harness", "migrate", "m.h5", "--out", "new", "--json", "--to", "tf2.15", "--out=x"]
    found = reproduce.read(written(tmp_path, command=command))
    assert reproduce.arguments(found, Path("again")) == ["migrate", "m.h5", "--to", "tf2.15", "--out", "again"]


@pytest.mark.parametrize(
    "command", [[], ["make", "tf1-to-tf2"], ["python", "-m", "harness", "envs", "remove", "tf1.15"]]
)
def test_a_report_starts_nothing_else(tmp_path: Path, command: list[str]) -> None:
    found = reproduce.read(written(tmp_path, command=command))
    with pytest.raises(HarnessError, match="not made by one of migrate") as caught:
        reproduce.arguments(found, Path("again"))
    assert caught.value.code == "usage"


@pytest.mark.parametrize("content", ["", "[]", '{"report_schema": 99}'])
def test_what_is_no_report_is_said_so(tmp_path: Path, content: str) -> None:
    (tmp_path / "report.json").write_text(content)
    with pytest.raises(HarnessError, match="no report of this version"):
        reproduce.read(tmp_path)


def test_every_difference_is_a_path_into_the_report() -> None:
    before = report.new()
    after = {**before, "status": "verified", "weights": {"total": 3}, "timings_s": {"total": 2}}
    assert reproduce.differences(before, before) == []
    assert reproduce.differences(before, after) == [
        "status: 'failed' → 'verified'",
        "weights: None → {'total': 3}",
    ]


def test_another_lock_is_another_environment(specs: dict[str, EnvSpec]) -> None:
    found = {"environments": [
        {"name": "tf1.15", "backend": "venv", "key": specs["tf1.15"].key},
        {"name": "tf2.21", "backend": "venv", "key": "0" * 16},
        {"name": "tf0.1", "backend": "venv", "key": "0" * 16},
    ]}  # fmt: skip
    lines = reproduce.other_environments(found)
    assert [line.split(" ")[0] for line in lines] == ["tf2.21", "tf0.1:"]


def test_the_bill_names_every_package_of_the_lock_with_its_digests(specs: dict[str, EnvSpec]) -> None:
    for spec in specs.values():
        bill = json.loads(sbom.of(spec))
        assert bill["bomFormat"] == "CycloneDX"
        locked = dict(re.findall(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", spec.lock_text(), re.MULTILINE))
        parts = {part["name"]: part for part in bill["components"] if part["type"] == "library"}
        assert {name: part["version"] for name, part in parts.items()} == locked
        assert sum(len(part["hashes"]) for part in parts.values()) == len(
            set(re.findall(r"sha256:(\w+)", spec.lock_text()))
        )
