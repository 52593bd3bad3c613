"""The kinds that are migrated as models of Keras, and a clear refusal for each of the others."""

from __future__ import annotations

from pathlib import PurePath

from harness.artifact.hdf5 import stored_plausibly
from harness.artifact.kinds import Artifact, Kind
from harness.artifact.text import plural, shown
from harness.artifact.versions import written_by
from harness.errors import HarnessError

EXPECTED = 'expected a whole Keras model in HDF5, as `model.save("model.h5")` writes it'
_SAVE = 'In the environment that wrote it, load the model and call `model.save("model.h5")`; then migrate that file.'
_WEIGHTS = (
    "Name the architecture that belongs to it (JSON or YAML) with `--architecture ARCH.json`. If there is only a "
    "script, name the function that builds the model: `python -m harness load-weights WEIGHTS.h5 --builder FILE.py:function`."
)
_ARCHITECTURE = "Name the weights file that belongs to it with `--weights WEIGHTS.h5`."
_ARRAYS = "Name the script that builds the model: `python -m harness load-weights FILE --builder FILE.py:function`."
_BUNDLE = "A bundle is the result of an export; name the file that it was exported from, or use `inspect` to see what is in it."

_REMEDIES: dict[Kind, tuple[str, str | None]] = {
    Kind.KERAS_H5_WEIGHTS: ("source-weights-only", _WEIGHTS),
    Kind.KERAS_JSON: ("source-architecture-only", _ARCHITECTURE),
    Kind.KERAS_YAML: ("source-architecture-only", _ARCHITECTURE),
    Kind.SAVED_MODEL: ("source-unsupported-format", _SAVE),
    Kind.HUB_MODULE: ("source-unsupported-format", None),
    Kind.CHECKPOINT: ("source-unsupported-format", _SAVE),
    Kind.GRAPH_DEF: ("source-unsupported-format", None),
    Kind.NPY: ("source-unsupported-format", _ARRAYS),
    Kind.NPZ: ("source-unsupported-format", _ARRAYS),
    Kind.PICKLE: ("source-unsupported-format", _ARRAYS),
    Kind.SAFETENSORS: ("source-unsupported-format", _ARRAYS),
    Kind.BUNDLE: ("source-unsupported-format", _BUNDLE),
}
#: kinds that hold an architecture and its weights
WHOLE_MODELS = (Kind.KERAS_H5, Kind.KERAS3_ARCHIVE)
_OF_KIND = {
    Kind.KERAS_H5: "a Keras model in HDF5 whose model_config",
    Kind.KERAS3_ARCHIVE: "a Keras archive whose config.json",
}
# Extension → what it promises. Kept to the formats that people give each other's names.
_PROMISES = {".h5": "HDF5", ".hdf5": "HDF5", ".keras": "a Keras archive", ".pb": "a TensorFlow graph"}


def require_keras_model(artifact: Artifact) -> None:
    """Return if the artifact is a whole Keras model, in HDF5 or a ``.keras`` archive, whose metadata is sound.

    Raises:
        HarnessError: ``source-weights-only``, ``source-architecture-only``, ``source-unsupported-format``, ``source-is-directory``,
            ``source-not-recognised`` or ``source-truncated``.
    """
    if artifact.kind in WHOLE_MODELS:
        _require_sound(artifact)
        return
    message = f'"{shown(artifact.path.name)}" is {_what(artifact)}; {EXPECTED}.'
    details = _extension_detail(artifact.path, artifact)
    if artifact.kind in _REMEDIES:
        code, remedy = _REMEDIES[artifact.kind]
        raise HarnessError(code, message, details=details, remedy=remedy)
    if artifact.is_directory:
        raise HarnessError("source-is-directory", message, details=_candidates(artifact))
    raise HarnessError("source-not-recognised", message, details=details, remedy=_unknown_remedy(artifact))


def _require_sound(artifact: Artifact) -> None:
    name = shown(artifact.path.name)
    if artifact.config_error is not None:
        raise HarnessError(
            "source-truncated",
            f'"{name}" is {_OF_KIND[artifact.kind]} {artifact.config_error}.',
        )
    require_no_oddities(artifact)


def require_no_oddities(artifact: Artifact) -> None:
    """Return if an HDF5 file of Keras holds only what Keras writes.

    Raises:
        HarnessError: ``source-truncated`` or ``source-unsupported-format``.
    """
    if artifact.oddities:
        name = shown(artifact.path.name)
        kinds = {Kind.KERAS_H5: "a Keras model in HDF5", Kind.KERAS_H5_WEIGHTS: "a Keras weights file in HDF5"}
        kind = kinds.get(artifact.kind, "an HDF5 file")
        damaged = [tensor for tensor in artifact.weights if not stored_plausibly(tensor)]
        code = "source-truncated" if damaged and len(damaged) == len(artifact.oddities) else "source-unsupported-format"
        raise HarnessError(
            code,
            f'"{name}" is {kind} with content that Keras does not write; {EXPECTED}.',
            details=artifact.oddities,
            remedy="Copy the file again from where it was saved, or load and save it again in the environment that wrote it.",
        )


def _what(artifact: Artifact) -> str:
    if artifact.kind is Kind.KERAS_H5_WEIGHTS and artifact.keras_version:
        origin = written_by(artifact.keras_version, artifact.backend)
        return f"{artifact.looks_like} without an architecture, written by {origin}"
    if artifact.kind is Kind.KERAS_H5_WEIGHTS:
        return f"{artifact.looks_like} without an architecture"
    return artifact.looks_like


def _extension_detail(path: PurePath, artifact: Artifact) -> tuple[str, ...]:
    promise = _PROMISES.get(path.suffix.lower())
    fits = {
        "HDF5": artifact.kind is Kind.KERAS_H5_WEIGHTS or artifact.looks_like.startswith("an HDF5"),
        "a Keras archive": artifact.kind is Kind.KERAS3_ARCHIVE,
        "a TensorFlow graph": artifact.kind in (Kind.GRAPH_DEF, Kind.SAVED_MODEL),
    }
    if artifact.is_directory or promise is None or fits[promise]:
        return ()
    return (f'The extension "{shown(path.suffix)}" promises {promise}; the content is {artifact.looks_like}.',)


def _candidates(artifact: Artifact) -> tuple[str, ...]:
    try:
        names = sorted(
            entry.name for entry in artifact.path.iterdir() if entry.suffix.lower() in (".h5", ".hdf5", ".keras")
        )
    except OSError:
        return ()
    more = (f"… and {plural(len(names) - 5, 'file')} more",) if len(names) > 5 else ()
    return (*(f'In it: "{shown(name)}"' for name in names[:5]), *more)


def _unknown_remedy(artifact: Artifact) -> str | None:
    looks_like = artifact.looks_like
    if "Git LFS" in looks_like:
        return "Run `git lfs pull` in the repository it came from, then use the file that this brings."
    if "failed download" in looks_like:
        return "Download the file again, and compare its size and checksum with those the source gives."
    if " inside" in looks_like or "archive" in looks_like:
        return "Unpack it, and name the model file inside."
    return None
