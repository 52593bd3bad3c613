"""Random numbers that layers made of code draw at inference: recorded in the source, handed to both sides in proofs.

A sampling layer (``K.random_normal`` in a variational autoencoder) gives another output with every run. What its random
operations gave is recorded with the outputs (``noise`` of a probe set); in the target the carried layer takes the same
numbers in their place. Outside of proofs it draws its own, from another generator.
"""

import re
from typing import Any, Dict, Iterator, List, Tuple

import numpy as np

from . import compat, compat_graph, topology
from .errors import Refusal

_REMEDY = "Take the layers out of the source model, or supply versions of them that draw no numbers, with --custom-objects FILE.py."


def is_random(graph: Dict[str, Any]) -> bool:
    """Whether a neutral graph draws random numbers, in its functions too."""
    return any(compat_graph.is_random(node["op"]) for part in [graph] + graph["library"] for node in part["nodes"])


def drawing(graph: Dict[str, Any]) -> List[Tuple[Any, Dict[str, Any]]]:
    """(path, entry) of every carried layer that draws random numbers at inference."""
    return [(path, layer) for path, layer in topology.leaves(graph) if layer.get("carried", {}).get("random")]


class Noise:
    """The random tensors of a live model of TensorFlow 1, and the layers that draw them."""

    def __init__(self, model: Any, graph: Dict[str, Any]) -> None:
        self.layers = drawing(graph)
        self.tensors, self.paths = [], []  # type: List[Any], List[List[str]]
        if not self.layers:
            return
        if compat.import_tensorflow().executing_eagerly():
            self.refuse("what is drawn can be recorded in TensorFlow 1 only")
        outputs = [t for layer in model.layers for node in compat.network_nodes(model, layer)
                   for t in compat.node_outputs(node)]  # fmt: skip
        self.tensors = compat_graph.random_tensors(outputs, compat.input_tensors(model))
        self.paths = [self._owner(tensor) for tensor in self.tensors]
        for path, layer in self.layers:
            each = {len(site["inference"].get("noise", ())) for site in layer["carried"]["sites"]}
            if each == {0} or any(not n or self.paths.count(list(path)) % n for n in each):
                self.refuse("what it draws cannot be told apart")

    def _owner(self, tensor: Any) -> List[str]:
        if len(self.layers) == 1:
            return list(self.layers[0][0])
        parts = tensor.op.name.split("/")
        found = [
            path for path, _ in self.layers if any(re.fullmatch(re.escape(path[-1]) + r"(_\d+)?", p) for p in parts)
        ]
        exact = [path for path in found if path[-1] in parts]
        if len(exact or found) != 1:
            self.refuse("what it draws cannot be told apart")
        return list((exact or found)[0])

    def split(self, values: List[Any]) -> Tuple[List[Any], List[Any]]:
        """Outputs and random numbers of a run that fetched both."""
        count = len(values) - len(self.tensors)
        return values[:count], values[count:]

    def check(self, once: List[Any], again: List[Any]) -> None:
        """Raises Refusal outputs-random if two runs with the same random numbers differ by more than rounding."""
        for first, second in zip(once, again):
            if first.dtype.kind == "f" and not np.allclose(first, second, rtol=1e-3, atol=1e-3 * np.abs(first).max()):
                self.refuse("it draws random numbers inside a loop or a condition")

    def refuse(self, why: str) -> None:
        """Raises Refusal outputs-random with every layer that draws numbers."""
        message = "the outputs differ from call to call, so nothing can be proved"
        details = ["%s (class %s): %s" % ("/".join(path), layer["class_name"], why) for path, layer in self.layers]
        raise Refusal("outputs-random", message, details, _REMEDY)


def give(model: Any, here: Any, probe_set: Dict[str, Any], reader: Any) -> None:
    """Hand the recorded numbers of a probe set to the layers of a target's model; ``here`` maps a source's path."""
    by_path = {}  # type: Dict[Tuple[str, ...], List[Any]]
    for row in probe_set.get("noise", ()):
        by_path.setdefault(tuple(row["layer"]), []).append(reader.get(row["array"]))
    for path, arrays in by_path.items():
        live = model
        for name in here(list(path)):
            live = live.get_layer(name)
        live.use_noise(arrays)


def rows(names: List[str], paths: List[List[str]]) -> Iterator[Dict[str, Any]]:
    """The ``noise`` of a probe set: the layer and the array of every random tensor, in the order of calls."""
    for name, path in zip(names, paths):
        yield {"layer": path, "array": name}
