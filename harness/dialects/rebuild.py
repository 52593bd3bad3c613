"""Layers that Keras 3 lacks, or computes differently, rebuilt from its native pieces (see :class:`Expansion`)."""

from __future__ import annotations

from typing import Any

from harness.dialects.expand import Expansion, Tensor
from harness.dialects.rules import Layer

#: marks the sampling of old resize ops between the step that knows of it and the one that rebuilds it
LEGACY_BILINEAR = "bilinear, corner-sampled (TF up to 1.14)"
#: set on a Bidirectional whose version did not zero masked steps
KEEPS_MASKED_STEPS = "keeps_masked_steps"
#: set on a Bidirectional of TF 1.13, which gives zeros as its last output where the last step is masked
ZEROES_LAST_OUTPUT = "zeroes_last_output"
#: config keys between steps: this Dot is an outer product over the other axes, or a product of matrices
OUTER_DOT, MATMUL_DOT = "outer_dot", "dot_as_matmul"
#: config key between steps: this layer hands a mask on without looking at it
IGNORES_MASK = "ignores_mask"
#: config key between steps: this RNN takes and returns the states of its last cell first
REVERSED_STATES = "states_last_cell_first"
#: an activation between steps: relu6(x + 3)/6, which Keras 2 does not have
HARD_SIGMOID = "hard_sigmoid (Keras 3)"
FUSED_EPSILON = 1.001e-5
_RNN_MERGES = {"sum": "Add", "mul": "Multiply", "ave": "Average", "concat": "Concatenate"}


def masked_bidirectional(layer: Layer) -> None:
    """Old wrappers hand masked steps on as they are; Keras 3's forces zeros there (and again at every load).
    It also refuses a wrapped layer that goes backwards already.
    """
    keeps = layer.config.pop(KEEPS_MASKED_STEPS, False)
    zeroes = layer.config.pop(ZEROES_LAST_OUTPUT, False)
    inner = layer.config["layer"]
    config = inner["config"]
    if zeroes and layer.masked and not config.get("return_sequences"):
        two_directions(layer, zeroes=True)
        return
    alike = config.get("go_backwards") and not layer.config.get("backward_layer")
    if not alike and not (keeps and layer.masked and config.get("return_sequences")):
        return
    two_directions(layer)
    if layer.expansion is not None and layer.masked and config.get("return_sequences"):
        layer.mask_rule = "same"


def two_directions(layer: Layer, *, zeroes: bool = False) -> None:
    """A Bidirectional as forward layer, backward layer, flip and merge, which is what the wrapper does.

    ``zeroes``: TF 1.13 gave zeros as the last output where the last step is masked; that is the last of a sequence
    whose masked steps are zero.
    """
    inner = layer.config["layer"]
    config = inner["config"]
    if len(layer.input_specs) != 1:
        return
    if config.get("return_state") or config.get("stateful"):
        layer.refuse("a masked Bidirectional that returns or keeps its state", "return the sequences only")
        return
    backward = layer.config.get("backward_layer") or {
        "class_name": inner["class_name"],
        "config": {**config, "go_backwards": not config.get("go_backwards", False)},
    }
    made = Expansion(layer)
    (x,) = made.inputs
    more = {"return_sequences": True, "zero_output_for_mask": True} if zeroes else {}
    ahead = made.add(inner["class_name"], {**config, **more}, x, name="forward")
    back = made.add(backward["class_name"], {**backward["config"], **more}, x, name="backward")
    if zeroes:
        ahead, back = (made.operation("Take", {"axis": 1}, side, indices=-1) for side in (ahead, back))
    if config.get("return_sequences"):
        back = made.operation("Flip", {"axis": 1}, back)
    outputs = [ahead, back]
    merge = layer.config.get("merge_mode", "concat")
    if merge:
        outputs = [made.add(_RNN_MERGES[merge], {"axis": -1} if merge == "concat" else {}, ahead, back, name="merge")]
    for side in ("forward", "backward"):
        for role in _roles(layer, side):
            layer.weight(f"{side}/{role}", to=f"{side}:{role}")
    if zeroes:
        made.done(*outputs, why="TF 1.13 gave zeros where the last step is masked, today's gives the last valid output")
        return
    made.done(*outputs, why="today's Bidirectional sets masked steps to zero, the old one keeps them")


