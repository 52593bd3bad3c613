"""How far two correct computations of the same function may differ: the only home of numeric slack.

The measure is ``max|difference| / max|reference|`` over one output tensor. The bound grows with the square
root of the number of rounding layers, as independent rounding errors do::

    bound = 32 · eps(dtype) · sqrt(depth)

Measured against it: the real models of the corpus stay below 2e-6 from TF 1.12/1.15 to TF 2.21, where the
bound is 1e-5 to 3e-5; the smallest change of meaning seen (``hard_sigmoid`` in a small model) is 9e-4.
Integers, booleans and strings must be equal.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

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


def relative_bound(dtype: str, layers: int) -> float:
    """Largest accepted ``max|difference| / max|reference|`` for an output of ``dtype`` behind ``layers`` layers."""
    return FACTOR * EPSILON[dtype] * math.sqrt(layers) if dtype in EPSILON else 0.0


#: a change of an output counts as noticed where it exceeds the bound of a model as deep as this
NOTICED_DEPTH = 2500


def noticed() -> dict[str, float]:
    """By dtype, the relative change of an output that verification notices in every model up to NOTICED_DEPTH."""
    return {dtype: relative_bound(dtype, NOTICED_DEPTH) for dtype in EPSILON}


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
