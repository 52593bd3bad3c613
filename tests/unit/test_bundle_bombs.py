"""Bundles made to hang the reader or to fill its memory: each is refused by name, in bounded memory and time.

Each is generated here. A fresh process opens them all with 300 MB of memory, as ``verify`` and ``import`` do.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from test_bundle import Manifest, changed

from harness.worker.tfworker.files import JSON_DEPTH, JSON_LIMIT, JSON_VALUES

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "fuzz"))
import targets  # noqa: E402

MEMORY, SECONDS = 300 << 20, 10


def further(text: str) -> Callable[[Path], None]:
    """A key that nobody reads, added to the manifest."""

    def damage(folder: Path) -> None:
        manifest = (folder / "manifest.json").read_text()
        (folder / "manifest.json").write_text(f'{manifest[:-1]}, "x": {text}}}')

    return damage


def without(name: str, make: Callable[[Path], Any]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        make(folder / name)

    return damage


def sparse(path: Path, size: int) -> None:
    with path.open("wb") as stream:
        stream.truncate(size)


def sparse_manifest(folder: Path) -> None:
    sparse(folder / "manifest.json", 1 << 40)
    (folder / "SHA256SUMS").write_text("00  manifest.json\n")


def many_strings(folder: Path) -> None:
    """Sixteen million empty strings in a few bytes of disk, all of whose checksums are right."""
    count = 1 << 24
    size, offset, directory = 8 * (count + 1), 0, b""
    with (folder / "strings.npz").open("wb") as stream:
        for name, dtype, shape, content in (("a0", "|u1", 0, 0), ("a1", "<i8", count + 1, size)):
            text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': ({shape},), }}"
            text += " " * (-(11 + len(text)) % 64) + "\n"
            header = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()
            member, whole, offset = f"{name}.npy".encode(), len(header) + content, stream.tell()
            stream.write(struct.pack("<4s5H3I2H", b"PK\3\4", 20, 0, 0, 0, 0, 0, whole, whole, len(member), 0))
            stream.write(member + header)
            stream.truncate(stream.tell() + content)
            stream.seek(0, os.SEEK_END)
            directory += struct.pack("<4s6H3I5H2I", b"PK\1\2", *[0] * 6, 0, whole, whole, len(member), *[0] * 5, offset)
            directory += member
        end = stream.tell()
        stream.write(directory + struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 2, 2, len(directory), end, 0))
    os.rename(folder / "strings.npz", folder / "graphs.npz")
    nothing, zeros = hashlib.sha256().hexdigest(), hashlib.sha256(bytes(size)).hexdigest()
    entry = {"name": "s", "file": "graphs.npz", "member": "a0", "shape": [count], "dtype": "string", "bytes": 0}
    entry |= {"stored_dtype": "uint8", "sha256": nothing, "offsets_member": "a1", "offsets_sha256": zeros}
    changed(lambda m: m["arrays"].append(entry))(folder)


def sparse_directory(path: Path) -> None:
    """A zip64 record that says of 1 GB of nothing that it is the table of contents."""
    at = 1 << 30
    sparse(path, at)
    with path.open("r+b") as stream:
        stream.seek(at)
        stream.write(struct.pack("<4sQHHIIQQQQ", b"PK\6\6", 44, 45, 45, 0, 0, 1, 1, at, 0))
        stream.write(
            struct.pack("<4sIQI", b"PK\6\7", 0, at, 1) + struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 1, 1, 46, 0, 0)
        )


def long_directory(path: Path) -> None:
    one = struct.pack("<4s6H3I5H2I", b"PK\1\2", 20, 20, *[0] * 7, 5, *[0] * 6) + b"a.npy"
    whole = one * (1 + (16 << 20) // len(one))
    path.write_bytes(whole + struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 65535, 65535, len(whole), 0, 0))


def one_member_for_all(manifest: Manifest) -> None:
    first = manifest["arrays"][0]
    manifest["arrays"] += [{**first, "name": f"again{index}"} for index in range(20)]


def deep_folders(folder: Path) -> None:
    here = os.open(folder, os.O_RDONLY)
    for name in ["assets", *["d" * 100] * 100]:  # longer than any path may be
        os.mkdir(name, dir_fd=here)
        inner = os.open(name, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(here)


NO_FILE = "no regular file: "
BOMBS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "a pipe for a manifest": (without("manifest.json", os.mkfifo), f"{NO_FILE}manifest.json"),
    "an endless manifest": (without("manifest.json", lambda p: p.symlink_to("/dev/zero")), "symbolic link: manifest.json"),
    "a folder for a manifest": (without("manifest.json", os.mkdir), f"{NO_FILE}manifest.json"),
    "a manifest of a terabyte": (sparse_manifest, f"manifest.json has {1 << 40} bytes; at most {JSON_LIMIT} are read"),
    "checksums of 3 GB": (lambda f: sparse(f / "SHA256SUMS", 3 << 30), f"SHA256SUMS has {3 << 30} bytes; at most {1 << 20}"),
    "a pipe for checksums": (lambda f: os.mkfifo(f / "SHA256SUMS"), f"{NO_FILE}SHA256SUMS"),
    "a folder for checksums": (lambda f: (f / "SHA256SUMS").mkdir(), f"{NO_FILE}SHA256SUMS"),
    "a pipe for weights": (without("weights.npz", os.mkfifo), f"{NO_FILE}weights.npz"),
    "a file for a folder": (lambda f: (f / "assets").touch(), "no folder: assets"),
    "folders in folders": (deep_folders, "deeper than 8 folders: assets"),
    "a shape of 100,000 axes": (
        changed(lambda m: m["arrays"][0].update(shape=[2**63 - 1] * 100_000)),
        "manifest.arrays[0].shape has 100000 axes; at most 64 are read",
    ),
    "sizes of 4,000 digits": (
        changed(lambda m: m["arrays"][0].update(shape=[10**4000] * 3000)), "a number of 4001 digits is above what is read",
    ),
    "sixteen million strings": (
        many_strings, f"array 's' has {1 << 24} strings of 0 bytes; at most {1 << 22} of {256 << 20} bytes are read",
    ),
    "a table of contents of 1 GB": (
        without("weights.npz", sparse_directory),
        f"weights.npz has a table of contents of {1 << 30} bytes; at most {16 << 20} are read",
    ),
    "a table of contents of many": (without("weights.npz", long_directory), "weights.npz has a table of contents of "),
    "one member for many arrays": (changed(one_member_for_all), "two arrays of the index are the same member"),
    "too many lists": (
        further("[" + ",".join(["[[]]"] * (JSON_VALUES // 3)) + "]"), f"separators of values; at most {JSON_VALUES} are read",
    ),
    "too deep": (
        further("[" * JSON_DEPTH + "]" * JSON_DEPTH), f"manifest.json is not valid JSON: it nests deeper than {JSON_DEPTH}",
    ),
}  # fmt: skip
#: as much as a manifest may hold, of what takes most memory
FULL = {
    "keys": "{" + ",".join(f'"{i}":{i}.5' for i in range(JSON_VALUES // 2 - 1000)) + "}",
    "wide text": '"' + "\U0001f600" + "x" * (JSON_LIMIT - 10_000) + '"',
}
DRIVER = """
import json, resource, sys, time
from pathlib import Path
from harness.bundle import Bundle, is_graph
from harness.errors import HarnessError
told = {}
for folder in json.loads(sys.argv[1]):
    started = time.process_time()
    try:
        is_graph(Path(folder))
        said = f"{Bundle.open(Path(folder)).check_arrays()} arrays"
    except HarnessError as error:
        said = "\\n".join([error.code, error.message, *error.details])
    told[folder] = [said, time.process_time() - started]
