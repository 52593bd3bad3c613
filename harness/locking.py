"""``python -m harness.locking [NAME …] [--upgrade]`` writes ``envs/locks/NAME.txt``; ``nox -s lock`` calls it.

A lock file holds every distribution of an environment with its hashes, and nothing about the machine or the index
that it was resolved on: the same file installs from a mirror. ``envs/locks/files.json`` says which file of each is meant.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import uv

from harness.envspec import EnvSpec, get_spec, load_specs
from harness.errors import HarnessError

FILES = "files.json"


def compile_command(spec: EnvSpec, folder: Path, *, upgrade: bool = False) -> list[str]:
    """uv's argument list that writes the lock file of ``spec``; its inputs are written into ``folder``.

    What is locked already stays as it is, unless a pin forbids it or ``upgrade`` is set.
    """
    requirements, overrides = folder / "requirements.in", folder / "overrides.txt"
    requirements.write_text("".join(f"{pin.requirement}\n" for pin in spec.pins), encoding="utf-8")
    # A marker that never holds is uv's way to leave out a dependency.
    overrides.write_text("".join(f'{name} ; sys_platform == "never"\n' for name in spec.omits), encoding="utf-8")
    return [
        *(uv.find_uv_bin(), "pip", "compile", "--quiet", "--generate-hashes", "--no-config"),
        *("--no-header", "--no-annotate", "--no-emit-index-url"),
        *_platform(spec),
        *("--overrides", str(overrides), *(["--upgrade"] if upgrade else [])),
        *("--output-file", str(spec.lock_path), str(requirements)),
    ]


def files_command(spec: EnvSpec, folder: Path) -> list[str]:
    """uv's argument list that writes which files of a lock are installed into ``folder``/pylock.toml.

    It fails where there is no wheel for a distribution that is none of ``WITHOUT_WHEEL``.
    """
    return [
        *(uv.find_uv_bin(), "pip", "compile", "--quiet", "--no-deps", "--no-config", "--format", "pylock.toml"),
        *(*_platform(spec), *spec.sources, "--output-file", str(folder / "pylock.toml"), str(spec.lock_path)),
    ]


def files_of(pylock: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Name and digest of the file that is installed, for each distribution of a ``pylock.toml``."""
    found = {}
    for part in pylock["packages"]:
        file = (part.get("wheels") or [part.get("sdist")])[0]
        name = file.get("name") or file["url"].rpartition("/")[2].partition("#")[0]
        found[f"{part['name']}=={part['version']}"] = {"file": name, "sha256": file["hashes"]["sha256"]}
    return found


def _platform(spec: EnvSpec) -> list[str]:
    return ["--python-version", spec.python, "--python-platform", "x86_64-unknown-linux-gnu"]


def write_lock(spec: EnvSpec, *, upgrade: bool = False) -> None:
    """Leaves a resolved lock file at ``spec.lock_path``, and its files in ``files.json`` beside it.

    Raises:
        HarnessError: ``environment-build-failed`` with uv's explanation when the pins cannot be resolved.
    """
    spec.lock_path.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        _uv(spec, compile_command(spec, Path(folder), upgrade=upgrade), folder)
        _uv(spec, files_command(spec, Path(folder)), folder)
        found = files_of(tomllib.loads((Path(folder) / "pylock.toml").read_text(encoding="utf-8")))
    path = spec.lock_path.parent / FILES
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    path.write_text(json.dumps(known | {spec.name: found}, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def _uv(spec: EnvSpec, command: list[str], folder: str) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise HarnessError(
            "environment-build-failed",
            f"The pins of {spec.path} cannot be resolved for Python {spec.python}.",
            details=done.stderr.strip().splitlines()[-20:],
            remedy="Change the pins named above; what has no wheel at all is entered into WITHOUT_WHEEL (harness/envspec.py).",
        )


def main(argv: Sequence[str]) -> int:
    """The exit status, after writing the lock files of the environments named (default: all)."""
    specs = load_specs()
    names = [argument for argument in argv if not argument.startswith("--")]
    own = [spec for spec in specs.values() if spec.installed_as == spec.name]
    try:
        for spec in [get_spec(specs, name) for name in names] or own:
            write_lock(spec, upgrade="--upgrade" in argv)
            sys.stdout.write(f"{spec.name}: {spec.lock_path}\n")
    except HarnessError as error:
        sys.stderr.write(f"{error}\n")
        return error.kind.exit_status
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
