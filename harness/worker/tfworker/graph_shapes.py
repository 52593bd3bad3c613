"""Static shapes once more, with what is known beyond the file: shapes of inputs, and sizes that the graph computes.

TensorFlow's own functions infer them, in a copy of the graph in which those sizes are constants; nothing is run.
"""

from typing import Any, Dict, List, Optional

import numpy as np

from .compat_graphs import v1
from .graphs import edges

#: operation -> the input that says how large its output is; -1 there stands for a size that is free
_SIZED = {
    "Reshape": 1, "Conv2DBackpropInput": 0, "Conv3DBackpropInputV2": 0, "Fill": 0, "BroadcastTo": 1,
    "ResizeBilinear": 1, "ResizeNearestNeighbor": 1, "ResizeBicubic": 1,
}  # fmt: skip
#: elements of a constant whose values shapes may depend on
_SMALL = 256
#: one size may need another, as in a reshape of a reshape
_PASSES = 4


def given(part: Any, probed: Dict[str, Any]) -> Dict[str, Any]:
    """Placeholder -> sizes, for inputs of unknown rank as the probes have them, and for what is fixed."""
    shapes = {
        edges.base(tensor): list(np.shape(value))
        for tensor, value in part.fixed.items()
        if part.tensor(tensor).shape.ndims is None
    }  # type: Dict[str, Any]
    for key, sets in probed.items():
        for name, spec in part.signatures[key]["inputs"].items():
            if spec["shape"] is None and sets:
                own = {arrays[name].shape for arrays in sets}
                sizes = [list(column) for column in zip(*own)] if len({len(shape) for shape in own}) == 1 else None
                node, position = edges.split(spec["tensor"])
                if sizes is not None and position == 0 and node not in shapes:
                    shapes[node] = [n[0] if i and len(set(n)) == 1 else None for i, n in enumerate(sizes)]
    return shapes


def completed(part: Any, graph: Dict[str, Any], shapes: Dict[str, Any]) -> Any:
    """The graph with what follows from ``shapes`` and from the sizes that nodes of ``graph`` are known to have."""
    best, index, sizes = part.graph, edges.by_name(graph["nodes"]), {}  # type: Any, Any, Dict[str, Any]
    wanted = shapes
    for _ in range(_PASSES):
        new = {}
        for node in graph["nodes"]:
            found = _sizes(node, index, best)
            if found is not None and sizes.get(node["name"]) != found:
                new[node["name"]] = found
        if not new and not wanted:
            break
        sizes.update(new)
        try:
            best = _again(part.graph, shapes, {name: (_SIZED[index[name]["op"]], row) for name, row in sizes.items()})
        except Exception:  # what does not fit is left as it is
            break
        wanted = {}
    return best


def _sizes(node: Dict[str, Any], index: Dict[str, Any], graph: Any) -> Optional[List[int]]:
    """What the sizes of a node's output are, -1 where free; None where nothing is to be gained."""
    if node["op"] not in _SIZED:
        return None
    operation = graph.get_operation_by_name(node["name"])
    made = operation.outputs[0].shape
    if made.ndims is not None and None not in made.as_list()[1:]:
        return None
    name, position = edges.split(edges.data_inputs(node)[_SIZED[node["op"]]])
    known = index.get(name, {}).get("known", {}).get(str(position))
    if known is None or "values" not in known or len(known["shape"]) != 1 or not known["values"]:
        return None
    values = known["values"] + known["values"][-1:] * (known["shape"][0] - len(known["values"]))
    batch = known.get("batch") or [0] * len(values)
    sizes = [-1 if b else int(n) for n, b in zip(values, batch)]
    if node["op"] == "Reshape" and sizes.count(-1) > 1:
        sizes = _what_is_left(sizes, values, batch, operation.inputs[0].shape)
    return sizes if sizes.count(-1) < 2 or node["op"] != "Reshape" else None


def _what_is_left(sizes: List[int], values: List[Any], batch: List[int], before: Any) -> List[int]:
    """Sizes of a reshape to the number of examples and the rest."""
    follow = [i for i, pair in enumerate(zip(values, batch)) if pair == (0, 1)]
    rest = before.as_list()[1:] if before.ndims else [None]
    open_ones = [i for i, n in enumerate(sizes) if n == -1 and i not in follow]
    if len(follow) != 1 or len(open_ones) != 1 or None in rest:
        return sizes
    one = int(np.prod([n for n in sizes if n != -1], dtype=np.int64)) or 1
    return [int(np.prod(rest, dtype=np.int64)) // one if i == open_ones[0] else n for i, n in enumerate(sizes)]


def _again(graph: Any, shapes: Dict[str, Any], sizes: Dict[str, Any]) -> Any:
    """The graph once more: placeholders with shapes (name -> sizes), inputs that are constants (name -> position, sizes)."""
    api = v1()
    graph_def = graph.as_graph_def()
    added = []
    for node in graph_def.node:
        if "_output_shapes" in node.attr:
            del node.attr["_output_shapes"]
        tensor = node.attr["value"].tensor if node.op == "Const" else None
        if tensor is not None and np.prod([d.size for d in tensor.tensor_shape.dim], dtype=np.int64) > _SMALL:
            node.op = "Placeholder"  # its numbers say nothing of shapes
            node.attr["shape"].shape.CopyFrom(tensor.tensor_shape)
            del node.attr["value"]
        elif node.name in shapes and node.op.startswith("Placeholder"):
            node.attr["shape"].shape.CopyFrom(api.TensorShape(shapes[node.name]).as_proto())
            if node.op != "PlaceholderWithDefault" and not shapes[node.name]:
                # Of graphs without a version, a placeholder without axes is taken for one of unknown rank; this one is not.
                kind = api.as_dtype(node.attr["dtype"].type)
                value = "" if kind == api.string else np.zeros((), kind.as_numpy_dtype)
                added.append((node.name + "/number", value, kind))
                node.op = "PlaceholderWithDefault"
                node.input.append(added[-1][0])
        elif node.name in sizes:
            position, values = sizes[node.name]
            kind = graph.get_operation_by_name(node.name).inputs[position].dtype.base_dtype
            added.append((node.name + "/sizes", values, kind))
            node.input[position] = added[-1][0]
    for name, content, kind in added:
        constant = graph_def.node.add(name=name, op="Const")
        constant.attr["dtype"].type = kind.as_datatype_enum
        constant.attr["value"].tensor.CopyFrom(api.make_tensor_proto(content, dtype=kind))
    again = api.Graph()
    with again.as_default():
        api.import_graph_def(graph_def, name="")
    return again
