"""Dropout family and noise: identities at inference, present for their configs and masks."""

from zoo.registry import single, variants

variants(
    "dropout/dropout",
    "Dropout",
    (4, 6),
    {"rate": 0.4},
    {
        "plain": {},
        "zero": {"rate": 0.0},
        "seed": {"seed": 7},
        "noise_shape": {"noise_shape": (None, 1, 6)},
        "noise_shape_list": {"noise_shape": [3, 1, 6]},
    },
)
single("dropout/dropout-int_rate", "Dropout", (6,), {"rate": 0})
single("dropout/alpha_dropout-fixed_noise_shape", "AlphaDropout", (6,), {"rate": 0.2, "noise_shape": [3, 6]}, batch=3)
for _rank, _shape in ((1, (5, 3)), (2, (4, 5, 3)), (3, (3, 4, 2, 3))):
    _name = "SpatialDropout{}D".format(_rank)
    single("dropout/spatial{}d".format(_rank), _name, _shape, {"rate": 0.3})
    if _rank > 1:
        single(
            "dropout/spatial{}d-channels_first".format(_rank),
            _name,
            _shape,
            {"rate": 0.3, "data_format": "channels_first"},
        )
variants(
    "dropout/alpha_dropout",
    "AlphaDropout",
    (6,),
    {"rate": 0.2},
    {"plain": {}, "seed": {"seed": 3}, "noise_shape": {"noise_shape": (1, 6)}},
)
single("dropout/gaussian_dropout", "GaussianDropout", (6,), {"rate": 0.2})
variants("dropout/gaussian_noise", "GaussianNoise", (6,), {}, {"plain": {"stddev": 0.3}, "int": {"stddev": 1}})
for _name, _args in (
    ("Dropout", {"rate": 0.4}),
    ("SpatialDropout1D", {"rate": 0.3}),
    ("GaussianNoise", {"stddev": 0.2}),
    ("GaussianDropout", {"rate": 0.2}),
    ("AlphaDropout", {"rate": 0.2}),
):
    single("dropout/masked-" + _name, _name, (5, 3), _args, mask=True)
