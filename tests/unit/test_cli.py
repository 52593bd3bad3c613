"""The command line: usage faults, exit statuses, and help; nothing is started."""

from __future__ import annotations

import json
from pathlib import Path

import bad_files
import click
import pytest

from harness import cli, engine
from harness.errors import CATALOGUE, HarnessError

COMMANDS = sorted(cli.cli.commands)


def call(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    status = cli._guarded([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["migrate"], "Missing argument 'SOURCE'."),
        (["migrate", "a", "b"], "Got unexpected extra argument (b)"),
        (["migrat", "a"], "No such command 'migrat'."),
        (["migrate", "a", "--too", "tf2.21"], "No such option"),
        (
            ["migrate", "a", "--format", "onnx"],
            "Invalid value for '--format': 'onnx' is not one of 'keras', 'h5', 'saved_model'.",
        ),
        (["migrate", "a", "--hard-sigmoid", "guess"], "Invalid value for '--hard-sigmoid'"),
        (["migrate", "a", "--timeout", "0"], "Invalid value for '--timeout': 0.0 is not in the range x>0."),
        (["migrate", "a", "--timeout", "-1"], "Invalid value for '--timeout'"),
        (["migrate", "a", "--timeout", "soon"], "Invalid value for '--timeout': 'soon' is not a valid float"),
        (["migrate", "a", "--backend", "vm"], "Invalid value for '--backend'"),
        (["import"], "Missing argument 'BUNDLE'."),
        (["verify", "a"], "Missing argument 'NEW'."),
        (["envs", "create"], "Missing argument 'NAMES...'."),
    ],
)
def test_a_call_that_cannot_be_understood_is_a_usage_error(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    status, out, err = call(capsys, *arguments)
    assert (status, out) == (2, "")
    assert message in err
    assert err.startswith("Usage: python -m harness")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["migrate", "nothing.h5"], "source-missing"),
        (["plan", "nothing.h5"], "source-missing"),
        (["inspect", "nothing.h5"], "source-missing"),
        (["export", "nothing.h5"], "source-missing"),
        (["verify", "nothing.keras", "bundle"], "source-missing"),
        (["migrate", "model.h5", "--from", "tf9"], "environment-unknown"),
        (["migrate", "model.h5", "--to", "tf9"], "environment-unknown"),
        (["import", "bundle", "--to", "tf9"], "environment-unknown"),
        (["migrate", "model.h5", "--to", "tf1.14"], "pair-unsupported"),
        (["migrate", "model.h5", "--inputs", "nothing.npz"], "samples-invalid"),
        (["migrate", "empty.h5"], "source-empty"),
        (["migrate", "."], "source-is-directory"),
        (["envs", "check", "tf9"], "environment-unknown"),
    ],
)
def test_every_foreseen_fault_has_its_documented_status(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: str
) -> None:
    monkeypatch.chdir(tmp_path)
    bad_files.keras_h5(tmp_path / "model.h5")
    (tmp_path / "empty.h5").touch()
    status, out, err = call(capsys, *arguments)
    assert (status, out) == (int(CATALOGUE[code].exit_status), "")
    assert err.startswith(f"{code}: ")
    assert "What to do: " in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty.h5", "model.h5"]


def test_a_bug_ends_with_its_own_status_and_a_traceback(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(engine, "migrate", broken)
    status, _, err = call(capsys, "migrate", bad_files.keras_h5(tmp_path / "model.h5"))
    assert status == 70
    assert err.startswith("An internal error; please report it:\nTraceback (most recent call last):\n")
    assert err.endswith("ZeroDivisionError: a bug\n")


@pytest.mark.parametrize("error", [KeyboardInterrupt, click.Abort])
def test_ctrl_c_has_its_own_status(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(engine, "migrate", interrupted)
    status, out, err = call(capsys, "migrate", bad_files.keras_h5(tmp_path / "model.h5"))
    assert (status, out, err.lstrip("\n")) == (130, "", "Interrupted. Nothing half-written was left.\n")


def test_details_are_listed_and_markup_in_them_stays_text(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refusing(*_: object, **__: object) -> None:
        raise HarnessError("layer-unsupported", "Two [b]layers[/b].", details=["[red]a[/red] " + "x" * 200, "b"])

    monkeypatch.setattr(engine, "migrate", refusing)
    status, _, err = call(capsys, "migrate", bad_files.keras_h5(tmp_path / "model.h5"))
    assert status == 3
    assert err == (
        "layer-unsupported: Two [b]layers[/b].\n  • [red]a[/red] " + "x" * 200 + "\n  • b\n"
        f"What to do: {CATALOGUE['layer-unsupported'].remedy}\n"
    )


def test_a_plan_as_json_is_json_alone(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    model = bad_files.keras_h5(tmp_path / "model.h5", keras_version="2.2.4-tf")
    status, out, err = call(capsys, "plan", model, "--json", "--format", "keras", "--format", "keras")
    assert (status, err) == (0, "")
    plan = json.loads(out)
    assert (plan["from"], plan["to"], plan["formats"]) == ("tf1.15", "tf2.21", ["keras"])


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_shows_an_example(capsys: pytest.CaptureFixture[str], command: str) -> None:
    status, out, _ = call(capsys, command, "--help")
    assert status == 0
    assert "python -m harness " in out


def test_help_and_version_need_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = call(capsys, "--help")
    assert status == 0
    for command in COMMANDS:
        assert f"\n  {command} " in out
    assert "0 verified   1 diverged   2 usage   3 refused" in out
    assert call(capsys, "--version")[0] == 0
