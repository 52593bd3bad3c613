"""Calls of TensorFlow functions in a Keras 2 graph (TFOpLambda, SlicingOpLambda) as operations of Keras 3.

Such a layer holds the name of a function; its arguments stand in the call. A function is translated only if every
argument that is given has a known meaning; anything else is an obstacle.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from harness.dialects.rebuild import broadcasts
from harness.worker.tfworker.topology import tensors_of

CLASSES = ("TFOpLambda", "SlicingOpLambda")
NUMPY, NN, MATH, CORE = (f"keras.src.ops.{name}" for name in ("numpy", "nn", "math", "core"))


class UnknownError(Exception):
    """The call says something that is not translated; the message says what."""


class Arguments:
    """The arguments of one call by their names in TensorFlow, to be taken one by one."""

    def __init__(self, names: str, call: Mapping[str, Any]) -> None:
        constants = call.get("constants") or {}
        tensors = iter(call["inputs"])
        positions = [str(i) for i in range(len(call["inputs"]) + len(constants))]
        given = [constants[i] if i in constants else next(tensors) for i in positions]
        wanted = names.split()
        self.left = {key: value for key, value in call["kwargs"].items() if value is not None and key != "name"}
        if len(wanted) == 1 and len(given) > 1:  # a list of tensors is written like several arguments
            given = [given]
        if len(given) > len(wanted) or set(wanted[: len(given)]) & set(self.left):
            raise UnknownError("arguments in another order than is known")
        self.left.update(zip(wanted, given, strict=False))

    def any(self, name: str) -> Any:
        """A tensor or a number."""
        if name not in self.left:
            raise UnknownError(f"it is called without {name}")
        value = self.left.pop(name)
        if not isinstance(value, (bool, int, float)) and not tensors_of(value):
            raise UnknownError(f"{name} is a constant array")
        return value

    def static(self, name: str, default: Any = None) -> Any:
        """A value that is no tensor."""
        value = self.left.pop(name, default)
        if tensors_of(value):
            raise UnknownError(f"{name} is computed in the model")
        return value

    def usual(self, **values: Any) -> None:
        """Arguments that may only have the values that they have if they are not given."""
        for name, value in values.items():
            if self.static(name, value) != value:
                raise UnknownError(f"{name} has another value than {value!r}")

    def end(self) -> None:
        """Raises UnknownError if an argument has not been looked at."""
        if self.left:
            raise UnknownError("arguments that are not known: " + ", ".join(sorted(self.left)))


#: module, class, config, arguments of the call; those under "*" are given by position
Made = tuple[str, str, dict[str, Any], dict[str, Any]]
Function = tuple[str, Callable[[Arguments], Made]]


def _unary(module: str, name: str, *, of: str = "x") -> Function:
    return of, lambda a: (module, name, {}, {"x": a.any(of)})


def _binary(name: str, first: str = "x1", second: str = "x2") -> Function:
    return "x y", lambda a: (NUMPY, name, {}, {first: a.any("x"), second: a.any("y")})


def _reduced(name: str) -> Function:
    def make(a: Arguments) -> Made:
        config = {"axis": a.static("axis"), "keepdims": bool(a.static("keepdims", False))}
        return NUMPY, name, config, {"x": a.any("input_tensor")}

    return "input_tensor axis keepdims", make


def _shaped(names: str, name: str, key: str, ours: str) -> Function:
    first = names.split(maxsplit=1)[0]
    return names, lambda a: (NUMPY, name, {ours: a.static(key)}, {"x": a.any(first)})


def _transpose(a: Arguments) -> Made:
    a.usual(conjugate=False)
    return NUMPY, "Transpose", {"axes": a.static("perm")}, {"x": a.any("a")}


def _matmul(a: Arguments) -> Made:
    a.usual(**dict.fromkeys(("adjoint_a", "adjoint_b", "a_is_sparse", "b_is_sparse"), False))
    left, right = ("ji" if a.static("transpose_a", False) else "ij"), ("kj" if a.static("transpose_b", False) else "jk")
    if (left, right) == ("ij", "jk"):
        return NUMPY, "Matmul", {}, {"x1": a.any("a"), "x2": a.any("b")}
    return NUMPY, "Einsum", {"subscripts": f"...{left},...{right}->...ik"}, {"*": [a.any("a"), a.any("b")]}


def _softmax(name: str) -> Function:
    return "logits axis", lambda a: (NN, name, {"axis": a.static("axis", -1)}, {"x": a.any("logits")})


def _joined(name: str, key: str) -> Function:
    def make(a: Arguments) -> Made:
        values = a.any("values")
        return NUMPY, name, {"axis": a.static("axis", 0)}, {key: values if isinstance(values[0], list) else [values]}

    return "values", make


def _clip(a: Arguments) -> Made:
    config = {"x_min": a.static("clip_value_min"), "x_max": a.static("clip_value_max")}
    return NUMPY, "Clip", config, {"x": a.any("t")}


def _where(a: Arguments) -> Made:
    return NUMPY, "Where", {}, {"condition": a.any("condition"), "x1": a.any("x"), "x2": a.any("y")}


def _pad(a: Arguments) -> Made:
    a.usual(constant_values=0)
    config = {"pad_width": a.static("paddings"), "mode": str(a.static("mode", "CONSTANT")).lower()}
    return NUMPY, "Pad", config, {"x": a.any("tensor")}


def _split(a: Arguments) -> Made:
    number = a.static("num_or_size_splits")
    if not isinstance(number, int):
        raise UnknownError("it splits into parts of given sizes")
    return NUMPY, "Split", {"indices_or_sections": number, "axis": a.static("axis", 0)}, {"x": a.any("value")}


def _gather(a: Arguments) -> Made:
    a.usual(batch_dims=0, validate_indices=None)
    indices = a.left.pop("indices")
    return NUMPY, "Take", {"axis": a.static("axis", 0)}, {"x": a.any("params"), "indices": indices}


def _unit(a: Arguments) -> Made:
    a.usual(epsilon=1e-12)
    return "keras.layers", "UnitNormalization", {"axis": a.static("axis")}, {"*": [a.any("x")]}


def _one_hot(a: Arguments) -> Made:
    a.usual(on_value=None, off_value=None)
    config = {"num_classes": a.static("depth"), "axis": a.static("axis", -1), "dtype": a.static("dtype", "float32")}
    return NN, "OneHot", config, {"x": a.any("indices")}


def _blocks(name: str) -> Function:
    def make(a: Arguments) -> Made:
        a.usual(data_format="NHWC")
        config = {"block_size": a.static("block_size"), "data_format": "channels_last"}
        return NN, name, config, {"x": a.any("input")}

    return "input block_size", make


def _cumsum(a: Arguments) -> Made:
    a.usual(exclusive=False, reverse=False)
    return NUMPY, "Cumsum", {"axis": a.static("axis", 0)}, {"x": a.any("x")}


def _leaky_relu(a: Arguments) -> Made:
    return NN, "LeakyRelu", {"negative_slope": a.static("alpha", 0.2)}, {"x": a.any("features")}


def _pool(name: str) -> Function:
    def make(a: Arguments) -> Made:
        a.usual(data_format="NHWC")
        size, strides = a.static("ksize"), a.static("strides")
        if not isinstance(size, int) or not isinstance(strides, int):
            raise UnknownError("its sizes are lists")
        config = {"pool_size": size, "strides": strides, "padding": str(a.static("padding")).lower()}
        return NN, name, {**config, "data_format": "channels_last"}, {"inputs": a.any("input")}

    return "input", make


def _item(a: Arguments) -> Made:
    spec = a.static("slice_spec")
    key = [_index(part) for part in spec] if isinstance(spec, list) else [_index(spec)]
    return NUMPY, "GetItem", {}, {"x": a.any("tensor"), "key": {"tuple": key}}


def _index(part: Any) -> Any:
    if isinstance(part, dict) and set(part) == {"start", "stop", "step"}:
        if any(value is not None and not isinstance(value, int) for value in part.values()):
            raise UnknownError("its slices are computed in the model")
        return {"slice": [part["start"], part["stop"], part["step"]]}
    if part in ({"class_name": "__ellipsis__"}, "Ellipsis"):  # in a file, and as a live layer says it
        return "..."
    if part is None or (isinstance(part, int) and not isinstance(part, bool)):
        return part
    raise UnknownError("it slices with something else than numbers")


def _silu(a: Arguments) -> Made:
    a.usual(beta=1.0)
    return NN, "Silu", {}, {"x": a.any("features")}


FUNCTIONS: dict[str, Function] = {
    **{f"math.{name.lower()}": _unary(NUMPY, name) for name in (
        "Negative", "Exp", "Expm1", "Square", "Tanh", "Sin", "Cos", "Tan", "Sinh", "Cosh", "Sign", "Floor", "Ceil", "Round",
        "Sqrt", "Log", "Log1p", "Reciprocal",
    )},
    "math.abs": _unary(NUMPY, "Absolute"),
    "math.sigmoid": _unary(NN, "Sigmoid"),
    "math.erf": _unary(MATH, "Erf"),
    "math.rsqrt": _unary(MATH, "Rsqrt"),
    "math.logical_not": _unary(NUMPY, "LogicalNot"),
    **{f"nn.{name.lower()}": _unary(NN, name, of="features") for name in ("Relu", "Relu6", "Elu", "Selu", "Softsign")},
    **{f"math.{name.lower()}": _unary(NN, name, of="features") for name in ("Softplus", "Softsign")},
    "nn.silu": ("features", _silu),
    "nn.leaky_relu": ("features", _leaky_relu),
    "nn.softmax": _softmax("Softmax"),
    "nn.log_softmax": _softmax("LogSoftmax"),
    "identity": ("input", lambda a: (NUMPY, "Copy", {}, {"x": a.any("input")})),
    "stop_gradient": ("input", lambda a: (CORE, "StopGradient", {}, {"variable": a.any("input")})),
    "cast": ("x", lambda a: (CORE, "Cast", {"dtype": a.static("dtype")}, {"x": a.any("x")})),
    **dict.fromkeys(("__operators__.add", "math.add"), _binary("Add")),
    **{f"math.{old}": _binary(new) for old, new in {
        "subtract": "Subtract", "multiply": "Multiply", "truediv": "TrueDivide", "divide": "TrueDivide",
        "maximum": "Maximum", "minimum": "Minimum", "pow": "Power", "floordiv": "FloorDivide", "floormod": "Mod",
        "greater": "Greater", "greater_equal": "GreaterEqual", "less": "Less", "less_equal": "LessEqual", "equal": "Equal",
        "not_equal": "NotEqual", "logical_and": "LogicalAnd", "logical_or": "LogicalOr",
    }.items()},
    "compat.v1.floor_div": _binary("FloorDivide"),
    "linalg.matmul": ("a b", _matmul),
    **{f"math.reduce_{name.lower()}": _reduced(name) for name in ("Mean", "Sum", "Max", "Min", "Prod", "Any", "All")},
    "reshape": _shaped("tensor shape", "Reshape", "shape", "newshape"),
    "expand_dims": _shaped("input axis", "ExpandDims", "axis", "axis"),
    "compat.v1.squeeze": _shaped("input axis", "Squeeze", "axis", "axis"),
    "squeeze": _shaped("input axis", "Squeeze", "axis", "axis"),
    "tile": _shaped("input multiples", "Tile", "multiples", "repeats"),
    "reverse": _shaped("tensor axis", "Flip", "axis", "axis"),
    "compat.v1.transpose": ("a perm", _transpose),
    "transpose": ("a perm", _transpose),
    "concat": _joined("Concatenate", "xs"),
    "stack": _joined("Stack", "x"),
    "split": ("value num_or_size_splits axis", _split),
    "compat.v1.gather": ("params indices", _gather),
    "gather": ("params indices", _gather),
    "clip_by_value": ("t clip_value_min clip_value_max", _clip),
    "math.l2_normalize": ("x axis", _unit),
    "one_hot": ("indices depth", _one_hot),
    "nn.space_to_depth": _blocks("SpaceToDepth"),
    "nn.depth_to_space": _blocks("DepthToSpace"),
    "ones_like": _unary(NUMPY, "OnesLike", of="input"),
    "zeros_like": _unary(NUMPY, "ZerosLike", of="input"),
    "where": ("condition x y", _where),
    "compat.v1.pad": ("tensor paddings", _pad),
    "pad": ("tensor paddings", _pad),
    "math.cumsum": ("x", _cumsum),
    "nn.max_pool2d": _pool("MaxPool"),
    "nn.avg_pool2d": _pool("AveragePool"),
    "__operators__.getitem": ("tensor slice_spec", _item),
}  # fmt: skip


def _smaller_first(call: Mapping[str, Any], arguments: dict[str, Any]) -> None:
    """Put the operand that is broadcast first: Keras 3 takes it for a bias behind the other (``rebuild.broadcast_sum``)."""
    shapes = [shape for shape, _ in call.get("input_specs", ())]
    if len(shapes) < 2 or not broadcasts(shapes):
        return
    if _fits(shapes[0], shapes[1]):
        return
    if not _fits(shapes[1], shapes[0]):
        raise UnknownError("both operands are broadcast, which Keras 3 gets wrong at some batch sizes")
    arguments["x1"], arguments["x2"] = arguments["x2"], arguments["x1"]


def _fits(small: list[int | None], large: list[int | None]) -> bool:
    """Whether an operand is broadcast to the shape of the other one, which stays as it is."""
    padded = [1] * (len(large) - len(small)) + small
    return len(padded) == len(large) and not any(b == 1 != a for a, b in zip(padded, large, strict=True))


def translated(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The layer of a graph as an operation of Keras 3: class, module, config and calls.

    Raises:
        UnknownError: when the function or one of its arguments is not translated.
    """
    function = str(entry["config"].get("function"))
    if function not in FUNCTIONS:
        raise UnknownError("no operation of Keras 3 is known to be the same")
    names, make = FUNCTIONS[function]
    made = []
    for call in entry["calls"]:
        arguments = Arguments(names, call)
        made.append(make(arguments))
        arguments.end()
        if made[-1][1] == "Add":
            _smaller_first(call, made[-1][3])
    if any(row[:3] != made[0][:3] for row in made):
        raise UnknownError("its calls differ")
    module, class_name, config, _ = made[0]
    if module == "keras.layers":
        config = {**config, "dtype": entry["config"].get("dtype")}
    calls = [{"inputs": row[3].pop("*", []), "kwargs": row[3]} for row in made]
    return {"class_name": class_name, "module": module, "config": config, "calls": calls}
