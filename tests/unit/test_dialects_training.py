"""Training configurations of old Keras, said in Keras 3."""

from __future__ import annotations

from typing import Any

import pytest

from harness.dialects.training import Home, TrainingPlan, translate_training

BASE = {"lr": 0.01, "decay": 0.0, "clipnorm": None, "clipvalue": None}
ADAM = {**BASE, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7, "amsgrad": False}
MOVE: dict[str, Any] = {"layer": ["dense"], "role": "kernel", "transforms": []}


def model(name: str, config: dict[str, Any], *, family: str = "keras", layers: Any = (), **more: Any) -> dict[str, Any]:
    training: dict[str, Any] = {
        "config": {"loss": "mean_squared_error", "metrics": [], "optimizer_config": {}},
        "optimizer_weights": False, "optimizer": {"class_name": name, "config": config, "family": family},
        "slots": [], "scalars": {}, "state": "absent", "reasons": [], "step": None,
    }  # fmt: skip
    compiled = more.pop("compiled", {})
    training.update(more)
    training["config"].update(compiled)
    graph = {"layers": [{"name": n, "class_name": c, "config": cfg, "calls": []} for n, c, cfg in layers]}
    return {"dialect": "tf1.12", "graph": graph, "outputs": [{"name": "y"}], "training": training}


def translate(
    described: dict[str, Any],
    *,
    flavour: str = "tf.keras",
    moves: Any = None,
    formula: str = "native",
    home: Home | None = None,
) -> TrainingPlan:
    plan = translate_training(described, flavour, moves or {"dense/kernel": MOVE}, formula, home)
    assert plan is not None
    return plan


def test_a_model_without_an_optimizer_has_no_plan() -> None:
    described = model("Adam", ADAM)
    described["training"]["optimizer"] = None
    assert translate_training(described, "tf.keras", {}, "native") is None


def test_lr_becomes_learning_rate() -> None:
    plan = translate(model("Adam", ADAM))
    assert plan.optimizer == {
        "class_name": "Adam",
        "config": {"learning_rate": 0.01, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7, "amsgrad": False},
    }
    assert [(c.what, c.before, c.after) for c in plan.ledger] == [("lr", "lr", "learning_rate")]


def test_decay_becomes_a_schedule() -> None:
    rate = translate(model("Adam", {**ADAM, "decay": 1e-3})).optimizer
    assert rate is not None
    assert rate["config"]["learning_rate"] == {
        "class_name": "InverseTimeDecay",
        "config": {"initial_learning_rate": 0.01, "decay_steps": 1, "decay_rate": 1e-3, "staircase": False},
    }


def test_the_decay_of_nadam_in_optimizer_v2_is_its_momentum_schedule() -> None:
    config = {"learning_rate": 0.01, "decay": 0.004, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7}
    plan = translate(model("Nadam", config, family="v2"))
    assert plan.optimizer is not None
    assert plan.optimizer["config"]["learning_rate"] == 0.01
    assert plan.old_formula is not None
    assert plan.old_formula["config"]["schedule_decay"] == 0.004


@pytest.mark.parametrize(("flavour", "key"), [("keras", "global_clipnorm"), ("tf.keras", "clipnorm")])
def test_only_standalone_keras_clips_by_the_global_norm(flavour: str, key: str) -> None:
    plan = translate(model("Adam", {**ADAM, "clipnorm": 0.5}), flavour=flavour)
    assert plan.optimizer is not None
    assert {k: v for k, v in plan.optimizer["config"].items() if "clip" in k} == {key: 0.5}


@pytest.mark.parametrize(
    ("name", "config", "reason"),
    [
        ("Adam", {**ADAM, "clipnorm": 0.5, "clipvalue": 0.1}, "not by both"),
        ("Adam", {**ADAM, "lr": {"class_name": "Mine", "config": {}}}, "schedule that Keras 3 does not have"),
        ("Mine", BASE, "no Mine that is known"),
    ],
)
def test_an_optimizer_without_equivalent_is_named_and_not_carried(name: str, config: Any, reason: str) -> None:
    plan = translate(model(name, config))
    assert plan.optimizer is None
    assert len(plan.not_carried) == 1
    assert reason in plan.not_carried[0]


@pytest.mark.parametrize(
    ("name", "config", "family", "pinned"),
    [
        ("RMSprop", {**BASE, "rho": 0.9, "epsilon": 1e-7}, "keras", "EpsilonOutsideRMSprop"),
        ("RMSprop", {**BASE, "rho": 0.9, "epsilon": 1e-7, "momentum": 0.5}, "v2", None),
        ("RMSprop", {**BASE, "rho": 0.9, "epsilon": 1e-7}, "modern", None),
        ("Adagrad", {**BASE, "epsilon": 1e-7}, "keras", "EpsilonOutsideAdagrad"),
        ("Nadam", {**ADAM, "schedule_decay": 0.004}, "keras", "ScheduledNadam"),
        ("Adam", ADAM, "keras", None),
        ("SGD", BASE, "keras", None),
    ],
)
def test_another_formula_is_known_and_can_be_pinned(name: str, config: Any, family: str, pinned: str | None) -> None:
    native = translate(model(name, config, family=family))
    assert (native.old_formula or {}).get("class_name") == pinned
    assert [k["what"] for k in native.known] == ([f"formula of {name}"] if pinned else [])
    assert not native.pinned
    wanted = translate(model(name, config, family=family), formula="pin")
    assert wanted.pinned == bool(pinned)
    assert wanted.known == []


