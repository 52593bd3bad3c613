"""Operation ``read_keras_h5``: a whole-model HDF5 file, loaded by the Keras of this environment, becomes a bundle.

Request: ``{"op": "read_keras_h5", "source": "in/model.h5", "bundle": "out/bundle", "flavour": "tf.keras",
"dialect": "tf1.15", "samples": "in/samples.npz" or null, "layer_budget": bytes,
"custom_objects": "in/custom_objects.py" or null, "layer_arguments": {layer or class: {argument: value}} or null}``
"""

import json
import os
from typing import Any, Dict

import h5py

from . import channels, compat, compat_graph, cpu, custom, keras1
from .errors import Refusal
from .foreign_code import Code
from .h5_weights import read_weights, text
from .loading import first_loadable, whole_model
from .repair import restore_axes
from .write_bundle import file_entry, write_bundle


def read_keras_h5(request: Dict[str, Any], context: Any) -> Dict[str, Any]:
    """Write the bundle and return what ``write_bundle`` does.

    Raises Refusal: layer-unsupported, source-not-loadable, source-weights-only, model-unsupported,
    probes-impossible, samples-invalid.
    """
    keras = compat.import_keras(request["flavour"])
    path = request["source"]
    found = read_attributes(path)
    spelled, respelled = keras1.respell(found["config"], found["keras_version"])
    code = Code(keras, spelled, custom.load_objects(request.get("custom_objects")), request.get("layer_arguments"))
    compat_graph.resource_variables(compat.import_tensorflow(), bool(code.layers))
    context.step("load the model")
    transposed = channels.transpose_on_cpu(keras)
    config, replaced = cpu.rewrite(restore_axes(code.config))
    what = os.path.basename(path)

    def make(chosen: Any) -> Any:
        return whole_model(keras, path, found, chosen, code.objects)

    model, repaired = first_loadable(
        keras, config, what, make, lambda: list(read_weights(path)["layers"]), code.explain
    )
    source = dict(file_entry(path, request.get("source_name")), kind="keras_h5", replaced_layers=replaced + transposed)
    source["repaired"] = respelled + repaired
    source["bytecode_run"] = code.ran
    found["source"] = dict(source, keras_version=found["keras_version"], backend=found["backend"])
    return write_bundle(keras, model, found, request, context)


def read_attributes(path: str) -> Dict[str, Any]:
    """The JSON attributes of a whole-model file: config, training configuration, who wrote it."""
    try:
        with h5py.File(path, "r") as h5:
            attributes = {key: text(h5.attrs.get(key)) for key in ("keras_version", "backend")}
            if "model_config" not in h5.attrs:
                raise Refusal("source-weights-only", "%s has no model_config attribute" % os.path.basename(path))
            config = json.loads(text(h5.attrs["model_config"]))
            training = json.loads(text(h5.attrs["training_config"])) if "training_config" in h5.attrs else None
            optimizer = "optimizer_weights" in h5
    except (OSError, IOError) as error:
        raise Refusal("source-truncated", "%s cannot be read as HDF5: %s" % (os.path.basename(path), error))
    return dict(attributes, config=config, training=training, optimizer_weights=optimizer)
