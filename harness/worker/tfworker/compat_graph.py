"""Differences between versions in how a Keras layer adds itself to a TensorFlow 1 graph (see ``carry``)."""

import contextlib
import re
import sys
from typing import Any, Callable, Dict, Iterator, List, Tuple

from . import compat
from .errors import Refusal
from .roles import below


@contextlib.contextmanager
def functional_control_flow(tf: Any) -> Iterator[None]:
    """Loops and conditions as functions, where this TensorFlow can: only those run in a tf.function with gradients."""
    v1 = getattr(tf.compat, "v1", tf)
    able = hasattr(v1, "enable_control_flow_v2") and not tf.__version__.startswith("1.12")
    if able:
        v1.enable_control_flow_v2()
    swish = tf.nn.swish
    if not able:
        # A function whose gradient is another function, which today's TensorFlow does not look up; this is its formula.
        tf.nn.swish = lambda features, name=None: features * tf.sigmoid(features, name=name)
    try:
        yield
    finally:
        tf.nn.swish = swish
        if able:
            v1.disable_control_flow_v2()


def function_graph(name: str) -> Any:
    """A graph of TensorFlow 2 that captures what its operations take from outside."""
    from tensorflow.python.framework.func_graph import FuncGraph

    return FuncGraph(name)


def captures(graph: Any) -> List[Any]:
    """(tensor from outside, placeholder that stands for it) of a function graph."""
    return list(graph.captures)


def resource_variables(tf: Any, wanted: bool) -> None:
    """Make the variables of models loaded from now on resources: graphs with references do not run today."""
    v1 = getattr(tf.compat, "v1", tf)
    if hasattr(v1, "disable_resource_variables"):
        (v1.enable_resource_variables if wanted else v1.disable_resource_variables)()


def _node_list(live: Any) -> Any:
    return live._inbound_nodes if hasattr(live, "_inbound_nodes") else live.inbound_nodes


def calls(live: Any) -> int:
    """How often a layer has been called so far."""
    return len(_node_list(live))


def forget_calls(live: Any, count: int) -> None:
    """Leave the first ``count`` calls of a layer only."""
    del _node_list(live)[count:]


def updates(live: Any) -> List[Any]:
    """Operations that a layer runs with every training step."""
    return list(live.updates or [])


def operation_of(update: Any) -> Any:
    """The operation of an update: an operation, a tensor, or a pair of variable and new value."""
    if isinstance(update, tuple):
        update = compat.import_tensorflow().compat.v1.assign(*update)
    return getattr(update, "op", update)


def call_inputs(node: Any) -> List[Any]:
    """The tensors of a call's first argument; those of other arguments are no inputs, though TF 2.2 and later count them."""
    if hasattr(node, "call_args"):
        return [t for t in compat.flatten(node.call_args[0]) if hasattr(t, "_keras_history")]
    return compat.node_inputs(node)


def node_masks(node: Any) -> List[Any]:
    """The mask of each input of a call, or None."""
    tensors = call_inputs(node)
    own = getattr(node, "input_masks", None)  # standalone Keras keeps masks with calls, tf.keras with tensors
    if own:
        return [own[i] if i < len(own) else None for i in range(len(tensors))]
    return [getattr(tensor, "_keras_mask", None) for tensor in tensors]


def set_mask(tf: Any, tensor: Any, like: Any, name: str) -> Any:
    """Give a new input a mask of the form of ``like``; returns it."""
    mask = placeholder_like(tf, like, name)
    tensor._keras_mask = mask
    if not hasattr(tensor, "_keras_history"):
        return mask
    layer, index, position = tensor._keras_history[:3]
    node = _node_list(layer)[index]
    if getattr(node, "output_masks", None) is not None:
        node.output_masks[position] = mask
    return mask


def output_masks(live: Any, outputs: List[Any]) -> List[Any]:
    """The mask of each output of a layer's last call, or None."""
    graphs = not compat.import_tensorflow().executing_eagerly() and not hasattr(outputs[0].graph, "captures")
    own = getattr(_node_list(live)[-1], "output_masks", None) if graphs and _node_list(live) else None
    return list(own) if own else [getattr(tensor, "_keras_mask", None) for tensor in outputs]


def operations_between(outputs: List[Any], inputs: List[Any]) -> List[Any]:
    """Every operation on the way from ``inputs`` to ``outputs``."""
    ends = {tensor.op.name for tensor in inputs}
    seen, stack = {}, [tensor.op for tensor in outputs]  # type: Dict[str, Any], List[Any]
    while stack:
        op = stack.pop()
        if op.name not in seen and op.name not in ends:
            seen[op.name] = op
            stack += [tensor.op for tensor in op.inputs]
    return list(seen.values())


_RANDOM = re.compile(r"Random|Multinomial|TruncatedNormal")


def is_random(kind: str) -> bool:
    """Whether operations of a type give other numbers with every run."""
    return bool(_RANDOM.search(kind))


def random_tensors(outputs: List[Any], inputs: List[Any]) -> List[Any]:
    """What operations between two sets of tensors draw at random, in the order in which they were made."""
    found = [op for op in operations_between(outputs, inputs) if is_random(op.type)]
    return [op.outputs[0] for op in sorted(found, key=lambda op: getattr(op, "_id", 0))]


def has_own_gradient(op: Any) -> bool:
    """Whether Python code of the producer says what the gradient of an operation is (overridden, or a Defun's)."""
    return "_gradient_op_type" in op.node_def.attr or op.type in getattr(op.graph, "_functions", {})


