"""Building one virtual environment: interpreter, locked packages, bytecode, and a model that runs."""

from __future__ import annotations

import errno
import json
import os
import shlex
import signal
import subprocess
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import uv

from harness.backends.base import Progress
from harness.backends.kept import Kept
from harness.backends.venvcheck import locked_versions
from harness.envspec import EnvSpec
from harness.errors import HarnessError

#: Written last; a folder without it is no environment.
MARKER = "env.json"

_TAIL_LINES = 20
_INSTALL_TIMEOUT_S = 3600
_SMOKE_TIMEOUT_S = 600

# Variables by which a surrounding project would steer uv; indexes, proxies and certificates are kept.
_FOREIGN = (
    "VIRTUAL_ENV",
    "CONDA_PREFIX",
    "PYTHONPATH",
    "PYTHONHOME",
    "UV_PYTHON",
    "UV_PROJECT_ENVIRONMENT",
    "UV_SYSTEM_PYTHON",
)

#: a first model, for any Keras: arguments are its flavour and the version of TensorFlow
SMOKE = """
import sys
import h5py, numpy, tensorflow
if sys.argv[1] == "tf.keras":
    keras = tensorflow.keras
else:
    keras = __import__(sys.argv[1].replace("keras3", "keras"))
assert tensorflow.__version__ == sys.argv[2], tensorflow.__version__
model = keras.models.Sequential([keras.layers.Dense(2, input_shape=(3,))])
assert model.predict(numpy.ones((1, 3), "float32")).shape == (1, 2)
"""


@dataclass(frozen=True)
class Build:
    """One build into ``folder``, which must not exist; its output goes to ``log``."""

    spec: EnvSpec
    interpreter: Path
    folder: Path
    log: Path
    environ: Mapping[str, str]
    progress: Progress

    def run(self) -> None:
        """Leaves a complete environment, with its marker, in ``folder``.

        Raises:
            HarnessError: ``environment-build-failed``, ``environment-unhealthy`` or ``no-space``.
        """
        try:
            self.log.unlink(missing_ok=True)
            self._make_venv()
            self._install()
            self._compile()
            self._smoke()
            self._mark()
            self.log.unlink(missing_ok=True)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise self._no_space() from error
            raise self._failed(f"{error.strerror}: {error.filename}") from error

    @property
    def _python(self) -> Path:
        return self.folder / "bin" / "python"

    def _make_venv(self) -> None:
        self.progress(f"{self.spec.name}: new environment with {self.interpreter}")
        # Relocatable, because the folder is renamed when it is complete.
        self._uv("venv", "--quiet", "--relocatable", "--python", str(self.interpreter), str(self.folder))

    def _install(self) -> None:
        count = len(locked_versions(self.spec.lock_text()))
        self.progress(f"{self.spec.name}: installing {count} packages, TensorFlow {self.spec.tensorflow} among them")
        strict = ("--require-hashes", "--python", str(self._python))
        if self.spec.built:  # with these tools, which the lock then removes or replaces, and with no others
            tools = str(self.spec.tools_path)
            self._uv("pip", "install", *strict, "--no-deps", "--only-binary", ":all:", "--requirements", tools)
        self._uv("pip", "sync", *strict, "--no-build-isolation", *self.spec.sources, str(self.spec.lock_path))

    def _compile(self) -> None:
        # Workers run with -B and never write bytecode: without this, each import of TensorFlow would compile it.
        # uv's own --compile-bytecode fails on Python 3.6; failures of single files (Python 2 samples) are normal.
        self.progress(f"{self.spec.name}: compiling")
        self._run([str(self._python), "-m", "compileall", "-q", "-j", "2", str(self.folder / "lib")], self.environ)

    def _smoke(self) -> None:
        self.progress(f"{self.spec.name}: running a first model")
        command = [str(self._python), "-s", "-B", "-c", SMOKE, self.spec.keras_flavour, self.spec.tensorflow]
        code = self._run(command, self.environ, timeout_s=_SMOKE_TIMEOUT_S)
        if code == 0:
            return
        remedy = None
        if code == -signal.SIGILL:
            remedy = "This processor lacks instructions (AVX) that TensorFlow's wheels use; run on another machine."
        raise HarnessError(
            "environment-unhealthy",
            f"The environment {self.spec.name} was installed, but a first model does not run in it ({_ended(code)}).",
            details=self._tail(),
            remedy=remedy,
        )

    def _mark(self) -> None:
        content = {
            "schema": 1,
            "name": self.spec.installed_as,
            "key": self.spec.key,
            "interpreter": str(self.interpreter),
        }
        (self.folder / MARKER).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")

    def _uv(self, *args: str) -> None:
        environ = {name: value for name, value in os.environ.items() if name not in _FOREIGN}
        environ |= {"UV_NO_PROGRESS": "1", "UV_PYTHON_DOWNLOADS": "never"}
        code = self._run([uv.find_uv_bin(), *args], environ)
        if code != 0:
            tail = self._tail()
            full = any("No space left" in line or "Disk quota exceeded" in line for line in tail)
            raise self._no_space() if full else self._failed(f"uv {args[0]} {_ended(code)}", tail)

    def _run(self, command: list[str], environ: Mapping[str, str], timeout_s: int = _INSTALL_TIMEOUT_S) -> int:
        """The exit status; minus the signal's number when one ended the process."""
        with self.log.open("a", encoding="utf-8") as log:
            log.write(f"$ {shlex.join(command)}\n")
            log.flush()
            # Not the caller's folder: uv would read a project's settings there.
            kept = Kept(command, environ=environ, cwd=self.folder.parent, output=log)
            try:
                return kept.process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                log.write(f"ended after {timeout_s} s\n")
                return -signal.SIGKILL
            finally:
                kept.stop()

    def _tail(self) -> list[str]:
        with self.log.open(encoding="utf-8", errors="replace") as log:
            return [line.rstrip() for line in deque(log, maxlen=_TAIL_LINES) if line.strip()]

    def _failed(self, what: str, details: list[str] | None = None) -> HarnessError:
        return HarnessError(
            "environment-build-failed",
            f"The environment {self.spec.name} could not be built: {what}. The whole log is {self.log}.",
            details=details or [],
            remedy=(
                "Read the installer's output above; most often the network is not reachable. uv does not read pip's"
                " settings: name a mirror with UV_DEFAULT_INDEX and certificates with SSL_CERT_FILE."
            ),
        )

    def _no_space(self) -> HarnessError:
        return HarnessError(
            "no-space",
            f"The disk is full: the environment {self.spec.name} needs about 1.5 GB in {self.folder.parent.parent}.",
            remedy="Free space there, or set HARNESS_HOME to a folder on another disk; uv's cache obeys UV_CACHE_DIR.",
        )


def _ended(code: int) -> str:
    return f"ended by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"
