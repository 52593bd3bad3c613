"""Operation ``read_keras_arch``: an architecture (JSON or YAML) and its weights file become a bundle.

Request: as for ``read_keras_h5``, with ``"source": "in/model.json"``, ``"weights": "in/weights.h5"`` and
``"weights_name"``, the file's name as the user knows it.
"""

import json
import os
from typing import Any, Dict

from . import channels, compat, compat_graph, cpu, custom, h5_weights, keras1
from .errors import Refusal
from .foreign_code import Code
from .loading import first_loadable
from .repair import restore_axes
from .write_bundle import file_entry, write_bundle

#: YAML tags of plain values that Keras's own ``to_yaml`` writes: the form each is read as
PLAIN_TAGS = {"tuple": "seq", "list": "seq", "dict": "map", "unicode": "str", "str": "str", "int": "int", "long": "int"}
PLAIN_TAGS.update({"float": "float", "bool": "bool", "none": "null"})
PYTHON = "tag:yaml.org,2002:python/"
#: a config has thousands of values; aliases inside aliases can make billions
VALUES = 2000000


def read_keras_arch(request: Dict[str, Any], context: Any) -> Dict[str, Any]:
    """Write the bundle and return what ``write_bundle`` does.

    Raises Refusal: source-unsupported-format, source-truncated, layer-unsupported, source-not-loadable,
    weights-mismatch, model-unsupported, probes-impossible, samples-invalid.
    """
    keras = compat.import_keras(request["flavour"])
    name = request.get("source_name") or os.path.basename(request["source"])
    architecture = read_architecture(request["source"], name)
    weights = h5_weights.read_weights(request["weights"])
    spelled, respelled = keras1.respell(architecture, architecture.get("keras_version") or weights["keras_version"])
    code = Code(keras, spelled, custom.load_objects(request.get("custom_objects")), request.get("layer_arguments"))
    compat_graph.resource_variables(compat.import_tensorflow(), bool(code.layers))
    context.step("build the model")
    transposed = channels.transpose_on_cpu(keras)
    config, replaced = cpu.rewrite(restore_axes(code.config))

    def make(chosen: Any) -> Any:
        return compat.build_model(keras, chosen, code.objects)

    model, repaired = first_loadable(keras, config, name, make, lambda: list(weights["layers"]), code.explain)
    context.step("load the weights")
    backend = weights["backend"] or architecture.get("backend")
    renamed = h5_weights.load(keras, model, weights["layers"], weights["keras_version"], backend, must_change=True)
    source = dict(file_entry(request["source"], name), kind="keras_arch", replaced_layers=replaced + transposed)
    source.update(keras_version=architecture.get("keras_version") or weights["keras_version"], backend=backend)
    source["repaired"] = respelled + repaired
    source["bytecode_run"] = code.ran
    source["weights"] = file_entry(request["weights"], request.get("weights_name"))
    source["weights_renamed"] = renamed
    found = {"config": architecture, "training": None, "optimizer_weights": False, "source": source}
    return write_bundle(keras, model, found, request, context)


def read_architecture(path: str, name: str) -> Dict[str, Any]:
    """``{"class_name", "config", ...}`` of a JSON or YAML file.

    Raises Refusal: source-unsupported-format, source-truncated.
    """
    with open(path, "rb") as stream:
        text = stream.read().decode("utf-8-sig", "replace")
    try:
        if text.lstrip()[:1] in ("{", '"'):
            value = json.loads(text)
            value = json.loads(value) if isinstance(value, str) else value  # json.dump(model.to_json(), ...)
        else:
            value = _read_yaml(text, name)
    except (ValueError, RecursionError) as error:
        raise Refusal("source-truncated", "%s cannot be parsed: %s" % (name, error))
    if not (isinstance(value, dict) and isinstance(value.get("config"), (dict, list)) and "class_name" in value):
        raise Refusal("source-unsupported-format", "%s is no Keras architecture: no class_name and config" % name)
    return value


def _read_yaml(text: str, name: str) -> Any:
    """YAML as data. Tags of Python's plain values are read as such; every other Python tag is refused unread."""
    try:
        import yaml  # old standalone Keras depends on it; TensorFlow does not
    except ImportError:
        raise Refusal(
            "source-unsupported-format",
            "%s is YAML, which this environment cannot read" % name,
            remedy="Give the architecture as JSON (`model.to_json()`), or read it with `--from keras2.2`.",
        )
    try:
        tags = [(event.start_mark.line + 1, getattr(event, "tag", None)) for event in yaml.parse(text)]
        unsafe = ["line %d: %s" % (line, tag) for line, tag in tags if tag and not _is_plain(tag)]
        if unsafe:
            raise Refusal(
                "source-unsupported-format",
                "%s asks for Python objects, which are not made" % name,
                unsafe,
                "Load it where it was written, and save the architecture again with `model.to_json()`.",
            )
        value = yaml.load(text, Loader=_loader(yaml))
    except yaml.YAMLError as error:
        raise Refusal("source-truncated", "%s is not valid YAML: %s" % (name, " ".join(str(error).split())))
    _count(value, VALUES, name)
    return value


def _is_plain(tag: str) -> bool:
    if tag.startswith(PYTHON):
        return tag[len(PYTHON) :] in PLAIN_TAGS
    return tag == "!" or tag in ["tag:yaml.org,2002:" + form for form in PLAIN_TAGS.values()]


def _loader(yaml: Any) -> Any:
    """A ``yaml.SafeLoader`` that reads the tags of plain values too."""

    class Loader(yaml.SafeLoader):
        pass

    constructors = {
        "seq": lambda loader, node: loader.construct_sequence(node, deep=True),
        "map": lambda loader, node: loader.construct_mapping(node, deep=True),
        "str": lambda loader, node: loader.construct_scalar(node),
        "int": Loader.construct_yaml_int,
        "float": Loader.construct_yaml_float,
        "bool": Loader.construct_yaml_bool,
        "null": Loader.construct_yaml_null,
    }
    for tag, form in PLAIN_TAGS.items():
        Loader.add_constructor(PYTHON + tag, constructors[form])
    return Loader


def _count(value: Any, left: int, name: str) -> int:
    """What is left of ``left`` after counting every value, shared ones as often as they are used."""
    if left <= 0:
        raise Refusal("source-unsupported-format", "%s has more than %d values" % (name, VALUES))
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for item in items:
        left = _count(item, left - 1, name)
    return left
