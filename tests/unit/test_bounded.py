"""Files are read in a child process: what it may do, what becomes of it, and what comes back."""

from __future__ import annotations

import json
import os
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bad_files
import h5py
import pytest
from test_artifact import KINDS

from harness.artifact import Artifact, Kind, bounded, codec, find_sources, sniff, sniffing
from harness.artifact.graph_candidates import Candidates
from harness.artifact.kinds import ModelInput, Tensor
from harness.errors import HarnessError

ROOT = Path(__file__).resolve().parents[2]


def read(function: Callable[[], Any], kind: Any = Any) -> Any:
    return bounded.bounded(function, kind, "m.h5")


def refused(message: str, code: str = "source-truncated") -> pytest.RaisesExc[HarnessError]:
    return pytest.raises(HarnessError, match=message, check=lambda error: error.code == code)


# --- what comes back


@pytest.mark.parametrize(("kind", "_name", "write"), KINDS, ids=[f"{kind}, {name}" for kind, name, _ in KINDS])
def test_every_kind_comes_back_as_it_was_found(tmp_path: Path, kind: Kind, _name: str, write: Any) -> None:
    path = write(tmp_path / "model")
    found = sniff(path)
    assert found.kind == kind
    assert found == bounded.told(sniffing.sniff(path))


def test_of_an_architecture_names_come_back(tmp_path: Path) -> None:
    inner = {"class_name": "Sequential", "name": "n", "config": [bad_files.layer("Dense", units=3)]}
    config = sniff(bad_files.keras_h5(tmp_path / "m.h5", bad_files.sequential(inner))).model_config
    layer = {"class_name": "Dense", "config": {"name": "dense"}}
    nested = {"class_name": "Sequential", "name": "n", "config": [layer]}
    assert config == {"class_name": "Sequential", "config": {"name": "sequential_1", "layers": [nested]}}


def test_errors_come_back_whole(tmp_path: Path) -> None:
    (tmp_path / "m.h5").write_bytes(b"")
    with pytest.raises(HarnessError) as inside:
        sniffing.sniff(tmp_path / "m.h5")
    with pytest.raises(HarnessError) as outside:
        sniff(tmp_path / "m.h5")
    assert str(outside.value) == str(inside.value)
    assert outside.value.code == "source-empty"


def test_a_fault_of_the_reader_is_told_as_such() -> None:
    with refused(r'^Reading "m\.h5" failed unexpectedly: ZeroDivisionError: ', "internal") as caught:
        read(lambda: 1 // 0)
    assert any("test_bounded.py" in line for line in caught.value.details)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Tensor, Tensor(path="k\ud800", shape=(3, 1 << 70), dtype="float32", size_bytes=1)),
        (ModelInput, ModelInput(name="x", shape=(None, 3), dtype=None)),
        (Candidates, Candidates(inputs={"a": "b:0"}, fixed={"p:0": False, "k:0": 1.0})),
        (tuple[Path, Kind, float], (Path("/m"), Kind.NPY, 2)),
        (dict[str, list[int]] | None, {"a": [1]}),
        (dict[str, list[int]] | None, None),
    ],
)
def test_facts_survive_json(kind: Any, value: Any) -> None:
    assert codec.decode(kind, codec.encode(value)) == value


@pytest.mark.parametrize(
    ("kind", "json"),
    [
        (Tensor, ["k", [3], "float32", 12, None]),
        (Tensor, ["k", [3], "float32", 12, None, 1]),
        (Tensor, ["k", [True], "float32", 12, None, False]),
        (Tensor, {"path": "k"}),
        (Kind, "harness.cli"),
        (tuple[int, int], [1]),
        (tuple[int, ...], "12"),
        (dict[str, int], [1]),
        (int | None, "1"),
        (Path, 3),
    ],
)
def test_facts_of_another_type_are_refused(kind: Any, json: Any) -> None:
    with pytest.raises(codec.CodecError):
        codec.decode(kind, json)


@pytest.mark.parametrize(
    "answer",
    [
        b"\n", b"{}\n", b"nonsense\n", b"[[1,2],null]\n", b'[[],["nosuchcode","m",[],"r"]]\n', b'[[],["usage","m",[],5]]\n', b"[" * 9000 + b"\n",
        b'[["text"],null]\n', b"[[" + b"[]," * 1_500_000 + b"[]],null]\n", b"9" * 5000 + b"\n",
    ],
)  # fmt: skip
def test_an_answer_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, answer: bytes) -> None:
    monkeypatch.setattr(bounded, "_answer", lambda *_: answer)
    with refused("its reader gave an answer that is none"):
        read(lambda: 1, int)


