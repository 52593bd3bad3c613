"""What ``load-weights`` would do, decided before anything is started."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness import artifact, envspec
from harness.artifact import Artifact, Kind
from harness.artifact.requirement import require_no_oddities
from harness.envspec import EnvSpec
from harness.errors import HarnessError
from harness.matching.rules import Rules, read_rules
from harness.plan import DEFAULT_TARGET, Options, Plan, check_target, default_out, make_plan, with_formats

#: the reader's format by kind; HDF5 that is not Keras's is a set of datasets
_FORMATS = {
    Kind.NPY: "npy",
    Kind.NPZ: "npz",
    Kind.PICKLE: "pickle",
    Kind.SAFETENSORS: "safetensors",
    Kind.KERAS_H5_WEIGHTS: "hdf5",
    Kind.CHECKPOINT: "checkpoint",
}
_ON_MISSING = re.compile(r"error|keep|zeros|seed:\d{1,9}")
DEFAULT_SOURCE = "tf1.15"


@dataclass(frozen=True, kw_only=True)
class Script:
    """``FILE.py:function``: the user's own code, which is run."""

    path: Path
    function: str

    @classmethod
    def parse(cls, text: str, option: str) -> Script:
        """Raises HarnessError usage, source-missing."""
        file, colon, function = text.rpartition(":")
        if not colon or not function.isidentifier():
            raise HarnessError("usage", f"{option} is {text!r}; expected FILE.py:function.")
        path = Path(file)
        if not path.is_file():
            raise HarnessError("source-missing", f"{option} names {file}, and there is no such file.")
        return cls(path=path, function=function)

    @property
    def op(self) -> dict[str, Any]:
        """The keys of a request that name it."""
        return {"builder": "in/builder.py", "function": self.function, "builder_name": self.path.name}


@dataclass(frozen=True, kw_only=True)
class Policies:
    """What is allowed; by default nothing that is not exact and complete.

    Attributes:
        on_missing: ``error``, ``keep``, ``zeros`` or ``seed:N``.
        on_unused: ``error`` or ``report``.
        cast: ``none``, ``exact`` or ``round``.
        only, freeze: globs of layers.
        proof: ``outputs``, or ``weights`` where equal weights are enough.
        backend: what computed the weights, where the file does not say: Theano's kernels are rotated.
    """

    on_missing: str = "error"
    on_unused: str = "error"
    cast: str = "none"
    only: tuple[str, ...] = ()
    freeze: tuple[str, ...] = ()
    proof: str = "outputs"
    backend: str | None = None

    def __post_init__(self) -> None:
        if not _ON_MISSING.fullmatch(self.on_missing):
            raise HarnessError("usage", f"--on-missing is {self.on_missing!r}; expected error, keep, zeros or seed:N.")

    @property
    def relaxed(self) -> bool:
        """Whether weights may go elsewhere than ``load_weights`` would put them."""
        return bool(self.only) or (self.on_missing, self.on_unused, self.cast) != ("error", "error", "none")


@dataclass(frozen=True, kw_only=True)
class WeightsPlan:
    """A load, decided.

    Attributes:
        sources: (file, what it is, format of the reader); none for a whole model.
        whole: the migration's plan of a whole model or of an architecture with its weights, or None.
        bundle: a bundle's folder, or None.
        source_model: the script or architecture that is filled in the source environment, or None.
        target_model: the script that is filled in the target; None: the source model is translated.
        write_mapping: where the mapping is written, or None.
    """

    sources: tuple[tuple[Path, Artifact, str], ...] = ()
    whole: Plan | None = None
    bundle: Path | None = None
    source_model: Script | Path | None = None
    target_model: Script | None = None
    rules: Rules = field(default_factory=Rules)
    policies: Policies = field(default_factory=Policies)
    expected: Path | None = None
    write_mapping: Path | None = None
    source_env: EnvSpec
    target_env: EnvSpec
    backend: str
    out: Path
    options: Options

    @property
    def inputs(self) -> list[Path]:
        """The user's files that are read."""
        found = [path for path, _, _ in self.sources]
        found += self.whole.inputs if self.whole else []
        found += [self.bundle] if self.bundle else []
        for model in (self.source_model, self.target_model):
            found += [model.path if isinstance(model, Script) else model] if model else []
        return [*found, *([self.expected] if self.expected else [])]

    @property
    def by_order(self) -> bool:
        """Whether Keras's own way of loading is asked for: one file of Keras 1 or 2, nothing relaxed, no mapping."""
        if len(self.sources) != 1 or self.sources[0][1].kind is not Kind.KERAS_H5_WEIGHTS:
            return False
        return not self.policies.relaxed and self.rules == Rules() and _lists_layers(self.sources[0][1])


def _lists_layers(found: Artifact) -> bool:
    """Keras 3's files have variables below ``vars``; those before list layers in attributes."""
    return not any("/vars/" in f"/{tensor.path}" for tensor in found.weights)


