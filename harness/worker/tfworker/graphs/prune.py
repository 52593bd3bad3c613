"""Parts of a graph: cut out between given inputs and wanted nodes, and written with names that say nothing of the model."""

from typing import Any, Dict, List, Tuple

from .. import compat
from ..errors import Refusal

VARIABLES = ("VarHandleOp", "VariableV2", "Variable")
_PLACEHOLDERS = ("Placeholder", "PlaceholderWithDefault", "PlaceholderV2")
#: operations that reach outside of the graph: none of them is ever carried into a target
OUTSIDE = (
    "PyFunc", "File", "Reader", "Save", "Restore", "Iterator", "Dataset", "Queue", "Send", "Recv", "Rpc", "Debug",
    "Summary", "Checkpoint", "Table", "Barrier", "Stage", "Infeed", "Outfeed", "Remote", "Collective", "Library", "Shell",
)  # fmt: skip
#: their names hold one of those words, but they do not
_INSIDE = ("StopGradient", "ScatterNd", "TensorArrayV3")


class Index:
    """A GraphDef by node name. ``part`` may be called many times."""

    def __init__(self, graph_def: Any) -> None:
        self.graph_def = graph_def
        self.nodes = {node.name: node for node in graph_def.node}
        self.functions = {fdef.signature.name: fdef for fdef in graph_def.library.function}

    def part(self, wanted: List[str], given: List[str], phase: int) -> Any:
        """The GraphDef of all that the nodes ``wanted`` need, without the nodes ``given``.

        A placeholder for Keras's learning phase becomes a constant ``phase``.
        Raises Refusal model-unsupported for any other placeholder, and for what reaches outside of the graph.
        """
        seen, stack = set(given), [name for name in wanted if name not in given]
        while stack:
            name = stack.pop()
            if name in seen:
                continue
            seen.add(name)
            if not (self.nodes[name].op in _PLACEHOLDERS and "learning_phase" in name):
                stack += [_node_of(item) for item in self.nodes[name].input]
        part = type(self.graph_def)()
        part.versions.CopyFrom(self.graph_def.versions)
        for node in self.graph_def.node:
            if node.name in seen and node.name not in given:
                part.node.add().CopyFrom(self._settled(node, phase))
                kept = [i for i in node.input if not (i.startswith("^") and i[1:] in given)]
                del part.node[-1].input[:]
                part.node[-1].input.extend(kept if part.node[-1].op != "Const" else [])
        self._add_library(part)
        refuse_outside([n.op for n in part.node] + [n.op for f in part.library.function for n in f.node_def])
        return part

    def _settled(self, node: Any, phase: int) -> Any:
        if node.op not in _PLACEHOLDERS:
            return node
        if "learning_phase" not in node.name:
            raise Refusal("model-unsupported", "it reads %r, which is no input of it" % node.name)
        tf = compat.import_tensorflow()
        constant = type(node)(name=node.name, op="Const")
        constant.attr["dtype"].CopyFrom(node.attr["dtype"])
        dtype = tf.as_dtype(node.attr["dtype"].type)
        make = tf.make_tensor_proto if hasattr(tf, "make_tensor_proto") else tf.contrib.util.make_tensor_proto
        constant.attr["value"].tensor.CopyFrom(make(bool(phase) if dtype == tf.bool else phase, dtype))
        return constant

    def _add_library(self, part: Any) -> None:
        names, stack = [], list(part.node)  # type: List[str], List[Any]
        gradients = {g.function_name: g.gradient_func for g in self.graph_def.library.gradient}
        while stack:
            node = stack.pop()
            for name in [node.op] + list(_called(node.attr)):
                for found in (name, gradients.get(name)):
                    if found in self.functions and found not in names:
                        names.append(found)
                        stack += list(self.functions[found].node_def)
        for name in names:
            part.library.function.add().CopyFrom(self.functions[name])
            if name in gradients:
                part.library.gradient.add(function_name=name, gradient_func=gradients[name])


def refuse_outside(ops: List[str]) -> None:
    """Raise Refusal model-unsupported if a graph reads or writes anything but its inputs and variables."""
    found = sorted({op for op in ops if op not in _INSIDE and any(word in op for word in OUTSIDE)})
    if found:
        raise Refusal(
            "model-unsupported", "its graph reaches outside of itself (%s), which is never carried" % ", ".join(found)
        )


def _called(attrs: Any) -> Any:
    """Names of the functions in attributes."""
    for key in attrs:
        value = attrs[key]
        for function in [value.func] if value.WhichOneof("value") == "func" else value.list.func:
            yield function.name
            for name in _called(function.attr):
                yield name


def _node_of(item: str) -> str:
    return item[1:] if item.startswith("^") else item.split(":")[0]


def canonical(graph: Dict[str, Any], given: Dict[str, str]) -> Tuple[Dict[str, Any], Dict[str, str]]:
    """A neutral graph with nodes named by operation and order, and old name -> new name.

    ``given`` are new names of nodes that are not part of the graph. Equal computations become equal JSON.
    """
    names = dict(given)
    for index, node in enumerate(graph["nodes"]):
        names[node["name"]] = "%s_%d" % (node["op"], index)
    functions = {f["signature"]["name"]: "function_%d" % i for i, f in enumerate(graph["library"])}
    nodes = []
    for node in graph["nodes"]:
        inputs = [_renamed(item, names) for item in node["inputs"]]
        node = dict(_with_functions(node, functions), name=names[node["name"]], inputs=inputs)
        if node["op"] in VARIABLES:
            node["attrs"] = {k: v for k, v in node["attrs"].items() if k not in ("shared_name", "container")}
        nodes.append(node)
    library = []
    for function in graph["library"]:
        function = dict(function, nodes=[_with_functions(n, functions) for n in function["nodes"]])
        function["signature"] = dict(function["signature"], name=functions[function["signature"]["name"]])
        if "gradient" in function:
            function["gradient"] = functions[function["gradient"]]
        library.append(function)
    return dict(graph, nodes=nodes, library=library), names


def _renamed(item: str, names: Dict[str, str]) -> str:
    mark = "^" if item.startswith("^") else ""
    name, colon, index = item[len(mark) :].partition(":")
    return mark + names[name] + colon + index


def _with_functions(value: Any, functions: Dict[str, str]) -> Any:
    """A node, or an attribute, with functions under their new names."""
    if isinstance(value, list):
        return [_with_functions(item, functions) for item in value]
    if not isinstance(value, dict):
        return value
    out = {key: _with_functions(item, functions) for key, item in value.items()}
    if "attr" in out and out.get("name") in functions:
        out["name"] = functions[out["name"]]
    if out.get("op") in functions:
        out["op"] = functions[out["op"]]
    return out
