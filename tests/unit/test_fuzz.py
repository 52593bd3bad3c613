"""The fuzzers' targets on what was found before, and on a few hundred fresh inputs; ``tests/fuzz/fuzz.py`` runs the many."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest

FUZZ = Path(__file__).resolve().parents[1] / "fuzz"
sys.path.insert(0, str(FUZZ))
import targets  # noqa: E402


def test_the_bundle_that_is_damaged_is_sound_to_begin_with(tmp_path: Path) -> None:
    assert targets.read_bundle(b"", tmp_path) == "read"


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


@pytest.mark.parametrize("path", sorted((FUZZ / "seeds").glob("*/*")), ids=lambda p: f"{p.parent.name}-{p.name}")
def test_what_was_found_stays_mended(path: Path, tmp_path: Path) -> None:
    run = targets.read_bundle if path.parent.name == "bundle" else targets.sniff
    run(path.read_bytes(), tmp_path)
