"""Faults, caused on purpose in every stage: what the user is told, that an earlier result stays, that the next run works.

One model of one layer, one earlier result; every fault happens beside it, and must leave it as it was to the byte.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pytest
from command_line import Done, Once, content, end, start, venv_only
from fault_table import linked, nothing_runs, plain, record, row, rows, said

from harness.backends import local
from harness.envspec import EnvSpec
from harness.errors import CATALOGUE

pytestmark = [pytest.mark.integration, venv_only]

FAULTY = Path(__file__).resolve().parent / "faulty.py"
SOURCE, TARGET = "tf1.15", "tf2.21"
#: of the small file system; all results of the model above take a tenth of it
DISK = "24m"


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A row before it has happened. ``at`` and ``what`` are those of faulty.py; ``code`` is what has to be said."""

    name: str
    stage: str
    at: str
    what: str
    status: int
    code: str
    options: tuple[str, ...] = ()
    root: bool = False

    @property
    def id(self) -> str:
        return f"{self.name} in {self.stage}".replace(" ", "-")


#: command by stage, and the job that it runs there
STAGES = {"export": ("export", "export"), "import": ("import", "import"), "verify": ("verify", "replay")}
FAULTS = [
    fault
    for stage, (_, job) in STAGES.items()
    for fault in (
        Fault(name="worker killed (SIGKILL)", stage=stage, at=f"submit:{job}", what="worker:SIGKILL", status=5, code="worker-crashed"),
        Fault(name="worker killed (SIGSEGV)", stage=stage, at=f"submit:{job}", what="worker:SIGSEGV", status=5, code="worker-crashed"),
        Fault(name="out of memory", stage=stage, at="always", what="allocate", status=5, code="memory-exhausted", options=("--memory", "3G")),
        Fault(name="time limit", stage=stage, at="always", what="none", status=5, code="worker-timeout", options=("--timeout", "0.1")),
        Fault(name="disk full", stage=stage, at=f"submit:{job}", what="fill:DISK", status=5, code="no-space", root=True),
        Fault(name="host killed", stage=stage, at=f"submit:{job}", what="host:SIGKILL", status=-9, code="-"),
        Fault(name="Ctrl-C", stage=stage, at=f"submit:{job}", what="host:SIGINT", status=130, code="-"),
    )
] + [
    Fault(name="disk full", stage="translate", at="translate", what="fill:DISK", status=5, code="no-space", root=True),
    Fault(name="Ctrl-C", stage="translate", at="translate", what="host:SIGINT", status=130, code="-"),
    Fault(name="host killed", stage="translate", at="translate", what="host:SIGKILL", status=-9, code="-"),
    Fault(name="disk full", stage="report", at="report", what="fill:DISK", status=5, code="no-space", root=True),
    Fault(name="output read-only", stage="report", at="report", what="read-only:DISK", status=5, code="output-lost", root=True),
    Fault(name="Ctrl-C", stage="report", at="report", what="host:SIGINT", status=130, code="-"),
    Fault(name="cancelled (SIGTERM)", stage="report", at="report", what="host:SIGTERM", status=143, code="-"),
    Fault(name="host killed", stage="report", at="swap", what="host:SIGKILL", status=-9, code="-"),
]  # fmt: skip
COMMANDS = {**{stage: command for stage, (command, _) in STAGES.items()}, "translate": "import", "report": "export"}


def one_layer(path: Path) -> Path:
    """A model of one layer, as tf.keras of TensorFlow 1.15 would save it."""
    config = {"name": "dense", "units": 2, "activation": "relu", "batch_input_shape": [None, 3], "dtype": "float32"}
    layers = [{"class_name": "Dense", "config": config}]
    with h5py.File(path, "w") as file:
        model = json.dumps({"class_name": "Sequential", "config": {"name": "s", "layers": layers}})
        file.attrs["model_config"] = model.encode()
        file.attrs["keras_version"], file.attrs["backend"] = b"2.2.4-tf", b"tensorflow"
        group = file.create_group("model_weights")
        group.attrs["layer_names"] = [b"dense"]
        inner = group.create_group("dense")
        inner.attrs["weight_names"] = [b"dense/kernel:0", b"dense/bias:0"]
        inner["dense/kernel:0"] = np.linspace(-1, 1, 6, dtype="float32").reshape(3, 2)
        inner["dense/bias:0"] = np.array([0.5, -0.5], "float32")
    return path


