"""Operation ``replay``: load a saved model as any user would, and run every probe of a bundle through it.

Request: ``{"op": "replay", "flavour": "keras3" | "tf.keras" | "tf_keras", "model": "in/model.keras",
"format": "keras" | "h5" | "saved_model", "bundle": "in/bundle",
"outputs": "out/outputs.npz", "index": "out/outputs.json", "layers": true, "renamed": [[path, name], ...], "eager": false,
"objects": "in/target_objects.py" or none}``

``eager`` calls the model itself instead of ``predict_on_batch``, which traces a graph for every model and batch size:
for the matrix of many small models. A migration is proved with what users call, ``predict_on_batch``. ``double`` names
the file for what the model gives in float64, where the bundle has that (``replay_exact``); ``beside`` the ``.keras`` file that is built in
float64 and exported again for that, because functions keep their type. ``configs`` asks for the configs of the recorded layers.

Runs in a process of its own that has built nothing; the only custom objects in it are those of the file ``objects``.
"""

import os
from typing import Any, Dict, List

import numpy as np

from . import carried, channels, compat, compat_target, exact, from_source, live_configs, noise, replay_exact
from .arrays import ArrayReader, ArrayWriter
from .errors import Refusal
from .files import read_json, write_json
from .roles import digests_of


def replay(request: Dict[str, Any], context: Any) -> Dict[str, Any]:
    """Write the model's outputs for every probe set, and its layers' outputs for the recorded one."""
    keras = compat.import_keras(request["flavour"])
    manifest = read_json(os.path.join(request["bundle"], "manifest.json"))
    reader = ArrayReader(request["bundle"], manifest["arrays"])
    carries = "carried-layers" in manifest["required_features"] and not compat_target.has_sessions()
    if carries and request["format"] != "saved_model":
        carried.register(keras)
    context.step("load the saved model")
    compat_target.start(keras)
    transposed = channels.transpose_on_cpu(keras)
    model = _attempt(keras, request, compat_target.load, request["format"], from_source.load(request))
    # Random numbers are handed to layers call by call, which a traced graph would not take anew.
    draws = any(row.get("noise") for row in manifest["probes"]["sets"])
    eager = bool(request.get("eager")) or draws
    if draws and request["format"] == "saved_model":
        message = "a SavedModel draws its own random numbers, so its outputs cannot be compared"
        raise Refusal(
            "outputs-random", message, remedy="Use `--format keras`, which is proved with the source's numbers."
        )
    if request["format"] == "saved_model":
        run = served(_attempt(keras, request, compat_target.serving, model), manifest["model"], model)
    else:
        run = runner(keras, model, manifest["model"], eager)
    # Before anything runs: a layer that is called with training=True changes its statistics.
    digests = digests_of(keras, model) if model is not None else None
    entries, missing = [], []  # type: List[Dict[str, Any]], List[Any]
    renamed = Renamed(request.get("renamed", ()))
    with ArrayWriter(request["outputs"]) as writer:
        context.step("replay the probes")
        for probe_set in manifest["probes"]["sets"]:
            if not probe_set.get("continues"):
                _reset(model)
            noise.give(model, renamed.here, probe_set, reader)
            outputs = run([reader.get(name) for name in probe_set["inputs"]])
            for index, value in enumerate(outputs):
                entries.append(writer.add("probe/%s/outputs/%d" % (probe_set["name"], index), np.asarray(value)))
        if request.get("layers") and model is not None:
            context.step("replay the layers")
            layers = Layers(keras, manifest, reader, writer, entries, eager, renamed)
            entries, missing = layers.replay(model)
    found = {}  # type: Dict[str, Any]
    if request.get("configs") and model is not None:
        found = live_configs.configs(model, manifest["probes"]["layers"]["records"], renamed.here)
    told = None
    if request.get("beside"):  # what a SavedModel's functions were made of
        model = _attempt(
            keras, dict(request, model=request["beside"]), compat_target.load, "keras", from_source.load(request)
        )
    if request.get("double") and model is not None and not draws:
        context.step("compute it in float64")
        told, more = replay_exact.replay_exact(keras, model, manifest, reader, request)
        entries += more
    write_json(request["index"], {"arrays": entries})
    return {
        "versions": compat.versions(keras),
        "outputs": len(entries),
        "layers_missing": missing,
        "digests": digests,
        "transposed": transposed,
        "double": told,
        "configs": found,
    }


def _attempt(keras: Any, request: Dict[str, Any], load: Any, *arguments: Any) -> Any:
    path = request["model"]
    try:
        return load(keras, path, *arguments)
    except Exception as error:
        raise Refusal(
            "model-not-loadable",
            "Keras %s cannot load %s" % (compat.keras_version(keras), os.path.basename(path)),
            ["%s: %s" % (type(error).__name__, str(error).strip()[:2000])],
        )


def runner(keras: Any, model: Any, described: Dict[str, Any], eager: bool) -> Any:
    def run(arrays: List[Any]) -> List[Any]:
        return _predict(keras, model, _arguments(model, described, arrays), eager)

    return run


