"""Layers that came after TensorFlow 1: only the later tf.keras versions build these."""

from zoo.registry import layer, single

for _name, _class, _shape, _args in (
    ("rescaling", "Rescaling", (6,), {"scale": 0.5, "offset": 0.1}),
    ("einsum_dense", "EinsumDense", (6,), {"equation": "ab,bc->ac", "output_shape": 4, "bias_axes": "c"}),
    ("resizing", "Resizing", (4, 5, 2), {"height": 6, "width": 7}),
    ("center_crop", "CenterCrop", (6, 6, 2), {"height": 4, "width": 3}),
    ("normalization", "Normalization", (6,), {"mean": 0.5, "variance": 2.0}),
    ("random_flip", "RandomFlip", (6, 6, 2), {}),
    ("random_rotation", "RandomRotation", (6, 6, 2), {"factor": 0.1}),
    ("spectral_normalization", "SpectralNormalization", (6,), {"layer": layer("Dense", 4)}),
):
    single("modern/" + _name, _class, _shape, _args)
