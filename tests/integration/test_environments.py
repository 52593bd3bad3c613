"""Promises of real environments: they are built from their locks, side by side, and never half."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from fault_table import linked, nothing_runs, observed, record

from harness.backends import Environment, VenvEnvironment
from harness.backends.home import Home
from harness.backends.venv import VenvBackend
from harness.envspec import EnvSpec

pytestmark = pytest.mark.integration

#: The smallest environment, for builds from nothing.
SMALL = "tf1.12"

CREATE = """
import sys
from harness.backends.venv import VenvBackend
from harness.envspec import load_specs
print(VenvBackend().create(load_specs()[sys.argv[1]], progress=lambda step: print(step, file=sys.stderr, flush=True)).folder)
"""

VERSIONS = """
import json, sys, tensorflow, h5py, numpy
print(json.dumps([sys.version_info[:2], tensorflow.__version__, numpy.__version__, h5py.__version__]))
"""


def creator(home: Path, name: str = SMALL) -> subprocess.Popen[str]:
    """A process of its own that builds the environment ``name`` under ``home``."""
    return subprocess.Popen(
        [sys.executable, "-c", CREATE, name],
        env={**os.environ, "HARNESS_HOME": str(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.mark.parametrize("name", ["tf1.12", "tf1.15", "tf2.21"])
def test_an_environment_runs_the_versions_of_its_lock(
    environment: Callable[[str], Environment], tmp_path: Path, name: str
) -> None:
    built = environment(name)
    done = subprocess.run(
        [built.python, "-s", "-B", "-c", VERSIONS],
        env=built.environ(tmp_path),
        capture_output=True,
        text=True,
        check=True,
    )
    pins = {pin.requirement.split("==")[0]: pin.requirement.split("==")[1] for pin in built.spec.pins}
    python = [int(part) for part in built.spec.python.split(".")]
    assert json.loads(done.stdout) == [python, built.spec.tensorflow, pins["numpy"], pins["h5py"]]
    assert VenvBackend().check(built.spec) is None


def test_the_quick_look_takes_milliseconds(environment: Callable[[str], Environment]) -> None:
    spec = environment(SMALL).spec
    start = time.perf_counter()
    for _ in range(10):
        assert VenvBackend().find(spec)
    assert (time.perf_counter() - start) / 10 < 0.01


def test_builds_that_are_killed_or_meet_and_environments_that_break(
    tmp_path: Path, specs: dict[str, EnvSpec], environment: Callable[[str], VenvEnvironment]
) -> None:
    """One home, one whole build: it takes the place of a broken environment, and of a build that was killed half-way."""
    backend, home = VenvBackend(home_override=Home(tmp_path)), Home(tmp_path)
    # A broken environment is noticed and named.
    final = home.env(specs[SMALL])
    packages = linked(environment(SMALL).folder, final, "h5py")
    assert backend.check(specs[SMALL]) is None
    damaged = packages / "h5py" / "defs.cpython-36m-x86_64-linux-gnu.so"
    damaged.unlink()
    assert backend.check(specs[SMALL]) == f"{damaged} is missing"
    (final / "bin" / "python").unlink()
    assert backend.find(specs[SMALL]) is None

    # A build that is killed half-way leaves nothing that is used.
    builder = creator(tmp_path)
    assert builder.stderr is not None
    for step in builder.stderr:
        if "compiling" in step:  # all packages are in the staging folder now
            break
    os.killpg(builder.pid, signal.SIGKILL)
    builder.communicate()
    nothing_runs(tmp_path)  # neither the compiler's processes nor a server that they forked
    assert list((tmp_path / "staging").iterdir())
    assert backend.find(specs[SMALL]) is None
    record(observed("host killed", "environment build", -signal.SIGKILL, "-", ""))

    # Two builders at once make one environment, in the place of what was broken.
    builders = [creator(tmp_path), creator(tmp_path)]
    ended = [builder.communicate(timeout=600) for builder in builders]
    assert [builder.returncode for builder in builders] == [0, 0], ended
    assert ended[0][0] == ended[1][0]
    assert sum("installing" in said for _, said in ended) == 1
    assert any("waiting for another process" in said for _, said in ended)
    assert [path.name for path in (tmp_path / "envs").iterdir()] == [Path(ended[0][0].strip()).name]
    assert not list((tmp_path / "staging").iterdir())
    assert backend.check(specs[SMALL]) is None
    assert backend.create(specs[SMALL]) == backend.find(specs[SMALL])
    record(observed("two runs at once on one environment", "environment build", 0, "works", ""))
