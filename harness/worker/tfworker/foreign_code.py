"""Layers made of code: found in a config before anything is loaded, and prepared for loading.

What the file does not hold (classes, named functions) must be supplied; what it holds as bytecode is unmarshalled by
Keras itself, in this environment only, and only if this Python is of the family that wrote it.
"""

import copy
import sys
from typing import Any, Dict, Iterator, List, Tuple

from . import bytecode, compat, custom
from .errors import Refusal

REMEDY = "Put them into a Python file and give it with --custom-objects FILE.py; its classes and functions are found by name."


def entries(entry: Any, where: str) -> Iterator[Tuple[str, Dict[str, Any]]]:
    """(layer, its own dict) of every layer config in a nested config, wrappers' inner layers included."""
    if not isinstance(entry, dict):
        return
    config = entry.get("config")
    if not (isinstance(entry.get("class_name"), str) and isinstance(config, (dict, list))):
        return
    here = entry.get("name") or (config.get("name") if isinstance(config, dict) else None) or where
    yield here, entry
    inner = config.get("layers") if isinstance(config, dict) else config
    inner = list(inner) if isinstance(inner, list) else []
    if isinstance(config, dict):
        inner += [config.get(key) for key in ("layer", "backward_layer", "cell")]
        inner += config["cells"] if isinstance(config.get("cells"), list) else []
    for item in inner:
        for found in entries(item, here):
            yield found


def _merges_by_code(entry: Any) -> List[Any]:
    if isinstance(entry, list):
        return [name for item in entry for name in _merges_by_code(item)]
    if not isinstance(entry, dict):
        return []
    found = [name for value in entry.values() for name in _merges_by_code(value)]
    config = entry.get("config")
    if entry.get("class_name") == "Merge" and isinstance(config, dict):
        kinds = [config.get(key, "raw") for key in ("mode_type", "output_shape_type", "output_mask_type")]
        found += [config.get("name", "merge")] if set(kinds) != {"raw"} else []
    return found


