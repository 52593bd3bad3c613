"""Where a chain ends in Keras 2 (of TensorFlow 2.3 or 2.15, or tf_keras): what the steps before have marked is built.

Keras 2 means by most configs of TF 1.x what TF 1.x meant. The steps note what does not follow (see ``tf2_steps.py``);
here it is rebuilt from this Keras's own pieces, objects take its form, and every argument must be one it knows.
"""

from __future__ import annotations

import json
import re
from importlib import resources
from typing import Any

from harness.dialects import activations, normalization, objects, rebuild
from harness.dialects.rules import EVERY, Layer, Rule, Table, refuse

#: dialect -> class -> arguments, read from the real versions (``tests/integration/scripts/layer_arguments.py``)
ARGUMENTS: dict[str, dict[str, list[str]]] = json.loads(
    resources.files(__package__).joinpath("keras2_arguments.json").read_text(encoding="utf-8")
)
_BASE = {"name", "trainable", "dtype", "activity_regularizer"}
_ACTIVATIONS = {
    "linear", "relu", "elu", "selu", "softmax", "softplus", "softsign", "tanh", "sigmoid", "exponential", "swish",
    objects.OLD_HARD_SIGMOID,
}  # fmt: skip
ACTIVATIONS = {"tf2.3": _ACTIVATIONS, "tf2.15": _ACTIVATIONS | {"gelu", "mish"}}
#: functions of TensorFlow that models name as activations and Keras 2 does not find by name
_FUNCTIONS = {"relu6": "Relu6", "leaky_relu": "LeakyRelu", "log_softmax": "LogSoftmax", "crelu": "Crelu"}
#: what a TensorFlowOpLayer may compute: operations of nothing but their inputs
PURE = re.compile(
    r"(Abs|Acos|Add(V2|N)?|All|Any|Arg(Max|Min)|Asin|Atan2?|AvgPool|BatchMatMul(V2)?|BatchToSpaceND|BiasAdd|Cast|Ceil|"
    r"ClipByValue|Concat(V2)?|Conv2D|Conv3D|DepthwiseConv2dNative|LRN|MaxPool|MaxPoolV2|SpaceToBatchND|IdentityN|"
    r"Cos|Cosh|Cumsum|DepthToSpace|Div|DivNoNan|Einsum|Elu|Equal|Erf|Exp|ExpandDims|Expm1|Fill|Floor(Div|Mod)?|"
    r"Gather(Nd|V2)?|Greater(Equal)?|Identity|Inv|L2Loss|LeakyRelu|Less(Equal)?|Log|Log1p|LogSoftmax|Logical\w+|MatMul|"
    r"Max|Maximum|Mean|Min|Minimum|MirrorPad|Mod|Mul|Neg|NotEqual|OneHot|OnesLike|Pack|Pad(V2)?|Pow|Prod|Range|Rank|"
    r"RealDiv|Reciprocal|Relu6?|Reshape|Resize\w+|Reverse(V2)?|Rint|Round|Rsqrt|Select(V2)?|Selu|Shape|Sigmoid|Sign|"
    r"Sin|Sinh|Size|Slice|Softmax|Softplus|Softsign|SpaceToDepth|Split(V)?|Sqrt|Square|SquaredDifference|Squeeze|"
    r"StopGradient|StridedSlice|Sub|Sum|Tan|Tanh|Tile|TopK(V2)?|Transpose|Unpack|Where|ZerosLike)"
)


def common(layer: Layer) -> None:
    """What every config shares: shape keys, dtype policies, and objects in Keras 2's form."""
    config = layer.config
    if layer.class_name != "InputLayer":
        config.pop("batch_input_shape", None)  # stands in the model's input layer already
    objects.dtype(config)
    for key in list(config):
        value = config[key] = objects.scalar(config[key])
        if value is None:
            continue
        if key.endswith("_initializer"):
            config[key] = _plain(objects.initializer(layer, key, value))
        elif key.endswith("_regularizer"):
            config[key] = _plain(objects.regularizer(layer, key, value))
        elif key.endswith("_constraint") and objects.name_of(value) not in ("RadialConstraint", "radial_constraint"):
            config[key] = _plain(objects.constraint(layer, key, value))


def _plain(value: Any) -> Any:
    """An object as Keras 2 writes it: class and config, without a module."""
    if isinstance(value, dict) and "class_name" in value:
        return {"class_name": value["class_name"], "config": value["config"]}
    return value


def dense_input(layer: Layer) -> None:
    if layer.config.pop("sparse", False) or layer.config.pop("ragged", False):
        layer.refuse("sparse and ragged inputs are not migrated", "densify the input in the source model")


