"""What the inputs of a graph may hold, found by following them to the operations that read them; and arrays that do.

Ids below the number of rows that a gather has, words that a table knows, serialized examples for a parser, sound and
images for decoders: random bytes would only prove that an operation fails.
"""

import struct
import zlib
from typing import Any, Dict, List, Optional

import numpy as np

from . import probe
from .compat_graphs import static_shape_value, table_content, variable_shape

#: operations whose output holds the values of their input, rearranged: type -> inputs that matter (all if None)
_PASSING = {
    "Identity": (0,), "Cast": (0,), "Reshape": (0,), "ExpandDims": (0,), "Squeeze": (0,), "StridedSlice": (0,),
    "Slice": (0,), "Transpose": (0,), "Tile": (0,), "ConcatV2": None, "Pack": None, "Unpack": (0,), "Split": (1,),
    "PlaceholderWithDefault": (0,), "Switch": (0,), "Merge": None, "Enter": (0,), "Unique": (0,), "GatherNd": (0,),
    "SparseReshape": None, "SparseToDense": (2,), "SparseFillEmptyRows": (1, 3), "Select": (1, 2), "Minimum": None,
    "StringLower": (0,), "StringStrip": (0,), "RegexReplace": (0,), "StaticRegexReplace": (0,), "IdentityN": None,
    "TensorArrayScatterV3": (2,), "DynamicPartition": (0,), "SparseTensorDenseAdd": None, "ReverseSequence": (0,),
    "EnsureShape": (0,), "StopGradient": (0,),
}  # type: Dict[str, Optional[Tuple[int, ...]]]  # fmt: skip
_DECODERS = {"DecodeWav": "wav", "DecodePng": "png", "DecodeJpeg": "jpeg", "DecodeImage": "png", "DecodeBmp": "bmp"}
_STEPS = 400


def domains(part: Any, inputs: Dict[str, Any]) -> Dict[str, Dict[str, Any]]:
    """Input name -> {"below", "words", "split", "form", "examples", "sparse", "lengths"}: what is known of it."""
    found = {name: _trace(part, part.tensor(spec["tensor"])) for name, spec in inputs.items()}
    for name in inputs:
        if name.endswith("_indices") and name[:-8] + "_values" in inputs and name[:-8] + "_dense_shape" in inputs:
            found[name]["sparse"], found[name[:-8] + "_values"]["sparse"] = name[:-8], name[:-8]
            found[name[:-8] + "_dense_shape"]["sparse"] = name[:-8]
    return found


class _Whole(object):
    """All of a session's graph as a part."""

    def __init__(self, session: Any) -> None:
        self.session = session
        self.names = {operation.name for operation in session.graph.get_operations()}

    def feed(self, values: Dict[str, Any]) -> Dict[str, Any]:
        return values


def below(session: Any, tensors: List[Any]) -> List[Optional[int]]:
    """What each tensor of a session's graph must be below where it is used as ids; None where it is not."""
    part = _Whole(session)
    return [_trace(part, tensor)["below"] for tensor in tensors]


