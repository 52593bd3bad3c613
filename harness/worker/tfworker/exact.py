"""A model once more in float64, from its own config: what tells a changed meaning from rounding.

The same function computed in float64 on both sides agrees to about 1e-15 times what the model amplifies; a changed
formula stays as large as it was. Used in the source (``record_exact``) and in the target (``replay_exact``).
"""

import contextlib
import json
import re
from typing import Any, Dict, Iterator, List

import numpy as np

from . import compat, compat_exact, compat_target, compat_training
from .double import doubled, with_fused_epsilon
from .errors import Refusal
from .repair import repair, restore_axes
from .roles import roles_of

#: names of arrays in float64 are those of the float32 ones behind this
PREFIX = "double/"
#: bytes of layer outputs that are computed together
TOGETHER = 192 << 20
#: first lines of errors that say where, not what
_HEADS = ("Exception encountered", "Graph execution error")
_HALF = ("float16", "bfloat16", "mixed_float16", "mixed_bfloat16")


class Skipped(Exception):
    """The model is not computed in float64; the message says why."""


@contextlib.contextmanager
def reasons(told: Dict[str, Any], what: str) -> Iterator[None]:
    """Put into ``told["skipped"]`` why there is no float64: nothing inside may fail a migration."""
    try:
        yield
    except Skipped as reason:
        told["skipped"] = str(reason)
    except Refusal as refusal:
        told["skipped"] = "%s cannot be built in float64: %s" % (what, refusal)
    except Exception as error:
        told["skipped"] = "%s is not computed in float64: %s" % (what, said(error))


@contextlib.contextmanager
def in_float64(keras: Any) -> Iterator[None]:
    """Everything made inside is made in float64; models made before are forgotten in TensorFlow 1."""
    restore = [compat_exact.plain_batch_norm(keras), compat_exact.double_convolutions(keras)]
    restore += [compat_exact.exact_numbers(), compat_exact.kernels()]
    compat.clear(keras)
    compat_training.set_floatx(keras, "float64")
    if not compat_target.is_keras3(keras):
        compat.set_inference(keras)
    try:
        yield
    finally:
        for put_back in reversed(restore):
            put_back()
        compat_training.set_floatx(keras, "float32")
        compat.clear(keras)


def config_of(keras: Any, model: Any) -> Any:
    """The config of a live model in float64. Raises Skipped where it names half precision."""
    if compat_target.is_keras3(keras):
        config = model.get_config()
    else:
        config = restore_axes(repair(json.loads(model.to_json()))[0])
    half = sorted(_named_dtypes(config) & set(_HALF))
    if half:
        raise Skipped("it computes in half precision (%s), whose rounding is part of what it means" % ", ".join(half))
    unfuse = not compat_target.is_keras3(keras) and not compat_training.is_standalone(keras)
    config = short_numbers(config)
    return doubled(with_fused_epsilon(config, model, compat_exact.least_fused_epsilon()), unfuse)


#: layers whose constructors round their numbers to float32 in Keras 1 and 2, and keep them in Keras 3
_ROUNDING = ("ReLU", "LeakyReLU", "ELU", "ThresholdedReLU", "Rescaling")
#: by class, the numbers that are taken as float32 holds them (see ``short_numbers``)
_SINGLE = {
    "LeakyReLU": ("negative_slope", "alpha"),
    "ReLU": ("negative_slope",),
    "Clip": ("x_min", "x_max"),
    "Normalization": ("mean", "variance"),
}


def short_numbers(value: Any) -> Any:
    """A config with the numbers of some layers as the shortest decimals that are the same in float32.

    One Keras holds 0.1, another 0.10000000149011612, for what is one number in the float32 that the model computes in.
    Others are taken as they are in float32, which some version does whatever it computes in: slopes (TensorFlow's leaky_relu),
    statistics of Normalization (Keras 3), and numbers in calls, which become those of Clip.
    """
    if isinstance(value, list):
        return [short_numbers(item) for item in value]
    if not isinstance(value, dict):
        return value
    out = {key: short_numbers(item) for key, item in value.items()}
    name = str(out.get("class_name"))
    if name in _ROUNDING + tuple(_SINGLE) and isinstance(out.get("config"), dict):
        single, keep = _SINGLE.get(name, ()), _short if name in _ROUNDING else _same
        out["config"] = {k: _single_numbers(v) if k in single else keep(v) for k, v in out["config"].items()}
    if "inbound_nodes" in out:
        out["inbound_nodes"] = _single_numbers(out["inbound_nodes"])
    return out


def _short(value: Any) -> Any:
    return float(str(np.float32(value))) if isinstance(value, float) else value


def _same(value: Any) -> Any:
    return value


def _single_numbers(value: Any) -> Any:
    """Numbers in calls as they are in float32: some operations of Keras 3 take them so, some as they are written."""
    if isinstance(value, (list, tuple)):
        return type(value)([_single_numbers(item) for item in value])
    if isinstance(value, dict):
        return {key: _single_numbers(item) for key, item in value.items()}
    return float(np.float32(value)) if isinstance(value, float) else value


def build(keras: Any, kind: Any, config: Any) -> Any:
    """The model of a config in float64; ``kind`` is the class of the live one."""
    return kind.from_config(config) if compat_target.is_keras3(keras) else compat.build_model(keras, config)


def assign(keras: Any, model: Any, values: Dict[str, Any]) -> None:
    """Give every weight its value (by layers and role), as the type that it has here. Raises Skipped if some do not fit."""
    pairs = []
    for name, variable in roles_of(model):
        if name not in values:
            raise Skipped("its weight %s has no counterpart in float64" % name)
        pairs.append((variable, np.asarray(values[name], dtype=compat_target.dtype_name(variable))))
    compat_target.assign(keras, pairs)


def widened(array: Any) -> Any:
    """The same numbers in float64 where they are float32."""
    return np.asarray(array, dtype="float64") if str(array.dtype) == "float32" else array


def single_tensors(tensors: List[Any], names: List[str]) -> List[str]:
    """The names of tensors that are float32 although the model is not."""
    return [name for tensor, name in zip(tensors, names) if compat.tensor_spec(tensor)[1] == "float32"]


def groups(records: List[Dict[str, Any]]) -> Iterator[List[Dict[str, Any]]]:
    """Records whose tensors are computed together, by their size in float64."""
    return compat.grouped(records, lambda row: 8 * int(np.prod(row["shape"], dtype=np.int64)), TOGETHER)


class Reader(object):
    """An array reader that hands out float32 arrays in float64."""

    def __init__(self, reader: Any) -> None:
        self.reader = reader

    def get(self, name: str) -> Any:
        """The array of a name."""
        return widened(self.reader.get(name))


def said(error: BaseException) -> str:
    """The kind of an error and the first line that says something; Keras 3 puts one before it that only names the layer."""
    lines = [re.sub("\x1b\\[[0-9]*m", "", line).strip() for line in str(error).strip().splitlines()]
    lines = [line for line in lines if line] or [""]
    told = lines[0] if len(lines) == 1 or not lines[0].startswith(_HEADS) else " ".join(lines[:2])
    return "%s: %s" % (type(error).__name__, told[:300])


def _named_dtypes(value: Any) -> Any:
    if isinstance(value, dict):
        found = set()  # type: Any
        for key, item in value.items():
            if key in ("dtype", "name", "cell_dtype") and isinstance(item, str):
                found.add(item)
            else:
                found |= _named_dtypes(item)
        return found
    return (
        set().union(*[_named_dtypes(item) for item in value]) if isinstance(value, (list, tuple)) and value else set()
    )
