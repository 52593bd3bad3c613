"""Which array goes to which weight: by name, by rank, by structure; and never by guess."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.errors import HarnessError
from harness.matching import Matching, match, variables_of
from harness.matching.names import split_leaf
from harness.matching.rules import Rules, read_rules
from harness.weights import table
from harness.weights.plan import Policies
from harness.worker.tfworker import transforms

Row = tuple[str, str, tuple[int, ...], str]


def model(*rows: Row, dtype: str = "float32") -> list[Any]:
    return variables_of(
        {"layer": layer.split("/"), "role": role, "shape": shape, "dtype": dtype, "class_name": name, "trainable": True}
        for layer, role, shape, name in rows
    )


def dense(*layers: tuple[str, int, int], dtype: str = "float32") -> list[Any]:
    rows: list[Row] = []
    for name, wide, units in layers:
        rows += [(name, "kernel", (wide, units), "Dense"), (name, "bias", (units,), "Dense")]
    return model(*rows, dtype=dtype)


def arrays(**shapes: tuple[int, ...]) -> list[dict[str, Any]]:
    """Arrays of a format that tells nothing but names; two underscores stand for a slash."""
    empty = {"dtype": "float32", "layer": None, "index": None, "leaf": None}
    return [{**empty, "name": name.replace("__", "/"), "shape": list(shape)} for name, shape in shapes.items()]


def keras_file(*rows: tuple[str, str, tuple[int, ...]]) -> list[dict[str, Any]]:
    """Arrays of a Keras weights file: (layer, weight name, shape)."""
    made, count = [], dict[str, int]()
    for layer, weight, shape in rows:
        parts = weight.split(":")[0].split("/")
        index = count[layer] = count.get(layer, -1) + 1
        entry = {"name": "/".join([layer, *parts]), "layer": [layer, *parts[:-1]], "leaf": parts[-1], "index": index}
        made.append({**entry, "shape": list(shape), "dtype": "float32"})
    return made


def pairs(found: Matching) -> dict[str, str]:
    assert (found.problems, found.ambiguous) == ([], [])
    return {move.target.name: ", ".join(move.source) for move in found.moves}


MLP = dense(("dense", 768, 128), ("dense_1", 128, 64), ("dense_2", 64, 1))
TWINS = dense(("a", 8, 8), ("b", 8, 8))


def test_a_list_of_numbered_layers() -> None:
    given = arrays(
        layer1_weights=(768, 128), layer1_bias=(128,), layer2_weights=(128, 64), layer2_bias=(64,),
        layer3_weights=(64, 1), layer3_bias=(1,),
    )  # fmt: skip
    assert pairs(match(given, MLP, ordered=True))["dense_2/kernel"] == "layer3_weights"


def test_generated_names_count_from_one_or_from_nothing() -> None:
    twins = dense(("dense", 8, 8), ("dense_1", 8, 8))
    given = arrays(dense_2_kernel=(8, 8), dense_2_bias=(8,), dense_1_kernel=(8, 8), dense_1_bias=(8,))
    assert pairs(match(given, twins)) == {
        "dense/kernel": "dense_1_kernel", "dense/bias": "dense_1_bias",
        "dense_1/kernel": "dense_2_kernel", "dense_1/bias": "dense_2_bias",
    }  # fmt: skip


def test_generated_names_of_another_number_of_layers_are_no_evidence() -> None:
    """``dense_1`` may be the first or the second layer: its number only counts what was made before."""
    twins = dense(("dense", 8, 8), ("dense_1", 8, 8))
    found = match(arrays(dense_1_kernel=(8, 8), dense_1_bias=(8,)), twins)
    assert not found.moves
    assert len(found.ambiguous) == 2


def test_a_list_without_names_goes_by_its_places() -> None:
    given = arrays(arr_1=(128,), arr_0=(768, 128), arr_10=(1,), arr_2=(128, 64), arr_3=(64,), arr_9=(64, 1))
    assert pairs(match(given, MLP))["dense_2/bias"] == "arr_10"


def test_a_list_of_another_length_is_refused() -> None:
    found = match(arrays(arr_0=(768, 128)), MLP)
    assert found.problems == ["the model has 6 weights, the list 1 arrays: nothing says which are missing or too many"]


def test_two_candidates_of_the_same_shape_stop_the_run() -> None:
    found = match(arrays(fc1_w=(8, 8), fc1_b=(8,), fc2_w=(8, 8), fc2_b=(8,)), TWINS)
    assert found.ambiguous == [
        "a (kernel (8, 8), bias (8,)): fc1, fc2 fit alike (and so does b)",
        "b (kernel (8, 8), bias (8,)): fc1, fc2 fit alike (and so does a)",
    ]
    assert next((v.name, s.name) for v, s in found.proposals) == ("a/kernel", "fc1_w")
    with pytest.raises(HarnessError) as caught:
        table.require(found, Policies(), "target")
    assert caught.value.code == "weights-ambiguous"


def test_known_outputs_may_choose_among_every_pairing() -> None:
    found = match(arrays(fc1_w=(8, 8), fc1_b=(8,), fc2_w=(8, 8), fc2_b=(8,)), TWINS)
    assert len(found.alternatives) == 2
    assert {move.target.name: move.source for move in found.decided(found.alternatives[1]).moves}["a/kernel"] == (
        "fc2_w",
    )
    assert match(arrays(a__kernel=(8, 8)), TWINS).alternatives == [], "nothing to choose"


def test_files_in_the_order_of_the_command_line_decide() -> None:
    found = match(arrays(fc1_w=(8, 8), fc1_b=(8,), fc2_w=(8, 8), fc2_b=(8,)), TWINS, ordered=True)
    assert pairs(found)["b/kernel"] == "fc2_w"
    assert {move.basis for move in found.moves} == {"order of the files"}


def test_the_proposal_confirmed_in_a_mapping_file_decides(tmp_path: Path) -> None:
    given = arrays(fc1_w=(8, 8), fc1_b=(8,), fc2_w=(8, 8), fc2_b=(8,))
    table.write_mapping(tmp_path / "m.toml", match(given, TWINS))
    text = (tmp_path / "m.toml").read_text()
    assert read_rules(tmp_path / "m.toml").map == {}, "what is not sure is a comment"
    switched = "\n".join(line.removeprefix("# ") if "=" in line or "[[" in line else line for line in text.splitlines())
    (tmp_path / "m.toml").write_text(switched)
    found = match(given, TWINS, read_rules(tmp_path / "m.toml"))
    assert pairs(found) == {"a/kernel": "fc1_w", "a/bias": "fc1_b", "b/kernel": "fc2_w", "b/bias": "fc2_b"}


def test_names_that_a_person_gave_decide_between_equal_shapes() -> None:
    given = arrays(net__b__weights=(8, 8), net__b__biases=(8,), net__a__weights=(8, 8), net__a__biases=(8,))
    assert pairs(match(given, TWINS))["a/kernel"] == "net/a/weights"


def test_missing_and_unused_are_all_listed() -> None:
    given = arrays(a__kernel=(8, 8), c__kernel=(3, 3))
    found = match(given, TWINS)
    assert [v.name for v in found.missing] == ["a/bias", "b/kernel", "b/bias"]
    assert [s.name for s in found.unused] == ["c/kernel"]
    with pytest.raises(HarnessError) as caught:
        table.require(found, Policies(), "target")
    assert caught.value.code == "weights-missing"
    assert caught.value.details[:4] == (
        "missing: a/bias (8,)", "missing: b/kernel (8, 8)", "missing: b/bias (8,)", "unused: c/kernel (3, 3)",
    )  # fmt: skip


def test_a_transposed_kernel_is_never_transposed_unasked(tmp_path: Path) -> None:
    given = arrays(a__weight=(4, 8), a__bias=(4,))
    wanted = dense(("a", 8, 4))
    assert match(given, wanted).problems == [
        "a/kernel: expected shape (8, 4), a/weight has (4, 8); a transposition [1, 0] would fit: "
        "say so in the mapping if that is its layout"
    ]
    (tmp_path / "m.toml").write_text('[[transform]]\nmatch = "*/weight"\nop = "to_channels_last"\n')
    assert match(given, wanted, read_rules(tmp_path / "m.toml")).moves[0].transforms == (
        {"op": "transpose", "axes": [1, 0]},
    )


def test_axes_of_length_one_come_and_go() -> None:
    found = match(arrays(prelu__alpha=(10,)), model(("prelu", "alpha", (1, 1, 10), "PReLU")))
    assert found.moves[0].transforms == ({"op": "reshape", "shape": [1, 1, 10]},)


@pytest.mark.parametrize(
    ("dtype", "cast", "steps", "problem"),
    [
        ("float64", "none", (), "`--cast round` allows it (values are rounded once)"),
        ("float64", "exact", (), "`--cast round` allows it (values are rounded once)"),
        ("float64", "round", ({"op": "cast", "dtype": "float32"},), None),
        ("float16", "none", (), "`--cast exact` allows it (every value is kept)"),
        ("float16", "exact", ({"op": "cast", "dtype": "float32"},), None),
        ("bfloat16", "exact", ({"op": "decode", "dtype": "bfloat16"},), None),
        ("int8", "round", (), "give its scale and zero point with a step dequantize in the mapping"),
    ],
)
def test_types_change_only_when_asked(dtype: str, cast: str, steps: tuple[Any, ...], problem: str | None) -> None:
    given = [{**entry, "dtype": dtype} for entry in arrays(a__kernel=(8, 4))]
    found = match(given, model(("a", "kernel", (8, 4), "Dense")), cast=cast)
    assert found.problems[0].endswith(problem) if problem else found.problems == [], found.problems
    assert found.moves[0].transforms == steps


def test_only_fills_the_layers_that_were_named() -> None:
    wanted = model(("conv", "kernel", (3, 3, 1, 4), "Conv2D"), ("head", "kernel", (16, 5), "Dense"))
    found = match(arrays(conv__kernel=(3, 3, 1, 4), head__kernel=(16, 10)), wanted, only=("conv*",))
    assert pairs(found) == {"conv/kernel": "conv/kernel"}
    assert [v.name for v in found.skipped] == ["head/kernel"]
    assert [name for name, _ in found.left_out] == ["head/kernel"]


def test_a_keras_file_names_its_layers_twice() -> None:
    given = keras_file(("conv1", "conv1_3/kernel:0", (8, 8)), ("conv2", "conv2_3/kernel:0", (8, 8)))
    wanted = model(("conv2", "kernel", (8, 8), "Dense"), ("conv1", "kernel", (8, 8), "Dense"))
    assert pairs(match(given, wanted)) == {
        "conv2/kernel": "conv2/conv2_3/kernel",
        "conv1/kernel": "conv1/conv1_3/kernel",
    }


def test_directions_of_a_bidirectional_are_told_apart() -> None:
    given = keras_file(
        ("bi", "bi/forward_lstm/lstm_cell/kernel:0", (4, 8)), ("bi", "bi/backward_lstm/lstm_cell/kernel:0", (4, 8)),
    )  # fmt: skip
    wanted = model(
        ("bi", "backward/kernel", (4, 8), "Bidirectional"), ("bi", "forward/kernel", (4, 8), "Bidirectional")
    )
    assert pairs(match(given, wanted))["bi/backward/kernel"] == "bi/bi/backward_lstm/lstm_cell/kernel"


def test_numbered_variables_of_both_directions() -> None:
    """Keras 3 numbers the variables of each direction; ``backward`` comes first in the file, and second in the layer."""
    given = [
        {
            "name": f"bi/{side}/cell/{i}",
            "layer": ["bi", side, "cell"],
            "leaf": None,
            "index": i,
            "shape": [4, 4],
            "dtype": "float32",
        }
        for side in ("backward_layer", "forward_layer")
        for i in (0, 1)
    ]
    roles = [f"{side}/{role}" for side in ("forward", "backward") for role in ("kernel", "recurrent_kernel")]
    found = pairs(match(given, model(*(("bi", role, (4, 4), "Bidirectional") for role in roles))))
    assert list(found.values()) == [
        "bi/forward_layer/cell/0",
        "bi/forward_layer/cell/1",
        "bi/backward_layer/cell/0",
        "bi/backward_layer/cell/1",
    ]


def test_nested_models_keep_their_layers_apart() -> None:
    given = keras_file(("encoder", "dense_1/kernel:0", (8, 8)), ("decoder", "dense_2/kernel:0", (8, 8)))
    wanted = model(("decoder/dense", "kernel", (8, 8), "Dense"), ("encoder/dense", "kernel", (8, 8), "Dense"))
    assert pairs(match(given, wanted)) == {
        "decoder/dense/kernel": "decoder/dense_2/kernel",
        "encoder/dense/kernel": "encoder/dense_1/kernel",
    }


def test_checkpoints_of_tf2_number_the_layers() -> None:
    given = arrays(**{"layer_with_weights-1__kernel": (8, 8), "layer_with_weights-0__kernel": (8, 8)})
    wanted = model(("x", "kernel", (8, 8), "Dense"), ("y", "kernel", (8, 8), "Dense"))
    assert pairs(match(given, wanted))["x/kernel"] == "layer_with_weights-0/kernel"


@pytest.mark.parametrize(
    ("leaf", "expected"),
    [
        ("kernel:0", ("", "kernel")), ("weights", ("", "kernel")), ("layer1_bias", ("layer1", "bias")),
        ("W_CONV2D", ("CONV2D", "kernel")), ("bn_0_freq_running_std_1:0", ("bn_0_freq", "moving_variance")),
        ("conv1_W_1:0", ("conv1", "kernel")), ("moving_mean", ("", "moving_mean")), ("thing", ("thing", None)),
        ("dense_1_moving_mean", ("dense_1", "moving_mean")),
    ],
)  # fmt: skip
def test_words_for_roles(leaf: str, expected: tuple[str, str | None]) -> None:
    assert split_leaf(leaf) == expected


MAPPING = """
exclude = ["*/Adam"]
drop_prefix = "net/"

