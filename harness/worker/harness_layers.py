"""TensorFlow 1 graphs in today's TensorFlow: what a saved model with carried layers needs to load, and nothing else.

A carried layer is one whose Python source stayed behind. Its computation was traced in the old TensorFlow and stands
in the model's configuration as data: a list of TensorFlow operations. Import this module before `keras.models.load_model`.
It depends on TensorFlow and its Keras only and may be copied next to the model. For a model of `tf_keras`, import that first.
"""

import base64
import hashlib
import json
import sys
import zlib

import numpy as np
import tensorflow as tf
from google.protobuf import json_format
from tensorflow.core.framework import attr_value_pb2, graph_pb2, types_pb2

FORMAT = 1


class Graph:
    """A neutral graph (see ``nodes`` and ``library`` below), to be run on tensors with variables of the caller.

    Args:
        neutral: ``{"format": 1, "producer": {"graph_def_version"}, "nodes": [...], "library": [...]}``. A node is
            ``{"name", "op", "inputs", "attrs"}``, an attribute protobuf's JSON of an AttrValue, but a tensor
            ``{"tensor": {"dtype", "shape", "values" or "array"}}``.
        array: function from the name of a stored array to the array.
    """

    def __init__(self, neutral, array=None):
        if neutral.get("format") != FORMAT:
            raise ValueError(
                "graphs of format %r cannot be read; this module reads %d" % (neutral.get("format"), FORMAT)
            )
        self._array = array or {}.__getitem__
        self._prefix = "g%s_" % self._digest(neutral)[:16]
        self._functions = {f["signature"]["name"] for f in neutral["library"]}
        self.graph_def = self._graph_def(neutral)
        self._nodes = {node.name: node for node in self.graph_def.node}
        self._registered = False

    def run(self, feeds, variables, fetches, updates=()):
        """Tensors ``fetches`` (names such as ``"y:0"``), computed in the current graph, which must be one.

        Args:
            feeds: name of a tensor of the neutral graph -> tensor that takes its place.
            variables: name of a VarHandleOp -> tf.Variable that takes its place; tapes see it as read.
            updates: names of operations that are run as well, such as moving averages.
        """
        if tf.executing_eagerly():
            raise RuntimeError("a graph runs inside a tf.function; see Graph.function")
        self._register()
        graph = tf.compat.v1.get_default_graph()
        capture = getattr(graph, "capture", lambda tensor: tensor)
        input_map = {_tensor(name): capture(tensor) for name, tensor in feeds.items()}
        for name, variable in variables.items():
            variable.read_value()  # how a tape, and the function around, learn of the variable
            input_map[name + ":0"] = capture(variable.handle)
        self._import([_tensor(name) for name in fetches], (), input_map)
        found = [input_map[_tensor(name)] for name in fetches]
        if updates:
            # What is read for the outputs is read before it is updated; TensorFlow 1 left the order open.
            made = self._import([], updates, input_map)
            with tf.control_dependencies(made):
                found = [tf.identity(tensor) for tensor in found]
        return found

    def _import(self, tensors, operations, made):
        """Add what ``tensors`` and ``operations`` need to the current graph; returns the operations.

        ``made`` maps names of tensors to what stands for them, and grows by all that is imported.
        """
        nodes = self._needed([t for t in tensors if t not in made], operations, made)
        names = {node.name for node in nodes}
        graph_def = graph_pb2.GraphDef(versions=self.graph_def.versions, library=self.graph_def.library)
        used = set()
        for node in nodes:
            kept = graph_def.node.add()
            kept.CopyFrom(node)
            del kept.input[:]
            # A control edge to something fed, or made before, has nothing to wait for.
            kept.input.extend(i for i in node.input if not i.startswith("^") or i[1:] in names)
            used.update(_tensor(i) for i in kept.input if not i.startswith("^"))
        given = {name: made[name] for name in used if name in made}
        elements = tf.graph_util.import_graph_def(
            graph_def, input_map=given, return_elements=[node.name for node in nodes], name=""
        )
        by_name = {node.name: operation for node, operation in zip(nodes, elements)}
        for name, operation in by_name.items():
            made["^" + name] = operation
            for index, output in enumerate(operation.outputs):
                made.setdefault("%s:%d" % (name, index), output)
        return [by_name[name] for name in operations]

    def _needed(self, tensors, operations, fed):
        """The nodes without which nothing of ``tensors`` and ``operations`` can be computed from what is fed."""
        seen, stack = set(), [name.split(":")[0] for name in tensors] + list(operations)
        while stack:
            name = stack.pop()
            if name in seen:
                continue
            seen.add(name)
            for item in self._nodes[name].input:
                control = item.startswith("^")
                if item not in fed and _tensor(item[1:] if control else item) not in fed:
                    stack.append(item[1:] if control else item.split(":")[0])
        return [node for node in self.graph_def.node if node.name in seen]

    def _register(self):
        """Make the library known to the eager context: TensorFlow crashes on imported functions that are not."""
        if not self._registered and self.graph_def.library.function:
            from tensorflow.python.eager import context

            context.ensure_initialized()
            for function in self.graph_def.library.function:
                if not context.context().has_function(function.signature.name):
                    context.context().add_function_def(function)
        self._registered = True

    def _digest(self, neutral):
        """sha256 of the graph and of the arrays that it names: its functions get names that no other graph uses."""
        digest = hashlib.sha256(json.dumps(neutral, sort_keys=True).encode())
        for name in sorted(set(stored_arrays(neutral))):
            array = np.asarray(self._array(name))
            digest.update(repr(array.tolist()).encode() if array.dtype == object else array.tobytes())
        return digest.hexdigest()

    def _graph_def(self, neutral):
        graph_def = graph_pb2.GraphDef()
        graph_def.versions.producer = neutral["producer"]["graph_def_version"]
        for node in neutral["nodes"]:
            self._node(graph_def.node.add(), node)
        for function in neutral["library"]:
            made = graph_def.library.function.add()
            self._function(made, function)
            if function.get("gradient"):
                graph_def.library.gradient.add(
                    function_name=made.signature.name, gradient_func=self._named(function["gradient"])
                )
        return graph_def

    def _function(self, made, function):
        json_format.ParseDict(function["signature"], made.signature)
        made.signature.name = self._named(function["signature"]["name"])
        for node in function["nodes"]:
            self._node(made.node_def.add(), node)
        made.ret.update(function["ret"])
        made.control_ret.update(function["control_ret"])
        for key, value in function["attrs"].items():
            made.attr[key].CopyFrom(self._value(value))

    def _node(self, made, node):
        made.name, made.op = node["name"], self._named(node["op"])
        made.input.extend(node["inputs"])
        for key, value in node["attrs"].items():
            made.attr[key].CopyFrom(self._value(value))

    def _named(self, name):
        return self._prefix + name if name in self._functions else name

    def _value(self, value):
        made = attr_value_pb2.AttrValue()
        if "tensor" in value:
            made.tensor.CopyFrom(self._tensor(value["tensor"]))
        elif "func" in value:
            self._call(made.func, value["func"])
        elif "list" in value and "tensor" in value["list"]:
            made.list.tensor.extend(self._tensor(t) for t in value["list"]["tensor"])
        elif "list" in value and "func" in value["list"]:
            for function in value["list"]["func"]:
                self._call(made.list.func.add(), function)
        else:
            json_format.ParseDict(value, made)
            if "list" in value:
                made.list.SetInParent()
        return made

    def _call(self, made, function):
        made.name = self._named(function["name"])
        for key, value in function.get("attr", {}).items():
            made.attr[key].CopyFrom(self._value(value))

    def _tensor(self, value):
        dtype = tf.dtypes.DType(types_pb2.DataType.Value(value["dtype"]))
        if "array" in value:
            array = np.asarray(self._array(value["array"]))
            if array.dtype != object and array.dtype != dtype.as_numpy_dtype:
                array = array.view(dtype.as_numpy_dtype)  # bfloat16 and its like are stored as integers
        elif dtype == tf.string:
            array = np.array([text.encode() for text in value["values"]], dtype=object)
        else:
            array = np.array([_number(v) for v in value["values"]], dtype=dtype.as_numpy_dtype)
        size = int(np.prod(value["shape"], dtype=np.int64))
        if 1 < array.size < size:
            array = np.concatenate([array.ravel(), np.repeat(array.ravel()[-1:], size - array.size)])
        array = array.ravel() if array.size != 1 else array.reshape(())
        return tf.make_tensor_proto(array, dtype, value["shape"], allow_broadcast=True)