def ctc(session: Any, tensors: List[Any]) -> List[Dict[str, Any]]:
    """What each tensor may hold that a CTC loss reads: ``below`` for labels, ``between`` for lengths; else nothing.

    The lengths of sequences are all of them; those of labels are such that the labels fit, repeated ones included
    (between two equal labels stands a blank: Graves and others, 2006).
    """
    losses = [op for op in session.graph.get_operations() if op.type == "CTCLoss"]
    found = [{} for _ in tensors]  # type: List[Dict[str, Any]]
    for loss in losses:
        logits = loss.inputs[0].shape.as_list() if loss.inputs[0].shape.ndims == 3 else [None, None, None]
        steps, before = logits[0] or 2, {op.name for op in _before(loss.inputs[0].op)}
        places = [_places(tensor, loss) for tensor in tensors]
        widths = [t.shape.as_list()[-1] for t, p in zip(tensors, places) if p == {2} and t.shape.ndims]
        fits = max(1, min([(steps - 1) // 2] + [width or 1 for width in widths]))
        every = {op.name for op in _before(loss)}
        for known, tensor, place in zip(found, tensors, places):
            if place == {2} and logits[2]:
                known["below"] = logits[2] - 1
            elif place == {3}:
                known["between"] = [steps, steps]
            elif tensor.op.name in every and tensor.op.name not in before:
                known["between"] = [1, fits]
    return found


def _places(tensor: Any, loss: Any) -> Any:
    """At which inputs of a loss the values of a tensor arrive."""
    places, queue, seen = set(), [tensor], set()  # type: Any, Any, Any
    while queue:
        here = queue.pop()
        if here.name in seen:
            continue
        seen.add(here.name)
        for reader in here.consumers():
            given = [i for i, value in enumerate(reader.inputs) if value is here]
            if reader is loss:
                places.update(given)
            elif _passes(reader, given):
                queue += list(reader.outputs)
    return places


def _before(operation: Any) -> List[Any]:
    """An operation and all that it is computed from."""
    seen, queue = {}, [operation]  # type: Dict[str, Any], Any
    while queue:
        here = queue.pop()
        if here.name not in seen:
            seen[here.name] = here
            queue += [tensor.op for tensor in here.inputs]
    return list(seen.values())


def _trace(part: Any, tensor: Any) -> Dict[str, Any]:
    known = {"below": None, "words": None, "split": False, "form": None, "examples": None, "numbers": False}  # type: Any
    queue, seen = [tensor], set()  # type: Any, Any
    while queue and len(seen) < _STEPS:
        here = queue.pop()
        if here.name in seen:
            continue
        seen.add(here.name)
        for reader in here.consumers():
            if reader.name not in part.names:
                continue
            places = [i for i, given in enumerate(reader.inputs) if given is here]
            _note(part, known, reader, places)
            if _passes(reader, places):
                queue += list(reader.outputs)
    return known


def _passes(reader: Any, places: List[int]) -> bool:
    if reader.type in ("StringSplit", "StringSplitV2"):
        return places == [0]
    if reader.type not in _PASSING:
        return False
    wanted = _PASSING[reader.type]
    return wanted is None or any(i in wanted for i in places)


def _note(part: Any, known: Dict[str, Any], reader: Any, places: List[int]) -> None:
    kind = reader.type
    if kind in ("Gather", "GatherV2", "ResourceGather") and 1 in places:
        rows = _rows(part, reader)
        if rows:
            known["below"] = min(known["below"] or rows, rows)
    elif kind == "OneHot" and 0 in places:
        depth = _constant(part, reader.inputs[1])
        if depth is not None:
            known["below"] = min(known["below"] or int(depth), int(depth))
    elif kind in ("LookupTableFindV2", "LookupTableFind") and 1 in places:
        keys, _ = table_content(part.session, reader.inputs[0].op.name)
        known["words"] = [key for key in np.asarray(keys).ravel().tolist()][:64]
    elif kind in ("StringSplit", "StringSplitV2"):
        known["split"] = True
    elif kind == "StringToNumber":
        known["numbers"] = True
    elif kind in _DECODERS and 0 in places:
        known["form"] = _DECODERS[kind]
    elif kind in ("ParseExample", "ParseSingleExample", "ParseExampleV2") and 0 in places:
        known["examples"] = _features(part, reader)


def _constant(part: Any, tensor: Any) -> Any:
    try:
        return part.session.run(tensor, part.feed({}))
    except Exception:
        return None


def _rows(part: Any, gather: Any) -> Optional[int]:
    axis = _constant(part, gather.inputs[2]) if gather.type == "GatherV2" else 0
    if axis is None or int(axis) != 0:
        return None
    table = gather.inputs[0]
    if gather.type == "ResourceGather":
        while table.op.type in ("Identity", "Enter", "Switch"):
            table = table.op.inputs[0]
        if table.op.type != "VarHandleOp":
            return None
        rows = variable_shape(table.op)[:1]
        return rows[0] if rows and rows[0] > 0 else None
    shape = table.shape
    return shape.as_list()[0] if shape.ndims and shape.as_list()[0] else None


def _features(part: Any, parser: Any) -> List[Dict[str, Any]]:
    """The features that a parser reads: name, dtype, shape (None if of any length), and what their readers want."""
    rows = []  # type: List[Dict[str, Any]]
    if parser.type == "ParseExample":
        count, dense = int(parser.get_attr("Nsparse")), int(parser.get_attr("Ndense"))
        names = [_constant(part, tensor) for tensor in list(parser.inputs)[2 : 2 + count + dense]]
        names = [bytes(np.asarray(name).item()) for name in names]
    elif parser.type == "ParseSingleExample":
        names = list(parser.get_attr("sparse_keys")) + list(parser.get_attr("dense_keys"))
        count, dense = len(parser.get_attr("sparse_keys")), len(parser.get_attr("dense_keys"))
    else:
        sparse, whole = (np.asarray(_constant(part, parser.inputs[i])).ravel().tolist() for i in (2, 3))
        names, count, dense = sparse + whole, len(sparse), len(whole)
    types = [t.name for t in parser.get_attr("sparse_types")] + [t.name for t in parser.get_attr("Tdense")]
    shapes = [None] * count  # type: List[Any]
    shapes += [[int(d.size) for d in shape.dim] for shape in parser.get_attr("dense_shapes")]
    for position, (name, dtype, shape) in enumerate(zip(names, types, shapes)):
        values = parser.outputs[count + position if position < count else 2 * count + position]
        rows.append({"name": name, "dtype": dtype, "shape": shape, "domain": _trace(part, values)})
    return rows


def sizes(part: Any, inputs: Dict[str, Any]) -> List[int]:
    """Lengths that the graph itself asks for: rows of what an input is multiplied with, elements it is reshaped to."""
    found = {}  # type: Dict[int, None]
    queue, seen = [part.tensor(spec["tensor"]) for spec in inputs.values()], set()  # type: Any, Any
    while queue and len(seen) < _STEPS:
        here = queue.pop(0)
        if here.name in seen:
            continue
        seen.add(here.name)
        for reader in here.consumers():
            if reader.name not in part.names:
                continue
            shape = None  # type: Any
            if reader.type == "Reshape" and reader.inputs[0] is here:
                shape = static_shape_value(reader.inputs[1])
            elif reader.type == "MatMul" and reader.inputs[0] is here and reader.inputs[1].shape.ndims == 2:
                shape = reader.inputs[1].shape.as_list()[int(reader.get_attr("transpose_b")) :][:1]
            size = int(np.prod([d for d in shape or () if d and d > 0]))
            if size > 1:
                found[size] = None
            if reader.type in _PASSING:
                queue += list(reader.outputs)
    return list(found)


def make(name: str, inputs: Any, known: Any, lengths: Any, rank: int, ceiling: int) -> Dict[str, Any]:
    """Arrays for all inputs of a signature; ``rank`` is for inputs without one, ``ceiling`` for integers without a domain."""
    arrays, twins = {}, {}  # type: Dict[str, Any], Dict[str, str]
    row = [s[0] for s in probe.SETS].index(name)
    for position, key in enumerate(sorted(inputs)):
        spec, domain = inputs[key], known[key]
        if spec["tensor"] in twins:  # two names of one tensor cannot hold different values
            arrays[key] = arrays[twins[spec["tensor"]]]
            continue
        twins[spec["tensor"]] = key
        shape = spec["shape"] if spec["shape"] is not None else [None] * rank
        rng = np.random.RandomState(probe.SEED + 101 * position + row)
        if domain.get("sparse") is not None:
            arrays[key] = _sparse(key, spec, domain, probe.SETS[row][1], ceiling, inputs)
        elif spec["dtype"] == "string":
            arrays[key] = _texts(rng, _filled(shape, row, lengths), domain)
        elif spec["dtype"].startswith(("int", "uint", "qint", "quint")) and shape:
            below = domain["below"] or ceiling
            rule = {"below": below, "masks": False, "mask_value": None}
            arrays[key] = probe.make(name, dict(spec, shape=shape), rule, lengths, position)
        elif not shape:
            arrays[key] = _scalar(name, spec["dtype"], rng, domain, ceiling)
        else:
            # Keras models of TensorFlow 1 take ids as float32 and cast them.
            rule = {"below": domain["below"], "masks": False, "mask_value": None}
            if spec["dtype"].startswith("complex"):
                parts = [
                    probe.make(name, dict(spec, shape=shape, dtype="float64"), rule, lengths, position + i)
                    for i in (0, 7)
                ]
                arrays[key] = (parts[0] + 1j * parts[1]).astype(spec["dtype"])
            elif spec["dtype"].startswith("float") or spec["dtype"] == "bool":
                arrays[key] = probe.make(name, dict(spec, shape=shape), rule, lengths, position)
            else:
                real = probe.make(name, dict(spec, shape=shape, dtype="float32"), rule, lengths, position)
                arrays[key] = real.astype(_numpy_type(spec["dtype"]))
    return arrays


def _numpy_type(name: str) -> Any:
    from . import compat

    return compat.import_tensorflow().as_dtype(name).as_numpy_dtype


def _filled(shape: Any, row: int, lengths: Any) -> List[int]:
    batch, length = probe.SETS[row][1], lengths[probe.SETS[row][2]]
    sizes = [length if d is None else d for d in shape]
    if sizes and shape[0] is None:
        sizes[0] = batch
    return sizes


def _scalar(name: str, dtype: str, rng: Any, domain: Any, ceiling: int) -> Any:
    if dtype == "bool":
        return np.array(name == "unit")
    if dtype.startswith(("int", "uint")):
        return np.array(rng.randint(0, domain["below"] or ceiling) if name != "normal" else ceiling // 2, dtype=dtype)
    return np.array(rng.random_sample(), dtype=_numpy_type(dtype))


def _sparse(key: str, spec: Any, domain: Any, batch: int, ceiling: int, inputs: Any) -> Any:
    """One of the three tensors of a sparse input: two entries in every row, none in the last of three or more."""
    stem = domain["sparse"]
    shape = inputs[stem + "_indices"]["shape"]
    rank = shape[1] if shape and len(shape) == 2 and shape[1] else 2
    rows = [r for r in range(batch) if batch < 3 or r < batch - 1]
    indices = [[r] + [c] * (rank - 1) for r in rows for c in range(2)]
    if key.endswith("_indices"):
        return np.array(indices, dtype=spec["dtype"])
    if key.endswith("_dense_shape"):
        return np.array([batch] + [4] * (rank - 1), dtype=spec["dtype"])
    rng = np.random.RandomState(probe.SEED + batch)
    if spec["dtype"] == "string":
        return _texts(rng, [len(indices)], domain)
    if spec["dtype"].startswith(("int", "uint")):
        return rng.randint(0, domain["below"] or ceiling, size=len(indices)).astype(spec["dtype"])
    return rng.standard_normal(len(indices)).astype(_numpy_type(spec["dtype"]))


def _texts(rng: Any, shape: List[int], domain: Dict[str, Any]) -> Any:
    size = int(np.prod(shape))
    items = [_text(rng, domain) for _ in range(size)]
    out = np.empty(size, dtype=object)
    out[:] = items
    return out.reshape(shape)


def _text(rng: Any, domain: Dict[str, Any]) -> bytes:
    if domain["examples"] is not None:
        return _example(rng, domain["examples"])
    if domain["form"]:
        return _FORMS[domain["form"]](rng)
    if domain["numbers"]:
        return b"%.3f" % rng.standard_normal()
    words = [w for w in domain["words"] or () if isinstance(w, bytes)] + [b"probe", b"unknown word"]
    if domain["words"] is None:
        words = [b"probe %d" % i for i in range(8)]
    if not domain["split"]:
        return bytes(words[rng.randint(0, len(words))])
    return b" ".join(words[rng.randint(0, len(words))] for _ in range(rng.randint(1, 6)))


def _example(rng: Any, features: List[Dict[str, Any]]) -> bytes:
    from . import compat

    train = compat.import_tensorflow().train
    made = {}
    for feature in features:
        size = int(rng.randint(0, 3)) if feature["shape"] is None else int(np.prod([abs(d) for d in feature["shape"]]))
        if feature["dtype"] == "string":
            texts = [_text(rng, feature["domain"]) for _ in range(size)]
            value = train.Feature(bytes_list=train.BytesList(value=texts))
        elif feature["dtype"] == "int64":
            numbers = rng.randint(0, feature["domain"]["below"] or 5, size=size).tolist()
            value = train.Feature(int64_list=train.Int64List(value=numbers))
        else:
            value = train.Feature(float_list=train.FloatList(value=rng.standard_normal(size).tolist()))
        made[feature["name"].decode("utf-8")] = value
    return bytes(train.Example(features=train.Features(feature=made)).SerializeToString(deterministic=True))


def _wav(rng: Any) -> bytes:
    """One second of 16 kHz sound, the size that keyword spotters want."""
    samples = (rng.uniform(-0.5, 0.5, 16000) * 32767).astype("<i2").tobytes()
    head = struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        b"RIFF",
        36 + len(samples),
        b"WAVE",
        b"fmt ",
        16,
        1,
        1,
        16000,
        32000,
        2,
        16,
        b"data",
        len(samples),
    )
    return head + samples


def _png(rng: Any) -> bytes:
    pixels = rng.randint(0, 256, size=(24, 24, 3)).astype("uint8")
    raw = b"".join(b"\0" + line.tobytes() for line in pixels)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data) & 0xFFFFFFFF)

    head = struct.pack(">IIBBBBB", 24, 24, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")


def _bmp(rng: Any) -> bytes:
    pixels = rng.randint(0, 256, size=(24, 24, 3)).astype("uint8").tobytes()
    return (
        struct.pack(
            "<2sIHHIIiiHHIIiiII", b"BM", 54 + len(pixels), 0, 0, 54, 40, 24, 24, 1, 24, 0, len(pixels), 0, 0, 0, 0
        )
        + pixels
    )


def _jpeg(rng: Any) -> bytes:
    from .compat_graphs import v1

    pixels = rng.randint(0, 256, size=(24, 24, 3)).astype("uint8")
    with v1().Graph().as_default(), v1().Session() as session:
        return bytes(session.run(v1().image.encode_jpeg(pixels)))


_FORMS = {"wav": _wav, "png": _png, "bmp": _bmp, "jpeg": _jpeg}
