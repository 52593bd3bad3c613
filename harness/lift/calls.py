"""What an entry of the table of operations is given: one node with its inputs, and the model in the making."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.lift.graph import Node, Spec
from harness.lift.plan import CORE, NUMPY, Plan, Tensor
from harness.lift.tiles import Reader, UnknownError, edges

Value = Tensor | np.ndarray[Any, Any]


@dataclass(frozen=True, kw_only=True)
class Call:
    """One node on its way into the model."""

    plan: Plan
    reader: Reader
    node: Node
    tensors: dict[int, Tensor]

    @property
    def name(self) -> str:
        """The node's name."""
        return str(self.node["name"])

    def spec(self, index: int = 0) -> Spec:
        """What is known of an output."""
        return self.reader.spec(edges.join(self.name, index))

    def given(self, position: int) -> Spec:
        """What is known of an input."""
        return self.reader.spec(self.node["inputs"][position])

    def value(self, position: int) -> Value:
        """An input: a tensor, or a constant array."""
        if position in self.tensors:
            return self.tensors[position]
        found = self.reader.graph.constant(self.node["inputs"][position])
        if found is None:
            raise UnknownError(f"{self.node['inputs'][position]} follows the number of examples")
        return np.asarray(found)

    def tensor(self, position: int) -> Tensor:
        """An input that is a tensor."""
        if position not in self.tensors:
            raise UnknownError("it computes on constants")
        return self.tensors[position]

    def numbers(self, position: int, what: str) -> list[int]:
        """Constant whole numbers."""
        found = self.reader.graph.numbers(self.node["inputs"][position])
        if found is None:
            raise UnknownError(f"its {what} is computed from data")
        return found

    def number(self, position: int, what: str) -> int:
        """A constant whole number."""
        found = self.numbers(position, what)
        if len(found) != 1:
            raise UnknownError(f"its {what} is no single number")
        return found[0]

    def uniform(self, position: int, what: str) -> float:
        """A constant number."""
        found = self.reader.uniform(self.node["inputs"][position])
        if found is None:
            raise UnknownError(f"its {what} is no constant number")
        return found

    def sizes(self, position: int, what: str) -> list[tuple[int, int]]:
        """Sizes as pairs: a number, and the coefficient of the number of examples."""
        found = self.reader.graph.known(self.node["inputs"][position])
        if found is None or found.value.dtype.kind not in "iu":
            raise UnknownError(f"its {what} depends on data, or on free sizes other than the number of examples")
        batch = np.zeros_like(found.value) if found.batch is None else found.batch
        return [(int(a), int(b)) for a, b in zip(found.value.ravel(), batch.ravel(), strict=True)]

    def op(self, module: str, class_name: str, config: dict[str, Any], outputs: int = 1, **kwargs: Any) -> list[Tensor]:
        """An operation of Keras with this node's name and type."""
        if "positional" in kwargs:
            kwargs["*"] = kwargs.pop("positional")
        made = self.plan.op(
            module, class_name, config, kwargs, self.spec(), name=self.name, nodes=[self.name], outputs=outputs
        )
        return [Tensor(ref=t.ref, spec=self.spec(i)) for i, t in enumerate(made)]

    def layer(self, class_name: str, config: dict[str, Any], *inputs: Tensor, spec: Spec | None = None) -> list[Tensor]:
        """A layer of Keras without weights."""
        return [self.plan.layer(class_name, config, inputs, spec or self.spec(), name=self.name, nodes=[self.name])]


Make = Callable[[Call], list[Tensor]]


def unary(module: str, name: str, **config: Any) -> Make:
    return lambda c: c.op(module, name, config, x=c.tensor(0))


def binary(name: str) -> Make:
    def make(c: Call) -> list[Tensor]:
        first, second = operands(c)
        return c.op(NUMPY, name, {}, x1=first, x2=second)

    return make


def operands(c: Call) -> tuple[Value, Value]:
    first, second = c.value(0), c.value(1)
    if not isinstance(first, Tensor) and not isinstance(second, Tensor):
        raise UnknownError("it computes on constants")
    return first, second


def merge(layer: str, name: str) -> Make:
    """A layer where both sides are tensors of one shape, else the operation."""

    def make(c: Call) -> list[Tensor]:
        first, second = operands(c)
        if (
            isinstance(first, Tensor)
            and isinstance(second, Tensor)
            and alike(first, second)
            and first.ref != second.ref
        ):
            return c.layer(layer, {}, first, second)
        return total(c, first, second) if name == "Add" else c.op(NUMPY, name, {}, x1=first, x2=second)

    return make


def total(c: Call, first: Value, second: Value) -> list[Tensor]:
    """A sum; a difference where Keras 3 could take the second operand for a bias (``dialects.rebuild.broadcast_sum``)."""
    a, b = (v.spec.shape if isinstance(v, Tensor) else np.shape(v) for v in (first, second))
    vector = a is not None and b is not None and len(b) == 1 and a[-1:] == b
    if b == () or (a is not None and (len(a) < 2 or a == b)) or vector:
        return c.op(NUMPY, "Add", {}, x1=first, x2=second)
    minus = c.op(NUMPY, "Negative", {}, x=second)[0] if isinstance(second, Tensor) else np.negative(second)
    return c.op(NUMPY, "Subtract", {}, x1=first, x2=minus)


def alike(*tensors: Tensor) -> bool:
    shapes = {t.spec.shape for t in tensors}
    floats = all(t.spec.dtype.startswith("float") for t in tensors)
    return len(shapes) == 1 and len(next(iter(shapes)) or ()) > 1 and floats


def composed(name: str, then: str) -> Make:
    """Two operations of Keras, one after the other, on two inputs."""

    def make(c: Call) -> list[Tensor]:
        first, second = operands(c)
        inner = c.op(NUMPY, name, {}, x1=first, x2=second)
        return c.op(NUMPY, then, {}, x=inner[0])

    return make


def activation(class_name: str, **config: Any) -> Make:
    return lambda c: (
        c.layer(class_name, config, c.tensor(0)) if floating(c) else refuse("it is no floating point number")
    )


def named(function: str) -> Make:
    return activation("Activation", activation=function)


def floating(c: Call) -> bool:
    return c.spec().dtype.startswith(("float", "bfloat"))


def refuse(why: str) -> Any:
    raise UnknownError(why)


def cast(c: Call) -> list[Tensor]:
    if c.spec().dtype == c.given(0).dtype:
        return [c.tensor(0)]
    return c.op(CORE, "Cast", {"dtype": c.spec().dtype}, x=c.tensor(0))
