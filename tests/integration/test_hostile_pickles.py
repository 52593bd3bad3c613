"""Hostile pickles in the source environment itself: refused, with nothing run, and a worker that goes on."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.backends import Environment
from harness.errors import HarnessError
from harness.job import Job, Worker

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit"))

from test_unpickle import NAMES, TREE, hostile

pytestmark = pytest.mark.integration


def read(worker: Worker, root: Path, name: str, file: Path) -> dict[str, int]:
    job = Job.create(root, name)
    source = {"path": job.give(file, "0.pkl"), "name": file.name, "format": "pickle"}
    job.ops.append({"op": "read_weights", "sources": [source], "out": "out/weights", "flavour": "tf.keras"})
    return dict(worker.run(job, timeout_s=120).results[0])


def test_hostile_pickles_run_nothing_in_the_source_environment(
    hosted: Callable[[str], Environment], tmp_path: Path
) -> None:
    witness = tmp_path / "witness"
    (tmp_path / "good.pkl").write_bytes(pickle.dumps(TREE, protocol=2))
    with Worker(hosted("tf1.15"), tmp_path / "worker", flavour="tf.keras") as worker:
        for number, name in enumerate(NAMES):
            file = tmp_path / f"{number}.pkl"
            file.write_bytes(hostile(witness)[name])
            with pytest.raises(HarnessError) as caught:
                read(worker, tmp_path / "jobs", f"hostile-{number}", file)
            assert caught.value.code in ("pickle-refused", "source-truncated"), name
            assert int(caught.value.kind.exit_status) == 3, name
            assert not witness.exists(), name
        assert read(worker, tmp_path / "jobs", "good", tmp_path / "good.pkl") == {"tensors": 7, "skipped": 4}
