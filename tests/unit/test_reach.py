"""Which weights are proven: counted from what the source measured, listed with reasons, and held to a required share."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from rich.console import Console

from harness.bundle import Bundle
from harness.errors import HarnessError
from harness.report import terminal
from harness.verify import reach
from harness.verify.tolerance import noticed, relative_bound
from harness.worker.tfworker import sensitivity

GRAPH = {"layers": [{"class_name": "Dense", "name": "d", "calls": [{}]}]}


def weight(name: str, elements: int, by_outputs: int, reached: int, reason: str | None = None) -> dict[str, Any]:
    return {
        "layer": [name], "role": "kernel", "elements": elements, "by_outputs": by_outputs, "reached": reached,
        "method": "gradient", "reason": reason,
    }  # fmt: skip


def bundle(told: Any, graph: Any = GRAPH) -> Bundle:
    probes = {"sensitivity": told, "sets": [], "layers": {"records": []}}
    manifest = {"probes": probes, "model": {"graph": graph}}
    return cast("Bundle", SimpleNamespace(manifest=manifest))


def told(*rows: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"skipped": None, "gradients": None, "saturated": [], "weights": list(rows), **more}


DEAD = told(weight("a", 4, 4, 4), weight("b", 4, 0, 3, "1 of 4 units"), weight("c", 4, 0, 0, "no output depends on it"))


def test_a_weight_is_proven_by_outputs_or_where_they_were_compared_by_layers() -> None:
    both, outputs = reach.proven(bundle(DEAD), layers=True), reach.proven(bundle(DEAD), layers=False)
    assert (both["tensors"], both["elements"]) == ({"total": 3, "proven": 2}, {"total": 12, "proven": 7})
    assert (outputs["tensors"], outputs["elements"]) == ({"total": 3, "proven": 1}, {"total": 12, "proven": 4})
    assert [row["name"] for row in both["unproven"]] == ["c/kernel", "b/kernel"]


def test_a_weight_that_only_layers_reach_says_so_where_only_outputs_were_compared() -> None:
    made = reach.proven(bundle(told(weight("a", 4, 0, 4))), layers=False)
    assert made["unproven"][0]["reason"] == "only outputs of layers depend on it"


def test_a_share_below_the_required_one_is_refused_with_every_unproven_weight() -> None:
    made = reach.proven(bundle(DEAD), layers=True, required=0.99)
    with pytest.raises(HarnessError) as error:
        reach.check_required(made)
    assert error.value.code == "proof-insufficient"
    assert "2 of 3 weights (66.7%)" in error.value.message
    assert error.value.details == ("c/kernel: no output depends on it",)


@pytest.mark.parametrize(("required", "share"), [(0.66, DEAD), (1.0, told(weight("a", 1, 1, 1))), (None, DEAD)])
def test_a_share_that_suffices_passes(required: float | None, share: Any) -> None:
    reach.check_required(reach.proven(bundle(share), layers=True, required=required))


@pytest.mark.parametrize("nothing", [None, told(skipped="it has no gradients")])
def test_what_is_not_known_does_not_suffice(nothing: Any) -> None:
    made = reach.proven(bundle(nothing), layers=True, required=0.5)
    with pytest.raises(HarnessError, match="nothing is known"):
        reach.check_required(made)


def test_a_change_that_is_noticed_exceeds_the_bound_of_any_model_up_to_that_depth() -> None:
    assert noticed()["float32"] >= relative_bound("float32", 2499)
    deep = {"layers": [{"class_name": "Dense", "name": "d", "calls": [{}] * 2501}]}
    assert reach.proven(bundle(DEAD, deep), layers=True)["gradients"]


def test_a_variable_of_a_graph_is_proven_by_a_gradient_that_is_not_zero() -> None:
    arrays = {"g1": np.array([0.0, 1.0]), "g2": np.array([2.0, 0.0]), "z": np.zeros(3)}
    sets = [
        {"gradients": {"by": {"v": "g1", "w": "z", "u": None}}},
        {"gradients": {"by": {"v": "g2"}}},
        {"gradients": None},
    ]
    variables = [{"name": n, "shape": [s]} for n, s in (("v", 2), ("w", 3), ("u", 5), ("frozen", 1))]
    made = reach.proven_graph(
        cast(
            "Bundle",
            SimpleNamespace(manifest={"probes": {"sets": sets}, "model": {"variables": variables}}, arrays=arrays),
        )
    )
    assert (made["tensors"], made["elements"]) == ({"total": 3, "proven": 1}, {"total": 10, "proven": 2})


def test_the_terminal_names_the_share_and_what_is_not_proven() -> None:
    out = io.StringIO()
    made = reach.proven(bundle({**DEAD, "saturated": ["y"]}), layers=True)
    terminal._proven(made, Console(file=out, width=200))
    text = out.getvalue()
    assert "2 of 3 weights (58.3% of their elements) by outputs and layers" in text
    assert "not proven: c/kernel: no output depends on it" in text
    assert "b/kernel" not in text
    assert "the output y is 0 or 1 for every probe" in text


def test_what_half_precision_rounds_away_is_not_noticed() -> None:
    policy = {"class_name": "Policy", "config": {"name": "mixed_float16"}}
    layers = [{"name": "d", "class_name": "Dense", "config": {"dtype": dtype}} for dtype in ("float32", policy)]
    notice = noticed()
    assert sensitivity.behind_rounding({"layers": layers[:1]}, notice) == notice
    found = sensitivity.behind_rounding({"layers": layers}, notice)
    assert found["float32"] == found["float16"] == notice["float16"]
    assert found["bfloat16"] == notice["bfloat16"]
