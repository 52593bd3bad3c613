"""A graph that a session of TF1 holds becomes a bundle: nodes, variables, tables, assets, probes of every signature."""

import os
import re
import shutil
from typing import Any, Dict, List, Tuple

import numpy as np

from . import compat, graph_known, graph_probes
from .arrays import ArrayWriter
from .compat_graphs import table_content, v1, variable_values
from .errors import Refusal
from .files import write_json
from .graph_part import Part
from .graphs import neutral, prepare
from .graphs.refs import VARIABLES
from .write_bundle import file_entry, write_checksums

SCHEMA_VERSION = 2
FEATURE = "graph"
TABLES = ("HashTable", "HashTableV2")


def write_graph_bundle(
    request: Dict[str, Any], context: Any, session: Any, signatures: Dict[str, Any], trainable: List[str],
    assets: Any = (), tags: Any = None, meta: Any = None, frozen: bool = False,
) -> Dict[str, Any]:  # fmt: skip
    """Write the bundle and return ``{"bundle", "variables", "probe_sets"}``.

    Raises Refusal: ops-unsupported, placeholder-unfed, table-uninitialized, probes-impossible, outputs-random.
    """
    bundle = request["bundle"]
    context.step("find what the signatures need")
    part = Part(session, signatures, dict(request.get("fixed") or {}))
    part.refuse_foreign()
    os.makedirs(os.path.join(bundle, "graphs"))
    context.step("write graph and variables")
    with ArrayWriter(os.path.join(bundle, "weights.npz")) as writer:
        promoted = _promotable(part) if frozen else {}
        variables = _write_variables(part, trainable, promoted, writer)
        tables = _write_tables(part, writer)
        graph, constants = _write_graph(part, promoted, writer)
    folded = {key: _folded(part, key, graph) for key in part.signatures}
    _refuse_writes(part, graph, folded)
    files = _copy_assets(part, assets, bundle)
    context.step("record probes")
    with ArrayWriter(os.path.join(bundle, "probes.npz")) as writer:
        trained = [v["name"] for v in variables if v["trainable"]]
        probes, recorded, probed = graph_probes.record(part, trained, writer, request)

        def put(array: Any) -> str:
            recorded.append(writer.add("known/%d" % len(recorded), array))
            return str(recorded[-1]["name"])

        graph_known.annotate(part, graph, folded, probed, put)
    write_json(os.path.join(bundle, "graphs", "graph.json"), graph)
    manifest = _manifest(request, part, frozen)
    manifest["model"].update(variables=variables, tables=tables, assets=files, tags=tags)
    manifest["arrays"] = [v.pop("entry") for v in variables] + [e for t in tables for e in t.pop("entries")]
    manifest["arrays"] += constants + recorded
    manifest["probes"] = probes
    write_json(os.path.join(bundle, "manifest.json"), manifest)
    write_checksums(bundle)
    return {"bundle": bundle, "variables": len(variables), "probe_sets": [s["name"] for s in probes["sets"]]}


def _write_variables(part: Part, trainable: List[str], promoted: Dict[str, Any], writer: ArrayWriter) -> List[Any]:
    trained, lost, rows = set(trainable), [], []  # type: Any, List[str], List[Any]
    names = [op.name for op in part.operations if op.type in VARIABLES + ("VarHandleOp",)]
    for name, value in zip(names, _values(part, names, lost)):
        rows.append((name, value, name in trained, False))
    for operation in part.operations:
        if operation.name in promoted:
            rows.append((operation.name, _constant(part, operation), promoted[operation.name], True))
    if lost:
        raise Refusal("variables-missing", "%d variables have no value in the file" % len(lost), lost)
    out = []  # type: List[Any]
    for name, value, trains, was_constant in rows:
        entry = dict(writer.add("variable/" + name, np.asarray(value)), variable=name)
        row = {
            "name": name,
            "shape": entry["shape"],
            "dtype": entry["dtype"],
            "trainable": trains,
            "array": entry["name"],
        }
        out.append(dict(row, was_constant=was_constant, entry=entry))
    return out


