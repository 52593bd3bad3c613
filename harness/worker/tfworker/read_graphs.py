"""Operations ``read_saved_model``, ``read_hub_module``, ``read_checkpoint``, ``read_frozen_graph``: a graph of TF1 becomes a bundle.

Request: ``{"op": ..., "source": "in/source", "source_name": ..., "bundle": "out/bundle", "environment", "harness_version",
"tags": [...] or null, "signatures": [...] or null, "inputs": {name: tensor} or null, "outputs": {name: tensor} or null,
"fixed": {tensor: value}, "samples": path or null}``

``source`` of a checkpoint is its prefix. ``inputs`` and ``outputs`` name tensors; SavedModels and hub modules have
signatures instead. Everything runs in a session of the TensorFlow that fits the file.
"""

import os
from typing import Any, Dict, List

from . import compat, loop_contexts
from .compat_graphs import session_graph, v1
from .errors import Refusal
from .write_graph_bundle import write_graph_bundle

SERVE = "serve"


def read_saved_model(request: Dict[str, Any], context: Any) -> Dict[str, Any]:
    """Write the bundle of a SavedModel. Raises Refusal: source-not-loadable, signature-unknown, tags-unknown, …"""
    context.step("load the SavedModel")
    path = request["source"]
    tags = request.get("tags")
    found = _tag_sets(path)
    wanted = sorted(tags) if tags is not None else _default_tags(found)
    if wanted not in found:
        listed = ["{%s}" % ", ".join(tag_set) for tag_set in found]
        raise Refusal("tags-unknown", "there is no graph with the tags {%s}" % ", ".join(wanted), listed)
    graph, session = session_graph()
    with graph.as_default():
        try:
            meta = v1().saved_model.loader.load(session, wanted, path)
        except Exception as error:
            lost = _lost_assets(path, wanted)
            if lost:
                raise Refusal("source-incomplete", "%d asset files of the SavedModel are missing" % len(lost), lost)
            raise _newer(path, request) or _not_loadable(path, request, error)
        signatures = _signatures(meta, request)
        assets = _assets(meta, path)
        if request["op"] == "read_hub_module":
            # hub.Module ran the collected initialisers itself, with the paths of the assets on this machine.
            _initialize_tables(session, {asset["tensor"]: asset["path"] for asset in assets})
        return _write(request, context, session, signatures, assets=assets, tags=wanted, meta=meta)


def read_hub_module(request: Dict[str, Any], context: Any) -> Dict[str, Any]:
    """Write the bundle of a TF-Hub v1 module: a SavedModel whose plain graph has no tags."""
    return read_saved_model(request, context)


def read_checkpoint(request: Dict[str, Any], context: Any) -> Dict[str, Any]:
    """Write the bundle of a checkpoint with its meta graph."""
    context.step("load the checkpoint")
    prefix = request["source"]
    graph, session = session_graph()
    with graph.as_default():
        try:
            saver = v1().train.import_meta_graph(request.get("meta") or prefix + ".meta", clear_devices=True)
            if saver is None and v1().global_variables():
                saver = v1().train.Saver()
            if saver is not None:
                saver.restore(session, prefix)
        except Exception as error:
            raise _not_loadable(prefix, request, error)
        _initialize_tables(session)
        return _write(request, context, session, _named(graph, request))


def read_frozen_graph(request: Dict[str, Any], context: Any) -> Dict[str, Any]:
    """Write the bundle of a frozen GraphDef, binary or text."""
    context.step("load the graph")
    graph, session = session_graph()
    with graph.as_default():
        try:
            v1().import_graph_def(_graph_def(request["source"]), name="")
        except Exception as error:
            raise _not_loadable(request["source"], request, error)
        loop_contexts.restore(graph)
        _initialize_tables(session)
        return _write(request, context, session, _named(graph, request), frozen=True)


def _write(request: Any, context: Any, session: Any, signatures: Any, **more: Any) -> Dict[str, Any]:
    trainable = [variable.op.name for variable in v1().trainable_variables()]
    return write_graph_bundle(request, context, session, signatures, trainable=trainable, **more)


def _graph_def(path: str) -> Any:
    graph_def = v1().GraphDef()
    with open(path, "rb") as stream:
        data = stream.read()
    try:
        graph_def.ParseFromString(data)
    except Exception:
        from google.protobuf import text_format

        text_format.Merge(data.decode("utf-8"), graph_def)
    return graph_def


def _not_loadable(path: str, request: Any, error: BaseException) -> Refusal:
    name = request.get("source_name") or os.path.basename(path)
    tf = compat.import_tensorflow()
    text = str(error).strip()
    code = "source-not-loadable"
    if (
        "Op type not registered" in text
        or isinstance(error, getattr(tf.errors, "NotFoundError", ()))
        and "Op type" in text
    ):
        code = "ops-unknown"
    return Refusal(code, "TensorFlow %s cannot load %s" % (tf.__version__, name), [text[:2000]])


def _newer(path: str, request: Any) -> Any:
    """The refusal of a SavedModel that TensorFlow 2 wrote; None for any other."""
    version = next((str(m.meta_info_def.tensorflow_version) for m in _parsed(path).meta_graphs), "")
    if not version.startswith("2."):
        return None
    return Refusal(
        "source-wrong-era",
        "%s was written by TensorFlow %s, which TensorFlow 1 does not read" % (request.get("source_name"), version),
        remedy="It needs no migration: today's TensorFlow loads it with `tf.saved_model.load(...)`.",
    )


