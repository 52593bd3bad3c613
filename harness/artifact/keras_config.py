"""A Keras architecture read as data: parsed within limits, then walked without recursion."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from harness.artifact.keras_names import ACTIVATIONS, ACTIVATIONS_SINCE_KERAS_3, LAYERS, MODELS
from harness.artifact.kinds import LambdaLayer, ModelInput
from harness.artifact.text import plural, shown
from harness.worker.tfworker import bytecode

CONFIG_BYTES_LIMIT = 64 << 20
# Real configs nest about four levels for each nested model. Python's own JSON reader gives up near 1,000.
CONFIG_DEPTH_LIMIT = 200
# Each list or dict costs 60 to 230 bytes in Python, up to a hundred times its text.
CONFIG_CONTAINERS_LIMIT = 2_000_000
_WRAPPED = ("layer", "backward_layer", "forward_layer", "cell", "model")


class ConfigError(Exception):
    """The text is no usable architecture; the message completes "the model_config …"."""


def parse_json(text: str | bytes, limit_bytes: int = CONFIG_BYTES_LIMIT) -> Any:
    """Return the parsed JSON.

    Raises:
        ConfigError: it is too large, too deep, not UTF-8 or not JSON.
    """
    if len(text) > limit_bytes:
        raise ConfigError(f"has {len(text):,} bytes, more than the limit of {limit_bytes:,}")
    try:
        decoded = text.decode("utf-8") if isinstance(text, bytes) else text
        containers = decoded.count("{") + decoded.count("[")
        if containers > CONFIG_CONTAINERS_LIMIT:
            raise ConfigError(
                f"has {containers:,} lists and objects, more than the limit of {CONFIG_CONTAINERS_LIMIT:,}"
            )
        value = json.loads(decoded)
    except UnicodeDecodeError as error:
        raise ConfigError(f"is not UTF-8 text: byte {error.start:,} is {error.object[error.start]:#04x}") from error
    except json.JSONDecodeError as error:
        raise ConfigError(f"is not valid JSON: {error.msg} at character {error.pos:,} of {len(decoded):,}") from error
    except RecursionError as error:
        raise ConfigError(f"nests more than {CONFIG_DEPTH_LIMIT} levels deep") from error
    except ValueError as error:  # an integer of more than 4,300 digits
        raise ConfigError("is not valid JSON: a number is too long") from error
    if _deeper_than(value, CONFIG_DEPTH_LIMIT):
        raise ConfigError(f"nests more than {CONFIG_DEPTH_LIMIT} levels deep")
    return value


def parse_architecture(text: str | bytes) -> dict[str, Any]:
    """Return the architecture: a dict with a ``class_name`` and a ``config`` with layers.

    Raises:
        ConfigError: it is no JSON, or JSON of another form.
    """
    value = parse_json(text)
    if isinstance(value, str):  # json.dump(model.to_json(), …) encodes twice; often seen
        value = parse_json(value)
    if not isinstance(value, dict):
        raise ConfigError(f"is a JSON {_json_type(value)}; expected an object with class_name and config")
    if not isinstance(value.get("class_name"), str):
        raise ConfigError("has no class_name")
    if not isinstance(value.get("config"), (dict, list)):
        raise ConfigError(f"has a config of type {_json_type(value.get('config'))}; expected an object or a list")
    return value


def facts(architecture: Mapping[str, Any], keras_version: str | None) -> dict[str, Any]:
    """Return the fields of :class:`Artifact` that an architecture determines."""
    activations = ACTIVATIONS if (keras_version or "").startswith("3") else ACTIVATIONS - ACTIVATIONS_SINCE_KERAS_3
    layers = list(walk_layers(architecture))
    classes = Counter(layer["class_name"] for layer in layers)
    return {
        "class_name": shown(architecture["class_name"]),
        "layer_classes": dict(sorted(classes.items())),
        "custom_classes": tuple(sorted(name for name in classes if name not in LAYERS)),
        "custom_functions": tuple(sorted(_custom_activations(layers, activations))),
        "lambda_layers": tuple(_lambda(layer) for layer in layers if layer["class_name"] == "Lambda"),
        "inputs": tuple(model_inputs(architecture)),
        "notes": tuple(_notes(layers)),
    }


def walk_layers(architecture: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield every layer's own dict in document order: those of nested models and wrapped ones too."""
    stack = list(reversed(_children(architecture)))
    while stack:
        layer = stack.pop()
        yield layer
        stack.extend(reversed(_children(layer)))


def skeleton(architecture: Mapping[str, Any]) -> dict[str, Any]:
    """The architecture with nothing but class names, names and the lists of layers."""
    found = {key: architecture[key] for key in ("class_name", "name") if isinstance(architecture.get(key), str)}
    config = architecture.get("config")
    layers = config.get("layers") if isinstance(config, dict) else config
    inner: Any = [skeleton(layer) for layer in layers if isinstance(layer, dict)] if isinstance(layers, list) else None
    if isinstance(config, dict):
        inner = {"name": layer_name({"config": config}), **({} if inner is None else {"layers": inner})}
    return {**found, "config": {} if inner is None else inner}


def layer_name(layer: Mapping[str, Any]) -> str:
    """Return the layer's name; an empty string if it has none."""
    config = layer.get("config")
    name = layer.get("name") or (config.get("name") if isinstance(config, dict) else None)
    return name if isinstance(name, str) else ""


