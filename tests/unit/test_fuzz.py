"""The fuzzers' targets on what was found before, and on a few hundred fresh inputs; ``tests/fuzz/fuzz.py`` runs the many."""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

import jsonschema
import pytest

from harness import report

FUZZ = Path(__file__).resolve().parents[1] / "fuzz"
sys.path.insert(0, str(FUZZ))
import targets  # noqa: E402


def test_the_bundle_that_is_damaged_is_sound_to_begin_with(tmp_path: Path) -> None:
    assert targets.read_bundle(b"", tmp_path) == "read"


@pytest.mark.parametrize("kind", [b"", b"\x80"], ids=["keras", "graph"])
def test_a_sound_bundle_gets_as_far_as_a_worker_and_its_report_is_of_the_schema(tmp_path: Path, kind: bytes) -> None:
    assert targets.enter_bundle(kind, tmp_path) == "worker-crashed"
    jsonschema.validate(json.loads((tmp_path / "out" / "report.json").read_text()), report.schema())


def test_damage_is_noticed(tmp_path: Path) -> None:
    """Bytes are overwritten in every member: never read as if nothing had happened, never another kind of error."""
    places = [(member, place) for member in (0, 1, 2) for place in range(0, 700, 7)]
    recipes = [bytes([member | 0x80, place & 0xFF, place >> 8, 2, 7, 7]) for member, place in places]
    found = {targets.read_bundle(recipe, tmp_path) for recipe in recipes}
    assert found >= {"bundle-invalid", "bundle-corrupt"}


@pytest.mark.parametrize("seed", range(8))
def test_fresh_inputs_end_in_declared_errors_only(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(40):
        data = chance.randbytes(chance.randrange(4, 60))
        targets.read_bundle(data, tmp_path)
        targets.sniff(data, tmp_path)


@pytest.mark.parametrize("seed", range(4))
def test_fresh_manifests_end_in_declared_errors_and_a_report_of_the_schema(tmp_path: Path, seed: int) -> None:
    chance, schema = random.Random(seed), jsonschema.Draft202012Validator(report.schema())
    for _ in range(40):
        targets.enter_bundle(chance.randbytes(1 + 5 * chance.choice((1, 1, 2, 3))), tmp_path)
        found = [
            error.message for error in schema.iter_errors(json.loads((tmp_path / "out" / "report.json").read_text()))
        ]
        assert found == []


@pytest.mark.parametrize("path", sorted((FUZZ / "seeds").glob("*/*")), ids=lambda p: f"{p.parent.name}-{p.name}")
def test_what_was_found_stays_mended(path: Path, tmp_path: Path) -> None:
    run = {"bundle": targets.read_bundle, "report": targets.enter_bundle, "sniff": targets.sniff}[path.parent.name]
    run(path.read_bytes(), tmp_path)