def placeholder_like(tf: Any, tensor: Any, name: str) -> Any:
    """A placeholder of a tensor's type and static shape."""
    shape = tensor.shape.as_list() if tensor.shape.ndims is not None else None
    return getattr(tf.compat, "v1", tf).placeholder(tensor.dtype, shape, name=name)


def node_kwargs(node: Any, make: Callable[[Any], Any]) -> Tuple[Dict[str, Any], List[Any]]:
    """The arguments of a call besides its inputs, tensors among them replaced by ``make``; and those new tensors."""
    made = []  # type: List[Any]

    def value_of(value: Any) -> Any:
        if isinstance(value, (list, tuple)):
            return type(value)(value_of(item) for item in value)
        if hasattr(value, "_keras_history"):
            made.append(make(value))
            return made[-1]
        return value

    if len(getattr(node, "call_args", ())) > 1:
        raise Refusal("model-unsupported", "it is called with several arguments without names")
    arguments = getattr(node, "arguments", None) or getattr(node, "call_kwargs", None) or {}
    return {key: value_of(value) for key, value in arguments.items()}, made


def takes_list(node: Any) -> bool:
    """Whether a call was given a list of a single tensor; versions before 1.14 do not tell."""
    if hasattr(node, "call_args"):
        return isinstance(node.call_args[0], (list, tuple)) and len(node.call_args[0]) == 1
    given = getattr(node, "input_tensors", None)
    return hasattr(node, "iterate_inbound") and isinstance(given, list) and len(given) == 1


def save_phase(keras: Any) -> Callable[[], None]:
    """Note the learning phases of this moment; returns a function that restores them."""
    held = []
    for module in (keras.backend.learning_phase.__module__, "tensorflow.python.keras.backend"):
        phases = getattr(sys.modules.get(module), "_GRAPH_LEARNING_PHASES", None)
        if phases is not None:
            held.append((phases, dict(phases)))

    def restore() -> None:
        for phases, before in held:
            for key in list(phases):
                del phases[key]
            for key, value in before.items():
                phases[key] = value

    return restore


def static_spec(tensor: Any) -> List[Any]:
    """[shape, dtype] of a tensor: what TensorFlow knows of it and, where that is nothing, what Keras says."""
    known = tensor.shape.as_list() if tensor.shape.ndims is not None else None
    claimed, dtype = (
        compat.tensor_spec(tensor) if tensor.shape.ndims is not None else (None, tensor.dtype.base_dtype.name)
    )
    if known is None:
        claimed = getattr(tensor, "_keras_shape", None)
        return [None if claimed is None else list(claimed), dtype]
    if claimed is not None and len(claimed) == len(known):
        known = [a if a is not None else b for a, b in zip(known, claimed)]
        known[:1] = tensor.shape.as_list()[:1]  # the batch stays as free as it is
    return [known, dtype]


class Weights:
    """The variables that a layer's graphs read and write, by role."""

    def __init__(self, tf: Any, live: Any) -> None:
        self.tf = tf
        self._roles = {}  # type: Dict[Any, str]
        self._held = []  # type: List[Dict[str, Any]]
        trainable = {id(v) for v in live.trainable_weights}
        for variable in live.weights:
            if self.key_of(variable) not in self._roles:
                self._add(variable, below(live.name, self.name_of(variable)), id(variable) in trainable, False)

    def key_of(self, variable: Any) -> Any:
        """What a variable is known by."""
        return variable.op.name

    def name_of(self, variable: Any) -> str:
        """The name of a variable, of which its role is made."""
        return str(variable.op.name)

    def _add(self, variable: Any, wanted: str, trainable: bool, hidden: bool) -> str:
        role, count = wanted, 1
        while role in self._roles.values():
            count += 1
            role = "%s_%d" % (wanted, count)
        self._roles[self.key_of(variable)] = role
        shape, dtype = compat.tensor_spec(variable)
        row = {"role": role, "shape": shape, "dtype": dtype, "trainable": trainable, "hidden": hidden}
        self._held.append(dict(row, variable=variable))
        return role

    def role(self, name: str) -> str:
        """The role of the variable whose operation has this name.

        Raises Refusal model-unsupported for one that the layer does not own and whose start is random.
        """
        if name not in self._roles:
            v1 = getattr(self.tf.compat, "v1", self.tf)
            found = [v for v in v1.global_variables() + v1.local_variables() if v.op.name == name]
            if not found or _is_random(found[0].initial_value):
                raise Refusal(
                    "model-unsupported", "it makes a weight of its own (%s) that the file does not hold" % name
                )
            self._add(found[0], name.split("/")[-1], False, True)
        return self._roles[name]

    def role_of(self, variable: Any) -> str:
        """The role of a weight."""
        return self._roles[self.key_of(variable)]

    def described(self) -> List[Dict[str, Any]]:
        """``role``, ``shape``, ``dtype``, ``trainable`` and ``hidden`` of every weight."""
        return [{key: value for key, value in row.items() if key != "variable"} for row in self._held]

    def variables(self) -> List[Any]:
        """(role, variable, whether the source trains it) of every weight."""
        return [(row["role"], row["variable"], row["trainable"]) for row in self._held]


def _is_random(tensor: Any) -> bool:
    seen, stack = set(), [tensor.op]
    while stack:
        op = stack.pop()
        if op.name not in seen:
            seen.add(op.name)
            if is_random(op.type):
                return True
            stack += [t.op for t in op.inputs]
    return False
