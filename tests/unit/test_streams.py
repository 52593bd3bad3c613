"""Standard output that is full, closed or read by nobody, and Ctrl-C before anything has begun."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import bad_files
import pytest

from harness import cli, engine, report
from harness.errors import HarnessError

COMMANDS = (["inspect"], ["inspect", "--json"], ["plan"], ["plan", "--json"])
ROOT = Path(cli.__file__).parents[1]


def program(*arguments: str, stdout: Any, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "harness", *arguments],
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        **{"cwd": ROOT, **options},
    )


@pytest.mark.parametrize("arguments", [*COMMANDS, ["--help"], ["envs", "list"]], ids=" ".join)
def test_standard_output_that_is_full_is_told(tmp_path: Path, arguments: list[str]) -> None:
    model = [] if arguments[0] in ("--help", "envs") else [str(bad_files.keras_h5(tmp_path / "m.h5"))]
    with Path("/dev/full").open("w") as full:
        done = program(*arguments, *model, stdout=full)
    assert done.returncode == 5
    assert done.stderr.startswith("no-space: Standard output cannot be written: No space left on device.\nWhat to do: ")
    assert done.stderr.count("\n") == 2


@pytest.mark.parametrize("arguments", [*COMMANDS, ["--help"], ["migrate"]], ids=" ".join)
def test_standard_output_that_nobody_reads_changes_nothing(tmp_path: Path, arguments: list[str]) -> None:
    """A program that reads its first line only, as `head` does, and one that reads none."""
    model = [] if arguments == ["--help"] else [str(bad_files.keras_h5(tmp_path / "m.h5"))]
    options = ["--format", "no-such"] if arguments == ["migrate"] else []
    reader, writer = os.pipe()
    os.close(reader)
    done = program(*arguments, *model, *options, stdout=writer)
    os.close(writer)
    assert done.returncode == (2 if options else 0)
    assert bool(done.stderr) == bool(options)
    assert "Traceback" not in done.stderr


def test_errors_that_nobody_can_read_keep_their_status(tmp_path: Path) -> None:
    for target in ("/dev/full", "pipe"):
        if target == "pipe":
            reader, writer = os.pipe()
            os.close(reader)
        else:
            writer = os.open(target, os.O_WRONLY)
        command = [sys.executable, "-m", "harness", "inspect", str(tmp_path / "nothing")]
        assert subprocess.run(command, stderr=writer, cwd=ROOT, timeout=60).returncode == 2
        os.close(writer)


@pytest.mark.parametrize("options", [[], ["--json"]], ids=["text", "json"])
def test_a_result_that_stands_is_named_when_nothing_can_be_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, options: list[str]
) -> None:
    made = report.new()
    report.set_error(made, HarnessError("source-empty", "m"))
    monkeypatch.setattr(engine, "migrate", lambda *_, **__: engine.Outcome(report=made, folder=tmp_path / "out"))
    model = bad_files.keras_h5(tmp_path / "m.h5")
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        status = cli._guarded(["migrate", str(model), "--out", str(tmp_path / "out"), *options])
    assert status == 5
    assert f"The run had ended by then, refused: its report is {tmp_path}/out/report.json." in capsys.readouterr().err


def test_json_is_exact_whatever_it_holds(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    name = "a\x1b[2J\u202e\nVERIFIED"
    bad_files.keras_h5(tmp_path / name)
    assert cli._guarded(["inspect", str(tmp_path / name), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["path"] == str(tmp_path / name)


@pytest.mark.parametrize("swallowed", [False, True])
def test_ctrl_c_while_modules_are_imported_has_its_message_and_status(tmp_path: Path, swallowed: bool) -> None:
    """The first module that the command line needs is one that is interrupted; some swallow what they get."""
    send = "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(20)\n"
    if swallowed:
        send = "try:\n" + "".join(f"    {line}\n" for line in send.splitlines()) + "except BaseException:\n    pass\n"
    (tmp_path / "click.py").write_text(send)
    done = program("--version", stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"})
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr == "\nInterrupted. Nothing half-written was left.\n"
