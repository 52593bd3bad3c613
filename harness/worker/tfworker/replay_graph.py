"""Operation ``replay_graph``: load a SavedModel as any user would, run every probe of a bundle, and take gradients.

Request: ``{"op": "replay_graph", "model": "in/saved_model", "bundle": "in/bundle", "outputs": "out/outputs.npz",
"index": "out/outputs.json", "knees": null or {"reach"}}``

Runs in a process of its own that has built nothing; ``tf.saved_model.load`` and nothing else. With ``knees`` gradients are taken
with units on the knee of their activation held to the source's side (see the module of that name).
"""

import os
from typing import Any, Dict, List

import numpy as np

from . import compat
from .arrays import ArrayReader, ArrayWriter, sha256_array
from .errors import Refusal
from .files import read_json, write_json
from .graphs.names import arguments
from .knees import Held


def replay_graph(request: Dict[str, Any], context: Any) -> Dict[str, Any]:
    """Write outputs and gradients under the bundle's own array names; return what else was seen of the model."""
    tf = compat.import_tensorflow()
    manifest = read_json(os.path.join(request["bundle"], "manifest.json"))
    reader = ArrayReader(request["bundle"], manifest["arrays"])
    context.step("load the saved model")
    try:
        loaded = tf.saved_model.load(request["model"])
    except Exception as error:
        what = "%s: %s" % (type(error).__name__, str(error).strip()[:2000])
        raise Refusal("model-not-loadable", "TensorFlow %s cannot load the SavedModel" % tf.__version__, [what])
    findings = _signatures(loaded, request["model"], manifest["model"])
    variables = {variable.name.split(":")[0]: variable for variable in getattr(loaded, "variables", ())}
    entries, held = [], {}  # type: List[Dict[str, Any]], Dict[str, Held]
    context.step("replay the probes")
    with ArrayWriter(request["outputs"]) as writer:
        for key, sets in _by_signature(manifest["probes"]["sets"]):
            if key in loaded.signatures:
                held[key] = Held.of(tf, request.get("knees"), sets, reader)
                with held[key].in_graphs():
                    for probe_set in sets:
                        held[key].use(probe_set)
                        _replay(tf, loaded, manifest["model"], probe_set, variables, reader, writer, entries)
    write_json(request["index"], {"arrays": entries})
    return {
        "versions": compat.versions(compat.import_keras("keras3")),
        "findings": findings,
        "digests": [[name, sha256_array(v.numpy())] for name, v in variables.items()],
        "trainable": sorted(name for name, v in variables.items() if v.trainable),
        "knees": [row for one in held.values() for row in one.moved],
    }


def _by_signature(sets: List[Dict[str, Any]]) -> List[Any]:
    keys = list(dict.fromkeys(probe_set["signature"] for probe_set in sets))
    return [(key, [row for row in sets if row["signature"] == key]) for key in keys]


def _signatures(loaded: Any, path: str, model: Dict[str, Any]) -> List[str]:
    """How the signatures that a server reads differ from those of the source: a sentence each."""
    found, served = [], _served(path)  # type: List[str], Any
    for key, signature in model["signatures"].items():
        if key not in loaded.signatures:
            found.append("the signature %s is missing" % key)
            continue
        inputs, outputs = sorted(served[key].inputs), sorted(served[key].outputs)
        for kind, have, want in (("inputs", inputs, signature["inputs"]), ("outputs", outputs, signature["outputs"])):
            if have != sorted(want):
                found.append("%s of %s: expected %s, found %s" % (kind, key, sorted(want), have))
    return found


def _served(path: str) -> Any:
    from tensorflow.core.protobuf import saved_model_pb2

    message = saved_model_pb2.SavedModel()
    with open(os.path.join(path, "saved_model.pb"), "rb") as stream:
        message.ParseFromString(stream.read())
    return message.meta_graphs[0].signature_def


def _replay(
    tf: Any, loaded: Any, model: Any, probe_set: Any, variables: Any, reader: Any, writer: Any, entries: Any
) -> None:
    function = loaded.signatures[probe_set["signature"]]
    signature = model["signatures"][probe_set["signature"]]
    given, called = {}, arguments(signature["inputs"])
    for name, array in probe_set["inputs"].items():
        given[called[name]] = tf.constant(typed(tf, reader.get(array), signature["inputs"][name]["dtype"]))
    asked = probe_set.get("gradients")
    if not asked:
        _keep(function(**given), probe_set, writer, entries)
        return
    with tf.GradientTape() as tape:
        outputs = function(**given)
    _keep(outputs, probe_set, writer, entries)
    by = [name for name in asked["by"] if name in variables]
    names = [name for name in asked["cotangents"] if name in outputs]
    weights = [tf.constant(reader.get(asked["cotangents"][name])) for name in names]
    found = tape.gradient([outputs[name] for name in names], [variables[name] for name in by], output_gradients=weights)
    for name, gradient in zip(by, found):
        where = asked["by"][name] or "probe/%s/%s/gradients/%s" % (probe_set["signature"], probe_set["name"], name)
        if gradient is not None:
            entries.append(writer.add(where, _array(tf.convert_to_tensor(gradient))))


def _keep(outputs: Any, probe_set: Any, writer: Any, entries: Any) -> None:
    for name, array in probe_set["outputs"].items():
        if name in outputs:
            entries.append(writer.add(array, _array(outputs[name])))


def typed(tf: Any, array: Any, dtype: str) -> Any:
    """An array of the bundle as TensorFlow takes it: types that numpy lacks are stored as integers."""
    kind = tf.as_dtype(dtype).as_numpy_dtype
    if array.dtype != object and array.dtype != kind:
        array = array.view(kind)
    return array


def _array(tensor: Any) -> Any:
    return np.asarray(tensor.numpy())
