"""How an old model is trained, said in the target's Keras: optimizer, losses, metrics, and where each optimizer slot goes.

The bundle's ``model.training`` goes in (``docs/bundle.md``), a plan for the target worker comes out. What has no
equivalent is named in ``not_carried``; it never costs the model.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.dialects.training_known import known, known_losses
from harness.dialects.training_optimizer import optimizer, pin, slots
from harness.dialects.training_plan import Home, TrainingPlan

__all__ = ["Home", "TrainingPlan", "translate_training"]

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


def translate_training(
    model: Mapping[str, Any],
    flavour: str,
    weights: Mapping[str, Mapping[str, Any]],
    formula: str,
    home: Home | None = None,
) -> TrainingPlan | None:
    """The plan for a model's training, or None if the model brings no optimizer.

    Args:
        model: ``model`` of the manifest.
        flavour: of the source worker: ``keras`` is standalone Keras.
        weights: where every weight goes, see :class:`harness.dialects.Translation`.
        formula: ``native`` takes the target's optimizer, ``pin`` the source's formula where that is another.
        home: the Keras that trains the model from now on; Keras 3 if it is not said.
    """
    training = model["training"]
    if not training.get("optimizer"):
        return None
    plan = TrainingPlan(home=home or Home())
    plan.not_carried += training["reasons"]
    optimizer(plan, training["optimizer"], flavour)
    if plan.optimizer is None:
        return plan
    _compiled(plan, training["config"], [o["name"] for o in model["outputs"]], model["dialect"])
    known(plan, model, training["optimizer"], flavour)
    known_losses(plan, model)
    if training["state"] == "carried":
        slots(plan, training, weights)
    if training["optimizer"]["family"] == "modern" and plan.optimizer["class_name"] == "Nadam":
        _counted_in_python(plan, weights)
    if plan.optimizer["config"].get("use_ema") and not plan.scalars.get("iterations"):
        _averages(plan, weights)
    pin(plan, formula)
    return plan


def _counted_in_python(plan: TrainingPlan, weights: Mapping[str, Any]) -> None:
    """What the source's product of momenta is depends on how often its function was traced; it is computed anew."""
    plan.scalars.pop("m_schedule", None)
    why = "TensorFlow 2.11 to 2.15 counts the factors of its momentum schedule in Python, once a weight, and saves none"
    if plan.home.dialect == "keras-3":
        why += "; Keras 3 goes on with the product after as many steps"
    plan.known.append({"what": "schedule of Nadam", "why": why, "weights": sorted(weights)})


def _averages(plan: TrainingPlan, weights: Mapping[str, Any]) -> None:
    if plan.home.dialect == "keras-3":
        why = "before the first step they are the weights in the source, and nothing in Keras 3"
        plan.known.append({"what": "moving averages of weights", "why": why, "weights": sorted(weights)})


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
        plan.note(
            "sample_weight_mode", config["sample_weight_mode"], None, f"{plan.home.name} takes weights of any shape"
        )


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
    plan.not_carried.append(f"{what}: {why}; {plan.home.name}'s falls with the similarity, as all other versions' do")
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
        config["reduction"] = (
            "sum_over_batch_size" if reduction == "auto" and plan.home.dialect == "keras-3" else reduction
        )
        return {"class_name": loss["class_name"], "config": config}
    what = loss if isinstance(loss, str) else loss.get("class_name", loss) if isinstance(loss, Mapping) else loss
    plan.not_carried.append(f"loss of {output}: {what} is none of Keras's own; compile the new model with yours")
    return None


def _metrics(plan: TrainingPlan, found: Any, outputs: list[str]) -> list[list[Any]] | None:
    if not found:
        return None
    if isinstance(found, Mapping):
        rows = [found.get(name) or [] for name in outputs]
    elif len(found) == len(outputs) and all(isinstance(m, list) for m in found):
        rows = list(found)
    else:
        rows = [found] * len(outputs)
    return [
        [m for m in (_metric(plan, one) for one in (row if isinstance(row, list) else [row])) if m is not None]
        for row in rows
    ]


def _metric(plan: TrainingPlan, metric: Any) -> Any:
    if metric in ("logcosh", "log_cosh"):  # as a function, no later version finds it by this name
        plan.note("metrics", metric, "LogCoshError", "same metric, as a class")
        return {"class_name": "LogCoshError", "config": {}}
    if isinstance(metric, str) and (metric in _METRICS or metric in _METRICS.values()):
        new = _METRICS.get(metric, metric)
        if new != metric:
            plan.note("metrics", metric, new, "same metric, renamed")
        return new
    if isinstance(metric, Mapping) and isinstance(metric.get("class_name"), str):
        if metric["class_name"] in ("MeanMetricWrapper", "Function"):
            inner = (metric.get("config") or {}).get("fn")
            if isinstance(inner, Mapping):  # as TF 2.12 and later may write it
                inner = inner.get("config")
            return _metric(plan, inner) if isinstance(inner, str) else _lost(plan, metric["class_name"])
        config = {k: v for k, v in (metric.get("config") or {}).items() if v is not None and k not in ("dtype", "fn")}
        return {"class_name": metric["class_name"], "config": config}
    return _lost(plan, metric)


def _lost(plan: TrainingPlan, metric: Any) -> None:
    line = f"metric {metric}: it is none of Keras's own; compile the new model with yours"
    if line not in plan.not_carried:
        plan.not_carried.append(line)
