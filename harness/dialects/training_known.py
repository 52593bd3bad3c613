"""Differences of training that are known, and are no fault of a migration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.dialects.training_plan import TrainingPlan

#: updates only the rows of an embedding that a batch reads, in OptimizerV2; Keras 3 updates all
_LAZY = frozenset({"SGD", "RMSprop", "Adadelta", "Adamax", "Nadam", "Ftrl"})


def known(plan: TrainingPlan, model: Mapping[str, Any], found: Mapping[str, Any], flavour: str) -> None:
    """Differences of training that are no fault of the migration, each with the weights that it touches."""
    source = model["dialect"]
    for path, layer in _leaves(model["graph"], ()):
        where = "/".join(path)
        regular = layer["config"].get("activity_regularizer") or layer["class_name"] == "ActivityRegularization"
        if regular and (flavour == "keras" or source == "tf1.12"):
            why = f"the source adds the sum over the batch to the loss, {plan.home.name} the mean"
            plan.known.append({"what": f"{where}: activity regularisation", "why": why, "weights": None})
        if layer["class_name"] == "Embedding":
            _embedding(plan, where, found)
        if not layer["class_name"].startswith("BatchNormalization"):
            continue
        stats = [f"{where}/moving_mean", f"{where}/moving_variance"]
        if flavour == "keras":
            why = (
                "Keras on TensorFlow 1 corrects the moving averages for a start at zero, anew after each load; "
                f"{plan.home.name} does not"
            )
            plan.known.append({"what": f"{where}: moving statistics", "why": why, "weights": stats})
        elif _fused(layer) and plan.home.dialect == "keras-3":
            why = "the source's fused kernel stores the variance times N/(N-1), Keras 3 the variance"
            plan.known.append({"what": f"{where}: moving variance", "why": why, "weights": [stats[1]]})
        if layer["config"].get("trainable") is False and source.startswith(("tf1.", "keras-2")):
            why = (
                "a frozen BatchNormalization of TensorFlow 1 normalises with the batch when trained, "
                f"that of {plan.home.name} with its moving statistics"
            )
            plan.known.append({"what": f"{where}: frozen", "why": why, "weights": None})


def _embedding(plan: TrainingPlan, where: str, found: Mapping[str, Any]) -> None:
    """The gradient of an embedding has rows: some optimizers leave the others as they are, some add up rows first."""
    home, weights = plan.home, [f"{where}/embeddings"]
    name, momentum = found["class_name"], (plan.optimizer or {})["config"].get("momentum")
    lazy = name in _LAZY and not (name in ("SGD", "RMSprop") and not momentum)
    before, after = lazy and found["family"] == "v2", lazy and home.style == "v2"

    def add(what: str, why: str, weights: list[str]) -> None:
        plan.known.append({"what": f"{where}: {what}", "why": why, "weights": weights})

    if before != after:
        one, other = ("the source", home.name) if before else (home.name, "the source")
        add("rows that are not read", f"{one} updates only the rows that a batch reads, {other} all of them", weights)
    if name != "SGD" and home.dialect == "keras-3":
        # Proved with summed gradients, as the source's optimizer gets them; Keras 3's `fit` hands over others.
        why = "the source adds up the gradients of a row before they are squared, Keras 3 squares each of them"
        add("rows that a batch reads twice", why, [])
    if not found["config"].get("clipnorm"):
        return
    if found["family"] == "keras" and home.dialect != "keras-3":
        why = f"{home.name} takes the norm of the rows' gradients before it adds up those of one row, the source afterwards"
        add("clipping by norm", why, [])
    else:
        why = "the source takes the norm of the rows' gradients before it adds up those of one row, "
        why += "Keras 3 afterwards" if home.dialect == "keras-3" else f"as {home.name} does; recorded are the sums"
        add("clipping by norm", why, weights)


def known_losses(plan: TrainingPlan, model: Mapping[str, Any]) -> None:
    """Cross-entropies that look for other logits than the source's.

    Keras from TF 2.4 on takes the logits of a softmax or sigmoid at the end of a model, whatever is asked for.
    """
    looks = ("tf2.15", "keras-3")
    if plan.home.dialect not in looks or model["dialect"] in looks:
        return
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
            why = f"{plan.home.name} computes {name}{asked} behind a {end} from what went into the {end}; the source from its output"
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
