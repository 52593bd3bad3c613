"""What the migration of a whole TF1 graph would do, decided before anything is started: pure, and printable."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness import envspec
from harness.artifact import Artifact, Kind, bounded
from harness.artifact.checkpoints import Checkpoint, checkpoint_files, find_checkpoint
from harness.artifact.graph_candidates import Candidates, propose
from harness.artifact.graph_messages import GraphFacts, read_graphs
from harness.artifact.text import shown
from harness.artifact.wire import WireError
from harness.envspec import EnvSpec
from harness.errors import HarnessError
from harness.plan import DEFAULT_TARGET, Options, default_out

READERS = {
    Kind.SAVED_MODEL: "read_saved_model",
    Kind.HUB_MODULE: "read_hub_module",
    Kind.CHECKPOINT: "read_checkpoint",
    Kind.GRAPH_DEF: "read_frozen_graph",
}
_Proposed = tuple[tuple[str, ...], Candidates, Candidates | None]
#: chosen for every graph that does not ask for another: the last 1.x runs the graphs of all before it
SOURCE = "tf1.15"
FORMAT = "saved_model"
_VALUES = {"true": True, "false": False}


@dataclass(frozen=True, kw_only=True)
class Choices:
    """What the user says of a graph.

    Attributes:
        tags: of a SavedModel's graph; None chooses.
        signatures: keys; none stands for all.
        inputs, outputs: argument → tensor, for graphs without signatures.
        fixed: tensor → value.
    """

    tags: tuple[str, ...] | None = None
    signatures: tuple[str, ...] = ()
    inputs: Mapping[str, str] = field(default_factory=dict)
    outputs: Mapping[str, str] = field(default_factory=dict)
    fixed: Mapping[str, bool | float | str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return self != Choices()


@dataclass(frozen=True, kw_only=True)
class GraphPlan:
    """A migration of a graph, decided."""

    source: Path
    artifact: Artifact
    reader: str
    checkpoint: Checkpoint | None
    choices: Choices
    note: str | None
    source_env: EnvSpec
    target_env: EnvSpec
    backend: str
    out: Path
    options: Options

    @property
    def steps(self) -> list[str]:
        """What would be done, a sentence each."""
        return [
            f"read {self.source.name} ({self.artifact.looks_like}) in {self.source_env.name}"
            f" (TensorFlow {self.source_env.tensorflow}, Python {self.source_env.python}) with {self.reader}"
            + (f"; {self.note}" if self.note else ""),
            "keep what its outputs need: nodes, variables, tables, assets; record outputs and gradients for probes",
            "rewrite references to resources, loops and conditionals to functions, TensorArrays to lists",
            f"build it in {self.target_env.name} (TensorFlow {self.target_env.tensorflow}) with variables, tables and signatures",
            f"save it as {FORMAT} below {self.out}",
            "load it in a fresh process and compare outputs, gradients and variables with the recorded ones",
        ] + (
            ["make layers of Keras 3 of the main signature, save model.keras, and prove it likewise"]
            * self.options.lift
        )

    @property
    def inputs(self) -> list[Path]:
        """The user's files that are read."""
        return checkpoint_files(self.checkpoint.prefix) if self.checkpoint else [self.source]

    def as_json(self) -> dict[str, Any]:
        """The plan as data."""
        return {
            "source": str(self.source),
            "weights": None,
            "note": self.note,
            "kind": str(self.artifact.kind),
            "reader": self.reader,
            "from": self.source_env.name,
            "to": self.target_env.name,
            "backend": self.backend,
            "out": str(self.out),
            "formats": [FORMAT],
            "signatures": list(self.choices.signatures),
            "inputs": dict(self.choices.inputs),
            "outputs": dict(self.choices.outputs),
            "fixed": dict(self.choices.fixed),
            "lift": self.options.lift,
            "steps": self.steps,
        }


def choices_of(given: Mapping[str, Any]) -> Choices:
    """What the command line says of a graph.

    Raises:
        HarnessError: usage.
    """
    tags = given.get("tags")
    return Choices(
        tags=None if tags is None else tuple(tag.strip() for tag in tags.split(",") if tag.strip()),
        signatures=tuple(dict.fromkeys(given.get("signatures") or ())),
        inputs=parse_tensors(given.get("input_tensors") or (), "--input-tensor"),
        outputs=parse_tensors(given.get("output_tensors") or (), "--output-tensor"),
        fixed=parse_fixed(given.get("fixed_tensors") or ()),
    )


def make(
    found: Artifact, choices: Choices, *, source_env: str = "auto", target_env: str = DEFAULT_TARGET, backend: str = "auto",
    out: Path | None = None, options: Options | None = None, specs: Mapping[str, EnvSpec] | None = None,
) -> GraphPlan:  # fmt: skip
    """The plan to migrate a graph.

    Raises:
        HarnessError: source-incomplete, source-weights-only, source-truncated, outputs-unknown, pair-unsupported, usage.
    """
    specs, options = specs or envspec.load_specs(), options or Options()
    target = envspec.get_spec(specs, target_env)
    spec = envspec.get_spec(specs, SOURCE if source_env == "auto" else source_env)
    if "source" not in spec.roles or not spec.tensorflow.startswith("1."):
        raise HarnessError("pair-unsupported", f"{spec.name} does not read graphs of TensorFlow 1; {SOURCE} does.")
    if target.keras_flavour != "keras3":
        raise HarnessError("pair-unsupported", f"Graphs are not built in {target.name} yet; tf2.21 is their target.")
    if options.formats and options.formats != (FORMAT,):
        raise HarnessError("usage", f"A graph is saved as {FORMAT}.", remedy="Leave `--format` out.")
    checkpoint, note = None, None
    if found.kind is Kind.CHECKPOINT:
        checkpoint = find_checkpoint(found.path)
    if found.kind in (Kind.CHECKPOINT, Kind.GRAPH_DEF):
        choices, note = _with_candidates(checkpoint.meta if checkpoint else found.path, choices, found)
    elif choices.inputs or choices.outputs:
        raise HarnessError("usage", "A SavedModel has signatures.", remedy="Choose one with `--signature KEY`.")
    return GraphPlan(
        source=checkpoint.prefix if checkpoint else found.path.parent if _inside(found) else found.path,
        artifact=found, reader=READERS[found.kind], checkpoint=checkpoint, choices=choices, note=note, source_env=spec,
        target_env=target, backend=backend, out=out or default_out(found.path), options=options,
    )  # fmt: skip


