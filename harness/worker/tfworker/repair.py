"""Configs that a Keras version writes and cannot read again, spelled so that it can.

Tried only after the plain load has failed; what was respelled stands in the manifest. Measured with TF 1.12:
numpy numbers in configs (``ReLU(max_value=6)``, ``Constant`` of an array) come back as dictionaries, and an
InputLayer at the head of a Sequential is not counted as its input, or left out when the model is saved.
"""

from typing import Any, List, Tuple


def repair(config: Any, stored: Any = ()) -> Tuple[Any, List[str]]:
    """The config in a spelling that old loaders read, and what was changed (empty if nothing was).

    ``stored`` are the file's weights, (layer name, arrays), from which an input that was left out is told.
    """
    notes = []  # type: List[str]
    config = _walk(config, notes)
    _give_input(config, stored, notes)
    return config, sorted(set(notes))


def _walk(value: Any, notes: List[str]) -> Any:
    if isinstance(value, list):
        return [_walk(item, notes) for item in value]
    if not isinstance(value, dict):
        return value
    if value.get("type") == "ndarray" and "value" in value:
        notes.append("numpy values in the configuration written as plain numbers")
        return value["value"]
    out = {key: _walk(item, notes) for key, item in value.items()}
    if out.get("class_name") == "VarianceScaling" and "config" in out:
        if out["config"].get("distribution") == "truncated_normal":
            # Keras's own name; both truncate. TensorFlow's initializers may stand in configs of standalone Keras.
            out["config"]["distribution"] = "normal"
            notes.append("the distribution truncated_normal written as normal, which is truncated as well")
    if out.get("class_name") == "Sequential":
        _drop_input_layer(out, notes)
    return out


#: class -> (axis of its first weight that the input's last axis fits, rank of the input)
_FIRST = {
    "Dense": (0, 2), "Conv1D": (1, 3), "Conv2D": (2, 4), "Conv3D": (3, 5), "SeparableConv1D": (1, 3),
    "SeparableConv2D": (2, 4), "LSTM": (0, 3), "GRU": (0, 3), "SimpleRNN": (0, 3), "Convolution1D": (1, 3),
    "Convolution2D": (2, 4), "Embedding": (None, 2),
}  # fmt: skip
#: layers that may stand before the first one with weights and hand its input on
_SAME_SHAPE = (
    "Dropout",
    "Activation",
    "GaussianNoise",
    "GaussianDropout",
    "AlphaDropout",
    "Masking",
    "ReLU",
    "LeakyReLU",
)


def _give_input(config: Any, stored: Any, notes: List[str]) -> None:
    """Tell the input of a Sequential without any from the first weight: the size of its features, free otherwise."""
    if not isinstance(config, dict) or config.get("class_name") != "Sequential" or not stored:
        return
    layers = config["config"] if isinstance(config["config"], list) else config["config"].get("layers", [])
    if not layers or not isinstance(layers[0].get("config"), dict) or "batch_input_shape" in layers[0]["config"]:
        return
    first = next((entry for entry in layers if entry.get("class_name") not in _SAME_SHAPE), None)
    if first is None or first["class_name"] not in _FIRST or first["config"].get("data_format") == "channels_first":
        return
    axis, rank = _FIRST[first["class_name"]]
    shape = [None] * rank  # type: List[Any]
    kernel = stored[0][1][0]
    if axis is not None:
        shape[-1] = int(kernel.shape[axis])
        layers[0]["config"]["dtype"] = str(kernel.dtype)
    layers[0]["config"]["batch_input_shape"] = shape
    notes.append("the input, which the file left out, told from the weights of %s: %s" % (stored[0][0], shape))


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
