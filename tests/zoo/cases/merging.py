"""Merge layers: two and three inputs, broadcasting, masks on some or all, concatenation axes, Dot ranks and axes."""

from zoo.registry import merge

ELEMENTWISE = ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum")
for _name in ELEMENTWISE:
    _id = "merging/" + _name.lower()
    merge(_id + "-two", _name, [(6,), (6,)])
    if _name != "Subtract":
        merge(_id + "-three", _name, [(6,), (6,), (6,)])
        merge(_id + "-broadcast_axis", _name, [(4, 6), (1, 6)])
        merge(_id + "-broadcast_rank", _name, [(4, 6), (6,)])
    merge(_id + "-rank4", _name, [(3, 4, 2), (3, 4, 2)])
    merge(_id + "-free_length", _name, [(None, 3), (None, 3)])
    merge(_id + "-mask_both", _name, [(5, 3), (5, 3)], masks=(True, True))
    merge(_id + "-mask_first", _name, [(5, 3), (5, 3)], masks=(True,))
    merge(_id + "-mask_second", _name, [(5, 3), (5, 3)], masks=(False, True))
    merge(_id + "-mask_differs", _name, [(5, 3), (5, 3)], masks=(True, True), domains=["masked", "gaps"])
    merge(_id + "-named", _name, [(6,), (6,)], {"name": "joined"})

for _name, _shapes, _axis in (
    ("default", [(4, 3), (4, 2)], None),
    ("axis1", [(2, 3), (4, 3)], 1),
    ("axis2", [(4, 3), (4, 2)], 2),
    ("minus2", [(2, 3), (4, 3)], -2),
    ("image", [(3, 4, 2), (3, 4, 5)], 3),
    ("image_axis1", [(3, 4, 2), (2, 4, 2)], 1),
    ("vectors", [(3,), (2,)], -1),
    ("three", [(3,), (2,), (4,)], -1),
):
    merge("merging/concatenate-" + _name, "Concatenate", _shapes, {} if _axis is None else {"axis": _axis})
for _name, _masks, _axis in (
    ("both", (True, True), -1),
    ("first", (True, False), -1),
    ("second", (False, True), -1),
    ("time", (True, True), 1),
    ("time_first", (True, False), 1),
):
    merge("merging/concatenate-mask_" + _name, "Concatenate", [(5, 3), (5, 3)], {"axis": _axis}, masks=_masks)
merge(
    "merging/concatenate-mask_differs", "Concatenate", [(5, 3), (5, 3)], masks=(True, True), domains=["masked", "gaps"]
)

for _name, _shapes, _axes in (
    ("vectors", [(4,), (4,)], 1),
    ("vectors_minus", [(4,), (4,)], -1),
    ("matrices_21", [(3, 4), (4, 5)], (2, 1)),
    ("matrices_22", [(3, 4), (5, 4)], 2),
    ("matrices_11", [(4, 3), (4, 5)], 1),
    ("matrices_12", [(4, 3), (5, 4)], (1, 2)),
    ("matrices_list", [(3, 4), (5, 4)], [2, 2]),
    ("matrices_minus", [(3, 4), (5, 4)], -1),
    ("matrix_vector", [(3, 4), (4,)], (2, 1)),
    ("vector_matrix", [(4,), (3, 4)], (1, 2)),
    ("rank4_rank4", [(2, 3, 4), (2, 4, 5)], (3, 2)),
    ("rank4_same", [(2, 3, 4), (2, 5, 4)], 3),
    ("rank4_rank3", [(2, 3, 4), (4, 5)], (3, 1)),
    ("rank4_rank3_shared", [(2, 3, 4), (2, 4)], (3, 2)),
    ("rank3_rank4", [(3, 4), (2, 4, 5)], (2, 2)),
):
    for _normalize in (False, True):
        merge(
            "merging/dot-{}{}".format(_name, "-normalized" if _normalize else ""),
            "Dot",
            _shapes,
            {"axes": _axes, "normalize": _normalize},
        )
merge("merging/dot-masked", "Dot", [(5, 3), (5, 3)], {"axes": 2}, masks=(True, True))
