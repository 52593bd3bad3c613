"""Models of the same version that a CPU can run, for layers that it cannot: channels_first and CuDNN.

They load the weights of the case's own file, so the version's own code says what the file means: kernels do not
depend on the data format, and Keras converts CuDNN weights when they are loaded into plain layers.
"""

import functools


def channels_last(class_name, shape, args):
    """A builder: transpose, the layer in channels_last, and back where the output still is an image.

    Not for locally connected layers, whose kernels depend on the data format.
    """
    # ConvLSTM2D has a time axis in front of the channels.
    lead = [1] if class_name.startswith("ConvLSTM") else []
    rank = len(shape)
    forth = lead + list(range(len(lead) + 2, rank + 1)) + [len(lead) + 1]

    def build(k):
        changed = dict(args)
        if "data_format" in changed:
            changed["data_format"] = "channels_last"
        else:
            changed["axis"] = -1
        x = k.layers.Input(shape=shape)
        y = getattr(k.layers, class_name)(**_resolve(k, changed))(k.layers.Permute(tuple(forth))(x))
        dims = len(y.shape) - 1
        if dims > 1 and (dims == rank or lead):
            skip = lead if dims == rank else []
            y = k.layers.Permute(tuple(skip + [dims] + list(range(len(skip) + 1, dims))))(y)
        return k.models.Model(x, y)

    return build


def _resolve(k, args):
    from zoo import registry

    return registry.resolve(k, args)


class _PlainLayers(object):
    """``k.layers`` where the CuDNN classes make the plain layers that compute the same."""

    def __init__(self, layers):
        self._layers = layers

    def __getattr__(self, name):
        if name == "CuDNNLSTM":
            return functools.partial(self._layers.LSTM, recurrent_activation="sigmoid")
        if name == "CuDNNGRU":
            return functools.partial(self._layers.GRU, recurrent_activation="sigmoid", reset_after=True)
        return getattr(self._layers, name)


class _PlainNamespace(object):
    def __init__(self, k):
        self._k = k
        self.layers = _PlainLayers(k.layers)

    def __getattr__(self, name):
        return getattr(self._k, name)


def plain_rnn(build):
    """The builder of the case with plain layers in place of the CuDNN ones."""
    return lambda k: build(_PlainNamespace(k))
