"""Operations that TensorFlow has no CPU kernel for in float64, computed by those that it has.

Convolutions and pools with the channels first go through transpositions; a 3D pool is one over height and width, then
one over depth: a maximum of maxima, or a mean of means, as every window counts the same positions of the padded box.
"""

import functools
import importlib
import inspect
from typing import Any, List

from . import compat

#: by operation, the argument that holds the values
_VALUES = {
    "conv2d": "input",
    "depthwise_conv2d_native": "input",
    "max_pool": "input",
    "avg_pool": "value",
    "conv3d": "input",
    "conv2d_backprop_input": "out_backprop",
    "conv3d_backprop_input_v2": "out_backprop",
    "max_pool3d": "input",
    "avg_pool3d": "input",
}
_FLAT = {"max_pool3d": "max_pool", "avg_pool3d": "avg_pool"}
#: arguments with one number for each axis
_BY_AXIS = ("strides", "dilations", "ksize")
_HOMES = ("gen_nn_ops", "nn_ops", "nn_impl", "nn")


def replaced(public: List[Any]) -> List[Any]:
    """(module, name, function) of what stands in for these operations, in TensorFlow's own modules and ``public`` ones."""
    homes = [importlib.import_module("tensorflow.python.ops." + name) for name in _HOMES] + public
    plain = {name: getattr(homes[0], name) for name in _VALUES}
    found = []
    for name, function in plain.items():
        new = _channels_last(name, function if name not in _FLAT else _by_planes(function, plain[_FLAT[name]]))
        found += [(home, name, new) for home in homes if getattr(home, name, None) is function]
    return found


def _channels_last(name: str, function: Any) -> Any:
    """The operation with the channels last, between transpositions where they come first."""
    signature, values = inspect.signature(function), _VALUES[name]

    @functools.wraps(function)
    def call(*args, **kwargs):  # type: (*Any, **Any) -> Any
        bound = signature.bind(*args, **kwargs)
        given = dict(bound.arguments)
        if not str(given.get("data_format") or "").startswith("NC"):
            return function(**given)
        tf = compat.import_tensorflow()
        rank = len(given["data_format"])
        last, first = [0] + list(range(2, rank)) + [1], [0, rank - 1] + list(range(1, rank - 1))
        given["data_format"] = "N%sC" % "DHW"[5 - rank :]
        given[values] = tf.transpose(given[values], last)
        given.update({key: [given[key][i] for i in last] for key in _BY_AXIS if given.get(key) is not None})
        if given.get("explicit_paddings"):
            pads = list(given["explicit_paddings"])
            given["explicit_paddings"] = [number for i in last for number in pads[2 * i : 2 * i + 2]]
        if "input_sizes" in given:
            given["input_sizes"] = tf.gather(given["input_sizes"], last)
        return tf.transpose(function(**given), first)

    return call


def _by_planes(function: Any, flat: Any) -> Any:
    """A 3D pool made of ``flat`` ones of two dimensions."""

    @functools.wraps(function)
    def call(**given):  # type: (**Any) -> Any
        tf, x = compat.import_tensorflow(), given["input"]
        values = list(inspect.signature(flat).parameters)[0]

        def pool(planes, take):  # type: (Any, Any) -> Any
            numbers = {key: [1] + take(list(given[key])) + [1] for key in ("ksize", "strides")}
            return flat(**dict(numbers, **{values: planes, "padding": given["padding"]}))

        _, d, h, w, c = _sizes(tf, x)
        x = pool(tf.reshape(x, [-1, h, w, c]), lambda numbers: numbers[2:4])
        _, h, w, _ = _sizes(tf, x)
        x = pool(tf.reshape(x, [-1, d, h * w, c]), lambda numbers: [numbers[1], 1])
        return tf.reshape(x, [-1, _sizes(tf, x)[1], h, w, c])

    return call


def _sizes(tf: Any, x: Any) -> List[Any]:
    """The size of each axis, as a number where it is known."""
    known, live = x.shape.as_list(), tf.shape(x)  # type: List[Any], Any
    return [live[i] if size is None else size for i, size in enumerate(known)]
