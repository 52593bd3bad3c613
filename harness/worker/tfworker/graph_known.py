"""What the nodes of a graph are known to give without any data: static shapes, constants, and sizes that follow the batch.

Adds to neutral nodes, for whoever rebuilds the graph of other pieces (see ``docs/bundle.md``)::

    "outputs": [[shape or null, dtype] ...]
    "known":   {output index: {"dtype", "shape", "values" or "array", "batch": [coefficient ...] or absent}}

``known`` stands where a value that depends on constants and shapes only is read by something that depends on data. It is
computed by the source session. With ``batch`` the value is ``values + batch * N`` for N examples, for whole numbers; that is
fitted on two probe sets and has to hold in all of them. Inputs of unknown rank are taken to be of the shapes of the probes,
of any number of examples.
"""

from typing import Any, Callable, Dict, List

import numpy as np

from . import graph_shapes
from .compat_graphs import v1
from .graphs import edges, neutral
from .graphs.control_flow import frames_of

_SHAPES = ("Shape", "ShapeN", "Size", "Rank")
_FLOW = ("Switch", "Merge", "Enter", "Exit", "NextIteration", "LoopCond", "Placeholder", "PlaceholderV2")
#: elements of a value that is worth keeping
_MOST = 1 << 22


def annotate(
    part: Any, graph: Dict[str, Any], folded: Dict[str, Any], probed: Dict[str, Any], put: Callable[[Any], str]
) -> None:
    """Add ``outputs`` and ``known`` to the nodes of ``graph``.

    ``folded`` holds the nodes of every signature once its phase is decided, ``probed`` its probe inputs: lists of
    argument -> array.
    """
    index = edges.by_name(graph["nodes"])
    for key in sorted(folded):
        specs, inputs = part.signatures[key]["inputs"], probed.get(key, [])
        open_nodes, asked = set(), {}  # type: Set[str], Dict[str, Any]
        while inputs:
            frontier = _frontier(part, key, folded[key], open_nodes)
            new = [ref for ref in frontier if ref not in asked and _keeps(part, ref, index)]
            if not new:
                break
            rows = _values(part, specs, inputs, new)
            asked.update(zip(new, _fitted(specs, inputs, rows, [frontier[ref] for ref in new])))
            # A tensor with as many rows as there are examples is none of these; the sizes that it is made with may be.
            open_nodes.update(edges.base(ref) for ref in new if asked[ref] is None)
        for ref, value in asked.items():
            if value is not None and edges.base(ref) not in open_nodes:
                name, position = edges.split(ref)
                index[name].setdefault("known", {}).setdefault(str(position), _written(value, put, name))
    shaped = graph_shapes.completed(part, graph, graph_shapes.given(part, probed))
    for node in graph["nodes"]:
        operation = shaped.get_operation_by_name(node["name"])
        node["outputs"] = [_spec(tensor) for tensor in operation.outputs]


def _spec(tensor: Any) -> List[Any]:
    shape = None if tensor.shape.ndims is None else tensor.shape.as_list()
    return [shape, tensor.dtype.base_dtype.name]


def _keeps(part: Any, ref: str, index: Dict[str, Any]) -> bool:
    name, position = edges.split(ref)
    if name not in index or str(position) in index[name].get("known", {}):
        return False
    dtype = part.tensor("%s:%d" % (name, position)).dtype.base_dtype
    return bool(dtype.is_floating or dtype.is_integer or dtype == v1().bool)


def _frontier(part: Any, key: str, nodes: List[Any], open_nodes: Any) -> Dict[str, bool]:
    """Edge from what needs no data to what does -> whether it depends on shapes; constants as such left out.

    ``open_nodes`` are taken to need data.
    """
    fed = {edges.base(spec["tensor"]) for spec in part.signatures[key]["inputs"].values()}
    frames = frames_of(nodes)
    known = _independent(part, nodes, fed | open_nodes, frames)
    wanted = {spec["tensor"] for spec in part.signatures[key]["outputs"].values()}
    found = {}  # type: Dict[str, bool]
    index = edges.by_name(nodes)
    for node in nodes:
        if node["name"] not in known:
            wanted.update(edges.data_inputs(node))
    for ref in sorted(wanted):
        ref = edges.join(*edges.split(ref))
        name = edges.base(ref)
        if name in known and index[name]["op"] != "Const":
            needs = edges.ancestors(nodes, [ref], [n for n in known if index[n]["op"] in _SHAPES])
            found[ref] = any(index[n]["op"] in _SHAPES for n in needs)
    return found


