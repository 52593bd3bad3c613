"""Units that lie within rounding of the knee of their activation: on which side they are decides gradients, not outputs.

A large network has a million units; in float32 some always lie so near to zero that the source and this TensorFlow, which
round otherwise, disagree about their sign. Outputs do not notice, gradients jump. ``Knees`` looks for such units and asks
whether the recorded gradient comes out, within its bound, when some of them are moved across, by no more than rounding.
That is evidence on those units, and no wider bound for anything.
"""

from typing import Any, Callable, Dict, List

import numpy as np

#: units that are tried, the nearest first
MOST = 48


class Knees(object):
    """A model whose activations can be nudged; the weights are those of ``model``."""

    def __init__(self, keras: Any, model: Any) -> None:
        nudges = self.nudges = {}  # type: Dict[str, Any]

        class Nudge(keras.layers.Layer):  # type: ignore[misc]
            amount = None  # type: Any

            def call(self, x: Any) -> Any:
                self.seen = x
                return x if self.amount is None else x + self.amount

        def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
            if not _places(layer):
                return layer(*args, **kwargs)
            name = layer.name if layer.name not in nudges else "%s_%d" % (layer.name, len(nudges))
            nudges[name] = (Nudge(name=name + "_nudge"), _places(layer))
            return layer(nudges[name][0](args[0]), *args[1:], **kwargs)

        self.model = keras.models.clone_model(model, clone_function=lambda layer: layer, call_function=call)

    def matched(
        self, gradients: Callable[[Any], List[Any]], expected: List[Any], reach: float, bound: float
    ) -> Dict[str, Any]:
        """``units`` that had to be moved, and the ``gradients`` then.

        ``gradients`` gives those of a model; ``expected`` are the recorded ones. A unit counts as on the knee within
        ``reach`` of the largest value beside it.
        """
        found = gradients(self.model)
        largest = max(float(np.abs(array).max()) if array.size else 0.0 for array in expected)
        scales = [max(float(np.abs(array).max()) if array.size else 0.0, 1e-2 * largest, 1e-30) for array in expected]

        def off(made: List[Any]) -> Any:
            return np.concatenate([((e - g) / s).ravel() for e, g, s in zip(expected, made, scales)])

        error, moved = off(found), []  # type: Any, List[Any]
        for distance, name, index, amount in self._candidates(reach):
            if np.abs(error).max() <= bound:
                break
            self._move(name, index, amount)
            made = gradients(self.model)
            after = off(made)
            if np.dot(after, after) < np.dot(error, error):
                found, error = made, after
                moved.append({"layer": name, "unit": list(map(int, index)), "distance": float(distance)})
            else:
                self._move(name, index, -amount)
        return {"units": moved, "gradients": found}

    def _candidates(self, reach: float) -> List[Any]:
        """(distance as a share of the largest value, layer, index, what moves it across), the nearest first."""
        rows = []
        for name, (nudge, places) in self.nudges.items():
            values = np.asarray(nudge.seen)
            scale = float(np.abs(values).max()) if values.size else 0.0
            for place in places:
                distances = values - np.float32(place)
                near = np.nonzero((np.abs(distances) <= reach * scale) & (distances != 0))
                for index in zip(*near):
                    distance = float(distances[index])
                    step = abs(distance) + max(abs(distance), 1e-7 * max(abs(place), scale * 1e-3))
                    rows.append((abs(distance) / scale, name, index, -np.sign(distance) * step))
        return sorted(rows, key=lambda row: row[0])[:MOST]

    def _move(self, name: str, index: Any, amount: float) -> None:
        nudge = self.nudges[name][0]
        total = np.zeros(nudge.seen.shape, "float32") if nudge.amount is None else nudge.amount
        total[index] += amount
        nudge.amount = total if total.any() else None


def _places(layer: Any) -> List[float]:
    """Where the slope of an activation jumps."""
    kind = type(layer).__name__
    if kind == "ReLU":
        return [0.0] + ([float(layer.max_value)] if layer.max_value is not None else [])
    if kind == "LeakyReLU":
        return [0.0]
    if kind == "Activation" and getattr(layer.activation, "__name__", "") in ("relu", "relu6", "selu", "leaky_relu"):
        return [0.0]
    return []
