"""Steps of Keras 2 inside TF 2.x: tf1.15 → tf2.3 → tf2.15."""

from __future__ import annotations

from harness.dialects.rules import Table, rename_class, set_if_absent

UP_2_3: Table = {
    "BatchNormalizationV1": (rename_class("BatchNormalization"),),
    "BatchNormalizationV2": (rename_class("BatchNormalization"),),
    "GRU": (set_if_absent("reset_after", False, "the default of TF 1.x"),),
}
UP_2_15: Table = {}
