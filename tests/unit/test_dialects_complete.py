"""Every layer and argument that a real old version writes is translated, declared unchanged, or refused with a reason.

The snapshots in ``tests/golden/configs`` were written by the real versions (``tests/zoo/generate.py --configs``).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness import dialects
from harness.dialects import objects
from harness.dialects.rules import Layer

SNAPSHOTS = sorted((Path(__file__).parents[1] / "golden" / "configs").glob("*.json"))
#: what the translation says when a rule is missing, rather than a reason
GAPS = ("has no known translation", "knows to be the same")
#: class -> why no rule is expected
EXPLAINED = {
    "Lambda": "Python bytecode; refused before translation",
    "TensorFlowOpLayer": "raw operations, carried with custom layers",
    "AddMetric": "appears only in compiled functional metrics",
    "AddLoss": "appears only in compiled functional losses",
    "DenseFeatures": "feature columns, carried with graphs",
    "Model": "a nested model is walked, not translated",
    "Functional": "a nested model is walked, not translated",
    "Sequential": "a nested model is walked, not translated",
    "CuDNNLSTM": "the exporter reads it as an LSTM",
    "CuDNNGRU": "the exporter reads it as a GRU",
    "RadialConstraint": "a constraint; refused where a layer has it",
    "UniformUnitScaling": "an initializer that Keras itself cannot load again",
    **dict.fromkeys(
        ("BucketizedColumn", "EmbeddingColumn", "IdentityCategoricalColumn", "IndicatorColumn", "NumericColumn"),
        "a feature column inside DenseFeatures",
    ),
    **dict.fromkeys(
        (*objects.INITIALIZERS, *objects.REGULARIZERS, *objects.CONSTRAINTS),
        "an object inside layers, not a layer; seen there",
    ),
}
#: snapshots list wrapped layers under their own class; a wrapper needs one to stand for all
WRAPPED = {
    "Bidirectional": {"layer": {"class_name": "LSTM", "config": {"name": "inner", "units": 2}}},
    "TimeDistributed": {"layer": {"class_name": "Dense", "config": {"name": "inner", "units": 2}}},
    "RNN": {"cell": {"class_name": "GRUCell", "config": {"name": "inner", "units": 2}}},
    "StackedRNNCells": {"cells": [{"class_name": "GRUCell", "config": {"name": "inner", "units": 2}}]},
}


def _shape(class_name: str) -> list[int | None]:
    """An input shape that the class takes."""
    rank = {"1D": 1, "3D": 3}.get(class_name[-2:], 1 if any(n in class_name for n in ("LSTM", "GRU", "RNN")) else 2)
    return [None, *[8] * rank, 4]


def _dialect(snapshot: Path) -> str:
    return {"keras2.1": "keras-2.1", "keras2.2": "keras-2.2", "keras2.3": "keras-2.3"}.get(snapshot.stem, snapshot.stem)


def _translated(class_name: str, config: dict[str, Any], dialect: str, target: str = "keras-3") -> list[str]:
    """Reasons for which the layer is refused on its way to the target."""
    specs = [(_shape(class_name), "float32")]
    layer = Layer(path=("layer",), class_name=class_name, config=config, input_specs=specs)
    dialects.convert(layer, dialects.route(dialect, target))
    return [obstacle.reason for obstacle in layer.obstacles]


def _configs(arguments: dict[str, list[Any]]) -> list[dict[str, Any]]:
    """The layer with the first value seen of every argument, and with each other value in its place."""
    base = {name: values[0] for name, values in arguments.items() if values}
    return [base, *({**base, name: value} for name, values in arguments.items() for value in values[1:])]


@pytest.mark.parametrize("target", ["keras-3", "tf2.15", "tf2.3"])
@pytest.mark.parametrize("snapshot", SNAPSHOTS, ids=lambda path: path.stem)
def test_every_argument_of_every_layer_is_accounted_for(snapshot: Path, target: str) -> None:
    dialect = _dialect(snapshot)
    if dialect not in {step.old for step in dialects.STEPS}:
        pytest.skip(f"no dialect {dialect} yet")
    classes = json.loads(snapshot.read_text(encoding="utf-8"))
    classes = classes.get("layers", classes)
    gaps = set()
    for class_name, arguments in classes.items():
        if class_name in EXPLAINED:
            continue
        for config in _configs({**arguments, **{k: [v] for k, v in WRAPPED.get(class_name, {}).items()}}):
            gaps |= {
                f"{class_name}: {reason}"
                for reason in _translated(class_name, json.loads(json.dumps(config)), dialect, target)
                if any(gap in reason for gap in GAPS)
            }
    assert not gaps, "\n".join(sorted(gaps))


@pytest.mark.parametrize("target", ["keras-3", "tf2.15", "tf2.3"])
def test_a_gap_would_be_noticed(target: str) -> None:
    reasons = _translated("Dense", {"name": "layer", "units": 2, "brand_new_argument": 1}, "tf1.15", target)
    assert reasons == ["the argument brand_new_argument=1 has no known translation"]


def test_the_snapshots_cover_the_old_versions() -> None:
    assert {"tf1.12", "tf1.15"} <= {path.stem for path in SNAPSHOTS}
