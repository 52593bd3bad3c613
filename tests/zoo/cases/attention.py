"""Attention, AdditiveAttention and MultiHeadAttention: scale, causality, values apart from keys, masks."""

from zoo.registry import add, merge, placeholder

_QV = [(4, 3), (5, 3)]
for _class, _name in (("Attention", "dot"), ("AdditiveAttention", "additive")):
    _id = "attention/" + _name
    merge(_id + "-plain", _class, _QV)
    merge(_id + "-key", _class, _QV + [(5, 3)])
    merge(_id + "-use_scale", _class, _QV, {"use_scale": True})
    merge(_id + "-no_scale", _class, _QV, {"use_scale": False})
    merge(_id + "-causal", _class, [(5, 3), (5, 3)], {"causal": True})
    merge(_id + "-causal_scale", _class, [(5, 3), (5, 3)], {"causal": True, "use_scale": True})
    merge(_id + "-mask_query", _class, _QV, masks=(True, False))
    merge(_id + "-mask_value", _class, _QV, masks=(False, True))
    merge(_id + "-mask_both", _class, _QV, masks=(True, True))
    merge(_id + "-free_length", _class, [(None, 3), (None, 3)])
    merge(_id + "-dropout", _class, _QV, {"dropout": 0.2})

    def build(k, c=_class):
        inputs = [placeholder(k, (n,)) for n in (4, 5)]
        shared = k.layers.Embedding(9, 3, mask_zero=True)
        query, value = [shared(x) for x in inputs]
        found = getattr(k.layers, c)()([query, value])
        pooled = [k.layers.GlobalAveragePooling1D()(t) for t in (query, found)]
        return k.models.Model(inputs, k.layers.Concatenate()(pooled))

    add(_id + "-embedded", build, ("masked", "shared"), ["ids:9", "ids:9"])


def _self_attention(k):
    x = placeholder(k, (5, 4))
    return k.models.Model(x, k.layers.Attention()([x, x]))


def _multi_head(k):
    query, value = placeholder(k, (4, 3)), placeholder(k, (5, 3))
    return k.models.Model([query, value], k.layers.MultiHeadAttention(2, 3)(query, value))


add("attention/dot-self", _self_attention)
add("attention/multi_head", _multi_head)
