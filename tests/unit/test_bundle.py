"""Bundles of every schema version are read, and one that breaks a rule is refused by the rule's name."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness import dialects
from harness.bundle import SCHEMA_VERSION, Bundle, is_graph
from harness.errors import HarnessError
from harness.worker.tfworker.arrays import ArrayWriter

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "bundles"
Manifest = dict[str, Any]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the golden bundle without its SHA256SUMS, so that the manifest can be changed."""
    shutil.copytree(GOLDEN / "v1-small", tmp_path / "bundle")
    (tmp_path / "bundle" / "SHA256SUMS").unlink()
    return tmp_path / "bundle"


def refused(folder: Path) -> HarnessError:
    with pytest.raises(HarnessError) as caught:
        Bundle.open(folder).check_arrays()
    return caught.value


# --- golden


def test_there_is_a_golden_bundle_of_every_schema_version() -> None:
    versions = [int(path.name.split("-")[0][1:]) for path in GOLDEN.iterdir() if path.is_dir()]
    assert sorted(set(versions)) == list(range(1, SCHEMA_VERSION + 1))


def test_the_bundle_of_schema_1_is_read_by_today_s_reader() -> None:
    bundle = Bundle.open(GOLDEN / "v1-small")
    assert bundle.check_arrays() == len(bundle.manifest["arrays"])
    manifest = bundle.manifest
    assert set(manifest) == {
        "schema_version", "min_reader", "required_features", "producer", "source", "model", "arrays", "probes",
    }  # fmt: skip
    assert {"dialect", "name", "graph", "inputs", "outputs", "training", "config_as_found"} <= set(manifest["model"])
    assert {"seed", "sets", "dropped", "layers"} <= set(manifest["probes"])
    assert [spec["name"] for spec in manifest["model"]["inputs"]] == ["tokens", "features"]
    assert manifest["producer"]["tensorflow"] == "1.15.5"
    kernel = bundle.arrays.get("inner/inner_dense/kernel")
    assert (kernel.shape, kernel.dtype) == ((3, 3), np.float32)


def test_the_model_of_the_golden_bundle_is_translated_today() -> None:
    manifest = Bundle.open(GOLDEN / "v1-small").manifest
    model = manifest["model"]
    done = dialects.translate(model["graph"], manifest["arrays"], model["dialect"], "keras-3", {"hard_sigmoid": "pin"})
    assert done.obstacles == ()
    assert len(done.weights) == sum("role" in entry for entry in manifest["arrays"])


def test_golden_bundles_stay_small() -> None:
    for path in GOLDEN.iterdir():
        assert sum(file.stat().st_size for file in path.rglob("*") if file.is_file()) < 60_000


def test_the_graph_of_schema_2_is_read_by_today_s_reader() -> None:
    bundle = Bundle.open(GOLDEN / "v2-small-graph")
    assert is_graph(bundle.folder)
    assert not is_graph(GOLDEN / "v1-small")
    assert bundle.check_arrays() == len(bundle.manifest["arrays"])
    manifest, model = bundle.manifest, bundle.manifest["model"]
    assert (manifest["min_reader"], manifest["required_features"]) == (2, ["graph"])  # readers of schema 1 refuse it
    assert {"words"} == set(model["signatures"]["serving_default"]["inputs"])
    assert {row["name"]: row["trainable"] for row in model["variables"]} == {"embeddings": True, "kernel": True}
    assert (
        bundle.arrays.get(model["tables"][0]["keys"]).tolist() == [b"red", b"green", b"blue"]
        or model["tables"][0]["size"] == 3
    )


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda m: m["model"].pop("variables"), "manifest.model lacks variables"),
        (
            lambda m: m["model"].update(graph="../graph.json"),
            "manifest.model.graph names another file than graphs/graph.json",
        ),
        (lambda m: m["model"]["signatures"].update(x={}), "manifest.model.signatures.x lacks inputs"),
        (
            lambda m: m["probes"]["sets"][0].update(signature="x"),
            "manifest.probes.sets: normal is for x, which is no signature",
        ),
        (
            lambda m: m["model"]["assets"].append({"file": "../up", "sha256": "", "tensor": "t"}),
            "manifest.model.assets: '../up' is no file name",
        ),
    ],
)
def test_a_graph_that_breaks_a_rule_is_refused(tmp_path: Path, change: Callable[[Manifest], object], line: str) -> None:
    shutil.copytree(GOLDEN / "v2-small-graph", tmp_path / "bundle")
    (tmp_path / "bundle" / "SHA256SUMS").unlink()
    manifest = json.loads((tmp_path / "bundle" / "manifest.json").read_text())
    change(manifest)
    (tmp_path / "bundle" / "manifest.json").write_text(json.dumps(manifest))
    error = refused(tmp_path / "bundle")
    assert error.code == "bundle-invalid"
    assert line in error.details


