"""Seeded inputs that respect a domain: token ids below the vocabulary, trailing zeros for masks, and so on."""

import numpy as np

ROWS = 4

# The points where piecewise activations bend: relu6, hard_sigmoid (old and new), thresholds.
KNEES = (0.0, -2.5, 2.5, 6.0, -3.0, 3.0, 1.0, -1.0, 1e-3, -1e-3, 7.0, 20.0, -20.0)


def normal(rng, shape, _argument):
    return rng.normal(0.0, 1.2, shape)


def positive(rng, shape, _argument):
    return rng.uniform(0.1, 2.0, shape)


def wide(rng, shape, _argument):
    """Values over [-8, 8] that also hit every knee exactly."""
    values = rng.uniform(-8.0, 8.0, int(np.prod(shape)))
    values[: len(KNEES)] = KNEES[: len(values)]
    return values.reshape(shape)


def masked(rng, shape, _argument):
    """Row 0 is full, row r loses up to r trailing time steps: a Masking(0.0) layer sees different lengths."""
    values = rng.normal(0.0, 1.2, shape)
    for row in range(1, shape[0]):
        values[row, max(1, shape[1] - row) :] = 0.0
    return values


def gaps(rng, shape, _argument):
    """Masked steps at the start and in the middle too, where step-wise and length-wise masking differ."""
    values = masked(rng, shape, None)
    values[1, 0] = 0.0
    values[-1, 1:2] = 0.0
    return values


def ids(rng, shape, argument):
    """Token ids 1..V-1 with trailing zeros; every row starts with at least one real token."""
    values = rng.randint(1, int(argument), shape)
    for row in range(1, shape[0]):
        if len(shape) > 1:
            values[row, ..., max(1, shape[-1] - row) :] = 0
    return values


def onehot(rng, shape, argument):
    return np.eye(int(argument))[rng.randint(0, int(argument), shape[:-1])]


def flags(rng, shape, _argument):
    """Booleans with the first step always true, so that no row is masked entirely."""
    values = rng.uniform(size=shape) < 0.6
    values[:, 0] = True
    return values


DOMAINS = {
    "normal": normal,
    "positive": positive,
    "wide": wide,
    "masked": masked,
    "gaps": gaps,
    "ids": ids,
    "onehot": onehot,
    "flags": flags,
}


def make(domain, shape, dtype, rng):
    """One array for a model input; ``domain`` is a name of DOMAINS, with an argument after a colon.

    Every float is one that float32 holds: ``predict`` of TensorFlow 2 rounds float64 inputs to floatx before the model.
    """
    name, _, argument = domain.partition(":")
    values = np.asarray(DOMAINS[name](rng, shape, argument))
    return (values.astype("float32") if values.dtype == "float64" else values).astype(dtype)


def make_all(case, shapes, dtypes, rng):
    """One array per model input; a free batch dimension becomes ROWS, any other free dimension ``case.free``."""
    domains = case.domains or ("normal",) * len(shapes)
    if len(domains) != len(shapes):
        raise ValueError("{}: {} domains for {} inputs".format(case.id, len(domains), len(shapes)))
    arrays = []
    for domain, shape, dtype in zip(domains, shapes, dtypes):
        known = [
            ROWS if axis == 0 and size is None else case.free if size is None else size
            for axis, size in enumerate(shape)
        ]
        arrays.append(make(domain, tuple(known), dtype, rng))
    return arrays
