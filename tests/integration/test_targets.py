"""Every pair of envs/pairs.toml, and every saved form of every target, from a few models whose meaning is easily lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
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
from harness.regress.warm import WarmWorker

pytestmark = pytest.mark.integration

#: masks that old wrappers kept, old functions under today's names, arguments that a save loses, lists of axes, states
#: that TF 1 did not carry on, and code, which is traced in both kinds of TensorFlow
MODELS = (
    "wrappers/bidirectional-lstm-concat-masked",
    "merging/dot-rank4_rank4-normalized",
    "attention/dot-causal",
    "topology/call_batch_norm_in_training",
    "transpose/conv2d_transpose-dilation",
    "recurrent/gru-default",
    "reshaping/upsampling2d-bilinear",
    "wrappers/bidirectional-lstm-stateful",
    "lambda/slice_strided",
)
#: TensorFlow 1.14 cannot load what it saved of an Attention layer
NOT_READ = {"tf1.14": "attention/dot-causal"}
#: what TensorFlow 1 lacks of these models
REFUSED = {
    "tf1.15": {
        "merging/dot-rank4_rank4-normalized",
        "wrappers/bidirectional-lstm-stateful",
        "lambda/slice_strided",
    },
    "tf1.12": {
        "wrappers/bidirectional-lstm-stateful",
        "lambda/slice_strided",
        "wrappers/bidirectional-lstm-concat-masked",
        "merging/dot-rank4_rank4-normalized",
        "attention/dot-causal",
        "transpose/conv2d_transpose-dilation",
        "reshaping/upsampling2d-bilinear",
    },
}
#: by source, so that one worker of a source serves all of its targets before the next one starts
PAIRS = sorted((pair.source, pair.target) for pair in envspec.load_pairs())


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


@pytest.fixture(scope="module")
def workers(
    hosted: Callable[[str], Environment], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str, str], dict[str, WarmWorker]]]:
    """``workers(source, target)``: processes for a PairRun, a target's kept for all pairs, a source's for its own."""
    sides: dict[str, dict[str, WarmWorker]] = {"reader": {}, "worker": {}}

    def get(source: str, target: str) -> dict[str, WarmWorker]:
        for name in [*sides["reader"]]:
            if name != source:
                sides["reader"].pop(name).stop()
        for side, name in (("reader", source), ("worker", target)):
            if name not in sides[side]:
                env = hosted(name)
                folder = tmp_path_factory.mktemp(f"{side}-{name}")
                sides[side][name] = WarmWorker(env, folder, flavour=env.spec.keras_flavour)
        return {"reader": sides["reader"][source], "worker": sides["worker"][target]}

    yield get
    for side in sides.values():
        for worker in side.values():
            worker.stop()


@pytest.mark.parametrize(("source", "target"), PAIRS, ids=[f"{source}--{target}" for source, target in PAIRS])
def test_every_pair_that_is_claimed_works(
    hosted: Callable[[str], Environment],
    models: Callable[[str], Path],
    workers: Callable[[str, str], dict[str, WarmWorker]],
    tmp_path: Path,
    source: str,
    target: str,
) -> None:
    cases = [case for case in zoo_cases(models(source) / "zoo") if case.id != NOT_READ.get(source)]
    assert len(cases) >= 4
    run = PairRun(
        source=hosted(source),
        target=hosted(target),
        root=tmp_path,
        options=Options(timeout_s=120, proof="quick"),
        **workers(source, target),
    )
    lacking = REFUSED.get(target, set())
    found = {result.id: (result.status, result.reason) for result in run.run(cases)}
    refused = {name for name, (status, _) in found.items() if status == "refused"}
    assert refused == {case.id for case in cases if case.id in lacking}, found
    assert {name: found[name] for name in set(found) - refused} == {
        case.id: ("verified", None) for case in cases if case.id not in lacking
    }


FORMS = {
    "tf2.15": ("keras", "h5", "saved_model"),
    "tf_keras2.21": ("keras", "h5", "saved_model"),
    "tf2.3": ("h5", "saved_model"),
}


@pytest.fixture(scope="module")
def masked(cli_once: Callable[..., Run], models: Callable[[str], Path]) -> Run:
    """A bundle of little, where much is easily lost in a saved form: masks, operations, two outputs of a flip."""
    return cli_once("targets-masked", "export", models("tf1.12") / "zoo" / f"{MODELS[0].replace('/', '__')}.h5")


@pytest.mark.parametrize("target", FORMS)
def test_every_form_of_a_keras_2_is_verified(cli_once: Callable[..., Run], masked: Run, target: str) -> None:
    options = [word for form in FORMS[target] for word in ("--format", form)]
    made = cli_once(f"masked-{target}", "import", masked.out / "bundle", "--to", target, *options)
    assert made.done.status == 0, made.done.text
    report: dict[str, Any] = made.report
    assert report["to"]["environment"] == target
    assert [row["format"] for row in report["outputs"]] == [*FORMS[target]]
    assert report["weights"]["equal"] == report["weights"]["total"] == 6
    assert report["layers"]["equal_within_bound"] == report["layers"]["compared"] > 1
    assert [a["format"] for a in report["artifacts"]] == [*FORMS[target]]


def test_a_rich_model_keeps_its_meaning_in_a_keras_2(cli_once: Callable[..., Run], rich: Run) -> None:
    made = cli_once("rich-tf2.15", "import", rich.out / "bundle", "--to", "tf2.15")
    assert made.done.status == 0, made.done.text
    report: dict[str, Any] = made.report
    assert {row["name"] for row in report["outputs"]} == {"main", "aux"}
    assert report["weights"]["equal"] == report["weights"]["total"] == 35
    assert report["layers"]["equal_within_bound"] == report["layers"]["compared"] > 20
    assert not [row for row in report["ledger"] if row["after"] == "Rescaling(0.2, 0.5) → ReLU(max 1)"]