def _values(part: Part, names: List[str], lost: List[str]) -> List[Any]:
    """The values of variables; sentences about those that have none are added to ``lost``."""
    try:
        return variable_values(part.session, names)
    except Exception:  # one of them at least has no value: which, only trying each tells
        found = []
        for name in names:
            try:
                found += variable_values(part.session, [name])
            except Exception as error:
                lost.append("%s: %s" % (name, str(error).strip().splitlines()[0][:200]))
                found.append(None)
        return found


#: consumers -> inputs at which they take weights, and those of them that training would not touch by gradients
_WEIGHTS = {
    "MatMul": ((0, 1), ()), "Conv2D": ((1,), ()), "DepthwiseConv2dNative": ((1,), ()), "BiasAdd": ((1,), ()),
    "Conv3D": ((1,), ()), "Conv2DBackpropInput": ((1,), ()), "FusedBatchNorm": ((1, 2, 3, 4), (3, 4)),
    "FusedBatchNormV2": ((1, 2, 3, 4), (3, 4)), "FusedBatchNormV3": ((1, 2, 3, 4), (3, 4)),
    "Gather": ((0,), ()), "GatherV2": ((0,), ()), "Add": ((0, 1), ()), "AddV2": ((0, 1), ()), "Mul": ((0, 1), ()),
    "BatchNormWithGlobalNormalization": ((1, 2, 3, 4), (1, 2)), "Conv3DBackpropInputV2": ((1,), ()),
    **dict.fromkeys(("FakeQuantWithMinMaxVars", "FakeQuantWithMinMaxVarsPerChannel"), ((0,), ())),
}  # type: Dict[str, Tuple[Tuple[int, ...], Tuple[int, ...]]]  # fmt: skip
_STATISTIC = re.compile(r"moving_(mean|variance|avg|average)|running_(mean|var)")


#: what a graph unpacks its stored weights with
_DECODERS = ("Cast", "Dequantize")


def _constant(part: Part, operation: Any) -> Any:
    """The value of a constant, or what a decoder makes of one; nothing that waits for a branch to be taken is run."""
    if operation.type == "Const":
        return neutral.constant_value(operation)
    return part.session.run(operation.outputs[0], part.feed({}))


def _is_weight(operation: Any) -> bool:
    """Whether an operation gives the same numbers every time: a constant, or one that was stored in fewer bits."""
    if operation.type in _DECODERS:
        alone = not operation.control_inputs and len(operation.outputs) == 1
        given = [tensor.op for tensor in operation.inputs]
        small = all(op.type == "Const" and not op.control_inputs for op in given)
        kinds = [op.outputs[0].dtype for op in given[:1]]
        # Whole numbers that become floating point ones are settings, unless they are bytes that stand for weights.
        narrow = operation.type == "Dequantize" or all(kind.is_floating for kind in kinds)
        return bool(alone and small and narrow and operation.outputs[0].dtype.is_floating)
    return bool(operation.type == "Const" and operation.outputs[0].dtype.is_floating)


def _promotable(part: Part) -> Dict[str, bool]:
    """Constants of a frozen graph that were variables: name -> whether training would have changed them."""
    found = {}  # type: Dict[str, bool]
    for operation in part.operations:
        if not _is_weight(operation):
            continue
        tensor = operation.outputs[0]
        shape = tensor.shape.as_list() if tensor.shape.ndims is not None else []
        if not shape or not int(np.prod(shape)):
            continue
        readers = [op for op in tensor.consumers() if op.name in part.names]
        reads = [op for op in readers if _is_read(op, operation)]
        ends = [(reader, op.outputs[0]) for op in reads for reader in op.outputs[0].consumers()]
        ends += [(reader, tensor) for reader in readers if reader not in reads]
        kept, direct = set(), False  # type: Set[bool], bool
        for reader, value in ends:
            places, statistics = _WEIGHTS.get(reader.type, ((), ()))
            at = [i for i, given in enumerate(reader.inputs) if given is value]
            direct = direct or any(i in places for i in at) and len(shape) > (reader.type in ("Add", "AddV2", "Mul"))
            kept.add(any(i in statistics for i in at))
        if reads or direct:
            found[operation.name] = not (kept == {True} or _STATISTIC.search(operation.name))
    return found


