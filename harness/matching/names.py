"""What the names of stored arrays say: which layer, which role. Every convention that is understood stands here."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

#: words for a role, by the name that Keras 2 and 3 give it; Keras 1's running_std is a variance
ROLE_WORDS = {
    "kernel": ("kernel", "kernels", "weights", "weight", "w"),
    "bias": ("bias", "biases", "b"),
    "gamma": ("gamma", "scale"),
    "beta": ("beta", "offset"),
    "moving_mean": ("moving_mean", "running_mean", "mean"),
    "moving_variance": ("moving_variance", "running_variance", "running_var", "running_std", "variance", "var"),
    "embeddings": ("embeddings", "embedding"),
    "recurrent_kernel": ("recurrent_kernel", "recurrent_weights", "u"),
    "depthwise_kernel": ("depthwise_kernel", "depthwise_weights"),
    "pointwise_kernel": ("pointwise_kernel", "pointwise_weights"),
    "alpha": ("alpha", "alphas"),
}
_ROLES = {word: role for role, words in ROLE_WORDS.items() for word in words}
_BY_LENGTH = sorted(_ROLES, key=len, reverse=True)
#: cells stand between a recurrent layer and its weights and say nothing
_CELL = re.compile(r"(?:.*_)?cell(?:_\d+)?")
#: what old Keras called a class in the names that it made
_OLD_NAMES = {
    "convolution1d": "conv1d",
    "convolution2d": "conv2d",
    "convolution3d": "conv3d",
    "deconvolution2d": "conv2d_transpose",
    "deconvolution3d": "conv3d_transpose",
    "separable_convolution2d": "separable_conv2d",
    "batchnormalization": "batch_normalization",
    "timedistributed": "time_distributed",
}
_PLACE = re.compile(r"(?:(?:arr|param|array|weight|variable|var|w)_?)?(\d+)")


@dataclass(frozen=True, kw_only=True)
class Stored:
    """An array of the source: its name, and what its format and its name say of it.

    Attributes:
        group: names from the outermost model to the layer, as far as they are known.
        role: canonical role, with ``forward/`` and ``backward/``; None if the name has no word for it.
        index: place among the weights of the layer, where the format tells.
        side: ``forward/`` or ``backward/`` inside a Bidirectional, else nothing.
        order: place among all arrays.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    order: int
    group: tuple[str, ...] = ()
    role: str | None = None
    index: int | None = None
    side: str = ""


@dataclass(frozen=True, kw_only=True)
class Variable:
    """A weight of the model that is to be filled."""

    layer: tuple[str, ...]
    role: str
    shape: tuple[int, ...]
    dtype: str
    class_name: str
    trainable: bool
    order: int

    @property
    def name(self) -> str:
        """How people name it."""
        return "/".join((*self.layer, self.role))


def normal(text: str) -> str:
    """A name without differences of case and of separators."""
    return re.sub(r"[-.\s]+", "_", text.lower())


def role_of(word: str) -> str | None:
    """The canonical role of a whole word; the number that makes a name unique does not count."""
    bare = re.sub(r":\d+$", "", normal(word))
    return _ROLES.get(bare) or _ROLES.get(re.sub(r"_\d+$", "", bare))


def split_leaf(leaf: str) -> tuple[str, str | None]:
    """What is left of a name's last part without its word for a role, and the role: (``layer1``, ``kernel``)."""
    leaf = re.sub(r":\d+$", "", leaf)
    whole = role_of(leaf)
    if whole:
        return "", whole
    bare = normal(leaf)
    for word in _BY_LENGTH:
        if match := re.fullmatch(rf"(.+)_{word}(?:_\d+)?", bare):
            return leaf[: len(match[1])], _ROLES[word]
    for word in _BY_LENGTH:
        if bare.startswith(f"{word}_"):
            return leaf[len(word) + 1 :], _ROLES[word]
    return leaf, None


def stored_arrays(entries: Iterable[Mapping[str, Any]], layers: Collection[str] = ()) -> list[Stored]:
    """The arrays of ``weights.json`` (see the operation ``read_weights``), or the weights of a bundle.

    ``layers`` are the names of the model's own layers that are no nested models: a Keras file writes the name of
    the graph's scope behind a layer's name, and that of the inner layer behind a nested model's.
    """
    entries = [entry for entry in entries if "role" in entry or "leaf" in entry]
    return [_stored(entry, order, {normal(name) for name in layers}) for order, entry in enumerate(entries)]


def _stored(entry: Mapping[str, Any], order: int, layers: Collection[str]) -> Stored:
    common: dict[str, Any] = {
        "name": entry["name"], "shape": tuple(entry["shape"]), "dtype": entry["dtype"], "order": order,
    }  # fmt: skip
    if "role" in entry:  # of a bundle: nothing is left to find out
        *inner, role = entry["role"].split(".")  # layers inside a layer that is made of code
        return Stored(group=(*entry["layer"], *inner), role=role, **common)
    layer, leaf, index = list(entry["layer"] or ()), entry["leaf"], entry["index"]
    if entry["layer"] is None:
        parts = [part for part in re.split(r"[/.]", entry["name"]) if part]
        layer, leaf = parts[:-1], parts[-1]
    elif leaf and index is not None and (normal(layer[0]) in layers or _repeats(layer)):
        layer = [layer[0], *(part for part in layer[1:] if _side(part))]
    rest, role = split_leaf(leaf) if leaf else ("", None)
    group, side = [], ""
    for part in layer:
        if _side(part):
            side = _side(part)
        elif not _CELL.fullmatch(normal(part)):
            group.append(part)
    group += [rest] if rest else []
    return Stored(group=tuple(group), role=side + role if role else None, index=index, side=side, **common)


def _repeats(layer: Sequence[str]) -> bool:
    """Whether what stands behind a layer's name is its name again, with another number."""
    said = [part for part in layer[1:] if not _side(part) and not _CELL.fullmatch(normal(part))]
    return not said or base_and_number(said[-1])[0] == base_and_number(layer[0])[0]


def _side(part: str) -> str:
    """``forward/`` or ``backward/`` for the layers inside a Bidirectional."""
    match = re.match(r"(forward|backward)(?:_|$)", normal(part))
    return f"{match[1]}/" if match else ""


def place_of(stored: Stored) -> int | None:
    """The number of an array whose name is nothing but a number (``arr_0``, ``param_12``, ``3``)."""
    if stored.role is not None and not _PLACE.fullmatch(normal(stored.name)):
        return None
    match = _PLACE.fullmatch(normal(stored.name))
    return int(match[1]) if match else None


def base_and_number(name: str) -> tuple[str, int]:
    """``conv2d_3`` → (``conv2d``, 3); a name without a number counts as 0. Old class names become today's."""
    match = re.fullmatch(r"(.*?)(?:_(\d+))?", normal(name))
    assert match is not None
    return _OLD_NAMES.get(match[1], match[1]), int(match[2] or 0)


def snake(class_name: str) -> str:
    """The name that Keras makes for a layer of a class, without its number."""
    bare = re.sub(r"V\d+$", "", class_name)
    text = re.sub(r"(.)([A-Z][a-z0-9]+)", r"\1_\2", bare)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", text).lower()


def is_generated(name: str, class_name: str) -> bool:
    """Whether Keras made the name: its number then only tells when the layer was made in that process."""
    return base_and_number(name)[0] == snake(class_name)


def natural(text: str) -> tuple[tuple[int, str], ...]:
    """A sort key under which ``layer10`` follows ``layer9``."""
    return tuple((int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", text))
