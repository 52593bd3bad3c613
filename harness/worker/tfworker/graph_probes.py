"""Probes of graphs: inputs of every signature, what the source session gives for them, and gradients."""

from typing import Any, Dict, List, Optional

import numpy as np

from . import graph_domains, probe
from .arrays import ArrayWriter
from .compat_graphs import gradient_tensors, v1, variable_shape
from .errors import Refusal
from .graph_knees import NearKnees
from .samples import read_samples

#: ranks tried for an input whose rank the graph leaves open
RANKS = (2, 1, 0, 3, 4)
#: numbers below which integers without a known domain are drawn
CEILINGS = (5, 2, 1)
#: elements of all gradients of one probe set, at most, for a second set to be recorded
SECOND_SET = 1 << 20
_RANDOM = ("Random", "Multinomial", "TruncatedNormal", "ParameterizedTruncatedNormal", "StatelessRandom")


def record(part: Any, trained: List[str], writer: ArrayWriter, request: Dict[str, Any]) -> Any:
    """The ``probes`` object of a graph's manifest, the index entries of its arrays, and signature -> inputs of its sets.

    Raises Refusal: probes-impossible naming the signature, outputs-random naming the operations, samples-invalid.
    """
    entries, sets, dropped, refused, notes = [], [], [], [], []  # type: Any, Any, List[str], List[str], List[str]
    given, probed = request.get("samples"), {}  # type: Any, Dict[str, Any]
    for key in sorted(part.signatures):
        one = _Signature(part, key, trained, request.get("notice") or {})
        found, reasons = one.generated()
        if given:
            found = one.samples(given) + found
        if not found:
            refused += ["%s: %s" % (key, reason) for reason in reasons] or [key]
            continue
        dropped += ["%s: %s" % (key, reason) for reason in reasons]
        one.refuse_random(found[0])
        probed[key] = [row[2] for row in found]
        for position, row in enumerate(found):
            sets.append(one.written(row, writer, entries, position))
        notes += list(dict.fromkeys(one.notes))
    if refused:
        raise Refusal("probes-impossible", "%d signatures accept no generated input" % len(refused), refused)
    return {"seed": probe.SEED, "sets": sets, "dropped": dropped, "notes": notes}, entries, probed


