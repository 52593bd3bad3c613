"""Layers made of code whose source a person supplies for the target: what they would be made of there.

A class of the person's own gets its config as the source wrote it, but for what Keras itself put there and writes
otherwise today. A wrapper of Keras around such a class, or a layer of Keras with such a function, goes through the
steps like any other. Which of them is then made, the target decides: only there the file is run.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

from harness.dialects import keras3_step, objects
from harness.dialects.rules import Layer


def is_own(class_name: str) -> bool:
    """Whether a class is none of Keras's."""
    return class_name not in keras3_step.UP or class_name == "Lambda"


def plain(layer: Layer, new: str) -> None:
    """The config of a person's own class: Keras's own keys in today's form, the rest as it is."""
    config = layer.config
    config.pop("batch_input_shape", None)
    if new != "keras-3":
        return
    objects.dtype(config)
    forms: tuple[tuple[str, Callable[[Layer, str, Any], Any]], ...] = (
        ("_initializer", objects.initializer), ("_regularizer", objects.regularizer), ("_constraint", objects.constraint),
    )  # fmt: skip
    for key, value in config.items():
        for ending, form in forms:
            if key.endswith(ending) and isinstance(value, dict) and isinstance(value.get("class_name"), str):
                trial = Layer(path=layer.path, class_name=layer.class_name, config={})
                made = form(trial, key, copy.deepcopy(value))
                config[key] = value if trial.obstacles else made  # one of the person's own stays as it is


def described(layer: Layer, calls: list[dict[str, Any]]) -> dict[str, Any]:
    """The key ``supplied`` of a plan's layer (see ``tfworker.from_source``), of a layer that went through the steps."""
    if layer.obstacles:
        return {"reason": "; ".join(f"{o.reason} ({o.remedy})" for o in layer.obstacles)}
    if layer.expansion is not None or layer.weights or layer.unused or layer.call_kwargs:
        return {"reason": "it becomes several layers, or its weights change their form"}
    return {"class_name": layer.class_name, "config": layer.config, "calls": calls}


def wanted(options: Mapping[str, str]) -> bool:
    """Whether the person supplies source for the target."""
    return options.get("supplied") == "yes"
