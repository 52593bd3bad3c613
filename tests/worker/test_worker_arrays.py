"""The npz files of old Pythons and numpys hold the same bytes as today's, and what only TensorFlow can name."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.backends import WORKER_FOLDER, Environment
from harness.worker.tfworker.arrays import ArrayReader, ArrayWriter, member_ranges

pytestmark = pytest.mark.integration

#: Runs in every environment and on the host: the same arrays, whatever numpy made them.
WRITE = """
import json, sys
import numpy as np
from tfworker.arrays import ArrayWriter
def arrays():
    base = np.arange(24)
    yield "f32", base.astype("float32").reshape(2, 3, 4)
    yield "f16", base.astype("float16")
    yield "fortran", np.asfortranarray(base.reshape(4, 6).astype("float64"))
    yield "big", base.astype(">i4")
    yield "scalar", np.float32(2.5)
    yield "empty", np.zeros((0, 3), "uint8")
    yield "flags", base % 2 == 0
    yield "complex", (base + 1j).astype("complex64")
    yield "words", np.array([b"a", b"bc\\0", b""], dtype=object)
"""
SCRIPT = (
    WRITE
    + """
with ArrayWriter(sys.argv[1]) as writer:
    entries = [writer.add(name, array) for name, array in arrays()]
print(json.dumps(entries))
"""
)


def in_environment(environment: Environment, folder: Path, script: str) -> Any:
    head = f"import sys; sys.path.insert(0, {str(WORKER_FOLDER)!r})\n"
    done = subprocess.run(
        [str(environment.python), "-s", "-B", "-c", head + script, str(folder / "weights.npz")],
        env=environment.environ(folder),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("name", ["tf1.12", "tf1.15", "tf2.21"])
def test_every_numpy_writes_the_same_members(
    environment: Callable[[str], Environment], tmp_path: Path, name: str
) -> None:
    entries = in_environment(environment(name), tmp_path, SCRIPT)
    (tmp_path / "host").mkdir()
    space: dict[str, Any] = {"ArrayWriter": ArrayWriter}
    exec(WRITE.replace("from tfworker.arrays import ArrayWriter", ""), space)
    with ArrayWriter(str(tmp_path / "host" / "weights.npz")) as writer:
        assert [writer.add(key, array) for key, array in space["arrays"]()] == entries
    # Zip headers differ between Python versions; where each member lies, and what is in it, does not.
    written, own = tmp_path / "weights.npz", tmp_path / "host" / "weights.npz"
    assert member_ranges(str(written)) == member_ranges(str(own))
    for start, size in member_ranges(str(own)).values():
        assert written.read_bytes()[start : start + size] == own.read_bytes()[start : start + size]
    reader = ArrayReader(str(tmp_path), entries)
    for key, array in space["arrays"]():
        np.testing.assert_array_equal(reader.get(key), array)


@pytest.mark.parametrize("dtype", ["bfloat16", "float8_e4m3fn", "float8_e5m2"])
def test_types_that_numpy_lacks_travel_as_integers(
    environment: Callable[[str], Environment], tmp_path: Path, dtype: str
) -> None:
    script = (
        "import json, sys, ml_dtypes, numpy as np\nfrom tfworker.arrays import ArrayWriter\n"
        "with ArrayWriter(sys.argv[1]) as writer:\n"
        f"    entry = writer.add('x', np.array([[1.0, -2.0]], dtype=ml_dtypes.{dtype}))\n"
        f"print(json.dumps([entry, np.array([[1.0, -2.0]], dtype=ml_dtypes.{dtype}).tobytes().hex()]))\n"
    )
    entry, content = in_environment(environment("tf2.21"), tmp_path, script)
    assert (entry["dtype"], entry["shape"]) == (dtype, [1, 2])
    found = ArrayReader(str(tmp_path), [entry]).get("x")
    assert (found.dtype.kind, found.tobytes().hex()) == ("u", content)
