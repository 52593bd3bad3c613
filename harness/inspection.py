"""What ``inspect`` says about a file or folder: as JSON-able data, and as tables for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from harness import graph_plan
from harness.artifact import Artifact, Kind, bounded, find_sources, sniffing, tensorflow_versions, written_by
from harness.artifact.checkpoints import find_checkpoint
from harness.artifact.graph_messages import GraphFacts, read_graphs
from harness.artifact.text import plural, shown, visible
from harness.artifact.wire import WireError
from harness.console import Console
from harness.errors import HarnessError

FORMAT_VERSION = 1
# Takes keras_version and backend as found in the file; returns the environment's name, or raises HarnessError.
ChooseSource = Callable[[str | None, str | None], str]


def describe_artifact(
    path: Path, *, choose_source: ChooseSource | None = None, checksum: bool = False
) -> dict[str, Any]:
    """Return what is known about ``path``; the keys are documented in ``docs/formats.md``.

    ``checksum`` reads the whole file; everything else reads metadata only.

    Raises:
        HarnessError: ``source-missing``, ``source-unreadable``, ``source-empty`` or ``source-truncated``.
    """
    artifact, graphs, bundle = bounded.bounded(lambda: _read(path), tuple[Artifact, list[Any], Any], path.name)
    artifact = replace(artifact, path=path)
    return {
        "format_version": FORMAT_VERSION,
        "path": str(path),
        "kind": artifact.kind.value,
        "what": artifact.looks_like,
        "size_bytes": artifact.size_bytes,
        "sha256": artifact.sha256 if checksum else None,
        "written_by": _written_by(artifact),
        "model": _model(artifact),
        "weights": _weights(artifact),
        "operations": dict(artifact.operations),
        "graphs": graphs,
        "training": {
            "training_config": artifact.has_training_config,
            "optimizer_weights": artifact.has_optimizer_weights,
            "optimizer": artifact.optimizer,
        },
        "bundle": bundle,
        "migration": _migration(artifact, choose_source),
        "warnings": warnings_of(artifact),
    }


def _read(path: Path) -> tuple[Artifact, list[dict[str, Any]], dict[str, Any] | None]:
    """What only a look into the file tells, and the host needs."""
    found = sniffing.sniff(path)
    bundle = _bundle(found.manifest) if found.manifest is not None else None
    return bounded.told(found), graphs_of(found), bundle


def warnings_of(artifact: Artifact) -> list[str]:
    """Return what a person should know before migrating, one sentence each."""
    found = []
    if artifact.kind is Kind.KERAS_H5 and artifact.config_error:
        found.append(f"The model_config {artifact.config_error}.")
    if artifact.custom_classes:
        names = ", ".join(shown(name) for name in artifact.custom_classes)
        found.append(f"Custom layer classes: {names}. Their source code is not in the file and has to be supplied.")
    if artifact.custom_functions:
        names = ", ".join(shown(name) for name in artifact.custom_functions)
        found.append(f"Custom activations: {names}. Their source code is not in the file and has to be supplied.")
    bytecode = [
        f"{shown(layer.name)} ({f'of Python {layer.family}' if layer.family else 'of no known Python'})"
        for layer in artifact.lambda_layers
        if layer.stored_as == "bytecode"
    ]
    by_name = [shown(layer.name) for layer in artifact.lambda_layers if layer.stored_as == "name"]
    if bytecode:
        found.append(
            f"Lambda layers stored as Python bytecode: {', '.join(bytecode)}. Bytecode runs only in Python versions close to the one that wrote it."
        )
    if by_name:
        found.append(f"Lambda layers that name a function outside of the file: {', '.join(by_name)}.")
    if artifact.backend == "theano":
        found.append("Written on the backend theano: its convolution kernels are stored rotated by 180°.")
    return [*found, *artifact.notes, *artifact.oddities]


def render(description: Mapping[str, Any], console: Console) -> None:
    """Print the description as a compact table, then the warnings."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for label, value in _rows(description):
        if value:
            # Text: names from the file must not be read as markup
            table.add_row(Text(visible(label)), Text(visible(value)))
    console.print(table)
    for warning in description["warnings"]:
        console.print(Text.assemble(("warning: ", "yellow"), visible(warning)))


