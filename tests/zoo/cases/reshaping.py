"""Reshape, Permute, Flatten, RepeatVector, Cropping, ZeroPadding and UpSampling."""

from zoo.registry import single, variants

for _name, _shape, _target in (
    ("matrix", (12,), (3, 4)),
    ("inferred", (12,), (-1, 2)),
    ("flat", (3, 4), (12,)),
    ("flat_inferred", (3, 4), (-1,)),
    ("rank4", (12,), (2, 2, 3)),
    ("same", (3, 4), (3, 4)),
    ("column", (6,), (6, 1)),
):
    single("reshaping/reshape-" + _name, "Reshape", _shape, {"target_shape": _target})
single("reshaping/reshape-list", "Reshape", (12,), {"target_shape": [4, 3]})
single("reshaping/reshape-free", "Reshape", (None, 4), {"target_shape": (-1, 2)})
for _dims in ((2, 1), (1, 2), (1, 3, 2), (3, 1, 2), (3, 2, 1), (4, 1, 3, 2)):
    single("reshaping/permute-" + "".join(map(str, _dims)), "Permute", (2, 3, 4, 5)[: len(_dims)], {"dims": _dims})
for _shape in ((6,), (3, 4), (2, 3, 4), (2, 3, 2, 2)):
    for _format in (None, "channels_last", "channels_first"):
        single(
            "reshaping/flatten-rank{}-{}".format(len(_shape) + 1, _format or "default"),
            "Flatten",
            _shape,
            {"data_format": _format} if _format else {},
        )
single("reshaping/flatten-free", "Flatten", (None, 3))
variants("reshaping/repeat_vector", "RepeatVector", (5,), {}, {"one": {"n": 1}, "three": {"n": 3}})

SHAPES = {1: (8, 3), 2: (7, 6, 3), 3: (6, 5, 7, 2)}
_CROP = {
    1: {"int": 1, "pair": (1, 2), "none": 0, "default": None},
    2: {"int": 1, "pair": (1, 2), "nested": ((1, 2), (0, 1)), "zero_end": ((2, 0), (1, 0)), "default": None},
    3: {"int": 1, "triple": (1, 2, 0), "nested": ((1, 2), (0, 1), (2, 0)), "default": None},
}
for _rank, _table in _CROP.items():
    for _class, _argument in (("Cropping", "cropping"), ("ZeroPadding", "padding")):
        _prefix = "reshaping/{}{}d".format(_class.lower(), _rank)
        _layer = "{}{}D".format(_class, _rank)
        for _name, _value in _table.items():
            single("{}-{}".format(_prefix, _name), _layer, SHAPES[_rank], {} if _value is None else {_argument: _value})
        if _rank > 1:
            _first = SHAPES[_rank][-1:] + SHAPES[_rank][:-1]
            single(_prefix + "-channels_first", _layer, _first, {_argument: 1, "data_format": "channels_first"})
            single(
                _prefix + "-channels_first_nested",
                _layer,
                _first,
                {_argument: ((1, 0),) + ((0, 1),) * (_rank - 1), "data_format": "channels_first"},
            )
variants("reshaping/upsampling1d", "UpSampling1D", SHAPES[1], {}, {"default": {}, "three": {"size": 3}})
variants(
    "reshaping/upsampling2d",
    "UpSampling2D",
    SHAPES[2],
    {},
    {
        "default": {},
        "three": {"size": 3},
        "uneven": {"size": (1, 3)},
        "nearest": {"size": (2, 2), "interpolation": "nearest"},
        "bilinear": {"interpolation": "bilinear"},
        "bilinear_three": {"size": 3, "interpolation": "bilinear"},
        "bilinear_uneven": {"size": (2, 3), "interpolation": "bilinear"},
        "bicubic": {"interpolation": "bicubic"},
        "channels_first": {"data_format": "channels_first"},
        "channels_first_bilinear": {"data_format": "channels_first", "interpolation": "bilinear"},
    },
)
single("reshaping/upsampling2d-free_size", "UpSampling2D", (None, None, 2))
single("reshaping/upsampling2d-bilinear_free_size", "UpSampling2D", (None, None, 2), {"interpolation": "bilinear"})
variants(
    "reshaping/upsampling3d",
    "UpSampling3D",
    (3, 2, 4, 2),
    {},
    {
        "default": {},
        "three": {"size": 3},
        "uneven": {"size": (1, 2, 3)},
        "channels_first": {"data_format": "channels_first"},
    },
)
