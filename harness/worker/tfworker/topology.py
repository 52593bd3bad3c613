"""The graph of a Keras model as plain data, read from its config (no TensorFlow needed).

Every Keras writes the same facts in slightly different shapes. Here they become one::

    graph  = {"name", "kind": "sequential" | "functional", "layers": [layer ...],
              "inputs": [tensor ...], "outputs": [tensor ...]}
    layer  = {"name", "class_name", "config", "calls": [call ...], "graph": graph of a nested model, else absent}
    call   = {"inputs": [tensor ...], "kwargs": {name: value}}      a layer called twice has two calls; functions of
             TensorFlow may have "constants" too: {position among the inputs: number}; operations of Keras 3 also
             have "module"
    tensor = [layer name, call index, index among the call's outputs]

An input layer has one call without inputs. A sequential graph is spelled out the same way, so whoever
walks a graph needs one loop only. Call indices count from 0 for nested models too; Keras 2 counts those
from 1, because the nested model's own creation is its node 0.
"""

from typing import Any, Dict, List, Optional

from . import topology_keras3

Graph = Dict[str, Any]
Tensor = List[Any]


class TopologyError(ValueError):
    """The config is not one of a Sequential or Functional model."""


MODEL_CLASSES = ("Sequential", "Model", "Functional")


def is_model(class_name: str, config: Any) -> bool:
    """Whether a config is that of a nested Sequential or Functional model (and not of a subclass without one)."""
    if class_name == "Sequential":
        return isinstance(config, list) or (isinstance(config, dict) and "layers" in config)
    return class_name in MODEL_CLASSES and isinstance(config, dict) and "input_layers" in config


def parse(class_name: str, config: Any, name: Optional[str] = None) -> Graph:
    """The graph of a model's ``class_name`` and ``config`` as written by Keras 2 and 3.

    Raises TopologyError for anything that is neither Sequential nor Functional.
    """
    if not is_model(class_name, config):
        raise TopologyError("%s is neither a Sequential nor a Functional model" % class_name)
    if class_name == "Sequential":
        return _sequential(config, name)
    return _functional(config, name)


def _layer(name: str, class_name: str, config: Any) -> Dict[str, Any]:
    layer = {"name": name, "class_name": class_name, "config": config, "calls": []}
    if is_model(class_name, config):
        layer["graph"] = parse(class_name, config, name)
    return layer


def _sequential(config: Any, name: Optional[str]) -> Graph:
    entries = config if isinstance(config, list) else config["layers"]
    if isinstance(config, dict):
        name = config.get("name", name)
    layers = []
    for index, entry in enumerate(entries):
        inner = entry["config"]
        inner_name = inner.get("name") if isinstance(inner, dict) else None
        layers.append(_layer(inner_name or "layer_%d" % index, entry["class_name"], inner))
    if not layers:
        raise TopologyError("the Sequential model %r has no layers" % name)
    if layers[0]["class_name"] != "InputLayer":
        layers.insert(0, {"name": None, "class_name": "InputLayer", "config": {}, "calls": []})
    layers[0]["calls"] = [{"inputs": [], "kwargs": {}}]
    for before, layer in zip(layers, layers[1:]):
        layer["calls"] = [{"inputs": [[before["name"], 0, 0]], "kwargs": {}}]
    ends = [[layers[0]["name"], 0, 0]], [[layers[-1]["name"], 0, 0]]
    return {"name": name or "sequential", "kind": "sequential", "layers": layers, "inputs": ends[0], "outputs": ends[1]}


def asks_for_states(value: Any) -> bool:
    """Whether any layer of a graph, wrapped or nested ones too, was asked to carry its states from batch to batch."""
    if isinstance(value, list):
        return any(asks_for_states(item) for item in value)
    if isinstance(value, dict):
        return value.get("stateful") is True or any(asks_for_states(item) for item in value.values())
    return False


def name_sequential_input(graph: Graph, name: str, config: Dict[str, Any]) -> None:
    """Give the input that a Sequential config leaves out its name and config (from the live model)."""
    first = graph["layers"][0]
    if first["name"] is None:
        first["name"], first["config"] = name, dict(config, name=name)
        graph["inputs"] = [[name, 0, 0]]
        if len(graph["layers"]) > 1:
            graph["layers"][1]["calls"][0]["inputs"] = [[name, 0, 0]]


def _functional(config: Dict[str, Any], name: Optional[str]) -> Graph:
    layers = []
    for entry in config["layers"]:
        layer = _layer(entry["name"], entry["class_name"], entry["config"])
        if any(isinstance(node, dict) and not topology_keras3.is_call(node) for node in entry["inbound_nodes"]):
            message = "the layer %r (%s) takes its inputs by name, as feature columns do; export the model as a SavedModel in "
            message += "its own TensorFlow and migrate that, or put numeric inputs in the place of the layer"
            raise TopologyError(message % (entry["name"], entry["class_name"]))
        if topology_keras3.is_operation(entry):
            layer["module"] = entry["module"]
        layer["calls"] = [_call(node) for node in entry["inbound_nodes"]] or [{"inputs": [], "kwargs": {}}]
        layers.append(layer)
    graph = {
        "name": config.get("name") or name or "model",
        "kind": "functional",
        "layers": layers,
        "inputs": _tensors(config["input_layers"]),
        "outputs": _tensors(config["output_layers"]),
    }
    if any(topology_keras3.is_call(node) for entry in config["layers"] for node in entry["inbound_nodes"]):
        topology_keras3.count_outputs_from_zero(graph)
    else:
        _count_nested_calls_from_zero(graph)
    _check(graph)
    return graph


