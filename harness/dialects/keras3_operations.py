"""Operations that stand in a Keras 3 model beside its layers, as layers of Keras 2 that compute the same."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

#: operation -> activation of the same meaning
_ACTIVATIONS = {
    "Relu": "relu", "Relu6": "relu6", "Selu": "selu", "Sigmoid": "sigmoid", "Softplus": "softplus", "Tanh": "tanh",
    "Softsign": "softsign", "Silu": "silu", "Exp": "exponential", "HardSigmoid": "hard_sigmoid",
}  # fmt: skip
_MERGES = ("Add", "Subtract", "Multiply", "Maximum", "Minimum")
_MEANS = {"Mean": "GlobalAveragePooling", "Max": "GlobalMaxPooling"}


class UnknownError(Exception):
    """No layer of Keras 2 computes this; the message says why."""


def as_layer(entry: Mapping[str, Any], *, masked: bool) -> tuple[str, dict[str, Any]]:
    """Class and arguments of the layer that takes an operation's place.

    Raises:
        UnknownError: there is none.
    """
    name, config = entry["class_name"], entry["config"] or {}
    if masked:
        raise UnknownError("it takes the mask away, which a layer of Keras 2 hands on")
    for call in entry["calls"]:
        if call.get("constants") or call["kwargs"]:
            raise UnknownError("it computes with numbers that stand in the call")
    specs = [call["input_specs"] for call in entry["calls"]]
    if any(spec != specs[0] for spec in specs):
        raise UnknownError("it is called with inputs of several shapes")
    if name in _ACTIVATIONS:
        return "Activation", {"activation": _ACTIVATIONS[name]}
    if name in _MERGES:
        if len(specs[0]) != 2 or specs[0][0] != specs[0][1]:
            raise UnknownError("its inputs have different shapes or types")
        return name, {}
    if name not in _OTHERS:
        raise UnknownError("Keras 2 has no layer that does the same")
    shapes = [shape for shape, _ in specs[0]]
    return _OTHERS[name](config, shapes)


Made = tuple[str, dict[str, Any]]


def _softmax(config: Mapping[str, Any], shapes: list[list[int | None]]) -> Made:
    if config.get("axis", -1) not in (-1, len(shapes[0]) - 1):
        raise UnknownError("a softmax over another axis than the last")
    return "Activation", {"activation": "softmax"}


def _concatenate(config: Mapping[str, Any], shapes: list[list[int | None]]) -> Made:
    axis = config.get("axis", -1)
    if not isinstance(axis, int) or axis % len(shapes[0]) == 0:
        raise UnknownError("it joins examples")
    return "Concatenate", {"axis": axis}


def _transpose(config: Mapping[str, Any], shapes: list[list[int | None]]) -> Made:
    axes = config.get("axes")
    if not axes or axes[0] != 0 or len(axes) != len(shapes[0]):
        raise UnknownError("it moves the axis of examples")
    return "Permute", {"dims": [int(axis) for axis in axes[1:]]}


def _reshape(config: Mapping[str, Any], shapes: list[list[int | None]]) -> Made:
    return _to(list(config["newshape"]), shapes[0])


def _to(wanted: list[int | None], shape: list[int | None]) -> Made:
    """A Reshape to ``wanted``, batch included, if it leaves every example by itself."""
    known = [size for size in shape[1:] if size is not None]
    rest = [-1 if size is None else size for size in wanted[1:]]
    if wanted[0] not in (-1, None) or len(known) != len(shape) - 1 or -1 in rest or math.prod(rest) != math.prod(known):
        raise UnknownError("it may mix examples")
    return "Reshape", {"target_shape": rest}


def _squeeze(config: Mapping[str, Any], shapes: list[list[int | None]]) -> Made:
    axis, shape = config.get("axis"), shapes[0]
    axes = [axis] if isinstance(axis, int) else list(axis or ())
    gone = {a % len(shape) for a in axes}
    if not gone or 0 in gone:
        raise UnknownError("it may take away the axis of examples")
    return _to([size for index, size in enumerate(shape) if index not in gone], shape)


def _expand(config: Mapping[str, Any], shapes: list[list[int | None]]) -> Made:
    axis, shape = config.get("axis"), shapes[0]
    if not isinstance(axis, int) or axis % (len(shape) + 1) == 0:
        raise UnknownError("it adds an axis before the examples")
    place = axis % (len(shape) + 1)
    return _to([*shape[:place], 1, *shape[place:]], shape)


def _pooled(name: str) -> Callable[[Mapping[str, Any], list[list[int | None]]], Made]:
    def make(config: Mapping[str, Any], shapes: list[list[int | None]]) -> Made:
        rank, axis = len(shapes[0]), config.get("axis")
        axes = sorted(a % rank for a in ([axis] if isinstance(axis, int) else axis or ()))
        if rank not in (3, 4, 5) or axes != list(range(1, rank - 1)) or config.get("keepdims"):
            raise UnknownError("it reduces other axes than those between examples and channels")
        arguments = {} if rank == 3 else {"data_format": "channels_last"}
        return f"{_MEANS[name]}{rank - 2}D", arguments

    return make


_OTHERS: dict[str, Callable[[Mapping[str, Any], list[list[int | None]]], Made]] = {
    "Concatenate": _concatenate,
    "ExpandDims": _expand,
    "Max": _pooled("Max"),
    "Mean": _pooled("Mean"),
    "Reshape": _reshape,
    "Softmax": _softmax,
    "Squeeze": _squeeze,
    "Transpose": _transpose,
}
