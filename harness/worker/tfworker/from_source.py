"""Layers made of code that are rebuilt from source which a person supplies for the target (``--target-objects``).

The plan holds, for every carried layer, what a native layer of its class would be made of: ``supplied``::

    supplied = {"class_name", "config", "calls"}    or    {"reason"} where its config has no form in this Keras

A class is made by its own ``from_config``, a Lambda from the function of its layer's name. Its weights are paired with
the recorded ones, and its computation is compared with the recorded one, values and gradients, in both phases.
"""

import contextlib
import inspect
from typing import Any, Dict, Iterator, List, Tuple

from . import compat, compat_target, custom, topology
from .errors import Refusal
from .foreign_code import entries
from .roles import OWN, below, name_of

FLAG = "--target-objects"
#: name of the module that the file is loaded as, and of the file that stands beside the model
MODULE = "target_objects"
WAY = "source"


def load(request: Dict[str, Any]) -> Dict[str, Any]:
    """Classes and functions that the file ``objects`` of a request defines. Raises Refusal custom-objects-invalid."""
    found = custom.load_objects(request.get("objects"), FLAG, MODULE)
    return {key: value for key, value in found.items() if callable(value) and _home(value) == MODULE}


def _home(value: Any) -> Any:
    return getattr(value, "__module__", None)


def prepare(keras: Any, graph: Dict[str, Any], objects: Dict[str, Any], arguments: Any) -> None:
    """Make the layers that ``objects`` has the source of: ``live`` and ``way`` in their entries.

    Raises Refusal: code-missing with every class and function that is not there, and every argument that was not saved;
    custom-objects-invalid with every layer that cannot be made.
    """
    wanted = [(path, layer) for path, layer in topology.leaves(graph) if "supplied" in layer]
    if not objects or not wanted:
        return
    known, lacking = compat.known_layers(keras), _Lacking()
    ready, gaps = [], []  # type: List[Any], List[str]
    for path, layer in wanted:
        supplied = layer["supplied"]
        if layer["carried"].get("random"):
            supplied = layer["supplied"] = {"reason": "it draws random numbers, which only its record can be given"}
        if "config" not in supplied or (layer["origin"] == "Lambda" and path[-1] not in objects):
            continue  # the record of it stays
        _supply(supplied, path[-1], arguments or {})
        lacking.look(path, layer, objects, known, keras)
        found = [(name, entry["class_name"], entry["config"]) for name, entry in entries(supplied, path[-1])]
        gaps += custom.constructor_gaps(objects, found)
        ready.append((path, layer))
    stuck = ["%s (class %s): %s" % ("/".join(path), layer["origin"], layer["supplied"]["reason"])
             for path, layer in wanted if "reason" in layer["supplied"]]  # fmt: skip
    if stuck and compat_target.has_sessions():  # TensorFlow 1 takes no records
        raise Refusal("layer-unsupported", "%d layers cannot be made from their source" % len(stuck), stuck)
    lacking.refuse()
    if gaps:
        raise Refusal("code-missing", "%d layers were saved without the arguments that made them" % len(gaps), gaps,
                      custom.ARGUMENTS % gaps[0].split(" (class")[0])  # fmt: skip
    problems = []
    for path, layer in ready:
        try:
            with scope(keras, objects):
                layer["live"] = _made(keras, layer, objects, path[-1])
            if not isinstance(layer["live"], keras.layers.Layer):
                base = next(c for c in type(layer["live"]).mro() if _home(c) != MODULE)
                raise TypeError("it is a %s of %s, not a layer of %s" % (
                    base.__name__, base.__module__, keras.layers.Layer.__module__))  # fmt: skip
            forget_shapes(keras, layer["live"])
        except Exception as error:
            problems.append("%s (class %s): %s: %s" % (
                "/".join(path), layer["origin"], type(error).__name__, str(error).strip()[:500]))  # fmt: skip
            continue
        layer.update(way=WAY, class_name=layer["supplied"]["class_name"], config=layer["supplied"]["config"])
        layer["calls"] = layer["supplied"]["calls"]
    if problems:
        raise Refusal("custom-objects-invalid", "%d layers cannot be made from their source" % len(problems), problems)


def kept(graph: Dict[str, Any]) -> List[str]:
    """Why layers stay carried although source is supplied, a line each."""
    return ["%s: carried over although source was given: %s" % ("/".join(layer["source_path"]), layer["supplied"]["reason"])
            for _, layer in topology.leaves(graph) if "reason" in layer.get("supplied", ())]  # fmt: skip


def forget_shapes(keras: Any, live: Any) -> None:
    """Have a layer that makes its inner layers' weights in its first call do so again after loading.

    Keras 3 saves the shape that a layer was built for and, in loading, only calls its ``build``; a class without one
    then counts as built, its inner layers have no weights, and the file does not load.
    """
    default = getattr(type(live).build, "_is_default", False)
    if compat_target.is_keras3(keras) and default and getattr(live, "_layers", None):
        live.get_build_config = lambda: None


