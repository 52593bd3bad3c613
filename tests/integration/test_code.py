"""Layers made of code: a family of Lambdas and custom layers, carried to Keras 3 with outputs, gradients and phases."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from command_line import SCRIPTS, Harness, Once

from harness.backends import WORKER_FOLDER, Environment
from harness.plan import Options
from harness.regress import runner
from harness.regress.cases import Case
from harness.supplied import Supplied

pytestmark = pytest.mark.integration
#: what float32 leaves of equal computations, as a share of the largest value
BOUND = 2e-5
SOURCES = ["tf1.12", "tf1.15"]


@dataclass(frozen=True)
class Family:
    """What became of the models of one source environment: verdicts, what they compute today, and which way they went."""

    verdicts: dict[str, dict[str, Any]]
    found: dict[str, dict[str, Any]]
    ways: dict[str, list[str]]


def run_script(environment: Environment, folder: Path, script: str, *arguments: object, **more: str) -> str:
    done = subprocess.run(
        [str(environment.python), "-s", "-B", "-W", "ignore", str(SCRIPTS / script), *map(str, arguments)],
        env={**environment.environ(folder), "TF_CPP_MIN_LOG_LEVEL": "3", **more},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return (done.stdout.strip().splitlines() or [""])[-1]


def make_family(
    name: str, environment: Callable[[str], Environment], hosted: Callable[[str], Environment], folder: Path
) -> None:
    source, target = environment(name), environment("tf2.21")
    models = folder / "models"
    models.mkdir()
    assert int(run_script(source, folder, "code_family.py", models)) >= 60
    (folder / "arguments.toml").write_text("[factored]\nfactor = 3.0\n")
    code = Supplied.read(SCRIPTS / "code_objects.py", folder / "arguments.toml")
    cases = [Case(id=p.stem, suite="code", path=p, layers=()) for p in sorted(models.glob("*.h5"))]
    kept, runner.remove = runner.remove, lambda _: None  # type: ignore[assignment]
    try:
        options = Options(timeout_s=120, code=code, proof="quick")
        pair = runner.PairRun(source=hosted(name), target=hosted("tf2.21"), root=folder, options=options)
        results = pair.run(cases)
    finally:
        runner.remove = kept
    ways = {}
    for path in folder.glob("jobs/*/import/response.json"):
        for built in json.loads(path.read_text()).get("results", [])[:1]:
            ways[path.parts[-3].split("-", 1)[1]] = sorted(set(built["ways"].values()))
    (folder / "ways.json").write_text(json.dumps(ways))
    (folder / "verdicts.json").write_text(json.dumps({r.id: r.as_json() for r in results}))
    more = {"BREAK": "1", **({"USE": "1"} if name == "tf1.15" else {})}
    found = run_script(target, folder, "code_check.py", models, folder / "jobs", WORKER_FOLDER, **more)
    (folder / "found.json").write_text(found)


@pytest.fixture(params=SOURCES, scope="module")
def family(
    request: pytest.FixtureRequest,
    once: Once,
    environment: Callable[[str], Environment],
    hosted: Callable[[str], Environment],
) -> Family:
    folder = once(f"code-{request.param}", lambda made: make_family(request.param, environment, hosted, made))
    return Family(*(json.loads((folder / f"{key}.json").read_text()) for key in ("verdicts", "found", "ways")))


def test_every_model_of_code_is_verified(family: Family) -> None:
    assert sum(name.startswith("lambda_") for name in family.verdicts) >= 40
    assert sum(not name.startswith("lambda_") for name in family.verdicts) >= 15
    bad = {name: row["reason"] for name, row in family.verdicts.items() if row["status"] != "verified"}
    assert bad == {}


def test_what_keras_has_operations_for_is_native(family: Family) -> None:
    """Each proved equal to its record before it is used."""
    named = [
        "scale",
        "affine",
        "sigmoid_tanh",
        "leaky",
        "clip",
        "mean",
        "argmax",
        "one_hot",
        "squeeze",
        "stack",
        "gather",
        "pad",
        "where",
        "batch_dot",
    ]
    assert {name: family.ways.get(f"lambda_{name}") for name in named} == {key: ["native"] for key in named}
    kept = ("resize_bilinear", "while", "cond", "training", "map_fn")  # another meaning today, or no single operation
    assert {name: family.ways.get(f"lambda_{name}") for name in kept} == {key: ["carried"] for key in kept}


def test_it_computes_trains_and_saves_as_it_did(family: Family) -> None:
    """Outputs, gradients, the training phase; and marshal and pickle are broken in that process."""
    assert set(family.verdicts) - set(family.found) == {"sampling", "two_samplings", "ctc"}  # verdicts only
    bad = {
        name: {key: value for key, value in row.items() if isinstance(value, str) or not value <= BOUND}
        for name, row in family.found.items()
    }
    assert {name: row for name, row in bad.items() if row} == {}
    assert sum("dw0" in row for row in family.found.values()) >= 15


#: by file: layers that become native, layers that are carried
WAYS = {
    "k_crema_beats_201_td": ({"lambda_1"}, set()),
    "k_crema_beats_205": ({"lambda_1"}, set()),
    "k_packt_cyclegan_220": (set(), {f"instance_normalization_{index}" for index in range(8, 15)}),
    "k_ssd7_203": ({"lambda1"}, {f"anchors{index}" for index in (4, 5, 6, 7)}),
}


@pytest.mark.parametrize("name", WAYS)
def test_real_files_are_migrated_with_what_they_lack(name: str, run: Harness, corpus: Path, tmp_path: Path) -> None:
    (model,) = [path for path in (corpus / name).iterdir() if path.suffix == ".h5"]
    supplied = [
        "--custom-objects",
        SCRIPTS / "corpus_objects.py",
        "--layer-arguments",
        SCRIPTS / "corpus_arguments.toml",
    ]
    done = run("migrate", model, *supplied, "--out", "out", "--json")
    assert done.status == 0, done.text
    assert done.report["status"] == "verified"
    ways = {row["layer"]: row["way"] for row in done.report["code"]}
    assert set(ways) == WAYS[name][0] | WAYS[name][1]
    assert {layer for layer, way in ways.items() if way == "native"} == WAYS[name][0]
    assert not any(row["bytecode_run"] for row in done.report["code"])  # the supplied functions took its place
    module = tmp_path / "out" / "harness_layers.py"
    assert module.exists() == bool(WAYS[name][1])  # a model that is native throughout needs nothing
    if module.exists():
        assert module.read_bytes() == (WORKER_FOLDER / "harness_layers.py").read_bytes()


def test_keras_2_takes_layers_made_of_code_too(run: Harness, corpus: Path, tmp_path: Path) -> None:
    """The oldest Keras 2 that is a target, in both of its forms; nothing of TensorFlow 1's code is left."""
    model = corpus / "k_ssd7_203" / "ssd7_0.h5"
    done = run(
        *("migrate", model, "--to", "tf2.3", "--format", "h5", "--format", "saved_model", "--out", "out", "--json"),
        *("--custom-objects", SCRIPTS / "corpus_objects.py", "--layer-arguments", SCRIPTS / "corpus_arguments.toml"),
    )
    assert done.status == 0, done.text
    assert {row["way"] for row in done.report["code"]} == {"carried"}
    assert {row["format"] for row in done.report["outputs"]} == {"h5", "saved_model"}
    assert (tmp_path / "out" / "harness_layers.py").is_file()