# --- one defect per case


def changed(change: Callable[[Manifest], Any]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        manifest = json.loads((folder / "manifest.json").read_text())
        change(manifest)
        (folder / "manifest.json").write_text(json.dumps(manifest))

    return damage


def text(content: str) -> Callable[[Path], None]:
    return lambda folder: (folder / "manifest.json").write_text(content) and None


INVALID = "bundle-invalid"
FORM = "{folder}: the manifest is not of the documented form."
MEMBERS = "{folder} holds members that no bundle has."
DEFECTS: dict[str, tuple[Callable[[Path], None], str, str, tuple[str, ...]]] = {
    "no manifest": (
        lambda f: (f / "manifest.json").unlink(), INVALID, "{folder} is no bundle: it has no manifest.json.", (),
    ),
    "extra member": (lambda f: (f / "run.py").touch(), INVALID, MEMBERS, ("unexpected: run.py",)),
    "link": (lambda f: (f / "graphs").symlink_to("/etc"), INVALID, MEMBERS, ("symbolic link: graphs",)),
    "NaN": (
        text('{"a": NaN}'), INVALID, "{folder}: manifest.json is not valid JSON: NaN is not JSON.", (),
    ),
    "twice the same key": (
        text('{"a": 1, "a": 2}'), INVALID, "{folder}: manifest.json is not valid JSON: the key 'a' stands twice.", (),
    ),
    "a list": (text("[]"), INVALID, "{folder}: the manifest lacks everything.", ()),
    "a key less": (changed(lambda m: m.pop("probes")), INVALID, "{folder}: the manifest lacks probes.", ()),
    "later schema": (
        changed(lambda m: m.update(min_reader=3)), "bundle-unsupported",
        "{folder} needs a reader of schema 3; this one reads up to 2.", (),
    ),
    "unknown feature": (
        changed(lambda m: m.update(required_features=["holograms", "smell"])), "bundle-unsupported",
        "{folder} needs features unknown here: holograms, smell.", (),
    ),
    "features of another type": (
        changed(lambda m: m.update(required_features=7)), INVALID, FORM, ("manifest.required_features is no list",),
    ),
    "two wrong forms": (
        changed(lambda m: (m["producer"].pop("environment"), m["model"].update(graph=None))), INVALID, FORM,
        ("manifest.producer lacks environment", "manifest.model.graph is no object"),
    ),
    "array without checksum": (
        changed(lambda m: m["arrays"][0].pop("sha256")), INVALID, FORM, ("manifest.arrays[0] lacks sha256",),
    ),
    "array with a shape of text": (
        changed(lambda m: m["arrays"][1].update(shape=["1"])), INVALID, FORM,
        ("manifest.arrays[1].shape[0] is no whole number",),
    ),
    "lists of another type": (
        changed(lambda m: m["source"].update(
            replaced_layers=[1], repaired=5, weights_renamed={"a": 1}, left_behind="no", bytecode_run=[None], bytes=-1,
        )),
        INVALID, FORM,
        (
            f"manifest.source.bytes is no number of 0 to {2**63 - 1}", "manifest.source.replaced_layers[0] is no object",
            "manifest.source.repaired is no list", "manifest.source.left_behind is no list",
            "manifest.source.weights_renamed is no list", "manifest.source.bytecode_run[0] is no text",
        ),
    ),
    "layers of another form": (
        changed(lambda m: (
            m["model"]["graph"]["layers"][0].pop("name"), m["model"]["graph"]["layers"][1].update(calls=[5], carried=5),
            m["model"]["graph"]["layers"][2]["calls"][0].update(inputs=[["tokens", 0]]),
            m["model"]["graph"]["layers"][3]["graph"].update(kind=None),
        )),
        INVALID, FORM,
        (
            "manifest.model.graph.layers[0] lacks name", "manifest.model.graph.layers[1].calls[0] is no object",
            "manifest.model.graph.layers[1].carried is no object",
            "manifest.model.graph.layers[2].calls[0].inputs[0] has 2 values, not 3",
            "manifest.model.graph.layers[3].graph.kind is no text",
        ),
    ),
    "noise of another form": (
        changed(lambda m: m["probes"]["sets"][0].update(noise=[3, {"layer": "a", "array": 0}])), INVALID, FORM,
        (
            "manifest.probes.sets[0].noise[0] is no object", "manifest.probes.sets[0].noise[1].layer is no list",
            "manifest.probes.sets[0].noise[1].array is no text",
        ),
    ),
    "a call that is not there": (
        changed(lambda m: m["model"]["graph"]["outputs"].append(["embedding", 1, 0])), INVALID, FORM,
        ("manifest.model.graph.outputs[2] names call 1 of the layer embedding, which is not there",),
    ),
    "two layers of a name": (
        changed(lambda m: m["model"]["graph"]["layers"].append(m["model"]["graph"]["layers"][0])), INVALID, FORM,
        ("manifest.model.graph.layers: two layers have the same name",),
    ),
    "an output less": (
        changed(lambda m: m["probes"]["sets"][1]["outputs"].pop()), INVALID, FORM,
        ("manifest.probes.sets[1].outputs has 1 arrays, and the model 2",),
    ),
    "a number without end": (
        text('{"a": 1e999}'), INVALID,
        "{folder}: manifest.json is not valid JSON: the number 1e999 is above what a float holds.", (),
    ),
    "array twice": (
        changed(lambda m: m["arrays"].append(m["arrays"][0])), INVALID,
        "{folder}: an array name stands twice in the index.", (),
    ),
    "array in another folder": (
        changed(lambda m: m["arrays"][0].update(file="../weights.npz")), INVALID,
        "{folder}: '../weights.npz' is no file name for arrays.", (),
    ),
    "array file missing": (
        lambda f: (f / "weights.npz").unlink(), INVALID, "{folder}: there is no file weights.npz.", (),
    ),
}  # fmt: skip


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_bundle_that_breaks_a_rule_is_refused(folder: Path, defect: str) -> None:
    damage, code, message, details = DEFECTS[defect]
    damage(folder)
    error = refused(folder)
    assert (error.code, error.message, error.details) == (code, message.format(folder=folder), details)


def test_every_damaged_array_is_listed(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    rewritten = Bundle.open(folder).arrays
    arrays = {e["name"]: np.array(rewritten.get(e["name"])) for e in manifest["arrays"] if e["file"] == "weights.npz"}
    names = sorted(arrays)[:2]
    with ArrayWriter(str(folder / "weights.npz")) as writer:
        for entry in manifest["arrays"]:
            if entry["file"] == "weights.npz":
                writer.add(entry["name"], arrays[entry["name"]] + (entry["name"] in names))
    error = refused(folder)
    assert error.code == "bundle-corrupt"
    assert error.message == f"{folder}: 2 of {len(manifest['arrays'])} arrays differ from their checksums."
    assert [detail.split("'")[1] for detail in error.details] == [
        e["name"] for e in manifest["arrays"] if e["name"] in names
    ]


def test_a_changed_manifest_is_found_by_its_checksum(tmp_path: Path) -> None:
    shutil.copytree(GOLDEN / "v1-small", tmp_path / "bundle")
    manifest = tmp_path / "bundle" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"tf1.15"', '"tf1.12"', 1))
    error = refused(tmp_path / "bundle")
    assert error.code == "bundle-corrupt"
    assert error.message.startswith(f"{manifest}: sha256 expected ")
