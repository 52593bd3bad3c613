"""TensorArrays of TF1 become tensor lists, which TF2 can carry through functional loops and differentiate.

The handle disappears; the *flow*, a float that only ordered operations, becomes the list itself (a variant).
"""

from typing import Any, List, Optional, Set

from . import edges
from .attrs import bool_attr, constant, flag, shape_of, type_attr, type_of
from .edges import Node
from .refs import Unsupported

VARIANT = "DT_VARIANT"
#: what a handle or a flow passes through
_PASSING = {"Enter", "Exit", "Identity", "Merge", "NextIteration", "Switch", "Select"}
_PREFIX = "TensorArray"


def to_lists(nodes: List[Node]) -> List[Node]:
    """The nodes with tensor lists in place of TensorArrays.

    Raises Unsupported for what has no counterpart (gradient arrays, arrays from before TF 1.0).
    """
    if not any(node["op"].startswith(_PREFIX) for node in nodes):
        return nodes
    return _Pass(nodes).run()


class _Pass(object):
    def __init__(self, nodes: List[Node]) -> None:
        self.nodes, self.index = nodes, edges.by_name(nodes)
        self.taken = set(self.index)
        self.out = []  # type: List[Node]
        self.findings = []  # type: List[str]

    def run(self) -> List[Node]:
        flows = self._flows()
        for node in self.nodes:
            if node["op"].startswith(_PREFIX):
                self._convert(node)
            elif node["name"] in flows:
                self.out.append(dict(node, attrs=dict(node["attrs"], T=type_attr(VARIANT))))
            else:
                self.out.append(node)
        if self.findings:
            raise Unsupported(sorted(self.findings))
        arrays = {node["name"] for node in self.nodes if node["op"] == "TensorArrayV3"}
        # The flow was the second output of the array; the list is its only one.
        return [edges.rewire(n, lambda ref: edges.base(ref) if edges.base(ref) in arrays and ref[0] != "^" else ref)
                for n in self.out]  # fmt: skip

    def _flows(self) -> Set[str]:
        """Names of the nodes that hand a flow on."""
        found = set()  # type: Set[str]
        tensors = {node["name"] + ":1" for node in self.nodes if node["op"] == "TensorArrayV3"}
        tensors |= {
            n["name"]
            for n in self.nodes
            if n["op"] in ("TensorArrayWriteV3", "TensorArrayScatterV3", "TensorArraySplitV3")
        }
        changed = True
        while changed:
            changed = False
            for node in self.nodes:
                if node["op"] in _PASSING and node["name"] not in found:
                    if any(ref in tensors for ref in edges.data_inputs(node)):
                        found.add(node["name"])
                        tensors |= {node["name"], node["name"] + ":1"}
                        changed = True
        return found

    def _array(self, ref: str) -> Optional[Node]:
        """The TensorArrayV3 node that a handle comes from."""
        seen = set()  # type: Set[str]
        queue = [ref]
        while queue:
            node = self.index.get(edges.base(queue.pop()))
            if node is None or node["name"] in seen:
                continue
            seen.add(node["name"])
            if node["op"] == "TensorArrayV3":
                return node
            if node["op"] in _PASSING:
                queue.extend(edges.data_inputs(node))
        return None

    def _convert(self, node: Node) -> None:
        op, given, waits = node["op"], edges.data_inputs(node), edges.control_inputs(node)
        array = node if op == "TensorArrayV3" else self._array(given[0]) if given else None
        if array is None or op not in _RULES:
            self.findings.append("%s (%s): no counterpart among tensor lists" % (node["name"], op))
            return
        rule, dtype = _RULES[op], type_of(array, "dtype")
        made = rule(self, node, array, given)
        if made is None:  # closing an array frees memory, which lists do by themselves
            self.out.append({"name": node["name"], "op": "NoOp", "inputs": waits, "attrs": {}})
            return
        new_op, inputs, attrs = made
        if new_op != "TensorListLength":
            attrs = dict(attrs, element_dtype=type_attr(dtype))
        self.out.append({"name": node["name"], "op": new_op, "inputs": inputs + waits, "attrs": attrs})

    def element_shape(self, node: Node, array: Node, key: str = "element_shape") -> str:
        """Name of a constant with the shape of the elements as lists want it: -1 where free, -1 alone without rank."""
        shape = shape_of(array, "element_shape")
        if shape is None and key in node["attrs"]:
            shape = shape_of(node, key)
        name = edges.fresh(self.taken, node["name"] + "/element_shape")
        if shape is None:
            made = constant(name, "DT_INT32", [], [-1])
        else:
            made = constant(name, "DT_INT32", [len(shape)], [-1 if d is None else d for d in shape])
        # Inside a loop a constant has to belong to its frame, as the index of the element does.
        anchor = [ref for ref in edges.data_inputs(node)[1:2] or edges.data_inputs(node)[:1]]
        made["inputs"] = ["^" + edges.base(ref) for ref in anchor]
        self.out.append(made)
        return name

    def covers_all(self, ref: str, array: Node) -> bool:
        """Whether indices are 0, 1, …, size - 1 of the array itself."""
        node = self._through(ref)
        if node is None or node["op"] != "Range":
            return False
        start, limit, delta = (self._through(r) for r in edges.data_inputs(node))
        if _number(start) != 0 or _number(delta) != 1 or limit is None:
            return False
        if limit["op"] == "TensorArraySizeV3":
            return self._array(edges.data_inputs(limit)[0]) is array
        size = self._through(edges.data_inputs(array)[0])
        return limit is size and not flag(array, "dynamic_size")

    def _through(self, ref: str) -> Optional[Node]:
        node = self.index.get(edges.base(ref))
        while node is not None and node["op"] in ("Identity", "Enter"):
            node = self.index.get(edges.base(edges.data_inputs(node)[0]))
        return node


