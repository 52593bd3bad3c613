"""Training steps of a loaded target model in float64, with the gradients that the source had.

The optimizer gets the source's gradients, so that both are proved by themselves: an adaptive optimizer makes a step of
full size out of the last bit of a gradient near zero. After the last step the loss and the gradients are computed
once more, at the source's weights: there they are as well-conditioned as at the start.
"""

from typing import Any, Dict, List

import numpy as np

from . import compat, compat_exact, compat_steps, compat_target, compat_training, transforms
from .arrays import ArrayReader
from .double import doubled, single, with_fused_epsilon
from .errors import Refusal
from .roles import roles_of


def make_optimizer(keras: Any, plan: Dict[str, Any], pinned: bool, rounded: bool = False) -> Any:
    """The planned optimizer, or the one with the source's formula; ``rounded`` to numbers that float32 holds."""
    entry = plan["old_formula"] if pinned else plan["optimizer"]
    config = single(entry["config"]) if rounded else dict(entry["config"])
    if isinstance(config["learning_rate"], dict):
        schedule = config["learning_rate"]
        config["learning_rate"] = getattr(keras.optimizers.schedules, schedule["class_name"])(**schedule["config"])
    return optimizer_class(keras, entry)(**config)


def optimizer_class(keras: Any, entry: Dict[str, Any]) -> Any:
    """Keras's own class, or a pinned one; nothing else may be named by a plan."""
    name = entry["class_name"]
    if name in compat_training.ATTRIBUTES:
        legacy = getattr(keras.optimizers, "legacy", keras.optimizers) if entry.get("legacy") else keras.optimizers
        return getattr(legacy, name)
    if name in ("EpsilonOutsideRMSprop", "EpsilonOutsideAdagrad", "ScheduledNadam"):
        from . import pinned_optimizers

        return getattr(pinned_optimizers, name)
    raise Refusal("bundle-invalid", "the plan names the optimizer %r, which is not built" % name)


def losses(keras: Any, planned: List[Any]) -> Any:
    """The losses in the form of ``compile``."""
    if not any(planned):
        return None
    made = [loss if not isinstance(loss, dict) else keras.losses.deserialize(loss) for loss in planned]
    return made[0] if len(made) == 1 else made


def named_weights(model: Any) -> Dict[str, Any]:
    """Every weight by layer names and role."""
    return dict(roles_of(model))


def slots_of(optimizer: Any, model: Any) -> Dict[Any, Any]:
    """(weight's name, slot) -> variable."""
    params = list(model.trainable_variables)
    names = {id(v): name for name, v in named_weights(model).items()}
    return {(names[id(params[i])], slot): v for i, slot, v in compat_training.slots(optimizer, params)}


def take(keras: Any, loaded: Any, plan: Any, step: Any, reader: Any, writer: Any, entries: Any) -> Dict[str, Any]:
    """Steps with the source's formula, and where that is another, one with the optimizer that was saved."""
    kinds = ["source"] if not plan["old_formula"] or plan["pinned"] else ["source", "native"]
    done = {}
    compat_training.set_floatx(keras, "float64")
    try:
        for kind in kinds:
            old = kind == "source" and plan["old_formula"] is not None and not plan["pinned"]
            count = step.get("count", 1) if kind == "source" else 1
            numbers, groups = _Double(keras, loaded, plan, step, reader, old).steps(count)
            done[kind] = numbers
            for group, values in groups.items():
                for name, value in values.items():
                    entries.append(writer.add("%s/%s/%s" % (kind, group, name), np.asarray(value)))
    finally:
        compat_training.set_floatx(keras, "float32")
    return done


