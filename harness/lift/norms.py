"""Batch and layer normalisation, fused, as tf.nn.batch_normalization spells it, and written by hand.

All of them are ``(x - mean) · rsqrt(variance + epsilon) · gamma + beta`` in some order. With mean and variance from variables
it is BatchNormalization, with those of the last axis of ``x`` LayerNormalization; anything else stays operations.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from harness.lift.graph import Node
from harness.lift.plan import Plan, Tensor, Weight
from harness.lift.tiles import Reader, Tile, agree, channels_last, flag, layer_name, number, typed

_ADD = ("Add", "AddV2")


@dataclass(frozen=True, kw_only=True)
class Normal:
    """A normalisation as found: edges, and the nodes that it is made of (the last one left out)."""

    x: str
    mean: str
    variance: str
    epsilon: float
    gamma: str | None
    beta: str | None
    nodes: tuple[str, ...]


def normalization(reader: Reader, node: Node) -> Tile | None:
    """The tile of a normalisation that ends in ``node``."""
    if node["op"].startswith("FusedBatchNorm"):
        return _fused(reader, node)
    if node["op"] not in (*_ADD, "Mul", "RealDiv"):
        return None
    for found in _written_out(reader, node):
        tile = _batch(reader, node, found) or _layer(reader, node, found)
        if tile is not None:
            return tile
    return None


def _fused(reader: Reader, node: Node) -> Tile | None:
    if flag(node, "is_training", default=True) or not channels_last(node) or len(node["inputs"]) != 5:
        return None
    x, gamma, beta, mean, variance = node["inputs"]
    # In older versions the attribute is only written where it is not 1e-4.
    found = Normal(
        x=x, mean=mean, variance=variance, epsilon=number(node, "epsilon", 1e-4), gamma=gamma, beta=beta, nodes=()
    )
    return _batch(reader, node, found)


def _batch(reader: Reader, node: Node, found: Normal) -> Tile | None:
    channels = reader.channels(found.x)
    mean, variance = (reader.vector(edge, channels) for edge in (found.mean, found.variance))
    if mean is None or variance is None or mean.trainable or variance.trainable:
        return None
    weights: dict[str, Weight] = {}
    for role, edge, nothing in (("gamma", found.gamma, 1.0), ("beta", found.beta, 0.0)):
        if edge is None or (reader.uniform(edge) == nothing and reader.graph.variables.get(edge) is None):
            continue
        made = reader.vector(edge, channels)
        if made is None:
            return None
        weights[role] = made
    if (weights and not agree(weights.values())) or not agree([mean, variance]):
        return None
    weights |= {"moving_mean": mean, "moving_variance": variance}
    if len({w.edge for w in weights.values()}) != len(weights):
        return None
    config = {"axis": -1, "epsilon": found.epsilon, "scale": "gamma" in weights, "center": "beta" in weights}
    return _tile(reader, node, found, "BatchNormalization", config, weights)


def _layer(reader: Reader, node: Node, found: Normal) -> Tile | None:
    """LayerNormalization: mean and variance are those of the last axis, computed here."""
    rank, channels = reader.spec(found.x).rank, reader.channels(found.x)
    inner = _moments(reader, found)
    if inner is None or rank is None or channels is None:
        return None
    weights: dict[str, Weight] = {}
    for role, edge in (("gamma", found.gamma), ("beta", found.beta)):
        made = None if edge is None else reader.vector(edge, channels)
        if edge is not None and made is None:
            return None
        if made is not None:
            weights[role] = made
    if weights and not agree(weights.values()):
        return None
    config = {"axis": -1, "epsilon": found.epsilon, "scale": "gamma" in weights, "center": "beta" in weights}
    whole = Normal(**{**vars(found), "nodes": tuple(dict.fromkeys((*found.nodes, *inner)))})
    return _tile(reader, node, whole, "LayerNormalization", config, weights)


def _tile(
    reader: Reader, node: Node, found: Normal, class_name: str, config: Mapping[str, object], weights: dict[str, Weight]
) -> Tile | None:
    if not reader.inside(found.nodes, node["name"]) or not typed(reader, node, weights.values()):
        return None
    spec, name = reader.spec(node["name"]), layer_name(weights.values(), node)

    def emit(plan: Plan, given: list[Tensor]) -> list[Tensor]:
        nodes = (*found.nodes, node["name"])
        return [plan.layer(class_name, config, given, spec, name=name, nodes=nodes, weights=weights)]

    return Tile(inputs=(found.x,), nodes=(*found.nodes, node["name"]), emit=emit, outputs=(0,))


def _moments(reader: Reader, found: Normal) -> list[str] | None:
    """The nodes that compute mean and variance over the last axis of ``x``; None if it is not that."""
    rank = reader.spec(found.x).rank
    mean, variance = reader.node(found.mean, "Mean"), reader.node(found.variance, "Mean")
    if mean is None or variance is None or mean["inputs"][0] != found.x:
        return None
    for node in (mean, variance):
        if not flag(node, "keep_dims") or reader.graph.numbers(node["inputs"][1]) not in ([-1], [(rank or 0) - 1]):
            return None
    nodes = [found.mean, found.variance]
    squared = reader.graph.node(variance["inputs"][0])
    if squared is None:
        return None
    nodes.append(squared["name"])
    if squared["op"] == "SquaredDifference":
        sides = list(squared["inputs"])
    else:
        inner = reader.node(squared["inputs"][0], "Sub")
        twice = squared["op"] == "Mul" and squared["inputs"][0] == squared["inputs"][1]
        if inner is None or not (squared["op"] == "Square" or twice):
            return None
        nodes.append(inner["name"])
        sides = list(inner["inputs"])
    if sides[0] != found.x and sides[1] == found.x:
        sides.reverse()
    stop = reader.node(sides[1], "StopGradient")
    if stop is not None:  # it changes nothing: the variance has no gradient by the mean
        nodes.append(stop["name"])
        sides[1] = stop["inputs"][0]
    return nodes if sides == [found.x, found.mean] else None


def _written_out(reader: Reader, node: Node) -> Iterator[Normal]:
    """Every way to read ``node`` as the end of a normalisation."""
    yield from _as_library(reader, node)
    yield from _by_hand(reader, node)


def _as_library(reader: Reader, node: Node) -> Iterator[Normal]:
    """``x · inv + (beta - mean · inv)``, as tf.nn.batch_normalization writes it."""
    for first, second in _orders(node) if node["op"] in _ADD else ():
        scaled = reader.node(first, "Mul")
        shift, beta, nodes = reader.node(second, "Sub", "Mul"), None, [first, second]
        if scaled is None or shift is None:
            continue
        if shift["op"] == "Sub":
            beta, inner = shift["inputs"][0], reader.node(shift["inputs"][1], "Mul")
            nodes.append(shift["inputs"][1])
        else:
            inner = shift
        if inner is None:
            continue
        for x, inv in _orders(scaled):
            found = _inverse(reader, inv)
            if found is None or inv not in inner["inputs"]:
                continue
            mean = inner["inputs"][1 - inner["inputs"].index(inv)]
            variance, epsilon, gamma, more = found
            if beta is None:
                negative = reader.node(mean, "Neg")
                if negative is None:
                    continue
                more, mean = [*more, mean], negative["inputs"][0]
            yield Normal(
                x=x, mean=mean, variance=variance, epsilon=epsilon, gamma=gamma, beta=beta, nodes=(*nodes, *more)
            )


def _by_hand(reader: Reader, node: Node) -> Iterator[Normal]:
    """``(x - mean) · rsqrt(variance + epsilon)``, or divided by the root; then ``· gamma``, then ``+ beta``."""
    pairs: list[tuple[str | None, str]] = [(None, node["name"])]
    for beta, edge in pairs + [(b, e) for e, b in (_orders(node) if node["op"] in _ADD else ())]:
        before = [] if beta is None else [edge]
        scaled = reader.graph.node(edge)
        if scaled is None or scaled["name"] != edge:
            continue
        options: list[tuple[str | None, Node, list[str]]] = [(None, scaled, before)]
        if scaled["op"] == "Mul":
            for gamma, inner in _orders(scaled):
                found = reader.node(inner, "Mul", "RealDiv")
                if found is not None:
                    options.append((gamma, found, [*before, inner]))
        for scale, core, nodes in options:
            yield from _core(reader, core, scale, beta, nodes)


def _core(reader: Reader, core: Node, gamma: str | None, beta: str | None, nodes: list[str]) -> Iterator[Normal]:
    pairs = _orders(core) if core["op"] == "Mul" else [tuple(core["inputs"][:2])] if core["op"] == "RealDiv" else []
    for left, right in pairs:
        centred = reader.node(left, "Sub")
        if centred is None:
            continue
        if core["op"] == "RealDiv":
            root = reader.node(right, "Sqrt")
            found = None if root is None else _variance(reader, root["inputs"][0])
            inverse: tuple[str, float, str | None, list[str]] | None = None
            if found is not None:
                inverse = (found[0], found[1], None, [right, *found[2]])
        else:
            inverse = _inverse(reader, right)
        if inverse is None or (gamma is not None and inverse[2] is not None):
            continue
        x, mean = centred["inputs"]
        yield Normal(
            x=x, mean=mean, variance=inverse[0], epsilon=inverse[1], gamma=gamma or inverse[2], beta=beta,
            nodes=(*nodes, left, *inverse[3]),
        )  # fmt: skip


def _inverse(reader: Reader, edge: str) -> tuple[str, float, str | None, list[str]] | None:
    """(variance, epsilon, gamma, nodes) of ``rsqrt(variance + epsilon)``, perhaps times gamma."""
    node = reader.graph.node(edge)
    if node is None or node["name"] != edge:
        return None
    if node["op"] == "Rsqrt":
        found = _variance(reader, node["inputs"][0])
        return None if found is None else (found[0], found[1], None, [edge, *found[2]])
    if node["op"] == "Mul":
        for root, gamma in _orders(node):
            inner = reader.node(root, "Rsqrt")
            found = None if inner is None else _variance(reader, inner["inputs"][0])
            if found is not None:
                return found[0], found[1], gamma, [edge, root, *found[2]]
    return None


def _variance(reader: Reader, edge: str) -> tuple[str, float, list[str]] | None:
    node = reader.node(edge, *_ADD)
    for variance, added in _orders(node) if node is not None else ():
        epsilon = reader.uniform(added)
        if epsilon is not None and reader.graph.spec(added).shape == ():
            return variance, epsilon, [edge]
    return None


def _orders(node: Node) -> list[tuple[str, str]]:
    first, second = node["inputs"][:2]
    return [(first, second), (second, first)]
