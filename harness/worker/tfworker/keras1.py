"""Configs of Keras 1 that Keras 2 no longer understands, spelled in its own layers. The rest Keras 2 converts itself.

Measured with files of Keras 1.2.2: Keras 2.2 gives an Embedding the integer type of its input, and knows neither
``Merge`` nor ``TimeDistributedDense`` nor ``AtrousConvolution``. What is not listed here is left as it is, and is
refused by name when it is loaded.
"""

from typing import Any, Dict, List, Optional, Tuple

_MERGES = {"sum": "Add", "mul": "Multiply", "ave": "Average", "max": "Maximum", "concat": "Concatenate", "dot": "Dot"}
_ATROUS = {"AtrousConvolution1D": "Convolution1D", "AtrousConvolution2D": "Convolution2D"}


def respell(config: Any, keras_version: Any) -> Tuple[Any, List[str]]:
    """The config as Keras 2 reads it, and what was respelled; untouched unless a Keras 1 wrote it (without a version)."""
    notes = []  # type: List[str]
    if keras_version is not None and not str(keras_version).startswith("1."):
        return config, notes
    return _walk(config, notes), sorted(set(notes))


def _walk(value: Any, notes: List[str]) -> Any:
    if isinstance(value, list):
        return [_walk(item, notes) for item in value]
    if not isinstance(value, dict):
        return value
    entry = {key: _walk(item, notes) for key, item in value.items()}
    name, config = entry.get("class_name"), entry.get("config")
    if name == "Sequential" and isinstance(config, list):
        return _functional(entry, notes) or entry
    if not isinstance(config, dict):
        return entry
    if name == "Embedding" and "input_dtype" in config:
        config.pop("input_dtype")
    elif name == "Merge" and "layers" not in config:
        return _merge(entry, notes)
    elif name == "TimeDistributedDense":
        entry["class_name"] = "Dense"
        config.pop("input_length", None)
        notes.append("TimeDistributedDense as Dense, which does the same to every step")
    elif name in _ATROUS:
        entry["class_name"] = _ATROUS[name]
        config["dilation_rate"] = config.pop("atrous_rate")
        notes.append("%s as %s with dilation_rate" % (name, _ATROUS[name]))
    return entry


def _merge(entry: Dict[str, Any], notes: List[str]) -> Dict[str, Any]:
    """Merge as the layer of its mode; modes that are code or have no such layer stay."""
    old = entry["config"]
    if old.get("mode") not in _MERGES or old.get("mode_type", "raw") != "raw":
        return entry
    config = {"name": old.get("name")}  # type: Dict[str, Any]
    if old["mode"] == "concat":
        config["axis"] = old.get("concat_axis", -1)
    if old["mode"] == "dot":
        axes = old.get("dot_axes", -1)
        config["axes"] = [a[0] if isinstance(a, list) else a for a in axes] if isinstance(axes, list) else axes
    notes.append("Merge of mode %s as %s" % (old["mode"], _MERGES[old["mode"]]))
    return dict(entry, class_name=_MERGES[old["mode"]], config=config)


def _functional(entry: Dict[str, Any], notes: List[str]) -> Optional[Dict[str, Any]]:
    """A Sequential that begins with a Merge of others, as the Functional model that it is; None for any other."""
    first = entry["config"][0] if entry["config"] else {}
    if first.get("class_name") != "Merge" or "layers" not in first.get("config", {}):
        return None
    layers, inputs = [], []  # type: List[Dict[str, Any]], List[Any]
    end = _chain(entry["config"], layers, inputs, notes)
    names = [layer["name"] for layer in layers]
    if end is None or len(set(names)) < len(names):
        return None
    notes.append("a Sequential over a Merge as a Functional model")
    config = {"name": "model_1", "layers": layers, "input_layers": inputs, "output_layers": [[end, 0, 0]]}
    return dict(entry, class_name="Model", config=config)


def _chain(entries: List[Any], layers: List[Dict[str, Any]], inputs: List[Any], notes: List[str]) -> Optional[str]:
    """Add one chain of layers with all that is merged into it; its last layer, or None if it cannot be followed."""
    before = []  # type: List[str]
    for index, entry in enumerate(entries):
        config = dict(entry["config"]) if isinstance(entry.get("config"), dict) else None
        if config is None or not config.get("name"):
            return None
        if index == 0 and entry["class_name"] == "Merge" and "layers" in config:
            branches = config.pop("layers")
            if any(b.get("class_name") != "Sequential" or not isinstance(b.get("config"), list) for b in branches):
                return None
            ends = [_chain(branch["config"], layers, inputs, notes) for branch in branches]
            if None in ends:
                return None
            before = [str(end) for end in ends]
            entry = _merge({"class_name": "Merge", "config": config}, notes)
            config = entry["config"]
        elif index == 0:
            shape = config.pop("batch_input_shape", None)
            if shape is None:
                return None
            name = "%s_input" % config["name"]
            dtype = config.pop("input_dtype", None) or "float32"
            given = {"batch_input_shape": shape, "dtype": dtype, "sparse": False, "name": name}
            layers.append({"name": name, "class_name": "InputLayer", "config": given, "inbound_nodes": []})
            inputs.append([name, 0, 0])
            before = [name]
        node = [[source, 0, 0] for source in before]
        layers.append(
            {"name": config["name"], "class_name": entry["class_name"], "config": config, "inbound_nodes": [node]}
        )
        before = [config["name"]]
    return before[0] if before else None
