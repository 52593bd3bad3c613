"""Fixtures for all tests: real environments (built once, shared with daily use) and the corpus of real models."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.backends import Environment, VenvEnvironment, ensure, local
from harness.envspec import EnvSpec, get_spec, load_specs

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def specs() -> dict[str, EnvSpec]:
    return load_specs()


@pytest.fixture(scope="session")
def environment(specs: dict[str, EnvSpec]) -> Callable[[str], VenvEnvironment]:
    """``environment("tf1.15")``: a virtual environment, built on first use in the shared cache, for scripts of tests.

    Only for tests marked ``integration``.
    """
    return lambda name: local(get_spec(specs, name))


@pytest.fixture(scope="session")
def hosted(specs: dict[str, EnvSpec]) -> Callable[[str], Environment]:
    """``hosted("tf1.15")``: likewise, for workers, in the backend that ``HARNESS_BACKEND`` names (virtual environments)."""
    return lambda name: ensure(get_spec(specs, name))


@pytest.fixture(scope="session")
def corpus() -> Path:
    """The folder of real models; ``HARNESS_CORPUS`` names another place than beside the checkout."""
    folder = Path(os.environ.get("HARNESS_CORPUS") or ROOT.parent / "shared" / "corpus")
    if not folder.is_dir():
        pytest.skip(f"the corpus of real models is not at {folder}; name its folder in HARNESS_CORPUS")
    return folder
