"""The noise floor: what float64 decides, what the source's own rounding explains, and what is told of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from harness import report
from harness.bundle import Bundle
from harness.report import story
from harness.verify import Evidence, floor, judge
from harness.verify.compare import Comparison
from harness.verify.tolerance import Bounds, exact_bound
from harness.worker.tfworker.arrays import ArrayReader, ArrayWriter
from harness.worker.tfworker.double import with_fused_epsilon
from harness.worker.tfworker.exact import config_of, groups, said, short_numbers
from harness.worker.tfworker.record_exact import smallest
from harness.worker.tfworker.replay_exact import recorded as replayed

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "bundles" / "v1-small"
NOISE = 1e-7


def single(max_rel: float) -> Comparison:
    return Comparison(
        name="normal/y", shape=(2,), dtype="float32", max_abs=max_rel, max_rel=max_rel, max_ulp=1, tolerance=1e-5,
        ok=max_rel <= 1e-5, reason=None if max_rel <= 1e-5 else "differs",
    )  # fmt: skip


def double(max_rel: float) -> Comparison:
    return replace(
        single(max_rel),
        dtype="float64",
        tolerance=1e-14,
        ok=max_rel <= 1e-14,
        reason=None if max_rel <= 1e-14 else "differs",
    )


@pytest.mark.parametrize(
    ("in_single", "in_double", "noise", "ok", "decides"),
    [
        (1e-6, 1e-15, 1e-7, True, False),
        (1e-3, 1e-15, 5e-4, True, True),  # the source itself rounds so much
        (1e-3, 1e-15, 1e-7, False, False),  # nothing explains it
        (1e-6, 1e-8, 1e-7, False, False),  # another meaning below the bound of float32
        (1e-3, 1e-3, 5e-4, False, False),  # another meaning, and noise is no excuse
    ],
)
def test_float64_decides_and_noise_explains(
    in_single: float, in_double: float, noise: float, ok: bool, decides: bool
) -> None:
    found = floor.settled(single(in_single), double(in_double), noise)
    assert found.ok is ok
    assert (found.reason is None) is ok
    assert found.float64 is not None
    assert found.float64.decides is decides


def test_the_reason_says_which_type_tells() -> None:
    assert "in float64 it differs: another meaning, hidden" in str(
        floor.settled(single(1e-6), double(1e-8), 0.0).reason
    )
    assert "the source's own float32 is only 1e-07" in str(floor.settled(single(1e-3), double(0.0), 1e-7).reason)


def test_the_bound_of_float64_grows_with_the_noise_that_was_measured_only() -> None:
    assert exact_bound(1e-14, 1e-7) == 1e-14
    assert exact_bound(1e-14, 1e-3) == pytest.approx(32 * 1e-3 * 2.0**-29)


def test_the_noise_of_a_model_that_overflows_is_told_by_what_stays_finite() -> None:
    single_ = np.array([1.0, -3.5e21, np.nan, np.inf], dtype=np.float32)
    assert floor._noise(single_, np.array([1.0, -3.6e21, -8e86, np.inf]), 0.0) == pytest.approx(0.1 / 3.6, rel=1e-3)


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    """The golden bundle with a record in float64: what float32 has, and a little noise."""
    folder = tmp_path / "bundle"
    shutil.copytree(GOLDEN, folder)
    made = Bundle.open(folder)
    rng, entries = np.random.RandomState(0), []
    with ArrayWriter(str(folder / "double.npz")) as writer:
        for name, array in recorded(made):
            wide = array.astype(np.float64) if array.dtype == np.float32 else array
            entries.append(
                writer.add(f"double/{name}", wide + NOISE * rng.uniform(-1, 1, wide.shape) * np.abs(wide).max())
            )
    probes = {**made.manifest["probes"], "double": {"level": "standard", "skipped": None, "layers": True}}
    manifest = {**made.manifest, "probes": probes, "arrays": [*made.manifest["arrays"], *entries]}
    return Bundle(folder=folder, manifest=manifest)


def recorded(bundle: Bundle) -> list[tuple[str, Any]]:
    names = [
        e["name"]
        for e in bundle.manifest["arrays"]
        if e["name"].startswith(("probe/", "layer/")) and "/inputs/" not in e["name"]
    ]
    return [(name, np.array(bundle.arrays.get(name))) for name in names]


def replay(bundle: Bundle, tmp_path: Path, change: Callable[[str, Any], Any]) -> Evidence:
    entries = []
    with ArrayWriter(str(tmp_path / "outputs.npz")) as writer:
        for name, array in recorded(bundle):
            wide = np.array(bundle.arrays.get(f"double/{name}"))
            entries += [writer.add(n, change(n, a)) for n, a in ((name, array), (f"double/{name}", wide))]
    return judge(bundle, ArrayReader(str(tmp_path), entries), {}, form="keras")


def test_equal_values_agree_in_both_types_and_the_noise_is_told(bundle: Bundle, tmp_path: Path) -> None:
    evidence = replay(bundle, tmp_path, lambda _, array: array)
    assert evidence.ok
    compared = [c.float64 for c in evidence.outputs] + [r.comparison.float64 for r in evidence.layers]
    noises = [exact.noise for exact in compared if exact]
    assert len(noises) == len(compared)
    assert all(0 < noise <= 1.5 * NOISE for noise in noises)


def test_a_change_that_float32_passes_is_found_at_its_layer(bundle: Bundle, tmp_path: Path) -> None:
    bounds = Bounds(bundle.manifest["model"]["graph"])
    last = bundle.manifest["probes"]["layers"]["records"][-1]
    hidden = 1e-7
    assert hidden < bounds.layer(last["path"], "float32")

    def change(name: str, array: Any) -> Any:
        return array * (1 + hidden) if name == f"double/{last['array']}" else array

    evidence = replay(bundle, tmp_path, change)
    first = evidence.first_divergent
    assert first is not None
    assert first.layer == "/".join(last["path"])
    assert "hidden below the bound of float32" in str(first.comparison.reason)
    assert evidence.suspects == []  # running it alone in float32 would show nothing
    section = floor.section("standard", bundle, [evidence], {})
    assert section["forms"][0]["hidden"] == [first.comparison.name]
    assert [holds for holds, _ in story._floor(section)] == [False]


def test_sections_fit_the_schema_and_say_why_nothing_was_compared(bundle: Bundle, tmp_path: Path) -> None:
    evidence = replay(bundle, tmp_path, lambda _, array: array)
    told = bundle.manifest["probes"]["double"]
    schema = report.schema()
    schema = {**schema["properties"]["noise_floor"], "$defs": schema["$defs"]}
    without = Bundle(
        folder=bundle.folder, manifest={**bundle.manifest, "probes": {**bundle.manifest["probes"], "double": None}}
    )
    skipped = {**told, "skipped": "it has layers made of code"}
    made_of_code = Bundle(
        folder=bundle.folder, manifest={**bundle.manifest, "probes": {**bundle.manifest["probes"], "double": skipped}}
    )
    for level, given, lines in (
        ("standard", bundle, []),
        ("quick", bundle, ["float64: --proof quick compares in float32 only"]),
        ("full", without, ["float64: the bundle was made without it"]),
        ("full", made_of_code, ["float64: it has layers made of code"]),
    ):
        section = floor.section(level, given, [evidence], {"keras": None})
        jsonschema.validate(section, schema)
        assert story.not_exact(section) == lines


class Norm:
    """A live layer, as far as the config is made from it."""

    def __init__(self, name: str, fused: bool) -> None:
        self.name, self.fused = name, fused


class Model:
    layers = (Norm("a", fused=True), Norm("b", fused=False))
    name = "m"


def test_only_fused_normalisations_get_their_smallest_epsilon() -> None:
    config = [{"config": {"name": name, "epsilon": 1e-6}} for name in "ab"]
    made = with_fused_epsilon(config, Model(), 1.001e-5)
    assert [entry["config"]["epsilon"] for entry in made] == [1.001e-5, 1e-6]


def test_half_precision_is_left_to_float32() -> None:
    class Half:
        layers = ()

        @staticmethod
        def to_json() -> str:
            return '{"class_name": "Model", "config": {"layers": [{"config": {"dtype": "float16", "name": "d"}}]}}'

    class Keras:
        __version__ = "2.2.4-tf"

    with pytest.raises(Exception, match="half precision"):
        config_of(Keras, Half())


def test_layers_are_computed_in_groups_of_bounded_size() -> None:
    rows = [{"shape": [1 << 20]} for _ in range(60)]
    assert [len(group) for group in groups(rows)] == [24, 24, 12]
    assert [len(group) for group in groups([{"shape": [1 << 30]}] * 2)] == [1, 1]


def test_of_a_large_model_the_smallest_layers_are_recorded_and_replayed() -> None:
    rows = [{"array": f"layer/{name}", "shape": [size, 2]} for name, size in zip("abcd", (50, 30, 1, 9), strict=True)]
    assert [row["array"] for row in smallest(rows, 80)] == ["layer/b", "layer/c", "layer/d"]
    assert smallest(rows, 180) == rows
    assert smallest(rows, 1) == []
    told = {"arrays": [{"name": "double/layer/c"}], "probes": {"layers": {"set": "unit", "records": rows}}}
    assert [row["array"] for row in replayed(told)["probes"]["layers"]["records"]] == ["layer/c"]


def test_an_error_of_keras_3_is_told_by_its_second_line() -> None:
    error = ValueError("Exception encountered when calling A.call().\n\n\x1b[1mno kernel\x1b[0m\n\nArguments")
    assert said(error) == "ValueError: Exception encountered when calling A.call(). no kernel"
    assert said(ValueError()) == "ValueError: "


def test_numbers_that_one_keras_rounds_and_another_keeps_are_the_same_in_float64() -> None:
    def config(slope: object) -> dict[str, object]:
        return {
            "class_name": "ReLU",
            "config": {"name": "r", "negative_slope": slope, "max_value": 6.0, "threshold": None},
        }

    kept, rounded = (short_numbers({"layers": [config(slope)]}) for slope in (0.1, 0.10000000149011612))
    assert kept == rounded == {"layers": [config(float(np.float32(0.1)))]}
    dense = {"class_name": "Dense", "config": {"rate": 0.10000000149011612}}
    assert short_numbers(dense) == dense
    clip, norm = (
        {"class_name": name, "config": {key: value, "name": "n"}}
        for name, key, value in (("Clip", "x_min", -0.7), ("Normalization", "mean", [0.3]))
    )
    assert short_numbers(clip)["config"] == {"x_min": float(np.float32(-0.7)), "name": "n"}
    assert short_numbers(norm)["config"] == {"mean": [float(np.float32(0.3))], "name": "n"}
    call = short_numbers({"inbound_nodes": [["x", 0, 0, {"y": 0.7}]]})
    assert call == {"inbound_nodes": [["x", 0, 0, {"y": float(np.float32(0.7))}]]}


def test_values_recorded_elsewhere_are_explained_by_the_float64_of_their_inputs() -> None:
    exact = floor.settled(single(1e-6), double(1e-15), 1e-4).float64
    assert floor.borrowed(single(1e-3), exact).ok
    assert not floor.borrowed(single(1e-1), exact).ok
    assert not floor.borrowed(single(1e-3), None).ok
    assert not floor.borrowed(single(1e-3), floor.settled(single(1e-6), double(1e-3), 1e-4).float64).ok
