"""The generated zoo: ``tests/zoo/generate.py`` of the checkout, run inside a source environment, kept between runs."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.backends import VenvEnvironment
from harness.errors import HarnessError
from harness.job import remove

STAMP = "generated.json"


def generator() -> Path | None:
    """The generator's script; None in an installed package, which has no tests."""
    script = Path(__file__).resolve().parents[2] / "tests" / "zoo" / "generate.py"
    return script if script.is_file() else None


def ensure(environment: VenvEnvironment, script: Path, folder: Path, only: Sequence[str] = ()) -> Path:
    """The folder of a current zoo, generated as far as it is missing.

    Args:
        only: globs of case ids; all cases where there are none.

    Raises:
        HarnessError: worker-crashed, with the end of the log, when the generator itself fails.
    """
    state = {"generator": _sha256_tree(script.parent), "environment": environment.key}
    stamp = _read(folder / STAMP)
    if any(stamp.get(key) != value for key, value in state.items()):
        remove(folder)
        stamp = {}
    done = list(stamp.get("globs", ()))
    missing = [] if "*" in done else [glob for glob in (only or ["*"]) if glob not in done]
    folder.mkdir(parents=True, exist_ok=True)
    if missing:
        _generate(environment, script, folder, missing)
        done += missing
        (folder / STAMP).write_text(json.dumps({**state, "globs": done}), encoding="utf-8")
    return folder


def _generate(environment: VenvEnvironment, script: Path, folder: Path, globs: Sequence[str]) -> None:
    log, name = folder / "generate.log", environment.spec.name
    home = folder.parent / f".home-{name}"
    home.mkdir(exist_ok=True)
    try:
        argv = [str(environment.python), "-s", "-B", "-W", "ignore", str(script)]
        argv += [word for glob in globs for word in ("--only", glob)]
        listed = _run([*argv, "--list"], environment, home, log)
        if not listed and not log.stat().st_size:
            return  # no case has such a name
        status = listed or _run([*argv, "--out", str(folder)], environment, home, log)
    finally:
        remove(home)
    if status:
        tail = log.read_text(encoding="utf-8", errors="replace").splitlines()[-20:]
        raise HarnessError(
            "worker-crashed", f"The zoo of {name} could not be generated.", details=tail, remedy=f"See {log}."
        )


def _run(argv: list[str], environment: VenvEnvironment, home: Path, log: Path) -> int:
    with log.open("wb") as stream:
        return subprocess.run(
            argv, env=environment.environ(home), stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, check=False
        ).returncode


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}


def _sha256_tree(folder: Path) -> str:
    """Changes when any of the generator's sources does."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()