def _bidirectional(layer: Layer) -> None:
    """Since TF 1.13 the wrapper sets masked steps to zero, and does so again at every load."""
    keeps = layer.config.pop(rebuild.KEEPS_MASKED_STEPS, False)
    sequences = layer.config["layer"]["config"].get("return_sequences")
    if layer.config.pop(rebuild.ZEROES_LAST_OUTPUT, False) and layer.masked and not sequences:
        rebuild.two_directions(layer, zeroes=True)
        return
    if not (keeps and layer.masked and sequences):
        return
    if layer.config.get("merge_mode", "concat") is None:
        layer.mask_rule = "same"  # flipping it loses the mask of the backward direction, which here goes on for itself
    rebuild.two_directions(layer)


def _upsampling(layer: Layer) -> None:
    if layer.config.get("interpolation") == rebuild.LEGACY_BILINEAR:
        rebuild.bilinear_upsampling(layer)


def _reversed_states(layer: Layer) -> None:
    rebuild.reversed_states(layer, keras3=False)


def tensorflow_operation(layer: Layer) -> None:
    """An operation of TensorFlow that stood in the graph as a layer: it still does, if it only computes."""
    found = re.search(r"""["']?\bop["']?\s*:\s*["'](\w+)["']""", str(layer.config.get("node_def")))
    if not (found and PURE.fullmatch(found.group(1))):
        layer.refuse(
            f"the operation {found.group(1) if found else 'in it'} is not one that only computes from its inputs",
            "replace it in the source model by built-in layers",
        )


def _activation(dialect: str) -> Rule:
    """Activations that this Keras does not know by name become an operation behind the layer."""
    known = ACTIVATIONS[dialect]

    def rule(layer: Layer) -> None:
        for key in ("activation", "recurrent_activation"):
            value = layer.config.get(key)
            if value == "silu":
                layer.set(key, "swish", "the same function")
            elif _of_layers(value) and key == "activation" and layer.class_name in ENDS_WITH_ACTIVATION:
                rebuild.layers_behind(layer, value)
            elif value == rebuild.HARD_SIGMOID:
                rebuild.refuse_gates(layer, key)
            elif isinstance(value, dict):
                layer.refuse(f"{key} is an object ({value.get('class_name')})", "use a layer of its own for it")
            elif value in _FUNCTIONS and key == "activation" and layer.class_name in ENDS_WITH_ACTIVATION:
                rebuild.activation_behind(layer, _FUNCTIONS[value])
            elif value is not None and value not in known:
                layer.refuse(
                    f"{key}: the activation {value!r} is not one of this Keras",
                    "use one that is built in, or a newer target",
                )

    return rule


def _of_layers(value: Any) -> bool:
    """Whether an activation is a layer, or has to be made of layers."""
    return isinstance(value, dict) or value == rebuild.HARD_SIGMOID


ENDS_WITH_ACTIVATION = {
    "Activation", "Dense", "Conv1D", "Conv2D", "Conv3D", "Conv2DTranspose", "Conv3DTranspose", "SeparableConv1D",
    "SeparableConv2D", "DepthwiseConv2D", "LocallyConnected1D", "LocallyConnected2D",
}  # fmt: skip


def finish(dialect: str) -> Rule:
    """Every argument that is left must be one of the class in this Keras; anything else is named, not ignored."""
    known = ARGUMENTS[dialect]

    def rule(layer: Layer) -> None:
        if layer.expansion is not None or layer.obstacles or layer.class_name not in known:
            return
        allowed = _BASE.union(known[layer.class_name])
        for key in sorted(set(layer.config) - allowed):
            layer.refuse(
                f"the argument {key}={layer.config[key]!r} has no known translation",
                "report it with this line; a rule for it is missing",
            )

    return rule


def _table(dialect: str) -> Table:
    rules: Table = {
        EVERY: (common, _activation(dialect)),
        **dict.fromkeys(ARGUMENTS[dialect], ()),
        "InputLayer": (dense_input,),
        "BatchNormalization": (normalization.virtual_batches, normalization.renormalised),
        "Bidirectional": (_bidirectional,),
        "RNN": (_reversed_states,),
        # TensorFlow 2.3 fails when it is called with this padding.
        "SeparableConv1D": (rebuild.causal_separable,) if dialect == "tf2.3" else (),
        "UpSampling2D": (_upsampling,),
        "ReLU": (activations.negative_threshold,),
        "Softmax": (rebuild.softmax_without_mask,),
        "Dot": (rebuild.matmul_dot,),
        "TensorFlowOpLayer": (tensorflow_operation,),
        "Lambda": (refuse("a Lambda holds Python bytecode", "replace it by a built-in layer"),),
    }
    return rules


TABLES: dict[str, Table] = {dialect: _table(dialect) for dialect in ARGUMENTS if not dialect.startswith("tf1")}
