"""A graph of TensorFlow 1, written as data there, runs in today's TensorFlow: values, gradients, updates, saving."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.backends import WORKER_FOLDER, Environment

pytestmark = pytest.mark.integration
SCRIPTS = Path(__file__).parent / "scripts"


def run(environment: Environment, script: str, folder: Path) -> str:
    done = subprocess.run(
        [str(environment.python), "-s", "-B", str(SCRIPTS / script), str(folder)],
        env={**environment.environ(folder), "PYTHONPATH": str(WORKER_FOLDER), "TF_CPP_MIN_LOG_LEVEL": "2"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(params=["tf1.12", "tf1.15"], scope="module")
def folder(request: pytest.FixtureRequest, environment: Callable[[str], Environment], tmp_path_factory: Any) -> Path:
    made: Path = tmp_path_factory.mktemp("graph")
    run(environment(request.param), "write_graph.py", made)
    return made


def test_a_graph_of_tf1_runs_today(folder: Path, environment: Callable[[str], Environment]) -> None:
    found = json.loads(run(environment("tf2.21"), "run_graph.py", folder))
    assert found.pop("words") == ["61", "ff00"]
    assert set(found) == {"y", "dx", "dw", "saved", "updated y", "updated w"}
    assert all(value < 1e-6 for value in found.values()), found


def test_the_neutral_form_is_data_that_a_person_can_read(folder: Path) -> None:
    record = json.loads((folder / "graph.json").read_text())
    graph = record["graph"]
    assert (graph["format"], graph["producer"]["tensorflow"][:2]) == (1, "1.")
    stored = [node for node in graph["nodes"] if "array" in node["attrs"].get("value", {}).get("tensor", {})]
    assert len(stored) == 2  # the wide table, and bytes that are no text
    assert {entry["shape"][0] for entry in record["arrays"]} == {6, 2}
    inline = [node["attrs"]["value"]["tensor"].get("values") for node in graph["nodes"] if node["op"] == "Const"]
    assert ["-inf", -1.0] in inline
    text = json.dumps(graph)
    assert "_class" not in text
    assert "_output_shapes" not in text
