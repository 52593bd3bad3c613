"""Carried layers whose operations today's Keras has under names of its own: rebuilt from those, if that proves equal.

A table of TensorFlow operations and what they are in ``keras.ops``. A layer of which every operation is in it, without
weights, masks, phases or several forms of call, becomes a small functional model under its name. It is used only if it
gives what the recorded graph gives, values and gradients, on probes of several kinds; otherwise the graph stays.
"""

from typing import Any, Callable, Dict, List

import numpy as np

#: share of the largest value by which the two may differ: both compute in the same type, in another order at most
BOUND = 2e-6
#: elements of a constant that may stand in a model's configuration
CONSTANT = 4096


class _Unknown(Exception):
    """Something that the table does not have."""


def recognised(keras: Any, layer: Any, config: Dict[str, Any]) -> Any:
    """The model that does what a GraphLayer does, proved; None if there is none."""
    if config["weights"] or len(config["sites"]) != 1 or not hasattr(keras, "ops"):
        return None
    site = config["sites"][0]
    phase = site["inference"]
    if phase["graph"] != site["training"]["graph"] or any(site["masks"]) or site["mask"] or phase["updates"]:
        return None
    if any(shape is None or None in shape[2:] for shape, _ in phase["specs"]) or "gradient" in phase:
        return None
    try:
        model = _Maker(keras, config["graphs"][phase["graph"]]).model(phase, layer.name, config["returns_list"])
        # What cannot be written into a configuration, and read again, is no native layer.
        keras.models.model_from_json(model.to_json())
        return model if _equal(layer, model, phase["specs"]) else None
    except Exception:  # whatever Keras has against it: the recorded graph stays
        return None


class _Maker:
    """Symbolic values of the nodes of a graph, in order."""

    def __init__(self, keras: Any, graph: Dict[str, Any]) -> None:
        self.keras, self.ops, self.graph = keras, keras.ops, graph
        self.values = {}  # type: Dict[str, Any]

    def model(self, phase: Dict[str, Any], name: str, returns_list: bool) -> Any:
        """The functional model of the graph. Raises _Unknown."""
        inputs = []
        for key, (shape, dtype) in zip(phase["inputs"], phase["specs"]):
            inputs.append(self.keras.Input(batch_shape=shape, dtype=dtype))
            self.values[key.split(":")[0]] = inputs[-1]
        if self.graph["library"]:
            raise _Unknown("functions")
        for node in self.graph["nodes"]:
            self.values[node["name"]] = self._made(node)
        outputs = [self._value(key) for key, _, _ in phase["outputs"]]
        if any(isinstance(value, np.ndarray) or value is inputs[0] for value in outputs):
            raise _Unknown("an output that depends on nothing, or is the input")
        return self.keras.Model(
            inputs if len(inputs) > 1 else inputs[0], outputs if returns_list else outputs[0], name=name
        )

    def _value(self, ref: str) -> Any:
        name, _, index = ref.partition(":")
        if index not in ("", "0") or ref.startswith("^"):
            raise _Unknown(ref)
        return self.values[name]

    def _made(self, node: Dict[str, Any]) -> Any:
        if node["op"] == "Const":
            return _constant(node["attrs"]["value"]["tensor"])
        args = [self._value(ref) for ref in node["inputs"]]
        if node["op"] not in TABLE:
            raise _Unknown(node["op"])
        return TABLE[node["op"]](self.ops, args, node["attrs"])


def _constant(tensor: Dict[str, Any]) -> Any:
    size = int(np.prod(tensor["shape"], dtype=np.int64))
    if "values" not in tensor or size > CONSTANT:
        raise _Unknown("a large constant")
    dtype = DTYPES.get(tensor["dtype"])
    if dtype is None:
        raise _Unknown(tensor["dtype"])
    values = np.array([float(v) if isinstance(v, str) else v for v in tensor["values"]], dtype)
    return (np.full(size, values[0]) if values.size == 1 else values).astype(dtype).reshape(tensor["shape"])


def _operand(value: Any) -> Any:
    """A constant as it may stand beside a tensor: a number where it is one."""
    return value.item() if isinstance(value, np.ndarray) and value.ndim == 0 else value


