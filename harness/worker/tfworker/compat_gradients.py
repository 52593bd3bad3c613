"""Gradients of outputs by weights in every TensorFlow from 1.12 to 2.15: a graph once, or a tape each time."""

from contextlib import contextmanager
from typing import Any, Callable, Iterable, Iterator, List

import numpy as np

from . import compat, compat_keras3

_NORMALIZATIONS = ("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3")


class Reach(object):
    """Which elements of the weights move outputs by more than a bound; see ``sensitivity`` for the measure.

    ``groups`` are (tensors, bounds) that are summed in one backward pass each; ``steps`` is by how much each of the
    ``variables`` is changed.
    """

    def __init__(
        self, keras: Any, model: Any, groups: List[Any], variables: List[Any], steps: List[float], random: Any
    ) -> None:
        self.tf = compat.import_tensorflow()
        self.inputs, self.groups, self.variables, self.steps = compat.input_tensors(model), groups, variables, steps
        if compat_keras3.is_model(model):
            self.variables = [variable.value for variable in variables]
        self.random = random
        executing = getattr(self.tf, "executing_eagerly", None)
        self.eager = bool(executing and executing()) and not self.tf.__version__.startswith("1.")
        if self.eager:
            self.models = [keras.Model(self.inputs, list(tensors)) for tensors, _ in groups]
        else:
            with moving_statistics(self.tf):
                self._make(keras)

    def run(self, arrays: List[Any], group: int) -> List[Any]:
        """A mask for each variable, or None where nothing depends on it."""
        if self.eager:
            return self._taped(arrays, group)
        switch = np.arange(len(self.groups)) == group
        values = dict(zip(self.places, self.masks(list(arrays) + [switch])))
        return [values.get(i) for i in range(len(self.variables))]

    def _make(self, keras: Any) -> None:
        """One graph of gradients for all groups, each with a switch."""
        tf = self.tf
        switch = tf.placeholder(tf.bool, [len(self.groups)])
        sums = [self._sum(*group) for group in self.groups]
        total = tf.reduce_sum(tf.where(switch, tf.stack(sums), tf.zeros([len(sums)])))
        gradients = tf.gradients(total, self.variables)
        self.places = [i for i, gradient in enumerate(gradients) if gradient is not None]
        masks = [self._mask(gradients[i], self.steps[i]) for i in self.places]
        self.masks = compat.evaluator(keras, list(self.inputs) + [switch], masks)

    def _taped(self, arrays: List[Any], group: int) -> List[Any]:
        tf = self.tf
        given = [tf.constant(a) for a in arrays]
        model, bounds = self.models[group], self.groups[group][1]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            for variable in self.variables:
                tape.watch(variable)
            values = compat.flatten(model(given if len(given) > 1 else given[0], training=False))
            total = self._sum(values, bounds)
        with moving_statistics(tf):
            gradients = tape.gradient(total, self.variables)
        return [None if g is None else self._mask(g, s).numpy() for g, s in zip(gradients, self.steps)]

    def _mask(self, gradient: Any, step: float) -> Any:
        tf = self.tf
        return tf.abs(tf.cast(tf.convert_to_tensor(gradient), "float32")) * step > 1.0

    def _sum(self, tensors: List[Any], bounds: List[float]) -> Any:
        """The sum over tensors of c * y in units of what is noticed, the units being constants to the gradient."""
        tf, total = self.tf, self.tf.constant(0.0)
        random = tf.constant(self.random)
        for tensor, bound in zip(tensors, bounds):
            y = tf.cast(tensor, "float32")
            shape = tf.shape(y)
            size = tf.reduce_prod(shape)
            factors = tf.reshape(tf.gather(random, tf.range(size) % len(self.random)), shape)
            channels = shape[-1] if len(y.shape) > 1 else 1
            positions = tf.cast(size, "float32") / tf.cast(channels, "float32")
            largest = tf.reduce_max(tf.abs(y))
            largest = tf.where(largest > 0, largest, tf.ones_like(largest))
            unit = tf.stop_gradient(largest * tf.sqrt(positions) * bound)
            part = tf.reduce_sum(factors * y) / unit
            total = total + part
        return total


@contextmanager
def moving_statistics(tf: Any) -> Iterator[None]:
    """Fused batch normalisation differentiated by its moving averages too, which TensorFlow itself leaves out.

    With x' = (x - mean) / sqrt(variance + eps), y = scale * x' + offset:
    dL/dmean = -scale / sqrt(variance + eps) * dL/doffset, dL/dvariance = -scale / (2 (variance + eps)) * dL/dscale.
    """

    def extended(function: Any) -> Any:
        def gradient(op: Any, *grads: Any) -> Any:
            found = list(function(op, *grads))
            if op.get_attr("is_training") or found[1] is None or found[2] is None:
                return found
            scale, variance = op.inputs[1], op.inputs[4]
            inverse = 1.0 / (variance + op.get_attr("epsilon"))
            found[3] = -scale * tf.sqrt(inverse) * found[2]
            found[4] = -0.5 * scale * inverse * found[1]
            return found

        return gradient

    with replaced_gradients(_NORMALIZATIONS, extended):
        yield


@contextmanager
def replaced_gradients(operations: Iterable[str], extended: Callable[[Any], Any]) -> Iterator[None]:
    """The registered gradients of some operations replaced by what ``extended`` makes of each."""
    from tensorflow.python.framework import ops

    registry = getattr(ops, "_gradient_registry", None) or ops.gradient_registry
    kept = [registry._registry[name] for name in operations if name in registry._registry]
    functions = [entry["type"] for entry in kept]
    for entry, function in zip(kept, functions):
        entry["type"] = extended(function)
    try:
        yield
    finally:
        for entry, function in zip(kept, functions):
            entry["type"] = function
