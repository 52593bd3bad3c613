"""Pooling layers of one, two and three dimensions, local and global, and their aliases."""

from zoo.registry import single, variants

SHAPES = {1: (9, 3), 2: (8, 7, 3), 3: (6, 5, 7, 2)}
LOCAL = {
    "plain": {},
    "same": {"padding": "same"},
    "pool3": {"pool_size": 3},
    "strides1": {"strides": 1},
    "strides3_same": {"pool_size": 2, "strides": 3, "padding": "same"},
    "overlapping": {"pool_size": 3, "strides": 2},
    "channels_first": {"data_format": "channels_first"},
}
for _rank, _shape in SHAPES.items():
    for _kind in ("Max", "Average"):
        _prefix = "pooling/{}{}d".format(_kind.lower(), _rank)
        variants(_prefix, "{}Pooling{}D".format(_kind, _rank), _shape, {}, LOCAL)
        _global = "Global{}Pooling{}D".format(_kind, _rank)
        variants(
            _prefix,
            _global,
            _shape,
            {},
            {
                "global": {},
                "global_channels_first": {"data_format": "channels_first"},
                "global_channels_last": {"data_format": "channels_last"},
                "global_keepdims": {"keepdims": True},
            },
        )
        _short = "Max" if _kind == "Max" else "Avg"
        single(_prefix + "-alias", "{}Pool{}D".format(_short, _rank), _shape, tags=["alias"])
        single(_prefix + "-global_alias", "Global{}Pool{}D".format(_short, _rank), _shape, tags=["alias"])

for _kind in ("Max", "Average"):
    variants(
        "pooling/{}2d".format(_kind.lower()),
        _kind + "Pooling2D",
        SHAPES[2],
        {},
        {
            "uneven": {"pool_size": (2, 3)},
            "strides_uneven_same": {"pool_size": (3, 2), "strides": (2, 1), "padding": "same"},
        },
    )
    single("pooling/{}3d-uneven".format(_kind.lower()), _kind + "Pooling3D", SHAPES[3], {"pool_size": (1, 2, 3)})
    single("pooling/{}1d-free_length".format(_kind.lower()), _kind + "Pooling1D", (None, 3))
    single("pooling/{}2d-global_free_size".format(_kind.lower()), "Global{}Pooling2D".format(_kind), (None, None, 3))
# A masked average counts only the real steps from 1.13 on; before, the mask was refused or dropped.
single("pooling/average1d-global_masked", "GlobalAveragePooling1D", (6, 3), mask=True)
single("pooling/max1d-global_masked", "GlobalMaxPooling1D", (6, 3), mask=True)
single("pooling/average1d-global_masked_gaps", "GlobalAveragePooling1D", (6, 3), mask=True, domain="gaps")
