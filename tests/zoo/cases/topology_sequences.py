"""Sequence models: encoder-decoder, characters and words, taggers, attention by hand, masks of several kinds."""

from zoo.registry import case, placeholder


def _sequence(name, domains=("normal",), tags=()):
    return case("sequences/" + name, ("topology",) + tuple(tags), domains)


def _encoder_decoder(k, cell, states, masked, inputs=(5, 4)):
    source, target = (placeholder(k, (n,)) for n in inputs)
    embed = [k.layers.Embedding(n, 4, mask_zero=masked) for n in (11, 9)]
    encoded = getattr(k.layers, cell)(4, return_state=True)(embed[0](source))
    decoder = getattr(k.layers, cell)(4, return_sequences=True, return_state=True)
    decoded = decoder(embed[1](target), initial_state=encoded[1 : 1 + states])
    return k.models.Model([source, target], k.layers.Dense(9, activation="softmax")(decoded[0]))


for _cell, _states in (("LSTM", 2), ("GRU", 1), ("SimpleRNN", 1)):
    for _masked in (False, True):
        _sequence(
            "encoder_decoder-{}{}".format(_cell.lower(), "-masked" if _masked else ""),
            ("ids:11", "ids:9"),
            ("initial_state",) + (("masked",) if _masked else ()),
        )(lambda k, c=_cell, s=_states, m=_masked: _encoder_decoder(k, c, s, m))


@_sequence("encoder_decoder-free_length", ("ids:11", "ids:9"), ["initial_state"])
def _free(k):
    return _encoder_decoder(k, "LSTM", 2, False, (None, None))


@_sequence("encoder_decoder-bidirectional", ("normal", "normal"), ["initial_state"])
def _bidirectional(k):
    source, target = placeholder(k, (5, 3)), placeholder(k, (4, 3))
    found = k.layers.Bidirectional(k.layers.LSTM(3, return_state=True))(source)
    states = [k.layers.Concatenate()([found[i], found[j]]) for i, j in ((1, 3), (2, 4))]
    return k.models.Model([source, target], k.layers.LSTM(6)(target, initial_state=states))


@_sequence("decoder_with_state_inputs", ("ids:9", "normal", "normal"), ["initial_state"])
def _inference_decoder(k):
    x, h, c = placeholder(k, (1,)), placeholder(k, (4,)), placeholder(k, (4,))
    y, h2, c2 = k.layers.LSTM(4, return_sequences=True, return_state=True)(
        k.layers.Embedding(9, 4)(x), initial_state=[h, c]
    )
    return k.models.Model([x, h, c], [k.layers.Dense(9, activation="softmax")(y), h2, c2])


@_sequence("conditioned_on_features", ("normal", "normal"), ["initial_state"])
def _conditioned(k):
    image, x = placeholder(k, (6,)), placeholder(k, (5, 3))
    state = [k.layers.Dense(4, activation="tanh")(image) for _ in range(2)]
    return k.models.Model([image, x], k.layers.LSTM(4, return_sequences=True)(x, initial_state=state))


def _characters_and_words(k, mask_zero):
    words, characters = placeholder(k, (5,)), placeholder(k, (5, 6))
    word = k.layers.Embedding(11, 4, mask_zero=mask_zero)(words)
    character = k.layers.TimeDistributed(k.layers.Embedding(9, 3, mask_zero=mask_zero))(characters)
    character = k.layers.TimeDistributed(k.layers.Bidirectional(k.layers.LSTM(2)))(character)
    y = k.layers.SpatialDropout1D(0.2)(k.layers.concatenate([word, character]))
    y = k.layers.Bidirectional(k.layers.LSTM(3, return_sequences=True, recurrent_dropout=0.2))(y)
    return k.models.Model([words, characters], k.layers.TimeDistributed(k.layers.Dense(4, activation="softmax"))(y))


_sequence("characters_and_words", ("ids:11", "ids:9"))(lambda k: _characters_and_words(k, False))
_sequence("characters_and_words-masked", ("ids:11", "ids:9"), ["masked"])(lambda k: _characters_and_words(k, True))


def _tagger(k, mask_zero, sequences):
    x = placeholder(k, (6,))
    y = k.layers.Embedding(11, 4, mask_zero=mask_zero)(x)
    for _ in range(2):
        y = k.layers.Bidirectional(k.layers.LSTM(3, return_sequences=True))(y)
    y = k.layers.TimeDistributed(k.layers.Dense(4, activation="relu"))(y)
    return k.models.Model(x, k.layers.Dense(3, activation="softmax")(y if sequences else k.layers.GRU(3)(y)))


