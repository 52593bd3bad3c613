"""Training on the Keras 3 side: compile a built model with its optimizer state, and prove it in a fresh process.

Operation ``replay_training``: ``{"op": "replay_training", "model": "in/model.keras", "bundle": "in/bundle",
"plan": "in/plan.json", "arrays": "out/training.npz", "index": "out/training.json"}``
"""

import os
from typing import Any, Dict, List

import numpy as np

from . import carried, compat, compat_training, transforms
from .arrays import ArrayReader, ArrayWriter
from .double import doubled, single
from .errors import Refusal
from .files import read_json, write_json
from .roles import roles_of


def compile_model(keras: Any, model: Any, plan: Dict[str, Any], reader: ArrayReader) -> Dict[str, Any]:
    """Compile ``model`` as planned and give the optimizer its state.

    Returns ``lost``, metrics that could not be made, and ``failed``: why the model was left without optimizer, or null.
    Training must not cost the model.
    """
    lost = []  # type: List[str]
    try:
        _compile(keras, model, plan, reader, lost)
    except Exception as error:
        model.optimizer, model.compiled = None, False
        details = getattr(error, "details", None) or []
        reason = "; ".join([str(error).strip().splitlines()[0][:300]] + [str(line) for line in details[:3]])
        return {"lost": lost, "failed": "%s: %s" % (type(error).__name__, reason)}
    return {"lost": lost, "failed": None}


def _compile(keras: Any, model: Any, plan: Dict[str, Any], reader: ArrayReader, lost: List[str]) -> None:
    optimizer = make_optimizer(keras, plan, plan["pinned"])
    metrics = _metrics(keras, plan.get("metrics"), lost)
    weighted = _metrics(keras, plan.get("weighted_metrics"), lost)
    arguments = {"loss_weights": plan["loss_weights"]} if plan["loss_weights"] and any(plan["losses"]) else {}
    model.compile(
        optimizer=optimizer,
        loss=losses(keras, plan["losses"]),
        metrics=metrics,
        weighted_metrics=weighted,
        jit_compile=False,
        **arguments,
    )
    optimizer.build(model.trainable_variables)
    _assign_state(optimizer, model, plan, reader)


def make_optimizer(keras: Any, plan: Dict[str, Any], pinned: bool) -> Any:
    """The planned optimizer, or the one with the source's formula."""
    entry = plan["old_formula"] if pinned else plan["optimizer"]
    config = dict(entry["config"])
    if isinstance(config["learning_rate"], dict):
        schedule = config["learning_rate"]
        config["learning_rate"] = getattr(keras.optimizers.schedules, schedule["class_name"])(**schedule["config"])
    return optimizer_class(keras, entry["class_name"])(**config)


def optimizer_class(keras: Any, name: str) -> Any:
    """Keras's own class, or a pinned one; nothing else may be named by a plan."""
    if name in compat_training.ATTRIBUTES:
        return getattr(keras.optimizers, name)
    from . import pinned_optimizers

    if name in ("EpsilonOutsideRMSprop", "EpsilonOutsideAdagrad", "ScheduledNadam"):
        return getattr(pinned_optimizers, name)
    raise Refusal("bundle-invalid", "the plan names the optimizer %r, which is not built" % name)


def losses(keras: Any, planned: List[Any]) -> Any:
    """The losses in the form of ``compile``."""
    if not any(planned):
        return None
    made = [loss if not isinstance(loss, dict) else keras.losses.deserialize(loss) for loss in planned]
    return made[0] if len(made) == 1 else made


def _metrics(keras: Any, rows: Any, lost: List[str]) -> Any:
    if not rows:
        return None
    made = []
    for row in rows:
        kept = []
        for metric in row:
            try:
                kept.append(metric if isinstance(metric, str) else keras.metrics.deserialize(metric))
            except Exception as error:
                lost.append("metric %s: %s" % (metric, str(error).strip().splitlines()[0][:200]))
        made.append(kept)
    return made[0] if len(made) == 1 else made


def named_weights(model: Any) -> Dict[str, Any]:
    """Every weight by layer names and role."""
    return dict(roles_of(model))


