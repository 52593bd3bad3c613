"""Steps of Keras 2 inside TF 2.x: tf1.15 → tf2.3 → tf2.15."""

from __future__ import annotations

from harness.dialects.rebuild import IGNORES_MASK, MATMUL_DOT, OUTER_DOT, fused_epsilon
from harness.dialects.rules import Layer, Table, rename_class, set_if_absent


def _matmul_dot(layer: Layer) -> None:
    """In TF 1.x, batch_dot of inputs of rank 4 and more was a product of matrices over all leading axes."""
    if not layer.config.pop(OUTER_DOT, False):
        layer.config[MATMUL_DOT] = True


def _ignores_mask(layer: Layer) -> None:
    """Since TF 2.4, Softmax leaves masked values out."""
    layer.config[IGNORES_MASK] = True


def _forgets_states(layer: Layer) -> None:
    """Before TF 2.x, Bidirectional was not stateful, whatever the layer in it: its model never carried the states on."""
    for slot in ("layer", "backward_layer"):
        inner = (layer.config.get(slot) or {}).get("config", {})
        if inner.get("stateful"):
            inner["stateful"] = False
            layer.note(f"{slot}.stateful", True, False, "TF 1.x's Bidirectional carried no states from batch to batch")


UP_2_3: Table = {
    "Bidirectional": (_forgets_states,),
    "Dot": (_matmul_dot,),
    "BatchNormalizationV1": (rename_class("BatchNormalization"),),
    "BatchNormalizationV2": (rename_class("BatchNormalization"),),
    "GRU": (set_if_absent("reset_after", False, "the default of TF 1.x"),),
}


def _causal_call(layer: Layer) -> None:
    """The argument went from the constructor to the call; TF 2.15 still takes it there, and loses it when it saves."""
    if layer.config.pop("causal", False):
        layer.call_kwargs["use_causal_mask"] = True
        layer.note("causal", True, "use_causal_mask=True in the call", "an argument of the call since TF 2.10")


UP_2_15: Table = {
    "AdditiveAttention": (_causal_call,),
    "Attention": (_causal_call,),
    "BatchNormalization": (fused_epsilon,),
    "Softmax": (_ignores_mask,),
}
