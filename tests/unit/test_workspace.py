"""The output folder appears whole or not at all, and never at the cost of something else."""

from __future__ import annotations

import errno
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from harness import report as reports
from harness import workspace
from harness.errors import HarnessError
from harness.workspace import Workspace


def report(status: str = "verified") -> dict[str, Any]:
    return {**reports.new(), "status": status}


def publish(out: Path, status: str = "verified", *, keep_jobs: bool = False, **files: str) -> Path:
    with Workspace(out) as space:
        for name, text in files.items():
            (space.path / name).write_text(text)
        return space.publish(report(status), keep_jobs=keep_jobs)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_published_folder_stands_under_its_name_alone(tmp_path: Path) -> None:
    assert publish(tmp_path / "out", model="m") == tmp_path / "out"
    assert names(tmp_path) == ["out"]
    assert names(tmp_path / "out") == ["model", "report.json"]


def test_jobs_are_kept_on_request(tmp_path: Path) -> None:
    assert names(publish(tmp_path / "out", keep_jobs=True)) == ["jobs", "report.json"]


def test_nothing_is_visible_before_it_is_published(tmp_path: Path) -> None:
    with Workspace(tmp_path / "out") as space:
        assert not (tmp_path / "out").exists()
        assert space.path.parent == tmp_path, "on the same file system, so that the move is one rename"


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_run_without_an_end_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    with pytest.raises(error), Workspace(tmp_path / "out"):
        raise error
    assert names(tmp_path) == []


@pytest.mark.parametrize("status", ["diverged", "refused", "failed"])
def test_a_verified_result_is_never_replaced_by_another(tmp_path: Path, status: str) -> None:
    publish(tmp_path / "out", model="good")
    assert publish(tmp_path / "out", status, model="bad") == tmp_path / f"out.{status}"
    assert (tmp_path / "out" / "model").read_text() == "good"
    assert publish(tmp_path / "out", status, model="again") == tmp_path / f"out.{status}"
    assert (tmp_path / f"out.{status}" / "model").read_text() == "again"
    assert names(tmp_path) == ["out", f"out.{status}"]


@pytest.mark.parametrize("status", ["diverged", "refused", "failed", "verified"])
def test_any_result_is_replaced_by_a_verified_one(tmp_path: Path, status: str) -> None:
    publish(tmp_path / "out", status, old="x")
    publish(tmp_path / "out", model="good")
    assert names(tmp_path / "out") == ["model", "report.json"]
    assert names(tmp_path) == ["out"]


@pytest.mark.parametrize(
    "text", ["{}", "[]", "no json", '{"status": "verified"}', '{"report_schema": 1}', '{"report_schema": 1, "status": []}', "[" * 9999],
)  # fmt: skip
def test_a_report_of_somebody_else_is_no_result(tmp_path: Path, text: str) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "report.json").write_text(text)
    with pytest.raises(HarnessError) as caught, Workspace(tmp_path / "out"):
        pass
    assert caught.value.code == "output-occupied"
    assert (tmp_path / "out" / "report.json").read_text() == text