for _masked in (False, True):
    for _sequences in (False, True):
        _sequence(
            "tagger-{}{}".format("steps" if _sequences else "last", "-masked" if _masked else ""),
            ("ids:11",),
            ("masked",) if _masked else (),
        )(lambda k, m=_masked, s=_sequences: _tagger(k, m, s))


@_sequence("masks_of_two_kinds", ("ids:11", "masked"), ["masked"])
def _two_masks(k):
    tokens, features = placeholder(k, (6,)), placeholder(k, (6, 3))
    y = k.layers.concatenate([k.layers.Embedding(11, 4, mask_zero=True)(tokens), k.layers.Masking()(features)])
    return k.models.Model([tokens, features], k.layers.LSTM(3)(y))


@_sequence("mask_through_residual", ("ids:11",), ["masked"])
def _mask_residual(k):
    x = placeholder(k, (6,))
    y = k.layers.Embedding(11, 4, mask_zero=True)(x)
    y = k.layers.Add()([y, k.layers.LSTM(4, return_sequences=True)(y)])
    return k.models.Model(x, k.layers.GRU(3)(k.layers.Activation("tanh")(y)))


@_sequence("mask_through_activity_regularization", ("ids:11",), ["masked"])
def _mask_activity(k):
    x = placeholder(k, (6,))
    y = k.layers.Embedding(11, 4, mask_zero=True)(x)
    y = k.layers.Dense(3, activity_regularizer=k.regularizers.l2(0.01))(k.layers.ActivityRegularization(l2=0.01)(y))
    return k.models.Model(x, k.layers.LSTM(3)(y))


@_sequence("mask_through_nested", ("ids:11",), ["masked", "nested"])
def _mask_nested(k):
    inside = placeholder(k, (6,))
    inner = k.models.Model(inside, k.layers.Embedding(11, 4, mask_zero=True)(inside))
    x = placeholder(k, (6,))
    return k.models.Model(x, k.layers.LSTM(3, return_sequences=True)(inner(x)))


@_sequence("mask_into_nested", ("ids:11",), ["masked", "nested"])
def _mask_into_nested(k):
    inside = placeholder(k, (6, 4))
    inner = k.models.Model(inside, k.layers.LSTM(3, return_sequences=True)(inside))
    x = placeholder(k, (6,))
    return k.models.Model(x, inner(k.layers.Embedding(11, 4, mask_zero=True)(x)))


@_sequence("attention_by_hand", ("normal",))
def _attention_by_hand(k):
    x = placeholder(k, (6, 3))
    h = k.layers.LSTM(4, return_sequences=True)(x)
    score = k.layers.Softmax(axis=1)(k.layers.Dense(1, activation="tanh")(h))
    return k.models.Model(x, k.layers.Flatten()(k.layers.Dot((1, 1))([h, score])))


@_sequence("attention_repeat_permute", ("normal",))
def _attention_permute(k):
    x = placeholder(k, (6, 3))
    h = k.layers.LSTM(4, return_sequences=True)(x)
    a = k.layers.Activation("softmax")(k.layers.Flatten()(k.layers.Dense(1, activation="tanh")(h)))
    a = k.layers.Permute((2, 1))(k.layers.RepeatVector(4)(a))
    return k.models.Model(x, k.layers.GlobalMaxPooling1D()(k.layers.multiply([h, a])))


@_sequence("convolutions_then_lstm", ("normal",))
def _convolutions(k):
    x = placeholder(k, (8, 8, 1))
    y = k.layers.MaxPooling2D((1, 2))(k.layers.Conv2D(2, 3, padding="same", activation="relu")(x))
    y = k.layers.Reshape((8, 8))(y)
    return k.models.Model(x, k.layers.Bidirectional(k.layers.GRU(3, return_sequences=True))(y))


@_sequence("text_cnn", ("ids:11",))
def _text_cnn(k):
    x = placeholder(k, (8,))
    e = k.layers.Embedding(11, 4)(x)
    found = [k.layers.GlobalMaxPooling1D()(k.layers.Conv1D(2, n, activation="relu")(e)) for n in (2, 3, 4)]
    return k.models.Model(x, k.layers.Dense(2, activation="softmax")(k.layers.concatenate(found)))


@_sequence("wavenet_block", ("normal",))
def _wavenet(k):
    x = placeholder(k, (12, 2))
    y = k.layers.Conv1D(2, 1)(x)
    for rate in (1, 2, 4):
        gates = [
            k.layers.Conv1D(2, 2, padding="causal", dilation_rate=rate, activation=a)(y) for a in ("tanh", "sigmoid")
        ]
        y = k.layers.add([y, k.layers.Conv1D(2, 1)(k.layers.multiply(gates))])
    return k.models.Model(x, y)
