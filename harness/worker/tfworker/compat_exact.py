"""What one TensorFlow rounds to float32 and another does not, in a model that is computed in float64.

Both sides of a proof compute the same function only if each number is the same on both. Python's numbers are kept as
they are written, except slopes: the attribute of TensorFlow's ``leaky_relu`` holds them in float32, so all do.
"""

import functools
import importlib
from typing import Any, List, Tuple

import numpy as np

from . import compat, compat_kernels, compat_training


def exact_numbers() -> Any:
    """Let ``cast`` keep Python's numbers (it makes float32 of them first), ``leaky_relu`` round its slope, ``zeros`` be float64.

    TensorFlow 1.12 multiplies by the slope in the type of what it is given; later the slope is an attribute, in float32
    whatever the types are. Returns a function that undoes it.
    """
    tf = compat.import_tensorflow()
    own, nn = (importlib.import_module("tensorflow.python.ops." + name) for name in ("math_ops", "nn_ops"))
    cast, leaky_relu = own.cast, nn.leaky_relu

    @functools.wraps(cast)
    def exact(x, dtype, name=None):  # type: (Any, Any, Any) -> Any
        return tf.constant(x, dtype=dtype) if isinstance(x, float) else cast(x, dtype, name)

    @functools.wraps(leaky_relu)
    def rounded(features, alpha=0.2, name=None):  # type: (Any, Any, Any) -> Any
        return leaky_relu(features, _single(alpha), name)

    star = importlib.import_module("tensorflow.python.ops.nn")
    arrays = importlib.import_module("tensorflow.python.ops.array_ops")
    public = _public(tf)
    changed = [(home, "cast", exact) for home in [own] + public]
    changed += [(home, "leaky_relu", rounded) for home in [nn, star] + [home.nn for home in public]]
    for name in ("zeros", "ones"):
        changed += [(home, name, _double_by_default(getattr(arrays, name))) for home in [arrays] + public]
    return _replaced(changed)


def _double_by_default(function: Any) -> Any:
    """``zeros`` or ``ones`` in float64 where no type is named: ConvLSTM2D names none."""

    @functools.wraps(function)
    def made(shape, dtype="float64", *args, **kwargs):  # type: (Any, Any, *Any, **Any) -> Any
        return function(shape, dtype, *args, **kwargs)

    return made


def _single(number: Any) -> Any:
    return float(np.float32(number)) if isinstance(number, (float, np.ndarray)) else number


def _public(tf: Any) -> List[Any]:
    """The modules under which users find TensorFlow's functions; Keras 2.15 goes through ``compat.v2``."""
    found = getattr(tf, "compat", None)
    homes = [tf] + [getattr(found, name) for name in ("v1", "v2") if hasattr(found, name)]
    return [home for home in homes if hasattr(home, "cast") and hasattr(home, "nn")]


def kernels() -> Any:
    """Have operations without a CPU kernel in float64 computed by others; returns a function that undoes it."""
    return _replaced(compat_kernels.replaced([home.nn for home in _public(compat.import_tensorflow())]))


def double_convolutions(keras: Any) -> Any:
    """Standalone Keras up to 2.1 casts what it convolves from float64 to float32: a function that lets it do so again."""
    home = importlib.import_module("keras.backend.tensorflow_backend") if compat_training.is_standalone(keras) else None
    names = ["_preprocess_conv%dd_input" % rank for rank in (1, 2, 3)]
    return _replaced([(home, name, _taken_for_single(home, name)) for name in names if hasattr(home, name)])


def _taken_for_single(home: Any, name: str) -> Any:
    """A function of Keras's backend to which every tensor is float32, so that it leaves the type as it is."""
    function = getattr(home, name)

    @functools.wraps(function)
    def call(*args, **kwargs):  # type: (*Any, **Any) -> Any
        kept, home.dtype = home.dtype, lambda x: "float32"
        try:
            return function(*args, **kwargs)
        finally:
            home.dtype = kept

    return call


def _replaced(changed: List[Tuple[Any, str, Any]]) -> Any:
    """Set attributes; returns a function that puts the old ones back."""
    kept = [(home, name, getattr(home, name)) for home, name, _ in changed if hasattr(home, name)]
    for home, name, value in changed:
        if hasattr(home, name):
            setattr(home, name, value)

    def undo():  # type: () -> None
        for home, name, value in reversed(kept):
            setattr(home, name, value)

    return undo


def least_fused_epsilon() -> float:
    """What the fused kernel raises a smaller epsilon to: cuDNN's minimum, on every device, up to TF 2.3."""
    version = tuple(int(part) for part in compat.import_tensorflow().__version__.split(".")[:2])
    return 1.001e-5 if version <= (2, 3) else 0.0


def plain_batch_norm(keras: Any) -> Any:
    """Standalone Keras calls the fused kernel, which has no double form: a function that puts it back afterwards.

    In its place stands what the kernel computes, the N/(N-1) of its variance included.
    """
    tf = compat.import_tensorflow()

    def plain(x, scale, offset, mean=None, variance=None, epsilon=0.001, data_format="NHWC", is_training=True):
        # type: (Any, Any, Any, Any, Any, float, str, bool) -> Any
        axes = [0, 1, 2] if data_format == "NHWC" else [0, 2, 3]
        shape = [1, 1, 1, -1] if data_format == "NHWC" else [1, -1, 1, 1]
        if is_training:
            mean, variance = tf.nn.moments(x, axes)
        # Keras 2.3 fills a missing scale or offset in with float32.
        parts = [tf.reshape(tf.cast(part, x.dtype), shape) for part in (mean, variance, offset, scale)]
        y = tf.nn.batch_normalization(x, parts[0], parts[1], parts[2], parts[3], max(epsilon, least_fused_epsilon()))
        if not is_training:
            return y, mean, variance
        count = tf.cast(tf.size(x) / tf.size(mean), x.dtype)
        return y, mean, variance * count / tf.maximum(count - 1, 1)

    homes = [tf.nn] + ([tf.compat.v1.nn] if hasattr(getattr(tf, "compat", None), "v1") else [])
    changed = [(home, "fused_batch_norm", plain) for home in homes]
    if compat_training.is_standalone(
        keras
    ):  # Keras 2.3 casts the size of its samples to float32 whatever its inputs are
        cast = keras.backend.cast
        changed.append((keras.backend, "cast", lambda x, dtype: cast(x, "float64" if dtype == "float32" else dtype)))
    return _replaced(changed)
