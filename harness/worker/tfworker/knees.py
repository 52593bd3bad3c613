"""Gradients with units on the knee of their activation held to the side on which the source has them.

A large network has a million units; in float32 some always lie so near to zero that the source and this TensorFlow, which
round otherwise, disagree about their sign, or about which of two is the larger. Outputs do not notice, gradients jump. The
source wrote down its values of all units that are near a knee (``graph_knees``). ``Held`` takes the slope of those, and
of no others, at the source's value instead of at this one's, from which it differs by no more than rounding.
"""

from contextlib import contextmanager
from typing import Any, Callable, Dict, Iterator, List

import numpy as np

from .arrays import ArrayReader
from .compat_gradients import replaced_gradients
from .compat_graphs import default_graph
from .graphs.names import node_of


class Held(object):
    """The units near knees of the probe sets of one signature; ``reach`` is how near counts, as a share of the largest value.

    ``moved`` lists, after gradients were taken, the units at which holding made a difference.
    """

    def __init__(self, tf: Any, reach: float, sets: List[Dict[str, Any]], reader: ArrayReader) -> None:
        self.tf, self.reach, self.reader = tf, reach, reader
        self._rows = [row for probe_set in sets for row in (probe_set.get("gradients") or {}).get("knees", ())]
        self._now, self._probe = {}, ""  # type: Dict[str, List[Any]], str
        self.moved = []  # type: List[Dict[str, Any]]

    @classmethod
    def of(cls, tf: Any, knees: Any, sets: List[Dict[str, Any]], reader: ArrayReader) -> "Held":
        """What the ``knees`` of a request say; None there holds nothing."""
        return cls(tf, knees["reach"], sets, reader) if knees else cls(tf, 0.0, [], reader)

    def use(self, probe_set: Dict[str, Any]) -> None:
        """Hold the units of this probe set from now on."""
        self._now, self._probe = {}, probe_set["name"]
        for row in (probe_set.get("gradients") or {}).get("knees", ()) if self._rows else ():
            distances = self.reader.get(row["distances"])
            near = distances <= self.reach
            if near.any():
                units, values = self.reader.get(row["units"])[near], self.reader.get(row["values"])[near]
                entry = (row["input"], tuple(row["shape"]), row["scale"], units, values, distances[near])
                self._now.setdefault(row["node"], []).append(entry)

    @contextmanager
    def in_graphs(self) -> Iterator[None]:
        """Functions whose gradients are made meanwhile hold what the nodes have that they were made of."""
        nodes = {row["node"] for row in self._rows}

        def extended(function: Callable[..., Any]) -> Callable[..., Any]:
            def gradient(op: Any, *outgoing: Any) -> Any:
                name = node_of(getattr(op, "name", ""))
                return self._in_graph(op, name, function, outgoing) if name in nodes else function(op, *outgoing)

            return gradient

        with replaced_gradients(sorted({row["op"] for row in self._rows}), extended):
            yield

    def _in_graph(self, op: Any, node: str, function: Callable[..., Any], outgoing: Any) -> Any:
        """The gradient of an operation whose inputs are the held ones."""
        inputs = [self._substituted(node, i, x) for i, x in enumerate(op.inputs)]
        attrs = {key: value for key, value in op.node_def.attr.items() if not key.startswith("_")}
        dtypes = [tensor.dtype for tensor in op.outputs]
        again = default_graph().create_op(op.type, inputs, dtypes, name="held", attrs=attrs)
        plain, held = function(op, *outgoing), function(again, *outgoing)
        several = isinstance(held, (list, tuple))
        pairs = zip(plain if several else [plain], held if several else [held])
        made = [h if h is None else self._compared(node, p, h) for p, h in pairs]
        return made if several else made[0]

    @contextmanager
    def in_model(self, model: Any, nodes: Dict[str, List[str]]) -> Iterator[None]:
        """The layers and operations of a Keras model hold what the nodes have that they stand for; run it eagerly."""
        known = {row["node"] for row in self._rows}
        of = {layer: [node for node in names if node in known] for layer, names in nodes.items()}
        changed = [made for made in model.operations if of.get(made.name) and not getattr(made, "weights", ())]
        for operation in changed:
            operation.call = self._calling(operation.call, of[operation.name])
        try:
            yield
        finally:
            for operation in changed:
                del operation.call

    def _calling(self, call: Callable[..., Any], nodes: List[str]) -> Callable[..., Any]:
        tf = self.tf

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            flat = tf.nest.flatten((args, kwargs))
            places = [i for i, x in enumerate(flat) if tf.is_tensor(x) and x.dtype.is_floating]

            def run(*tensors: Any) -> Any:
                given = list(flat)
                for place, tensor in zip(places, tensors):
                    given[place] = tensor
                again, more = tf.nest.pack_sequence_as((args, kwargs), given)
                return call(*again, **more)

            @tf.custom_gradient  # type: ignore[untyped-decorator]
            def held(*tensors: Any) -> Any:
                def gradient(*outgoing: Any) -> List[Any]:
                    plain = _slopes(tf, run, tensors, outgoing)
                    inputs = list(tensors)
                    for node in nodes:
                        inputs = [self._substituted(node, i, x) for i, x in enumerate(inputs)]
                    found = _slopes(tf, run, inputs, outgoing)
                    return [self._compared(nodes[0], p, h) for p, h in zip(plain, found)]

                return run(*tensors), gradient

            return held(*[flat[place] for place in places])

        return wrapped

    def _substituted(self, node: str, position: int, x: Any) -> Any:
        if not x.dtype.is_floating:
            return x

        def substitute(value: Any) -> Any:
            of_shape = [entry for entry in self._now.get(node, ()) if entry[1] == tuple(value.shape)]
            out = np.array(value).ravel()
            for _, _, scale, units, values, _ in sorted(of_shape, key=lambda entry: entry[0] != position)[:1]:
                rounding = np.abs(out[units] - values) <= self.reach * scale
                out[units[rounding]] = values[rounding]
            return out.reshape(value.shape)

        return self._in_numpy(substitute, [x], x)

    def _compared(self, node: str, plain: Any, held: Any) -> Any:
        def compare(plain: Any, held: Any) -> Any:
            different = set(np.nonzero((plain != held).ravel())[0].tolist())
            for _, shape, _, units, _, distances in self._now.get(node, ()):
                if shape == tuple(held.shape):
                    for unit, distance in zip(units.tolist(), distances.tolist()):
                        if unit in different:
                            index = [int(i) for i in np.unravel_index(unit, shape)]
                            row = {"layer": node, "unit": index, "distance": float(distance), "probe": self._probe}
                            self.moved += [row] if row not in self.moved else []
            return held

        if plain is None or held is None:
            return held
        return self._in_numpy(compare, [plain, held], held)

    def _in_numpy(self, function: Callable[..., Any], given: List[Any], like: Any) -> Any:
        made = self.tf.numpy_function(function, given, like.dtype)
        made.set_shape(like.shape)
        return made


def _slopes(tf: Any, run: Callable[..., Any], tensors: Any, outgoing: Any) -> List[Any]:
    with tf.GradientTape() as tape:
        for tensor in tensors:
            tape.watch(tensor)
        made = run(*tensors)
    found = tape.gradient(tf.nest.flatten(made), list(tensors), output_gradients=list(outgoing))
    return [tf.zeros_like(x) if g is None else g for x, g in zip(tensors, found)]
