"""Where environments are kept: ``$HARNESS_HOME``, by default a folder in the user's cache."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.envspec import EnvSpec


@dataclass(frozen=True)
class Home:
    """The folders under ``$HARNESS_HOME``. Staging is on the same file system as ``envs``, so that rename is atomic."""

    root: Path

    @classmethod
    def from_environ(cls, environ: Mapping[str, str] = os.environ) -> Home:
        """``$HARNESS_HOME``, else ``tf-migration-harness`` in ``$XDG_CACHE_HOME`` or ``~/.cache``."""
        if chosen := environ.get("HARNESS_HOME"):
            return cls(Path(chosen).expanduser().absolute())
        cache = Path(environ.get("XDG_CACHE_HOME") or "")
        # The XDG specification: a relative path is invalid and to be ignored.
        return cls((cache if cache.is_absolute() else Path.home() / ".cache") / "tf-migration-harness")

    @property
    def envs(self) -> Path:
        """Finished environments, each ``NAME-KEY``."""
        return self.root / "envs"

    @property
    def staging(self) -> Path:
        """Environments being built, or left behind by a process that died."""
        return self.root / "staging"

    @property
    def pythons(self) -> Path:
        """Interpreters fetched with consent."""
        return self.root / "pythons"

    def folders(self) -> tuple[Path, ...]:
        """Those that must exist before a build."""
        return self.envs, self.staging, self.root / "locks", self.root / "logs"

    def env(self, spec: EnvSpec) -> Path:
        """The folder of one finished environment."""
        return self.envs / identity(spec)

    def lock(self, identifier: str) -> Path:
        """The lock held while ``NAME-KEY`` is built, replaced or removed."""
        return self.root / "locks" / f"{identifier}.lock"

    def log(self, spec: EnvSpec) -> Path:
        """The build log, kept after a failure."""
        return self.root / "logs" / f"{identity(spec)}.log"


def identity(spec: EnvSpec) -> str:
    """``NAME-KEY``: the one identifier in folders, locks and logs."""
    return f"{spec.installed_as}-{spec.key}"
