"""GraphDef to the neutral form (see the package). Runs in every source environment; nothing here starts a session."""

from typing import Any, Callable, Dict, List

import numpy as np

from .. import compat
from ..errors import Refusal

FORMAT = 1
#: bytes of a tensor that are written into the JSON, at most
INLINE = 1024
#: ``_gradient_op_type`` names a function in the producer's memory; another may have that name where the graph is read
STRIPPED = ("_class", "_output_shapes", "_gradient_op_type")
#: kinds of dtypes whose values JSON holds exactly
_PLAIN = "biuf"

Put = Callable[[Any], str]


def from_graph_def(graph_def: Any, put: Put) -> Dict[str, Any]:
    """The neutral form of a GraphDef.

    ``put`` stores an array (numeric, or an object array of bytes) in the bundle and returns its name.
    Raises Refusal model-unsupported for constants that are no data (resources, variants).
    """
    library = [_function(fdef, put) for fdef in graph_def.library.function]
    gradients = {g.function_name: g.gradient_func for g in graph_def.library.gradient}
    for function in library:
        if function["signature"]["name"] in gradients:
            function["gradient"] = gradients[function["signature"]["name"]]
    return {
        "format": FORMAT,
        "producer": {
            "tensorflow": compat.import_tensorflow().__version__,
            "graph_def_version": int(graph_def.versions.producer),
        },
        "nodes": _nodes(graph_def.node, put),
        "library": library,
    }


def _nodes(nodes: Any, put: Put) -> List[Dict[str, Any]]:
    return [{"name": n.name, "op": n.op, "inputs": list(n.input), "attrs": _attrs(n.attr, put, n.name)} for n in nodes]


def _attrs(attrs: Any, put: Put, where: str) -> Dict[str, Any]:
    return {key: _value(attrs[key], put, where) for key in sorted(attrs) if key not in STRIPPED}


def _value(attr: Any, put: Put, where: str) -> Dict[str, Any]:
    kind = attr.WhichOneof("value")
    if kind == "tensor":
        return {"tensor": tensor_json(attr.tensor, put, where)}
    if kind == "func":
        return {"func": _call(attr.func, put, where)}
    if kind == "list" and attr.list.tensor:
        return {"list": {"tensor": [tensor_json(t, put, where) for t in attr.list.tensor]}}
    if kind == "list" and attr.list.func:
        return {"list": {"func": [_call(f, put, where) for f in attr.list.func]}}
    return dict(_json(attr))


def _call(func: Any, put: Put, where: str) -> Dict[str, Any]:
    return {"name": func.name, "attr": _attrs(func.attr, put, where)}


def _json(message: Any) -> Any:
    from google.protobuf import json_format

    return json_format.MessageToDict(message)


def _function(fdef: Any, put: Put) -> Dict[str, Any]:
    name = fdef.signature.name
    return {
        "signature": _json(fdef.signature),
        "nodes": _nodes(fdef.node_def, put),
        "ret": dict(fdef.ret),
        "control_ret": dict(getattr(fdef, "control_ret", None) or {}),
        "attrs": _attrs(fdef.attr, put, name),
    }


def tensor_json(proto: Any, put: Put, where: str) -> Dict[str, Any]:
    """A TensorProto as JSON: exact values up to INLINE bytes, an array of the bundle above."""
    shape = [int(d.size) for d in proto.tensor_shape.dim]
    out = {"dtype": _type_name(proto.dtype), "shape": shape}  # type: Dict[str, Any]
    if proto.resource_handle_val or proto.variant_val:
        what = "the constant %r of the graph is a %s, which is no data" % (where, out["dtype"])
        raise Refusal("model-unsupported", what)
    splat = _splat(proto)
    array = np.asarray([splat]) if splat is not None else _array(proto)
    if array.dtype == object:
        items = [bytes(item) for item in array.ravel().tolist()]
        texts = [_text(item) for item in items]
        if sum(len(item) for item in items) <= INLINE and None not in texts:
            return dict(out, values=texts)
        return dict(out, array=put(array))
    if array.nbytes > INLINE or array.dtype.kind not in _PLAIN:
        return dict(out, array=put(array))
    return dict(out, values=[_number(item) for item in array.ravel().tolist()])


def _type_name(number: int) -> str:
    from tensorflow.core.framework import types_pb2

    return str(types_pb2.DataType.Name(number))


def constant_value(operation: Any) -> Any:
    """The array that a Const holds."""
    return _array(operation.get_attr("value"))


def _array(proto: Any) -> Any:
    tf = compat.import_tensorflow()
    return (tf.make_ndarray if hasattr(tf, "make_ndarray") else tf.contrib.util.make_ndarray)(proto)


#: fields of a TensorProto that hold one value for a whole tensor of equal ones
_SPLATS = ("float_val", "double_val", "int_val", "int64_val", "bool_val")


def _splat(proto: Any) -> Any:
    """The one value of a TensorProto that repeats it, so that large tensors of zeros stay small; else None."""
    from tensorflow.core.framework import types_pb2

    plain = (types_pb2.DT_FLOAT, types_pb2.DT_DOUBLE, types_pb2.DT_INT32, types_pb2.DT_INT64, types_pb2.DT_BOOL)
    for field in _SPLATS if not proto.tensor_content and proto.dtype in plain else ():
        values = getattr(proto, field)
        if len(values) == 1:
            return values[0]
    return None


def _text(item: bytes) -> Any:
    try:
        return item.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _number(value: Any) -> Any:
    """A Python number as JSON holds it."""
    return str(value) if isinstance(value, float) and value - value != 0 else value