def _slots(optimizer: Any, model: Any) -> Dict[Any, Any]:
    """(weight's name, slot) -> variable."""
    params = list(model.trainable_variables)
    names = {id(v): name for name, v in named_weights(model).items()}
    return {(names[id(params[i])], slot): v for i, slot, v in compat_training.slots(optimizer, params)}


def _assign_state(optimizer: Any, model: Any, plan: Dict[str, Any], reader: ArrayReader) -> None:
    """Raises Refusal weights-mismatch when slots and weights do not correspond."""
    found, problems = _slots(optimizer, model), []
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
    if hasattr(optimizer, "_u_product"):
        optimizer._u_product.assign(_product(optimizer, plan))


def _product(optimizer: Any, plan: Dict[str, Any]) -> float:
    """Nadam's running product of momenta: the source's for its formula, Keras 3's own after as many steps else."""
    if hasattr(optimizer, "schedule_decay"):
        return float(plan["scalars"].get("m_schedule", 1.0))
    product = 1.0
    for step in range(1, min(int(plan["scalars"].get("iterations", 0)), 20000) + 1):
        product *= optimizer.beta_1 * (1.0 - 0.5 * 0.96**step)
    return product


def replay_training(request: Dict[str, Any], context: Any) -> Dict[str, Any]:
    """Write the loaded model's optimizer state, and what one step makes of the bundle's batch."""
    keras = compat.import_keras("keras3")
    bundle, whole = request["bundle"], read_json(request["plan"])
    plan = dict(whole["training"], weights=whole["weights"])
    manifest = read_json(os.path.join(bundle, "manifest.json"))
    reader, training = ArrayReader(bundle, manifest["arrays"]), manifest["model"]["training"]
    context.step("load the compiled model")
    if "carried-layers" in manifest["required_features"]:
        carried.register(keras)
    if plan["pinned"]:
        from . import pinned_optimizers  # noqa: F401 - registers its classes
    try:
        loaded = keras.models.load_model(request["model"])
        optimizer = loaded.optimizer
        optimizer.build(loaded.trainable_variables)
    except Exception as error:
        reason = "%s: %s" % (type(error).__name__, str(error).strip()[:2000])
        raise Refusal("model-not-loadable", "the compiled model cannot be loaded", [reason])
    entries = []  # type: List[Dict[str, Any]]
    with ArrayWriter(request["arrays"]) as writer:
        for (name, slot), variable in _slots(optimizer, loaded).items():
            entries.append(writer.add("slot/%s/%s" % (name, slot), variable.numpy()))
        steps, failed = {}, None  # type: Dict[str, Any], Any
        if request.get("step", True) and training["step"] and not training["step"]["skipped"]:
            context.step("take one training step")
            names = [output["name"] for output in manifest["model"]["outputs"]]
            replaced = [name in training["step"]["replaced_losses"] for name in names]
            plan["losses"] = [None if other else loss for loss, other in zip(plan["losses"], replaced)]
            try:
                steps = _steps(keras, loaded, plan, training["step"], reader, writer, entries)
            except Exception as error:  # a step that cannot be taken is unproved, no fault of the model
                lines = str(error).strip().splitlines() or [""]
                failed = "the target takes no step in float64: %s: %s" % (type(error).__name__, lines[0][:300])
    write_json(request["index"], {"arrays": entries})
    trained = sorted(n for n, v in named_weights(loaded).items() if v.trainable)
    return {
        "iterations": int(optimizer.iterations.numpy()),
        "product": float(optimizer._u_product.numpy()) if hasattr(optimizer, "_u_product") else None,
        "optimizer": _described(keras, optimizer),
        "trainable": trained,
        "steps": steps,
        "steps_failed": failed,
    }


def _described(keras: Any, optimizer: Any) -> Dict[str, Any]:
    config = {key: value for key, value in optimizer.get_config().items() if key != "name"}
    if isinstance(config.get("learning_rate"), dict):
        entry = config["learning_rate"]
        config["learning_rate"] = {"class_name": entry["class_name"], "config": entry["config"]}
    plain = compat_training.plain(config)
    return {"class_name": type(optimizer).__name__, "config": plain}


