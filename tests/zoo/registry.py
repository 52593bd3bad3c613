"""The table of zoo cases: what a case is, and the helpers that the files in ``cases/`` register them with.

Nothing here imports TensorFlow: a case holds a builder that receives the namespace ``k`` (``tf.keras``
or standalone ``keras``), so that one definition serves every flavour and version, and the table can be
listed and tested anywhere.
"""

import re
from collections import OrderedDict

from zoo import references

ID_PATTERN = re.compile(r"^[a-z0-9_]+/[A-Za-z0-9_.+=-]+$")

# 1: id, tags, applicable, reason, file, sha256, layers, golden, golden_from, golden_reason, reload_failed, nonfinite.
INDEX_SCHEMA = 1

CASES = OrderedDict()


class Case(object):
    """One model: ``build(k)`` returns it, or it and ``train(model, rng)`` to be run on the randomised weights.

    ``domains`` has one input domain per model input (see inputs.py). ``reference(k)`` returns a model that computes
    the same from the same weights, for cases that no CPU can run (see references.py).
    """

    def __init__(self, case_id, build, tags=(), domains=(), free=7, reference=None):
        self.id = case_id
        self.build = build
        self.reference = reference
        self.tags = tuple(sorted(set(tags) | {case_id.split("/")[0]}))
        self.domains = tuple(domains)
        self.free = free

    @property
    def stem(self):
        """File name without extension."""
        return self.id.replace("/", "__")

    def blank_entry(self):
        """The index entry of a case about which nothing is known yet."""
        return {
            "id": self.id,
            "tags": list(self.tags),
            "applicable": False,
            "reason": None,
            "file": None,
            "sha256": None,
            "layers": [],
            "golden": None,
            "golden_from": None,
            "golden_reason": None,
            "reload_failed": False,
            "nonfinite": [],
        }


class Spec(object):
    """An object of the ``k`` namespace that is made when the case is built: layer, regularizer, initializer..."""

    def __init__(self, make):
        self.make = make


def layer(class_name, *args, **kwargs):
    """A layer (or RNN cell) to be constructed inside the arguments of another one."""
    return Spec(lambda k: getattr(k.layers, class_name)(*resolve(k, args), **resolve(k, kwargs)))


def deferred(make):
    """Any other value that needs the namespace: ``deferred(lambda k: k.regularizers.l2(0.1))``."""
    return Spec(make)


def resolve(k, value):
    """The value with every Spec in it made, containers copied so that builders cannot share state."""
    if isinstance(value, Spec):
        return value.make(k)
    if isinstance(value, dict):
        return {key: resolve(k, item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(resolve(k, item) for item in value)
    return value


def add(case_id, build, tags=(), domains=(), free=7, reference=None):
    """Register a case; ids are unique for good, because other files refer to them."""
    if not ID_PATTERN.match(case_id):
        raise ValueError("malformed case id: {!r}".format(case_id))
    if case_id in CASES:
        raise ValueError("duplicate case id: {!r}".format(case_id))
    CASES[case_id] = Case(case_id, build, tags, domains, free, reference)


def case(case_id, tags=(), domains=(), free=7, reference=None):
    """Decorator form of :func:`add`."""

    def register(build):
        add(case_id, build, tags, domains, free, reference)
        return build

    return register


def placeholder(k, shape, batch=None, dtype=None, name=None):
    """A symbolic input; standalone Keras and tf.keras agree on these keywords only."""
    named = {key: value for key, value in (("dtype", dtype), ("name", name)) if value is not None}
    if batch is not None:
        return k.layers.Input(batch_shape=(batch,) + tuple(shape), **named)
    return k.layers.Input(shape=tuple(shape), **named)


def single(case_id, class_name, shape, args=None, mask=False, domain=None, dtype=None, batch=None, tags=(), free=7):
    """Register input -> (Masking) -> one layer. A layer that returns several tensors gives several outputs."""
    args = dict(args or {})

    def build(k):
        x = placeholder(k, shape, batch, dtype)
        y = k.layers.Masking(0.0)(x) if mask else x
        y = getattr(k.layers, class_name)(**resolve(k, args))(y)
        return k.models.Model(x, y)

    tags = tuple(tags) + (("masked",) if mask else ())
    if args.get("data_format") == "channels_first":
        tags += ("channels_first",)
    if args.get("stateful"):
        tags += ("stateful",)
    reference = None
    if "channels_first" in tags and not class_name.startswith("LocallyConnected"):
        reference = references.channels_last(class_name, shape, args)
    elif "cudnn" in tags:
        reference = references.plain_rnn(build)
    add(case_id, build, tags, [domain or ("masked" if mask else "normal")], free, reference)


def variants(prefix, class_name, shape, base, table, **options):
    """Register one single-layer case per row ``suffix: arguments`` of ``table``, on top of ``base``."""
    for suffix, args in table.items():
        merged = dict(base)
        merged.update(args)
        single("{}-{}".format(prefix, suffix), class_name, shape, merged, **options)


def merge(case_id, class_name, shapes, args=None, masks=(), domains=None, tags=()):
    """Register a layer of several inputs; input ``i`` is masked when ``masks[i]`` is true."""
    args = dict(args or {})
    masks = tuple(masks) + (False,) * (len(shapes) - len(masks))

    def build(k):
        inputs = [placeholder(k, shape) for shape in shapes]
        tensors = [k.layers.Masking(0.0)(x) if mask else x for x, mask in zip(inputs, masks)]
        return k.models.Model(inputs, getattr(k.layers, class_name)(**resolve(k, args))(tensors))

    found = domains or ["masked" if mask else "normal" for mask in masks]
    add(case_id, build, tuple(tags) + (("masked",) if any(masks) else ()), found)


def load_all():
    """The full table, after importing every module of ``cases/``."""
    from zoo import cases

    cases.load()
    return CASES
