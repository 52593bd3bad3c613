"""Masks that the old Keras carried where Keras 3 would carry another one, or none.

A merge of masked inputs used to be masked where all of its masked inputs are; Keras 3 takes "any", and
nothing at all if one input has no mask. The plan marks such layers with ``mask_rule``: the mask is then
computed in the graph and handed to every later layer that looks at masks, by name.
"""

import inspect
from typing import Any, Dict, List

from . import compat, compat_target
from .errors import Refusal


class Masks:
    """The masks of one functional graph that Keras 3 would not make by itself."""

    def __init__(self, keras: Any) -> None:
        self.keras = keras
        self.by_tensor = {}  # type: Dict[int, Any]
        self.kept = []  # type: List[Any]

    def of(self, tensor: Any) -> Any:
        """The mask of a tensor as the old Keras had it, or None."""
        return self.by_tensor[id(tensor)] if id(tensor) in self.by_tensor else compat.keras_mask(tensor)

    def for_call(self, live: Any, layer: Dict[str, Any], inputs: List[Any], kwargs: Dict[str, Any]) -> Dict[str, Any]:
        """The arguments of a call, with the mask added where Keras 3 would not find it.

        Raises Refusal model-unsupported when the layer needs a mask that cannot be handed over.
        """
        mine = [t for t in inputs if id(t) in self.by_tensor]
        if not mine or layer.get("mask_rule") in ("all", "concatenate") or "mask" in kwargs:
            return kwargs
        if len(inputs) > 1:
            raise Refusal(
                "model-unsupported", "the mask of a merge reaches %r, which takes none by name" % layer["name"]
            )
        if _takes_mask(live):
            return dict(kwargs, mask=self.by_tensor[id(mine[0])])
        return kwargs

    def after_call(self, live: Any, layer: Dict[str, Any], inputs: List[Any], outputs: List[Any]) -> None:
        """Note the masks of a call's outputs."""
        rule = layer.get("mask_rule")
        if rule:
            mask = getattr(self, "_" + rule)(layer, inputs)
            for output in outputs if rule == "same" else outputs[:1]:
                self._set(output, mask)
        elif any(id(t) in self.by_tensor for t in inputs) and getattr(live, "supports_masking", False):
            mask = live.compute_mask(inputs[0], self.by_tensor[id(inputs[0])])
            if mask is not None:
                self._set(outputs[0], compat.flatten(mask)[0])

    def _set(self, tensor: Any, mask: Any) -> None:
        if mask is not None:
            self.by_tensor[id(tensor)] = mask
            self.kept.append(tensor)  # an id is only good as long as its tensor lives

    def _all(self, layer: Dict[str, Any], inputs: List[Any]) -> Any:
        """Masked where every input that has a mask is (Keras 2: K.all over the masks)."""
        return self._combine([self.of(t) for t in inputs])

    def _same(self, layer: Dict[str, Any], inputs: List[Any]) -> Any:
        """The mask of the input goes on."""
        return self.of(inputs[0])

    def without(self, layer: Dict[str, Any], outputs: List[Any]) -> List[Any]:
        """The outputs of a layer after which the old Keras lost the mask."""
        if layer.get("mask_rule") != "none":
            return outputs
        # In Keras 3 the mask of a nested model's output shows only when the model runs.
        shows = not compat_target.is_keras3(self.keras)
        return [
            t if shows and compat.keras_mask(t) is None else compat_target.without_mask(self.keras, t) for t in outputs
        ]

    def _none(self, layer: Dict[str, Any], inputs: List[Any]) -> Any:
        return None

    def _combine(self, masks: List[Any]) -> Any:
        combined = None
        for mask in masks:
            if mask is not None:
                combined = mask if combined is None else self.keras.ops.logical_and(combined, mask)
        return combined

    def _time_distributed(self, layer: Dict[str, Any], inputs: List[Any]) -> Any:
        """Keras 2's TimeDistributed: the inner layer's own mask; where it makes none, the given one reduced to steps."""
        ops, inner, given = self.keras.ops, layer["config"]["layer"], self.of(inputs[0])
        if inner["class_name"] == "Embedding":
            return ops.not_equal(inputs[0], 0)
        if inner["class_name"] == "Masking":
            return ops.any(ops.not_equal(inputs[0], inner["config"].get("mask_value", 0.0)), axis=-1)
        if given is not None and len(given.shape) > 2:
            return ops.any(given, axis=tuple(range(2, len(given.shape))))
        return given

    def _concatenate(self, layer: Dict[str, Any], inputs: List[Any]) -> Any:
        """Keras 2's Concatenate: masks widened to their inputs, joined on the axis, true where all of the last axis is."""
        ops, rank = self.keras.ops, len(inputs[0].shape)
        axis = layer["config"].get("axis", -1) % rank
        masks = [self.of(t) for t in inputs]
        if all(m is None for m in masks):
            return None
        if axis == rank - 1:
            # A mask of the inputs' own rank counts where it holds for the whole last axis.
            flat = [m if m is None or len(m.shape) < rank else ops.all(m, axis=-1) for m in masks]
            return self._combine(flat)
        if any(m is None for m in masks):
            raise Refusal(
                "model-unsupported", "%r joins masked and unmasked inputs along axis %d" % (layer["name"], axis)
            )
        return ops.concatenate(masks, axis=axis)


def _takes_mask(live: Any) -> bool:
    return "mask" in inspect.signature(live.call).parameters