def test_adagrad_of_old_keras_starts_at_zero() -> None:
    plan = translate(model("Adagrad", {**BASE, "epsilon": 1e-7}))
    assert plan.optimizer is not None
    assert plan.optimizer["config"]["initial_accumulator_value"] == 0.0


SLOT = {"array": "optimizer/dense/kernel/m", "layer": ["dense"], "role": "kernel", "slot": "m"}


def test_slots_go_where_their_weight_goes() -> None:
    move = {"layer": ["inner", "dense"], "role": "kernel", "transforms": [{"op": "transpose", "axes": [1, 0]}]}
    carried = model("Adam", ADAM, slots=[SLOT], scalars={"iterations": 7}, state="carried")
    plan = translate(carried, moves={"dense/kernel": move})
    assert plan.slots == [{**SLOT, **move}]
    assert plan.scalars == {"iterations": 7}


@pytest.mark.parametrize("op", ["scale", "divide_by", "sum_halves"])
def test_state_is_refused_where_a_weight_is_changed_and_not_only_moved(op: str) -> None:
    carried = model("Adam", ADAM, slots=[SLOT], scalars={"iterations": 7}, state="carried")
    plan = translate(carried, moves={"dense/kernel": {**MOVE, "transforms": [{"op": op}]}})
    assert plan.slots == []
    assert plan.scalars == {}
    assert plan.not_carried == [
        f"optimizer state: the weight dense/kernel is changed by {op}, which slots do not follow exactly"
    ]


def test_slots_of_sgd_without_momentum_are_dropped_and_noted() -> None:
    slot = {**SLOT, "slot": "momentum"}
    plan = translate(model("SGD", BASE, slots=[slot], scalars={"iterations": 7}, state="carried"))
    assert plan.slots == []
    assert plan.scalars == {"iterations": 7}
    assert "slots" in [c.what for c in plan.ledger]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("mse", "mean_squared_error"),
        ("kullback_leibler_divergence", "kl_divergence"),
        ("logcosh", "log_cosh"),
        ("categorical_crossentropy", "categorical_crossentropy"),
        (
            {"class_name": "CategoricalCrossentropy", "config": {"reduction": "auto", "from_logits": True, "fn": "x"}},
            {
                "class_name": "CategoricalCrossentropy",
                "config": {"from_logits": True, "reduction": "sum_over_batch_size"},
            },
        ),
    ],
)
def test_losses_are_said_in_keras_3(old: Any, new: Any) -> None:
    assert translate(model("Adam", ADAM, compiled={"loss": old})).losses == [new]


@pytest.mark.parametrize("loss", ["dice", {"class_name": "Dice", "config": {}}])
def test_a_loss_of_the_users_is_named_and_left_out(loss: Any) -> None:
    plan = translate(model("Adam", ADAM, compiled={"loss": loss}))
    assert plan.losses == [None]
    assert any("none of Keras's own" in line for line in plan.not_carried)


def test_losses_metrics_and_weights_by_output_name_go_by_position() -> None:
    described = model("Adam", ADAM)
    described["outputs"] = [{"name": "a"}, {"name": "b"}]
    described["training"]["config"].update(
        loss={"b": "mae", "a": "mse"}, loss_weights={"b": 0.5}, metrics={"b": "acc", "a": ["mae", "mine"]}
    )
    plan = translate(described)
    assert plan.losses == ["mean_squared_error", "mean_absolute_error"]
    assert plan.loss_weights == [1.0, 0.5]
    assert plan.metrics == [["mean_absolute_error"], ["accuracy"]]
    assert plan.not_carried == ["metric mine: it is none of Keras's own; compile the new model with yours"]


def test_known_differences_of_layers_name_their_weights() -> None:
    layers = [
        ("norm", "BatchNormalization", {"trainable": True}),
        ("frozen", "BatchNormalizationV1", {"trainable": False}),
        ("embedding", "Embedding", {}),
    ]
    plan = translate(model("Adamax", ADAM, family="v2", layers=layers), flavour="keras")
    assert {k["what"]: k["weights"] for k in plan.known} == {
        "norm: moving statistics": ["norm/moving_mean", "norm/moving_variance"],
        "frozen: moving statistics": ["frozen/moving_mean", "frozen/moving_variance"],
        "frozen: frozen": None,
        "embedding: rows that are not read": ["embedding/embeddings"],
        "embedding: rows that a batch reads twice": [],
    }