def _is_read(reader: Any, constant: Any) -> bool:
    if reader.type != "Identity":
        return False
    return reader.name == constant.name + "/read" or "ReadVariableOp" in reader.name.rsplit("/", 1)[-1]


def _write_tables(part: Part, writer: ArrayWriter) -> List[Dict[str, Any]]:
    rows, empty = [], []  # type: List[Dict[str, Any]], List[str]
    for operation in part.operations:
        if operation.type not in TABLES:
            continue
        try:
            keys, values = table_content(part.session, operation.name)
        except Exception as error:
            empty.append("%s: %s" % (operation.name, str(error).strip().splitlines()[0][:200]))
            continue
        entries = [writer.add("table/%s/%s" % (operation.name, kind), np.asarray(array))
                   for kind, array in (("keys", keys), ("values", values))]  # fmt: skip
        kinds = {kind: operation.get_attr(kind).name for kind in ("key_dtype", "value_dtype")}
        names = {"keys": entries[0]["name"], "values": entries[1]["name"]}
        rows.append(dict(kinds, name=operation.name, size=len(keys), entries=entries, **names))
    if empty:
        raise Refusal("table-uninitialized", "%d lookup tables have no content" % len(empty), empty)
    return rows


def _write_graph(part: Part, promoted: Dict[str, bool], writer: ArrayWriter) -> Tuple[Any, List[Any]]:
    """The neutral graph, and the index entries of its large constants."""
    entries = []  # type: List[Dict[str, Any]]

    def put(array: Any) -> str:
        entries.append(writer.add("const/%d" % len(entries), array))
        return str(entries[-1]["name"])

    whole = part.graph.as_graph_def()
    chosen = type(whole)()
    chosen.versions.CopyFrom(whole.versions)
    fed = {spec["tensor"] for s in part.signatures.values() for spec in s["inputs"].values()}
    for node in whole.node:
        if node.name not in part.names:
            continue
        made = chosen.node.add()
        if node.name in promoted:
            # A variable again: what it holds stands among the variables.
            made.name, made.op = node.name, "VariableV2"
            made.attr["dtype"].type = part.tensor(node.name + ":0").dtype.base_dtype.as_datatype_enum
            made.attr["shape"].shape.CopyFrom(part.tensor(node.name + ":0").shape.as_proto())
            continue
        made.CopyFrom(node)
        if node.name + ":0" in part.fixed and node.name + ":0" not in fed:
            _make_constant(part, made)
        kept = [ref for ref in made.input if ref.lstrip("^").split(":")[0] in part.names]
        del made.input[:]
        made.input.extend(kept)
    for function in whole.library.function:
        chosen.library.function.add().CopyFrom(function)
    for gradient in whole.library.gradient:
        chosen.library.gradient.add().CopyFrom(gradient)
    return neutral.from_graph_def(chosen, put), entries


def _make_constant(part: Part, node: Any) -> None:
    """Turn a node whose tensor was fixed into a constant."""
    tensor = part.tensor(node.name + ":0")
    value = np.asarray(part.fixed[node.name + ":0"], dtype=tensor.dtype.base_dtype.as_numpy_dtype)
    proto = v1().make_tensor_proto(value, dtype=tensor.dtype.base_dtype)
    node.op = "Const"
    del node.input[:]
    node.attr.clear()
    node.attr["dtype"].type = tensor.dtype.base_dtype.as_datatype_enum
    node.attr["value"].tensor.CopyFrom(proto)


