"""Differences between TensorFlow versions that only graphs meet; see ``compat``."""

from typing import Any, List, Tuple

from . import compat


def v1() -> Any:
    """The API of TensorFlow 1, wherever this version keeps it."""
    tf = compat.import_tensorflow()
    return tf if tf.__version__.startswith("1.") else tf.compat.v1


def session_graph() -> Tuple[Any, Any]:
    """A new graph and a session on it, which computes the graph as it is written."""
    api = v1()
    graph = api.Graph()
    options = api.ConfigProto()
    # Grappler of TF 1.12 drops the relu from max(relu(x)); the reference is the model as it is written.
    options.graph_options.rewrite_options.arithmetic_optimization = 2  # RewriterConfig.OFF
    return graph, api.Session(graph=graph, config=options)


def variable_values(session: Any, names: List[str]) -> List[Any]:
    """The values of variables, by the names of their operations, in one run: every run after a change of the graph is slow.

    Raises what the session raises if one was never initialised.
    """
    from tensorflow.python.ops import gen_resource_variable_ops

    api, reads = v1(), []
    with session.graph.as_default(), api.device(None):
        for name in names:
            operation = session.graph.get_operation_by_name(name)
            read = operation.outputs[0]
            if operation.type == "VarHandleOp":
                read = gen_resource_variable_ops.read_variable_op(read, dtype=operation.get_attr("dtype"))
            reads.append(read)
    return list(session.run(reads)) if reads else []


def variable_shape(operation: Any) -> List[int]:
    """The declared shape of a variable's operation, or that of a constant; -1 where free, empty where unknown."""
    if "shape" not in operation.node_def.attr:
        return [int(d) for d in operation.outputs[0].shape.as_list()]
    return [int(dim.size) for dim in operation.get_attr("shape").dim]


def static_shape_value(tensor: Any) -> Any:
    """The sizes that a shape tensor is known to hold, None where it depends on data; None if nothing is known."""
    from tensorflow.python.framework import tensor_util

    shape = tensor_util.constant_value_as_shape(tensor)
    return None if shape.ndims is None else shape.as_list()


def table_content(session: Any, name: str) -> Tuple[Any, Any]:
    """Keys and values of a table, by the name of its operation."""
    from tensorflow.python.ops import gen_lookup_ops

    operation = session.graph.get_operation_by_name(name)
    kinds = operation.get_attr("key_dtype"), operation.get_attr("value_dtype")
    export = gen_lookup_ops.lookup_table_export_v2
    if operation.outputs[0].dtype != v1().resource:
        export = gen_lookup_ops.lookup_table_export
    with session.graph.as_default():
        keys, values = session.run(list(export(operation.outputs[0], kinds[0], kinds[1])))
    return keys, values


def gradient_tensors(outputs: List[Any], cotangents: List[Any], sources: List[Any]) -> List[Any]:
    """Gradients of outputs, weighted by cotangents, by sources; None where there is no path. Dense."""
    api = v1()
    found = api.gradients(outputs, sources, grad_ys=cotangents)
    return [api.convert_to_tensor(g) if g is not None else None for g in found]


def default_graph() -> Any:
    """The graph that is being traced."""
    return v1().get_default_graph()


def watched_handle(variable: Any) -> Any:
    """The handle of a tf.Variable in the function that is being traced, which from now on depends on the variable."""
    from tensorflow.python.ops import resource_variable_ops

    resource_variable_ops.variable_accessed(variable)
    return default_graph().capture(variable.handle)


def scratch_graph() -> Any:
    """A function's graph that is thrown away; it may use tensors of the graph around it."""
    from tensorflow.python.framework import func_graph

    return func_graph.FuncGraph("scratch")


def graph_placeholder(spec: Any) -> Any:
    """A placeholder of any type, lists of tensors (variants) included."""
    return v1().placeholder(spec.dtype, spec.shape)


def trackable() -> Any:
    """An object whose attributes a SavedModel keeps."""
    from tensorflow.python.trackable.autotrackable import AutoTrackable

    return AutoTrackable()


def known_operation(name: str) -> bool:
    """Whether this TensorFlow has an operation of that name."""
    from tensorflow.python.framework import op_def_registry

    if hasattr(op_def_registry, "get"):
        return op_def_registry.get(name) is not None
    return name in op_def_registry.get_registered_ops()