@pytest.fixture(scope="module")
def good(once: Once) -> Path:
    """A folder with the model and a verified result of it."""

    def make(folder: Path) -> None:
        done = end(start("migrate", one_layer(folder / "model.h5"), "--out", folder / "good", cwd=folder))
        assert done.status == 0, done.text

    return once("faults-good", make)


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A small file system of its own where it can be mounted, else a folder."""
    folder = tmp_path_factory.mktemp("disk")
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", folder]
    mounted = os.geteuid() == 0 and not subprocess.run(mount, check=False, capture_output=True).returncode
    yield folder
    if mounted:
        subprocess.run(["umount", "-l", folder], check=True)


@pytest.fixture(scope="module")
def place(good: Path, disk: Path) -> Path:
    """Where everything happens: an earlier result, ``out``, and nothing else."""
    folder = disk / "place"
    folder.mkdir()
    shutil.copytree(good / "good", folder / "out")
    return folder


def arguments(stage: str, good: Path) -> list[object]:
    command = COMMANDS[stage]
    source: list[object] = [good / "model.h5", "--training", "off"]
    if command == "import":
        source = [good / "good" / "bundle"]
    elif command == "verify":
        source = [good / "good" / "model.keras", good / "good" / "bundle"]
    return [command, *source]


def faulty(at: str, what: str, *call: object, cwd: Path, environ: dict[str, str] | None = None) -> Done:
    """The command line ``call`` with a fault in it."""
    return end(start(*call, cwd=cwd, program=(str(FAULTY), at, what, "--"), environ=environ))


def is_small_disk(disk: Path) -> bool:
    return os.path.ismount(disk)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.id)
def test_a_fault_leaves_the_earlier_result(fault: Fault, good: Path, disk: Path, place: Path) -> None:
    if fault.root and not is_small_disk(disk):
        pytest.skip("a small file system can be mounted by root only")
    before = content(place / "out")
    what = fault.what.replace("DISK", str(disk))
    done = faulty(fault.at, what, *arguments(fault.stage, good), "--out", "out", *fault.options, cwd=place)
    if what.startswith("read-only"):
        subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
    (disk / "filler").unlink(missing_ok=True)

    assert done.status == fault.status, done.text
    assert "Traceback (most recent call last)" not in done.stderr
    assert content(place / "out") == before, "the earlier result was touched"
    code, message = said(done, disk)
    assert code == fault.code, done.text
    if code != "-":
        assert done.status == CATALOGUE[code].exit_status
        assert "What to do: " in done.text
        named = {"verify": "replay"}.get(fault.stage, fault.stage)
        assert named in message, "the message names no stage"
    nothing_runs(disk)
    left = sorted(path.name for path in place.iterdir())
    # What is killed, or may not delete any more, leaves it to the next run.
    helpless = fault.status == -signal.SIGKILL or what.startswith("read-only")
    assert left in (["out"], ["out", "out.failed"]) or helpless, left
    shutil.rmtree(place / "out.failed", ignore_errors=True)
    record(row(fault.name, fault.stage, done, disk))


@pytest.mark.parametrize("stage", ["export", "import", "verify"])
def test_the_run_after_all_faults_works(stage: str, good: Path, place: Path) -> None:
    """And sweeps away what those left that had no time to do it themselves."""
    done = end(start(*arguments(stage, good), "--out", "out", cwd=place))
    assert done.status == 0, done.text
    assert [path.name for path in place.iterdir()] == ["out"]


def test_two_runs_on_one_output_leave_one_whole_result(good: Path, tmp_path: Path) -> None:
    runs = [start(*arguments("export", good), "--out", "out", cwd=tmp_path) for _ in range(2)]
    ended = [end(run) for run in runs]
    assert [done.status for done in ended] == [0, 0], [done.text for done in ended]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert json.loads((tmp_path / "out" / "report.json").read_text())["status"] == "verified"
    assert (tmp_path / "out" / "bundle" / "manifest.json").is_file()
    record(row("two runs at once on one output", "whole run", ended[0], tmp_path))


def test_a_read_only_output_is_refused_before_anything_is_started(good: Path, disk: Path) -> None:
    if not is_small_disk(disk):
        pytest.skip("a file system can be mounted by root only")
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    try:
        done = end(start(*arguments("export", good), "--out", disk / "new", cwd=good))
    finally:
        subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
    assert (done.status, said(done, disk)[0]) == (2, "output-unwritable")
    record(row("output read-only", "start", done, disk))


def test_a_clock_that_jumps_by_a_century_changes_nothing(good: Path, tmp_path: Path) -> None:
    """In 1970 and in 2100 by turns, at every look, in the host and in its workers."""
    done = faulty("always", "clock", "migrate", good / "model.h5", "--out", "out", cwd=tmp_path)
    assert done.status == 0, done.text
    record(row("clock jumps", "whole run", done, tmp_path))


def test_a_damaged_environment_is_named(good: Path, tmp_path: Path, specs: dict[str, EnvSpec]) -> None:
    built = local(specs[SOURCE])
    packages = linked(built.folder, tmp_path / "home" / "envs" / built.folder.name, "numpy")
    next(packages.glob("numpy/**/*umath*.so")).unlink()
    environ = {"HARNESS_HOME": str(tmp_path / "home")}
    done = faulty("always", "none", *arguments("export", good), "--out", "out", cwd=tmp_path, environ=environ)
    assert done.status == 4, done.text
    assert said(done, tmp_path)[0] == "environment-unhealthy"
    assert f"envs remove {SOURCE}" in done.text
    record(row("environment damaged", "export", done, tmp_path))


BUILDS = [
    Fault(name="disk full", stage="environment build", at="always", what="none", status=5, code="no-space", root=True),
    Fault(name="Ctrl-C", stage="environment build", at="build", what="host:SIGINT", status=130, code="-"),
    Fault(name="cancelled (SIGTERM)", stage="environment build", at="build", what="host:SIGTERM", status=143, code="-"),
]


@pytest.mark.parametrize("fault", BUILDS, ids=lambda fault: fault.id)
def test_a_build_that_does_not_end_leaves_nothing(fault: Fault, disk: Path, tmp_path: Path, good: Path) -> None:
    """Builds of the smallest environment; that the next build works is tested in test_environments.py."""
    if fault.root and not is_small_disk(disk):
        pytest.skip("a small file system can be mounted by root only")
    home = (disk if fault.root else tmp_path) / "environments"
    done = faulty(fault.at, fault.what, "envs", "create", "tf1.12", "--backend", "venv", cwd=tmp_path, environ={"HARNESS_HOME": str(home)})  # fmt: skip
    assert done.status == fault.status, done.text
    assert said(done, home.parent)[0] == fault.code, done.text
    nothing_runs(home)
    assert [*(home / "envs").iterdir(), *(home / "staging").iterdir()] == []
    shutil.rmtree(home)
    record(row(fault.name, fault.stage, done, home.parent))


def test_the_table_has_each_fault_and_no_other() -> None:
    here = Path(__file__).read_text()
    accepted = {known.name for known in rows() if f"def {known.test}(" in here}
    listed = {(fault.name, fault.stage, "venv") for fault in FAULTS + BUILDS}
    assert listed <= accepted
    single: Callable[[str], bool] = lambda test: test not in (  # noqa: E731
        "test_a_fault_leaves_the_earlier_result", "test_a_build_that_does_not_end_leaves_nothing"
    )  # fmt: skip
    assert {known.name for known in rows() if known.name in accepted and not single(known.test)} == listed
    assert plain("a/envs/tf1.15-0123456789abcdef/bin/x", Path("/nowhere")) == "…/x"