class Code:
    """The code that a model is made of.

    Attributes: ``config``, to be loaded; ``objects``, to be loaded with; ``layers``, names of the layers made of code;
    ``ran``, names of those whose bytecode is run.
    """

    def __init__(self, keras: Any, config: Any, objects: Dict[str, Any], arguments: Any = None) -> None:
        self.keras, self.config, self.objects = keras, copy.deepcopy(config), dict(objects)
        self.known = compat.known_layers(keras)
        self.classes, self.functions = {}, {}  # type: Dict[str, List[str]], Dict[str, List[str]]
        self.unreadable = []  # type: List[str]
        self.layers, self.ran = [], []  # type: List[str], List[str]
        self.names = {}  # type: Dict[str, List[str]]
        found = list(entries(self.config, "the model"))
        for name, entry in found:
            self._supply(name, entry, arguments or {})
            self._look(name, entry)
        built_in = [(name, entry) for name, entry in found if entry["class_name"] not in self.objects]
        gaps = [gap for name, entry in built_in for gap in compat.unsaved_arguments(name, entry)]
        gaps += custom.constructor_gaps(self.objects, [(n, e["class_name"], e["config"]) for n, e in found])
        self._refuse(gaps)
        if self.ran:
            self.objects = dict(custom.names_for_lambdas(keras), **self.objects)

    def _supply(self, name: str, entry: Dict[str, Any], arguments: Dict[str, Any]) -> None:
        for key in (entry["class_name"], name):
            if key in arguments and isinstance(entry["config"], dict):
                entry["config"].update(arguments[key])

    def _look(self, name: str, entry: Dict[str, Any]) -> None:
        class_name, config = entry["class_name"], entry["config"]
        if class_name in self.objects:
            self.layers.append(name)
        elif class_name not in self.known or compat.is_namesake(entry):
            self.classes.setdefault(class_name, []).append(name)
        if class_name == "Lambda":
            self.layers.append(name)
            self._lambda(name, config)
        for key in ("activation", "recurrent_activation") if isinstance(config, dict) else ():
            self._activation(name, key, config)

    def _activation(self, name: str, key: str, config: Dict[str, Any]) -> None:
        value = config.get(key)
        if not isinstance(value, str) or hasattr(self.keras.activations, value):
            return
        if value in compat.activation_functions():
            return
        own = "%s_%s" % (name, key)
        if own in self.objects:
            config[key] = own
        elif value not in self.objects:
            self.functions.setdefault(value if value.isidentifier() else own, []).append("the %s of %s" % (key, name))
            return
        self.layers.append(name)

    def _lambda(self, name: str, config: Dict[str, Any]) -> None:
        if callable(self.objects.get(name)):
            config.update(function=name, function_type="function")
            for key in ("output_shape", "mask"):
                if config.get(key + "_type") == "lambda":
                    config.update({key: None, key + "_type": "raw"})
            return
        function = config.get("function")
        if config.get("function_type") == "function" or isinstance(function, str):
            if function not in self.objects:
                self.functions.setdefault(str(function), []).append(name)
            return
        for key in ("function", "output_shape", "mask"):
            if key == "function" or config.get(key + "_type") == "lambda":
                self._bytecode(name, key, config.get(key))
        self.ran.append(name)

    def _bytecode(self, name: str, key: str, function: Any) -> None:
        try:
            raw = bytecode.of_config(function)
            found = bytecode.describe(raw)
            family, oldest, newest = bytecode.needs(raw)
        except bytecode.NoCode as error:
            self.unreadable.append("%s (class Lambda): its %s is no Python bytecode: %s" % (name, key, error))
            return
        self.names.setdefault(name, []).extend(found["names"])
        if not oldest <= sys.version_info[:2] <= newest:
            self.unreadable.append(
                "%s (class Lambda): its %s is bytecode of Python %s, which Python %d.%d here cannot read. "
                "It is a function of (%s); the names it uses: %s; its constants: %s"
                % (
                    (name, key, family)
                    + tuple(sys.version_info[:2])
                    + (
                        ", ".join(found["arguments"]),
                        ", ".join(found["names"]) or "none",
                        ", ".join(found["constants"]),
                    )
                )
            )

    def _refuse(self, gaps: List[str]) -> None:
        details = []  # type: List[str]
        for class_name, users in sorted(self.classes.items()):
            details += ["%s (class %s): no source for this class" % (name, class_name) for name in users]
        for function, users in sorted(self.functions.items()):
            details += ["%s: no source for the function %s" % (name, function) for name in users]
        details += self.unreadable
        # The Merge of Keras 1 may hold functions as bytecode too (mode, output_shape, output_mask).
        details += ["%s (class Merge): its Python bytecode is not run" % n for n in _merges_by_code(self.config)]
        if details:
            wanted = dict(self.functions)
            wanted.update({line.split(" (class")[0]: ["the Lambda"] for line in self.unreadable})
            message = "%d layers are made of code that the file does not carry in a usable form" % len(details)
            remedy = "\n".join([REMEDY + " To be filled in:", ""] + custom.stub(self.classes, wanted))
            raise Refusal("code-missing", message, details, remedy)
        if gaps:
            message = "%d layers were saved without the arguments that made them" % len(gaps)
            raise Refusal("code-missing", message, gaps, custom.ARGUMENTS % gaps[0].split(" (class")[0])

    def explain(self, error: BaseException) -> List[str]:
        """What a failed load says about names that a Lambda takes from the module around it."""
        text = str(error)
        if "is not defined" not in text:
            return []
        missing = text.split("'")[1] if text.count("'") >= 2 else ""
        users = [name for name, names in self.names.items() if missing in names]
        return ["%s (class Lambda): it uses the name %r, which is not in the file" % (u, missing) for u in users]


def without_code(config: Any) -> Any:
    """A config as found, with what is bytecode replaced by what is known of it."""
    if isinstance(config, list):
        return [without_code(item) for item in config]
    if not isinstance(config, dict):
        return config
    out = {key: without_code(value) for key, value in config.items()}
    for key in ("function", "output_shape", "mask", "mode", "output_mask"):
        if config.get(key + "_type") == "lambda":
            out[key] = summary(config[key])
    return out


def summary(function: Any) -> Dict[str, Any]:
    """What can be said of a function that was stored as bytecode, without the bytecode."""
    try:
        return {"bytecode": bytecode.describe(bytecode.of_config(function))}
    except bytecode.NoCode as error:
        return {"bytecode": None, "reason": str(error)}