def stored_arrays(value):
    """Names of the stored arrays that a neutral graph uses."""
    if isinstance(value, dict):
        if isinstance(value.get("array"), str) and "dtype" in value:
            yield value["array"]
        for item in value.values():
            yield from stored_arrays(item)
    elif isinstance(value, list):
        for item in value:
            yield from stored_arrays(item)


def _tensor(name):
    """``name:0`` for ``name``: the syntax of input maps."""
    return name if ":" in name else name + ":0"


def _number(value):
    return float(value) if isinstance(value, str) else value


def _version(text):
    return tuple(int(part) for part in text.split(".")[:2])


def pack(array):
    """An array as JSON: numbers as compressed base64 of little-endian bytes, byte strings one by one."""
    array = np.asarray(array)
    if array.dtype == object:
        return {"shape": list(array.shape), "strings": [base64.b64encode(i).decode() for i in array.ravel().tolist()]}
    little = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False)
    content = base64.b64encode(zlib.compress(little.tobytes(), 6)).decode()
    return {"dtype": array.dtype.name, "shape": list(array.shape), "zlib": content}


def unpack(value):
    """The array that :func:`pack` wrote."""
    if "strings" in value:
        items = np.empty(len(value["strings"]), dtype=object)
        items[:] = [base64.b64decode(item) for item in value["strings"]]
        return items.reshape(value["shape"])
    data = zlib.decompress(base64.b64decode(value["zlib"]))
    return np.frombuffer(data, np.dtype(value["dtype"]).newbyteorder("<")).reshape(value["shape"])