def _number(node: Optional[Node]) -> Any:
    from .attrs import constant_values

    values = constant_values(node) if node is not None else None
    return values[0] if values else None


def _new(this: _Pass, node: Node, array: Node, given: List[str]) -> Any:
    shape = this.element_shape(node, array)
    return "TensorListReserve", [shape, given[0]], {"shape_type": type_attr("DT_INT32")}


def _write(this: _Pass, node: Node, array: Node, given: List[str]) -> Any:
    attrs = {"resize_if_index_out_of_bounds": bool_attr(True)} if flag(array, "dynamic_size") else {}
    return "TensorListSetItem", [given[3], given[1], given[2]], attrs


def _read(this: _Pass, node: Node, array: Node, given: List[str]) -> Any:
    return "TensorListGetItem", [given[2], given[1], this.element_shape(node, array)], {}


def _scatter(this: _Pass, node: Node, array: Node, given: List[str]) -> Any:
    return "TensorListScatterIntoExistingList", [given[3], given[2], given[1]], {}


def _gather(this: _Pass, node: Node, array: Node, given: List[str]) -> Any:
    shape = this.element_shape(node, array)
    if this.covers_all(given[1], array):
        return "TensorListStack", [given[2], shape], {}
    return "TensorListGather", [given[2], given[1], shape], {}


def _size(this: _Pass, node: Node, array: Node, given: List[str]) -> Any:
    return "TensorListLength", [given[1]], {}


def _close(this: _Pass, node: Node, array: Node, given: List[str]) -> Any:
    return None


_RULES = {
    "TensorArrayV3": _new,
    "TensorArrayWriteV3": _write,
    "TensorArrayReadV3": _read,
    "TensorArrayScatterV3": _scatter,
    "TensorArrayGatherV3": _gather,
    "TensorArraySizeV3": _size,
    "TensorArrayCloseV3": _close,
}  # type: Dict[str, Any]
