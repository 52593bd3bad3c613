"""Attributes of neutral nodes, as protocol buffers spell them in JSON; and the constants that passes add."""

import base64
from typing import Any, Dict, List, Optional

Attr = Dict[str, Any]


def type_attr(name: str) -> Attr:
    """An attribute that holds a type, such as ``DT_FLOAT``."""
    return {"type": name}


def bool_attr(value: bool) -> Attr:
    """An attribute that holds a truth value."""
    return {"b": bool(value)}


def text_attr(value: str) -> Attr:
    """An attribute that holds bytes, given as text."""
    return {"s": base64.b64encode(value.encode("utf-8")).decode("ascii")}


def type_of(node: Dict[str, Any], key: str, default: Optional[str] = None) -> Any:
    """The type in an attribute; ``default`` where there is none."""
    return node["attrs"].get(key, {}).get("type", default)


def flag(node: Dict[str, Any], key: str) -> bool:
    """The truth value in an attribute; False where there is none."""
    return bool(node["attrs"].get(key, {}).get("b", False))


def number(node: Dict[str, Any], key: str, default: int = 0) -> int:
    """The integer in an attribute."""
    return int(node["attrs"].get(key, {}).get("i", default))


def text(node: Dict[str, Any], key: str) -> str:
    """The bytes in an attribute, as text."""
    return base64.b64decode(node["attrs"].get(key, {}).get("s", "")).decode("utf-8", "replace")


def shape_of(node: Dict[str, Any], key: str) -> Optional[List[Optional[int]]]:
    """The shape in an attribute: a list with None where free, or None for an unknown rank."""
    shape = node["attrs"].get(key, {}).get("shape")
    if shape is None or shape.get("unknownRank"):
        return None
    sizes = [int(dim.get("size", 0)) for dim in shape.get("dim", ())]
    return [None if size < 0 else size for size in sizes]


def constant(name: str, dtype: str, shape: List[int], values: List[Any]) -> Dict[str, Any]:
    """A Const node."""
    tensor = {"dtype": dtype, "shape": list(shape), "values": list(values)}
    return {
        "name": name,
        "op": "Const",
        "inputs": [],
        "attrs": {"dtype": type_attr(dtype), "value": {"tensor": tensor}},
    }


def constant_values(node: Dict[str, Any]) -> Optional[List[Any]]:
    """The values of a small Const node, repeated to its size; None if they lie elsewhere or it is no Const."""
    tensor = node["attrs"].get("value", {}).get("tensor") if node["op"] == "Const" else None
    if tensor is None or "values" not in tensor:
        return None
    size = 1
    for dimension in tensor["shape"]:
        size *= dimension
    values = list(tensor["values"])
    if len(values) < size and values:
        values += [values[-1]] * (size - len(values))
    return values[:size]
