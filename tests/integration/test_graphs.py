"""Whole graphs of TensorFlow 1: a family of generated ones, the corpus, a TF-Hub v1 module; verified or refused by name."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from command_line import Harness, Once
from graph_runs import migrate_all

from harness import report as reports
from harness.backends import Environment
from harness.graph_plan import Choices
from harness.plan import Options

pytestmark = pytest.mark.integration
Script = Callable[..., str]
Environments = Callable[[str], Environment]
#: cases that are exported by TF 1.12 as well
BOTH = (
    "bidirectional_rnn", "cond_in_while", "estimator", "fused_batch_norm_slim", "nested_conds", "nested_while_loops", "string_ops",
    "table_from_file", "tensor_array",
)  # fmt: skip
#: their gradient is code that no file holds
NO_GRADIENT = {"custom_gradient"}


def family(once: Once, script: Script, name: str, cases: tuple[str, ...] = ()) -> Path:
    return once(f"graphs-{name}", lambda folder: script(name, "raw_graphs.py", folder, *cases) and None)


def saved_models(folder: Path) -> list[tuple[str, Path, Choices]]:
    return [(p.name, p, Choices()) for p in sorted(folder.iterdir()) if (p / "saved_model.pb").is_file()]


@pytest.fixture(scope="module")
def generated(once: Once, script: Script, hosted: Environments, tmp_path_factory: Any) -> dict[str, Any]:
    cases = saved_models(family(once, script, "tf1.15"))
    return migrate_all(cases, "tf1.15", hosted, tmp_path_factory.mktemp("graphs"))


def problems(report: dict[str, Any]) -> list[str]:
    rows = [*report["outputs"], *report.get("gradients", ())]
    return [f"{row['name']}: {row['reason']}" for row in rows if not row["ok"]] + [str(report["error"])] * bool(
        report["error"]
    )


# --- generated


def test_every_generated_graph_is_verified(generated: dict[str, Any]) -> None:
    assert len(generated) >= 40
    assert {name: problems(r) for name, r in generated.items() if r["status"] != "verified"} == {}


def test_gradients_are_compared_wherever_the_source_has_them(generated: dict[str, Any]) -> None:
    trained = {name for name, r in generated.items() if r["weights"]["total"]}
    without = {name for name in trained if not generated[name]["gradients"]}
    assert without == NO_GRADIENT
    assert all(generated[name]["not_checked"] for name in NO_GRADIENT)
    # Not vacuous: in nearly every graph some gradient is far from zero.
    assert max(row["max_rel"] for r in generated.values() for row in r["gradients"]) < 1e-5


def test_control_flow_is_rewritten_and_not_dropped(generated: dict[str, Any]) -> None:
    rewritten = {name: r["rewritten"] for name, r in generated.items()}
    assert rewritten["nested_while_loops"]["while loops"] == 2
    assert rewritten["nested_conds"]["conditionals"] == 2
    assert rewritten["dynamic_rnn"]["tensor arrays"] == 2
    assert "conditionals" not in rewritten["batch_norm_is_training"]  # the phase is decided


def test_graphs_of_tensorflow_1_12_are_verified(
    once: Once, script: Script, hosted: Environments, tmp_path: Path
) -> None:
    found = migrate_all(saved_models(family(once, script, "tf1.12", BOTH)), "tf1.12", hosted, tmp_path)
    assert sorted(found) == sorted(BOTH)
    assert {name: problems(r) for name, r in found.items() if r["status"] != "verified"} == {}


# --- the corpus


#: why there is no native Keras model of a graph of the corpus; of all others there is one
NOT_NATIVE = {
    "f_kws_basic_lstm_s": "a loop", "f_kws_gru_s": "a loop", "m_dotnet_string": "StringSplit",
    "m_dotnet_primitive": "Add", "m_dotnet_types": "",
}  # fmt: skip
#: begin with the decoding of sound, which is a model of its own
WITH_FRONT = {"f_kws_dnn_s", "f_kws_ds_cnn_s"}


@pytest.mark.parametrize("source", ["tf1.15", "tf1.12"])
def test_every_graph_of_the_corpus_is_verified(source: str, corpus: Path, hosted: Environments, tmp_path: Path) -> None:
    cases = []
    for item in json.loads((corpus / "INDEX.json").read_text())["artifacts"]:
        folder = corpus / item["id"]
        if item["kind"] in ("savedmodel", "ckpt"):
            cases.append((item["id"], folder, Choices()))
        elif item["kind"] == "frozen":
            cases.append((item["id"], next(folder.glob("*.pb")), Choices()))
    if source == "tf1.12":
        cases = [
            case
            for case in cases
            if case[0] in ("c_dotnet_cifar", "f_kws_gru_s", "m_dotnet_types", "m_serving_half_cpu")
        ]
    found = migrate_all(cases, source, hosted, tmp_path, Options(lift=source == "tf1.15"))
    assert len(found) == (22 if source == "tf1.15" else 4)
    assert {name: problems(r) for name, r in found.items() if r["status"] != "verified"} == {}
    assert all(row["max_rel"] < 1e-5 for r in found.values() for row in r["outputs"])
    if source == "tf1.15":
        lifted = {name: r["lift"] for name, r in found.items()}
        blocked = {name: {row["op"] for row in lift["blocked"]} for name, lift in lifted.items()}
        native = {name for name, lift in lifted.items() if lift["status"] == "native"}
        assert {name: sorted(blocked[name]) for name in set(lifted) - native - set(NOT_NATIVE)} == {}
        assert {name for name, op in NOT_NATIVE.items() if name in native or op not in blocked[name]} == set()
        assert {name for name, lift in lifted.items() if lift["front"]} == WITH_FRONT
        assert all(lifted[name]["outputs"] for name in native)
        assert not [row for name in native for row in lifted[name]["layers"] if row["class_name"] == "GraphLayer"]


@pytest.fixture(scope="module")
def forms(once: Once, script: Script, hosted: Environments, tmp_path_factory: Any) -> dict[str, Any]:
    folder = once("graph-forms", lambda folder: script("tf1.15", "other_forms.py", folder) and None)
    names = (
        "v2",
        "v1/model.ckpt-7",
        "sharded/model.ckpt-7.index",
        "v2/model.ckpt-7.meta",
        "frozen.pb",
        "frozen.pbtxt",
        "no_meta",
    )
    cases = [(name.replace("/", "_"), folder / name, Choices()) for name in names]
    return migrate_all(cases, "tf1.15", hosted, tmp_path_factory.mktemp("forms"))


def test_checkpoints_and_frozen_graphs_of_a_trained_model_are_verified(forms: dict[str, Any]) -> None:
    refused = forms.pop("no_meta")
    assert refused["error"]["code"] == "source-weights-only"
    assert {name: problems(r) for name, r in forms.items() if r["status"] != "verified"} == {}
    for name, report in forms.items():
        # The outputs of the loop, one for each step, are read by nothing either.
        names = {row["name"].partition(":")[2] for row in report["outputs"]}
        assert names == ({"probabilities"} if "frozen" in name else {"probabilities", "transpose_1"}), name
        assert report["weights"]["total"] == 12
        assert len(report["gradients"]) == 10  # also of the frozen loop, which the source had to be told of


# --- a TF-Hub module like the Universal Sentence Encoder v1


@pytest.fixture(scope="module")
def module(once: Once, script: Script) -> Path:
    return once("hub-module", lambda folder: script("tf1.15", "hub_module.py", folder) and None)


def test_a_hub_module_becomes_a_saved_model_and_a_layer_that_takes_strings(
    module: Path, run: Harness, script: Script, tmp_path: Path
) -> None:
    sentences = module / "sentences.npz"
    done = run("migrate", module / "module", "--signature", "default", "--inputs", sentences, "--out", "out", "--json")
    assert done.status == 0, done.text
    report = done.report
    jsonschema.validate({k: v for k, v in report.items() if k != "folder"}, reports.schema())
    assert "default: samples" in [probe["name"] for probe in report["probes"]]
    assert (report["weights"]["equal"], len(report["gradients"])) == (6, 6)
    found = json.loads(
        script("tf2.21", "use_graph.py", tmp_path / "out" / "saved_model", sentences, module / "embeddings.npy")
    )
    for key in ("call", "layer", "plain layer", "served"):
        assert found[key] < 1e-6, found
    assert found["trainable"] == found["moved"] == 6
    assert found["loss"][1] < found["loss"][0] / 5
    assert found["saved again"] == 0.0
    assert found["tuned"] > 1e-2
    assert found["assets"] == ["vocab.txt"]


def test_both_signatures_of_a_hub_module_are_carried(module: Path, hosted: Environments, tmp_path: Path) -> None:
    found = migrate_all([("all", module / "module", Choices())], "tf1.15", hosted, tmp_path)["all"]
    assert problems(found) == []
    assert {row["name"] for row in found["outputs"]} == {"default:default", "words:count", "words:values"}


# --- bad input


@pytest.fixture(scope="module")
def refusals(
    once: Once, script: Script, module: Path, hosted: Environments, corpus: Path, tmp_path_factory: Any
) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("bad")
    raw = family(once, script, "tf1.15")
    damaged = folder / "damaged"
    shutil.copytree(raw / "dynamic_rnn", damaged)
    data = (damaged / "saved_model.pb").read_bytes()
    (damaged / "saved_model.pb").write_bytes(data[: len(data) // 2])
    no_asset = folder / "no_asset"
    shutil.copytree(raw / "table_from_file", no_asset)
    (no_asset / "assets" / "vocab.txt").unlink()
    no_variables = folder / "no_variables"
    shutil.copytree(raw / "ref_variables", no_variables)
    next((no_variables / "variables").glob("*.data-*")).unlink()
    frozen = next((corpus / "f_kws_dnn_s").glob("*.pb"))
    custom = folder / "custom.pb"
    custom.write_bytes(frozen.read_bytes().replace(b"labels_softmax\x12\x07Softmax", b"labels_softmax\x12\x07Zoftmax"))
    cut = folder / "cut.pb"
    cut.write_bytes(frozen.read_bytes()[:3000])
    plain = raw / "ref_variables"
    cases = [
        ("signature", plain, Choices(signatures=("predict",))),
        ("tags", plain, Choices(tags=("train",))),
        ("train of a module", module / "module", Choices(tags=("train",))),
        ("damaged", damaged, Choices()),
        ("no asset", no_asset, Choices()),
        ("no variables", no_variables, Choices()),
        ("custom operation", custom, Choices(inputs={"x": "wav_data:0"}, outputs={"y": "labels_softmax:0"})),
        ("cut off", cut, Choices()),
        ("wrong tensor", frozen, Choices(outputs={"y": "nowhere:0"})),
        ("wrong output number", frozen, Choices(inputs={"x": "wav_data:0"}, outputs={"y": "labels_softmax:3"})),
    ]
    found = migrate_all(cases, "tf1.15", hosted, folder / "runs")
    return {name: report["error"] for name, report in found.items()}


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("signature", "signature-unknown", "serving_default: x → y"),
        ("tags", "tags-unknown", "{serve}"),
        ("train of a module", "outputs-random", "dropout"),
        ("damaged", "source-truncated", ""),
        ("cut off", "source-truncated", "cut.pb"),
        ("no asset", "source-incomplete", "vocab.txt"),
        ("no variables", "source-not-loadable", "variables"),
        ("custom operation", "ops-unknown", "Zoftmax"),
        ("wrong tensor", "tensor-unknown", "nowhere"),
        ("wrong output number", "tensor-unknown", "labels_softmax:3"),
    ],
)
def test_bad_input_is_refused_by_name(refusals: dict[str, Any], name: str, code: str, words: str) -> None:
    error = refusals[name]
    assert error is not None
    text = " ".join([error["message"], *error["details"]])
    assert (error["code"], words in text) == (code, True), error
