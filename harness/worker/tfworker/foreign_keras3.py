"""What in the config of a Keras 3 model is code, found before anything is loaded.

Keras 3 names the module of every object. What lies in ``keras`` is built in; all else is a class or function of the
author's, which must be supplied. Lambdas hold bytecode, some layers wrap programs of other libraries: those are refused.
"""

import importlib
from typing import Any, Dict, Iterator, Tuple

from . import compat
from .custom import stub
from .errors import Refusal
from .foreign_code import REMEDY

#: built-in layers whose computation is code or a file that they name
_CODE = ("Lambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer")
_REPLACE = "Replace these layers by built-in ones in the source model, and save it again."


def check(keras: Any, config: Any, objects: Dict[str, Any]) -> None:
    """Refuse a model that holds code, or lacks some.

    Raises Refusal: layer-unsupported (code in the file), code-missing (names that ``objects`` does not have).
    """
    known, found = compat.known_layers(keras), list(_objects(config, "the model"))
    held = ["%s (class %s): it holds code" % (where, entry["class_name"]) for where, entry in found if _is_code(entry)]
    if held:
        message = "%d layers hold code, which Keras 3 files are not trusted with" % len(held)
        raise Refusal("layer-unsupported", message, held, _REPLACE)
    classes, functions = {}, {}  # type: Dict[str, List[str]], Dict[str, List[str]]
    for where, entry in found:
        name, is_function = _name(entry), entry["class_name"] == "function"
        if name.split(">")[-1] in objects or _is_built_in(keras, entry, known):
            continue
        (functions if is_function else classes).setdefault(name.split(">")[-1], []).append(where)
    if classes or functions:
        details = ["%s (class %s): no source for this class" % (w, n) for n in sorted(classes) for w in classes[n]]
        details += ["%s: no source for the function %s" % (w, n) for n in sorted(functions) for w in functions[n]]
        message = "%d layers are made of code that the file does not carry in a usable form" % len(details)
        lines = stub(classes, functions)
        raise Refusal("code-missing", message, details, "\n".join([REMEDY + " To be filled in:", ""] + lines))


def operations(keras: Any, config: Any) -> Dict[str, Any]:
    """Operations that an HDF5 file names like layers, such as those that compute masks; Keras does not find them there."""
    known, found = compat.known_layers(keras), {}  # type: Any, Dict[str, Any]
    for _, entry in _objects(config, ""):
        if "module" not in entry and entry["class_name"] not in known:
            for name in ("numpy", "nn", "math", "core"):
                made = getattr(importlib.import_module("keras.src.ops." + name), entry["class_name"], None)
                if isinstance(made, type) and issubclass(made, keras.Operation):
                    found[entry["class_name"]] = made
    return found


def _objects(value: Any, where: str) -> Iterator[Tuple[str, Dict[str, Any]]]:
    """(layer, object) of every serialised object in a config; tensors and numbers are none."""
    if isinstance(value, (list, tuple)):
        for item in value:
            for found in _objects(item, where):
                yield found
    elif isinstance(value, dict):
        if isinstance(value.get("class_name"), str) and "config" in value:
            inner = value["config"] if isinstance(value["config"], dict) else {}
            if "layer" in str(value.get("module", "layer")) or "name" in value:
                where = str(value.get("name") or inner.get("name") or where)
            if value["class_name"] == "__lambda__" or not value["class_name"].startswith("__"):
                yield where, value
        for item in value.values():
            for found in _objects(item, where):
                yield found


def _is_code(entry: Dict[str, Any]) -> bool:
    own = "module" not in entry or str(entry["module"]).split(".")[0] == "keras"
    return entry["class_name"] == "__lambda__" or (own and entry["class_name"] in _CODE)


def _name(entry: Dict[str, Any]) -> str:
    if entry["class_name"] == "function":
        return str(entry["config"])
    return str(entry.get("registered_name") or entry["class_name"])


def _is_built_in(keras: Any, entry: Dict[str, Any], known: Any) -> bool:
    if "module" not in entry:  # an HDF5 file names the class only
        return not _is_layer(entry) or entry["class_name"] in known
    module = str(entry["module"] or "")
    if entry["class_name"] == "function":
        places = (keras.activations, keras.initializers, keras.ops)
        return module in ("builtins", "keras") and any(hasattr(place, str(entry["config"])) for place in places)
    own = module == "keras" or module.startswith("keras.")
    return own and entry.get("registered_name") in (None, entry["class_name"])


def _is_layer(entry: Dict[str, Any]) -> bool:
    """Whether an object without a module is a layer: initializers, regularizers and policies have other keys."""
    config = entry["config"]
    return isinstance(config, dict) and "name" in config and ("trainable" in config or "batch_shape" in config)
