"""Standalone Keras on TensorFlow 1: keras-2.1 → keras-2.2 → keras-2.3 → tf1.15, where tf.keras takes over."""

from __future__ import annotations

from harness.dialects.rebuild import MATMUL_DOT, OUTER_DOT, REVERSED_STATES
from harness.dialects.rules import EVERY, Layer, Table, set_if_absent
from harness.dialects.tf1_steps import corner_sampled, keeps_masked_steps

#: notes from one step to a later one, in a layer's config
_REVERSED = "states_in_reverse_order"
_IN_SINGLE = "computes_in_float32"
_FLOATS = ("float16", "float64", "bfloat16")


def _cells(layer: Layer) -> int:
    cell = layer.config.get("cell") or {}
    return len(cell["config"].get("cells") or ()) if cell.get("class_name") == "StackedRNNCells" else 1


def _reversed_states(layer: Layer) -> None:
    """Keras 2.1 counts the states of stacked cells from the last cell, later versions from the first."""
    if _cells(layer) > 1:
        layer.config[_REVERSED] = True
        if layer.config.get("return_state") or len(layer.input_specs) > 1:
            layer.config[REVERSED_STATES] = True


def _unmasked_inside(layer: Layer) -> None:
    """TimeDistributed of Keras 2.1 hands no mask to the layer inside; since 2.2 it does."""
    inner = layer.config["layer"].get("class_name", "Model")
    if layer.masked and inner in ("LSTM", "GRU", "SimpleRNN", "RNN", "Bidirectional"):
        layer.refuse(
            f"a mask reaches a {inner} for every step: Keras 2.1 ignored it, later versions apply it",
            "take the mask away before it in the source model (mask_zero=False)",
        )


def _masked_stack(layer: Layer) -> None:
    """At masked steps Keras 2.2 repeats the first state, which is that of the first cell, as the output of the last."""
    if not layer.config.pop(_REVERSED, False) and layer.masked and _cells(layer) > 1:
        layer.refuse(
            "a mask over stacked cells: at masked steps Keras 2.2 gives the first cell's state as the output",
            "use one RNN layer for each cell",
        )


def _pools_in_single(layer: Layer) -> None:
    """Keras 2.1 casts float64 to float32 before it pools, and gives float32."""
    if [dtype for _, dtype in layer.input_specs] == ["float64"]:
        layer.config[_IN_SINGLE] = True


def _matmul_dot(layer: Layer) -> None:
    layer.config[MATMUL_DOT] = True


def _outer_dot(layer: Layer) -> None:
    """Keras 2.3 made batch_dot what it is in TF 2 and Keras 3; before, and in tf.keras 1.x, it was a matrix product."""
    if not layer.config.pop(MATMUL_DOT, False):
        layer.config[OUTER_DOT] = True


def _computes_as_fed(layer: Layer) -> None:
    """A standalone layer computes in the type of what it is given, or of its weights, whatever its config says."""
    given = [dtype for _, dtype in layer.input_specs[:1]]
    computed = set(layer.weight_dtypes.values()) or set(given)
    if layer.config.pop(_IN_SINGLE, False):
        layer.set("dtype", "float32", "Keras 2.1 pools in float32 whatever it is given")
        return
    if layer.class_name != "InputLayer" and len(computed) == 1 and (dtype := computed.pop()) in _FLOATS:
        layer.set("dtype", dtype, "standalone Keras computes in the type of a layer's input")


UP_2_2: Table = {
    "GRU": (set_if_absent("reset_after", False, "the only form that this version had"),),
    "GRUCell": (set_if_absent("reset_after", False, "the only form that this version had"),),
    **{f"{kind}Pooling{rank}D": (_pools_in_single,) for kind in ("Max", "Average") for rank in (1, 2, 3)},
    "RNN": (_reversed_states,),
    "TimeDistributed": (_unmasked_inside,),
    "UpSampling2D": (set_if_absent("interpolation", "nearest", "the only form that this version had"),),
}
UP_2_3: Table = {
    "Dot": (_matmul_dot,),
    "RNN": (_masked_stack,),
}
UP_TF: Table = {
    EVERY: (_computes_as_fed,),
    "Bidirectional": (keeps_masked_steps,),
    "Dot": (_outer_dot,),
    "UpSampling2D": (corner_sampled,),
}