class _Held:
    """What Keras 2 is not to look into: it wraps the lists and dicts that a layer has, and tracks them."""

    def __init__(self, **held):
        self.__dict__.update(held)


class _GraphLayer:
    """A layer of an old model as the TensorFlow operations that it consisted of, with weights, phases and gradients.

    Args:
        origin: what the layer was: its class, for people.
        weights: list of ``{"role", "shape", "dtype", "trainable"}``.
        sites: one for every form in which the layer was called: shapes, and the graphs of both phases.
        graphs: key -> neutral graph.
        arrays: name -> packed array, the large constants of the graphs.
        returns_list: whether a call gives a list, even of one tensor.
    """

    def __init__(self, origin, weights, sites, graphs, arrays, returns_list=False, **kwargs):
        super().__init__(**kwargs)
        data = {"origin": origin, "weights": weights, "sites": sites, "graphs": graphs, "arrays": arrays}
        held = {name: unpack(value) for name, value in arrays.items()}
        self.supports_masking = True
        self.supports_jit = False  # XLA does not know every operation, and no free loops
        self._held = _Held(
            data={**data, "returns_list": returns_list},
            graphs={key: Graph(graph, held.__getitem__) for key, graph in graphs.items()},
            functions={},
            numbers=None,
            by_role={
                row["role"]: self.add_weight(
                    name=row["role"],
                    shape=row["shape"],
                    dtype=row["dtype"],
                    trainable=row["trainable"],
                    initializer="zeros",
                )
                for row in weights
            },
        )
        self.built = True

    def get_config(self):
        return {**super().get_config(), **self._held.data}

    def build(self, *args, **kwargs):
        self.built = True

    def roles(self):
        """(role, weight) of every weight."""
        return list(self._held.by_role.items())

    def use_noise(self, arrays):
        """Take arrays, call by call, in the place of what random operations give at inference. For proofs."""
        self._held.numbers = list(arrays)

    def call(self, inputs, training=None, mask=None, site=None):
        tensors = tf.nest.flatten(inputs)
        described = self._site(tensors, site)
        masks = self._masks(tensors, mask)
        if training is None or isinstance(training, (bool, int)):
            return self._run(described["training" if training else "inference"], tensors, masks)
        return tf.cond(
            tf.cast(training, tf.bool),
            lambda: self._run(described["training"], tensors, masks),
            lambda: self._run(described["inference"], tensors, masks),
        )

    def compute_mask(self, inputs, previous_mask):
        site = self._site(tf.nest.flatten(inputs), None)
        if site["mask"] is None:
            return None
        if site["mask"].get("own"):
            return self._own_mask(site, tf.nest.flatten(inputs), previous_mask)
        given = self._masks(tf.nest.flatten(inputs), previous_mask)[site["mask"]["input"]]
        return [given for _ in site["inference"]["outputs"]] if self._held.data["returns_list"] else given

    def _own_mask(self, site, tensors, previous):
        """The mask that the layer makes of its inputs."""
        alone = {**site["inference"], "outputs": [site["inference"]["mask"]], "updates": [], "variables": {}}
        if type(tensors[0]).__name__ != "KerasTensor":
            return tf.nest.flatten(self._run(alone, tensors, self._masks(tensors, previous)))[0]
        # In a functional model a mask is a tensor like others, and comes from a layer of its own.
        whole = {**site, "inference": alone, "training": alone, "mask": None}
        config = {**self._held.data, "weights": [], "sites": [whole], "returns_list": False}
        made = type(self)(name=self.name + "_mask", **config)
        return made(tensors if len(tensors) > 1 else tensors[0], mask=previous)

    def _masks(self, tensors, mask):
        masks = list(mask) if isinstance(mask, (list, tuple)) else [mask]
        return masks + [None] * (len(tensors) - len(masks))

    def _site(self, tensors, site):
        """The site of a call: the one that is named, or the first whose shapes fit."""
        sites = self._held.data["sites"]
        if site is not None or len(sites) == 1:
            return sites[site or 0]
        for described in sites:
            if len(described["inputs"]) == len(tensors) and all(map(_fits, tensors, described["inputs"])):
                return described
        shapes = [tuple(tensor.shape) for tensor in tensors]
        raise ValueError("the layer %r was never called with inputs of the shapes %s" % (self.name, shapes))

    def _run(self, phase, tensors, masks):
        # A function of its own even inside of another: tapes do not see operations that are imported.
        held = self._held
        count = len(phase.get("noise", ())) if held.numbers else 0
        numbers, held.numbers = (held.numbers[:count], held.numbers[count:]) if count else ([], held.numbers)
        key = json.dumps([phase["graph"], phase["outputs"], phase["updates"], [m is not None for m in masks], count])
        if key not in held.functions:
            held.functions[key] = tf.function(lambda *given: self._inside(phase, *given), autograph=False, **_RELAXED)
        return held.functions[key](list(tensors), list(masks), [tf.constant(array) for array in numbers])

    def _inside(self, phase, tensors, masks, numbers):
        tensors = [tf.cast(tensor, dtype) for tensor, (_, dtype) in zip(tensors, phase["specs"])]
        if "gradient" not in phase:
            return self._forward(phase, tensors, masks, numbers)

        @tf.custom_gradient
        def forward(*tensors):
            made = self._forward(phase, tensors, masks)

            def backward(*outgoing, variables=()):
                return self._backward(phase["gradient"], tensors, masks, outgoing, variables)

            return made, backward

        return forward(*tensors)

    def _backward(self, gradient, tensors, masks, outgoing, variables):
        """What the layer itself says its gradient is: for its inputs, and for ``variables``."""
        given = [*tensors, *(mask for mask in masks if mask is not None)]
        feeds = dict(zip(gradient["given"], given))
        feeds.update((name, outgoing[index]) for index, name in gradient["outgoing"])
        held = {name: _variable(self._held.by_role[role]) for name, role in gradient["variables"].items()}
        roles = {_variable(weight).ref(): role for role, weight in self._held.by_role.items()}
        names = gradient["inputs"] + [gradient["weights"].get(roles.get(v.ref())) for v in variables]
        made = iter(self._held.graphs[gradient["graph"]].run(feeds, held, [name for name in names if name]))
        found = [next(made) if name else None for name in names]
        count = len(gradient["inputs"])
        return (found[:count], found[count:]) if len(variables) else found[:count]

    def _forward(self, phase, tensors, masks, numbers=()):
        feeds = dict(zip(phase["inputs"], tensors))
        feeds.update(zip(phase.get("noise", ()), numbers))
        for name, mask, tensor in zip(phase["masks"], masks, tensors):
            if name is not None:
                # What the source had a mask for, and is given none now, counts whole.
                shape = tf.shape(tensor)[:2]
                feeds[name] = tf.ones(shape, tf.bool) if mask is None else tf.cast(mask, tf.bool)
        variables = {name: _variable(self._held.by_role[role]) for name, role in phase["variables"].items()}
        names = [name for name, _, _ in phase["outputs"]]
        made = self._held.graphs[phase["graph"]].run(feeds, variables, names, phase["updates"])
        for tensor, (_, shape, _) in zip(made, phase["outputs"]):
            tensor.set_shape(shape)
        return made if self._held.data["returns_list"] else made[0]


