"""Layers made of code in TensorFlow 2: traced like those of TensorFlow 1 (see ``carry``), into a graph of their own.

A model has no graph there. Its layers are called inside a function graph instead, which captures what comes from outside:
handles of variables become the variables of the traced graph, values become constants.
"""

import contextlib
from typing import Any, Dict, Iterator, List

from . import carry, compat_graph, compat_keras3
from .errors import Refusal


class EagerCarrier(carry.Carrier):
    """A :class:`carry.Carrier` for models that run eagerly."""

    def __init__(self, keras: Any, model: Any, bundle: str) -> None:
        super(EagerCarrier, self).__init__(keras, model, bundle)
        self._graph = compat_graph.function_graph("carried")

    def carry(self, layers: List[Any]) -> None:
        """As in :class:`carry.Carrier`. Raises Refusal layer-unsupported for layers of Keras 3 too."""
        if compat_keras3.is_model(self.model):
            message = "layers made of code are recorded in Keras 1 and 2 only; %d of this model are" % len(layers)
            details = ["%s (class %s)" % ("/".join(path), entry["class_name"]) for path, entry, _ in layers]
            raise Refusal("layer-unsupported", message, details, carry.REFUSED)
        super(EagerCarrier, self).carry(layers)

    @contextlib.contextmanager
    def _tracing(self) -> Iterator[None]:
        with self._graph.as_default():
            yield

    def _graph_def(self) -> Any:
        graph_def = self._graph.as_graph_def()
        captured = {inner.op.name: outer for outer, inner in compat_graph.captures(self._graph)}
        variables = self._captured()
        for node in graph_def.node:
            if node.name in variables:
                self._as_variable(node, variables[node.name])
            elif node.name in captured:
                self._as_constant(node, captured[node.name])
        return graph_def

    def _captured(self) -> Dict[str, Any]:
        """Node -> the variable whose handle it stands for."""
        handles = {id(variable.handle): variable for variable in self.model.weights}
        found = compat_graph.captures(self._graph)
        return {inner.op.name: handles[id(outer)] for outer, inner in found if id(outer) in handles}

    def _as_variable(self, node: Any, variable: Any) -> None:
        node.op = "VarHandleOp"
        node.attr.clear()
        node.attr["dtype"].type = variable.dtype.as_datatype_enum
        node.attr["shape"].shape.CopyFrom(variable.shape.as_proto())

    def _as_constant(self, node: Any, value: Any) -> None:
        if value.dtype in (self.tf.resource, self.tf.variant):
            raise Refusal("model-unsupported", "a layer made of code uses a resource that is no weight of the model")
        node.op = "Const"
        node.attr.clear()
        node.attr["dtype"].type = value.dtype.as_datatype_enum
        node.attr["value"].tensor.CopyFrom(self.tf.make_tensor_proto(value.numpy(), value.dtype))

    def _input(self, tensor: Any) -> Any:
        return compat_graph.placeholder_like(self.tf, tensor, self._name())

    def _updates(self, live: Any) -> List[Any]:
        return [op for op in self._graph.get_operations() if op.type.startswith("Assign") and "Variable" in op.type]

    def _weights(self, live: Any) -> compat_graph.Weights:
        return _Weights(self.tf, live, self._captured())

    def _source(self, variable: Any) -> Any:
        return self._graph.capture(variable.handle)


class _Weights(compat_graph.Weights):
    """Weights of an eager layer; the traced graph knows them by the nodes that captured their handles."""

    def __init__(self, tf: Any, live: Any, captured: Dict[str, Any]) -> None:
        self._captured = {name: id(variable) for name, variable in captured.items()}
        super(_Weights, self).__init__(tf, live)

    def key_of(self, variable: Any) -> Any:
        return id(variable)

    def name_of(self, variable: Any) -> str:
        return str(variable.name).split(":")[0]

    def role(self, name: str) -> str:
        key = self._captured.get(name)
        if key not in self._roles:
            raise Refusal("model-unsupported", "it uses a weight of another layer, or one that the file does not hold")
        return self._roles[key]
