"""Training on the target's side: compile a built model with its optimizer state, and prove it in a fresh process.

Operation ``replay_training``: ``{"op": "replay_training", "flavour": "keras3" | "tf.keras" | "tf_keras",
"model": "in/model.keras", "bundle": "in/bundle", "plan": "in/plan.json", "arrays": "out/training.npz",
"index": "out/training.json"}``
"""

import os
from typing import Any, Dict, List

from . import carried, compat, compat_target, compat_training, from_source, replay_steps, transforms
from .arrays import ArrayReader, ArrayWriter
from .errors import Refusal
from .files import read_json, write_json

#: metrics whose function Keras chooses when it knows the outputs
CHOSEN_BY_SHAPE = ("accuracy", "acc", "crossentropy", "ce")


def compile_model(keras: Any, model: Any, plan: Dict[str, Any], reader: ArrayReader) -> Dict[str, Any]:
    """Compile ``model`` as planned and give the optimizer its state.

    Returns ``lost``, metrics that could not be made, and ``failed``: why the model was left without optimizer, or null.
    Training must not cost the model.
    """
    lost = []  # type: List[str]
    try:
        _compile(keras, model, plan, reader, lost)
    except Exception as error:
        compat_target.leave_uncompiled(keras, model)
        details = getattr(error, "details", None) or []
        reason = "; ".join([str(error).strip().splitlines()[0][:300]] + [str(line) for line in details[:3]])
        return {"lost": lost, "failed": "%s: %s" % (type(error).__name__, reason)}
    return {"lost": lost, "failed": None}


def _compile(keras: Any, model: Any, plan: Dict[str, Any], reader: ArrayReader, lost: List[str]) -> None:
    optimizer = replay_steps.make_optimizer(keras, plan, plan["pinned"])
    metrics = _metrics(keras, plan.get("metrics"), lost)
    weighted = _metrics(keras, plan.get("weighted_metrics"), lost)
    arguments = {"loss_weights": plan["loss_weights"]} if plan["loss_weights"] and any(plan["losses"]) else {}
    model.compile(
        optimizer=optimizer,
        loss=replay_steps.losses(keras, plan["losses"]),
        metrics=metrics,
        weighted_metrics=weighted,
        **dict(arguments, **compat_target.compile_arguments(keras)),
    )
    compat_training.create_slots(keras, optimizer, model.trainable_variables)
    _assign_state(optimizer, model, plan, reader)


def _metrics(keras: Any, rows: Any, lost: List[str]) -> Any:
    if not rows:
        return None
    made = []
    for row in rows:
        kept = []
        for metric in row:
            try:
                made_of = keras.metrics.deserialize(metric) if isinstance(metric, dict) else None
                if made_of is None and metric not in CHOSEN_BY_SHAPE:
                    keras.metrics.get(metric)  # Keras 2 looks for it no sooner than in the first batch
                kept.append(made_of or metric)
            except Exception as error:
                lost.append("metric %s: %s" % (metric, str(error).strip().splitlines()[0][:200]))
        made.append(kept)
    return made[0] if len(made) == 1 else made


def _assign_state(optimizer: Any, model: Any, plan: Dict[str, Any], reader: ArrayReader) -> None:
    """Raises Refusal weights-mismatch when slots and weights do not correspond."""
    found, problems = replay_steps.slots_of(optimizer, model), []
    planned = set()
    for slot in plan["slots"]:
        key = ("/".join(slot["layer"] + [slot["role"]]), slot["slot"])
        planned.add(key)
        if key not in found:
            problems.append("unused: the slot %s of %s has no place in the new optimizer" % (key[1], key[0]))
            continue
        value = transforms.apply(reader.get(slot["array"]), slot["transforms"])
        if tuple(value.shape) != tuple(found[key].shape):
            problems.append("mis-shaped: the slot %s of %s is %s" % (key[1], key[0], value.shape))
            continue
        found[key].assign(value)
    if plan["slots"]:
        problems += ["missing: nothing for the slot %s of %s" % (key[1], key[0]) for key in set(found) - planned]
    if problems:
        raise Refusal("weights-mismatch", "the optimizer's state does not correspond", sorted(problems))
    if "iterations" in plan["scalars"]:
        optimizer.iterations.assign(plan["scalars"]["iterations"])
    product = compat_training.product(optimizer)
    if product is not None:
        product.assign(_product(optimizer, plan))


