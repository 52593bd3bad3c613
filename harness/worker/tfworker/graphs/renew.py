"""Operations of the first GraphDef versions, which TensorFlow still reads of an old file but no longer takes in a new one."""

from typing import Any, Dict, List

from . import attrs, edges

Node = Dict[str, Any]
#: operation -> the one that took its place, with the same inputs and attributes
_RENAMED = {
    "Batch" + name: name
    for name in ("MatrixBandPart", "MatrixDiag", "MatrixDiagPart", "MatrixSetDiag", "MatrixInverse", "MatrixDeterminant",
                 "MatrixSolve", "MatrixTriangularSolve", "MatrixSolveLs", "Cholesky", "Svd")
}  # fmt: skip


def renewed(nodes: List[Node]) -> List[Node]:
    """The nodes without such operations; what takes their place has the last node's name."""
    return [made for node in nodes for made in _MAKE.get(node["op"], _as_it_is)(node)]


def _as_it_is(node: Node) -> List[Node]:
    return [dict(node, op=_RENAMED[node["op"]])] if node["op"] in _RENAMED else [node]


def _batch_norm(node: Node) -> List[Node]:
    """``(x - mean) * (rsqrt(variance + epsilon) * gamma) + beta``, as its kernel computes it."""
    x, mean, variance, beta, gamma = edges.data_inputs(node)
    kind = attrs.type_of(node, "T", "DT_FLOAT")
    made = []  # type: List[Node]

    def add(op: str, suffix: str, *inputs: str) -> str:
        name = node["name"] + "/" + suffix if suffix else node["name"]
        made.append({"name": name, "op": op, "inputs": list(inputs), "attrs": {"T": attrs.type_attr(kind)}})
        return str(made[-1]["name"])

    epsilon = node["name"] + "/epsilon"
    made.append(attrs.constant(epsilon, kind, [], [float(node["attrs"].get("variance_epsilon", {}).get("f", 0.0))]))
    inverse = add("Rsqrt", "rsqrt", add("Add", "add", variance, epsilon))
    if attrs.flag(node, "scale_after_normalization"):
        inverse = add("Mul", "scale", inverse, gamma)
    add("Add", "", add("Mul", "mul", add("Sub", "sub", x, mean), inverse), beta)
    last = dict(node, op="Add", attrs=made[-1]["attrs"])
    last["inputs"] = made[-1]["inputs"] + edges.control_inputs(node)
    return made[:-1] + [last]


def _top_k(node: Node) -> List[Node]:
    count = attrs.constant(node["name"] + "/k", "DT_INT32", [], [attrs.number(node, "k")])
    rest = {key: value for key, value in node["attrs"].items() if key != "k"}
    inputs = edges.data_inputs(node) + [count["name"]] + edges.control_inputs(node)
    return [count, dict(node, op="TopKV2", inputs=inputs, attrs=rest)]


_MAKE = {"BatchNormWithGlobalNormalization": _batch_norm, "TopK": _top_k}