def _steps(keras: Any, loaded: Any, plan: Any, step: Any, reader: Any, writer: Any, entries: Any) -> Dict[str, Any]:
    """One step with the source's formula, where that is another, and one with the optimizer that was saved."""
    kinds = ["source"] if not plan["old_formula"] or plan["pinned"] else ["source", "native"]
    done = {}
    compat_training.set_floatx(keras, "float64")
    try:
        for kind in kinds:
            old = kind == "source" and plan["old_formula"] is not None
            double = _Double(keras, loaded, plan, step, reader, old)
            loss, gradients, after = double.step()
            done[kind] = {"loss": loss}
            for group, values in (("gradient", gradients), ("after", after)):
                for name, value in values.items():
                    entries.append(writer.add("%s/%s/%s" % (kind, group, name), value))
    finally:
        compat_training.set_floatx(keras, "float32")
    return done


class _Double:
    """The loaded model in float64, with the loaded optimizer's state."""

    def __init__(self, keras: Any, loaded: Any, plan: Any, step: Any, reader: ArrayReader, old: bool) -> None:
        self.step_of, self.reader, self.moves = step, reader, plan["weights"]
        config = doubled(loaded.get_config())
        self.model = type(loaded).from_config(config)
        for mine, its in zip(self.model.weights, loaded.weights):
            mine.assign(np.asarray(its.numpy(), dtype=str(mine.dtype)))
        entry = loaded.optimizer.get_config()
        if old and not plan["pinned"]:
            entry = dict(entry, **{k: v for k, v in plan["old_formula"]["config"].items() if k == "schedule_decay"})
            cls = optimizer_class(keras, plan["old_formula"]["class_name"])
        else:
            cls = type(loaded.optimizer)
        self.optimizer = cls.from_config(single(entry))
        self.optimizer.build(self.model.trainable_variables)
        for mine, its in zip(self.optimizer.variables, loaded.optimizer.variables):
            mine.assign(np.asarray(its.numpy(), dtype=str(mine.dtype)))
        if old and hasattr(self.optimizer, "schedule_decay") and not plan["pinned"]:
            self.optimizer._u_product.assign(float(plan["scalars"].get("m_schedule", 1.0)))
        planned = ["mean_squared_error" if loss is None else loss for loss in plan["losses"]]
        weights = {"loss_weights": plan["loss_weights"]} if plan["loss_weights"] else {}
        self.model.compile(optimizer=self.optimizer, loss=losses(keras, doubled(planned)), jit_compile=False, **weights)

    def step(self) -> Any:
        """(loss, own gradients, weights after a step) by name; the optimizer is given the source's gradients.

        So that each is proved by itself: an adaptive optimizer makes a step of full size out of the last bit of a
        gradient near zero.
        """
        tf = compat.import_tensorflow()
        x = _alone([tf.constant(self.reader.get(name)) for name in self.step_of["inputs"]])
        y = _alone([tf.constant(self.reader.get(name)) for name in self.step_of["targets"]])
        params = self.model.trainable_variables
        with tf.GradientTape() as tape:
            loss = self.model.compute_loss(x, y, self.model(x, training=True), training=True)
        names = {id(v): name for name, v in named_weights(self.model).items()}
        raw = tape.gradient(loss, [p.value for p in params])
        own = {names[id(p)]: tf.convert_to_tensor(g) for p, g in zip(params, raw) if g is not None}
        given = dict(own, **self._source_gradients())
        pairs = [(tf.constant(given[names[id(p)]]), p) for p in params if names[id(p)] in given]
        self.optimizer.apply_gradients(pairs)
        after = {name: v.numpy() for name, v in named_weights(self.model).items()}
        return float(loss), {name: g.numpy() for name, g in own.items()}, after

    def _source_gradients(self) -> Dict[str, Any]:
        found = {}
        for row in self.step_of["weights"]:
            move = self.moves.get("/".join(row["layer"] + [row["role"]]))
            if row["gradient"] and move and all(t["op"] in transforms.PERMUTING for t in move["transforms"]):
                name = "/".join(move["layer"] + [move["role"]])
                found[name] = transforms.apply(self.reader.get(row["gradient"]), move["transforms"])
        return found


def _alone(values: List[Any]) -> Any:
    return values[0] if len(values) == 1 else values
