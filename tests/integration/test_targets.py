"""Every pair of envs/pairs.toml, and every saved form of every target, from a few models whose meaning is easily lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command_line import Once, Run

from harness import envspec
from harness.backends import Environment
from harness.plan import Options
from harness.regress import zoo
from harness.regress.cases import zoo_cases
from harness.regress.runner import PairRun

pytestmark = pytest.mark.integration

#: masks that old wrappers kept, old functions under today's names, arguments that a save loses, lists of axes
MODELS = (
    "wrappers/bidirectional-lstm-concat-masked",
    "merging/dot-rank4_rank4-normalized",
    "attention/dot-causal",
    "topology/call_batch_norm_in_training",
    "transpose/conv2d_transpose-dilation",
    "recurrent/gru-default",
    "reshaping/upsampling2d-bilinear",
)
#: TensorFlow 1.14 cannot load what it saved of an Attention layer
NOT_READ = {"tf1.14": "attention/dot-causal"}
PAIRS = [(pair.source, pair.target) for pair in envspec.load_pairs()]


@pytest.fixture(scope="module")
def models(environment: Callable[[str], Environment], once: Once) -> Callable[[str], Path]:
    """``models("tf1.12")``: a small zoo that this version wrote."""

    def get(name: str) -> Path:
        script = zoo.generator()
        assert script
        return once(
            f"targets-{name}", lambda folder: zoo.ensure(environment(name), script, folder / "zoo", MODELS) and None
        )

    return get


@pytest.mark.parametrize(("source", "target"), PAIRS, ids=[f"{source}--{target}" for source, target in PAIRS])
def test_every_pair_that_is_claimed_works(
    environment: Callable[[str], Environment],
    models: Callable[[str], Path],
    tmp_path: Path,
    source: str,
    target: str,
) -> None:
    cases = [case for case in zoo_cases(models(source) / "zoo") if case.id != NOT_READ.get(source)]
    assert len(cases) >= 4
    run = PairRun(source=environment(source), target=environment(target), root=tmp_path, options=Options(timeout_s=120))
    assert {result.id: result.status for result in run.run(cases)} == {case.id: "verified" for case in cases}


FORMS = {
    "tf2.15": ("keras", "h5", "saved_model"),
    "tf_keras2.21": ("keras", "h5", "saved_model"),
    "tf2.3": ("h5", "saved_model"),
}


@pytest.mark.parametrize("target", FORMS)
def test_every_form_of_a_keras_2_is_verified(cli_once: Callable[..., Run], rich: Run, target: str) -> None:
    options = [word for form in FORMS[target] for word in ("--format", form)]
    made = cli_once(f"rich-{target}", "import", rich.out / "bundle", "--to", target, *options)
    assert made.done.status == 0, made.done.text
    report: dict[str, Any] = made.report
    assert report["to"]["environment"] == target
    assert {(o["name"], o["format"]) for o in report["outputs"]} == {
        (name, form) for name in ("main", "aux") for form in FORMS[target]
    }
    assert report["weights"]["equal"] == report["weights"]["total"] == 35
    assert report["layers"]["equal_within_bound"] == report["layers"]["compared"] > 20
    assert [a["format"] for a in report["artifacts"]] == [*FORMS[target]]
    assert not [row for row in report["ledger"] if row["after"] == "Rescaling(0.2, 0.5) → ReLU(max 1)"]