def test_missing_arguments_of_constructors_are_listed_at_once(run: Harness, corpus: Path) -> None:
    model = corpus / "k_ssd7_203" / "ssd7_0.h5"
    done = run("migrate", model, "--custom-objects", SCRIPTS / "corpus_objects.py", "--json")
    assert done.status == 3, done.text
    error = done.report["error"]
    lacking = "img_height, img_width, this_scale, next_scale, aspect_ratios, variances"
    assert error["code"] == "code-missing"
    assert error["details"] == [
        f"anchors{index} (class AnchorBoxes): its constructor needs {lacking}" for index in (4, 5, 6, 7)
    ]
    assert "--layer-arguments" in error["remedy"]


@pytest.fixture(scope="module")
def guests(once: Once, environment: Callable[[str], Environment]) -> Path:
    return once("guests", lambda folder: run_script(environment("tf1.15"), folder, "bad_lambdas.py", folder) and None)


@pytest.mark.parametrize(
    ("name", "options", "status", "code", "said"),
    [
        ("reads_a_file", [], 3, "layer-unsupported", "its graph reaches outside of itself (ReadFile)"),
        ("calls_python", [], 3, "layer-unsupported", "its graph reaches outside of itself (PyFunc)"),
        ("needs_a_global", [], 3, "code-missing", "it uses the name 'LEARNED_FACTOR', which is not in the file"),
        ("runs_for_ever", ["--timeout", "15"], 5, "worker-timeout", "load the model"),
        (
            "allocates_without_end",
            ["--memory", "4G"],
            5,
            "memory-exhausted",
            "MemoryError | was used up",
        ),  # the latter by a container
    ],
)
def test_a_lambda_that_does_harm_is_stopped_and_reported(
    name: str, options: list[str], status: int, code: str, said: str, guests: Path, run: Harness, tmp_path: Path
) -> None:
    done = run("migrate", guests / f"{name}.h5", *options, "--out", "out", "--json")
    error = done.report["error"]
    assert (done.status, error["code"]) == (status, code), done.text
    assert any(words in " ".join([error["message"], *error["details"]]) for words in said.split(" | "))
    left = {path.name for path in (tmp_path / "out").iterdir()}
    assert not left & {"bundle", "model.keras", "harness_layers.py"}


def test_bytecode_that_was_tampered_with_is_reported(guests: Path, run: Harness) -> None:
    done = run("migrate", guests / "crashes.h5", "--out", "out", "--json")
    assert done.status in (3, 5), done.text  # the interpreter dies, or meets what lies there by chance
    assert done.report["error"]["code"] in ("worker-crashed", "source-not-loadable", "layer-unsupported")