def _folded(part: Part, key: str, graph: Any) -> List[Any]:
    """The nodes that a signature is left with once its phase is decided."""
    inputs, outputs = part.signatures[key]["inputs"], part.signatures[key]["outputs"]
    fed = [spec["tensor"] for spec in inputs.values()]
    return prepare.folded(graph["nodes"], fed, [spec["tensor"] for spec in outputs.values()])


def _refuse_writes(part: Part, graph: Any, folded: Dict[str, Any]) -> None:
    """Raise Refusal ops-unsupported where calling a signature changes a variable, or reaches outside of the graph."""
    found = []  # type: List[str]
    reaching = [name for key in part.signatures for name in prepare.outside(folded[key], graph["library"])]
    if reaching:
        message = "%d operations reach outside of the graph, which is never carried" % len(reaching)
        raise Refusal("ops-unsupported", message, sorted(set(reaching)))
    for key in part.signatures:
        found += ["%s: %s changes a variable" % (key, node) for node in prepare.writes(folded[key])]
    if found:
        remedy = "Fix the phase to inference with --fix-tensor NAME=false if these are updates of training."
        raise Refusal("ops-unsupported", "%d operations of signatures change variables" % len(found), found, remedy)


def _copy_assets(part: Part, assets: Any, bundle: str) -> List[Dict[str, Any]]:
    """Copy the asset files into the bundle; one that is missing, and that nothing which is kept reads, is noted."""
    rows, taken, lost = [], set(), []  # type: List[Dict[str, Any]], Set[str], List[str]
    for asset in assets:
        name = os.path.basename(asset["file"])
        if not os.path.isfile(asset["path"]):
            if asset["tensor"].split(":")[0] in part.names:
                lost.append(name)
            part.ledger.append({"where": "assets/" + name, "before": "an asset without a file", "after": "no asset"})
        elif name not in taken:
            taken.add(name)
            if not os.path.isdir(os.path.join(bundle, "assets")):
                os.makedirs(os.path.join(bundle, "assets"))
            shutil.copyfile(asset["path"], os.path.join(bundle, "assets", name))
            rows.append(dict(file_entry(os.path.join(bundle, "assets", name)), tensor=asset["tensor"]))
    if lost:
        raise Refusal("source-incomplete", "%d asset files of the SavedModel are missing" % len(lost), sorted(lost))
    return rows


def _manifest(request: Dict[str, Any], part: Part, frozen: bool) -> Dict[str, Any]:
    kind = {"read_saved_model": "saved_model", "read_hub_module": "hub_module", "read_checkpoint": "checkpoint",
            "read_frozen_graph": "frozen_graph"}[request["op"]]  # fmt: skip
    keras = compat.import_tensorflow().keras
    counts = {}  # type: Dict[str, int]
    for operation in part.operations:
        counts[operation.type] = counts.get(operation.type, 0) + 1
    stripped = {}  # type: Dict[str, int]
    for operation in part.graph.get_operations():
        if operation.name not in part.names:
            stripped[operation.type] = stripped.get(operation.type, 0) + 1
    return {
        "schema_version": SCHEMA_VERSION,
        "min_reader": SCHEMA_VERSION,
        "required_features": [FEATURE],
        "producer": dict(
            compat.versions(keras),
            harness=request["harness_version"],
            environment=request["environment"],
            flavour="tf",
        ),
        "source": dict(request["source_entry"], kind=kind),
        "model": {
            "kind": "graph",
            "dialect": "tf1-graph",
            "name": request["source_name"],
            "graph": "graphs/graph.json",
            "signatures": part.signatures,
            "operations": counts,
            "stripped": stripped,
            "ledger": part.ledger,
            "fixed": {name: _plain(value) for name, value in part.fixed.items()},
        },
    }


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value