def test_a_report_that_is_a_pipe_is_no_result(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    os.mkfifo(tmp_path / "out" / "report.json")
    with pytest.raises(HarnessError) as caught, Workspace(tmp_path / "out"):
        pass
    assert caught.value.code == "output-occupied"


def test_the_root_is_no_output_folder() -> None:
    with pytest.raises(HarnessError) as caught, Workspace(Path("/")):
        pass
    assert caught.value.code == "output-occupied"
    assert caught.value.message == "/ is the root of the file system, and cannot be replaced."


@pytest.mark.parametrize("length", [240, 256])
def test_a_name_that_is_too_long_is_said_so(tmp_path: Path, length: int) -> None:
    """The first is not too long itself, but for the folder in the making beside it."""
    out = tmp_path / ("o" * length)
    with pytest.raises(HarnessError) as caught, Workspace(out):
        pass
    assert caught.value.code == "output-unwritable"
    assert caught.value.message == f"{out} cannot be created: File name too long."
    assert names(tmp_path) == []


def test_a_name_that_is_no_text_does_not_cost_the_report(tmp_path: Path) -> None:
    """A file name of other bytes than UTF-8 comes in as half a surrogate pair."""
    with Workspace(tmp_path / "out") as space:
        space.publish({**report(), "command": ["\udcff"]}, keep_jobs=False, also={"report.md": "\udcff"})
    assert (tmp_path / "out" / "report.md").read_text() == r"\udcff"
    publish(tmp_path / "out")


def test_an_empty_folder_may_be_used(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    publish(tmp_path / "out")
    assert names(tmp_path / "out") == ["report.json"]


def test_a_dangling_link_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "out").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(HarnessError) as caught, Workspace(tmp_path / "out"):
        pass
    assert caught.value.message == f"{tmp_path / 'out'} is a file, not an earlier result of the harness."


@pytest.mark.parametrize("inside", ["", "bundle", "bundle/weights.npz"])
def test_an_input_inside_the_output_is_refused(tmp_path: Path, inside: str) -> None:
    out = publish(tmp_path / "out")
    with pytest.raises(HarnessError) as caught, Workspace(out, [out / inside]):
        pass
    assert caught.value.code == "output-occupied"
    assert caught.value.message == f"{out} holds the input {out / inside}, and would be replaced."
    assert names(out) == ["report.json"]


def test_an_input_beside_the_output_is_fine(tmp_path: Path) -> None:
    with Workspace(tmp_path / "out", [tmp_path / "out.h5", tmp_path]):
        pass


def dead_pid() -> int:
    with subprocess.Popen(["true"]) as process:
        pass
    return process.pid


def test_what_dead_runs_left_is_swept_and_nothing_else(tmp_path: Path) -> None:
    dead = tmp_path / f".out.partial-{dead_pid()}-0123abcd"
    alive = tmp_path / f".out.partial-{dead_pid()}-89abcdef"  # of another machine, or another container
    other = tmp_path / f".other.partial-{dead_pid()}-0123abcd"
    odd = tmp_path / ".out.partial-notes"
    for folder in (dead, alive, other, odd):
        (folder / "jobs").mkdir(parents=True)
    holder = workspace._hold(alive)
    assert holder is not None
    publish(tmp_path / "out")
    os.close(holder)
    assert names(tmp_path) == sorted([alive.name, other.name, odd.name, "out"])


def test_a_result_that_a_killed_run_had_moved_aside_comes_back(tmp_path: Path) -> None:
    out = tmp_path / "out"
    publish(out)
    os.rename(out, tmp_path / f".out.old-{dead_pid()}-0123abcd")
    with pytest.raises(KeyboardInterrupt), Workspace(out):
        raise KeyboardInterrupt
    assert names(tmp_path) == ["out"]
    assert (out / "report.json").is_file()


def test_missing_parents_are_made(tmp_path: Path) -> None:
    assert publish(tmp_path / "a" / "b" / "out").is_dir()


def test_a_relative_output_means_the_folder_at_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other").mkdir()
    with Workspace(Path("out")) as space:
        monkeypatch.chdir(tmp_path / "other")
        space.publish(report(), keep_jobs=False)
    assert names(tmp_path) == ["other", "out"]


def test_a_parent_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HarnessError) as caught, Workspace(tmp_path / "file" / "out"):
        pass
    assert caught.value.code == "output-unwritable"
    assert caught.value.message == f"{tmp_path / 'file' / 'out'} cannot be created: {tmp_path / 'file'} is a file."


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.ENOSPC, "no-space"),
        (errno.EDQUOT, "no-space"),
        (errno.EFBIG, "no-space"),
        (errno.EACCES, "output-unwritable"),
    ],
)
def test_a_report_that_cannot_be_written_leaves_everything_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, code: str
) -> None:
    publish(tmp_path / "out", model="good")

    def full(*_: object, **__: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(HarnessError) as caught:
        publish(tmp_path / "out")
    monkeypatch.undo()
    assert caught.value.code == code
    assert names(tmp_path) == ["out"]
    assert (tmp_path / "out" / "model").read_text() == "good"


def test_an_earlier_result_and_the_new_one_change_places_in_one_step(tmp_path: Path) -> None:
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    if not workspace._exchange(tmp_path / "one", tmp_path / "other"):
        pytest.skip("this file system cannot swap two names")
    assert (names(tmp_path / "one"), names(tmp_path / "other")) == (["other"], ["one"])


def test_runs_that_end_at_once_leave_one_result(tmp_path: Path) -> None:
    """Each replaces the one before; none is lost half-way, none fails."""

    def end(number: int) -> Path:
        return publish(tmp_path / "out", model=str(number))

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(end, range(40))) == {tmp_path / "out"}
    assert names(tmp_path) == ["out"]
    assert names(tmp_path / "out") == ["model", "report.json"]


def test_an_earlier_result_comes_back_when_the_move_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(tmp_path / "out", model="good")
    monkeypatch.setattr(workspace, "_exchange", lambda *_: False)
    rename, calls = os.rename, []

    def failing(old: Path, new: Path) -> None:
        calls.append(old)
        if len(calls) == 2:
            raise OSError(errno.EIO, "broken")
        rename(old, new)

    monkeypatch.setattr(os, "rename", failing)
    with pytest.raises(HarnessError):
        publish(tmp_path / "out")
    monkeypatch.undo()
    assert names(tmp_path) == ["out"]
    assert (tmp_path / "out" / "model").read_text() == "good"


def test_other_forms_of_the_report_are_written_beside_it(tmp_path: Path) -> None:
    with Workspace(tmp_path / "out") as space:
        space.publish({"report_schema": 1, "status": "verified"}, keep_jobs=False, also={"report.md": "# ok"})
    assert names(tmp_path / "out") == ["report.json", "report.md"]
    assert (tmp_path / "out" / "report.md").read_text() == "# ok"