def _unary(name: str, **more: Any) -> Callable[..., Any]:
    return lambda ops, args, attrs: getattr(ops, name)(_tensor(args[0]), **more)


def _binary(name: str) -> Callable[..., Any]:
    return lambda ops, args, attrs: getattr(ops, name)(_operand(args[0]), _operand(args[1]))


def _sum(ops: Any, args: Any, attrs: Any) -> Any:
    """Not ``ops.add`` for operands of different shapes: it takes one for a bias at some batch sizes (see the dialect)."""
    first, second = _operand(args[0]), _operand(args[1])
    shapes = [tuple(getattr(value, "shape", ())) for value in (first, second)]
    if shapes[0] == shapes[1] or () in shapes:
        return ops.add(first, second)
    return ops.subtract(first, ops.negative(second))


def _tensor(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        raise _Unknown("a computation on constants")
    return value


def _fixed(value: Any) -> Any:
    """A constant as Python numbers."""
    if not isinstance(value, np.ndarray):
        raise _Unknown("an argument that is computed")
    return value.tolist()


def _reduction(name: str) -> Callable[..., Any]:
    def make(ops: Any, args: Any, attrs: Any) -> Any:
        axes = _fixed(args[1])
        keep = bool(attrs.get("keep_dims", {}).get("b", False))
        return getattr(ops, name)(_tensor(args[0]), axis=tuple(axes) if isinstance(axes, list) else axes, keepdims=keep)

    return make


def _squeeze(ops: Any, args: Any, attrs: Any) -> Any:
    axes = [int(i) for i in attrs.get("squeeze_dims", {}).get("list", {}).get("i", [])]
    if len(axes) != 1:
        raise _Unknown("Squeeze of %s" % axes)
    return ops.squeeze(_tensor(args[0]), axis=axes[0])


def _reshape(ops: Any, args: Any, attrs: Any) -> Any:
    shape = _fixed(args[1])
    if not shape or shape[0] != -1 or -1 in shape[1:]:
        raise _Unknown("Reshape that does not leave the batch")
    return ops.reshape(_tensor(args[0]), tuple(shape))


def _slice(ops: Any, args: Any, attrs: Any) -> Any:
    begin, end, steps = (_fixed(value) for value in args[1:])
    masks = {key: int(attrs.get(key, {}).get("i", 0)) for key in ("begin_mask", "end_mask", "shrink_axis_mask")}
    if any(int(attrs.get(key, {}).get("i", 0)) for key in ("ellipsis_mask", "new_axis_mask")):
        raise _Unknown("a slice with new axes")
    key = []  # type: List[Any]
    for axis in range(len(begin)):
        if masks["shrink_axis_mask"] >> axis & 1:
            key.append(begin[axis])
        else:
            first = None if masks["begin_mask"] >> axis & 1 else begin[axis]
            last = None if masks["end_mask"] >> axis & 1 else end[axis]
            key.append(slice(first, last, steps[axis]))
    return _tensor(args[0])[tuple(key)]


def _flag(attrs: Any, name: str) -> bool:
    return bool(attrs.get(name, {}).get("b", False))


def _type(attrs: Any, name: str, default: str) -> str:
    named = attrs.get(name, {}).get("type", default)
    if named not in DTYPES:
        raise _Unknown(named)
    return DTYPES[named]


def _argmax(name: str) -> Callable[..., Any]:
    def make(ops: Any, args: Any, attrs: Any) -> Any:
        return ops.cast(
            getattr(ops, name)(_tensor(args[0]), axis=_fixed(args[1])), _type(attrs, "output_type", "DT_INT64")
        )

    return make


def _one_hot(ops: Any, args: Any, attrs: Any) -> Any:
    if (_fixed(args[2]), _fixed(args[3])) != (1, 0):
        raise _Unknown("OneHot of other numbers")
    axis = int(attrs.get("axis", {}).get("i", -1))
    return ops.one_hot(_tensor(args[0]), _fixed(args[1]), axis=axis, dtype=_type(attrs, "T", "DT_FLOAT"))


def _cumsum(ops: Any, args: Any, attrs: Any) -> Any:
    if _flag(attrs, "exclusive") or _flag(attrs, "reverse"):
        raise _Unknown("a Cumsum that is exclusive or goes back")
    return ops.cumsum(_tensor(args[0]), axis=_fixed(args[1]))


def _take(ops: Any, args: Any, attrs: Any) -> Any:
    if int(attrs.get("batch_dims", {}).get("i", 0)) or min(np.ravel(_fixed(args[1]))) < 0:
        raise _Unknown("a gather by rows of a batch")
    return ops.take(_tensor(args[0]), _fixed(args[1]), axis=_fixed(args[2]))


def _matmul(*transposed: str) -> Callable[..., Any]:
    def make(ops: Any, args: Any, attrs: Any) -> Any:
        sides = [_tensor(arg) for arg in args]
        for index, name in enumerate(transposed):
            if _flag(attrs, name):
                sides[index] = ops.swapaxes(sides[index], -1, -2)
        return ops.matmul(*sides)

    return make


def _pad(ops: Any, args: Any, attrs: Any) -> Any:
    mode = attrs.get("mode", {}).get("s", "")
    modes = {"": "constant", "UkVGTEVDVA==": "reflect", "U1lNTUVUUklD": "symmetric"}  # base64, as protobuf writes bytes
    if mode not in modes or (len(args) > 2 and _fixed(args[2]) != 0):
        raise _Unknown("a pad with other numbers")
    return ops.pad(_tensor(args[0]), [tuple(row) for row in _fixed(args[1])], mode=modes[mode])


def _resize(interpolation: str) -> Callable[..., Any]:
    def make(ops: Any, args: Any, attrs: Any) -> Any:
        if _flag(attrs, "align_corners"):
            raise _Unknown("a resize with aligned corners")
        return ops.image.resize(_tensor(args[0]), tuple(_fixed(args[1])), interpolation=interpolation)

    return make


def _leaky(ops: Any, args: Any, attrs: Any) -> Any:
    return ops.leaky_relu(_tensor(args[0]), negative_slope=float(attrs.get("alpha", {}).get("f", 0.2)))


def _cast(ops: Any, args: Any, attrs: Any) -> Any:
    return ops.cast(_tensor(args[0]), _type(attrs, "DstT", "DT_FLOAT"))


def _where(ops: Any, args: Any, attrs: Any) -> Any:
    return ops.where(_tensor(args[0]), _operand(args[1]), _operand(args[2]))


def _softmax(ops: Any, args: Any, attrs: Any) -> Any:
    return ops.softmax(_tensor(args[0]), axis=-1)


DTYPES = {
    "DT_FLOAT": "float32", "DT_DOUBLE": "float64", "DT_INT32": "int32", "DT_INT64": "int64", "DT_BOOL": "bool",
}  # fmt: skip
TABLE = {
    "Identity": lambda ops, args, attrs: args[0],
    "Neg": _unary("negative"), "Exp": _unary("exp"), "Log": _unary("log"), "Log1p": _unary("log1p"),
    "Sqrt": _unary("sqrt"), "Rsqrt": _unary("rsqrt"), "Square": _unary("square"), "Abs": _unary("abs"),
    "Sign": _unary("sign"), "Floor": _unary("floor"), "Sin": _unary("sin"), "Cos": _unary("cos"),
    "Tanh": _unary("tanh"), "Sigmoid": _unary("sigmoid"), "Relu": _unary("relu"), "Relu6": _unary("relu6"),
    "Elu": _unary("elu"), "Softplus": _unary("softplus"), "Softmax": _softmax,
    "Mul": _binary("multiply"), "Add": _sum, "AddV2": _sum, "Sub": _binary("subtract"),
    "RealDiv": _binary("true_divide"), "Maximum": _binary("maximum"), "Minimum": _binary("minimum"),
    "Pow": _binary("power"),
    "Mean": _reduction("mean"), "Sum": _reduction("sum"), "Max": _reduction("max"), "Min": _reduction("min"),
    "Prod": _reduction("prod"),
    "ExpandDims": lambda ops, args, attrs: ops.expand_dims(_tensor(args[0]), _fixed(args[1])),
    "Squeeze": _squeeze, "Reshape": _reshape, "StridedSlice": _slice,
    "Transpose": lambda ops, args, attrs: ops.transpose(_tensor(args[0]), tuple(_fixed(args[1]))),
    "ConcatV2": lambda ops, args, attrs: ops.concatenate([_tensor(a) for a in args[:-1]], axis=_fixed(args[-1])),
    "Pack": lambda ops, args, attrs: ops.stack([_tensor(a) for a in args], axis=int(attrs.get("axis", {}).get("i", 0))),
    "ReverseV2": lambda ops, args, attrs: ops.flip(_tensor(args[0]), axis=tuple(_fixed(args[1]))),
    "Reciprocal": _unary("reciprocal"), "Inv": _unary("reciprocal"), "Ceil": _unary("ceil"), "Round": _unary("round"),
    "Erf": _unary("erf"), "Selu": _unary("selu"), "Softsign": _unary("softsign"), "LogSoftmax": _unary("log_softmax"),
    "StopGradient": _unary("stop_gradient"), "LogicalNot": _unary("logical_not"),
    "Greater": _binary("greater"), "GreaterEqual": _binary("greater_equal"), "Less": _binary("less"),
    "LessEqual": _binary("less_equal"), "Equal": _binary("equal"), "NotEqual": _binary("not_equal"),
    "LogicalAnd": _binary("logical_and"), "LogicalOr": _binary("logical_or"),
    "SquaredDifference": lambda ops, args, attrs: ops.square(ops.subtract(_operand(args[0]), _operand(args[1]))),
    "Select": _where, "SelectV2": _where, "Cast": _cast, "LeakyRelu": _leaky,
    "ArgMax": _argmax("argmax"), "ArgMin": _argmax("argmin"), "OneHot": _one_hot, "Cumsum": _cumsum, "GatherV2": _take,
    "MatMul": _matmul("transpose_a", "transpose_b"), "BatchMatMul": _matmul("adj_x", "adj_y"),
    "BatchMatMulV2": _matmul("adj_x", "adj_y"), "Pad": _pad, "PadV2": _pad, "MirrorPad": _pad,
    "ResizeNearestNeighbor": _resize("nearest"), "ResizeBilinear": _resize("bilinear"),
    "Tile": lambda ops, args, attrs: ops.tile(_tensor(args[0]), tuple(_fixed(args[1]))),
}  # type: Dict[str, Callable[..., Any]]  # fmt: skip


def _equal(layer: Any, model: Any, specs: List[Any]) -> bool:
    """Whether both give the same, values and gradients, for every kind of probe."""
    import tensorflow as tf

    rng = np.random.RandomState(20240301)
    for low, high, batch in ((-1.0, 1.0, 3), (0.0, 255.0, 1), (-30.0, 30.0, 2), (0.0, 1e-3, 2)):
        tensors = []
        for shape, dtype in specs:
            size = [batch if i == 0 and d is None else d or 7 for i, d in enumerate(shape)]
            tensors.append(tf.cast(tf.constant(rng.uniform(low, high, size)), dtype))
        given = tensors if len(tensors) > 1 else tensors[0]
        found = []
        for side in (layer, model):
            with tf.GradientTape() as tape:
                tape.watch([t for t in tensors if t.dtype.is_floating])
                outputs = tf.nest.flatten(side(given))
                total = [tf.reduce_sum(tf.sin(tf.cast(o, "float32"))) for o in outputs if o.dtype.is_floating]
            gradients = tape.gradient(total, [t for t in tensors if t.dtype.is_floating]) if total else []
            found.append(outputs + list(gradients))
        if len(found[0]) != len(found[1]) or not all(map(_same, *found)):
            return False
    return True


def _same(expected: Any, found: Any) -> bool:
    if expected is None or found is None:
        return expected is found
    if expected.dtype != found.dtype or expected.shape != found.shape:
        return False
    expected, found = expected.numpy(), found.numpy()
    finite = np.isfinite(expected)
    if not np.array_equal(finite, np.isfinite(found)):
        return False
    scale = np.abs(expected[finite]).max() if finite.any() else 0.0
    return bool((np.abs(expected[finite].astype("float64") - found[finite]) <= BOUND * scale).all())