def _lost_assets(path: str, tags: List[str]) -> List[str]:
    for meta in _parsed(path).meta_graphs:
        if sorted(meta.meta_info_def.tags) == tags:
            return sorted(a["file"] for a in _assets(meta, path) if not os.path.isfile(a["path"]))
    return []


def _tag_sets(path: str) -> List[List[str]]:
    return [sorted(meta.meta_info_def.tags) for meta in _parsed(path).meta_graphs]


def _parsed(path: str) -> Any:
    from tensorflow.core.protobuf import saved_model_pb2

    message, binary = saved_model_pb2.SavedModel(), os.path.join(path, "saved_model.pb")
    try:
        if os.path.exists(binary):
            with open(binary, "rb") as stream:
                message.ParseFromString(stream.read())
        else:
            from google.protobuf import text_format

            with open(os.path.join(path, "saved_model.pbtxt"), "rb") as stream:
                text_format.Merge(stream.read().decode("utf-8"), message)
    except Exception as error:
        raise Refusal("source-truncated", "the SavedModel's protocol buffer cannot be parsed: %s" % error)
    return message


def _default_tags(found: List[List[str]]) -> List[str]:
    """Serving graphs first; hub modules call theirs by no tag at all."""
    for wanted in ([SERVE], []):
        if wanted in found:
            return wanted
    if len(found) == 1:
        return found[0]
    listed = ["{%s}" % ", ".join(tag_set) for tag_set in found]
    raise Refusal("tags-unknown", "none of the %d graphs is tagged for serving" % len(found), listed)


def _signatures(meta: Any, request: Any) -> Dict[str, Any]:
    known = {key: value for key, value in meta.signature_def.items() if not key.startswith("__saved_model_")}
    wanted = request.get("signatures") or sorted(known)
    missing = [key for key in wanted if key not in known]
    if missing or not wanted:
        listed = [_describe(key, known[key]) for key in sorted(known)]
        what = ", ".join(missing) if missing else "at all"
        raise Refusal("signature-unknown", "there is no signature %s" % what, listed)
    if request.get("inputs") or request.get("outputs"):
        raise Refusal("usage", "a SavedModel has signatures; name one with --signature instead of tensors")
    return {key: _signature(known[key]) for key in wanted}


def _describe(key: str, signature: Any) -> str:
    return "%s: %s → %s" % (key, ", ".join(sorted(signature.inputs)), ", ".join(sorted(signature.outputs)))


def _signature(signature: Any) -> Dict[str, Any]:
    return {
        "inputs": _tensors(signature.inputs),
        "outputs": _tensors(signature.outputs),
        "method": signature.method_name,
    }


def _tensors(infos: Any) -> Dict[str, str]:
    """Argument -> tensor; a sparse tensor takes three arguments."""
    found = {}  # type: Dict[str, str]
    for key in sorted(infos):
        info = infos[key]
        if info.WhichOneof("encoding") == "coo_sparse":
            sparse = info.coo_sparse
            found[key + "_indices"] = sparse.indices_tensor_name
            found[key + "_values"] = sparse.values_tensor_name
            found[key + "_dense_shape"] = sparse.dense_shape_tensor_name
        else:
            found[key] = info.name
    return found


def _assets(meta: Any, path: str) -> List[Dict[str, str]]:
    """Files that the graph names: [{"tensor": name of the constant, "file", "path"}]."""
    from tensorflow.core.protobuf import meta_graph_pb2

    found = []  # type: List[Dict[str, str]]
    protos = list(meta.asset_file_def)
    if not protos and "saved_model_assets" in meta.collection_def:
        for packed in meta.collection_def["saved_model_assets"].any_list.value:
            proto = meta_graph_pb2.AssetFileDef()
            packed.Unpack(proto)
            protos.append(proto)
    for proto in protos:
        where = os.path.join(path, "assets", proto.filename)
        found.append({"tensor": proto.tensor_info.name, "file": proto.filename, "path": where})
    return found


def _named(graph: Any, request: Any) -> Dict[str, Any]:
    """The one signature of a graph that has none of its own, from the tensors that the request names."""
    unknown = []  # type: List[str]
    for tensor in list(request["inputs"].values()) + list(request["outputs"].values()):
        try:
            graph.get_tensor_by_name(tensor)
        except (KeyError, ValueError) as error:
            unknown.append("%s: %s" % (tensor, str(error).strip("'\"")[:200]))
    if unknown:
        raise Refusal("tensor-unknown", "%d of the named tensors are not in the graph" % len(unknown), unknown)
    return {
        "serving_default": {
            "inputs": request["inputs"],
            "outputs": request["outputs"],
            "method": "tensorflow/serving/predict",
        }
    }


def _initialize_tables(session: Any, feed: Any = None) -> None:
    """Run the initialisers that the graph still has; a table without one is found when it is used."""
    graph = session.graph
    known = {op.name for op in graph.get_collection("table_initializer")}
    left = [op for op in graph.get_operations() if op.type.startswith("InitializeTable") and op.name not in known]
    for operation in list(graph.get_collection("table_initializer")) + left:
        try:
            session.run(operation, feed)
        except Exception:  # noqa: S110 - a table that stays empty is refused by name where it is read
            pass
