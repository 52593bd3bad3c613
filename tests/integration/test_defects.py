"""The proof is tested by damage: defects of meaning put between translation and target, each found at its layer.

What is wrong is the plan that the target builds, as if a rule of the dialects were wrong: the bundle, and the target that
builds and replays, are those of every migration.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from command_line import Once

from harness.backends import Environment
from harness.bundle import Bundle
from harness.dialects import Translation
from harness.plan import Options
from harness.regress.cases import Case
from harness.regress.runner import CaseResult, PairRun

pytestmark = pytest.mark.integration

Damage = Callable[[dict[str, Any], dict[str, Any]], None]


def entry(graph: dict[str, Any], name: str) -> dict[str, Any]:
    """A layer of the plan; ``outer/inner`` is one inside of a layer that became several."""
    outer, _, inner = name.partition("/")
    (found,) = [layer for layer in graph["layers"] if layer["name"] == outer]
    return entry(found["graph"], inner) if inner else found


def config(name: str, **changes: Any) -> Damage:
    def damage(graph: dict[str, Any], weights: dict[str, Any]) -> None:
        held = entry(graph, name)["config"]
        assert set(changes) <= set(held)
        held.update(changes)

    return damage


def inner(name: str, slot: str, **changes: Any) -> Damage:
    """The config of a layer that another one wraps."""

    def damage(graph: dict[str, Any], weights: dict[str, Any]) -> None:
        held = entry(graph, name)["config"][slot]["config"]
        assert set(changes) <= set(held)
        held.update(changes)

    return damage


def other(name: str, class_name: str) -> Damage:
    """Another class with the same arguments."""
    return lambda graph, weights: entry(graph, name).update(class_name=class_name)


def weight(array: str, *transforms: dict[str, Any]) -> Damage:
    def damage(graph: dict[str, Any], weights: dict[str, Any]) -> None:
        weights[array]["transforms"] = [*weights[array]["transforms"], *transforms]

    return damage


def both(*damages: Damage) -> Damage:
    def damage(graph: dict[str, Any], weights: dict[str, Any]) -> None:
        for each in damages:
            each(graph, weights)

    return damage


def exchanged(first: str, second: str) -> Damage:
    """Two weights in each other's places."""

    def damage(graph: dict[str, Any], weights: dict[str, Any]) -> None:
        a, b = weights[first], weights[second]
        a["layer"], b["layer"] = b["layer"], a["layer"]
        a["role"], b["role"] = b["role"], a["role"]

    return damage


def inputs(name: str, *order: int) -> Damage:
    def damage(graph: dict[str, Any], weights: dict[str, Any]) -> None:
        (call,) = entry(graph, name)["calls"]
        call["inputs"] = [call["inputs"][i] for i in order]

    return damage


def swapped_ends(graph: dict[str, Any], weights: dict[str, Any]) -> None:
    graph["outputs"].reverse()


def flip(*axes: int) -> dict[str, Any]:
    return {"op": "flip", "axes": axes}


def axes(*order: int) -> dict[str, Any]:
    return {"op": "transpose", "axes": order}


def scaled(factor: float, *columns: list[int]) -> dict[str, Any]:
    return {"op": "scale", "factor": factor, "ranges": list(columns) or None}


def gates(*order: int) -> dict[str, Any]:
    return {"op": "gates", "axis": -1, "order": order}


