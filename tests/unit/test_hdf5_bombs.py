"""HDF5 files made to explode or to reach outside: through inspect, migrate and load-weights, in bounded memory and time.

Each file is generated here. A fresh process does what a user would, with 1 GB of memory and seconds for each.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bad_files
import h5py
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
MEMORY, SECONDS = 1 << 30, 5

Edit = Callable[[h5py.File], Any]


def declared(file: h5py.File, **options: Any) -> None:
    """A dataset of 8 EB by declaration only."""
    file.create_dataset("model_weights/dense_1/giant", shape=(1 << 30, 1 << 30), dtype="float64", **options)


def chunk_bomb(file: h5py.File) -> None:
    """3 GB of zeros in 3 MB: each is within what deflate can do, so that no single array gives it away."""
    data = file.create_dataset(
        "model_weights/dense_1/bomb", shape=(48, 1 << 24), chunks=(1, 1 << 24), dtype="float32", compression="gzip"
    )
    packed = None
    for row in range(48):
        if packed is None:
            data[0] = np.zeros(1 << 24, "float32")
            file.flush()
            _, packed = data.id.read_direct_chunk((0, 0))
        data.id.write_direct_chunk((row, 0), packed)


def doubly_packed(file: h5py.File) -> None:
    """Deflate behind deflate: a million to one."""
    creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    creation.set_chunk((1 << 24,))
    creation.set_deflate(9)
    creation.set_deflate(9)
    space = h5py.h5s.create_simple((1 << 28,))
    made = h5py.h5d.create(file["model_weights/dense_1"].id, b"bomb", h5py.h5t.IEEE_F32LE, space, creation)
    h5py.Dataset(made)[: 1 << 24] = 0


def other_file(file: h5py.File) -> None:
    del file["model_weights/dense_1/dense_1/kernel:0"]
    file["model_weights/dense_1/dense_1/kernel:0"] = h5py.ExternalLink("/etc/passwd", "/x")


def link_loop(file: h5py.File) -> None:
    del file["model_weights/dense_1/dense_1/kernel:0"]
    file["model_weights/dense_1/dense_1/kernel:0"] = h5py.SoftLink("/model_weights/dense_1/dense_1/kernel:0")


def outside(file: h5py.File) -> None:
    file.create_dataset("model_weights/dense_1/x", (1 << 20,), "f4", external=[("/dev/zero", 0, h5py.h5f.UNLIMITED)])


#: what is in the file, and what has to be said of it
BOMBS: dict[str, tuple[Edit, str]] = {
    "external link": (other_file, "links are not followed"),
    "soft link to itself": (link_loop, "links are not followed"),
    "hard link to its parent": (lambda f: f.__setitem__("model_weights/up", f["/"]), "a link loop ends there"),
    "values in a device": (outside, "keeps its values outside of the file"),
    "giant declared": (lambda f: declared(f, chunks=(1, 1 << 20)), "the file holds 0 bytes of it"),
    "giant, fill value": (lambda f: declared(f, chunks=(1, 1 << 20), fillvalue=1.0), "the file holds 0 bytes of it"),
    "giant, scale-offset": (lambda f: f.create_dataset("model_weights/g", (1 << 40,), "i8", chunks=(1 << 20,), scaleoffset=0), "the file holds 0 bytes of it"),
    "deflate behind deflate": (doubly_packed, "declares the shape (268435456,)"),
    "many full chunks": (chunk_bomb, "grow to 3,221,225,472 bytes"),
}  # fmt: skip
BUILDER = "def build(keras):\n    return None\n"
COMMANDS = {
    "inspect": ("inspect", "model.h5", "--json"),
    "migrate": ("migrate", "model.h5"),
    "export": ("export", "model.h5"),
    "load-weights": ("load-weights", "weights.h5", "--builder", "build.py:build"),
}
#: every command in every folder, in one process: status, what was printed, seconds
DRIVER = """
import contextlib, io, json, os, sys, time
from harness import cli
told = {}
for folder in json.loads(sys.argv[1]):
    os.chdir(folder)
    for name, call in json.loads(sys.argv[2]).items():
        out, err, started = io.StringIO(), io.StringIO(), time.process_time()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = cli._guarded(call)
        told[folder + ":" + name] = [status, out.getvalue(), err.getvalue(), time.process_time() - started]
print(json.dumps(told))
"""


def bounded() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY * 3, MEMORY * 3))  # of address space, which is shared memory too
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))


def made(name: str, folder: Path) -> Path:
    """A folder with the file as a whole model and as weights only."""
    folder.mkdir()
    bad_files.edited(folder / "model.h5", BOMBS[name][0])
    with h5py.File(folder / "model.h5") as whole, h5py.File(folder / "weights.h5", "w") as weights:
        for inner in whole["model_weights"]:
            if whole["model_weights"][inner] == whole["/"]:
                weights["up"] = weights["/"]
            else:
                whole.copy(whole["model_weights"][inner], weights, inner)
        weights.attrs["layer_names"] = [b"dense_1"]
    (folder / "build.py").write_text(BUILDER)
    return folder


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], tuple[int, str, str, float]]:
    """How each command ended with each bomb."""
    root = tmp_path_factory.mktemp("bombs")
    folders = {name: made(name, root / str(index)) for index, name in enumerate(BOMBS)}
    before = sorted(root.rglob("*"))
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, json.dumps([str(folder) for folder in folders.values()]), json.dumps(COMMANDS)],
        env={"PYTHONPATH": str(ROOT), "HOME": str(root)}, text=True, capture_output=True, preexec_fn=bounded,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert sorted(root.rglob("*")) == before, "something was left"
    told = json.loads(done.stdout.splitlines()[-1])
    return {(name, command): tuple(told[f"{folders[name]}:{command}"]) for name in BOMBS for command in COMMANDS}


@pytest.mark.parametrize("bomb", BOMBS)
def test_inspect_tells_what_is_odd(ended: dict[tuple[str, str], tuple[int, str, str, float]], bomb: str) -> None:
    status, out, err, seconds = ended[bomb, "inspect"]
    assert status == 0, err
    assert any(BOMBS[bomb][1] in warning for warning in json.loads(out)["warnings"])
    assert seconds < SECONDS


@pytest.mark.parametrize("command", list(COMMANDS)[1:])
@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bomb_is_refused_before_anything_is_started(
    ended: dict[tuple[str, str], tuple[int, str, str, float]], bomb: str, command: str
) -> None:
    status, out, err, seconds = ended[bomb, command]
    assert status == 3, (out, err)
    assert BOMBS[bomb][1] in err
    assert "What to do: " in err
    assert "Traceback" not in err
    assert seconds < SECONDS
