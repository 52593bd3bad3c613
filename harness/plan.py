"""What a migration would do, decided before anything is started: pure, and printable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from harness import artifact, dialects, envspec
from harness.artifact import Artifact, Kind, Sources
from harness.artifact.requirement import WHOLE_MODELS
from harness.artifact.text import shown
from harness.backends.base import NO_LIMITS, Limits
from harness.envspec import EnvSpec
from harness.errors import HarnessError
from harness.supplied import Supplied

#: readers in the source environment, by kind of artifact
READERS = {
    Kind.KERAS_H5: "read_keras_h5",
    Kind.KERAS3_ARCHIVE: "read_keras3",
    Kind.KERAS_JSON: "read_keras_arch",
    Kind.KERAS_YAML: "read_keras_arch",
}
DEFAULT_TARGET = "tf2.21"
#: saved forms: what an environment file calls them, and the name of what is saved; the first that a target has is its own
FORMS = {
    "keras": ("keras-v3", "model.keras"),
    "h5": ("keras-h5", "model.h5"),
    "saved_model": ("saved-model", "saved_model"),
}
FORMATS = tuple(FORMS)
#: how far a proof goes
PROOFS = ("quick", "standard", "full")
#: how people call the Keras of a target, by its flavour
TARGETS = {"keras3": "Keras 3", "tf.keras": "Keras 2", "tf_keras": "tf_keras", "keras": "Keras"}


def reader_of(kind: Kind, spec: EnvSpec) -> str:
    """The operation that reads an artifact in a source environment."""
    if kind is Kind.KERAS_H5 and spec.keras_flavour == "keras3":
        return "read_keras3"
    return READERS[kind]


def given_name(kind: Kind, path: Path) -> str:
    """What a model file is called in a job: Keras 3 tells its formats by the extension, whatever the content."""
    return "model.keras" if kind is Kind.KERAS3_ARCHIVE else f"model{path.suffix.lower()}"


@dataclass(frozen=True, kw_only=True)
class Options:
    """The user's choices that change what is built or how it is proved.

    Attributes:
        formats: saved forms of the target model; none stands for the target's own.
        hard_sigmoid: ``pin`` keeps TF1's formula as native layers, ``fold`` scales weights by 1.2 instead.
        timeout_s: limit of every single job.
        layer_budget: bytes of layer outputs recorded at most.
        samples: the user's own inputs (npz keyed by input name), or None.
        keep_jobs: keep job folders of a successful run too.
        training: ``off``, ``state`` (carry the optimizer), ``auto`` (and prove one step and five, if the model is not huge) or
            ``parity`` (prove it whatever the size).
        optimizer_formula: ``native`` takes the target's optimizers, ``pin`` the source's formula where it is another.
        limits: what a worker may use.
        untrusted: whether the source is to be opened in a container or not at all.
        code: files that a person supplies for layers made of code.
        proof: ``quick`` compares in float32, ``standard`` in float64 as well where the model allows it and is not huge,
            ``full`` whatever its size.
        require_proven: share of the weights in which the probes must notice a change, or None.
        lift: make a native Keras model of a graph as well.
    """

    formats: tuple[str, ...] = ()
    hard_sigmoid: str = "pin"
    timeout_s: float = 1800.0
    layer_budget: int = 64 << 20
    samples: Path | None = None
    keep_jobs: bool = False
    training: str = "auto"
    optimizer_formula: str = "native"
    limits: Limits = NO_LIMITS
    untrusted: bool = False
    code: Supplied = field(default_factory=Supplied)
    require_proven: float | None = None
    proof: str = "standard"
    lift: bool = False

    @property
    def translation(self) -> dict[str, str]:
        """The choices that the dialects look at."""
        return {"hard_sigmoid": self.hard_sigmoid, "supplied": "yes" if self.code.target_objects else "no"}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A migration, decided.

    Attributes:
        source: the whole model, or the architecture.
        weights: the weights file of an architecture, else None.
        note: what the user did not say and was found, or None.
    """

    source: Path
    artifact: Artifact
    weights: Path | None = None
    note: str | None = None
    reader: str
    source_env: EnvSpec
    target_env: EnvSpec
    backend: str
    out: Path
    options: Options = field(default_factory=Options)

    @property
    def steps(self) -> list[str]:
        """What would be done, a sentence each."""
        chain = " → ".join([self.source_env.dialect, *(s.new for s in self._chain())])
        return [
            f"read {self._what()} in {self.source_env.name}"
            f" (TensorFlow {self.source_env.tensorflow}, Python {self.source_env.python}) with {self.reader}",
            "record its weights, probes and layer outputs in a bundle",
            f"translate the configuration: {chain}",
            f"build a native model in {self.target_env.name}"
            f" ({TARGETS[self.target_env.keras_flavour]} of TensorFlow {self.target_env.tensorflow})",
            f"save it as {' and '.join(self.options.formats)} below {self.out}",
            "load it in a fresh process and compare every output and layer with the recorded ones",
        ]

    @property
    def inputs(self) -> list[Path]:
        """The user's files that are read."""
        return [self.source, *([self.weights] if self.weights else []), *self.options.code.files]

    def _what(self) -> str:
        if self.weights is None:
            return f"{self.source.name} ({self.artifact.looks_like})"
        form = "YAML" if self.artifact.kind is Kind.KERAS_YAML else "JSON"
        found = f"; {self.note}" if self.note else ""
        return f"{self.source.name} (a Keras architecture in {form}) with the weights {self.weights.name}{found}"

    def _chain(self) -> list[dialects.Step]:
        return dialects.chain(self.source_env.dialect, self.target_env.dialect)

    def as_json(self) -> dict[str, Any]:
        """The plan as data."""
        return {
            "source": str(self.source),
            "weights": str(self.weights) if self.weights else None,
            "note": self.note,
            "kind": str(self.artifact.kind),
            "reader": self.reader,
            "from": self.source_env.name,
            "to": self.target_env.name,
            "backend": self.backend,
            "out": str(self.out),
            "formats": list(self.options.formats),
            "steps": self.steps,
        }


