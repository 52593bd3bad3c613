"""Operation ``read_keras3``: a model of Keras 3 (``.keras`` or HDF5), or a ``.keras`` archive of Keras 2, becomes a bundle.

Request: as for ``read_keras_h5``, with ``"source": "in/model.keras"`` or ``"in/model.h5"``.
"""

import json
import os
import zipfile
import zlib
from typing import Any, Dict, List

from . import compat, compat_target, custom, foreign_keras3
from .errors import Refusal
from .foreign_code import Code
from .loading import first_loadable
from .read_keras_h5 import read_attributes
from .write_bundle import file_entry, write_bundle

#: an architecture is a few megabytes at most; archives can be made that unpack to terabytes
CONFIG_BYTES = 64 << 20
_DAMAGE = (zipfile.BadZipFile, zlib.error, KeyError, ValueError, OSError, IOError, NotImplementedError, RuntimeError)


def read_keras3(request: Dict[str, Any], context: Any) -> Dict[str, Any]:
    """Write the bundle and return what ``write_bundle`` does.

    Raises Refusal: source-truncated, layer-unsupported, code-missing, source-not-loadable, source-weights-only,
    model-unsupported, probes-impossible, samples-invalid.
    """
    keras = compat.import_keras(request["flavour"])
    path = request["source"]
    archive = zipfile.is_zipfile(path)
    found = read_archive(path) if archive else read_attributes(path)
    objects = custom.load_objects(request.get("custom_objects"))
    explain = None
    if compat_target.is_keras3(keras):
        foreign_keras3.check(keras, found["config"], objects)
        objects = dict(foreign_keras3.operations(keras, found["config"]), **objects)
    else:
        code = Code(keras, found["config"], objects, request.get("layer_arguments"))
        objects, explain = code.objects, code.explain
    context.step("load the model")

    def make(_: Any) -> Any:
        return compat.load_model(keras, path, objects)

    def weights() -> List[Any]:
        return []  # another spelling would not be read: the archive holds the one that is

    model, _ = first_loadable(keras, found["config"], os.path.basename(path), make, weights, explain)
    kind = "keras_archive" if archive else "keras_h5"
    source = dict(
        file_entry(path, request.get("source_name")), kind=kind, replaced_layers=[], repaired=[], bytecode_run=[]
    )
    source.update(keras_version=found["keras_version"], backend=found["backend"])
    if found["training"]:
        source["left_behind"] = ["the training configuration and the optimizer: compile the model in the target"]
    return write_bundle(
        keras, model, dict(found, source=source, training=None, optimizer_weights=False), request, context
    )


def read_archive(path: str) -> Dict[str, Any]:
    """The JSON members of a ``.keras`` archive: config, training configuration, who wrote it."""
    try:
        with zipfile.ZipFile(path) as archive:
            config, metadata = (_member(archive, name) for name in ("config.json", "metadata.json"))
    except _DAMAGE as error:
        message = "%s cannot be read as a .keras archive: %s" % (os.path.basename(path), error)
        raise Refusal("source-truncated", message)
    version = metadata.get("keras_version")
    training = config.get("compile_config") or None
    return {
        "config": config,
        "training": training,
        "optimizer_weights": False,
        "keras_version": version,
        "backend": None,
    }


def _member(archive: zipfile.ZipFile, name: str) -> Dict[str, Any]:
    with archive.open(name) as stream:
        content = stream.read(CONFIG_BYTES + 1)
    if len(content) > CONFIG_BYTES:
        raise ValueError("%s has more than %d bytes" % (name, CONFIG_BYTES))
    value = json.loads(content.decode("utf-8"))
    if not isinstance(value, dict):
        raise ValueError("%s is no JSON object" % name)
    return value
