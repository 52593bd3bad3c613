"""Which weights the probes reach: whether a change of a weight would be noticed, told in the source TensorFlow.

One backward pass for each probe set, to first order. With ``y`` an output (or a layer's output) of ``p`` positions,
``c`` random numbers and ``g`` the gradient of ``sum(c * y) / (max|y| * sqrt(p) * notice)`` by a weight, a change of an
element by ``d`` moves the output by about ``|g| * d`` times what is noticed, as the root mean square over positions.
An element is *reached* where a change by the largest value of its tensor is noticed by the outputs of some probe set, or by
the layers of the recorded one. A tensor without a gradient (it stands behind a step function) is changed as a whole, by
a hundredth of its largest value, and the outputs are computed again.
"""

from typing import Any, Dict, List

import numpy as np

from . import compat, compat_gradients, topology

SEED = 20240302
#: a prime, so that the numbers do not fall in step with rows and channels
RANDOM = 4093
#: the sum over many outputs may hide one of them behind the others
SLACK = 3.0
#: tensors that are changed one by one, at most; each costs a run of the probes
CHANGED = 24
#: examples of a set that a backward pass takes, at most
ROWS = 64
#: how much of its largest value a tensor is changed by
CHANGE = 1e-2


def skipped(reason: str) -> Dict[str, Any]:
    """The ``sensitivity`` object of a model for which nothing could be told."""
    return {"skipped": reason, "weights": [], "saturated": []}


def measure(
    keras: Any, model: Any, graph: Dict[str, Any], owners: List[Any], sets: List[Any], notice: Dict[str, float]
) -> Dict[str, Any]:
    """The ``sensitivity`` object of ``probes``.

    ``owners`` are (path, role, variable, trains), ``sets`` (name, inputs, outputs) of each probe set, the first being the one
    whose layers are recorded; ``notice`` the relative change of an output of each dtype that verification notices.
    """
    try:
        return _measure(keras, model, graph, owners, sets, behind_rounding(graph, notice))
    except Exception as error:
        lines = str(error).strip().splitlines() or [""]
        return skipped("%s: %s" % (type(error).__name__, lines[0][:300]))


def behind_rounding(graph: Any, notice: Dict[str, float]) -> Dict[str, float]:
    """What is noticed in a model some of whose layers compute in half precision, whose rounding hides more."""
    for _, layer in topology.leaves(graph):
        dtype = (layer["config"] or {}).get("dtype")
        dtype = (dtype.get("config") or {}).get("name") if isinstance(dtype, dict) else dtype
        hidden = notice.get(str(dtype).replace("mixed_", ""), 0.0)
        notice = {name: max(value, hidden) for name, value in notice.items()} if "float16" in str(dtype) else notice
    return notice


def _measure(keras: Any, model: Any, graph: Any, owners: List[Any], sets: List[Any], notice: Dict[str, float]) -> Any:
    found = [_Weight(path, role, variable) for path, role, variable, _ in owners if _is_float(variable)]
    for weight, value in zip(found, compat.values(keras, [w.variable for w in found])):
        weight.size, weight.shape, weight.largest = (
            value.size,
            value.shape,
            float(np.abs(value).max() if value.size else 0),
        )
    outputs = [t for t in model.outputs if _is_float(t)]
    reason = None
    if outputs and found:
        reason = _by_gradients(keras, model, graph, outputs, found, sets, notice)
    _by_changing(keras, model, found, sets, notice)
    return {
        "skipped": None,
        "gradients": reason,
        "saturated": _saturated(model, sets),
        "weights": [w.row() for w in found],
    }


class _Weight(object):
    """One weight: which of its elements were reached by outputs, and which by outputs or layers."""

    def __init__(self, path: Any, role: str, variable: Any) -> None:
        self.path, self.role, self.variable = path, role, variable
        self.size, self.largest, self.shape = 0, 0.0, ()  # type: Any
        self.by_outputs = self.by_any = None  # type: Any
        self.flat = True  # no gradient that is not zero
        self.changed = None  # type: Any

    @property
    def step(self) -> float:
        return self.largest or 1.0

    def note(self, mask: Any, outputs: bool) -> None:
        """``mask``: the elements that a backward pass has reached, or None without a gradient."""
        if mask is None:
            return
        mask = np.asarray(mask, dtype=bool).reshape(self.shape)
        if outputs:
            self.by_outputs = mask if self.by_outputs is None else self.by_outputs | mask
        self.by_any = mask if self.by_any is None else self.by_any | mask

    def row(self) -> Dict[str, Any]:
        """As the manifest has it."""
        outputs = 0 if self.by_outputs is None else int(self.by_outputs.sum())
        reached = 0 if self.by_any is None else int(self.by_any.sum())
        if self.changed:
            outputs = reached = self.size
        reason = None if reached == self.size else self._reason()
        return {
            "layer": list(self.path),
            "role": self.role,
            "elements": int(self.size),
            "by_outputs": outputs,
            "reached": reached,
            "method": "gradient" if self.changed is None else "change",
            "reason": reason,
        }

    def _reason(self) -> str:
        if self.by_any is None:
            return "no output depends on it" if self.changed is False else "no gradient reaches it"
        mask = self.by_any
        if self.role.endswith("embeddings") and mask.ndim == 2:
            rows = ~mask.any(axis=1)
            if rows.any():
                return "%d of %d rows are looked up by no probe" % (rows.sum(), rows.size)
        if not mask.any():
            return "its units are inactive for every probe, or too weak to be noticed"
        parts = []
        if mask.ndim >= 1:
            units = ~mask.reshape(-1, mask.shape[-1]).any(axis=0)
            if units.any():
                parts.append("%d of %d units are reached by no probe" % (units.sum(), units.size))
        if mask.ndim >= 2:
            inputs = ~mask.reshape((-1,) + mask.shape[-2:]).any(axis=(0, 2))
            if inputs.any():
                parts.append("%d of %d inputs are zero for every probe" % (inputs.sum(), inputs.size))
        return "; ".join(parts) or "a change of %d elements is too weak to be noticed" % (mask.size - mask.sum())


