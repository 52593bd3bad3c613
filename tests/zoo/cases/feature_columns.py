"""DenseFeatures over feature columns (1.13 and later)."""

from zoo.registry import add, placeholder


def _features(case_id, columns, inputs, domains):
    """A model whose inputs are a dictionary of named features."""

    def build(k):
        import tensorflow as tf

        given = {name: placeholder(k, shape, dtype=dtype, name=name) for name, shape, dtype in inputs}
        y = k.layers.DenseFeatures(columns(tf.feature_column))(given)
        return k.models.Model(list(given.values()), k.layers.Dense(3)(y))

    add("feature_columns/" + case_id, build, ("feature_column",), domains)


_features("numeric", lambda fc: [fc.numeric_column("age")], [("age", (1,), None)], ["normal"])
_features(
    "two_numeric",
    lambda fc: [fc.numeric_column("age"), fc.numeric_column("size", shape=(3,))],
    [("age", (1,), None), ("size", (3,), None)],
    ["normal", "normal"],
)
_features(
    "bucketized",
    lambda fc: [fc.bucketized_column(fc.numeric_column("age"), [-0.5, 0.0, 1.0])],
    [("age", (1,), None)],
    ["normal"],
)
_features(
    "indicator",
    lambda fc: [fc.indicator_column(fc.categorical_column_with_identity("kind", 5))],
    [("kind", (1,), "int64")],
    ["ids:5"],
)
_features(
    "embedding",
    lambda fc: [fc.embedding_column(fc.categorical_column_with_identity("kind", 5), 3)],
    [("kind", (1,), "int64")],
    ["ids:5"],
)