def make_plan(
    source: Path,
    *,
    weights: Path | None = None,
    architecture: Path | None = None,
    source_env: str = "auto",
    target_env: str = DEFAULT_TARGET,
    backend: str = "auto",
    out: Path | None = None,
    options: Options | None = None,
    specs: Mapping[str, EnvSpec] | None = None,
) -> Plan:
    """The plan to migrate the artifact at ``source``; see ``find_sources`` for ``weights`` and ``architecture``.

    Raises:
        HarnessError: whatever stands in the way already: the source is missing, damaged, of an unsupported
            kind or era, an environment is unknown, no translation exists.
    """
    specs = specs or envspec.load_specs()
    found = artifact.find_sources(source, weights, architecture)
    chosen = _source_env(specs, found, source_env)
    target = envspec.get_spec(specs, target_env)
    check_target(specs, target)
    _check_new(found, chosen, target)
    dialects.chain(chosen.dialect, target.dialect)
    return Plan(
        source=found.model.path,
        artifact=found.model,
        weights=found.weights.path if found.weights else None,
        note=found.note,
        reader=reader_of(found.model.kind, chosen),
        source_env=chosen,
        target_env=target,
        backend=backend,
        out=out or default_out(source),
        options=with_formats(options or Options(), target),
    )


def check_target(specs: Mapping[str, EnvSpec], target: EnvSpec) -> None:
    """Raises HarnessError pair-unsupported for an environment in which no models are built."""
    if "target" not in target.roles:
        able = [spec.name for spec in specs.values() if "target" in spec.roles]
        raise HarnessError("pair-unsupported", f"{target.name} is not a target; {', '.join(able)} are.")


def _check_new(found: Sources, chosen: EnvSpec, target: EnvSpec) -> None:
    """Raises HarnessError source-unsupported-format for what is to become what it is already, or cannot be read yet."""
    if chosen.keras_flavour != "keras3":
        return
    name = shown(found.model.path.name)
    if target.keras_flavour == "keras3":
        raise HarnessError(
            "source-unsupported-format",
            f'"{name}" is {found.model.looks_like}, written by Keras {found.keras_version}.',
            remedy="It needs no migration: today's Keras loads it with `keras.models.load_model(...)`. For an older"
            " TensorFlow name the target, such as `--to tf1.15`.",
        )
    if found.model.kind not in WHOLE_MODELS:
        raise HarnessError(
            "source-unsupported-format",
            f'"{name}" is an architecture of Keras 3; expected a whole model, as `model.save("model.keras")` writes it.',
            remedy='In the environment that wrote it, build the model, load its weights, and call `model.save("model.keras")`.',
        )


def with_formats(options: Options, target: EnvSpec) -> Options:
    """The options with the saved forms that a target is asked for, its own where none is named; a full proof has a SavedModel too.

    Raises:
        HarnessError: usage, when the target does not write a form.
    """
    able = [form for form, (name, _) in FORMS.items() if name in target.writes]
    lacking = [form for form in options.formats if form not in able]
    if lacking:
        raise HarnessError(
            "usage",
            f"{target.name} (TensorFlow {target.tensorflow}) does not write {' and '.join(lacking)}.",
            remedy=f"Choose from {', '.join(f'`--format {form}`' for form in able)}.",
        )
    formats = options.formats or tuple(able[:1])
    if options.proof == "full" and "saved_model" in able:
        formats = tuple(dict.fromkeys((*formats, "saved_model")))
    return replace(options, formats=formats)


def form_of(path: Path) -> str:
    """The saved form that a file or folder is, by its extension."""
    if path.is_dir():
        return "saved_model"
    return "h5" if path.suffix.lower() in (".h5", ".hdf5") else "keras"


def default_out(source: Path) -> Path:
    """Where results go when the user names no folder: in the current folder, named after the source."""
    stem = source.resolve().stem if source.suffix else source.resolve().name
    return Path(f"{stem}-migrated")


def _source_env(specs: Mapping[str, EnvSpec], found: Sources, wanted: str) -> EnvSpec:
    if wanted == "auto":
        chosen = envspec.choose_source(specs, found.keras_version, found.backend)
        pythons = [layer.pythons for layer in found.model.lambda_layers if layer.pythons]
        return envspec.for_bytecode(specs, chosen, found.keras_version, pythons)
    spec = envspec.get_spec(specs, wanted)
    if not envspec.reads_keras_version(spec, found.keras_version):
        best = envspec.choose_source(specs, found.keras_version, found.backend)
        raise HarnessError(
            "source-wrong-era",
            f"{found.model.path} was written by {artifact.written_by(found.keras_version, found.backend)} "
            f"(keras_version {found.keras_version}), which {spec.name} does not read.",
            remedy=f"Leave `--from` at `auto`, or use `--from {best.name}`.",
        )
    return spec
