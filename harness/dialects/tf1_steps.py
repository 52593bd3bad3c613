"""Steps inside TF 1.x: tf1.12 → tf1.13 → tf1.14 → tf1.15."""

from __future__ import annotations

from harness.dialects.rebuild import KEEPS_MASKED_STEPS, LEGACY_BILINEAR, ZEROES_LAST_OUTPUT
from harness.dialects.rules import Layer, Table, rename_class, set_if_absent


def _transposed_dilation(layer: Layer) -> None:
    """TF 1.12's Conv2DTranspose accepts ``dilation_rate`` and ignores it; later versions apply it."""
    if layer.config.get("dilation_rate") not in (None, 1, [1, 1], [1, 1, 1]):
        rank = len(layer.config["dilation_rate"]) if isinstance(layer.config["dilation_rate"], list) else 2
        layer.set("dilation_rate", [1] * rank, "the old layer accepted the argument and ignored it")


def keeps_masked_steps(layer: Layer) -> None:
    """Bidirectional sets masked steps to zero since TF 1.13; before, and in standalone Keras, it kept them."""
    layer.config[KEEPS_MASKED_STEPS] = True


def _zeroes_last_output(layer: Layer) -> None:
    """TF 1.13 set masked steps to zero also where only the last one is given; TF 1.14 does so for sequences alone."""
    if layer.masked and KEEPS_MASKED_STEPS not in layer.config:
        layer.config[ZEROES_LAST_OUTPUT] = True


def loses_mask(layer: Layer) -> None:
    """No mask came out of these layers in TF 1.12 and 1.13."""
    if layer.masked:
        layer.mask_rule = "none"


def masked_stack(layer: Layer) -> None:
    cell = layer.config.get("cell") or {}
    cells = (cell.get("config") or {}).get("cells") or ()
    if layer.masked and cell.get("class_name") == "StackedRNNCells" and len(cells) > 1:
        layer.refuse(
            "a mask over stacked cells: TF 1.12 mixed up the states of the cells at masked steps",
            "use one RNN layer for each cell",
        )


UP_1_13: Table = {
    "RNN": (masked_stack,),
    "Bidirectional": (keeps_masked_steps,),
    "Conv2DTranspose": (_transposed_dilation,),
    "Conv3DTranspose": (_transposed_dilation,),
    "GRU": (set_if_absent("reset_after", False, "the default of TF 1.x"),),
}
UP_1_14: Table = {
    "ActivityRegularization": (loses_mask,),
    "BatchNormalizationV1": (rename_class("BatchNormalization"),),
    "BatchNormalizationV2": (rename_class("BatchNormalization"),),
    "Bidirectional": (_zeroes_last_output,),
}


def corner_sampled(layer: Layer) -> None:
    """Bilinear upsampling aligned corners of pixels before 1.15, and their centres since."""
    if layer.config.get("interpolation") == "bilinear":
        layer.set("interpolation", LEGACY_BILINEAR, "resizing samples pixel centres since 1.15")


UP_1_15: Table = {"UpSampling2D": (corner_sampled,)}
