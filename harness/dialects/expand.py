"""One old layer as a small graph of native layers that takes its place under its name."""

from __future__ import annotations

from typing import Any

from harness.dialects.rules import Layer

Tensor = list[Any]
OPERATIONS = "keras.src.ops.numpy"  # where Keras 3 keeps operations that stand in a functional model


class Expansion:
    """Builds the graph: inputs first, then one layer after the other, then :meth:`done`."""

    def __init__(self, layer: Layer) -> None:
        self.layer = layer
        self.layers: list[dict[str, Any]] = []
        self.dtype = layer.config.get("dtype")
        self.inputs = [self._input(i, shape, dtype) for i, (shape, dtype) in enumerate(layer.input_specs)]

    def _input(self, index: int, shape: list[int | None], dtype: str) -> Tensor:
        return self._append("InputLayer", {"batch_shape": shape, "dtype": dtype}, [], f"input_{index}")

    def _append(self, class_name: str, config: dict[str, Any], inputs: list[Tensor], name: str, **more: Any) -> Tensor:
        call = {"inputs": inputs, "kwargs": more.pop("kwargs", {})}
        self.layers.append({"name": name, "class_name": class_name, "config": config, "calls": [call], **more})
        return [name, 0, 0]

    def add(
        self, class_name: str, config: dict[str, Any], *inputs: Tensor, name: str | None = None, **kwargs: Any
    ) -> Tensor:
        """Call a new native layer; returns its output."""
        name = name or f"{class_name.lower()}_{len(self.layers)}"
        typed = {"dtype": self.dtype} if self.dtype else {}
        return self._append(class_name, {**typed, **config}, list(inputs), name, kwargs=kwargs)

    def operation(self, class_name: str, config: dict[str, Any], *inputs: Tensor, **kwargs: Any) -> Tensor:
        """Call a Keras operation, such as Flip, that has no layer; ``kwargs`` are numbers given at the call."""
        name = f"{class_name.lower()}_{len(self.layers)}"
        return self._append(class_name, config, list(inputs), name, module=OPERATIONS, kwargs=kwargs)

    def done(self, *outputs: Tensor, why: str) -> None:
        """Put the graph in the layer's place and note it."""
        layer = self.layer
        layer.expansion = {
            "name": layer.path[-1],
            "kind": "functional",
            "layers": self.layers,
            "inputs": self.inputs,
            "outputs": list(outputs),
        }
        made = [entry["class_name"] for entry in self.layers if entry["class_name"] != "InputLayer"]
        layer.note("class_name", layer.class_name, " → ".join(made), why)