class _Double:
    """The loaded model in float64, with the loaded optimizer's state; ``old`` gives that to the source's formula."""

    def __init__(self, keras: Any, loaded: Any, plan: Any, step: Any, reader: ArrayReader, old: bool) -> None:
        self.keras, self.step_of, self.reader, self.moves = keras, step, reader, plan["weights"]
        self.keras3 = compat_target.is_keras3(keras)
        config = loaded.get_config()
        if not self.keras3:
            config = with_fused_epsilon(config, loaded, compat_exact.least_fused_epsilon())
        self.model = type(loaded).from_config(doubled(config, unfuse=not self.keras3))
        for mine, its in zip(self.model.weights, loaded.weights):
            mine.assign(np.asarray(its.numpy(), dtype=compat_target.dtype_name(mine)))
        self.optimizer = self._optimizer(loaded.optimizer, plan, old)
        compat_training.create_slots(keras, self.optimizer, self.model.trainable_variables)
        self._give_state(loaded, plan, old)
        planned = ["mean_squared_error" if loss is None else loss for loss in plan["losses"]]
        arguments = dict(compat_target.compile_arguments(keras))
        if plan["loss_weights"]:
            arguments["loss_weights"] = plan["loss_weights"]
        self.model.compile(optimizer=self.optimizer, loss=losses(keras, doubled(planned)), **arguments)
        self.names = {id(v): name for name, v in named_weights(self.model).items()}

    def _optimizer(self, found: Any, plan: Any, old: bool) -> Any:
        if old and plan["old_formula"].get("legacy"):
            return make_optimizer(self.keras, plan, True, rounded=True)
        entry, cls = found.get_config(), type(found)
        if old:
            entry = dict(entry, **{k: v for k, v in plan["old_formula"]["config"].items() if k == "schedule_decay"})
            cls = optimizer_class(self.keras, plan["old_formula"])
        return cls.from_config(single(entry))

    def _give_state(self, loaded: Any, plan: Any, old: bool) -> None:
        its, mine = compat_training.variables(loaded.optimizer), compat_training.variables(self.optimizer)
        if compat_training.family(loaded.optimizer) != compat_training.family(self.optimizer):
            theirs, own = slots_of(loaded.optimizer, loaded), slots_of(self.optimizer, self.model)
            keys = sorted(own)
            its = [loaded.optimizer.iterations] + [theirs[key] for key in keys]
            mine = [self.optimizer.iterations] + [own[key] for key in keys]
        for variable, value in zip(mine, its):
            variable.assign(np.asarray(value.numpy(), dtype=compat_target.dtype_name(variable)))
        product, its_product = compat_training.product(self.optimizer), compat_training.product(loaded.optimizer)
        if product is not None:
            product.assign(float(plan["scalars"].get("m_schedule", 1.0) if old else its_product.numpy()))

    def steps(self, count: int) -> Any:
        """({"loss", "end_loss"}, {group: {name: array}}): ``gradient`` at the start, ``after`` one step, ``end`` and
        ``end_gradient`` after the last."""
        inputs, targets = ([self.reader.get(name) for name in self.step_of[key]] for key in ("inputs", "targets"))
        if self.keras3:
            compute = self._differentiated(inputs, targets)
        else:
            compute = compat_steps.differentiated(self.model, inputs, targets, put_back=False)
        loss, raw = compute()
        groups = {"gradient": self._dense(raw)}
        self._apply(raw, [row["gradient"] for row in self.step_of["weights"]])
        groups["after"] = self._values()
        if count == 1:
            return {"loss": loss, "end_loss": None}, groups
        for number in range(count - 1):
            _, raw = compute()  # for weights whose gradients have no counterpart in the source
            self._apply(raw, [row["later"][number] for row in self.step_of["weights"]])
        groups["end"] = self._values()
        end = None
        if self._go_to_end():
            end, raw = compute()
            groups["end_gradient"] = self._dense(raw)
        return {"loss": loss, "end_loss": end}, groups

    def _values(self) -> Dict[str, Any]:
        return {name: v.numpy() for name, v in named_weights(self.model).items()}

    def _dense(self, raw: Any) -> Dict[str, Any]:
        tf = compat.import_tensorflow()
        return {self.names[id(p)]: tf.convert_to_tensor(g).numpy() for p, g in raw if g is not None}

    def _differentiated(self, inputs: List[Any], targets: List[Any]) -> Any:
        """As ``compat_steps.differentiated``, of Keras 3; what the call moves is left moved."""
        tf = compat.import_tensorflow()
        x, y = (_alone([tf.constant(a) for a in arrays]) for arrays in (inputs, targets))
        params = self.model.trainable_variables

        def compute():  # type: () -> Any
            with tf.GradientTape() as tape:
                loss = self.model.compute_loss(x, y, self.model(x, training=True), training=True)
            return float(loss), list(zip(params, tape.gradient(loss, [p.value for p in params])))

        return compute

    def _apply(self, raw: Any, arrays: List[Any]) -> None:
        """One step of the optimizer with the source's gradients (array names in the order of its weights)."""
        given = {}
        for row, array in zip(self.step_of["weights"], arrays):
            move = self.moves.get("/".join(row["layer"] + [row["role"]]))
            if array and move and all(t["op"] in transforms.PERMUTING for t in move["transforms"]):
                given["/".join(move["layer"] + [move["role"]])] = transforms.apply(
                    self.reader.get(array), move["transforms"]
                )
        pairs = []
        for p, own in raw:
            if self.names[id(p)] in given:
                pairs.append((_formed(given[self.names[id(p)]], own), p))
            elif own is not None:
                pairs.append((own, p))
        compat_training.apply(self.optimizer, pairs)

    def _go_to_end(self) -> bool:
        """Give the model the source's weights after the last step; False where they have no exact counterpart."""
        weights = named_weights(self.model)
        for row in self.step_of["weights"]:
            move = self.moves.get("/".join(row["layer"] + [row["role"]]))
            if not row.get("end") or move is None or any("array" in t for t in move["transforms"]):
                return False
            value = transforms.apply(self.reader.get(row["end"]), move["transforms"])
            weights["/".join(move["layer"] + [move["role"]])].assign(value)
        return True


def _alone(values: List[Any]) -> Any:
    return values[0] if len(values) == 1 else values


def _formed(dense: Any, own: Any) -> Any:
    """A gradient in the form of the target's own: of the rows alone that the batch reads, where that is its form.

    Some optimizers leave the other rows and their slots as they are.
    """
    tf = compat.import_tensorflow()
    if not isinstance(own, tf.IndexedSlices):
        return tf.constant(dense)
    rows = np.unique(np.asarray(own.indices))
    return tf.IndexedSlices(tf.constant(dense[rows]), tf.constant(rows), tf.constant(np.array(dense.shape)))
