"""Training goes on: state and steps, from old environments to Keras 3 and 2; and what is damaged on the way is noticed."""

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
from harness.dialects import training as training_dialect
from harness.engine import build_op
from harness.job import Job
from harness.plan import Options
from harness.regress.warm import WarmWorker
from harness.training import Stage
from harness.worker.tfworker.files import write_json

pytestmark = pytest.mark.integration
SOURCES = {"tf1.12": "tf.keras", "tf1.15": "tf.keras", "keras2.2": "keras", "tf2.3": "tf.keras", "tf2.15": "tf.keras"}
#: how many models a source saves
SAVED = {"tf1.12": 15, "tf1.15": 19, "keras2.2": 8, "tf2.3": 6, "tf2.15": 11}
FORMS = {"keras": "model.keras", "h5": "model.h5"}


@dataclass(kw_only=True)
class Target:
    """One warm worker of a target for all models."""

    worker: WarmWorker
    root: Path
    count: int = 0

    def build(
        self,
        bundle: Bundle,
        damage: Callable[[dict[str, Any]], None] | None = None,
        form: str = "keras",
        **options: Any,
    ) -> Any:
        """The ``training`` section for a bundle; ``damage`` changes the plan that the model is built from."""
        model, spec = bundle.manifest["model"], self.worker.environment.spec
        arrays = bundle.manifest["arrays"]
        done = dialects.translate(model["graph"], arrays, model["dialect"], spec.dialect, {"hard_sigmoid": "pin"})
        stage = Stage.of(bundle, done, spec, Options(formats=(form,), **options))
        self.count += 1
        job = Job.create(self.root, f"import-{self.count}")
        job.give(bundle.folder, "bundle")
        plan = {"graph": done.graph, "weights": done.weights, "training": stage.as_json()}
        write_json(str(job.folder / "in" / "plan.json"), plan)
        plan = copy.deepcopy(plan)
        if damage:
            damage(plan["training"])
        write_json(str(job.folder / "in" / "damaged.json"), plan)
        build = {**build_op(spec, {form: f"out/{FORMS[form]}"}), "plan": "in/damaged.json"}
        built = self.worker.run(self._with(job, build), 300).results[0]["training"]
        proof = Job.create(self.root, f"prove-{self.count}")
        for name in ("in/bundle", "in/plan.json", f"out/{FORMS[form]}"):
            proof.give((job.folder / name).resolve(), Path(name).name)
        stage = stage.built(built)
        if not stage.provable:
            return stage.unproved(bundle)
        result = self.worker.run(self._with(proof, stage.request(f"in/{FORMS[form]}")), 300).results[0]
        return stage.section(bundle, result, proof.folder / "out")

    @staticmethod
    def _with(job: Job, op: dict[str, Any]) -> Job:
        job.ops.append(op)
        return job


@pytest.fixture(scope="module")
def targets(
    hosted: Callable[[str], Environment], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Target]]:
    made: dict[str, Target] = {}

    def get(name: str) -> Target:
        if name not in made:
            for other in made.values():
                other.worker.stop()  # one TensorFlow at a time; a worker that is asked again starts again
            root, env = tmp_path_factory.mktemp("training"), hosted(name)
            made[name] = Target(worker=WarmWorker(env, root, flavour=env.spec.keras_flavour), root=root)
        return made[name]

    yield get
    for one in made.values():
        one.worker.stop()


@pytest.fixture
def target(targets: Callable[[str], Target]) -> Target:
    return targets("tf2.21")


@pytest.fixture(scope="module")
def bundles(
    once: Once, hosted: Callable[[str], Environment], script: Callable[..., str]
) -> Callable[[str], dict[str, Bundle]]:
    def make(name: str, folder: Path) -> None:
        env, flavour = hosted(name), SOURCES[name]
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
def test_state_and_steps_are_the_sources(
    bundles: Callable[[str], dict[str, Bundle]], target: Target, source: str
) -> None:
    found = {name: target.build(bundle) for name, bundle in bundles(source).items()}
    assert len(found) == SAVED[source]
    frozen = found.pop("frozen_norm-momentum", None)
    bad = {name: (s["wrong"], s["step"]["reason"]) for name, s in found.items() if s["step"]["status"] != "equal"}
    assert bad == {}
    assert all(s["ok"] and s["slots"]["equal"] == s["slots"]["total"] for s in found.values())
    assert {s["step"]["steps"] for s in found.values()} == {5}
    if "frozen-amsgrad" in found:  # two of its weights are trained in the nested model, two outside, and no others
        assert found["frozen-amsgrad"]["slots"]["total"] == 3 * 4
    assert {name for name, s in found.items() if not s["slots"]["total"]} <= {"dense-sgd"}
    other_formula = {name for name, s in found.items() if s["step"]["native_formula"] is not None}
    prefix = "dense-legacy-" if source == "tf2.15" else "dense-"  # the others have Keras 3's formulas there
    named = {f"{prefix}{name}" for name in ("rmsprop", "adagrad", "nadam")} | {"nested-rmsprop"}
    assert other_formula == named & set(found)
    if frozen is not None:
        names_the_frozen(frozen)


