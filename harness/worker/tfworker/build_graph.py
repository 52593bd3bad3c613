"""Operation ``build_graph``: the graph of a bundle becomes a TF2 SavedModel with variables, tables, assets and signatures.

Request: ``{"op": "build_graph", "bundle": "in/bundle", "saved_model": "out/saved_model", "signatures": {...} or absent}``

With ``signatures`` it is a part of the graph without variables, such as what comes before a lifted model.

What is saved needs nothing of the harness: ``tf.saved_model.load`` gives ``signatures``, ``variables``,
``trainable_variables``, and ``serve`` (also ``__call__``), which takes the inputs of the main signature: the tensor
where it has one input, else a dict.
"""

import os
from typing import Any, Dict

from . import compat, compat_graphs
from .arrays import ArrayReader, sha256_array
from .errors import Refusal
from .files import read_graph, read_json
from .graphs import prepare
from .graphs.execute import Executor
from .graphs.names import arguments, told_apart
from .graphs.refs import Unsupported

MAIN = "serving_default"


def build_graph(request: Dict[str, Any], context: Any) -> Dict[str, Any]:
    """Save the model and return the evidence on its variables.

    Raises Refusal: ops-unsupported with everything that TensorFlow 2 lacks, model-unsupported.
    """
    tf = compat.import_tensorflow()
    manifest = read_json(os.path.join(request["bundle"], "manifest.json"))
    model, reader = manifest["model"], ArrayReader(request["bundle"], manifest["arrays"])
    neutral = read_graph(request["bundle"])
    if request.get("signatures"):
        model = dict(model, signatures=request["signatures"], variables=[])
    context.step("rewrite the graph")
    root = compat_graphs.trackable()
    resources = _resources(tf, root, request["bundle"], model, reader)
    functions, rewritten = {}, {}  # type: Dict[str, Any], Dict[str, int]
    for key, signature in model["signatures"].items():
        made, counts = _signature(tf, neutral, signature, resources, reader)
        functions[key] = made
        for kind, count in counts.items():
            rewritten[kind] = max(count, rewritten.get(kind, 0))
    context.step("trace the signatures")
    concrete = {}
    for key, signature in model["signatures"].items():
        concrete[key] = functions[key].get_concrete_function(**_specs(tf, signature))
    _entry_point(tf, root, functions, model["signatures"])
    context.step("save the model")
    tf.saved_model.save(root, request["saved_model"], signatures=concrete)
    _rename_arguments(request["saved_model"], model["signatures"])
    digests = [[row["name"], sha256_array(reader.get(row["array"], verify=False))] for row in model["variables"]]
    return {"versions": compat.versions(compat.import_keras("keras3")), "rewritten": rewritten, "digests": digests}


def _rename_arguments(path: str, signatures: Dict[str, Any]) -> None:
    """Give the signatures that a server reads their old names where Python's functions could not have them."""
    changed = {
        key: {new: old for old, new in arguments(s["inputs"]).items() if new != old} for key, s in signatures.items()
    }
    if not any(changed.values()):
        return
    from tensorflow.core.protobuf import saved_model_pb2

    file = os.path.join(path, "saved_model.pb")
    message = saved_model_pb2.SavedModel()
    with open(file, "rb") as stream:
        message.ParseFromString(stream.read())
    for key, renamed in changed.items():
        inputs = message.meta_graphs[0].signature_def[key].inputs
        for new, old in renamed.items():
            inputs[old].CopyFrom(inputs[new])
            del inputs[new]
    with open(file, "wb") as stream:
        stream.write(message.SerializeToString(deterministic=True))