def _roles(layer: Layer, side: str) -> list[str]:
    return [role.split("/", 1)[1] for role in layer.weight_shapes if role.startswith(f"{side}/")]


def bilinear_upsampling(layer: Layer) -> None:
    """Old bilinear sampling: out[q f + p] = in[q] (1 - p/f) + in[q + 1] p/f, the last pixel repeated.

    Nearest upsampling followed by a mean over f neighbours is the same sum. Sizes that are free are built
    this way for half-pixel sampling too, since Keras 3 cannot resize them.
    """
    mode = layer.config.get("interpolation")
    first = layer.config.get("data_format") == "channels_first"
    shape = layer.input_specs[0][0]
    spatial = shape[2:4] if first else shape[1:3]
    free = mode == "bilinear" and None in spatial
    if mode != LEGACY_BILINEAR and not free:
        return
    size = layer.config["size"]
    factors = [size, size] if isinstance(size, int) else list(size)
    made = Expansion(layer)
    (x,) = made.inputs
    if first:
        x = made.add("Permute", {"dims": [2, 3, 1]}, x)
    x = made.add("UpSampling2D", {"size": factors, "interpolation": "nearest"}, x)
    before = [0 if mode == LEGACY_BILINEAR else (f - 1) // 2 if f % 2 else f // 2 for f in factors]
    after = [f - 1 if mode == LEGACY_BILINEAR else b for f, b in zip(factors, before, strict=True)]
    pads = [[0, 0], *[[b, a] for b, a in zip(before, after, strict=True)], [0, 0]]
    x = made.operation("Pad", {"pad_width": pads, "mode": "symmetric"}, x)
    x = made.add("AveragePooling2D", {"pool_size": factors, "strides": 1}, x)
    if free and any(f % 2 == 0 for f in factors):
        # An even factor samples between two pixels: the mean of two neighbouring means.
        x = made.add("AveragePooling2D", {"pool_size": [2 - f % 2 for f in factors], "strides": 1}, x)
    if first:
        x = made.add("Permute", {"dims": [3, 1, 2]}, x)
    made.done(x, why="bilinear sampling of the old version, which today's does not have")


def causal_separable(layer: Layer) -> None:
    """SeparableConv1D without ``padding="causal"``: pad on the left, then a valid convolution."""
    if layer.config.get("padding") != "causal":
        return
    kernel, dilation = (_first(layer.config[key]) for key in ("kernel_size", "dilation_rate"))
    made = Expansion(layer)
    x = made.add("ZeroPadding1D", {"padding": [dilation * (kernel - 1), 0]}, *made.inputs)
    x = made.add("SeparableConv1D", {**layer.config, "padding": "valid"}, x, name="conv")
    _move_weights(layer, "conv")
    made.done(x, why="SeparableConv1D of this Keras does no causal padding")


def _first(value: Any) -> int:
    return int(value[0] if isinstance(value, list) else value)


def _move_weights(layer: Layer, inner: str) -> None:
    for role in layer.weight_shapes:
        target = layer.target(role)
        layer.weight(role, to=f"{inner}:{target}")


def softmax_without_mask(layer: Layer) -> None:
    """Old Softmax hands a mask on without looking at it; today's leaves masked values out."""
    if not layer.config.pop(IGNORES_MASK, False) or not layer.masked:
        return
    if isinstance(layer.config.get("axis"), list):
        layer.refuse("a masked softmax over several axes", "remove the mask before it")
        return
    made = Expansion(layer)
    x = made.add("Activation", {"activation": "softmax"}, *made.inputs)
    if layer.config.get("axis", -1) not in (-1, len(layer.input_specs[0][0]) - 1):
        layer.refuse("a masked softmax over another axis than the last", "permute the axes around it")
    made.done(x, why="the old Softmax ignores masks")


def time_major(layer: Layer) -> None:
    """Recurrent layers that take (time, batch, …): the same layer between two transpositions."""
    if not layer.config.pop("time_major", False):
        return
    if layer.config.get("stateful") or len(layer.input_specs) != 1:
        layer.refuse("time_major=True with states", "transpose around the layer in the source model")
        return
    shape = layer.input_specs[0][0]
    swap = {"axes": [1, 0, *range(2, len(shape))]}
    made = Expansion(layer)
    x = made.operation("Transpose", swap, *made.inputs)
    config = _as_keras3(layer.config)
    first = made.add(layer.class_name, config, x, name="recurrent")
    states = [[first[0], 0, i + 1] for i in range(_state_count(layer))] if config.get("return_state") else []
    if config.get("return_sequences"):
        first = made.operation("Transpose", {"axes": [1, 0, 2]}, first)
    _move_weights(layer, "recurrent")
    made.done(first, *states, why="Keras 3 layers take (batch, time, …) only")


def _as_keras3(config: dict[str, Any]) -> dict[str, Any]:
    cell = config.get("cell")
    if not isinstance(cell, dict):
        return dict(config)
    return {**config, "cell": {"module": "keras.layers", "registered_name": None, **cell}}


def _state_count(layer: Layer) -> int:
    """States of a recurrent layer or cell: two for an LSTM, else one."""
    cell = layer.config.get("cell")
    name = cell["class_name"] if isinstance(cell, dict) else layer.class_name
    if name == "StackedRNNCells" and isinstance(cell, dict):
        return sum(2 if c["class_name"] == "LSTMCell" else 1 for c in cell["config"]["cells"])
    return 2 if "LSTM" in name else 1


def reversed_states(layer: Layer, *, keras3: bool = True) -> None:
    """Stacked cells whose states come and go last cell first: the same layer, the states put into order around it.

    In Keras 2 (not ``keras3``) a call takes no list of states for cells that have several.
    """
    if not layer.config.pop(REVERSED_STATES, False):
        return
    cells = layer.config["cell"]["config"]["cells"]
    counts = [2 if cell["class_name"] == "LSTMCell" else 1 for cell in cells]
    starts = [sum(counts[i + 1 :]) for i in range(len(cells))]  # where the last-first order has each cell's states
    order = [start + i for start, count in zip(starts, counts, strict=True) for i in range(count)]
    made = Expansion(layer)
    x, *states = made.inputs
    if states and len(states) != len(order):
        layer.refuse("stacked cells with constants beside their states", "use one RNN layer for each cell")
        return
    if states and not keras3 and max(counts) > 1:
        layer.refuse("stacked LSTM cells that are given their first states", "migrate to Keras 3 (tf2.21)")
        return
    first = made.add(
        "RNN",
        _as_keras3(layer.config) if keras3 else dict(layer.config),
        x,
        *[states[i] for i in order if states],
        name="recurrent",
    )
    out = [[first[0], 0, 1 + order.index(i)] for i in range(len(order))] if layer.config.get("return_state") else []
    _move_weights(layer, "recurrent")
    made.done(first, *out, why="Keras 2.1 counts the states of stacked cells from the last cell")


def lone_stacked_cell(layer: Layer) -> None:
    """StackedRNNCells of one cell does not run in Keras 3; it is that cell."""
    cell = layer.config.get("cell")
    if isinstance(cell, dict) and cell["class_name"] == "StackedRNNCells" and len(cell["config"]["cells"]) == 1:
        layer.config["cell"] = cell["config"]["cells"][0]
        for role in list(layer.weight_shapes):
            target = layer.target(role)
            layer.weight(role, to=target.replace("cells/0/", "", 1))
        layer.note("cell", "StackedRNNCells of one cell", layer.config["cell"]["class_name"], "the same cell alone")


def is_fused(layer: Layer) -> bool:
    """Whether a normalisation is computed by TensorFlow's fused kernel."""
    rank = len(layer.input_specs[0][0]) if layer.input_specs else 0
    axis = layer.config.get("axis")
    axis = axis[0] if isinstance(axis, list) and len(axis) == 1 else axis
    return (
        rank == 4 and axis in (1, 3, -1) and not layer.config.get("renorm") and layer.config.get("fused") is not False
    ) and layer.config.get("virtual_batch_size") is None


def fused_epsilon(layer: Layer) -> None:
    """TF1's fused kernel raises a small epsilon to 1.001e-5 (cuDNN's minimum, applied on every device)."""
    if is_fused(layer) and layer.config.get("epsilon", 1e-3) < FUSED_EPSILON:
        layer.set("epsilon", FUSED_EPSILON, "the smallest epsilon of TF1's fused kernel")


def masked_merge(layer: Layer) -> None:
    """Merges of masked inputs: values without regard to masks, and a mask that is true where all masks are."""
    if not layer.masked:
        return
    layer.mask_rule = "concatenate" if layer.class_name == "Concatenate" else "all"
    if layer.class_name not in ("Multiply", "Maximum", "Minimum"):
        return
    made = Expansion(layer)
    x = made.inputs[0]
    for other in made.inputs[1:]:
        x = made.operation(layer.class_name, {}, x, other)
    made.done(x, why="Keras 3 leaves masked values out of this merge, the old one did not")


def broadcast_sum(layer: Layer) -> None:
    """A sum over inputs of different shapes, without Keras 3's addition.

    Up to Keras 3.15 at least, ``ops.add`` takes a second operand with one static size above 1 for a bias: where a batch is
    as large as an axis of the first operand, (batch, 1) is added along that axis. A difference has no such case, and
    x - (-y) is x + y in floating point.
    """
    if not broadcasts([shape for shape, _ in layer.input_specs]) or layer.expansion is not None:
        return
    if layer.masked:
        layer.refuse("a sum of masked inputs of different shapes", "bring the inputs to one shape before it")
        return
    made = Expansion(layer)
    total = made.inputs[0]
    for other in made.inputs[1:]:
        total = made.add("Subtract", {}, total, made.operation("Negative", {}, other))
    if layer.class_name == "Average":
        total = made.operation("TrueDivide", {}, total, x2=float(len(made.inputs)))
    made.done(total, why="Keras 3 takes an input that is broadcast for a bias at some batch sizes")


def broadcasts(shapes: list[list[int | None]]) -> bool:
    """Whether operands of these shapes are not known to have the same."""
    if len({len(shape) for shape in shapes}) > 1:
        return True
    return any(len(set(sizes)) > 1 and 1 in sizes for sizes in zip(*shapes, strict=True))


def distributed_mask(layer: Layer) -> None:
    """TimeDistributed handed on the masks that its inner layer makes, or reduces; Keras 3 does neither."""
    inner = layer.config.get("layer") or {}
    config = inner.get("config") or {}
    makes = inner.get("class_name") == "Masking" or (inner.get("class_name") == "Embedding" and config.get("mask_zero"))
    if inner.get("class_name") == "Bidirectional":
        config = config["layer"]["config"]
    reduces = layer.masked and "return_sequences" in config and not config["return_sequences"]
    if makes or reduces:
        layer.mask_rule = "time_distributed"


#: layers that do the same to every step whether they are told of the steps or not
PER_STEP = {"Dense", "Activation", "Dropout", "LayerNormalization", "ReLU", "LeakyReLU", "ELU", "Masking"}


def free_time_distributed(layer: Layer) -> None:
    """Over a free number of steps, Keras 3.15's TimeDistributed takes the batch size for the number of steps."""
    shape = layer.input_specs[0][0] if layer.input_specs else [None, 1]
    inner = layer.config.get("layer") or {}
    if inner.get("class_name") in ("Model", "Sequential", "Functional"):
        layer.refuse(
            "it wraps a model that does not know the shape of its input",
            "give the first layer inside an input_shape in the source model, and save it again",
        )
        return
    if "graph" in inner and layer.masked:
        layer.refuse(
            "a mask reaches a model that is applied to every step",
            "take the mask away before it in the source model (mask_zero=False)",
        )
        return
    if shape[1] is not None or layer.obstacles:
        return
    norm = inner.get("class_name") == "BatchNormalization" and inner["config"].get("axis") in (-1, len(shape) - 2)
    if inner.get("class_name") not in PER_STEP and not norm:
        layer.refuse(
            f"TimeDistributed({inner.get('class_name', 'Model')}) over a free number of steps is computed wrongly by Keras 3",
            "fix the number of steps in the source model's input shape",
        )
        return
    layer.note("class_name", f"TimeDistributed({inner['class_name']})", inner["class_name"], "the same for every step")
    layer.class_name = inner["class_name"]
    layer.config = {**inner["config"], **({"axis": -1} if norm else {})}


def matmul_dot(layer: Layer) -> None:
    """Dot of two inputs of rank 4 and more: the old batch_dot was a matrix product over all leading axes."""
    matmul = layer.config.pop(MATMUL_DOT, False)
    ranks = [len(shape) for shape, _ in layer.input_specs]
    if not matmul or len(ranks) != 2 or ranks[0] != ranks[1] or ranks[0] < 4:
        return
    rank, axes = ranks[0], layer.config["axes"]
    left, right = (a % rank for a in ([axes, axes] if isinstance(axes, int) else axes))
    swap = {"dims": [*range(1, rank - 2), rank - 1, rank - 2]}
    made = Expansion(layer)
    x, y = made.inputs
    if layer.config.get("normalize"):
        x, y = (made.add("UnitNormalization", {"axis": a}, t) for t, a in ((x, left), (y, right)))
    if left != rank - 1:
        x = made.add("Permute", swap, x)
    if right == rank - 1:
        y = made.add("Permute", swap, y)
    made.done(made.operation("Matmul", {}, x, y), why="today's Dot is an outer product over the other axes here")


def activation_behind(layer: Layer, operation: str) -> None:
    """The layer with a linear activation, and the activation as an operation behind it."""
    made = Expansion(layer)
    (x,) = made.inputs
    before = layer.config["activation"]
    if layer.class_name != "Activation":
        x = made.add(layer.class_name, {**layer.config, "activation": "linear"}, x, name="linear")
        _move_weights(layer, "linear")
    made.done(made.operation(operation, {}, x), why=f"this Keras does not know {before} by name")


def layers_behind(layer: Layer, activation: Any) -> None:
    """The layer with a linear activation, and the activation made of layers behind it; a dict is such a layer."""
    name = activation["class_name"] if isinstance(activation, dict) else activation
    if layer.masked:
        layer.refuse(
            f"{name} in a masked layer: it is made of several layers, which lose the mask", "use another activation"
        )
        return
    made = Expansion(layer)
    (x,) = made.inputs
    if layer.class_name != "Activation":
        x = made.add(layer.class_name, {**layer.config, "activation": "linear"}, x, name="linear")
        _move_weights(layer, "linear")
    if isinstance(activation, dict):
        x = made.add(activation["class_name"], activation["config"], x, name="activation")
    elif activation == HARD_SIGMOID:
        x = _new_hard_sigmoid(made, x)
    elif activation in ("swish", "silu"):
        x = made.add("Multiply", {}, x, made.add("Activation", {"activation": "sigmoid"}, x, name="gate"), name="swish")
    elif activation == "relu6":
        x = made.add("ReLU", {"max_value": 6.0}, x, name="relu6")
    else:
        x = made.add("LeakyReLU", {"alpha": 0.2}, x, name="leaky_relu")
    made.done(x, why=f"this Keras does not know {name} by name; these layers compute the same")


def _new_hard_sigmoid(made: Expansion, x: Tensor) -> Tensor:
    """Keras 3's relu6(x + 3)/6 from layers of Keras 2: its hard_sigmoid, clip(0.2 x + 0.5, 0, 1), of 5/6 x.

    5/6 x is the mean of five times the input and zero, for want of a layer that multiplies by a number.
    """
    zero = made.add("ReLU", {"max_value": 0.0}, x, name="zero")
    scaled = made.add("Average", {}, x, x, x, x, x, zero, name="five_sixths")
    return made.add("Activation", {"activation": "hard_sigmoid"}, scaled, name="hard_sigmoid")


def refuse_gates(layer: Layer, key: str) -> None:
    """Inside a layer, an activation cannot be made of layers."""
    layer.refuse(
        f"{key}: hard_sigmoid is relu6(x + 3)/6 in Keras 3, and clip(0.2x + 0.5, 0, 1) before",
        "migrate with --hard-sigmoid fold, which divides the weights before it by 1.2",
    )