def names_the_frozen(section: dict[str, Any]) -> None:
    """The optimizer is proved; loss and gradients are other ones, because of two layers that are named."""
    assert section["ok"]
    assert section["step"]["status"] == "known"
    frozen = [known for known in section["known"] if known["what"].endswith(": frozen")]
    assert sorted(known["what"] for known in frozen) == ["outer_norm: frozen", "sequential/inner_norm: frozen"]
    assert all("normalises with the batch when trained" in known["why"] for known in frozen)
    assert all(known["what"] in section["step"]["reason"] for known in frozen)


def test_a_frozen_normalisation_trains_otherwise_and_the_proof_would_notice(
    bundles: Callable[[str], dict[str, Bundle]], target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without being declared, the difference is found: the loss is another one."""
    real = training_dialect.known
    monkeypatch.setattr(
        training_dialect,
        "known",
        lambda plan, *given: (real(plan, *given), plan.known.clear()),
    )
    section = target.build(bundles("tf1.15")["frozen_norm-momentum"])
    assert section["step"]["status"] == "differs"


#: (target, form) -> source -> the models that go there
KEEPS = ("dense-rmsprop", "dense-nadam", "dense-momentum", "embedding-momentum")
TO_KERAS_2 = {
    ("tf2.15", "h5"): {"tf1.15": (*KEEPS, "dense-amsgrad", "conv-momentum", "held-adam", "frozen-amsgrad"), "tf1.12": KEEPS},
    ("tf2.15", "keras"): {"tf1.15": ("dense-rmsprop", "dense-amsgrad", "held-adam")},
    ("tf2.3", "h5"): {"tf1.15": (*KEEPS, "conv-momentum", "held-adam"), "tf1.12": ("dense-nadam",)},
    ("tf_keras2.21", "h5"): {"tf1.15": ("dense-adagrad", "dense-amsgrad"), "tf2.15": ("dense-averaged",)},
}  # fmt: skip


@pytest.mark.parametrize(("name", "form"), sorted(TO_KERAS_2))
def test_training_goes_on_in_keras_2(
    bundles: Callable[[str], dict[str, Bundle]], targets: Callable[[str], Target], name: str, form: str
) -> None:
    found = {
        f"{source} {model}": targets(name).build(bundles(source)[model], form=form)
        for source, models in TO_KERAS_2[name, form].items()
        for model in models
    }
    bad = {name: (s["wrong"], s["step"]) for name, s in found.items() if s["step"]["status"] != "equal" or not s["ok"]}
    assert bad == {}
    assert all(s["slots"]["total"] and s["slots"]["equal"] == s["slots"]["total"] for s in found.values())
    assert {s["iterations"] for name, s in found.items() if name.startswith("tf1.15")} == {3}
    legacy = {name for name, s in found.items() if s["optimizer"].get("legacy")}
    assert legacy == ({name for name in found if name.startswith("tf1")} if form == "h5" else set())
    other = {name for name, s in found.items() if s["step"]["native_formula"] is not None}
    assert other == ({"tf1.15 dense-rmsprop"} if form == "keras" else set())


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


def test_damage_to_the_training_is_noticed_in_keras_2(
    bundles: Callable[[str], dict[str, Bundle]], targets: Callable[[str], Target]
) -> None:
    section = targets("tf2.3").build(bundles("tf1.15")["dense-adam"], count_once_more, form="h5")
    assert section["wrong"] == ["the step counter is 4 instead of 3"]
    assert section["step"]["status"] == "differs"


def test_a_state_that_does_not_fit_leaves_the_optimizer_behind(
    bundles: Callable[[str], dict[str, Bundle]], target: Target
) -> None:
    section = target.build(bundles("tf1.15")["dense-adam"], lambda plan: plan["slots"].pop())
    assert section["optimizer"] is None
    assert section["step"]["status"] == "skipped"
    assert section["step"]["reason"].startswith("the optimizer was left behind: Refusal: ")
    assert "missing: nothing for the slot v of dense_1/bias" in section["step"]["reason"]