def _resources(tf: Any, root: Any, bundle: str, model: Any, reader: ArrayReader) -> Dict[str, Any]:
    """Variables, tables and assets as attributes of the root; node name -> what stands for its handle."""
    found, variables = {}, []  # type: Dict[str, Any], List[Any]
    for row in model["variables"]:
        value = _value(tf, reader.get(row["array"]), row["dtype"])
        variable = tf.Variable(value, trainable=row["trainable"], name=row["name"], dtype=row["dtype"])
        variables.append(variable)
        found[row["name"]] = variable
    root.variables = variables
    root.trainable_variables = [variable for variable in variables if variable.trainable]
    root.regularization_losses = []
    tables = []
    for row in model["tables"]:
        keys, values = (
            _value(tf, reader.get(row[k]), row[t]) for k, t in (("keys", "key_dtype"), ("values", "value_dtype"))
        )
        initializer = tf.lookup.KeyValueTensorInitializer(keys, values)
        default = {"string": "", "bool": False}.get(row["value_dtype"], -1)
        table = tf.lookup.StaticHashTable(initializer, tf.constant(default, row["value_dtype"]))
        tables.append(table)
        found[row["name"]] = table.resource_handle
    root.tables = tables
    root.assets = [tf.saved_model.Asset(os.path.join(bundle, "assets", row["file"])) for row in model["assets"]]
    return found


def _value(tf: Any, array: Any, dtype: str) -> Any:
    kind = tf.as_dtype(dtype)
    if array.dtype != object and array.dtype != kind.as_numpy_dtype:
        array = array.view(kind.as_numpy_dtype)  # stored as integers
    return tf.constant(array, kind)


def _specs(tf: Any, signature: Dict[str, Any]) -> Dict[str, Any]:
    called, specs = arguments(signature["inputs"]), {}
    for name, spec in signature["inputs"].items():
        specs[called[name]] = tf.TensorSpec(spec["shape"], tf.as_dtype(spec["dtype"]), name=called[name])
    return specs


def _signature(tf: Any, neutral: Any, signature: Any, resources: Any, reader: ArrayReader) -> Any:
    inputs, outputs = signature["inputs"], signature["outputs"]
    fed = list(dict.fromkeys(spec["tensor"] for spec in inputs.values()))
    wanted = [spec["tensor"] for spec in outputs.values()]
    reaching = prepare.outside(prepare.folded(neutral["nodes"], fed, wanted), neutral["library"])
    if reaching:
        message = "%d operations reach outside of the graph, which is never carried" % len(reaching)
        raise Refusal("ops-unsupported", message, reaching)
    try:
        nodes, counts = prepare.prepared(neutral["nodes"], fed, wanted)
    except Unsupported as error:
        raise Refusal("ops-unsupported", "parts of the graph have no counterpart in TensorFlow 2", error.findings)
    except ValueError as error:
        raise Refusal("model-unsupported", str(error))
    called = arguments(inputs)
    executor = Executor(dict(neutral, nodes=nodes), reader.get)
    executor.refuse_unknown(tf)
    needed = executor.handles(resources)

    def run(**given: Any) -> Dict[str, Any]:
        values = {told_apart(name): value for name, value in given.items()}
        feeds = {}  # type: Dict[str, Any]
        for name, spec in inputs.items():
            feeds.setdefault(spec["tensor"], values[told_apart(called[name])])  # two names may stand for one tensor
        made = executor.run(feeds, needed, wanted)
        out = {}
        for (name, spec), tensor in zip(outputs.items(), made):
            if spec["shape"] is not None:
                tensor = tf.ensure_shape(tensor, spec["shape"]) if tensor.shape.rank is None else tensor
            out[name] = tf.identity(tensor)
        return out

    return tf.function(run, autograph=False), counts


def _entry_point(tf: Any, root: Any, functions: Any, signatures: Any) -> None:
    """``serve`` and ``__call__``: the main signature for people, layers and ``hub.KerasLayer``."""
    main = MAIN if MAIN in functions else "default" if "default" in functions else sorted(functions)[0]
    specs, function = _specs(tf, signatures[main]), functions[main]
    if not specs:
        root.serve = tf.function(lambda: _single(function()), input_signature=[], autograph=False)
        root.__call__ = root.serve
        return
    if len(specs) == 1:
        name, spec = next(iter(specs.items()))
        argument = spec  # type: Any

        def serve(inputs: Any) -> Any:
            return _single(function(**{name: inputs}))

    else:
        argument = dict(specs)

        def serve(inputs: Any) -> Any:
            return _single(function(**inputs))

    root.serve = tf.function(serve, input_signature=[argument], autograph=False)
    root.__call__ = root.serve


def _single(outputs: Dict[str, Any]) -> Any:
    return next(iter(outputs.values())) if len(outputs) == 1 else outputs