def _inside(found: Artifact) -> bool:
    """Whether the graph file of a SavedModel was named instead of its folder."""
    return found.kind in (Kind.SAVED_MODEL, Kind.HUB_MODULE) and not found.is_directory


def graph_of(path: Path) -> GraphFacts:
    """The graph in a file.

    Raises:
        HarnessError: source-truncated.
    """
    try:
        graphs = read_graphs(path)
    except WireError as error:
        message = f'"{shown(path.name)}" cannot be parsed as a graph: {error}.'
        raise HarnessError("source-truncated", message) from error
    return graphs[0] if graphs else GraphFacts(nodes=())


def _with_candidates(path: Path, choices: Choices, found: Artifact) -> tuple[Choices, str | None]:
    missing, proposed, alone = bounded.bounded(lambda: _proposed(path, choices), _Proposed, path.name)
    if missing:
        details = [f"not in the graph: {name}" for name in missing] + _listed(alone or proposed)
        raise HarnessError(
            "tensor-unknown", f"{len(missing)} of the named tensors are not in the graph.", details=details
        )
    outputs = dict(choices.outputs) or proposed.outputs
    fixed: dict[str, bool | float | str] = {t: v for t, v in proposed.fixed.items() if t not in choices.inputs.values()}
    fixed |= dict(choices.fixed)
    inputs = dict(choices.inputs) or {n: t for n, t in proposed.inputs.items() if t not in fixed}
    if not outputs:
        raise HarnessError("outputs-unknown", f'No output was found in "{shown(found.path.name)}".')
    done = Choices(tags=choices.tags, signatures=(), inputs=inputs, outputs=outputs, fixed=fixed)
    if choices.inputs and choices.outputs:
        return done, None
    return done, "proposed " + "; ".join(
        _listed(Candidates(inputs=inputs, outputs=outputs, fixed=dict(proposed.fixed)))
    )


def _proposed(path: Path, choices: Choices) -> _Proposed:
    """Named tensors that are not in the graph; inputs and outputs that fit those named, and without any if some are not there."""
    facts = graph_of(path)
    missing = _unknown(facts, [*choices.inputs.values(), *choices.outputs.values(), *choices.fixed])
    proposed = propose(facts, choices.outputs.values(), choices.inputs.values())
    return tuple(missing), proposed, propose(facts) if missing else None


def _listed(proposed: Candidates) -> list[str]:
    lines = [
        f"inputs {', '.join(shown(name, 200) for name in proposed.inputs.values()) or 'none'}",
        f"outputs {', '.join(shown(name, 200) for name in proposed.outputs.values()) or 'none'}",
    ]
    return lines + [f"{shown(tensor, 200)} fixed to {value}" for tensor, value in proposed.fixed.items()]


def _unknown(facts: GraphFacts, tensors: list[str]) -> list[str]:
    names = {node.name for node in facts.nodes}
    return [tensor for tensor in tensors if facts.nodes and tensor.split(":")[0] not in names]


def parse_tensors(items: tuple[str, ...], option: str) -> dict[str, str]:
    """``NAME`` or ``ARGUMENT=NAME`` items as argument → tensor.

    Raises:
        HarnessError: usage.
    """
    found: dict[str, str] = {}
    for item in items:
        argument, equals, tensor = item.rpartition("=")
        tensor = tensor if ":" in tensor else f"{tensor}:0"
        argument = argument if equals else _argument(tensor, found)
        if not re.fullmatch(r"[^\s:^]+:\d+", tensor) or not argument:
            raise HarnessError(
                "usage", f"{option} {item}: expected NAME or ARGUMENT=NAME, a tensor such as dense/BiasAdd:0."
            )
        if argument in found:
            raise HarnessError(
                "usage", f"{option}: two tensors are called {argument}.", remedy="Give them names: ARGUMENT=NAME."
            )
        found[argument] = tensor
    return found


def _argument(tensor: str, taken: Mapping[str, str]) -> str:
    parts = tensor.split(":", maxsplit=1)[0].split("/")
    options = ["_".join(parts[-count:]) for count in range(1, len(parts) + 1)]
    return next((option for option in options if option not in taken), tensor.replace(":", "_").replace("/", "_"))


def parse_fixed(items: tuple[str, ...]) -> dict[str, bool | float | str]:
    """``NAME=VALUE`` items as tensor → value: true, false, a number, or text.

    Raises:
        HarnessError: usage.
    """
    found: dict[str, bool | float | str] = {}
    for item in items:
        tensor, equals, value = item.partition("=")
        if not equals or not tensor:
            raise HarnessError("usage", f"--fix-tensor {item}: expected NAME=VALUE.")
        found[tensor if ":" in tensor else f"{tensor}:0"] = _value(value)
    return found


def _value(text: str) -> bool | float | str:
    if text.lower() in _VALUES:
        return _VALUES[text.lower()]
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        return text