def _rows(description: Mapping[str, Any]) -> list[tuple[str, str]]:
    model, weights, bundle = description["model"], description["weights"], description["bundle"]
    rows = [
        ("file", shown(description["path"], 200)),
        ("kind", f"{description['what']} ({description['kind']})"),
        ("size", f"{description['size_bytes']:,} bytes"),
        ("sha256", description["sha256"] or ""),
        ("written by", description["written_by"]["text"]),
    ]
    if model is not None:
        rows.append(("model", f"{model['class_name']}, {plural(model['layer_count'], 'layer')}"))
        rows.append(("layers", _counts(model["layer_classes"])))
        rows.extend(("input", _input_line(item)) for item in model["inputs"])
    if description["operations"]:
        rows.append(("operations", _counts(description["operations"], most=12)))
    for graph in description["graphs"]:
        rows.extend(_graph_rows(graph))
    if weights["tensors"]:
        dtypes = ", ".join(shown(name, 30) for name in weights["dtypes"])
        rows.append(("parameters", f"{weights['parameters']:,} in {plural(weights['tensors'], 'tensor')} ({dtypes})"))
    if description["kind"] == Kind.KERAS_H5:
        rows.append(("training state", _training_line(description["training"])))
    if bundle is not None:
        rows.extend(_bundle_rows(bundle))
    return [*rows, ("migrate", _migration_line(description["migration"]))]


def graphs_of(artifact: Artifact) -> list[dict[str, Any]]:
    """What the graphs of a SavedModel, hub module, checkpoint or frozen file declare; empty for other artifacts."""
    if artifact.kind not in graph_plan.READERS:
        return []
    try:
        path = find_checkpoint(artifact.path).meta if artifact.kind is Kind.CHECKPOINT else artifact.path
        return [_graph(facts) for facts in read_graphs(path)]
    except (HarnessError, WireError, OSError):
        return []  # why it cannot be read stands under `migration`


def _graph(facts: GraphFacts) -> dict[str, Any]:
    def spec(node: Any) -> dict[str, Any]:
        return {"name": node.name, "dtype": node.dtype, "shape": None if node.shape is None else list(node.shape)}

    return {
        "tags": list(facts.tags),
        "nodes": len(facts.nodes),
        "signatures": {
            key: {"inputs": dict(signature.inputs), "outputs": dict(signature.outputs)}
            for key, signature in facts.signatures.items()
        },
        "variables": [spec(node) for node in facts.variables],
        "placeholders": [spec(node) for node in facts.placeholders],
        "assets": list(facts.assets),
    }


def _graph_rows(graph: Mapping[str, Any]) -> list[tuple[str, str]]:
    tags = f" tagged {', '.join(map(shown, graph['tags']))}" if graph["tags"] else ""
    rows = [("graph", f"{plural(graph['nodes'], 'node')}{tags}")]
    for key, signature in graph["signatures"].items():
        sides = (
            "; ".join(f"{shown(n)}: {shown(t)}" for n, t in signature[side].items()) for side in ("inputs", "outputs")
        )
        rows.append((f"signature {shown(key)}", " → ".join(sides)))
    variables = [f"{shown(v['name'])} {_declared(v)}" for v in graph["variables"]]
    if variables:
        rows.append(
            ("variables", f"{len(variables)}: {', '.join(variables[:12])}{', …' if len(variables) > 12 else ''}")
        )
    if not graph["signatures"]:
        rows.extend(("placeholder", f"{shown(p['name'])} {_declared(p)}") for p in graph["placeholders"][:20])
    return rows


def _declared(spec: Mapping[str, Any]) -> str:
    sizes = "(any shape)" if spec["shape"] is None else f"({', '.join(map(_size, spec['shape']))})"
    return f"{sizes} {shown(spec['dtype'] or '')}".rstrip()


def _written_by(artifact: Artifact) -> dict[str, Any]:
    version = artifact.keras_version
    if artifact.tensorflow_version:
        text = f"TensorFlow {artifact.tensorflow_version}"
    elif version is not None or artifact.kind in (Kind.KERAS_H5, Kind.KERAS_H5_WEIGHTS):
        text = written_by(version, artifact.backend)
    else:
        text = ""
    versions = [artifact.tensorflow_version] if artifact.tensorflow_version else list(tensorflow_versions(version))
    return {"keras_version": version, "backend": artifact.backend, "tensorflow_versions": versions, "text": text}


def _model(artifact: Artifact) -> dict[str, Any] | None:
    if artifact.class_name is None:
        return None
    return {
        "class_name": artifact.class_name,
        "layer_count": sum(artifact.layer_classes.values()),
        "layer_classes": dict(artifact.layer_classes),
        "inputs": [
            {"name": item.name, "shape": None if item.shape is None else list(item.shape), "dtype": item.dtype}
            for item in artifact.inputs
        ],
        "custom_classes": list(artifact.custom_classes),
        "custom_functions": list(artifact.custom_functions),
        "lambda_layers": [{"name": layer.name, "stored_as": layer.stored_as} for layer in artifact.lambda_layers],
    }