class _Signature(object):
    def __init__(self, part: Any, key: str, trained: List[str], near: Dict[str, float]) -> None:
        self.part, self.key = part, key
        self.signature = part.signatures[key]
        self.inputs, self.outputs = self.signature["inputs"], self.signature["outputs"]
        self.trained = [name for name in trained if name in part.needed(key)]
        self.notes = []  # type: List[str]
        self._gradients = None  # type: Any
        self._knees = NearKnees(part, key, near)

    def generated(self) -> Any:
        """[(name, holds, inputs, outputs)] at the first sizes that the graph accepts, and why others are not there."""
        domains = graph_domains.domains(self.part, self.inputs)
        free = any(spec["shape"] is None or None in spec["shape"] for spec in self.inputs.values())
        sizes = [(size, size, size) for size in graph_domains.sizes(self.part, self.inputs)] if free else []
        unknown = any(spec["shape"] is None for spec in self.inputs.values())
        best, reasons = [], ["there are no sizes to try"]  # type: Any, List[str]
        for ceiling in CEILINGS:
            for rank in RANKS if unknown else RANKS[:1]:
                for lengths in sizes + list(probe.LENGTHS[:7]) if free else probe.LENGTHS[:1]:
                    found, failed = self._attempt(domains, lengths, rank, ceiling)
                    if len(found) > len(best) or not best and not failed:
                        best, reasons = found, failed
                    elif not best:
                        reasons = failed
                    if not failed:
                        return found, []
        return best, reasons

    def _attempt(self, domains: Any, lengths: Any, rank: int, ceiling: int) -> Any:
        found, failed = [], []  # type: Any, List[str]
        for row in probe.SETS:
            arrays = graph_domains.make(row[0], self.inputs, domains, lengths, rank, ceiling)
            try:
                values = self._run(arrays)
            except Exception as error:  # the graph says no in many ways
                failed.append("%s: %s" % (row[0], (str(error).strip() or type(error).__name__).splitlines()[0][:300]))
                if not found:
                    break  # the sizes do not fit: the other sets would fail as well
                continue
            bad = [n for n, v in values.items() if v.dtype.kind == "f" and not np.isfinite(v).all()]
            if bad or not any(v.size for v in values.values()):
                failed.append("%s: the outputs %s are not finite (or are empty)" % (row[0], ", ".join(bad)))
                continue
            found.append((row[0], row[3], arrays, values))
        return found, failed

    def _run(self, arrays: Dict[str, Any]) -> Dict[str, Any]:
        names = sorted(self.outputs)
        feed = self.part.feed({self.inputs[name]["tensor"]: value for name, value in arrays.items()})
        with self.part.graph.as_default():
            fetched = [self._fetchable(self.outputs[name]["tensor"]) for name in names]
        values = self.part.session.run(fetched, feed)
        return {name: np.asarray(value) for name, value in zip(names, values)}

    def _fetchable(self, tensor: str) -> Any:
        live = self.part.tensor(tensor)
        if any(spec["tensor"] == tensor for spec in self.inputs.values()):
            return v1().identity(live)  # a session refuses to fetch what it is fed
        return live

    def samples(self, path: str) -> Any:
        """The user's own samples as a probe set, if this signature has inputs of their names."""
        specs = [dict(spec, name=name, shape=spec["shape"] or []) for name, spec in sorted(self.inputs.items())]
        if any(spec["shape"] is None for spec in self.inputs.values()):
            raise Refusal("samples-invalid", "the signature %s has inputs of unknown rank" % self.key)
        arrays = dict(zip(sorted(self.inputs), read_samples(path, specs)))
        try:
            return [("samples", "given with --inputs", arrays, self._run(arrays))]
        except Exception as error:
            raise Refusal("samples-invalid", "the signature %s does not accept the samples: %s" % (self.key, error))

    def refuse_random(self, row: Any) -> None:
        """Raise Refusal outputs-random if the same input gives other outputs the second time."""
        again = self._run(row[2])
        changed = [n for n in again if again[n].dtype.kind != "O" and not np.array_equal(again[n], row[3][n])]
        changed += [n for n in again if again[n].dtype.kind == "O" and again[n].tolist() != row[3][n].tolist()]
        if not changed:
            return
        needed = self.part.needed(self.key)
        random = [
            "%s (%s)" % (op.name, op.type) for op in self.part.operations
            if op.name in needed and op.type.startswith(_RANDOM)
        ]  # fmt: skip
        if random:
            raise Refusal("outputs-random", "the outputs %s of %s are random" % (", ".join(changed), self.key), random)

    def written(self, row: Any, writer: ArrayWriter, entries: Any, position: int) -> Dict[str, Any]:
        """The set as the manifest describes it; its arrays go into the file."""
        name, holds, arrays, values = row
        where = "probe/%s/%s" % (self.key, name)
        out = {"name": name, "signature": self.key, "holds": holds}  # type: Dict[str, Any]
        for kind, group in (("inputs", arrays), ("outputs", values)):
            out[kind] = {}
            for key in sorted(group):
                entries.append(writer.add("%s/%s/%s" % (where, kind, key), group[key]))
                out[kind][key] = entries[-1]["name"]
        if position == 0 or (position == 1 and self._size() < SECOND_SET):
            out["gradients"] = self._gradients_of(where, arrays, values, writer, entries)
        return out

    def _size(self) -> int:
        """Elements of all trained variables, as far as they are known."""
        total = 0
        for name in self.trained:
            shape = variable_shape(self.part.graph.get_operation_by_name(name))
            total += int(np.prod([d for d in shape if d and d > 0])) if shape else 1
        return total

    def _gradients_of(
        self, where: str, arrays: Any, values: Any, writer: Any, entries: Any
    ) -> Optional[Dict[str, Any]]:
        """Gradients of the outputs, each weighted by random numbers, by every trainable variable."""
        fed = {spec["tensor"] for spec in self.inputs.values()}
        names = [n for n in sorted(values) if values[n].dtype.kind == "f" and self.outputs[n]["tensor"] not in fed]
        if not names or not self.trained:
            return None
        rng = np.random.RandomState(probe.SEED)
        # Not a plain sum: that of a softmax is constant, and its gradients are all zero.
        cotangents = {n: np.asarray(rng.standard_normal(values[n].shape)).astype(values[n].dtype) for n in names}
        feed = self.part.feed({self.inputs[n]["tensor"]: value for n, value in arrays.items()})
        try:
            tensors, weights = self._symbolic(names)
            feed.update(zip(weights, [cotangents[n] for n in names]))
            live = [t for t in tensors if t is not None]
            found = iter(self.part.session.run(live, feed) if live else [])
        except Exception as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0][:300]
            self.notes.append(
                "gradients of %s: the source TensorFlow has none to compare with: %s" % (self.key, reason)
            )
            return None
        out = {"cotangents": {}, "by": {}}  # type: Dict[str, Any]
        for name in names:
            entries.append(writer.add("%s/cotangents/%s" % (where, name), cotangents[name]))
            out["cotangents"][name] = entries[-1]["name"]
        for variable, tensor in zip(self.trained, tensors):
            if tensor is None:
                out["by"][variable] = None
                continue
            entries.append(writer.add("%s/gradients/%s" % (where, variable), np.asarray(next(found))))
            out["by"][variable] = entries[-1]["name"]
        out["knees"] = self._knees.record(feed, where, writer, entries)
        return out

    def _symbolic(self, names: List[str]) -> Any:
        if self._gradients is None:
            with self.part.graph.as_default():
                outputs = [self.part.tensor(self.outputs[n]["tensor"]) for n in names]
                weights = [v1().placeholder(t.dtype.base_dtype, t.shape) for t in outputs]
                sources = [self.part.tensor(n + ":0") for n in self.trained]
                self._gradients = gradient_tensors(outputs, weights, sources), weights
        return self._gradients
