"""Golden records: probe inputs, the source model's outputs for them, and what each of its layers gave."""

from typing import Any, Dict, List, Tuple

import numpy as np

from . import compat, graph_domains, noise, probe, sensitivity, topology
from .arrays import ArrayWriter
from .errors import Refusal
from .noise import Noise
from .samples import read_samples

Records = Tuple[Dict[str, Any], List[Dict[str, Any]]]


def record(
    keras: Any, model: Any, graph: Dict[str, Any], writer: ArrayWriter, request: Dict[str, Any], owners: List[Any]
) -> Records:
    """The ``probes`` object of the manifest, and the index entries of the arrays written.

    ``owners`` are (path, role, variable, trains) of every weight, whose reach is measured where the request has ``notice``.

    Raises Refusal: probes-impossible when the model accepts no generated input, samples-invalid.
    """
    specs = [compat.tensor_spec(t) for t in compat.input_tensors(model)]
    inputs = [{"name": n, "shape": s, "dtype": d} for n, (s, d) in zip(compat.input_names(model), specs)]
    drawn = Noise(model, graph)
    both = compat.evaluator(
        keras, compat.input_tensors(model), list(model.outputs) + drawn.tensors, compat.state_updates(model)
    )
    held = {}  # type: Dict[int, List[Any]]

    def run(arrays: List[Any]) -> List[Any]:
        outputs, held[id(arrays)] = drawn.split(both(arrays))
        return outputs

    sets, dropped = _generated(keras, model, graph, inputs, run)
    if request.get("samples"):
        sets.append(_samples(request["samples"], model, inputs, run))
    continued = set()
    if sets and topology.asks_for_states(graph["layers"]):
        # The same input again, from the state that the first call left behind, or did not: TF 1.x's Bidirectional.
        name, arrays, _ = sets[0]
        first = evaluate(model, run, arrays)
        sets.insert(0, (name, arrays, first))
        sets[1] = (name + "-again", arrays, list(run(arrays)))
        continued.add(name + "-again")
    if not sets:
        raise Refusal("probes-impossible", "the source model %r accepts no generated input" % model.name, dropped)
    if drawn.layers:
        _, arrays, outputs = sets[0]
        again = compat.evaluator(keras, compat.input_tensors(model) + drawn.tensors, model.outputs)
        drawn.check(outputs, again(list(arrays) + held[id(arrays)]))
    entries, described = [], []  # type: List[Dict[str, Any]], List[Dict[str, Any]]
    for name, arrays, outputs in sets:
        holds = "the set before once more, without resetting the state" if name in continued else probe.describe(name)
        row = {"name": name, "holds": holds or "given with --inputs", "inputs": [], "outputs": []}
        row["continues"] = name in continued
        for kind, values in (("inputs", arrays), ("outputs", outputs), ("noise", held[id(arrays)])):
            names = []
            for index, value in enumerate(values):
                entries.append(writer.add("probe/%s/%s/%d" % (name, kind, index), value))
                names.append(entries[-1]["name"])
            if kind != "noise":
                row[kind] = names
            elif names:
                row[kind] = list(noise.rows(names, drawn.paths))
        described.append(row)
    recorder = _Layers(keras, writer, request.get("layer_budget", 64 << 20), drawn, held[id(sets[0][1])])
    layers, more = recorder.record(model, graph, sets[0])
    probes = {"seed": probe.SEED, "sets": described, "dropped": dropped, "layers": layers}
    if request.get("notice"):
        probes["sensitivity"] = sensitivity.measure(keras, model, graph, owners, sets, request["notice"])
    return probes, entries + more


def _domains(keras: Any, model: Any, graph: Any) -> List[Dict[str, Any]]:
    """What each input may hold; where layers are made of code, their operations tell too."""
    domains = probe.domains(graph)
    session = getattr(keras.backend, "get_session", None)
    if session and any("carried" in layer for _, layer in topology.leaves(graph)):
        tensors = compat.input_tensors(model)
        for found, bound, known in zip(
            domains, graph_domains.below(session(), tensors), graph_domains.ctc(session(), tensors)
        ):
            found["below"] = found["below"] or bound
            found.update(known)
    return domains


