"""The source model in float64: outputs for every probe set, and the layers' outputs for the recorded one.

Array names are those of the float32 record behind ``double/``; layers are sampled with the same stride. Written to
``double.npz``. Nothing here may fail a migration: what is not computed is named in ``skipped``.
"""

import os
from typing import Any, Dict, List

import numpy as np

from . import carry, compat, exact, record
from .arrays import ArrayReader, ArrayWriter

FILE = "double.npz"
#: at ``standard``: weights, and numbers that all layers together give for the recorded set, above which nothing is computed
WEIGHTS_UP_TO, NUMBERS_UP_TO = 40000000, 400000000
#: at ``standard``: numbers that the layers recorded in float64 give together, the smallest layers first
LAYERS_UP_TO = 40000000


def write(keras: Any, model: Any, graph: Dict[str, Any], manifest: Dict[str, Any], bundle: str, level: str) -> Any:
    """(the ``double`` object of the probes, index entries of the arrays written)."""
    told = {"level": level, "skipped": None, "layers": False}  # type: Dict[str, Any]
    with exact.reasons(told, "it"):
        if manifest["required_features"]:
            raise exact.Skipped("it has layers made of code, which are recorded in their own types")
        config = exact.config_of(keras, model)
        _refuse(manifest, level)
        with exact.in_float64(keras), ArrayWriter(os.path.join(bundle, FILE)) as writer:
            live = _Live(keras, exact.build(keras, type(model), config), graph, manifest, bundle, writer)
            rows = manifest["probes"]["layers"]["records"]
            told["layers"] = live.record(rows if level == "full" else smallest(rows, LAYERS_UP_TO))
            return told, live.entries
    return told, []


def _refuse(manifest: Dict[str, Any], level: str) -> None:
    """Raises Skipped for what is in float64 already, and for what is too large unless everything was asked for."""
    weights = [entry for entry in manifest["arrays"] if "role" in entry]
    if any(entry["dtype"] == "float64" for entry in weights):
        raise exact.Skipped("it computes in float64 already")
    size = sum(int(np.prod(entry["shape"], dtype=np.int64)) for entry in weights)
    if level != "full" and size > WEIGHTS_UP_TO:
        raise exact.Skipped("it has more than %d weights; --proof full computes it all the same" % WEIGHTS_UP_TO)
    if level != "full" and _elements(manifest) > NUMBERS_UP_TO:
        why = "its layers give more than %d numbers for one probe set; --proof full computes it all the same"
        raise exact.Skipped(why % NUMBERS_UP_TO)


def smallest(records: List[Dict[str, Any]], numbers: int) -> List[Dict[str, Any]]:
    """As many records, in their order, as give up to ``numbers`` together; the smallest of them all.

    A model that is large because of its first layers has its recurrent ones last, which amplify rounding most.
    """
    chosen, left = set(), numbers
    for row in sorted(records, key=_size):
        left -= _size(row)
        if left < 0:
            break
        chosen.add(row["array"])
    return [row for row in records if row["array"] in chosen]


def _size(row: Dict[str, Any]) -> int:
    return int(np.prod(row["shape"], dtype=np.int64))


def _elements(manifest: Dict[str, Any]) -> int:
    return sum(_size(row) for row in manifest["probes"]["layers"]["records"])


class _Live:
    """The model in float64, with the bundle's weights."""

    def __init__(self, keras: Any, model: Any, graph: Any, manifest: Any, bundle: str, writer: Any) -> None:
        self.keras, self.model, self.graph, self.writer = keras, model, graph, writer
        self.probes, self.reader = manifest["probes"], exact.Reader(ArrayReader(bundle, manifest["arrays"]))
        self.specs = manifest["model"]["outputs"]
        self.entries = []  # type: List[Dict[str, Any]]
        self._assign()

    def _assign(self) -> None:
        from .write_bundle import owners_of  # write_bundle uses this module

        pairs = []
        for path, role, variable, _ in owners_of(self.model, self.graph):
            value = self.reader.get("/".join(path + (role,)))
            pairs.append((variable, np.asarray(value, dtype=compat.tensor_spec(variable)[1])))
        compat.assign(self.keras, pairs)

    def record(self, layers: List[Dict[str, Any]]) -> bool:
        """Write all outputs and the records of ``layers``; whether these are all that there are."""
        model = self.model
        single = exact.single_tensors(model.outputs, compat.output_names(model))
        if single:
            raise exact.Skipped("the output %s stays in float32: a cast inside leads there" % ", ".join(single))
        run = compat.evaluator(self.keras, compat.input_tensors(model), model.outputs, compat.state_updates(model))
        for row in self.probes["sets"]:
            arrays = [self.reader.get(name) for name in row["inputs"]]
            outputs = list(run(arrays)) if row["continues"] else record.evaluate(model, run, arrays)
            for name, value in zip(row["outputs"], outputs):
                self._add(name, value)
        if not layers:
            return False
        first = next(row for row in self.probes["sets"] if row["name"] == self.probes["layers"]["set"])
        self._graph(model, [], layers, [self.reader.get(name) for name in first["inputs"]])
        for nested in self.probes["layers"]["nested_inputs"]:
            inner = carry.layer_at(model, nested["path"])
            self._graph(inner, nested["path"], layers, [self.reader.get(name) for name in nested["arrays"]])
        return len(layers) == len(self.probes["layers"]["records"])

    def _graph(self, model: Any, path: List[str], layers: List[Dict[str, Any]], arrays: List[Any]) -> None:
        records = [row for row in layers if row["path"][:-1] == path]
        live = {part.name: part for part in compat.parts(model)}
        tensors = {}  # type: Dict[str, Any]
        for row in records:
            nodes = compat.network_nodes(model, live[row["path"][-1]])
            tensors[row["array"]] = compat.node_outputs(nodes[row["call"]])[row["tensor"]]
        single = exact.single_tensors(list(tensors.values()), ["/".join(row["path"]) for row in records])
        if single:
            raise exact.Skipped("the layer %s gives float32 whatever the model's type is" % single[0])
        for group in exact.groups(records):
            wanted = [tensors[row["array"]] for row in group]
            run = compat.evaluator(self.keras, compat.input_tensors(model), wanted)
            for row, value in zip(group, record.evaluate(model, run, arrays)):
                flat = value if row["stride"] == 1 else value.reshape(-1)[:: row["stride"]]
                self._add(row["array"], flat)

    def _add(self, name: str, value: Any) -> None:
        self.entries.append(self.writer.add(exact.PREFIX + name, value))