def test_an_answer_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded, "_answer", lambda *_: b"1" * (bounded.REPLY_BYTES * 2))
    with refused("could not be read"):
        read(lambda: 1, int)


def test_what_lists_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded, "REPLY_VALUES", 100)
    with refused("lists more names and shapes than are taken", "source-unsupported-format"):
        read(lambda: list(range(100)))


# --- what it may do


def test_a_crash_is_an_error() -> None:
    with refused("its reader crashed with SIGSEGV. The file is damaged, or made to do that"):
        read(lambda: os.kill(os.getpid(), signal.SIGSEGV))


def test_processor_time_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded, "PROCESSOR_SECONDS", 1)
    with refused("its reader took more than 1 s of processor time"):
        read(_without_end)


def _without_end() -> None:
    while True:
        pass


def test_time_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded, "SECONDS", 0.2)
    with refused("its reader took more than 0.2 s"):
        read(lambda: time.sleep(60))


def test_memory_is_bounded() -> None:
    with refused("its reader took more than 448 MB of memory"):
        read(lambda: len(bytes(600 << 20)))
    assert read(lambda: len(bytes(200 << 20))) == 200 << 20


def test_it_writes_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "there").write_text("kept")
    with refused("OSError|SIGXFSZ", "internal"):
        read(lambda: (tmp_path / "new").write_text("x"))
    read(lambda: os.write(2, b"noise") and None)
    assert capfd.readouterr() == ("", "")


def test_ctrl_c_ends_it() -> None:
    timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        read(lambda: (signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT]) and None) or _without_end())
    assert time.monotonic() - started < 5
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_threads_read_at_the_same_time(tmp_path: Path) -> None:
    path, found = bad_files.keras_h5(tmp_path / "m.h5"), []
    threads = [threading.Thread(target=lambda: found.append(sniff(path).kind)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [Kind.KERAS_H5] * 8


# --- files that libhdf5 is not proof against


def tree_edited(path: Path, offset: int) -> Path:
    """A model with a B-tree of chunks of two levels, whose root names itself at ``offset``: as its sibling, or as its child."""
    bad_files.edited(path, lambda f: f.create_dataset("model_weights/x", data=range(200), chunks=(1,), dtype="u1"))
    content = bytearray(path.read_bytes())
    at = content.index(b"TREE\1\1")
    content[at + offset : at + offset + 8] = struct.pack("<Q", at)
    path.write_bytes(content)
    return path


def bent(path: Path) -> Path:
    return tree_edited(path, 24 + 8 + 16)


def endless(path: Path) -> Path:
    return tree_edited(path, 16)


DRIVER = """
import sys
from harness import cli
from harness.artifact import bounded
bounded.PROCESSOR_SECONDS = 1
sys.exit(cli._guarded(sys.argv[1:]))
"""


@pytest.mark.parametrize("command", ["inspect", "migrate"])
@pytest.mark.parametrize("write", [bent, endless])
def test_a_damaged_tree_ends_in_an_error(tmp_path: Path, write: Callable[[Path], Path], command: str) -> None:
    write(tmp_path / "m.h5")
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, command, "m.h5"], cwd=tmp_path, text=True, capture_output=True, timeout=60,
        env={"PYTHONPATH": str(ROOT), "HOME": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 3, done.stderr
    assert '"m.h5" could not be read: its reader ' in done.stderr
    assert "Traceback" not in done.stderr


def test_a_bad_neighbour_does_no_harm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded, "PROCESSOR_SECONDS", 1)
    bad_files.weights_only(tmp_path / "weights.h5")
    bent(tmp_path / "other.h5")
    (tmp_path / "model.json").write_text(json.dumps(bad_files.SEQUENTIAL))
    found = find_sources(tmp_path / "model.json")
    assert found.weights is not None
    assert found.weights.path == tmp_path / "weights.h5"
    assert isinstance(found.model, Artifact)
    assert h5py.is_hdf5(tmp_path / "other.h5")