def _supply(entry: Dict[str, Any], name: str, arguments: Dict[str, Any]) -> None:
    for here, inner in entries(entry, name):
        for key in (inner["class_name"], here):
            if key in arguments and isinstance(inner["config"], dict):
                inner["config"].update(arguments[key])


@contextlib.contextmanager
def scope(keras: Any, objects: Dict[str, Any]) -> Iterator[None]:
    """Let Keras find the supplied objects by name."""
    with (keras.saving if compat_target.is_keras3(keras) else keras.utils).custom_object_scope(objects):
        yield


def _made(keras: Any, layer: Dict[str, Any], objects: Dict[str, Any], name: str) -> Any:
    class_name, config = layer["supplied"]["class_name"], dict(layer["supplied"]["config"])
    config["name"] = layer["name"]
    if class_name == "Lambda":
        return keras.layers.Lambda(objects[name], arguments=config.get("arguments") or {}, name=layer["name"])
    if class_name not in objects:
        return compat_target.deserialize(keras, {"module": "keras.layers", "class_name": class_name, "config": config})
    made = objects[class_name]
    if not inspect.isclass(made):
        return made(**config)
    lost = {key: config.pop(key) for key in ("name", "trainable", "dtype") if not _takes(made, key)}
    live = made.from_config(config)
    if "name" in lost:
        live._name = live.name = layer["name"]  # its constructor takes none
    if lost.get("trainable") is False:
        live.trainable = False
    return live


def _takes(made: Any, key: str) -> bool:
    """Whether the constructor of a class, or its own from_config, takes an argument."""
    parameters = inspect.signature(made.__init__).parameters
    kinds = [p.kind for p in parameters.values()]
    return "from_config" in vars(made) or key in parameters or inspect.Parameter.VAR_KEYWORD in kinds


class _Lacking:
    """Classes and functions that the file does not have, with the layers that need them."""

    def __init__(self) -> None:
        self.classes, self.functions = {}, {}  # type: Dict[str, List[Any]], Dict[str, List[str]]

    def look(self, path: Any, layer: Dict[str, Any], objects: Dict[str, Any], known: Any, keras: Any) -> None:
        for name, entry in entries(layer["supplied"], path[-1]):
            here = "/".join(path) + ("" if name == path[-1] else "/" + str(name))
            if entry["class_name"] not in objects and entry["class_name"] not in known:
                self.classes.setdefault(entry["class_name"], []).append((here, entry["config"], layer["carried"]))
            for key in ("activation", "recurrent_activation"):
                value = entry["config"].get(key) if isinstance(entry["config"], dict) else None
                if not isinstance(value, str) or value in objects or hasattr(keras.activations, value):
                    continue
                own = "%s_%s" % (path[-1], key)
                if own in objects:
                    entry["config"][key] = own
                else:
                    self.functions.setdefault(value if value.isidentifier() else own, []).append(
                        "the %s of %s" % (key, here)
                    )

    def refuse(self) -> None:
        """Raises Refusal code-missing if there are any."""
        details = ["%s (class %s): no source for this class in the target" % (user, name)
                   for name, users in sorted(self.classes.items()) for user, _, _ in users]  # fmt: skip
        details += ["%s: no source for the function %s in the target" % (user, name)
                    for name, users in sorted(self.functions.items()) for user in users]  # fmt: skip
        if not details:
            return
        lines = ["Add them to the file given with %s, written for Keras 3, or leave the option out: the layers are then "
                 "carried over as graphs. To be filled in:" % FLAG, "", "import keras", "from keras import ops"]  # fmt: skip
        for name, users in sorted(self.classes.items()):
            lines += _class_stub(name, [user for user, _, _ in users], *users[0][1:])
        for name, functions in sorted(self.functions.items()):
            lines += ["", "", "def %s(x):  # %s" % (name, ", ".join(functions)), "    ..."]
        raise Refusal(
            "code-missing", "%d layers have no source for the target" % len(details), details, "\n".join(lines)
        )


