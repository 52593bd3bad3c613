"""Training goes on: state and one step, from old environments to Keras 3; and what is damaged on the way is noticed."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from command_line import Once

from harness import dialects
from harness.backends import Environment
from harness.bundle import Bundle
from harness.engine import build_op
from harness.job import Job
from harness.plan import Options
from harness.regress.warm import WarmWorker
from harness.training import Stage
from harness.worker.tfworker.files import write_json

pytestmark = pytest.mark.integration
SOURCES = {"tf1.12": "tf.keras", "tf1.15": "tf.keras", "keras2.2": "keras"}


@dataclass(kw_only=True)
class Target:
    """One warm worker of TF 2.21 for all models."""

    worker: WarmWorker
    root: Path
    count: int = 0

    def build(self, bundle: Bundle, damage: Callable[[dict[str, Any]], None] | None = None, **options: Any) -> Any:
        """The ``training`` section for a bundle; ``damage`` changes the plan that the model is built from."""
        model, spec = bundle.manifest["model"], self.worker.environment.spec
        arrays = bundle.manifest["arrays"]
        done = dialects.translate(model["graph"], arrays, model["dialect"], spec.dialect, {"hard_sigmoid": "pin"})
        stage = Stage.of(bundle, done, spec, Options(**options))
        self.count += 1
        job = Job.create(self.root, f"import-{self.count}")
        job.give(bundle.folder, "bundle")
        plan = {"graph": done.graph, "weights": done.weights, "training": stage.as_json()}
        write_json(str(job.folder / "in" / "plan.json"), plan)
        plan = copy.deepcopy(plan)
        if damage:
            damage(plan["training"])
        write_json(str(job.folder / "in" / "damaged.json"), plan)
        build = {**build_op(spec, {"keras": "out/model.keras"}), "plan": "in/damaged.json"}
        built = self.worker.run(self._with(job, build), 300).results[0]["training"]
        proof = Job.create(self.root, f"prove-{self.count}")
        for name in ("in/bundle", "in/plan.json", "out/model.keras"):
            proof.give((job.folder / name).resolve(), Path(name).name)
        stage = stage.built(built)
        if not stage.provable:
            return stage.unproved(bundle)
        result = self.worker.run(self._with(proof, stage.request("in/model.keras")), 300).results[0]
        return stage.section(bundle, result, proof.folder / "out")

    @staticmethod
    def _with(job: Job, op: dict[str, Any]) -> Job:
        job.ops.append(op)
        return job


@pytest.fixture(scope="module")
def target(environment: Callable[[str], Environment], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    root = tmp_path_factory.mktemp("training")
    worker = WarmWorker(environment("tf2.21"), root, flavour="keras3")
    yield Target(worker=worker, root=root)
    worker.stop()


@pytest.fixture(scope="module")
def bundles(
    once: Once, environment: Callable[[str], Environment], script: Callable[..., str]
) -> Callable[[str], dict[str, Bundle]]:
    def make(name: str, folder: Path) -> None:
        env, flavour = environment(name), SOURCES[name]
        script(name, "trained_models.py", flavour, folder)
        worker = WarmWorker(env, folder / "worker", flavour=flavour)
        for path in sorted(folder.glob("*.h5")):
            job = Job.create(folder / "jobs", path.stem)
            job.give(path, "model.h5")
            who = {"dialect": env.spec.dialect, "environment": name, "flavour": flavour, "harness_version": "0"}
            op = {"op": "read_keras_h5", "source": "in/model.h5", "bundle": "out/bundle", **who, "training": "auto"}
            job.ops.append(op)
            worker.run(job, 300)
        worker.stop()

    def get(name: str) -> dict[str, Bundle]:
        jobs = once(f"trained-{name}", lambda folder: make(name, folder)) / "jobs"
        return {job.name: Bundle.open(job / "out" / "bundle") for job in sorted(jobs.iterdir())}

    return get


@pytest.mark.parametrize("source", sorted(SOURCES))
def test_state_and_one_step_are_the_sources(
    bundles: Callable[[str], dict[str, Bundle]], target: Target, source: str
) -> None:
    found = {name: target.build(bundle) for name, bundle in bundles(source).items()}
    assert len(found) == (18 if source == "tf1.15" else 17)
    bad = {name: (s["wrong"], s["step"]["reason"]) for name, s in found.items() if s["step"]["status"] != "equal"}
    assert bad == {}
    assert all(s["ok"] and s["slots"]["equal"] == s["slots"]["total"] for s in found.values())
    without_slots = {"dense-sgd"}
    assert {name for name, s in found.items() if not s["slots"]["total"]} == without_slots
    other_formula = {name for name, s in found.items() if s["step"]["native_formula"] is not None}
    assert other_formula == {"dense-rmsprop", "dense-adagrad", "dense-nadam", "nested-rmsprop"}


def test_a_pinned_formula_is_the_sources(bundles: Callable[[str], dict[str, Bundle]], target: Target) -> None:
    for name in ("dense-rmsprop", "dense-adagrad", "dense-nadam"):
        section = target.build(bundles("tf1.15")[name], optimizer_formula="pin")
        assert (section["step"]["status"], section["step"]["native_formula"]) == ("equal", None), name
        assert section["optimizer"]["class_name"] in (
            "EpsilonOutsideRMSprop",
            "EpsilonOutsideAdagrad",
            "ScheduledNadam",
        )
        assert section["known"] == []


def swap_moments(plan: dict[str, Any]) -> None:
    for slot in plan["slots"]:
        slot["slot"] = {"m": "v", "v": "m"}[slot["slot"]]


def count_once_more(plan: dict[str, Any]) -> None:
    plan["scalars"]["iterations"] += 1


def other_rate(plan: dict[str, Any]) -> None:
    plan["optimizer"]["config"]["learning_rate"] *= 1.01


def other_beta(plan: dict[str, Any]) -> None:
    plan["optimizer"]["config"]["beta_2"] = 0.99


def one_slot_by_a_thousandth(plan: dict[str, Any]) -> None:
    plan["slots"][0]["transforms"] = [{"op": "scale", "ranges": [[0, 1]], "factor": 1.001}]


def no_clipping(plan: dict[str, Any]) -> None:
    plan["optimizer"]["config"]["clipnorm"] = None


def other_loss(plan: dict[str, Any]) -> None:
    plan["losses"] = ["mean_squared_error"]


@pytest.mark.parametrize(
    ("damage", "wrong", "step"),
    [
        (swap_moments, "the slot m of dense/kernel is not the source's", "differs"),
        (count_once_more, "the step counter is 4 instead of 3", "differs"),
        (other_rate, "learning_rate of the optimizer is 0.0101 instead of 0.01", "differs"),
        (other_beta, "beta_2 of the optimizer is 0.99 instead of 0.999", "differs"),
        (no_clipping, "clipnorm of the optimizer is None instead of 0.05", "differs"),
        (one_slot_by_a_thousandth, "the slot m of dense/kernel is not the source's", "differs"),
    ],
)
def test_damage_to_the_training_is_noticed(
    bundles: Callable[[str], dict[str, Bundle]], target: Target, damage: Any, wrong: str, step: str
) -> None:
    section = target.build(bundles("tf1.15")["dense-adam"], damage)
    assert not section["ok"]
    assert wrong in section["wrong"]
    assert section["step"]["status"] == step
    assert section["step"]["first_divergent"]["name"].startswith("weight dense/")


def test_a_state_that_does_not_fit_leaves_the_optimizer_behind(
    bundles: Callable[[str], dict[str, Bundle]], target: Target
) -> None:
    section = target.build(bundles("tf1.15")["dense-adam"], lambda plan: plan["slots"].pop())
    assert section["optimizer"] is None
    assert section["step"]["status"] == "skipped"
    assert section["step"]["reason"].startswith("the optimizer was left behind: Refusal: ")
    assert "missing: nothing for the slot v of dense_1/bias" in section["step"]["reason"]


def test_everything_that_was_set_per_layer_is_still_set(
    bundles: Callable[[str], dict[str, Bundle]], target: Target
) -> None:
    """Regularizers and constraints act in the step; ``trainable`` of nested layers is compared weight by weight."""
    for name in ("held-adam", "frozen-amsgrad", "conv-momentum"):
        section = target.build(bundles("tf1.12")[name])
        assert section["ok"], (name, section)
    assert target.build(bundles("tf1.12")["frozen-amsgrad"])["slots"]["total"] == 3 * 4