[[rename]]
glob = "output_layer1/*"
to = "output_layer/*"

[[rename]]
regex = "^fc(\\\\d)/"
to = "dense_\\\\1/"

[[map]]
target = "lstm/kernel"
source = ["lstm/W_i", "lstm/W_f", "lstm/W_c", "lstm/W_o"]
transforms = [{ op = "concat", axis = 1 }, { op = "gates", axis = 1, from = "ifco", to = "icfo" }]
"""


def test_rules_of_a_mapping_file(tmp_path: Path) -> None:
    (tmp_path / "m.toml").write_text(MAPPING)
    rules = read_rules(tmp_path / "m.toml")
    assert rules.left_out("x/Adam") == "excluded"
    assert rules.renamed("net/output_layer1/kernel") == "output_layer/kernel"
    assert rules.renamed("fc2/w") == "dense_2/w"
    given = arrays(lstm__W_i=(3, 2), lstm__W_f=(3, 2), lstm__W_c=(3, 2), lstm__W_o=(3, 2))
    move = match(given, model(("lstm", "kernel", (3, 8), "LSTM")), rules).moves[0].as_plan()
    assert move["transforms"] == [
        {"op": "concat", "axis": 1, "arrays": ["lstm/W_f", "lstm/W_c", "lstm/W_o"]},
        {"op": "gates", "axis": 1, "order": [0, 2, 1, 3]},
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("x = 1", "x is no key"),
        ('[[map]]\ntarget = "a"', "map 1: expected target and source"),
        ('[[map]]\ntarget = "a"\nsource = ["b", "c"]', "map 1: a: several sources need a step concat"),
        ('[[map]]\ntarget = "a"\nsource = "b"\n[[map]]\ntarget = "a"\nsource = "c"', "map: a stands twice"),
        ('[[transform]]\nmatch = "*"\nop = "melt"', "transform 1: op 'melt' is none of"),
        ('[[transform]]\nmatch = "*"\nop = "transpose"', "transform 1: transpose takes axes, found"),
        ('[[rename]]\nglob = "a*"\nto = "b"', "rename 1: glob and to have different numbers of stars"),
        ('[[rename]]\nregex = "("\nto = "b"', "rename 1: '(' is no regular expression"),
        ("x = ", "is no TOML"),
    ],
)
def test_faults_of_a_mapping_file_are_named(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "m.toml").write_text(text)
    with pytest.raises(HarnessError) as caught:
        read_rules(tmp_path / "m.toml")
    assert caught.value.code == "mapping-invalid"
    assert problem in str(caught.value)


def test_a_mapping_that_names_what_is_not_there_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "m.toml").write_text(
        '[[map]]\ntarget = "a/kernel"\nsource = "x"\n[[map]]\ntarget = "z"\nsource = "a/kernel"\n'
    )
    found = match(arrays(a__kernel=(8, 4)), model(("a", "kernel", (8, 4), "Dense")), read_rules(tmp_path / "m.toml"))
    assert found.problems == [
        "the mapping gives x to a/kernel; there is no such array", "the mapping names z, which the model does not have",
    ]  # fmt: skip


def test_on_missing_takes_four_forms() -> None:
    with pytest.raises(HarnessError):
        Policies(on_missing="seed")
    assert [Policies(on_missing=form).on_missing for form in ("keep", "zeros", "seed:7")] == ["keep", "zeros", "seed:7"]


def test_rows_of_the_report_name_everything() -> None:
    found = match(arrays(a__kernel=(8, 8), c__kernel=(3, 3), d=(1,)), TWINS, Rules(exclude=("d",)))
    made = [(row["target"], row["status"]) for row in table.rows(found, "zeros")]
    assert made == [
        ("a/kernel", "matched"), ("a/bias", "missing"), ("b/kernel", "missing"), ("b/bias", "missing"),
        (None, "unused"), (None, "left out"),
    ]  # fmt: skip


STEPS = [
    ({"op": "concat", "axis": 0, "values": [[[9.0, 9.0]]]}, [[1.0, 2.0], [3.0, 4.0], [9.0, 9.0]]),
    ({"op": "part", "axis": 1, "parts": 2, "index": 1}, [[2.0], [4.0]]),
    ({"op": "gates", "axis": 1, "order": [1, 0]}, [[2.0, 1.0], [4.0, 3.0]]),
    ({"op": "dequantize", "scale": 0.5, "zero_point": 1, "axis": -1, "dtype": "float32"}, [[0.0, 0.5], [1.0, 1.5]]),
    (
        {"op": "dequantize", "scale": [1.0, 2.0], "zero_point": 0, "axis": 1, "dtype": "float32"},
        [[1.0, 4.0], [3.0, 8.0]],
    ),
]


@pytest.mark.parametrize(
    ("step", "expected"), STEPS, ids=lambda value: value.get("op") if isinstance(value, dict) else ""
)
def test_steps(step: dict[str, Any], expected: list[Any]) -> None:
    found = transforms.apply(np.array([[1.0, 2.0], [3.0, 4.0]], "f4"), [step])
    np.testing.assert_array_equal(found, np.array(expected, "f4"))


def test_small_floats_are_decoded_exactly() -> None:
    bits = np.array([0x3F80, 0xC000, 0x7F80], "u2")
    np.testing.assert_array_equal(transforms.apply(bits, [{"op": "decode", "dtype": "bfloat16"}]), [1.0, -2.0, np.inf])
    e4m3 = transforms.apply(np.array([0x38, 0x7E, 0x01, 0xFF], "u1"), [{"op": "decode", "dtype": "float8_e4m3fn"}])
    np.testing.assert_array_equal(e4m3, np.array([1.0, 448.0, 2.0**-9, np.nan], "f4"))
    e5m2 = transforms.apply(np.array([0x3C, 0x7B, 0x7C, 0x01], "u1"), [{"op": "decode", "dtype": "float8_e5m2"}])
    np.testing.assert_array_equal(e5m2, np.array([1.0, 57344.0, np.inf, 2.0**-16], "f4"))