def _predict(keras: Any, model: Any, arguments: Any, eager: bool) -> List[Any]:
    """Outputs as a list, also where Keras hands over a list of one unwrapped."""
    compat_target.forget_dropout(keras, model)
    outputs = compat_target.predict(keras, model, arguments, eager)
    return list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]


def _reset(model: Any) -> None:
    if model is not None:  # a SavedModel of Keras 3 has functions only, which start from the saved state
        compat.reset_states(model)


def _arguments(model: Any, described: Dict[str, Any], arrays: List[Any]) -> Any:
    """The probe's arrays as the model takes them."""
    arrays = _ordered(model, described, arrays)
    return arrays[0] if len(arrays) == 1 else arrays


def _ordered(model: Any, described: Dict[str, Any], arrays: List[Any]) -> List[Any]:
    """Arrays in the order of the model's own inputs, matched by name where the names agree."""
    names = [spec["name"] for spec in described["inputs"]]
    own = compat_target.input_names(model)
    if len(own) != len(names):
        raise Refusal(
            "weights-mismatch", "the model has %d inputs, the bundle %d" % (len(own), len(names)), own + names
        )
    if sorted(own) == sorted(names):
        return [arrays[names.index(name)] for name in own]
    return list(arrays)


def served(serve: Any, described: Dict[str, Any], model: Any) -> Any:
    tf = compat.import_tensorflow()
    dtypes = [spec["dtype"] for spec in described["inputs"]]

    def run(arrays: List[Any]) -> List[Any]:
        tensors = [tf.constant(np.asarray(a), dtype=d) for a, d in zip(arrays, dtypes)]
        return [o.numpy() for o in serve(tensors if model is None else _ordered(model, described, tensors))]

    return run


class Renamed:
    """Where layers of the source stand in a model whose Keras allows fewer names."""

    def __init__(self, renamed: Any) -> None:
        self.names = {tuple(path): name for path, name in renamed}

    def here(self, path: List[str]) -> List[str]:
        """The path in this model."""
        return [self.names.get(tuple(path[: i + 1]), name) for i, name in enumerate(path)]


class Layers:
    """Outputs of the loaded model's layers, for the layer calls that the bundle recorded."""

    def __init__(
        self,
        keras: Any,
        manifest: Any,
        reader: ArrayReader,
        writer: ArrayWriter,
        entries: List[Any],
        eager: bool,
        renamed: Renamed,
    ) -> None:
        self.keras, self.reader, self.writer, self.entries, self.eager = keras, reader, writer, entries, eager
        self.described, self.probes = manifest["model"], manifest["probes"]
        self._here = renamed.here
        self.missing = []  # type: List[str]

    def replay(self, model: Any) -> Any:
        first = next(s for s in self.probes["sets"] if s["name"] == self.probes["layers"]["set"])
        arrays = [self.reader.get(name) for name in first["inputs"]]
        noise.give(model, self._here, first, self.reader)
        self._graph(model, (), _arguments(model, self.described, arrays))
        for nested in self.probes["layers"]["nested_inputs"]:
            try:
                inner = model
                for name in self._here(nested["path"]):
                    inner = inner.get_layer(name)
            except ValueError:
                self.missing.append("/".join(nested["path"]))
                continue
            arrays = [self.reader.get(name) for name in nested["arrays"]]
            self._graph(inner, tuple(nested["path"]), arrays[0] if len(arrays) == 1 else arrays)
        return self.entries, self.missing

    def _graph(self, model: Any, path: Any, arguments: Any) -> None:
        wanted, tensors = [], []  # type: List[Any], List[Any]
        for record in self.probes["layers"]["records"]:
            if tuple(record["path"][:-1]) == path:
                tensor = self._tensor(model, record)
                if tensor is None:
                    self.missing.append("/".join(record["path"]))
                else:
                    wanted.append(record)
                    tensors.append(tensor)
        if not tensors:
            return
        of = dict(zip([record["array"] for record in wanted], tensors))
        for group in exact.groups(wanted):
            _reset(model)
            together = [of[record["array"]] for record in group]
            values = compat_target.layer_outputs(self.keras, model, together, arguments, self.eager)
            for record, value in zip(group, values):
                value = np.asarray(value)
                stored = value if record["stride"] == 1 else value.reshape(-1)[:: record["stride"]]
                self.entries.append(dict(self.writer.add(record["array"], stored), full_shape=list(value.shape)))

    def _tensor(self, model: Any, record: Dict[str, Any]) -> Any:
        try:
            layer = model.get_layer(self._here(record["path"])[-1])
        except ValueError:
            return None
        nodes = [node for node in layer._inbound_nodes if _belongs(model, node)]
        outputs = compat.node_outputs(nodes[record["call"]]) if record["call"] < len(nodes) else []
        return outputs[record["tensor"]] if record["tensor"] < len(outputs) else None


def _belongs(model: Any, node: Any) -> bool:
    functional = getattr(model, "_functional", None) or model  # a Sequential holds its graph inside
    return any(node is own for nodes in functional._nodes_by_depth.values() for own in nodes)
