"""Standalone Keras on TensorFlow 1: keras-2.1 → keras-2.2 → keras-2.3 → tf1.15, where tf.keras takes over."""

from __future__ import annotations

from harness.dialects.rules import Table, set_if_absent
from harness.dialects.tf1_steps import corner_sampled, keeps_masked_steps

UP_2_2: Table = {
    "GRU": (set_if_absent("reset_after", False, "the only form that this version had"),),
    "GRUCell": (set_if_absent("reset_after", False, "the only form that this version had"),),
    "UpSampling2D": (set_if_absent("interpolation", "nearest", "the only form that this version had"),),
}
UP_2_3: Table = {}
UP_TF: Table = {
    "Bidirectional": (keeps_masked_steps,),
    "UpSampling2D": (corner_sampled,),
}