def plan_load(
    sources: Sequence[Path], *, builder: str | None, source_builder: str | None, architecture: Path | None,
    mapping: Path | None, include: Sequence[str], exclude: Sequence[str], write_mapping: Path | None,
    policies: Policies, expected: Path | None, source_env: str, target_env: str = DEFAULT_TARGET, backend: str,
    out: Path | None, options: Options, specs: Mapping[str, EnvSpec] | None = None,
) -> WeightsPlan:  # fmt: skip
    """The plan of a load.

    Raises:
        HarnessError: usage, mapping-invalid, proof-missing, and whatever makes a source unfit.
    """
    specs = specs or envspec.load_specs()
    target = envspec.get_spec(specs, target_env)
    check_target(specs, target)
    options = with_formats(options, target)
    target_model = Script.parse(builder, "--builder") if builder else None
    source_model: Script | Path | None = Script.parse(source_builder, "--source-builder") if source_builder else None
    if source_model is not None and architecture is not None:
        raise HarnessError("usage", "Both --source-builder and --architecture describe the source model; give one.")
    source_model = source_model or architecture
    rules = read_rules(mapping) if mapping else Rules()
    rules = Rules(**{**vars(rules), "include": (*rules.include, *include), "exclude": (*rules.exclude, *exclude)})
    if expected is not None and not expected.is_file():
        raise HarnessError("expected-invalid", f"There is no file {expected}.")
    found = [artifact.sniff(path) for path in sources]
    whole, bundle, loose = None, None, []
    if len(found) == 1 and found[0].kind in (Kind.KERAS_H5, Kind.KERAS_JSON, Kind.KERAS_YAML):
        whole = make_plan(
            sources[0],
            source_env=source_env,
            target_env=target_env,
            backend=backend,
            out=out,
            options=options,
            specs=specs,
        )
    elif len(found) == 1 and found[0].kind is Kind.BUNDLE and found[0].is_directory:
        bundle = sources[0]
    else:
        loose = [_loose(path, item) for path, item in zip(sources, found, strict=True)]
    if whole or bundle:
        if target_model is None:
            raise HarnessError("usage", f"{sources[0].name} is a whole model; `migrate` takes it as it is.")
        if source_model is not None:
            raise HarnessError("usage", f"{sources[0].name} has an architecture of its own; leave out the other.")
    elif target_model is None and source_model is None:
        remedy = "Say what builds the model: `--builder FILE.py:function` or `--architecture ARCH.json`."
        raise HarnessError(
            "source-weights-only", f"{sources[0].name} holds weights without an architecture.", remedy=remedy
        )
    elif source_model is None and expected is None and policies.proof == "outputs":
        source_model = target_model  # the same script in the old TensorFlow says what the weights compute
    chosen = whole.source_env if whole else _source_env(specs, found, source_env)
    return WeightsPlan(
        sources=tuple(loose), whole=whole, bundle=bundle, source_model=source_model, target_model=target_model,
        rules=rules, policies=policies, expected=expected, write_mapping=write_mapping, source_env=chosen,
        target_env=target, backend=backend, out=out or default_out(sources[0]), options=options,
    )  # fmt: skip


def _loose(path: Path, found: Artifact) -> tuple[Path, Artifact, str]:
    if found.kind is Kind.CHECKPOINT:
        return _prefix(path, found), found, "checkpoint"
    hdf5 = found.kind is Kind.UNKNOWN and found.looks_like.startswith("an HDF5")
    if hdf5 or found.kind is Kind.KERAS_H5_WEIGHTS:
        require_no_oddities(found)  # what reads it would follow its links
    if hdf5:
        return path, found, "hdf5"
    if found.kind in _FORMATS:
        return path, found, _FORMATS[found.kind]
    raise HarnessError(
        "source-unsupported-format",
        f'"{path.name}" is {found.looks_like}; expected weights.',
        remedy="Weights are read from .npy, .npz, pickles, safetensors, HDF5 and checkpoints.",
    )


def _prefix(path: Path, found: Artifact) -> Path:
    """The prefix of a checkpoint that was named by its folder or by one of its files."""
    if found.is_directory:
        indexes = sorted(path.glob("*.index"))
        if len(indexes) != 1:
            names = [index.stem for index in indexes]
            raise HarnessError("usage", f"{path} holds {len(indexes)} checkpoints; name one.", details=names)
        return indexes[0].with_suffix("")
    return path.with_name(re.sub(r"\.(index|meta|data-\d{5}-of-\d{5})$", "", path.name))


def _source_env(specs: Mapping[str, EnvSpec], found: Sequence[Artifact], wanted: str) -> EnvSpec:
    if wanted != "auto":
        return envspec.get_spec(specs, wanted)
    first = found[0]
    if first.kind is Kind.KERAS_H5_WEIGHTS and _lists_layers(first):
        return envspec.choose_source(specs, first.keras_version, first.backend)
    return envspec.get_spec(specs, DEFAULT_SOURCE)