HALF = ({"op": "cast", "dtype": "float16"}, {"op": "cast", "dtype": "float32"})
#: the layer at which it has to be found; none where every layer is right and the outputs are in another order
DEFECTS: dict[str, dict[str, tuple[Damage, str]]] = {
    "images": {
        "selu_is_elu": (config("conv", activation="elu"), "conv"),
        "selu_is_relu": (config("conv", activation="relu"), "conv"),
        "kernel_transposed": (weight("conv/kernel", axes(1, 0, 2, 3)), "conv"),
        "kernel_flipped": (weight("conv/kernel", flip(0)), "conv"),
        "filters_reversed": (weight("conv/kernel", flip(3)), "conv"),
        "bias_dropped": (weight("conv/bias", scaled(0.0)), "conv"),
        "epsilon_of_today": (config("norm", epsilon=1e-5), "norm"),
        "epsilon_of_the_fused_kernel": (config("norm", epsilon=1.001e-3), "norm"),
        "mean_for_variance": (exchanged("norm/moving_mean", "norm/beta"), "norm"),
        "gamma_for_variance": (exchanged("norm/gamma", "norm/moving_variance"), "norm"),
        "scale_left_out": (weight("norm/gamma", scaled(1.02)), "norm"),
        "slope_of_today": (config("leaky", negative_slope=0.2), "leaky"),
        "depthwise_kernel_flipped": (weight("depth/depthwise_kernel", flip(0, 1)), "depth"),
        "depthwise_activation": (config("depth", activation="selu"), "depth"),
        "mean_for_maximum": (other("pool", "AveragePooling2D"), "pool"),
        "correlation_for_convolution": (weight("up/kernel", flip(0, 1)), "up"),
        "transposed_activation": (config("up", activation="relu6"), "up"),
        "depthwise_part_flipped": (weight("separable/depthwise_kernel", flip(1)), "separable"),
        "pointwise_part_transposed": (weight("separable/pointwise_kernel", axes(0, 1, 3, 2)), "separable"),
        "resized_otherwise": (config("grow", interpolation="bilinear"), "grow"),
        "padded_on_the_other_side": (config("pad", padding=[[0, 1], [2, 1]]), "pad"),
        "cropped_by_one_elsewhere": (config("crop", cropping=[[2, 1], [1, 2]]), "crop"),
        "maximum_for_mean": (other("mean", "MaxPooling2D"), "mean"),
        "softsign_is_tanh": (config("dense", activation="tanh"), "dense"),
        "through_half_precision": (weight("dense/kernel", *HALF), "dense"),
        "one_column_by_a_thousandth": (weight("dense/kernel", scaled(1.001, [2, 3])), "dense"),
        "rows_of_channels_first": (weight("dense/kernel", flip(0)), "dense"),
        "sigmoid_for_softmax": (config("classes", activation="sigmoid"), "classes"),
        "classes_permuted": (both(weight("classes/kernel", flip(1)), weight("classes/bias", flip(0))), "classes"),
    },
    "words": {
        "mask_lost": (config("embedding", mask_zero=False), "both"),
        "rows_off_by_one": (weight("embedding/embeddings", flip(0)), "embedding"),
        "directions_exchanged": (exchanged("both/forward/kernel", "both/backward/kernel"), "both"),
        "biases_exchanged": (exchanged("both/forward/bias", "both/backward/bias"), "both"),
        "hard_sigmoid_is_sigmoid": (inner("both", "layer", recurrent_activation="sigmoid"), "both"),
        "gates_of_the_gru": (weight("gru/kernel", gates(1, 0, 2)), "gru"),
        "recurrent_gates_of_the_gru": (weight("gru/recurrent_kernel", gates(1, 0, 2)), "gru"),
        "todays_hard_sigmoid": (config("gru", recurrent_activation="hard_sigmoid"), "gru"),
        "other_direction": (config("simple", go_backwards=True), "simple"),
        "recurrent_kernel_transposed": (weight("simple/recurrent_kernel", axes(1, 0)), "simple"),
        "tanh_is_relu": (config("simple", activation="relu"), "simple"),
        "gates_of_the_lstm": (weight("last/kernel", gates(0, 2, 1, 3)), "last"),
        "recurrent_gates_of_the_lstm": (weight("last/recurrent_kernel", gates(0, 1, 3, 2)), "last"),
        "biases_of_the_lstm": (weight("last/bias", gates(1, 0, 2, 3)), "last"),
        "last_activation": (config("last", activation="softsign"), "last"),
    },
    "pairs": {
        "operands_exchanged": (inputs("minus", 1, 0), "minus"),
        "sum_for_difference": (other("minus", "Add"), "minus"),
        "mean_for_product": (other("times", "Average"), "times"),
        "minimum_for_maximum": (other("largest", "Minimum"), "largest"),
        "joined_in_another_order": (inputs("joined", 0, 2, 1), "joined"),
        "cosine_for_product": (config("dot", normalize=True), "dot"),
        "branches_exchanged": (exchanged("left/kernel", "right/kernel"), "left"),
        "outputs_exchanged": (swapped_ends, ""),
        "softplus_is_relu": (config("first", activation="relu"), "first"),
    },
    "steps": {
        "not_causal": (config("causal", padding="same"), "causal"),
        "dilation_ignored": (config("causal", dilation_rate=[1]), "causal"),
        "time_reversed": (weight("causal/kernel", flip(0)), "causal"),
        "step_activation": (inner("each", "layer", activation="elu"), "each"),
        "forwards": (config("backwards", go_backwards=False), "backwards"),
        "cropped_at_the_other_end": (config("crop", cropping=[2, 1]), "crop"),
        "maximum_for_average": (other("average", "GlobalMaxPooling1D"), "average"),
        "exponential_is_softplus": (config("out", activation="softplus"), "out"),
    },
    "shapes": {
        "slope_dropped": (weight("prelu/alpha", scaled(0.0)), "prelu"),
        "alpha_of_today": (config("elu", alpha=1.0), "elu"),
        "cap": (config("capped", max_value=1.4), "capped"),
        "threshold": (config("capped", threshold=0.0), "capped"),
        "other_epsilon": (config("layer_norm", epsilon=1e-5), "layer_norm"),
        "other_axis": (config("soft", axis=-1), "soft"),
        "local_filters": (weight("local/bias", flip(0)), "local"),
        "last_rows": (weight("out/kernel", flip(0)), "out"),
    },
}


