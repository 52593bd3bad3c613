"""A Transformer of TensorFlow 1 in Keras 3: with its source, carried without it, as a SavedModel, and as weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from command_line import SCRIPTS, Harness, Once, Run

from harness.backends import Environment
from harness.bundle import Bundle
from harness.dialects import translate
from harness.engine import build_op, replay_op
from harness.errors import HarnessError
from harness.job import Job
from harness.plan import FORMS, Options
from harness.regress.warm import WarmWorker
from harness.supplied import Supplied
from harness.worker.tfworker.files import write_json

pytestmark = pytest.mark.integration
SOURCE = SCRIPTS / "transformer.py"


@pytest.fixture(scope="module")
def files(once: Once, script: Callable[..., str]) -> Path:
    """model.h5, weights.h5, saved, golden.npz of TensorFlow 1.15."""
    return once("transformer", lambda folder: script("tf1.15", "transformer.py", folder) and None)


@pytest.fixture(scope="module")
def migrated(cli_once: Callable[..., Run], files: Path) -> Run:
    """The functional model with source on both sides."""
    code = ("--custom-objects", SOURCE, "--target-objects", SOURCE)
    return cli_once("transformer-source", "migrate", files / "model.h5", *code)


def test_with_source_on_both_sides(migrated: Run) -> None:
    assert migrated.done.status == 0, migrated.done.text
    report = migrated.report
    assert {row["layer"]: row["way"] for row in report["code"]} == {
        "position": "source", "encoder_layer": "source", "encoder_layer_1": "source",
    }  # fmt: skip
    assert [row["differs"] for row in report["code"]] == [None, None, None]
    assert report["weights"]["equal"] == report["weights"]["total"] == 35
    assert (migrated.out / "target_objects.py").read_bytes() == SOURCE.read_bytes()
    assert "custom_objects=vars(target_objects)" in migrated.done.stdout


def test_as_a_saved_model(run: Harness, files: Path) -> None:
    done = run("migrate", files / "saved", "--out", "out", "--json")
    assert done.status == 0, done.text


def test_its_weights_go_into_the_subclassed_model_of_a_script(run: Harness, files: Path, tmp_path: Path) -> None:
    done = run("load-weights", files / "weights.h5", "--builder", f"{SOURCE}:subclassed", "--out", "out", "--json")
    assert done.status == 0, done.text
    assert done.report["weights"]["equal"] == done.report["weights"]["total"] == 35
    assert (tmp_path / "out" / "target_objects.py").exists()  # without which the model does not load


@dataclass(frozen=True)
class Target:
    """A process of the target that builds from one bundle as often as asked."""

    bundle: Bundle
    worker: WarmWorker
    folder: Path

    def build(self, code: Supplied) -> dict[str, Any]:
        """What the build gives, and the replay of what was saved."""
        model, options = self.bundle.manifest["model"], Options(code=code)
        done = translate(
            model["graph"], self.bundle.manifest["arrays"], model["dialect"], "keras-3", options.translation
        )
        assert not done.obstacles
        job = Job.create(self.folder, "build")
        job.give(self.bundle.folder, "bundle")
        write_json(str(job.folder / "in" / "plan.json"), {"graph": done.graph, "weights": done.weights})
        spec, path = self.worker.environment.spec, f"out/{FORMS['keras'][1]}"
        job.ops += [build_op(spec, {"keras": path}), replay_op(spec, "keras", path, done.renamed, eager=True)]
        given: dict[str, Path] = {}
        for op in job.ops:
            code.add_to_target(op, given)
        for inner, file in given.items():
            job.give(file, inner)
        built, _ = self.worker.run(job, 300).results
        return dict(built)


@pytest.fixture(scope="module")
def target(
    migrated: Run, environment: Callable[[str], Environment], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[Path], Target]]:
    worker = WarmWorker(environment("tf2.21"), tmp_path_factory.mktemp("target"), flavour="keras3")
    yield lambda folder: Target(Bundle.open(migrated.out / "bundle"), worker, folder)
    worker.stop()


def changed(folder: Path, *changes: tuple[str, str]) -> Supplied:
    """The source with some of its text changed."""
    text = SOURCE.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path = folder / "layers.py"
    path.write_text(text)
    return Supplied(target_objects=path)


def test_carried_without_source_in_the_target(target: Callable[[Path], Target], tmp_path: Path) -> None:
    built = target(tmp_path).build(Supplied())
    assert built["ways"]["encoder_layer"] == built["ways"]["encoder_layer_1"] == "carried"
    assert built["weights"]["equal"] == 35


def test_a_name_of_its_own_for_every_weight_is_no_obstacle(target: Callable[[Path], Target], tmp_path: Path) -> None:
    """Weights are paired by order where the names in both sources say nothing about one another."""
    code = changed(
        tmp_path,
        ("keras.layers.Dense(width), keras.layers.Dense(width)\n", 'keras.layers.Dense(width, name="query"), keras.layers.Dense(width, name="key")\n'),
    )  # fmt: skip
    built = target(tmp_path).build(code)
    assert {row["by"] for row in built["supplied"]} == {"name", "order"}
    assert [row for proof in built["supplied"] for row in proof["rows"] if row["max_rel"] > 1e-4] == []


def test_a_class_that_only_trains_otherwise_is_found(target: Callable[[Path], Target], tmp_path: Path) -> None:
    """The outputs at inference are the same: gradients and the training phase tell."""
    code = changed(tmp_path, ("self.second(x + self", "self.second(tf.stop_gradient(x) + self"))
    built = target(tmp_path).build(code)
    (proof,) = [row for row in built["supplied"] if row["layer"] == "encoder_layer"]
    off = {(row["phase"], row["what"]) for row in proof["rows"] if row["max_rel"] > 1e-3}
    assert ("inference", "the gradient by input 0") in off
    assert ("inference", "output 0") not in off


def test_what_the_file_lacks_is_listed_with_a_file_to_fill_in(target: Callable[[Path], Target], tmp_path: Path) -> None:
    code = changed(tmp_path, ("class EncoderLayer(", "class Other("), ("class PositionalEncoding(", "class Encoding("))
    with pytest.raises(HarnessError) as raised:
        target(tmp_path).build(code)
    error = raised.value
    assert error.code == "code-missing"
    assert list(error.details) == [
        "encoder_layer (class EncoderLayer): no source for this class in the target",
        "encoder_layer_1 (class EncoderLayer): no source for this class in the target",
        "position (class PositionalEncoding): no source for this class in the target",
    ]
    assert "class EncoderLayer(keras.layers.Layer):  # encoder_layer, encoder_layer_1" in error.remedy
    assert "def __init__(self, width, heads, inner, rate, **kwargs):" in error.remedy
    stub = error.remedy[error.remedy.index("import keras") :]
    compile(stub, "stub.py", "exec")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("self.width, self.heads = width, heads\n", "self.width, self.heads = width, heads[0]\n", "TypeError"),
        ("def call(self, x, training=None):\n        x = self.first", "def call(self, x, training=None):\n        x = tf.nothing", "nothing"),
        ("self.beta = self.add_weight(name=\"beta\", shape=(int(shape[-1]),)", "self.beta = self.add_weight(name=\"beta\", shape=(3,)", "shape"),
    ],
)  # fmt: skip
def test_source_that_does_not_work_is_refused_with_the_layer(
    old: str, new: str, said: str, target: Callable[[Path], Target], tmp_path: Path
) -> None:
    with pytest.raises(HarnessError) as raised:
        target(tmp_path).build(changed(tmp_path, (old, new)))
    error = raised.value
    assert error.code in ("custom-objects-invalid", "weights-mismatch")
    assert said in " ".join([error.message, *error.details])
    assert "encoder_layer" in " ".join([error.message, *error.details])


def test_source_makes_layers_of_keras_2_too(run: Harness, migrated: Run) -> None:
    call = (
        "import",
        migrated.out / "bundle",
        "--to",
        "tf_keras2.21",
        "--target-objects",
        SOURCE,
        "--out",
        "out",
        "--json",
    )
    done = run(*call)
    assert done.status == 0, done.text
    assert {(row["way"], row["differs"]) for row in done.report["code"]} == {("source", None)}
    assert done.report["weights"]["equal"] == 35


def test_a_class_of_keras_2_that_only_trains_otherwise_is_found(run: Harness, migrated: Run, tmp_path: Path) -> None:
    code = changed(tmp_path, ("self.second(x + self", "self.second(tf.stop_gradient(x) + self"))
    assert code.target_objects is not None
    call = ("import", migrated.out / "bundle", "--to", "tf2.3", "--target-objects", code.target_objects, "--out", "out")
    done = run(*call, "--json")
    assert done.status == 1, done.text
    assert [row["layer"] for row in done.report["code"] if row["differs"]] == ["encoder_layer", "encoder_layer_1"]


def test_source_for_another_keras_is_refused(target: Callable[[Path], Target], tmp_path: Path) -> None:
    with pytest.raises(HarnessError) as raised:
        target(tmp_path).build(changed(tmp_path, ("keras = tf.keras\n", "import tf_keras as keras\n")))
    assert raised.value.code == "custom-objects-invalid"
    found = " ".join(raised.value.details)
    assert "it is a Layer of tf_keras.src.engine.base_layer, not a layer of keras." in found


def test_another_formula_ends_as_diverged_with_the_layer(run: Harness, migrated: Run, tmp_path: Path) -> None:
    code = changed(tmp_path, ("x + tf.cast", "x + 1.01 * tf.cast"))
    call = ("import", migrated.out / "bundle", "--target-objects", code.target_objects, "--out", "out", "--json")
    done = run(*call)
    assert done.status == 1, done.text
    assert done.report["layers"]["first_divergent"]["layer"] == "position"
    (row,) = [row for row in done.report["code"] if row["differs"]]
    assert row["layer"] == "position"
