"""Training steps of the source model in float64: loss, gradients and the weights after one and after five.

The model is built again from its config in float64, without randomness (see ``double``), gets the weights and the
optimizer state of the file, and is trained on one batch of probe inputs with targets that suit its losses.
"""

import json
from typing import Any, Dict, List

import numpy as np

from . import compat, compat_exact, compat_steps, compat_training
from .arrays import ArrayReader
from .double import doubled, single, with_fused_epsilon
from .errors import Refusal
from .repair import repair, restore_axes
from .training import set_state

SEED = 20240301
#: weights of a model above which a step is taken only when it is asked for
LIMIT = 5000000
#: weights of a model above which one step is taken instead of five: all gradients are kept, 8 bytes each
FIVE_LIMIT = 500000
STEPS = 5
#: probe sets that may be the batch, in this order
BATCHES = ("normal", "unit")
CROSS_ENTROPIES = ("crossentropy", "CrossEntropy", "Crossentropy")
#: probabilities nearer to 0 or 1 than this are clipped by some versions and not by others
SATURATED = 1e-6


class Skipped(Exception):
    """No step can be taken; the message says why."""


class Given(object):
    """What a step starts from: the bundle's own weights and probes, and what the file stores of the optimizer."""

    def __init__(self, bundle: str, manifest: Dict[str, Any], graph: Any, state: List[Any]) -> None:
        self.reader = ArrayReader(bundle, manifest["arrays"])
        self.sets = {s["name"]: s["inputs"] for s in manifest["probes"]["sets"]}
        self.graph, self.state = graph, state


def skipped(reason: str) -> Dict[str, Any]:
    """The ``step`` object of a model for which no step was taken."""
    return {
        "skipped": reason,
        "batch": None,
        "inputs": [],
        "targets": [],
        "weights": [],
        "replaced_losses": [],
        "replaced_because": None,
        "loss": None,
        "count": 0,
        "one_because": None,
        "end_loss": None,
    }


def record_step(keras: Any, model: Any, training: Any, given: Given, writer: Any, count: int = STEPS) -> Any:
    """(the ``step`` object of ``count`` steps, index entries); never raises for what the model does."""
    step = skipped("")
    step["skipped"], step["count"] = None, count
    restore = compat_exact.plain_batch_norm(keras)
    try:
        if getattr(model, "stateful", False):
            raise Skipped("the model carries states from batch to batch")
        unfuse = not compat_training.is_standalone(keras)
        config = restore_axes(repair(json.loads(model.to_json()))[0])
        config = doubled(with_fused_epsilon(config, model, compat_exact.least_fused_epsilon()), unfuse)
        outputs = list(compat.output_names(model))
        compat.clear(keras)
        compat_training.set_floatx(keras, "float64")
        try:
            return _Live(keras, config, training, given, outputs).record(step, writer)
        except (TypeError, ValueError) as error:  # some losses of TF 1 compute in float32 only
            plain = dict(training, config=dict(training["config"], loss="mse"))
            compat.clear(keras)
            done, entries = _Live(keras, config, plain, given, outputs).record(step, writer)
            step["replaced_losses"] = outputs
            step["replaced_because"] = str(error).strip().splitlines()[0][:300]
            return done, entries
    except Skipped as reason:
        step["skipped"] = str(reason)
    except Refusal as refusal:
        step["skipped"] = "the model cannot be built in float64: %s" % refusal
    except Exception as error:
        lines = str(error).strip().splitlines() or [""]
        step["skipped"] = "no step in float64: %s: %s" % (type(error).__name__, lines[0][:300])
    finally:
        restore()
        compat_training.set_floatx(keras, "float32")
        compat.clear(keras)
    return step, []


