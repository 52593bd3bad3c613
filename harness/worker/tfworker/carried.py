"""Carried layers in the target: what the bundle holds of them becomes the configuration of a ``GraphLayer``."""

import os
from typing import Any, Dict, Iterator, Tuple

from . import native
from .arrays import ArrayReader
from .errors import Refusal
from .files import read_graph, read_json
from .graphs import lower
from .graphs.execute import all_plain
from .graphs.prune import refuse_outside

MODULE = "harness_layers"


def fill(graph: Dict[str, Any], bundle: str, reader: ArrayReader) -> int:
    """Give every carried layer of a plan's graph its whole ``config``; returns their number.

    Raises Refusal: bundle-invalid, model-unsupported.
    """
    count = 0
    for layer in graph["layers"]:
        if "graph" in layer:
            count += fill(layer["graph"], bundle, reader)
        elif "carried" in layer and "phase" in layer["carried"]:
            layer["config"] = _part(layer, bundle, reader)
            count += 1
        elif "carried" in layer and "live" not in layer:
            layer["config"] = _config(layer, bundle, reader)
            count += 1
    return count


def record(keras: Any, layer: Dict[str, Any], bundle: str, reader: ArrayReader) -> Any:
    """A GraphLayer of an entry, whichever way the entry goes."""
    import harness_layers

    return harness_layers.graph_layer(keras)(name=layer["name"], **_config(layer, bundle, reader))


def make(keras: Any, layer: Dict[str, Any]) -> Any:
    """The live layer of a filled entry, native where its meaning is known; ``way`` in the entry says which."""
    import harness_layers

    made = harness_layers.graph_layer(keras)(name=layer["name"], **layer["config"])
    native_model = native.recognised(keras, made, layer["config"])
    layer["way"] = "carried" if native_model is None else "native"
    return made if native_model is None else native_model


def ways(graph: Dict[str, Any], path: Tuple[str, ...] = ()) -> Dict[str, str]:
    """Which way each carried layer of a built graph went, by its path in the source."""
    found = {}  # type: Dict[str, str]
    for layer in graph["layers"]:
        here = path + (layer.get("source_name", layer["name"]),)
        if "graph" in layer:
            found.update(ways(layer["graph"], here))
        elif "carried" in layer:
            found["/".join(here)] = layer.get("way", "carried")
    return found


def register(keras: Any) -> None:
    """Let Keras know the class of carried layers, as a user does before loading such a model."""
    import harness_layers

    harness_layers.graph_layer(keras)


def write_module(folder: str) -> None:
    """Put the module that loads carried layers beside a saved model."""
    import harness_layers

    with open(harness_layers.__file__, "rb") as stream, open(os.path.join(folder, MODULE + ".py"), "wb") as out:
        out.write(stream.read())


def _config(layer: Dict[str, Any], bundle: str, reader: ArrayReader) -> Dict[str, Any]:
    import harness_layers

    carried = layer["carried"]
    graphs, held = {}, {}  # type: Dict[str, Any], Dict[str, Any]
    roles = {row["role"]: row for row in carried["weights"]}
    sites = []

    def put(array: Any) -> str:
        held["made/%d" % len(held)] = array
        return "made/%d" % (len(held) - 1)

    def get(name: str) -> Any:
        return held[name] if name in held else reader.get(name)

    for site in carried["sites"]:
        site = dict(site)
        for name in ("inference", "training"):
            phase = dict(site[name], specs=site["inputs"])
            graph = _graph(bundle, phase["graph"])
            refuse_outside(list(_ops(graph)))
            if lower.is_old(graph):
                graph, phase = lower.lowered(graph, phase, roles, get, put)
                phase["graph"] += "#%d" % len(graphs)
            graphs[phase["graph"]] = graph
            if "gradient" in phase:
                graphs[phase["gradient"]["graph"]] = own = _graph(bundle, phase["gradient"]["graph"])
                refuse_outside(list(_ops(own)))
            site[name] = phase
        sites.append(site)
    arrays = {}
    for graph in graphs.values():
        for name in harness_layers.stored_arrays(graph):
            arrays[name] = harness_layers.pack(get(name))
    weights = [{key: w[key] for key in ("role", "shape", "dtype", "trainable")} for w in carried["weights"]]
    return {
        "origin": {"class_name": layer["origin"]},
        "weights": weights,
        "sites": sites,
        "graphs": graphs,
        "arrays": arrays,
        "returns_list": carried["list"],
        "trainable": carried.get("trainable", True),
    }


def _part(layer: Dict[str, Any], bundle: str, reader: ArrayReader) -> Dict[str, Any]:
    """The configuration for a part of a whole graph, which the plan holds as structured nodes."""
    import harness_layers

    carried, held = layer["carried"], {}  # type: Any, Dict[str, Any]
    whole = read_graph(bundle)
    phase = dict(carried["phase"], graph="part", specs=carried["inputs"])
    nodes = carried["nodes"]
    refuse_outside(list(_ops({"nodes": all_plain(nodes), "library": whole["library"]})))

    def put(array: Any) -> str:
        held["made/%d" % len(held)] = array
        return "made/%d" % (len(held) - 1)

    def get(name: str) -> Any:
        return held[name] if name in held else reader.get(name)

    roles = {row["role"]: row for row in carried["weights"]}
    graph, phase = lower.traced(dict(whole, nodes=nodes), phase, roles, get, put)
    site = {"inputs": carried["inputs"], "masks": [None] * len(carried["inputs"]), "mask": None}
    return {
        "origin": {"class_name": layer["origin"]},
        "weights": carried["weights"],
        "sites": [dict(site, inference=phase, training=phase)],
        "graphs": {"part": graph},
        "arrays": {name: harness_layers.pack(get(name)) for name in harness_layers.stored_arrays(graph)},
        "returns_list": carried["list"],
        "trainable": True,
    }


def _graph(bundle: str, name: str) -> Any:
    folder, _, file = name.partition("/")
    if folder != "graphs" or file != os.path.basename(file) or not file.endswith(".json"):
        raise Refusal("bundle-invalid", "%r is no name of a graph" % name)
    return read_json(os.path.join(bundle, "graphs", file))


def nodes(graph: Dict[str, Any]) -> Iterator[Dict[str, Any]]:
    """Every node of a neutral graph, those of its functions included."""
    for part in [graph] + graph["library"]:
        for node in part["nodes"]:
            yield node


def _ops(graph: Dict[str, Any]) -> Iterator[str]:
    return (node["op"] for node in nodes(graph))