def _independent(part: Any, nodes: List[Any], fed: Any, frames: Any) -> Any:
    """Names of the nodes whose values follow from constants and shapes; nothing inside of loops."""
    known, waiting = set(), {}  # type: Set[str], Dict[str, int]
    readers = edges.consumers(nodes)
    queue = []  # type: List[str]
    index = edges.by_name(nodes)
    for node in nodes:
        if node["name"] in fed or frames.get(node["name"]) or node["op"] in _FLOW or _changes(part, node):
            continue
        needs = [] if node["op"] in _SHAPES else edges.data_inputs(node)
        waiting[node["name"]] = len(needs)
        if not needs and node["op"] in _SHAPES + ("Const",):
            queue.append(node["name"])
    while queue:
        name = queue.pop()
        if name in known:
            continue
        known.add(name)
        for reader, ref in readers.get(name, ()):
            if edges.is_control(ref) or reader["name"] not in waiting or index[reader["name"]]["op"] in _SHAPES:
                continue
            waiting[reader["name"]] -= 1
            if waiting[reader["name"]] == 0:
                queue.append(reader["name"])
    return known


def _changes(part: Any, node: Any) -> bool:
    """Whether a node may give another value the next time: a variable, or random numbers."""
    return node["op"] != "Const" and bool(part.graph.get_operation_by_name(node["name"]).op_def.is_stateful)


def _values(part: Any, specs: Any, probed: List[Any], refs: List[str]) -> List[Any]:
    """The values of the edges for every probe set; those that the session refuses are None."""
    tensors = [part.tensor("%s:%d" % edges.split(ref)) for ref in refs]
    rows = []
    for arrays in probed:
        feed = part.feed({specs[name]["tensor"]: value for name, value in arrays.items()})
        try:
            rows.append(part.session.run(tensors, feed) if tensors else [])
        except Exception:  # one of them is never computed; which one, only trying tells
            rows.append([_alone(part, tensor, feed) for tensor in tensors])
    return rows


def _alone(part: Any, tensor: Any, feed: Any) -> Any:
    try:
        return part.session.run(tensor, feed)
    except Exception:
        return None


def _fitted(specs: Any, probed: List[Any], rows: List[Any], shaped: List[bool]) -> List[Any]:
    """(value without examples, coefficient of their number or None) of each edge, or None."""
    sizes = [_batch(specs, arrays) for arrays in probed]
    lengths = {tuple(_lengths(specs, arrays)) for arrays in probed}
    # Of one length only, nobody could tell what depends on it.
    vague = len(lengths) == 1 and lengths != {()}
    return [None if vague and by else _fit(list(values), sizes) for values, by in zip(zip(*rows), shaped)]


def _batch(specs: Any, arrays: Any) -> Any:
    for name in sorted(specs):
        shape = specs[name]["shape"]
        if shape is None or (shape and shape[0] is None):
            return arrays[name].shape[0] if arrays[name].ndim else 0
    return 0


def _lengths(specs: Any, arrays: Any) -> List[int]:
    """Sizes of the free axes besides the first; inputs of unknown rank are taken as the probes are."""
    found = []  # type: List[int]
    for name in sorted(specs):
        shape, own = specs[name]["shape"], arrays[name].shape
        found += [n for i, n in enumerate(own) if i and shape is not None and shape[i] is None]
    return found


def _fit(values: List[Any], sizes: List[int]) -> Any:
    if any(value is None for value in values):
        return None
    values = [np.asarray(value) for value in values]
    first = values[0]
    if any(value.shape != first.shape or value.dtype != first.dtype for value in values) or first.size > _MOST:
        return None
    if all(np.array_equal(value, first) for value in values):
        return first, None
    if first.dtype.kind not in "iu":
        return None
    other = next((i for i, size in enumerate(sizes) if size != sizes[0]), None)
    if other is None:
        return None
    wide = [value.astype(np.int64) for value in values]
    slope = (wide[other] - wide[0]) // (sizes[other] - sizes[0])
    base = wide[0] - slope * sizes[0]
    return (base, slope) if all(np.array_equal(base + slope * n, w) for n, w in zip(sizes, wide)) else None


def _written(value: Any, put: Callable[[Any], str], name: str) -> Dict[str, Any]:
    base, slope = value
    out = neutral.tensor_json(v1().make_tensor_proto(np.asarray(base)), put, name)
    return out if slope is None else dict(out, batch=[int(n) for n in slope.ravel()])
