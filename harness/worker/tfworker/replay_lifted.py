"""Operation ``replay_lifted``: load a lifted model as any user would, run the probes of its signature, and take gradients.

Request: ``{"op": "replay_lifted", "model": "in/model.keras", "bundle": "in/bundle", "plan": "in/lift.json",
"outputs": "out/outputs.npz", "index": "out/outputs.json", "knees": null or {"reach"}, "front": "in/front" or absent}``

The plan holds ``signature``, ``inputs`` and ``outputs`` (arguments in the order of the model's own), and ``weights``
(array -> ``layer``, ``role``, ``transforms``, ``variable``, ``parts``: [variable, array] of what is joined to it), ``nodes`` (layer -> the nodes that it stands for). Runs in a process of its own that has built nothing and in which
no custom object is registered, unless the plan says that parts are ``carried``. Gradients are given in the layout of the
source, under the bundle's own names. What comes before the model, a SavedModel whose signature is ``front`` of the plan, turns
the inputs of the probes into those of the model. With ``knees`` gradients are taken with units on the knee of their activation held to the
source's side (see the module of that name).
"""

import os
from typing import Any, Dict, List

import numpy as np

from . import carried, compat, transforms
from .arrays import ArrayReader, ArrayWriter
from .build_model import layer_at
from .errors import Refusal
from .files import read_json, write_json
from .graphs.names import arguments
from .knees import Held
from .replay_graph import typed
from .roles import digests_of, roles_of


def replay_lifted(request: Dict[str, Any], context: Any) -> Dict[str, Any]:
    """Write outputs and gradients under the bundle's own array names; return what else was seen of the model."""
    tf, keras = compat.import_tensorflow(), compat.import_keras("keras3")
    manifest, plan = read_json(os.path.join(request["bundle"], "manifest.json")), read_json(request["plan"])
    reader = ArrayReader(request["bundle"], manifest["arrays"])
    if plan.get("carried"):
        carried.register(keras)
    context.step("load the lifted model")
    try:
        model = keras.models.load_model(request["model"], compile=False)
    except Exception as error:
        what = "%s: %s" % (type(error).__name__, str(error).strip()[:2000])
        raise Refusal(
            "model-not-loadable", "Keras %s cannot load the lifted model" % compat.keras_version(keras), [what]
        )
    variables = _variables(model, plan)
    entries = []  # type: List[Dict[str, Any]]
    context.step("replay the probes")
    sets = [row for row in manifest["probes"]["sets"] if row["signature"] == plan["signature"]]
    held = Held.of(tf, request.get("knees"), sets, reader)
    before = tf.saved_model.load(request["front"]).signatures["serving_default"] if plan.get("front") else None
    replay = _Replay(tf, model, manifest["model"], plan, variables, reader, before)
    with ArrayWriter(request["outputs"]) as writer, held.in_graphs(), held.in_model(model, plan["nodes"]):
        for probe_set in sets:
            held.use(probe_set)
            replay.run(probe_set, writer, entries)
    write_json(request["index"], {"arrays": entries})
    return {
        "versions": compat.versions(keras),
        "digests": digests_of(keras, model),
        "trainable": {array: bool(variable.trainable) for array, variable in variables.items()},
        "knees": held.moved,
        "parameters": int(model.count_params()),
        "layers": [[layer.name, type(layer).__module__.split(".")[0]] for layer in model.layers],
    }


def _variables(model: Any, plan: Dict[str, Any]) -> Dict[str, Any]:
    """Array -> the variable that holds it."""
    found = {}  # type: Dict[str, Any]
    for array, row in plan["weights"].items():
        roles = dict(roles_of(layer_at(model, row["layer"])))
        found[array] = roles[row["role"]]
    return found


class _Replay(object):
    def __init__(
        self, tf: Any, model: Any, described: Any, plan: Any, variables: Any, reader: ArrayReader, before: Any
    ) -> None:
        self.before = before
        self.tf, self.model, self.plan, self.variables, self.reader = tf, model, plan, variables, reader
        self.signature = described["signatures"][plan["signature"]]
        self.shapes = {row["array"]: row["shape"] for row in described["variables"]}

    def run(self, probe_set: Any, writer: ArrayWriter, entries: List[Any]) -> None:
        """Outputs of one probe set and, where they were recorded, gradients."""
        given = self._given(probe_set)
        made = self._outputs(given)
        for name, array in probe_set["outputs"].items():
            entries.append(writer.add(array, np.asarray(made[name].numpy())))
        if probe_set.get("gradients"):
            self._gradients(probe_set, given, writer, entries)

    def _given(self, probe_set: Any) -> List[Any]:
        """The model's inputs, in order."""
        found = {}
        for name, where in probe_set["inputs"].items():
            array = typed(self.tf, self.reader.get(where), self.signature["inputs"][name]["dtype"])
            found[name] = self.tf.constant(array)
        if self.before is not None:
            called = arguments(self.plan["front"]["inputs"])
            found.update(self.before(**{called[name]: found[name] for name in self.plan["front"]["inputs"]}))
        return [found[name] for name in self.plan["inputs"]]

    def _outputs(self, given: List[Any]) -> Dict[str, Any]:
        made = self.model(given[0] if len(given) == 1 else given, training=False)
        return dict(zip(self.plan["outputs"], made if isinstance(made, (list, tuple)) else [made]))

    def _gradients(self, probe_set: Any, given: List[Any], writer: ArrayWriter, entries: List[Any]) -> None:
        asked, tf = probe_set["gradients"], self.tf
        weights = {row["variable"]: array for array, row in self.plan["weights"].items()}
        weights.update({name: a for a, row in self.plan["weights"].items() for name, _ in row["parts"]})
        by = [name for name in asked["by"] if name in weights and self.variables[weights[name]].trainable]
        names = sorted(asked["cotangents"])
        cotangents = [tf.constant(self.reader.get(asked["cotangents"][name])) for name in names]
        with tf.GradientTape() as tape:
            made = self._outputs(given)
        found = tape.gradient(
            [made[name] for name in names],
            [self.variables[weights[name]].value for name in by],
            output_gradients=cotangents,
        )
        for name, gradient in zip(by, found):
            if gradient is not None:
                gradient = tf.convert_to_tensor(gradient).numpy()
                value = _as_in_source(gradient, weights[name], self.plan["weights"][weights[name]], self.shapes)[name]
                where = asked["by"][name]
                where = where or "probe/%s/%s/gradients/%s" % (probe_set["signature"], probe_set["name"], name)
                entries.append(writer.add(where, value))


def _as_in_source(gradient: Any, array: str, row: Any, shapes: Dict[str, Any]) -> Dict[str, Any]:
    """Variable -> the gradient in the order in which the source has its elements; transforms only move and join them."""
    indices, start = {}, 0  # type: Dict[str, Any], int
    held = [(row["variable"], array)] + [(name, part) for name, part in row["parts"]]
    for _, name in held:
        size = int(np.prod(shapes[name], dtype=np.int64))
        indices[name] = np.arange(start, start + size).reshape(shapes[name])
        start += size
    steps = [dict(step, value=indices[step["array"]]) if "array" in step else step for step in row["transforms"]]
    out = np.empty(start, dtype=gradient.dtype)
    out[transforms.apply(indices[array], steps).ravel()] = gradient.ravel()
    return {variable: out[indices[name]] for variable, name in held}
