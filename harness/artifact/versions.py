"""Which TensorFlow wrote a file, read from the ``keras_version`` that Keras left in it."""

from __future__ import annotations

import re

# `tf.keras` carried its own Keras version with a "-tf" suffix until it caught up with the standalone one.
_EXACT: dict[str, tuple[str, ...]] = {
    "2.1.6-tf": ("1.12",),
    "2.2.4-tf": ("1.13", "1.14", "1.15", "2.0", "2.1"),
    "2.3.0-tf": ("2.2",),
    "2.4.0": ("2.3", "2.4"),
}
_SAME_MINOR = range(5, 16)  # Keras 2.5 to 2.15 were released with the TensorFlow of the same number


def tensorflow_versions(keras_version: str | None) -> tuple[str, ...]:
    """Return the TensorFlow versions whose own Keras writes ``keras_version``; empty for standalone Keras."""
    if keras_version is None:
        return ()
    if keras_version in _EXACT:
        return _EXACT[keras_version]
    major, minor = _major_minor(keras_version)
    return (f"2.{minor}",) if major == 2 and minor in _SAME_MINOR else ()


def written_by(keras_version: str | None, backend: str | None) -> str:
    """Return who wrote a file, as a phrase for people."""
    if keras_version is None:
        return "an unknown Keras (no keras_version in the file: Keras 1 or older, or another program)"
    on = f" on {backend}" if backend else ""
    major, minor = _major_minor(keras_version)
    if versions := tensorflow_versions(keras_version):
        return f"tf.keras {keras_version} of TensorFlow {_listed(versions)}"
    if keras_version.endswith("-tf"):
        return f"tf.keras {keras_version} of a TensorFlow before 1.13"
    if major == 3:
        return f"Keras {keras_version}{on}"
    if major < 2 or (major == 2 and minor <= 3):
        return f"standalone Keras {keras_version}{on}"
    return f"Keras {keras_version}{on}, a version that the harness does not know"


def _major_minor(version: str) -> tuple[int, int]:
    match = re.match(r"(\d{1,4})\.(\d{1,4})", version)
    return (int(match[1]), int(match[2])) if match else (99, 0)


def _listed(versions: tuple[str, ...]) -> str:
    return versions[0] if len(versions) == 1 else f"{', '.join(versions[:-1])} or {versions[-1]}"
