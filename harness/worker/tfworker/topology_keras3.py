"""Calls in the config of a Keras 3 model, in the form that ``topology`` gives to those of every Keras.

Keras 3 writes a call as ``{"args": [...], "kwargs": {...}}`` with tensors as objects of the class ``__keras_tensor__``,
and operations such as ``x + 1`` as entries beside the layers. A nested Functional model counts its calls from 0 where
another layer takes its output, and from 1 where the model itself gives it out.
"""

from typing import Any, Dict, List, Optional

#: module of operations that stand in a functional model beside its layers
OPERATIONS = "keras.src.ops."
#: class names that stand for values in a config
_VALUES = ("__keras_tensor__", "__numpy__", "__tensor__", "__slice__", "__ellipsis__", "__bytes__")


class UnknownFormError(ValueError):
    """A call that is of no known form."""


def is_operation(layer: Any) -> bool:
    """Whether an entry is an operation and no layer."""
    return str(layer.get("module") or "").startswith(OPERATIONS)


def is_call(node: Any) -> bool:
    """Whether an inbound node is one of Keras 3."""
    return isinstance(node, dict) and set(node) == {"args", "kwargs"}


def call(node: Dict[str, Any]) -> Dict[str, Any]:
    """``{"inputs", "kwargs"}`` of one call; numbers given by position stand under ``constants``.

    The first states of a recurrent layer stand behind its other inputs, as in the configs of older Keras.

    Raises UnknownFormError.
    """
    inputs, constants = [], {}  # type: List[Any], Dict[str, Any]
    for value in _flat(node["args"]):
        tensor = tensor_of(value)
        if tensor is None:
            constants[str(len(inputs) + len(constants))] = value
        else:
            inputs.append(tensor)
    kwargs = {}
    for key, value in node["kwargs"].items():
        if key == "initial_state" and value is not None:
            inputs += [_needed(tensor_of(state)) for state in _flat(value)]
        elif value is not None:
            kwargs[key] = _plain(value)
    found = {"inputs": inputs, "kwargs": kwargs}
    return dict(found, constants=constants) if constants else found


def _flat(value: Any) -> List[Any]:
    if isinstance(value, (list, tuple)):
        return [item for part in value for item in _flat(part)]
    if isinstance(value, dict) and value.get("class_name") not in _VALUES:
        raise UnknownFormError("a call with a dictionary of tensors")
    return [value]


def _needed(tensor: Optional[List[Any]]) -> List[Any]:
    if tensor is None:
        raise UnknownFormError("a call with constant states")
    return tensor


def _plain(value: Any) -> Any:
    """A named argument, its tensors as references."""
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    tensor = tensor_of(value)
    return value if tensor is None else tensor


def tensor_of(value: Any) -> Optional[List[Any]]:
    """[layer name, call index, output index] of a serialised tensor; None for any other value."""
    if isinstance(value, dict) and value.get("class_name") == "__keras_tensor__":
        name, index, position = value["config"]["keras_history"]
        return [name, index, position]
    return None


def count_outputs_from_zero(graph: Dict[str, Any]) -> None:
    """Count the calls of nested Functional models from 0 among the graph's inputs and outputs too."""
    nested = {layer["name"] for layer in graph["layers"] if layer["class_name"] == "Functional"}
    for tensor in graph["inputs"] + graph["outputs"]:
        if tensor[0] in nested:
            tensor[1] -= 1
