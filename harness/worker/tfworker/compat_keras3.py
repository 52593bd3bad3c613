"""Where a live model of Keras 3 keeps its calls, values and states; every other Keras is in ``compat``."""

from typing import Any, Callable, Dict, Iterator, List


def is_model(model: Any) -> bool:
    """Whether a model, or the functional model inside a Sequential, is one of Keras 3."""
    return hasattr(functional(model), "operations")


def functional(model: Any) -> Any:
    """The functional model that a Sequential has inside; any other model itself."""
    return getattr(model, "_functional", None) or model


def load(keras: Any, path: str, custom_objects: Dict[str, Any]) -> Any:
    """The model in a file, without its training configuration; nothing stored as code is run."""
    return keras.saving.load_model(path, custom_objects=custom_objects, compile=False, safe_mode=True)


def operations(model: Any) -> List[Any]:
    """The operations that stand in a model beside its layers."""
    layers = list(model.layers)
    return [part for part in functional(model).operations if not any(part is layer for layer in layers)]


def nodes(model: Any, layer: Any) -> List[Any]:
    """The calls of ``layer`` that belong to ``model``, in the order in which its config counts them."""
    own = {id(node) for level in functional(model)._nodes_by_depth.values() for node in level}
    return [node for node in layer._inbound_nodes if id(node) in own]


def node_inputs(node: Any) -> List[Any]:
    """Input tensors of one call, nested as it was given them; masks are none of them."""
    given = [value for key, value in node.arguments.kwargs.items() if not key.endswith("mask")]
    return [list(node.arguments.args), given]


def names(tensors: List[Any]) -> List[str]:
    """How the layers are called that give symbolic tensors."""
    return [tensor._keras_history[0].name for tensor in tensors]


def evaluator(keras: Any, inputs: List[Any], tensors: List[Any]) -> Callable[[List[Any]], Any]:
    """A function from arrays for ``inputs`` to the values of ``tensors``, in the inference phase."""
    model = keras.Model(list(inputs), list(tensors))
    return lambda arrays: model(list(arrays), training=False)


def values(variables: List[Any]) -> Iterator[Any]:
    """Arrays of variables, in order."""
    return (variable.numpy() for variable in variables)


def is_stateful(model: Any) -> bool:
    """Whether any layer keeps its state from call to call."""
    return any(getattr(layer, "stateful", False) for layer in model._flatten_layers())
