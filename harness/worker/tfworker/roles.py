"""Which variable of a layer is which: canonical roles such as ``kernel`` or ``forward/recurrent_kernel``.

A role is the name of the attribute that holds the variable, below the wrappers that matter: ``forward/``
and ``backward/`` for Bidirectional, ``cells/0/`` for stacked cells. RNN cells and TimeDistributed are
transparent. Order, variable names and uniquifying suffixes differ between versions; roles do not. Of a layer that is
made of code, a weight deeper inside goes by its name below the layer, such as ``dense.kernel``.
"""

from typing import Any, List, Tuple

from . import compat_target
from .arrays import sha256_array

Role = Tuple[str, Any]


def roles_of(layer: Any) -> List[Role]:
    """(role, variable) of every weight of a layer that is no nested model, each variable once."""
    found, seen = [], set()  # type: List[Role], Any
    for role, variable in _walk(layer, ""):
        if id(variable) not in seen:
            seen.add(id(variable))
            found.append((role, variable))
    return _unique(found)


def digests_of(keras: Any, model: Any) -> List[List[str]]:
    """[layer names and role, sha256] of every weight of a target's model.

    Not by ``variable.path``: that names scopes of the moment of building, which loading does not repeat.
    """
    found = roles_of(model)
    arrays = compat_target.values(keras, [variable for _, variable in found])
    return [[role, sha256_array(array)] for (role, _), array in zip(found, arrays)]


def _unique(found: List[Role]) -> List[Role]:
    counts = {}  # type: Dict[str, int]
    out = []
    for role, variable in found:
        counts[role] = counts.get(role, 0) + 1
        out.append((role if counts[role] == 1 else "%s_%d" % (role, counts[role]), variable))
    return out


def _walk(layer: Any, prefix: str) -> List[Role]:
    if hasattr(layer, "roles"):  # a carried layer names its weights itself
        return [(prefix + role, variable) for role, variable in layer.roles()]
    found = [(prefix + _attribute(layer, v), v) for v in _own(layer)]
    for extra, child in _children(layer):
        found.extend(_walk(child, prefix + extra))
    if type(layer).__module__.split(".")[0] not in OWN:
        seen = {id(v) for _, v in found}
        found += [(prefix + below(layer.name, name_of(v)), v) for v in layer.weights if id(v) not in seen]
    return found


#: packages that Keras comes in
OWN = ("keras", "tensorflow", "tf_keras", "tensorflow_core", "harness_layers")


def name_of(variable: Any) -> str:
    """The whole name of a variable: in Keras 3 its path."""
    return str(getattr(variable, "path", None) or variable.name).split(":")[0]


def below(layer: str, name: str) -> str:
    """A variable's name below a layer of a name, in the form in which Keras 3 takes names: no slashes."""
    parts = name.split("/")
    own = [i for i, part in enumerate(parts[:-1]) if part == layer or part.rpartition("_")[0] == layer]
    return ".".join(parts[own[0] + 1 :] if own else parts)


def _own(layer: Any) -> List[Any]:
    own = []
    for name in ("_trainable_weights", "_trainable_variables", "_non_trainable_weights", "_non_trainable_variables"):
        own.extend(v for v in getattr(layer, name, []) if not any(v is o for o in own))
    return [v for v in own if "seed_generator" not in str(getattr(v, "path", ""))]


def _children(layer: Any) -> List[Any]:
    """(role prefix, sub-layer) of the structures whose inner layers hold the weights."""
    if hasattr(layer, "forward_layer") and hasattr(layer, "backward_layer"):
        return [("forward/", layer.forward_layer), ("backward/", layer.backward_layer)]
    cells = getattr(layer, "cells", None)
    if isinstance(cells, (list, tuple)) or type(cells).__name__ == "ListWrapper":
        return [("cells/%d/" % i, cell) for i, cell in enumerate(cells)]
    if type(layer).__name__ == "MultiHeadAttention":
        return [("%s/" % name, getattr(layer, "_%s_dense" % name)) for name in ("query", "key", "value", "output")]
    if getattr(layer, "cell", None) is not None:
        return [("", layer.cell)]
    if hasattr(layer, "layers"):
        return [("%s/" % inner.name, inner) for inner in layer.layers]
    if type(layer).__name__ == "TimeDistributed":
        return [("", layer.layer)]
    return []


def _attribute(layer: Any, variable: Any) -> str:
    for name, value in vars(layer).items():
        if value is variable:
            return name.lstrip("_")
    return str(variable.name).split("/")[-1].split(":")[0]