def _weights(artifact: Artifact) -> dict[str, Any]:
    return {
        "tensors": len(artifact.weights),
        "parameters": artifact.parameters,
        "size_bytes": artifact.weight_bytes,
        "dtypes": dict(sorted(Counter(tensor.dtype for tensor in artifact.weights).items())),
    }


def _migration(artifact: Artifact, choose_source: ChooseSource | None) -> dict[str, Any]:
    try:
        if artifact.kind in graph_plan.READERS:
            plan = graph_plan.make(artifact, graph_plan.Choices())
            return {"possible": True, "source_environment": plan.source_env.name, "reason": None, "note": plan.note}
        sources = find_sources(artifact.path, found=artifact)
        environment = choose_source(sources.keras_version, sources.backend) if choose_source else None
    except HarnessError as error:
        reason = {"code": error.code, "message": error.message, "details": list(error.details), "remedy": error.remedy}
        return {"possible": False, "source_environment": None, "reason": reason, "note": None}
    return {"possible": True, "source_environment": environment, "reason": None, "note": sources.note}


def _bundle(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return a bundle's facts; tolerant, because a newer schema is to be shown too, and checked elsewhere."""
    arrays = _records(manifest.get("arrays"))
    model = manifest.get("model") if isinstance(manifest.get("model"), dict) else {}
    layers = _records(model.get("layers") if isinstance(model, dict) else None)
    return {
        "schema_version": manifest.get("schema_version"),
        "min_reader": manifest.get("min_reader"),
        "required_features": manifest.get("required_features"),
        "producer": manifest.get("producer"),
        "source": manifest.get("source"),
        "layer_count": len(layers),
        "layer_classes": dict(sorted(Counter(shown(str(layer.get("class_name"))) for layer in layers).items())),
        "arrays": len(arrays),
        "array_bytes": sum(_array_bytes(array) for array in arrays),
        "probes": len(_records(manifest.get("probes"))),
    }


def _records(value: object) -> list[dict[str, Any]]:
    items = list(value.values()) if isinstance(value, dict) else value
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def _array_bytes(array: Mapping[str, Any]) -> int:
    for key in ("size_bytes", "nbytes", "bytes"):
        if isinstance(array.get(key), int):
            return int(array[key])
    return 0


def _bundle_rows(bundle: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [
        ("schema", f"{_flat(bundle['schema_version'])}, readers from {_flat(bundle['min_reader'])}"),
        ("producer", _flat(bundle["producer"])),
        ("source", _flat(bundle["source"])),
        ("layers", _counts(bundle["layer_classes"])),
        ("arrays", f"{plural(bundle['arrays'], 'array')}, {bundle['array_bytes']:,} bytes"),
        ("probes", str(bundle["probes"])),
    ]


def _flat(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{shown(str(key))} {shown(str(item))}" for key, item in list(value.items())[:12])
    return shown(str(value)) if value is not None else ""


def _counts(counts: Mapping[str, int], most: int = 40) -> str:
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    more = f", and {len(ranked) - most} other kinds" if len(ranked) > most else ""
    return ", ".join(f"{count:,} {shown(name)}" if count > 1 else shown(name) for name, count in ranked[:most]) + more


def _input_line(item: Mapping[str, Any]) -> str:
    sizes = "shape not in the config" if item["shape"] is None else f"({', '.join(map(_size, item['shape']))})"
    return f"{shown(item['name'])} {sizes} {shown(item['dtype'] or 'dtype not in the config')}"


def _size(size: int | None) -> str:
    return "None" if size is None else str(size)


def _training_line(training: Mapping[str, Any]) -> str:
    if not training["training_config"]:
        return "none"
    optimizer = training["optimizer"] or "an unknown optimizer"
    return f"{optimizer}, {'with' if training['optimizer_weights'] else 'without'} its weights"


def _migration_line(migration: Mapping[str, Any]) -> str:
    if migration["possible"]:
        environment = migration["source_environment"]
        how = f"yes, reading it with {environment}" if environment else "yes"
        return f"{how}; {migration['note']}" if migration["note"] else how
    return f"no ({migration['reason']['code']}): {migration['reason']['remedy']}"
