"""Layers with the channels first, computed with the channels last, so that the source TensorFlow can be asked on a CPU.

TF 1.x has no CPU kernels for most of these layers; standalone Keras transposes by itself, tf.keras does not. A
layer keeps its config and its weights (kernels have one layout only); its ``call`` transposes what comes in,
computes as the same layer of the other data format, and transposes back. That is what channels first means.
"""

from typing import Any, Dict, List

from . import compat

_LAYERS = ("Conv1D", "Conv2D", "Conv3D", "Conv2DTranspose", "Conv3DTranspose", "SeparableConv1D", "SeparableConv2D")
_LAYERS += ("DepthwiseConv2D", "MaxPooling2D", "AveragePooling2D")
_DONE = "_computes_channels_last"


_transposed = []  # type: List[Dict[str, str]]


def transpose_on_cpu(keras: Any) -> List[Dict[str, str]]:
    """Teach the layers of tf.keras up to TF 2.3 to compute channels first on a CPU; any other Keras can.

    Returns a list to which every layer that transposes adds its entry (layer, before, after) when it is called.
    """
    del _transposed[:]
    tf = compat.import_tensorflow()
    if keras is not getattr(tf, "keras", None) or not tf.__version__.startswith(("1.", "2.3.")):
        return _transposed
    for name in _LAYERS:
        for cls in getattr(keras.layers, name).__mro__:
            if "call" in vars(cls) and cls.__module__.split(".")[-1] in ("convolutional", "pooling"):
                _wrap(cls, tf)
    for cls in keras.layers.BatchNormalization.__mro__:
        if "_fused_batch_norm" in vars(cls):
            _wrap_norm(cls, tf)
    return _transposed


def _last(rank: int) -> List[int]:
    return [0] + list(range(2, rank)) + [1]


def _first(rank: int) -> List[int]:
    return [0, rank - 1] + list(range(1, rank - 1))


def _wrap(cls: Any, tf: Any) -> None:
    plain = cls.call
    if getattr(plain, _DONE, False):
        return

    def call(self: Any, inputs: Any) -> Any:
        if self.data_format != "channels_first":  # or a subclass has transposed already
            return plain(self, inputs)
        rank = len(inputs.shape)
        kept = {"data_format": self.data_format, "input_spec": self.input_spec}
        changed = {"data_format": "channels_last"}
        if hasattr(self, "_tf_data_format"):  # TensorFlow 2.3 decides in the constructor
            kept.update(_tf_data_format=self._tf_data_format, _channels_first=self._channels_first)
            changed.update(_tf_data_format="N%sC" % "DHW"[5 - rank :], _channels_first=False)
        if hasattr(self, "_convolution_op"):
            kept["_convolution_op"] = self._convolution_op
            nn = getattr(getattr(tf, "compat", None), "v1", tf).nn  # TensorFlow 2 calls the argument `dilations`
            changed["_convolution_op"] = lambda x, kernel: nn.convolution(
                x,
                kernel,
                padding="VALID" if self.padding == "causal" else self.padding.upper(),
                strides=list(self.strides),
                dilation_rate=list(self.dilation_rate),
            )
        return _as(self, kept, changed, plain, tf.transpose(inputs, _last(rank)), tf)

    setattr(call, _DONE, True)
    cls.call = call


def _wrap_norm(cls: Any, tf: Any) -> None:
    plain = cls._fused_batch_norm
    if getattr(plain, _DONE, False):
        return

    def fused(self: Any, inputs: Any, training: Any) -> Any:
        if self._data_format != "NCHW":
            return plain(self, inputs, training)

        def normalise(layer: Any, x: Any) -> Any:
            return plain(layer, x, training)

        kept = {"_data_format": self._data_format}
        return _as(self, kept, {"_data_format": "NHWC"}, normalise, tf.transpose(inputs, _last(4)), tf)

    setattr(fused, _DONE, True)
    cls._fused_batch_norm = fused


def _as(layer: Any, kept: Any, changed: Any, plain: Any, inputs: Any, tf: Any) -> Any:
    """What ``plain`` computes while the layer has other attributes, transposed back."""
    class_name = type(layer).__name__
    entry = {"layer": layer.name, "before": class_name + " with channels first"}
    entry["after"] = class_name + " with channels last, between transpositions,"
    if entry not in _transposed:
        _transposed.append(entry)
    try:
        for name, value in changed.items():
            setattr(layer, name, value)
        outputs = plain(layer, inputs)
    finally:
        for name, value in kept.items():
            setattr(layer, name, value)
    return tf.transpose(outputs, _first(len(outputs.shape)))