@dataclass(kw_only=True)
class Damaged(PairRun):
    """A pair that exports every model once, and builds it with the defect of each case."""

    exported: dict[Path, Bundle] = field(default_factory=dict)

    def _export(self, case: Case, folder: Path, worker: Any) -> Bundle:
        if case.path not in self.exported:
            self.exported[case.path] = super()._export(case, folder, worker)
        return self.exported[case.path]

    def _translated(self, case: Case, bundle: Bundle) -> Translation:
        done = super()._translated(case, bundle)
        model, _, name = case.id.partition("/")
        graph, weights = copy.deepcopy(done.graph), copy.deepcopy(done.weights)
        if name:
            DEFECTS[model][name][0](graph, weights)
        return replace(done, graph=graph, weights=weights)


@pytest.fixture(scope="module")
def found(
    once: Once,
    script: Callable[..., str],
    environment: Callable[[str], Environment],
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, CaseResult]:
    models = once("defect-models", lambda folder: script("tf1.15", "defect_models.py", folder) and None)
    names = [name for model, defects in DEFECTS.items() for name in (model, *(f"{model}/{d}" for d in defects))]
    cases = [Case(id=n, suite="defects", path=models / f"{n.partition('/')[0]}.h5", layers=()) for n in names]
    pair = Damaged(
        source=environment("tf1.15"), target=environment("tf2.21"), root=tmp_path_factory.mktemp("defects"),
        options=Options(timeout_s=120), keep=True,
    )  # fmt: skip
    return {result.id: result for result in pair.run(cases)}


def test_every_defect_is_found_at_its_layer(found: dict[str, CaseResult]) -> None:
    assert sum(len(defects) for defects in DEFECTS.values()) >= 60
    wanted = {
        f"{model}/{name}": ("diverged", layer)
        for model, defects in DEFECTS.items()
        for name, (_, layer) in defects.items()
    }
    told = {
        name: (row.status, (row.first_divergent or "").partition(" ")[0]) for name, row in found.items() if "/" in name
    }
    assert {name: (told[name], found[name].reason) for name in wanted if told[name] != wanted[name]} == {}


def test_without_a_defect_they_are_verified(found: dict[str, CaseResult]) -> None:
    assert {name: (row.status, row.reason) for name, row in found.items() if name in DEFECTS} == dict.fromkeys(
        DEFECTS, ("verified", None)
    )