def _class_stub(name: str, users: List[str], config: Any, carried: Dict[str, Any]) -> List[str]:
    """A class with the arguments that the config holds and the weights that were recorded."""
    own = [key for key in config if key not in _BASE and key.isidentifier()] if isinstance(config, dict) else []
    given = "".join(", %s" % key for key in own)
    lines = ["", "", "@keras.saving.register_keras_serializable()", "class %s(keras.layers.Layer):  # %s" % (
        name, ", ".join(users)), "    def __init__(self%s, **kwargs):" % given, "        super().__init__(**kwargs)"]  # fmt: skip
    lines += ["        self.%s = %s" % (key, key) for key in own]
    rows = [row for row in carried["weights"] if not row["hidden"]]
    if rows:
        lines += ["", "    def build(self, input_shape):"]
        for row in rows:
            attribute = row["role"].replace(".", "_")
            frozen = "" if row["trainable"] else ", trainable=False"
            lines.append("        self.%s = self.add_weight(name=%r, shape=%r%s)" % (
                attribute, attribute, tuple(row["shape"]), frozen))  # fmt: skip
    lines += ["", "    def call(self, x):", "        ..."]
    if own:
        pairs = ", ".join('"%s": self.%s' % (key, key) for key in own)
        lines += ["", "    def get_config(self):", "        return {**super().get_config(), %s}" % pairs]
    return lines


_BASE = ("name", "trainable", "dtype", "batch_input_shape")


def used(model: Any) -> List[str]:
    """Names of the layers of a model without whose Python source it does not load."""
    functions = ("activation", "recurrent_activation", "function")
    layers = model._flatten_layers(include_self=False)
    return [
        layer.name
        for layer in layers
        if _is_code(type(layer)) or any(_is_code(getattr(layer, key, None)) for key in functions)
    ]


def _is_code(value: Any) -> bool:
    return callable(value) and str(_home(value)).split(".")[0] not in OWN


def call(layer: Dict[str, Any], live: Any, inputs: List[Any], function: Any, *arguments: Any) -> Any:
    """What ``function`` gives; an error of a layer that was made from source is a Refusal with its name."""
    if layer.get("way") != WAY:
        return function(*arguments)
    try:
        outputs = function(*arguments)
        if any(not getattr(inner, "built", True) for inner in getattr(live, "_layers", ())):
            compat_target.trace(live, inputs)  # Keras only warned of what went wrong inside
        return outputs
    except Refusal:
        raise
    except Exception as error:
        message = "the layer %r (class %s), made from its source, cannot be called" % (layer["name"], layer["origin"])
        raise Refusal("custom-objects-invalid", message, ["%s: %s" % (type(error).__name__, str(error).strip()[:1500])])


def roles(layer: Dict[str, Any], live: Any) -> List[Tuple[str, Any]]:
    """(recorded role, weight) of a layer that was made from source; ``by`` in its entry says how they were paired.

    By name where names below the layer say the same on both sides (numbers that Keras appends count by rank), by order
    for the rest. What has no partner of its shape keeps a name that no recorded weight has.
    """
    weights = list(live.trainable_weights) + list(live.non_trainable_weights)
    found = [_Weight(below(live.name, name_of(v)), [int(d) for d in v.shape], v) for v in weights]
    own, hidden = (
        [_Weight(r["role"], list(r["shape"]), r["role"]) for r in layer["carried"]["weights"] if r["hidden"] == kind]
        for kind in (False, True)
    )
    pairs = _paired(hidden, found, _Weight.stem)  # counters of averages, where the source has them too
    for key in (_Weight.stem, _Weight.leaf):
        pairs += _paired(own, found, key)
    layer["by"] = "name"
    if own and len(own) == len(found) and all(a.shape == b.shape for a, b in zip(own, found)):
        pairs += list(zip(own, found))
        layer["by"] = "order"
        own, found = [], []
    layer["dropped"] = [row.held for row in hidden]
    return [(a.held, b.held) for a, b in pairs] + [("(new) " + row.name, row.held) for row in found]


class _Weight(object):
    """A weight's name below its layer, its shape, and what it stands for."""

    def __init__(self, name: str, shape: List[int], held: Any) -> None:
        self.name, self.shape, self.held = name, shape, held

    def stem(self) -> str:
        """The name without the numbers that Keras appends."""
        return ".".join(_split(part)[0] for part in self.name.split("."))

    def leaf(self) -> str:
        """The last part of the name, without its number."""
        return self.stem().rpartition(".")[2]

    def rank(self) -> List[int]:
        """The numbers."""
        return [_split(part)[1] for part in self.name.split(".")]


def _split(part: str) -> Tuple[str, int]:
    head, _, tail = part.rpartition("_")
    return (head, int(tail)) if head and tail.isdigit() else (part, 0)


def _paired(given: List[Any], found: List[Any], key: Any) -> List[Any]:
    """Pairs of weights whose names say the same, taken out of both lists: groups of equal size, by rank."""
    pairs = []
    for name in sorted({key(row) for row in given}):
        left = sorted([row for row in given if key(row) == name], key=_Weight.rank)
        right = sorted([row for row in found if key(row) == name], key=_Weight.rank)
        if len(left) == len(right) and [r.shape for r in left] == [r.shape for r in right]:
            if key is _Weight.leaf and len(left) > 1:
                continue  # one name at several places: order tells
            pairs += list(zip(left, right))
    for a, b in pairs:
        given.remove(a)
        found.remove(b)
    return pairs
