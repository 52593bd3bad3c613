"""Graphs with the control flow of TensorFlow 1.12 made plain: traced once in today's TensorFlow, and written again.

Runs in the target. What comes out has functional loops and conditions, which ``harness_layers`` can run by itself.
"""

from typing import Any, Callable, Dict, List, Tuple

from .. import compat
from ..errors import Refusal
from . import neutral
from .execute import Executor
from .prepare import prepared
from .refs import Unsupported

OLD = ("Enter", "Exit", "NextIteration", "LoopCond", "Switch", "Merge", "TensorArrayV3")


def is_old(graph: Dict[str, Any]) -> bool:
    """Whether a neutral graph has control flow that does not run in a tf.function."""
    return any(node["op"] in OLD for node in graph["nodes"])


def lowered(
    graph: Dict[str, Any], phase: Dict[str, Any], weights: Dict[str, Any], get: Callable[[str], Any], put: neutral.Put
) -> Tuple[Dict[str, Any], Dict[str, Any]]:
    """(graph, phase) with the same meaning and today's control flow.

    ``weights`` maps roles to ``{"shape", "dtype"}``. Raises Refusal model-unsupported.
    """
    if phase["updates"]:
        raise Refusal(
            "model-unsupported", "it updates weights beside a loop of TensorFlow 1.12, which is not carried yet"
        )
    names = phase["inputs"] + [name for name in phase["masks"] if name]
    fetches = [name for name, _, _ in phase["outputs"]]
    given = [{"name": _node(name), "op": "Placeholder", "inputs": [], "attrs": {}} for name in names]
    try:
        nodes, _ = prepared(given + graph["nodes"], names, fetches)
    except (Unsupported, ValueError) as error:
        raise Refusal("model-unsupported", "its control flow cannot be untangled: %s" % error)
    return traced(dict(graph, nodes=nodes), phase, weights, get, put)


def traced(
    graph: Dict[str, Any], phase: Dict[str, Any], weights: Dict[str, Any], get: Callable[[str], Any], put: neutral.Put
) -> Tuple[Dict[str, Any], Dict[str, Any]]:
    """(graph, phase) of a structured graph (see ``control_flow``), traced in this TensorFlow."""
    tf = compat.import_tensorflow()
    names = phase["inputs"] + [name for name in phase["masks"] if name]
    fetches = [name for name, _, _ in phase["outputs"]]
    executor = Executor(graph, get)
    variables = {}
    for name, role in phase["variables"].items():
        row = weights[role]
        variables[name] = tf.Variable(tf.zeros(row["shape"], row["dtype"]), trainable=True)
    specs = [tf.TensorSpec(shape, dtype) for shape, dtype in phase["specs"]]
    specs += [tf.TensorSpec([None] * 2, tf.bool) for name in phase["masks"] if name]

    def body(*tensors: Any) -> List[Any]:
        return list(executor.run(dict(zip(names, tensors)), variables, fetches))

    traced = tf.function(body, autograph=False).get_concrete_function(*specs).graph
    roles = {id(variable.handle): phase["variables"][name] for name, variable in variables.items()}
    inner = {_node(inside.name): roles[id(outside)] for outside, inside in traced.captures if id(outside) in roles}
    made = neutral.from_graph_def(traced.as_graph_def(), put)
    inputs = [tensor.name for tensor in traced.inputs[: len(names)]]
    count = len(phase["inputs"])
    masks = iter(inputs[count:])
    outputs = [[t.name, shape, dtype] for t, (_, shape, dtype) in zip(traced.outputs, phase["outputs"])]
    changed = dict(phase, inputs=inputs[:count], outputs=outputs, variables=inner)
    changed["masks"] = [next(masks) if name else None for name in phase["masks"]]
    return made, changed


def _node(tensor: str) -> str:
    return tensor.split(":")[0]