print(json.dumps(told))
"""


def bounded() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY * 5, MEMORY * 5))  # of address space, which is shared memory too
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (60, 60))


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, float]]:
    """What was said of each bundle, and the seconds that took."""
    root = tmp_path_factory.mktemp("bombs")
    damages = {name: damage for name, (damage, _) in BOMBS.items()} | {
        name: further(text) for name, text in FULL.items()
    }
    folders = {}
    for index, (name, damage) in enumerate(damages.items()):
        folders[name] = root / str(index)
        folders[name].mkdir()
        targets.small_bundle(folders[name])
        damage(folders[name])
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, json.dumps([str(folder) for folder in folders.values()])],
        env={"PYTHONPATH": str(ROOT), "HOME": str(root), "OPENBLAS_NUM_THREADS": "1"}, text=True, capture_output=True,
        preexec_fn=bounded, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    return {name: tuple(said[str(folder)]) for name, folder in folders.items()}


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bomb_is_refused_by_name(told: dict[str, tuple[str, float]], bomb: str) -> None:
    said, seconds = told[bomb]
    assert said.startswith("bundle-invalid\n")
    assert BOMBS[bomb][1] in said
    assert seconds < SECONDS


@pytest.mark.parametrize("full", FULL)
def test_a_manifest_at_the_limit_is_read_in_bounded_memory(told: dict[str, tuple[str, float]], full: str) -> None:
    said, seconds = told[full]
    assert said == "7 arrays"
    assert seconds < SECONDS
