"""How far two correct computations of the same function may differ: the only home of numeric slack.

The measure is ``max|difference| / max|reference|`` over one output tensor. The bound grows with the square
root of the number of rounding layers, as independent rounding errors do::

    bound = 32 · eps(dtype) · sqrt(depth)

Measured against it: the real models of the corpus stay below 2e-6 from TF 1.12/1.15 to TF 2.21, where the
bound is 1e-5 to 3e-5; the smallest change of meaning seen (``hard_sigmoid`` in a small model) is 9e-4.
Integers, booleans and strings must be equal.

``dtype`` is the narrowest float that the value passed through: under a policy such as ``mixed_float16`` layers
compute in float16 whatever their weights and the model's output are (:func:`computed_in`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from harness.worker.tfworker.topology import tensors_of

FACTOR = 32.0
#: unit roundoff of what the value was computed in; narrower types round more
EPSILON = {"float16": 2.0**-10, "bfloat16": 2.0**-7, "float32": 2.0**-23, "float64": 2.0**-52}
#: a recurrent layer rounds once a step; free lengths are probed with about this many
RECURRENT_STEPS = 16
_RECURRENT = {"LSTM", "GRU", "SimpleRNN", "RNN", "Bidirectional", "ConvLSTM2D", "CuDNNLSTM", "CuDNNGRU"}


def depth(graph: Mapping[str, Any]) -> int:
    """Number of rounding layers of a graph, nested ones included, a recurrent layer counting its steps."""
    total = 0
    for layer in graph["layers"]:
        if "graph" in layer:
            total += depth(layer["graph"]) * max(1, len(layer["calls"]))
        elif layer["class_name"] != "InputLayer":
            total += (RECURRENT_STEPS if layer["class_name"] in _RECURRENT else 1) * max(1, len(layer["calls"]))
    return max(1, total)


#: policies that compute in another type than the one they are named after
_COMPUTE = {"mixed_float16": "float16", "mixed_bfloat16": "bfloat16"}


def computed_in(graph: Mapping[str, Any]) -> dict[tuple[str, ...], str | None]:
    """The half precision that each layer's output passed through, by path; nested models' layers included.

    None where only full float types took part: then the dtype of the value itself says how it was computed.
    """
    found: dict[tuple[str, ...], str | None] = {}
    _computed_in(graph, (), None, found)
    return found


def _computed_in(
    graph: Mapping[str, Any], path: tuple[str, ...], outside: str | None, found: dict[tuple[str, ...], str | None]
) -> None:
    own = {layer["name"]: _narrowest(_dtypes(layer)) for layer in graph["layers"]}
    sources = {
        layer["name"]: {t[0] for c in layer["calls"] for t in [*c.get("inputs", ()), *tensors_of([*_arguments(c)])]}
        for layer in graph["layers"]
    }
    passed = dict(own)
    for _ in graph["layers"]:  # as often as the longest way through the graph, at most
        before = dict(passed)
        for name, given in sources.items():
            passed[name] = _narrowest([own[name], *(passed.get(source) for source in given)])
        if passed == before:
            break
    for layer in graph["layers"]:
        here = (*path, layer["name"])
        found[here] = _narrowest([passed[layer["name"]], outside])
        if "graph" in layer:
            before_it = _narrowest([outside, *(passed.get(source) for source in sources[layer["name"]])])
            _computed_in(layer["graph"], here, before_it, found)


def _arguments(call: Mapping[str, Any]) -> list[Any]:
    return list(call.get("kwargs", {}).values())


def _dtypes(layer: Mapping[str, Any]) -> list[str | None]:
    """The compute types of a layer and of those that it wraps or holds."""
    if "graph" in layer:
        return [dtype for inner in layer["graph"]["layers"] for dtype in _dtypes(inner)]
    config = layer.get("config")
    if not isinstance(config, dict):
        return []
    value = config.get("dtype")
    if isinstance(value, dict):
        value = (value.get("config") or {}).get("name")
    inner = [config.get(slot) for slot in ("layer", "backward_layer", "cell")] + list(config.get("cells") or ())
    return [_COMPUTE.get(str(value), str(value)), *(d for i in inner if isinstance(i, dict) for d in _dtypes(i))]


def _narrowest(dtypes: Iterable[str | None]) -> str | None:
    """The half precision among dtypes that rounds most, or None."""
    half = [dtype for dtype in dtypes if dtype in ("float16", "bfloat16")]
    return max(half, key=EPSILON.__getitem__, default=None)


def rounding(dtype: str, passed: str | None) -> str:
    """The type whose rounding counts for a value of ``dtype`` that passed through ``passed``."""
    return passed if passed and EPSILON.get(dtype, math.inf) < EPSILON[passed] else dtype


def relative_bound(dtype: str, layers: int) -> float:
    """Largest accepted ``max|difference| / max|reference|`` for an output of ``dtype`` behind ``layers`` layers."""
    return FACTOR * EPSILON[dtype] * math.sqrt(layers) if dtype in EPSILON else 0.0


#: a difference in float32 counts as amplified rounding up to so many times the source's own, and likewise in float64
NOISE_FACTOR = 32.0


def exact_bound(bound: float, noise: float) -> float:
    """What is rounding in float64: ``bound``, or the noise that was measured in float32, in units of float64.

    A model that amplifies rounding does so in both types.
    """
    return max(bound, NOISE_FACTOR * noise * EPSILON["float64"] / EPSILON["float32"])


def explained(max_rel: float, noise: float) -> bool:
    """Whether a difference in float32 is of the size of the source's own noise."""
    return max_rel <= NOISE_FACTOR * noise