def _fits(tensor, spec):
    shape = spec[0]
    return len(tensor.shape) == len(shape) and all(
        a is None or b is None or a == b for a, b in zip(tuple(tensor.shape), shape)
    )


def _variable(weight):
    """The tf.Variable of a weight: Keras 3's variables hold one, Keras 2's are one."""
    return weight if isinstance(weight, tf.Variable) else weight.value


#: the argument that keeps a tf.function from being traced for every batch size had another name before TF 2.9
_RELAXED = {"reduce_retracing" if _version(tf.__version__) >= (2, 9) else "experimental_relax_shapes": True}


def _for_keras_3(keras):
    @keras.saving.register_keras_serializable(package="harness", name="GraphLayer")
    class GraphLayer(_GraphLayer, keras.layers.Layer):
        __doc__ = _GraphLayer.__doc__

        def compute_output_spec(self, inputs, training=None, mask=None, site=None):
            tensors = tf.nest.flatten(inputs)
            described = self._site(tensors, site)
            batch = tensors[0].shape[0] if tensors and len(tensors[0].shape) else None
            made = []
            for _, shape, dtype in described["inference"]["outputs"]:
                if shape is None:
                    raise ValueError("the layer %r gives a tensor of unknown rank" % self.name)
                shape = [batch if i == 0 and size is None else size for i, size in enumerate(shape)]
                made.append(keras.KerasTensor(shape, dtype=dtype))
            return made if self._held.data["returns_list"] else made[0]

    return GraphLayer


def _for_keras_2(keras):
    @keras.utils.register_keras_serializable(package="harness", name="GraphLayer")
    class GraphLayer(_GraphLayer, keras.layers.Layer):
        __doc__ = _GraphLayer.__doc__

    return GraphLayer


def graph_layer(keras):
    """The class for a Keras; made, and known to it under the name ``harness>GraphLayer``, once."""
    if keras not in _MADE:
        major = int(getattr(keras, "__version__", tf.__version__).split(".")[0])
        _MADE[keras] = _for_keras_3(keras) if major >= 3 else _for_keras_2(keras)
    return _MADE[keras]


def _own_keras():
    """Keras 3 where it is TensorFlow's, else the Keras 2 that is part of it."""
    if _version(tf.__version__) < (2, 16):
        return tf.keras
    import keras

    return keras


_MADE = {}
GraphLayer = graph_layer(_own_keras())
if "tf_keras" in sys.modules:
    GraphLayer = graph_layer(sys.modules["tf_keras"])