def _product(optimizer: Any, plan: Dict[str, Any]) -> float:
    """Nadam's running product of momenta: the source's for its formula, today's own after as many steps else."""
    if (plan["old_formula"] is None or plan["pinned"]) and "m_schedule" in plan["scalars"]:
        return float(plan["scalars"]["m_schedule"])
    product = 1.0
    for step in range(1, min(int(plan["scalars"].get("iterations", 0)), 20000) + 1):
        product *= optimizer.beta_1 * (1.0 - 0.5 * 0.96**step)
    return product


def replay_training(request: Dict[str, Any], context: Any) -> Dict[str, Any]:
    """Write the loaded model's optimizer state, and what training steps make of the bundle's batch."""
    keras = compat.import_keras(request["flavour"])
    bundle, whole = request["bundle"], read_json(request["plan"])
    plan = dict(whole["training"], weights=whole["weights"])
    manifest = read_json(os.path.join(bundle, "manifest.json"))
    reader, training = ArrayReader(bundle, manifest["arrays"]), manifest["model"]["training"]
    context.step("load the compiled model")
    compat_target.start(keras)
    if "carried-layers" in manifest["required_features"]:
        carried.register(keras)
    if plan["pinned"]:
        from . import pinned_optimizers  # noqa: F401 - registers its classes
    try:
        loaded = keras.models.load_model(request["model"], custom_objects=from_source.load(request) or None)
        optimizer = loaded.optimizer
        compat_training.create_slots(keras, optimizer, loaded.trainable_variables)
    except Exception as error:
        reason = "%s: %s" % (type(error).__name__, str(error).strip()[:2000])
        raise Refusal("model-not-loadable", "the compiled model cannot be loaded", [reason])
    entries = []  # type: List[Dict[str, Any]]
    with ArrayWriter(request["arrays"]) as writer:
        for (name, slot), variable in replay_steps.slots_of(optimizer, loaded).items():
            entries.append(writer.add("slot/%s/%s" % (name, slot), variable.numpy()))
        steps, failed = {}, None  # type: Dict[str, Any], Any
        if request.get("step", True) and training["step"] and not training["step"]["skipped"]:
            context.step("take %d training steps" % training["step"].get("count", 1))
            names = [output["name"] for output in manifest["model"]["outputs"]]
            replaced = [name in training["step"]["replaced_losses"] for name in names]
            plan["losses"] = [None if other else loss for loss, other in zip(plan["losses"], replaced)]
            try:
                steps = replay_steps.take(keras, loaded, plan, training["step"], reader, writer, entries)
            except Exception as error:  # a step that cannot be taken is unproved, no fault of the model
                lines = str(error).strip().splitlines() or [""]
                failed = "the target takes no step in float64: %s: %s" % (type(error).__name__, lines[0][:300])
    write_json(request["index"], {"arrays": entries})
    trains = {id(v) for v in loaded.trainable_variables}
    product = compat_training.product(optimizer)
    return {
        "iterations": int(optimizer.iterations.numpy()),
        "product": None if product is None else float(product.numpy()),
        "optimizer": _described(optimizer),
        "trainable": sorted(n for n, v in replay_steps.named_weights(loaded).items() if id(v) in trains),
        "steps": steps,
        "steps_failed": failed,
    }


def _described(optimizer: Any) -> Dict[str, Any]:
    config = compat_training.live_config(optimizer)
    if isinstance(config.get("learning_rate"), dict):
        entry = config["learning_rate"]
        config["learning_rate"] = {"class_name": entry["class_name"], "config": entry["config"]}
    plain = compat_training.plain(config)
    legacy = {"legacy": True} if compat_training.family(optimizer) == "v2" else {}
    return dict({"class_name": type(optimizer).__name__, "config": plain}, **legacy)
