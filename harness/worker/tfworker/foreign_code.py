"""Layers made of code: found in a config before anything is loaded, because loading them would run it."""

from typing import Any, List

from . import compat
from .errors import Refusal


def _classes(entry: Any, where: str) -> List[Any]:
    """(class name, layer) of every layer config in a nested config, wrappers' inner layers included."""
    found = []
    if isinstance(entry, dict):
        config = entry.get("config")
        if isinstance(entry.get("class_name"), str) and isinstance(config, (dict, list)):
            here = entry.get("name") or (config.get("name") if isinstance(config, dict) else None) or where
            found.append((entry["class_name"], here))
            inner = config.get("layers") if isinstance(config, dict) else config
            for item in inner or []:
                found.extend(_classes(item, here))
            for key in ("layer", "backward_layer") if isinstance(config, dict) else ():
                found.extend(_classes(config.get(key), here))
    return found


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


def refuse_foreign_code(keras: Any, config: Any) -> None:
    """Raise Refusal layer-unsupported, with every layer whose code is not part of this Keras."""
    known = compat.known_layers(keras)
    classes = _classes(config, "the model")
    details = ["%s (class %s): no source for this class" % (n, c) for c, n in classes if c not in known]
    # Loading a Lambda runs code from the file; nothing is run that is going to be refused anyway.
    details += ["%s (class Lambda): its Python bytecode is not run" % n for c, n in classes if c == "Lambda"]
    # The Merge of Keras 1 may hold functions as bytecode too (mode, output_shape, output_mask).
    details += ["%s (class Merge): its Python bytecode is not run" % n for n in _merges_by_code(config)]
    if details:
        raise Refusal(
            "layer-unsupported",
            "%d layers are made of code that the file does not carry in a usable form" % len(details),
            details,
            "Rebuild the model without them, or replace them by built-in layers, and save it again.",
        )
