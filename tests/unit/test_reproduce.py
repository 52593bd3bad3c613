"""Reports as the recipe of a run, and bills of materials."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import bad_files
import pytest

from harness import cli, engine, report, reproduce, sbom
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
    assert reproduce.arguments(found, Path("again")) == ["migrate", "--to=tf2.15", "--out=again", "--", "m.h5"]


@pytest.mark.parametrize(
    "command", [[], ["make", "tf1-to-tf2"], ["python", "-m", "harness", "envs", "remove", "tf1.15"]]
)
def test_a_report_starts_nothing_else(tmp_path: Path, command: list[str]) -> None:
    found = reproduce.read(written(tmp_path, command=command))
    with pytest.raises(HarnessError, match="not made by one of migrate") as caught:
        reproduce.arguments(found, Path("again"))
    assert caught.value.code == "usage"


def again(*command: str, **ours: object) -> list[str]:
    return reproduce.arguments({"command": ["python", "-m", "harness", *command]}, Path("again"), **ours)  # type: ignore[arg-type]


def test_a_report_cannot_run_code_or_choose_the_backend() -> None:
    for option in ("--custom-objects", "--target-objects"):
        for words in ([option, "evil.py"], [f"{option}=evil.py"]):
            with pytest.raises(HarnessError) as caught:
                again("migrate", "m.h5", *words)
            assert caught.value.code == "code-not-allowed"
            assert caught.value.details == (f"{option} evil.py",)
    with pytest.raises(HarnessError) as caught:
        again("load-weights", "w.npz", "--builder", "a.py:f", "--source-builder=b.py:g")
    assert caught.value.details == ("--builder a.py:f", "--source-builder b.py:g")
    assert "--custom-objects=mine.py" in again("migrate", "m.h5", "--custom-objects", "mine.py", allow_code=True)
    # The caller's options win, wherever the report's stand and whatever they try to swallow.
    assert again("migrate", "m.h5", "--backend", "venv", untrusted=True) == [
        "migrate",
        "--out=again",
        "--untrusted",
        "--",
        "m.h5",
    ]
    for words in (["m.h5", "--inputs", "--"], ["--inputs=x", "--", "m.h5"], ["m.h5", "--backend=venv"]):
        made = again("migrate", *words, untrusted=True, backend="docker")
        assert [word for word in made if word.startswith(("--backend", "--untrusted"))] == [
            "--backend=docker",
            "--untrusted",
        ]
        assert made.index("--untrusted") < made.index("--")
    with pytest.raises(HarnessError, match="not understood"):
        again("migrate", "m.h5", "--no-such-option")
    with pytest.raises(HarnessError, match="too many arguments"):
        again("migrate", "m.h5", "--", "--untrusted")


def test_loading_weights_runs_again_and_writes_nothing_elsewhere() -> None:
    words = ["a.npy", "--write-mapping", "/x", "b.npy", "--include", "k*", "--include=b*", "--fetch-python"]
    assert again("load-weights", *words) == [
        "load-weights",
        "--include=k*",
        "--include=b*",
        "--out=again",
        "--",
        "a.npy",
        "b.npy",
    ]


def test_a_report_made_again_has_the_command_that_ran_and_can_be_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The engine is replaced: it writes a report of what it was called with, in another backend."""
    monkeypatch.chdir(tmp_path)
    entry = {"name": "tf1.15", "backend": "docker", "key": "0" * 16}

    def migrate(plan: Any, _progress: object, command: list[str], **_: object) -> Any:
        made = {**report.new(command), "environments": [{**entry, "backend": "venv"}]}
        report.set_error(made, HarnessError("source-missing", "m"))
        plan.out.mkdir()
        (plan.out / "report.json").write_text(json.dumps(made))
        return engine.Outcome(report=made, folder=plan.out)

    monkeypatch.setattr(engine, "migrate", migrate)
    bad_files.keras_h5(tmp_path / "m.h5")
    (tmp_path / "first").mkdir()
    written(
        tmp_path / "first",
        command=["python", "-m", "harness", "migrate", "m.h5", "--training", "off"],
        environments=[entry],
    )
    assert cli._guarded(["reproduce", "first", "--backend", "venv", "--out", "second"]) == 2
    said = " ".join(capsys.readouterr().out.split())
    assert "Not the same environment: tf1.15: was docker" in said
    assert "The same as in first: every verdict, comparison and weight." in said
    assert reproduce.read(Path("second"))["command"][3:] == [
        "migrate", "--training=off", "--out=second", "--backend=venv", "--", "m.h5"
    ]  # fmt: skip
    assert cli._guarded(["reproduce", "second", "--out", "third"]) == 2
    assert reproduce.read(Path("third"))["command"][3:][3] == "--backend=venv"


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
    assert [line.split(" ")[0] for line in lines] == ["tf2.21:", "tf0.1:"]


def test_another_base_is_another_environment(specs: dict[str, EnvSpec]) -> None:
    entry = {"name": "tf1.15", "backend": "docker", "key": "0" * 16, "image": "sha256:1", "base": "python@sha256:2"}
    other = {**entry, "image": "sha256:3", "base": "python@sha256:4"}
    told = reproduce.other_environments({"environments": [entry]}, {"environments": [other]})
    assert told == ["tf1.15: its base was python@sha256:2, is python@sha256:4 here"]
    assert not reproduce.other_environments({"environments": [entry]}, {"environments": [{**entry, "image": "x"}]})


def test_the_bill_names_every_package_of_the_lock_with_its_digests(specs: dict[str, EnvSpec]) -> None:
    for spec in specs.values():
        bill = json.loads(sbom.of(spec))
        assert bill["bomFormat"] == "CycloneDX"
        locked = dict(re.findall(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", spec.lock_text(), re.MULTILINE))
        parts = {part["name"]: part for part in bill["components"] if part["type"] == "library" and "scope" not in part}
        assert {name: part["version"] for name, part in parts.items()} == locked
        assert sum(len(part["hashes"]) for part in parts.values()) == len(
            set(re.findall(r"sha256:(\w+)", spec.lock_text()))
        )


def test_the_bill_names_what_only_installs_as_such(specs: dict[str, EnvSpec]) -> None:
    def tools(name: str) -> dict[str, str]:
        parts = [part for part in json.loads(sbom.of(specs[name]))["components"] if part.get("scope") == "excluded"]
        assert all(len(part["hashes"]) == 1 for part in parts)
        return {f"{part['name']}=={part['version']}": part["properties"][0]["value"] for part in parts}

    built = dict.fromkeys(("setuptools==59.6.0", "wheel==0.37.1"), "building from source")
    assert tools("tf1.12") == {**built, "pip==21.3.1": "installation in an image"}
    assert tools("tf1.15") == {**built, "pip==24.0": "installation in an image"}
    assert tools("tf2.21") == {"pip==24.0": "installation in an image"}
