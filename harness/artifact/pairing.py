"""An architecture and the weights that belong to it: two files that make one model."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.artifact.bounded import sniff
from harness.artifact.keras_config import layer_name
from harness.artifact.kinds import Artifact, Kind
from harness.artifact.requirement import require_keras_model, require_no_oddities
from harness.artifact.text import plural, shown
from harness.errors import HarnessError

ARCHITECTURES = (Kind.KERAS_JSON, Kind.KERAS_YAML)
#: files of a folder that are looked at when a partner is searched for, and seconds for all of them
FILES_LIMIT, SEARCH_SECONDS = 200, 60


@dataclass(frozen=True, kw_only=True)
class Sources:
    """What is migrated.

    Attributes:
        model: a whole model, or an architecture.
        weights: the weights file of an architecture, else None.
        note: a sentence about a file that was found and not named, or None.
    """

    model: Artifact
    weights: Artifact | None = None
    note: str | None = None

    @property
    def keras_version(self) -> str | None:
        """The version that wrote the model; the architecture's own word comes first."""
        return self.model.keras_version or (self.weights.keras_version if self.weights else None)

    @property
    def backend(self) -> str | None:
        """The backend under which the weights were trained; the weights' own word comes first."""
        return (self.weights.backend if self.weights else None) or self.model.backend


def find_sources(
    source: Path, weights: Path | None = None, architecture: Path | None = None, *, found: Artifact | None = None
) -> Sources:
    """What ``source`` and the files named beside it make together.

    ``source`` may be a whole model, an architecture (``weights`` named or the only fitting file beside it),
    a weights file (``architecture`` likewise), or a folder with exactly one fitting pair. ``found`` is what it is, where that is known already.

    Raises:
        HarnessError: usage, or whatever makes a file unfit: source-missing, source-architecture-only,
            source-weights-only, source-unsupported-format, …
    """
    found = found or sniff(source)
    if weights is not None and architecture is not None:
        raise HarnessError("usage", "Both --weights and --architecture were given; SOURCE is one of the two.")
    if architecture is not None:
        return _named(sniff(architecture), found, "--architecture")
    if weights is not None:
        return _named(found, sniff(weights), "--weights")
    if found.kind in ARCHITECTURES or found.kind is Kind.KERAS_H5_WEIGHTS or _plain_folder(found):
        return _searched(found)
    require_keras_model(found)
    return Sources(model=found)


def _plain_folder(found: Artifact) -> bool:
    return found.is_directory and found.kind is Kind.UNKNOWN


def _named(model: Artifact, weights: Artifact, option: str) -> Sources:
    if model.kind not in ARCHITECTURES:
        role = "SOURCE" if option == "--weights" else option
        raise _unfit(model, role, "a Keras architecture, as `model.to_json()` or `model.to_yaml()` writes it")
    if weights.kind is not Kind.KERAS_H5_WEIGHTS:
        role = option if option == "--weights" else "SOURCE"
        raise _unfit(weights, role, "a Keras weights file in HDF5, as `model.save_weights(...)` writes it")
    require_no_oddities(weights)
    return Sources(model=model, weights=weights)


def _unfit(found: Artifact, role: str, expected: str) -> HarnessError:
    whole = "Migrate it alone, without the option: it holds both." if found.kind is Kind.KERAS_H5 else None
    message = f'{role} is "{shown(found.path.name)}", {found.looks_like}; expected {expected}.'
    return HarnessError("source-unsupported-format", message, remedy=whole)


def _searched(found: Artifact) -> Sources:
    folder = found.path if found.is_directory else found.path.parent
    beside = list(_beside(found, folder))
    models = [found] if found.kind in ARCHITECTURES else [a for a in beside if a.kind in ARCHITECTURES]
    weights = [found] if found.kind is Kind.KERAS_H5_WEIGHTS else [a for a in beside if a.kind is Kind.KERAS_H5_WEIGHTS]
    pairs = [(model, file) for model in models for file in weights if fits(model, file)]
    if len(pairs) != 1:
        raise _no_pair(found, pairs)
    model, file = pairs[0]
    require_no_oddities(file)
    name, other = shown(model.path.name), shown(file.path.name)
    note = f'the weights of "{name}" were found beside it: "{other}" is the only file in the folder that fits'
    if found.kind is Kind.KERAS_H5_WEIGHTS:
        note = f'the architecture of "{other}" was found beside it: "{name}" is the only file in the folder that fits'
    elif found.is_directory:
        note = f'"{name}" and "{other}" are the only architecture and weights in the folder that fit each other'
    return Sources(model=model, weights=file, note=note)


def fits(model: Artifact, weights: Artifact) -> bool:
    """Whether every layer with weights in the file has a namesake in the architecture (YAML is not parsed: it may)."""
    if model.model_config is None:
        return True
    config = model.model_config["config"]
    layers = config.get("layers") if isinstance(config, dict) else config
    names = {layer_name(layer) for layer in layers or () if isinstance(layer, dict)}
    stored = {tensor.path.split("/", 1)[0] for tensor in weights.weights}
    # A name with slashes is a path of groups in HDF5; its first part is all that can be compared.
    return bool(stored) and stored <= {name.split("/", 1)[0] for name in names}


def _beside(found: Artifact, folder: Path) -> Iterator[Artifact]:
    """What the files of the folder are. Raises HarnessError if that takes too long: what is left might fit too."""
    until = time.monotonic() + SEARCH_SECONDS
    for path in _files(folder):
        if time.monotonic() > until:
            error = _no_pair(found, [])
            message = f"{error.message} Its folder was searched for {SEARCH_SECONDS} s, and not to the end."
            raise HarnessError(error.code, message, details=error.details, remedy=error.remedy)
        artifact = _sniffed(path)
        if artifact is not None:
            yield artifact


def _no_pair(found: Artifact, pairs: list[tuple[Artifact, Artifact]]) -> HarnessError:
    details = [f'fits: "{shown(m.path.name)}" with "{shown(w.path.name)}"' for m, w in pairs[:8]]
    try:
        require_keras_model(found)
    except HarnessError as error:
        if not pairs:
            return error
        option = "--architecture" if found.kind is Kind.KERAS_H5_WEIGHTS else "--weights"
        remedy = f"Say which belongs to it with `{option}`."
        if found.is_directory:
            remedy = "Name the architecture as SOURCE, and its weights with `--weights`."
        count = f"{plural(len(pairs), 'pair')} of architecture and weights in its folder would fit"
        return HarnessError(error.code, f"{error.message} {count}.", details=details, remedy=remedy)
    raise AssertionError(found.kind)


def _files(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.is_file())[:FILES_LIMIT]
    except OSError:
        return []


def _sniffed(path: Path) -> Artifact | None:
    try:
        return sniff(path)
    except HarnessError:
        return None