def _is_tensor(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and len(value) >= 3 and isinstance(value[0], str) and _ints(value[1:3])


def _ints(values: Any) -> bool:
    return all(isinstance(v, int) and not isinstance(v, bool) for v in values)


def _tensors(value: Any) -> List[Tensor]:
    """Tensors of ``input_layers``: a list of them, or one alone, unwrapped."""
    if _is_tensor(value):
        return [list(value[:3])]
    if isinstance(value, dict):
        return [list(value[key][:3]) for key in value]
    return [tensor for item in value for tensor in _tensors(item)]


def _call(node: Any) -> Dict[str, Any]:
    if topology_keras3.is_call(node):
        try:
            return topology_keras3.call(node)
        except topology_keras3.UnknownFormError as error:
            raise TopologyError(str(error))
    if _is_tensor(node):  # TF 2.x writes a one-input node unwrapped
        node = [node]
    if _is_constant(node):
        node = [node]
    inputs, kwargs, constants = [], {}, {}  # type: List[Tensor], Dict[str, Any], Dict[str, Any]
    for position, item in enumerate(node):
        if _is_constant(item):
            constants[str(position)] = item[2]
            kwargs.update(item[3] if len(item) > 3 else {})
            continue
        if not _is_tensor(item):
            raise TopologyError("inbound node %r is of no known form" % (item,))
        inputs.append(list(item[:3]))
        if len(item) > 3 and item[3]:
            kwargs.update(item[3])
    call = {"inputs": inputs, "kwargs": kwargs}
    return dict(call, constants=constants) if constants else call


def _is_constant(item: Any) -> bool:
    """Whether TF 2.x wrote a number where a function of TensorFlow takes a tensor."""
    return isinstance(item, (list, tuple)) and len(item) >= 3 and item[0] == "_CONSTANT_VALUE" and item[1] == -1


def _references(graph: Graph) -> List[Tensor]:
    found = graph["inputs"] + graph["outputs"]
    for layer in graph["layers"]:
        for call in layer["calls"]:
            found = found + call["inputs"] + [v for k in call["kwargs"].values() for v in tensors_of(k)]
    return found


def tensors_of(value: Any) -> List[Tensor]:
    """The tensors in nested lists of arguments, in order."""
    if _is_tensor(value):
        return [value]
    if isinstance(value, (list, tuple)):
        return [t for item in value for t in tensors_of(item)]
    return []


def _count_nested_calls_from_zero(graph: Graph) -> None:
    nested = {layer["name"] for layer in graph["layers"] if "graph" in layer}
    references = _references(graph)
    for name in nested:
        mine = [r for r in references if r[0] == name]
        if mine and all(r[1] >= 1 for r in mine):
            for reference in {id(r): r for r in mine}.values():
                reference[1] -= 1


def _check(graph: Graph) -> None:
    calls = {layer["name"]: len(layer["calls"]) for layer in graph["layers"]}
    if len(calls) != len(graph["layers"]):
        raise TopologyError("two layers of %r have the same name" % graph["name"])
    for name, call, _ in _references(graph):
        if call >= calls.get(name, 0):
            raise TopologyError(
                "%r refers to call %d of the layer %r, which is not there" % (graph["name"], call, name)
            )


def schedule(graph: Graph) -> List[Any]:
    """(layer, call index) pairs in an order in which every call's inputs are already made.

    Raises TopologyError for a cycle.
    """
    pending = [(layer, index) for layer in graph["layers"] for index in range(len(layer["calls"]))]
    made, order = set(), []  # type: Any, List[Any]
    while pending:
        waiting = []
        for layer, index in pending:
            call = layer["calls"][index]
            needs = call["inputs"] + tensors_of(list(call["kwargs"].values()))
            earlier = index == 0 or (layer["name"], index - 1) in made
            if earlier and all((n[0], n[1]) in made for n in needs):
                made.add((layer["name"], index))
                order.append((layer, index))
            else:
                waiting.append((layer, index))
        if len(waiting) == len(pending):
            raise TopologyError(
                "the layers %s wait for each other" % ", ".join(sorted({w[0]["name"] for w in waiting}))
            )
        pending = waiting
    return order


def leaves(graph: Graph, path: Any = ()) -> List[Any]:
    """(path, layer) of every layer that is no nested model, depth first; the path is a tuple of layer names."""
    found = []
    for layer in graph["layers"]:
        here = tuple(path) + (layer["name"],)
        if "graph" in layer:
            found.extend(leaves(layer["graph"], here))
        else:
            found.append((here, layer))
    return found
