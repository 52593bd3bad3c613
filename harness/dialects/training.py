"""How an old model is trained, said in Keras 3: optimizer, losses, metrics, and where each optimizer slot goes.

The bundle's ``model.training`` goes in (``docs/bundle.md``), a plan for the target worker comes out. What has no
equivalent is named in ``not_carried``; it never costs the model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.dialects.rules import Change
from harness.worker.tfworker import transforms

STEP = "training → keras-3"
#: classes whose old formula differs from Keras 3's: (pinned class, what differs)
PINNED = {
    "RMSprop": ("EpsilonOutsideRMSprop", "epsilon was added outside the square root; Keras 3 adds it inside"),
    "Adagrad": ("EpsilonOutsideAdagrad", "epsilon was added outside the square root; Keras 3 adds it inside"),
    "Nadam": ("ScheduledNadam", "the momentum schedule was 0.96^(step · schedule_decay); Keras 3's is 0.96^step"),
}
#: updates only the rows of an embedding that a batch reads, in OptimizerV2; Keras 3 updates all
_LAZY = frozenset({"SGD", "RMSprop", "Adadelta", "Adamax", "Nadam", "Ftrl"})
_HYPERPARAMETERS = {
    "SGD": ("momentum", "nesterov"),
    "RMSprop": ("rho", "momentum", "epsilon", "centered"),
    "Adagrad": ("initial_accumulator_value", "epsilon"),
    "Adadelta": ("rho", "epsilon"),
    "Adam": ("beta_1", "beta_2", "epsilon", "amsgrad"),
    "Adamax": ("beta_1", "beta_2", "epsilon"),
    "Nadam": ("beta_1", "beta_2", "epsilon"),
    "Ftrl": (
        "learning_rate_power", "initial_accumulator_value", "l1_regularization_strength", "l2_regularization_strength",
        "l2_shrinkage_regularization_strength", "beta",
    ),
}  # fmt: skip
#: of tf.keras 2.11 and later, the same in Keras 3
_BASE = ("weight_decay", "global_clipnorm", "use_ema", "ema_momentum", "ema_overwrite_frequency")
_SCHEDULES = frozenset(
    {"ExponentialDecay", "PiecewiseConstantDecay", "PolynomialDecay", "InverseTimeDecay", "CosineDecay"}
)
#: dialects whose cosine losses have the other sign
_RISING_COSINE = frozenset({"tf1.14", "tf1.15"})
_LOSSES = {
    "mse": "mean_squared_error", "mae": "mean_absolute_error", "mape": "mean_absolute_percentage_error",
    "msle": "mean_squared_logarithmic_error", "kullback_leibler_divergence": "kl_divergence", "kld": "kl_divergence",
    "cosine_proximity": "cosine_similarity", "cosine": "cosine_similarity", "logcosh": "log_cosh",
    "huber_loss": "huber", "bce": "binary_crossentropy",
}  # fmt: skip
_KNOWN_LOSSES = frozenset(
    {*_LOSSES.values(), "categorical_crossentropy", "sparse_categorical_crossentropy", "poisson", "hinge",
     "squared_hinge", "categorical_hinge"}
)  # fmt: skip
_LOSS_CLASSES = frozenset(
    {"MeanSquaredError", "MeanAbsoluteError", "MeanAbsolutePercentageError", "MeanSquaredLogarithmicError",
     "BinaryCrossentropy", "CategoricalCrossentropy", "SparseCategoricalCrossentropy", "Hinge", "SquaredHinge",
     "CategoricalHinge", "Poisson", "LogCosh", "KLDivergence", "Huber", "CosineSimilarity"}
)  # fmt: skip
_LOSS_ARGUMENTS = ("from_logits", "label_smoothing", "delta", "axis", "name")
_METRICS = {
    **_LOSSES, "acc": "accuracy", "accuracy": "accuracy", "binary_accuracy": "binary_accuracy",
    "categorical_accuracy": "categorical_accuracy", "sparse_categorical_accuracy": "sparse_categorical_accuracy",
    "top_k_categorical_accuracy": "top_k_categorical_accuracy",
    "sparse_top_k_categorical_accuracy": "sparse_top_k_categorical_accuracy", "crossentropy": "crossentropy", "ce": "crossentropy",
}  # fmt: skip


@dataclass(kw_only=True)
class TrainingPlan:
    """What the target worker is to build.

    Attributes:
        optimizer: Keras 3's ``{"class_name", "config"}``, or None.
        old_formula: the same with the class that pins the source's formula, where it differs from Keras 3's.
        losses, loss_weights, metrics, weighted_metrics: for each output, in order.
        slots: ``{"array", "layer", "role", "slot", "transforms"}`` of each; layer and role are the target's.
        scalars: ``iterations``, and Nadam's ``m_schedule``.
        known: differences of formula that are known: ``{"what", "why", "weights"}``; None for weights means all.
        not_carried: what has no place in the target, each with the reason.
    """

    optimizer: dict[str, Any] | None = None
    old_formula: dict[str, Any] | None = None
    pinned: bool = False
    losses: list[Any] = field(default_factory=list)
    loss_weights: list[float] | None = None
    metrics: list[list[Any]] | None = None
    weighted_metrics: list[list[Any]] | None = None
    slots: list[dict[str, Any]] = field(default_factory=list)
    scalars: dict[str, float] = field(default_factory=dict)
    known: list[dict[str, Any]] = field(default_factory=list)
    not_carried: list[str] = field(default_factory=list)
    ledger: list[Change] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """The plan as the worker reads it."""
        kept = ("optimizer", "old_formula", "pinned", "losses", "loss_weights", "metrics", "weighted_metrics")
        return {key: getattr(self, key) for key in (*kept, "slots", "scalars")}

    def note(self, what: str, before: Any, after: Any, why: str) -> None:
        """Enter a change into the ledger."""
        self.ledger.append(Change(layer="(training)", step=STEP, what=what, before=before, after=after, why=why))


def translate_training(
    model: Mapping[str, Any], flavour: str, weights: Mapping[str, Mapping[str, Any]], formula: str
) -> TrainingPlan | None:
    """The plan for a model's training, or None if the model brings no optimizer.

    Args:
        model: ``model`` of the manifest.
        flavour: of the source worker: ``keras`` is standalone Keras.
        weights: where every weight goes, see :class:`harness.dialects.Translation`.
        formula: ``native`` takes Keras 3's optimizer, ``pin`` the source's formula where that is another.
    """
    training = model["training"]
    if not training.get("optimizer"):
        return None
    plan = TrainingPlan()
    plan.not_carried += training["reasons"]
    _optimizer(plan, training["optimizer"], flavour)
    if plan.optimizer is None:
        return plan
    _compiled(plan, training["config"], [o["name"] for o in model["outputs"]], model["dialect"])
    _known(plan, model, training["optimizer"], flavour)
    _known_losses(plan, model)
    if training["state"] == "carried":
        _slots(plan, training, weights)
    _pin(plan, formula)
    return plan


def _optimizer(plan: TrainingPlan, found: Mapping[str, Any], flavour: str) -> None:
    name, old = found["class_name"], dict(found["config"])
    if name not in _HYPERPARAMETERS:
        plan.not_carried.append(f"optimizer: Keras 3 has no {name} that is known to be the same")
        return
    config: dict[str, Any] = {k: old[k] for k in _HYPERPARAMETERS[name] if old.get(k) is not None}
    config |= {key: old[key] for key in _BASE if old.get(key) is not None}
    _defaults(name, config, found["family"])
    rate = old.get("learning_rate", old.get("lr"))
    if "learning_rate" not in old:
        plan.note("lr", "lr", "learning_rate", "same argument, renamed")
    config["learning_rate"] = _rate(plan, name, rate, old.get("decay") or 0.0, found["family"])
    clip = [key for key in ("clipnorm", "clipvalue") if old.get(key)]
    if len(clip) == 2:
        plan.not_carried.append("optimizer: Keras 3 clips gradients by norm or by value, not by both")
        return
    for key in clip:
        config[key] = float(old[key])
    if flavour == "keras" and "clipnorm" in config:
        config["global_clipnorm"] = config.pop("clipnorm")
        plan.note("clipnorm", "clipnorm", "global_clipnorm", "standalone Keras clips by the norm of all gradients")
    if config["learning_rate"] is None:
        plan.not_carried.append("optimizer: its learning rate is a schedule that Keras 3 does not have")
        return
    plan.optimizer = {"class_name": name, "config": config}
    if name in PINNED and found["family"] != "modern" and not (name == "RMSprop" and config["momentum"]):
        pinned, why = PINNED[name]
        more = {}
        if name == "Nadam":
            more["schedule_decay"] = float(old["schedule_decay"] if "schedule_decay" in old else old["decay"])
        plan.old_formula = {"class_name": pinned, "config": {**config, **more}}
        plan.known.append({"what": f"formula of {name}", "why": why, "weights": None, "formula": True})


def _defaults(name: str, config: dict[str, Any], family: str) -> None:
    for key in ("momentum", "rho", "epsilon", "beta_1", "beta_2"):
        if key in config:
            config[key] = float(config[key])
    if name in ("SGD", "RMSprop"):
        config.setdefault("momentum", 0.0)
    if name == "Adagrad" and family == "keras":
        config["initial_accumulator_value"] = 0.0


def _rate(plan: TrainingPlan, name: str, rate: Any, decay: float, family: str) -> Any:
    """The learning rate, or the schedule that stands for rate and decay; None if there is none."""
    if isinstance(rate, Mapping):
        config = {key: value for key, value in rate["config"].items() if value is not None}
        if rate["class_name"] not in _SCHEDULES or (decay and name != "Nadam"):
            return None
        return {"class_name": rate["class_name"], "config": config}
    if not decay or (name == "Nadam" and family == "v2"):  # there, ``decay`` is the momentum's schedule
        return float(rate)
    after = {"initial_learning_rate": float(rate), "decay_steps": 1, "decay_rate": decay, "staircase": False}
    plan.note("decay", decay, "InverseTimeDecay", "Keras 3 has no decay; lr / (1 + decay · step) is this schedule")
    return {"class_name": "InverseTimeDecay", "config": after}


def _compiled(plan: TrainingPlan, config: Mapping[str, Any], outputs: list[str], dialect: str) -> None:
    losses = _each(config.get("loss"), outputs)
    if losses is None:
        plan.not_carried.append("loss: it does not match the outputs")
        losses = [None] * len(outputs)
    if dialect in _RISING_COSINE:
        losses = [_without_cosine(plan, loss, name) for loss, name in zip(losses, outputs, strict=True)]
    plan.losses = [_loss(plan, loss, name) for loss, name in zip(losses, outputs, strict=True)]
    weights = config.get("loss_weights")
    if weights is not None:
        found = _each(weights, outputs)
        if found is not None:
            plan.loss_weights = [1.0 if w is None else float(w) for w in found]
    plan.metrics = _metrics(plan, config.get("metrics"), outputs)
    plan.weighted_metrics = _metrics(plan, config.get("weighted_metrics"), outputs)
    if config.get("sample_weight_mode"):
        plan.note("sample_weight_mode", config["sample_weight_mode"], None, "Keras 3 takes weights of any shape")


def _each(value: Any, outputs: list[str]) -> list[Any] | None:
    """A value for each output, or None if they do not correspond."""
    if isinstance(value, Mapping) and "class_name" not in value:
        return [value.get(name) for name in outputs]
    if isinstance(value, list):
        return list(value) if len(value) == len(outputs) else None
    return [value] * len(outputs)


def _without_cosine(plan: TrainingPlan, loss: Any, output: str) -> Any:
    name = str(loss.get("class_name") if isinstance(loss, Mapping) else loss)
    if not name.lower().startswith("cosine"):
        return loss
    what, why = (
        f"loss of {output}",
        "cosine similarity is a loss that falls with the distance in TensorFlow 1.14 and 1.15",
    )
    plan.not_carried.append(f"{what}: {why}; Keras 3's falls with the similarity, as all other versions' do")
    plan.known.append({"what": what, "why": why, "weights": None})
    return None


def _loss(plan: TrainingPlan, loss: Any, output: str) -> Any:
    if loss is None:
        return None
    if isinstance(loss, str):
        new = _LOSSES.get(loss.lower(), loss)
        if new in _KNOWN_LOSSES:
            if new != loss:
                plan.note(f"loss of {output}", loss, new, "same loss, renamed")
            return new
    elif isinstance(loss, Mapping) and loss.get("class_name") in _LOSS_CLASSES:
        old = dict(loss.get("config") or {})
        config = {key: old[key] for key in _LOSS_ARGUMENTS if old.get(key) is not None}
        reduction = old.get("reduction", "auto")
        config["reduction"] = "sum_over_batch_size" if reduction == "auto" else reduction
        return {"class_name": loss["class_name"], "config": config}
    what = loss if isinstance(loss, str) else loss.get("class_name", loss) if isinstance(loss, Mapping) else loss
    plan.not_carried.append(f"loss of {output}: {what} is none of Keras's own; compile the new model with yours")
    return None


def _metrics(plan: TrainingPlan, found: Any, outputs: list[str]) -> list[list[Any]] | None:
    if not found:
        return None
    if isinstance(found, Mapping):
        rows = [found.get(name) or [] for name in outputs]
    elif len(outputs) > 1 and len(found) == len(outputs) and all(isinstance(m, list) for m in found):
        rows = list(found)
    else:
        rows = [found] * len(outputs)
    return [
        [m for m in (_metric(plan, one) for one in (row if isinstance(row, list) else [row])) if m is not None]
        for row in rows
    ]


def _metric(plan: TrainingPlan, metric: Any) -> Any:
    if isinstance(metric, str) and (metric in _METRICS or metric in _METRICS.values()):
        new = _METRICS.get(metric, metric)
        if new != metric:
            plan.note("metrics", metric, new, "same metric, renamed")
        return new
    if isinstance(metric, Mapping) and isinstance(metric.get("class_name"), str):
        if metric["class_name"] in ("MeanMetricWrapper", "Function"):
            inner = (metric.get("config") or {}).get("fn")
            return _metric(plan, inner) if isinstance(inner, str) else _lost(plan, metric["class_name"])
        config = {k: v for k, v in (metric.get("config") or {}).items() if v is not None and k not in ("dtype", "fn")}
        return {"class_name": metric["class_name"], "config": config}
    return _lost(plan, metric)


def _lost(plan: TrainingPlan, metric: Any) -> None:
    line = f"metric {metric}: it is none of Keras's own; compile the new model with yours"
    if line not in plan.not_carried:
        plan.not_carried.append(line)


def _slots(plan: TrainingPlan, training: Mapping[str, Any], weights: Mapping[str, Mapping[str, Any]]) -> None:
    """Where each slot goes: with its weight, and through the same transforms where those only move elements."""
    assert plan.optimizer is not None
    slots = []
    for slot in training["slots"]:
        name = "/".join((*slot["layer"], slot["role"]))
        move = weights.get(name)
        if move is None:
            plan.not_carried.append(f"optimizer state: the weight {name} has no place of its own in the target")
            return
        changing = [t["op"] for t in move["transforms"] if t["op"] not in transforms.PERMUTING]
        if changing:
            plan.not_carried.append(
                f"optimizer state: the weight {name} is changed by {changing[0]}, which slots do not follow exactly"
            )
            return
        slots.append({**slot, "layer": move["layer"], "role": move["role"], "transforms": move["transforms"]})
    if plan.optimizer["class_name"] == "SGD" and not plan.optimizer["config"]["momentum"]:
        if slots:
            plan.note("slots", "momentum", None, "without momentum they have no effect, and Keras 3 has none")
        slots = []
    plan.slots, plan.scalars = slots, dict(training["scalars"])


def _known(plan: TrainingPlan, model: Mapping[str, Any], found: Mapping[str, Any], flavour: str) -> None:
    """Differences of training that are no fault of the migration, each with the weights that it touches."""
    dialect = model["dialect"]
    lazy = found["class_name"] in _LAZY and found["family"] == "v2"
    if found["class_name"] in ("SGD", "RMSprop") and not (plan.optimizer or {})["config"]["momentum"]:
        lazy = False
    for path, layer in _leaves(model["graph"], ()):
        where = "/".join(path)
        regular = layer["config"].get("activity_regularizer") or layer["class_name"] == "ActivityRegularization"
        if regular and (flavour == "keras" or dialect == "tf1.12"):
            why = "the source adds the sum over the batch to the loss, Keras 3 the mean"
            plan.known.append({"what": f"{where}: activity regularisation", "why": why, "weights": None})
        if layer["class_name"] == "Embedding" and lazy:
            why = "the source updates only the rows that a batch reads, Keras 3 all of them"
            plan.known.append(
                {"what": f"{where}: rows that are not read", "why": why, "weights": [f"{where}/embeddings"]}
            )
        if layer["class_name"] == "Embedding" and (plan.optimizer or {}).get("class_name", "SGD") != "SGD":
            # Proved with summed gradients, as the source's optimizer gets them; Keras 3's `fit` hands over others.
            why = "the source adds up the gradients of a row before they are squared, Keras 3 squares each of them"
            plan.known.append({"what": f"{where}: rows that a batch reads twice", "why": why, "weights": []})
        if layer["class_name"] == "Embedding" and found["family"] == "v2" and found["config"].get("clipnorm"):
            why = "the source takes the norm of the rows' gradients before it adds up those of one row, Keras 3 afterwards"
            plan.known.append({"what": f"{where}: clipping by norm", "why": why, "weights": [f"{where}/embeddings"]})
        if not layer["class_name"].startswith("BatchNormalization"):
            continue
        stats = [f"{where}/moving_mean", f"{where}/moving_variance"]
        if flavour == "keras":
            why = "Keras on TensorFlow 1 corrects the moving averages for a start at zero, anew after each load"
            plan.known.append({"what": f"{where}: moving statistics", "why": why, "weights": stats})
        elif _fused(layer):
            why = "the source's fused kernel stores the variance times N/(N-1), Keras 3 the variance"
            plan.known.append({"what": f"{where}: moving variance", "why": why, "weights": [stats[1]]})
        if layer["config"].get("trainable") is False and dialect.startswith(("tf1.", "keras-2")):
            why = (
                "a frozen BatchNormalization of TensorFlow 1 normalises with the batch when trained, Keras 3's does not"
            )
            plan.known.append({"what": f"{where}: frozen", "why": why, "weights": None})


def _known_losses(plan: TrainingPlan, model: Mapping[str, Any]) -> None:
    """Keras 3 takes the logits of a softmax or sigmoid at the end of a model, whatever its cross-entropy asks for."""
    for tensor, loss, output in zip(model["graph"].get("outputs", ()), plan.losses, model["outputs"], strict=False):
        name = loss["class_name"] if isinstance(loss, Mapping) else loss or ""
        kind = name.lower().replace("_", "")
        if not kind.endswith("crossentropy"):
            continue
        logits = isinstance(loss, Mapping) and bool(loss["config"].get("from_logits"))
        end = _activation(model["graph"], tensor)
        fits = end == ("sigmoid" if kind.startswith("binary") else "softmax") and not logits
        if end in ("softmax", "sigmoid") and not fits:
            asked = " with from_logits=True" if logits else ""
            why = f"Keras 3 computes {name}{asked} behind a {end} from what went into the {end}; the source from its output"
            plan.known.append({"what": f"loss of {output['name']}", "why": why, "weights": None})


def _activation(graph: Mapping[str, Any], tensor: Any) -> Any:
    """The activation that a tensor comes out of, inside nested models too."""
    layer = next(layer for layer in graph["layers"] if layer["name"] == tensor[0])
    if "graph" in layer:
        return _activation(layer["graph"], layer["graph"]["outputs"][tensor[2]])
    if layer["class_name"] == "Softmax":
        return "softmax"
    return (layer["config"] or {}).get("activation")


def _fused(layer: Mapping[str, Any]) -> bool:
    specs = [call.get("input_specs") or [] for call in layer["calls"]]
    return layer["config"].get("fused") is not False and any(len(spec[0]) == 4 for call in specs for spec in call[:1])


def _leaves(graph: Mapping[str, Any], path: tuple[str, ...]) -> list[tuple[tuple[str, ...], Mapping[str, Any]]]:
    found: list[tuple[tuple[str, ...], Mapping[str, Any]]] = []
    for layer in graph["layers"]:
        here = (*path, layer["name"])
        found += _leaves(layer["graph"], here) if "graph" in layer else [(here, layer)]
    return found


def _pin(plan: TrainingPlan, formula: str) -> None:
    if plan.old_formula is None or plan.optimizer is None:
        return
    name, pinned = plan.optimizer["class_name"], plan.old_formula["class_name"]
    if formula == "pin":
        plan.pinned = True
        plan.note("optimizer", name, pinned, "the source's formula, pinned")
        plan.known = [known for known in plan.known if not known.get("formula")]
    elif "m_schedule" in plan.scalars:
        plan.note("m_schedule", plan.scalars["m_schedule"], "Keras 3's own product", "the schedule is another one")