#: a change of an output counts as noticed where it exceeds the bound of a model as deep as this
NOTICED_DEPTH = 2500


def noticed() -> dict[str, float]:
    """By dtype, the relative change of an output that verification notices in every model up to NOTICED_DEPTH."""
    return {dtype: relative_bound(dtype, NOTICED_DEPTH) for dtype in EPSILON}


class Bounds:
    """What counts as rounding in each value of one model."""

    def __init__(self, graph: Mapping[str, Any]) -> None:
        self._graph, self._depth, self._passed = graph, depth(graph), computed_in(graph)

    def layer(self, path: Sequence[str], dtype: str) -> float:
        """The bound for an output of ``dtype`` of the layer at ``path``."""
        return relative_bound(rounding(dtype, self._passed.get(tuple(path))), self._depth)

    def output(self, index: int, dtype: str) -> float:
        """The bound for an output of the model."""
        return self.layer([self._graph["outputs"][index][0]], dtype)


#: Largest accepted ``max|difference| / max|value|`` of a gradient, or of a weight's update in one training step. Both sides compute it in
#: float64, with hyperparameters that float32 holds. What is left: constants and schedules that Keras 3 passes through
#: float32 (5e-8 measured), and losses that tf.keras 1.14 to 2.10 reduce in float32 (1.3e-7). The smallest known
#: difference of formula, Adagrad's epsilon beside an accumulator of 0.1, reads 6e-7 and is told of apart.
STEP_BOUND = 1e-6
#: operations of a graph after which a value is a rounded sum or function of others
_ROUNDING = re.compile(
    r"(Batch)?MatMul.*|Conv\d?D.*|DepthwiseConv2d.*|FusedBatchNorm.*|Softmax.*|LogSoftmax|Mean|Sum|Prod|Cumsum|Exp|Log|Rsqrt|Sqrt"
    r"|Tanh|Sigmoid|Erf|Pow|Einsum|LRN|AvgPool.*|Resize.*|SegmentSum|SegmentMean|SparseSegment.*|UnsortedSegmentSum|Softplus"
    r"|Elu|Selu|Sin|Cos|L2Loss|SquaredDifference|Mfcc|AudioSpectrogram|RFFT.*|FFT.*|Matrix.*|Cholesky|Svd"
)
_LOOPS = ("Enter", "RefEnter", "While", "StatelessWhile")
#: a gradient passes every operation forwards and backwards
GRADIENT_DEPTH = 2


def graph_depth(operations: Mapping[str, int]) -> int:
    """Number of rounding operations of a graph (operation → count), each counting the steps where there are loops."""
    total = sum(count for name, count in operations.items() if _ROUNDING.fullmatch(name))
    steps = RECURRENT_STEPS if any(name in operations for name in _LOOPS) else 1
    return max(1, total * steps)


def rounding_at_one(layer: Mapping[str, Any], dtype: str, bound: float) -> float:
    """The smallest scale of a layer whose function rounds at 1, however small its result; 0 for any other.

    TF 1.x computes softplus as log(1 + exp x): at x = -11.6 its 9.4175e-6 is 0.24 % from the true 9.3949e-6, one
    unit in the last place of 1. The scale is such that ``bound`` allows just that unit.
    """
    config = layer.get("config") or {}
    return EPSILON[dtype] / bound if config.get("activation") == "softplus" and dtype in EPSILON else 0.0