def model_inputs(architecture: Mapping[str, Any]) -> Iterator[ModelInput]:
    """Yield the inputs of the model: its input layers in order, or the first layer of a Sequential."""
    layers = _children(architecture)
    config = architecture.get("config")
    if isinstance(config, dict) and "input_layers" in config:
        by_name = {layer_name(layer): layer for layer in layers}
        for name in _input_names(config["input_layers"]):
            yield _input(name, by_name.get(name, {}))
        return
    if not layers:
        return
    first = layers[0]
    if first["class_name"] in MODELS and _children(first):
        yield from model_inputs(first)  # as deep as CONFIG_DEPTH_LIMIT allows
    else:
        yield _input(layer_name(first), first)


def _children(node: Mapping[str, Any]) -> list[dict[str, Any]]:
    config = node.get("config")
    if isinstance(config, list):  # Sequential up to Keras 2.2.2: the config is the list of layers
        return [item for item in config if _is_layer(item)]
    if not isinstance(config, dict):
        return []
    wrapped: list[Any] = [config.get(key) for key in _WRAPPED]
    for key in ("layers", "cells"):
        if isinstance(config.get(key), list):
            wrapped.extend(config[key])
    return [item for item in wrapped if _is_layer(item)]


def _is_layer(value: object) -> bool:
    return isinstance(value, dict) and isinstance(value.get("class_name"), str) and "config" in value


def _input_names(value: object) -> Iterator[str]:
    """Yield names from ``[["a", 0, 0], …]``, from the unwrapped ``["a", 0, 0]``, and from a dict of them."""
    if isinstance(value, dict):
        value = list(value.values())
    if not isinstance(value, list) or not value:
        return
    if isinstance(value[0], str):
        yield value[0]
        return
    for entry in value:
        if isinstance(entry, list) and entry and isinstance(entry[0], str):
            yield entry[0]


def _input(name: str, layer: Mapping[str, Any]) -> ModelInput:
    config = layer.get("config")
    config = config if isinstance(config, dict) else {}
    shape = config.get("batch_input_shape", config.get("batch_shape"))
    usable = isinstance(shape, list) and all(size is None or isinstance(size, int) for size in shape)
    dtype = config.get("dtype", config.get("input_dtype"))
    if isinstance(dtype, dict) and isinstance(dtype.get("config"), dict):  # Keras 3 and mixed precision policies
        dtype = dtype["config"].get("name")
    return ModelInput(
        name=name,
        shape=tuple(shape) if usable else None,  # type: ignore[arg-type]
        dtype=dtype if isinstance(dtype, str) else None,
    )


def _lambda(layer: Mapping[str, Any]) -> LambdaLayer:
    config = layer.get("config")
    function = config.get("function") if isinstance(config, dict) else None
    by_name = isinstance(function, str) and config is not None and config.get("function_type") != "lambda"
    if by_name:
        return LambdaLayer(name=layer_name(layer), stored_as="name")
    try:
        family, oldest, newest = bytecode.needs(bytecode.of_config(function))
    except bytecode.NoCode:
        return LambdaLayer(name=layer_name(layer), stored_as="bytecode")
    return LambdaLayer(name=layer_name(layer), stored_as="bytecode", family=family, pythons=(oldest, newest))


def _custom_activations(layers: list[dict[str, Any]], known: frozenset[str]) -> set[str]:
    return {name for layer in layers for name in _activations(layer) if name not in known}


def _activations(layer: Mapping[str, Any]) -> list[str]:
    config = layer["config"] if isinstance(layer["config"], dict) else {}
    keys = ("activation", "recurrent_activation", "inner_activation")  # the last one is Keras 1
    return [config[key] for key in keys if isinstance(config.get(key), str)]


def _notes(layers: list[dict[str, Any]]) -> Iterator[str]:
    hard, bare_gru, cudnn = 0, 0, 0
    for layer in layers:
        config = layer["config"] if isinstance(layer["config"], dict) else {}
        hard += "hard_sigmoid" in _activations(layer)
        bare_gru += layer["class_name"] in ("GRU", "GRUCell") and "reset_after" not in config
        cudnn += layer["class_name"] in ("CuDNNLSTM", "CuDNNGRU")
    if hard:
        yield (
            f"hard_sigmoid in {plural(hard, 'layer')}: it computes differently in Keras 3; "
            "the translation keeps the old formula, a plain load would not."
        )
    if bare_gru:
        yield (
            f"no reset_after in {plural(bare_gru, 'GRU layer')}: that means False in the old version "
            "and would default to True today; the translation writes False."
        )
    if cudnn:
        yield f"cuDNN kernels in {plural(cudnn, 'layer')}: rebuilt as plain LSTM or GRU with reordered weights."


def _deeper_than(value: object, limit: int) -> bool:
    level: list[object] = [value]
    for _ in range(limit):
        containers = (item for item in level if isinstance(item, (dict, list)))
        level = [child for item in containers for child in (item.values() if isinstance(item, dict) else item)]
        if not level:
            return False
    return any(isinstance(item, (dict, list)) for item in level)


def _json_type(value: object) -> str:
    names = {dict: "object", list: "list", str: "string", bool: "boolean", int: "number", float: "number"}
    return names.get(type(value), "null")
