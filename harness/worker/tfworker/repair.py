"""Configs that a Keras version writes and cannot read again, spelled so that it can.

Tried only after the plain load has failed; what was respelled stands in the manifest. Measured with TF 1.12:
numpy numbers in configs (``ReLU(max_value=6)``, ``Constant`` of an array) come back as dictionaries, and an
InputLayer at the head of a Sequential is not counted as its input.
"""

from typing import Any, List, Tuple


def repair(config: Any) -> Tuple[Any, List[str]]:
    """The config in a spelling that old loaders read, and what was changed (empty if nothing was)."""
    notes = []  # type: List[str]
    return _walk(config, notes), sorted(set(notes))


def _walk(value: Any, notes: List[str]) -> Any:
    if isinstance(value, list):
        return [_walk(item, notes) for item in value]
    if not isinstance(value, dict):
        return value
    if value.get("type") == "ndarray" and "value" in value:
        notes.append("numpy values in the configuration written as plain numbers")
        return value["value"]
    out = {key: _walk(item, notes) for key, item in value.items()}
    if out.get("class_name") == "Sequential":
        _drop_input_layer(out, notes)
    return out


def restore_axes(config: Any) -> Any:
    """The config with the axes of BatchNormalization over virtual batches as they were given.

    Building such a layer counts its axes on by one, in place; ``get_config`` writes the result, which would be
    counted on again. Axes are a list once the layer is built, and only then.
    """
    if isinstance(config, list):
        return [restore_axes(item) for item in config]
    if not isinstance(config, dict):
        return config
    out = {key: restore_axes(item) for key, item in config.items()}
    if out.get("virtual_batch_size") is not None and isinstance(out.get("axis"), list):
        out["axis"] = [axis - 1 for axis in out["axis"]]
    return out


def _drop_input_layer(entry: Any, notes: List[str]) -> None:
    layers = entry["config"] if isinstance(entry["config"], list) else entry["config"].get("layers", [])
    if len(layers) > 1 and layers[0].get("class_name") == "InputLayer" and isinstance(layers[1].get("config"), dict):
        head = layers.pop(0)["config"]
        layers[0]["config"].setdefault("batch_input_shape", head.get("batch_input_shape"))
        layers[0]["config"].setdefault("dtype", head.get("dtype"))
        notes.append("the input layer of a Sequential written as its first layer's batch_input_shape")