def _is_float(tensor: Any) -> bool:
    return compat.tensor_spec(tensor)[1] in ("float16", "float32", "float64", "bfloat16")


def layer_tensors(model: Any, graph: Dict[str, Any]) -> List[Any]:
    """Outputs of every layer call on the outer level."""
    live, found = {part.name: part for part in compat.parts(model)}, []  # type: Any, List[Any]
    for layer, index in topology.schedule(graph):
        if layer["class_name"] != "InputLayer":
            found += compat.node_outputs(compat.network_nodes(model, live[layer["name"]])[index])
    return [t for t in found if _is_float(t)]


def _by_gradients(
    keras: Any, model: Any, graph: Any, outputs: List[Any], found: List[Any], sets: List[Any], notice: Dict[str, float]
) -> Any:
    """Notes what gradients reach; returns why there are none, or None."""
    random = np.random.RandomState(SEED).standard_normal(RANDOM).astype("float32")
    bounds = [notice.get(compat.tensor_spec(t)[1], 1.0) for t in outputs]
    layers = layer_tensors(model, graph)
    layer_bounds = [SLACK * len(layers) ** 0.5 * notice.get(compat.tensor_spec(t)[1], 1.0) for t in layers]
    groups = [(outputs, [SLACK * len(outputs) ** 0.5 * b for b in bounds]), (layers, layer_bounds)]
    try:
        passes = compat_gradients.Reach(
            keras, model, groups, [w.variable for w in found], [w.step for w in found], random
        )
        free = all(compat.tensor_spec(t)[0][:1] == [None] for t in compat.input_tensors(model))
        for index, (_, inputs, _outputs) in enumerate(sets):
            if free and not compat.is_stateful(model):
                inputs = [array[:ROWS] for array in inputs]  # the user's samples may be thousands
            if compat.is_stateful(model):
                compat.reset_states(model)
            for group in (0, 1) if index == 0 else (0,):
                for weight, mask in zip(found, passes.run(inputs, group)):
                    weight.note(mask, group == 0)
    except Exception as error:  # an operation without a gradient, most often
        lines = str(error).strip().splitlines() or [""]
        return "%s: %s" % (type(error).__name__, lines[0][:300])
    return None


def _by_changing(keras: Any, model: Any, found: List[Any], sets: List[Any], notice: Dict[str, float]) -> None:
    """Change the tensors that no gradient reaches, one by one, and see whether an output moves."""
    left = [w for w in found if w.by_any is None or not w.by_any.any()][:CHANGED]
    if not left or compat.is_stateful(model):
        return
    run = compat.evaluator(keras, compat.input_tensors(model), model.outputs)
    rng = np.random.RandomState(SEED)
    for weight in left:
        before = next(compat.values(keras, [weight.variable]))
        noise = rng.choice([-1.0, 1.0], size=before.shape) * CHANGE * weight.step
        try:
            compat.assign(keras, [(weight.variable, (before + noise).astype(before.dtype))])
            weight.changed = any(_moved(run(inputs), outputs, notice) for _, inputs, outputs in sets)
        finally:
            compat.assign(keras, [(weight.variable, before)])


def _moved(found: List[Any], expected: List[Any], notice: Dict[str, float]) -> bool:
    for new, old in zip(found, expected):
        if old.dtype.kind != "f":
            if not np.array_equal(new, old):
                return True
            continue
        size = float(np.abs(old).max()) if old.size else 0.0
        moved = float(np.abs(np.asarray(new, "float64") - old).max()) if old.size else 0.0
        if not moved <= notice.get(old.dtype.name, 1.0) * size:
            return True
    return False


def _saturated(model: Any, sets: List[Any]) -> List[str]:
    """Outputs that are exactly 0 and 1 (or -1) for every probe: they compare equal whatever comes before."""
    names = []
    for index, name in enumerate(compat.output_names(model)):
        values = [outputs[index] for _, _, outputs in sets]
        if all(v.dtype.kind == "f" and v.size for v in values):
            flat = np.abs(np.concatenate([np.asarray(v, "float64").ravel() for v in values]))
            if ((flat < 1e-6) | (np.abs(flat - 1) < 1e-6)).all() and (flat > 0.5).any():
                names.append(name)
    return names