@pytest.mark.parametrize(
    ("dialect", "formats", "family", "style"),
    [
        ("keras-3", ("keras",), "v2", "modern"),
        ("tf2.15", ("h5",), "keras", "v2"),
        ("tf2.15", ("h5", "saved_model"), "v2", "v2"),
        ("tf2.15", ("keras", "h5"), "v2", "modern"),  # a .keras file drops the state of a legacy optimizer
        ("tf2.15", ("h5",), "modern", "modern"),
        ("tf2.3", ("h5",), "modern", "v2"),
        ("tf1.15", ("h5",), "v2", None),
    ],
)
def test_the_style_of_optimizer_that_a_target_saves_with_its_state(
    dialect: str, formats: tuple[str, ...], family: str, style: str | None
) -> None:
    home = Home.of(dialect, formats, family)
    assert (home.style if home else None) == style


TF23, LEGACY, MODERN = Home("tf2.3", "v2"), Home("tf2.15", "v2"), Home("tf2.15", "modern")


def test_a_legacy_optimizer_keeps_decay_and_formula() -> None:
    described = model("RMSprop", {**BASE, "rho": 0.9, "epsilon": 1e-7, "decay": 1e-3})
    plan = translate(described, home=LEGACY)
    assert plan.optimizer == {
        "class_name": "RMSprop", "legacy": True,
        "config": {"learning_rate": 0.01, "decay": 1e-3, "rho": 0.9, "epsilon": 1e-7, "momentum": 0.0},
    }  # fmt: skip
    assert (plan.old_formula, plan.known) == (None, [])


def test_the_formula_that_a_keras_file_does_not_hold_is_the_legacy_classs() -> None:
    described = model("Nadam", {**ADAM, "schedule_decay": 0.004})
    plan = translate(described, home=MODERN, formula="pin")
    assert plan.optimizer is not None
    assert plan.old_formula is not None
    assert "legacy" not in plan.optimizer
    assert (plan.old_formula["class_name"], plan.old_formula["legacy"]) == ("Nadam", True)
    assert plan.old_formula["config"]["schedule_decay"] == 0.004
    assert not plan.pinned
    assert "--format h5" in plan.known[0]["why"]


@pytest.mark.parametrize(
    ("name", "config", "family", "flavour", "reason"),
    [
        ("Nadam", {**ADAM, "schedule_decay": 0.008}, "keras", "tf.keras", "schedule_decay=0.004"),
        ("RMSprop", {**BASE, "rho": 0.9, "epsilon": 1e-7}, "modern", "tf.keras", "formula of TensorFlow 2.11"),
        ("Adam", {**ADAM, "weight_decay": 0.1}, "modern", "tf.keras", "weight_decay"),
        ("Adam", {**ADAM, "clipnorm": 0.5}, "keras", "keras", "norm of all gradients together"),
    ],
)
def test_what_tensorflow_2_3_does_not_have_is_named(
    name: str, config: Any, family: str, flavour: str, reason: str
) -> None:
    plan = translate(model(name, config, family=family), flavour=flavour, home=TF23)
    assert plan.optimizer is None
    assert reason in plan.not_carried[0]


def test_an_embedding_whose_other_rows_one_side_updates() -> None:
    layers = [("e", "Embedding", {})]
    both = translate(model("Adamax", ADAM, family="v2", layers=layers), home=LEGACY)
    assert both.known == []
    after = translate(model("Adamax", ADAM, layers=layers), home=LEGACY)
    assert [(k["what"], k["weights"]) for k in after.known] == [("e: rows that are not read", ["e/embeddings"])]


def test_metrics_listed_by_output_are_unwrapped() -> None:
    """TensorFlow 2.2 and later write a list for every output, and the function inside of a wrapper."""
    wrapped = {"class_name": "MeanMetricWrapper", "config": {"name": "acc", "fn": "categorical_accuracy"}}
    plan = translate(model("Adam", ADAM, compiled={"metrics": [[wrapped]]}))
    assert plan.metrics == [["categorical_accuracy"]]
    assert plan.not_carried == []


def test_nadam_of_tensorflow_2_15_starts_its_schedule_anew() -> None:
    state = {"slots": [], "scalars": {"iterations": 7, "m_schedule": 1.0}, "state": "carried"}
    plan = translate(model("Nadam", ADAM, family="modern", **state))
    assert plan.scalars == {"iterations": 7}
    assert [(k["what"], k["weights"]) for k in plan.known] == [("schedule of Nadam", ["dense/kernel"])]


def test_a_modern_optimizer_without_its_own_options_goes_to_tensorflow_2_3() -> None:
    config = {**ADAM, "learning_rate": 0.01, "weight_decay": None, "use_ema": False, "ema_momentum": 0.99}
    plan = translate(model("Adam", config, family="modern"), home=TF23)
    assert plan.optimizer is not None
    assert set(plan.optimizer["config"]) == {"learning_rate", "beta_1", "beta_2", "epsilon", "amsgrad"}


def test_a_metric_that_is_found_as_a_class_only() -> None:
    plan = translate(model("Adam", ADAM, compiled={"metrics": ["logcosh", "mae"]}))
    assert plan.metrics == [[{"class_name": "LogCoshError", "config": {}}, "mean_absolute_error"]]