def _generated(keras: Any, model: Any, graph: Any, inputs: List[Any], run: Any) -> Any:
    """Sets that the model accepts, at the first lengths at which it accepts any, with finite outputs."""
    domains, rows = _domains(keras, model, graph), probe.multiple(graph)
    free = any(None in spec["shape"][1:] for spec in inputs)
    reasons = []  # type: List[str]
    for lengths in probe.LENGTHS if free else probe.LENGTHS[:1]:
        sets, reasons = [], []
        for name in [row[0] for row in probe.SETS]:
            arrays = [probe.make(name, spec, domains[i], lengths, i, rows) for i, spec in enumerate(inputs)]
            try:
                outputs = evaluate(model, run, arrays)
            except Exception as error:
                if not compat.is_float_op_error(error):
                    raise
                reasons.append("%s: %s" % (name, str(error).strip().splitlines()[0][:300]))
                continue
            bad = [i for i, o in enumerate(outputs) if o.dtype.kind == "f" and not np.isfinite(o).all()]
            if bad or not all(o.size for o in outputs):
                reasons.append("%s: the source model's outputs %s are not finite (or are empty) for it" % (name, bad))
                continue
            sets.append((name, arrays, outputs))
        if sets:
            return sets, reasons
    return [], reasons


def evaluate(model: Any, run: Any, arrays: List[Any]) -> List[Any]:
    """Outputs of a call that starts from the initial state."""
    if compat.is_stateful(model):
        compat.reset_states(model)
    return list(run(arrays))


def _samples(path: str, model: Any, inputs: List[Any], run: Any) -> Any:
    arrays = read_samples(path, inputs)
    try:
        return ("samples", arrays, evaluate(model, run, arrays))
    except Exception as error:
        if not compat.is_float_op_error(error):
            raise
        shapes = ["%s: expected %s, found %s" % (s["name"], s["shape"], list(a.shape)) for s, a in zip(inputs, arrays)]
        raise Refusal("samples-invalid", "the model does not accept the samples: %s" % error, shapes)


class _Layers:
    """Records what every layer call gives for one probe set, within a budget of bytes.

    Above the budget a tensor is sampled: every ``stride``-th element of its flat form. The interior of a
    nested model is recorded by running it alone on its first call's inputs.
    """

    def __init__(self, keras: Any, writer: ArrayWriter, budget: int, drawn: Noise, numbers: List[Any]) -> None:
        self.keras, self.writer, self.left = keras, writer, budget
        self.drawn, self.numbers = drawn, numbers
        self.entries = []  # type: List[Dict[str, Any]]
        self.records = []  # type: List[Dict[str, Any]]
        self.nested = []  # type: List[Dict[str, Any]]

    def record(self, model: Any, graph: Any, probe_set: Any) -> Records:
        self._graph(model, graph, probe_set[1], ())
        return {"set": probe_set[0], "records": self.records, "nested_inputs": self.nested}, self.entries

    def _graph(self, model: Any, graph: Any, arrays: List[Any], path: Tuple[str, ...]) -> None:
        calls = [(layer, index) for layer, index in topology.schedule(graph) if layer["class_name"] != "InputLayer"]
        live = {part.name: part for part in compat.parts(model)}
        tensors, owners = [], []  # type: List[Any], List[Any]
        for layer, index in calls:
            for position, tensor in enumerate(
                compat.node_outputs(compat.network_nodes(model, live[layer["name"]])[index])
            ):
                tensors.append(tensor)
                owners.append((layer["name"], index, position))
        given = compat.input_tensors(model) + self.drawn.tensors  # nested models that draw numbers are not entered
        values = evaluate(model, compat.evaluator(self.keras, given, tensors), list(arrays) + self.numbers)
        by_owner = dict(zip(owners, values))
        for tensor, array in zip(graph["inputs"], arrays):
            by_owner[tuple(tensor)] = array
        for (name, index, position), value in zip(owners, values):
            self._add(path + (name,), index, position, value)
        for layer in graph["layers"]:
            if "graph" in layer and layer["calls"] and not self.drawn.layers:
                given = [by_owner[tuple(t)] for t in layer["calls"][0]["inputs"]]
                here = path + (layer["name"],)
                if self._inputs(here, given):
                    self._graph(live[layer["name"]], layer["graph"], given, here)

    def _add(self, path: Tuple[str, ...], call: int, position: int, value: Any) -> None:
        value = np.asarray(value)
        stride = 1
        if value.nbytes > self.left // 4:
            stride = int(np.ceil(value.nbytes / max(self.left // 4, 1 << 12)))
        stored = value if stride == 1 else value.reshape(-1)[::stride]
        self.left = max(0, self.left - stored.nbytes)
        entry = self.writer.add("layer/%d" % len(self.records), stored)
        self.entries.append(entry)
        where = {"path": list(path), "call": call, "tensor": position, "array": entry["name"], "stride": stride}
        self.records.append(dict(where, shape=list(value.shape)))

    def _inputs(self, path: Tuple[str, ...], arrays: List[Any]) -> bool:
        size = sum(a.nbytes for a in arrays)
        if size > self.left // 2:
            return False
        self.left -= size
        names = []
        for index, array in enumerate(arrays):
            self.entries.append(self.writer.add("nested/%d/%d" % (len(self.nested), index), array))
            names.append(self.entries[-1]["name"])
        self.nested.append({"path": list(path), "arrays": names})
        return True