class _Live:
    """The model in float64, compiled and with its state."""

    def __init__(self, keras: Any, config: Any, training: Any, given: Given, outputs: List[str]) -> None:
        self.keras, self.training, self.given, self.outputs = keras, training, given, outputs
        self.model = compat.build_model(keras, config)
        self.optimizer = compat_training.make_optimizer(keras, dict(_entry(training), config=_single_config(training)))

    def record(self, step: Dict[str, Any], writer: Any) -> Any:
        losses, replaced = losses_of(self.keras, self.training["config"], self.outputs)
        step["replaced_losses"] = replaced
        weights = (self.training["config"] or {}).get("loss_weights")
        self.model.compile(optimizer=self.optimizer, loss=losses, loss_weights=_by_output(weights, self.outputs))
        self._assign()
        name, inputs, targets = self._batch(losses)
        step["batch"] = name
        taken = self._take(step, inputs, targets)
        entries = []  # type: List[Any]

        def add(name, value):  # type: (str, Any) -> str
            entries.append(writer.add("step/" + name, np.asarray(value)))
            return str(entries[-1]["name"])

        step["inputs"] = [add("inputs/%d" % i, v) for i, v in enumerate(inputs)]
        step["targets"] = [add("targets/%d" % i, v) for i, v in enumerate(targets)]
        for path, role, variable, _ in self._variables():
            row = {"layer": list(path), "role": role, "gradient": None, "after": None}
            where = "/".join(path) + "/" + role
            for key, values in taken.items():
                if id(variable) in values:
                    row[key] = add("%s/%s" % (key, where), values[id(variable)])
            row["later"] = [row.pop("later/%d" % n, None) for n in range(2, step["count"] + 1)]
            step["weights"].append(row)
        return step, entries

    def _take(self, step: Dict[str, Any], inputs: List[Any], targets: List[Any]) -> Dict[str, Any]:
        """{what: {id of variable: value}} of ``count`` steps with one batch, fewer where they lead out of the numbers."""
        evaluate, update = compat_steps.stepper(
            self.keras, self.model, self.optimizer, inputs, targets, self._set_state
        )
        step["loss"], gradients = evaluate()
        if not np.isfinite(step["loss"]):
            raise Skipped("the loss of the source model is not finite")
        taken = {"gradient": gradients, "after": update()}
        if step["count"] == 1:
            return taken
        more = {}
        for number in range(2, step["count"] + 1):
            _, more["later/%d" % number] = evaluate()
            more["end"] = update()
        loss, more["end_gradient"] = evaluate()
        if not np.isfinite(loss) or not all(np.isfinite(v).all() for group in more.values() for v in group.values()):
            step["count"], step["one_because"] = 1, "the source's numbers are not finite after %d steps" % step["count"]
            return taken
        step["end_loss"] = loss
        return dict(taken, **more)

    def _variables(self) -> List[Any]:
        from .write_bundle import owners_of  # write_bundle uses this module

        return owners_of(self.model, self.given.graph)

    def _assign(self) -> None:
        pairs = []
        for path, role, variable, _ in self._variables():
            pairs.append((variable, np.asarray(self.given.reader.get("/".join(path + (role,))), dtype="float64")))
        compat.assign(self.keras, pairs)

    def _set_state(self) -> None:
        """After the optimizer has made its variables."""
        self._assign()
        if self.training["state"] == "carried":
            set_state(self.keras, self.optimizer, self.given.state)

    def _batch(self, losses: List[Any]) -> Any:
        reason = "no probe can be a batch"
        for name in BATCHES:
            if name not in self.given.sets:
                continue
            inputs = [self.given.reader.get(array) for array in self.given.sets[name]]
            inputs = [np.asarray(a, dtype="float64") if a.dtype.kind == "f" else a for a in inputs]
            outputs = compat_steps.predict(self.keras, self.model, inputs)
            saturated = [i for i, o in enumerate(outputs) if _is_cross_entropy(losses[i]) and _saturated(o)]
            if saturated:
                reason = "outputs %s are saturated, where versions clip cross-entropy differently" % saturated
                continue
            rng = np.random.RandomState(SEED)
            return name, inputs, [target_for(loss, out, rng) for loss, out in zip(losses, outputs)]
        raise Skipped(reason)


def _entry(training: Any) -> Dict[str, Any]:
    return dict(training["config"]["optimizer_config"])


def _single_config(training: Any) -> Any:
    return single(_entry(training)["config"])


def losses_of(keras: Any, config: Any, outputs: List[str]) -> Any:
    """(a loss of Keras's own for every output, the outputs whose own loss is another and was replaced by mse)."""
    found = _by_output((config or {}).get("loss"), outputs, spread=True) or [None] * len(outputs)
    losses, replaced = [], []
    for name, loss in zip(outputs, found):
        if loss is None and found.count(None) < len(outputs):
            raise Skipped("the output %s has no loss" % name)
        try:
            keras.losses.get(loss) if isinstance(loss, str) else keras.losses.deserialize(loss)
            known = loss is not None
        except Exception:
            known = False
        if not known:
            replaced.append(name)
        losses.append(loss if known and isinstance(loss, str) else keras.losses.deserialize(loss) if known else "mse")
    return losses, replaced


def _by_output(value: Any, outputs: List[str], spread: bool = False) -> Any:
    """A value for each output, in order; one alone serves all where Keras spreads it."""
    if value is None:
        return None
    if isinstance(value, dict) and "class_name" not in value:
        return [value.get(name) for name in outputs]
    if isinstance(value, list):
        return list(value)
    return [value] * len(outputs) if spread else value


def _is_cross_entropy(loss: Any) -> bool:
    name = loss if isinstance(loss, str) else type(loss).__name__
    return any(part in name for part in CROSS_ENTROPIES)


def _saturated(output: Any) -> bool:
    """Whether probabilities touch 0 or 1; outputs that are no probabilities are left to the loss."""
    inside = output.size and output.min() >= 0 and output.max() <= 1
    return bool(inside and (output.min() < SATURATED or output.max() > 1 - SATURATED))


def target_for(loss: Any, output: Any, rng: Any) -> Any:
    """A target of the form that a loss takes: class ids, one-hot rows, labels 0 and 1, or positive numbers."""
    name = (loss if isinstance(loss, str) else type(loss).__name__).lower().replace("_", "")
    if "sparse" in name:
        return rng.randint(0, output.shape[-1], size=output.shape[:-1] + (1,)).astype("float64")
    if "categoricalcrossentropy" in name or "categoricalhinge" in name:
        return np.eye(output.shape[-1])[rng.randint(0, output.shape[-1], size=output.shape[:-1])]
    if "binarycrossentropy" in name:
        return rng.randint(0, 2, size=output.shape).astype("float64")
    if "hinge" in name:
        return rng.choice([-1.0, 1.0], size=output.shape)
    if "kullback" in name or name == "kld":
        raw = rng.uniform(0.1, 1.0, size=output.shape)
        return raw / raw.sum(axis=-1, keepdims=True)
    return rng.uniform(0.1, 1.0, size=output.shape)
