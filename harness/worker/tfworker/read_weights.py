"""Operation ``read_weights``: weights that stand alone, in any of their formats, become named arrays.

Request: ``{"op": "read_weights", "sources": [{"path": "in/0.npy", "name": "kernel.npy", "format": "npy"}, ...],
"out": "out/weights", "flavour": ...}``

``out`` is a folder with ``weights.npz`` and ``weights.json``: ``sources``; ``tensors``, index entries with ``layer``
(names of layers from the outside, or null where the format does not tell), ``index`` (place among the layer's
weights, or null) and ``leaf`` (the last part of the name, or null); ``skipped``, what is no weight, with the reason;
``keras_version`` and ``backend`` as found, or null.
"""

import os
from typing import Any, Dict

from . import weight_files, weight_formats
from .arrays import ArrayWriter
from .errors import Refusal
from .files import write_json
from .write_bundle import file_entry

FORMATS = {
    "npy": weight_formats.npy,
    "npz": weight_formats.npz,
    "pickle": weight_formats.pickled,
    "safetensors": weight_formats.safetensors,
    "hdf5": weight_files.hdf5,
    "checkpoint": weight_files.checkpoint,
}
#: arrays in one set of weights
LIMIT = 100000


def read_weights(request: Dict[str, Any], context: Any) -> Dict[str, Any]:
    """Write the folder and return ``{"tensors", "skipped"}``, how many there are.

    Raises Refusal: pickle-refused, source-truncated, source-unsupported-format.
    """
    os.makedirs(request["out"])
    described = {"sources": [], "skipped": [], "keras_version": None, "backend": None}  # type: Dict[str, Any]
    entries, names = [], set()  # type: Any
    with ArrayWriter(os.path.join(request["out"], "weights.npz")) as writer:
        for source in request["sources"]:
            context.step("read %s" % source["name"])
            if os.path.isfile(source["path"]):
                described["sources"].append(dict(file_entry(source["path"], source["name"]), kind=source["format"]))
            for found in FORMATS[source["format"]](source["path"], source["name"]):
                if isinstance(found, weight_formats.Skipped):
                    described["skipped"].append({"name": found.name, "reason": found.reason})
                elif isinstance(found, weight_formats.Writer):
                    described.update(keras_version=found.keras_version, backend=found.backend)
                else:
                    if found.name in names or len(names) >= LIMIT:
                        why = "two arrays named %s" % found.name if found.name in names else "%d arrays or more" % LIMIT
                        raise Refusal("source-unsupported-format", "%s holds %s" % (source["name"], why))
                    names.add(found.name)
                    entry = writer.add(found.name, found.array, found.dtype)
                    entries.append(dict(entry, layer=found.layer, index=found.index, leaf=found.leaf))
    if not entries:
        raise Refusal("source-unsupported-format", "there are no arrays in %s" % request["sources"][0]["name"])
    write_json(os.path.join(request["out"], "weights.json"), dict(described, tensors=entries))
    return {"tensors": len(entries), "skipped": len(described["skipped"])}
