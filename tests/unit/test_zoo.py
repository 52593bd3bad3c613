"""The table of zoo cases and its index, without any TensorFlow."""

from __future__ import annotations

import ast
import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from zoo import configs, generate, inputs, registry, weights, writer

ZOO = Path(__file__).resolve().parent.parent / "zoo"
CASES = registry.load_all()
ENTRY_TYPES = {
    "id": str, "tags": list, "applicable": bool, "reason": (str, type(None)), "file": (str, type(None)),
    "sha256": (str, type(None)), "layers": list, "golden": (str, type(None)), "golden_from": (str, type(None)),
    "golden_reason": (str, type(None)), "reload_failed": bool, "nonfinite": list,
}  # fmt: skip


def test_the_table_is_large() -> None:
    assert len(CASES) > 1500


def test_ids_are_well_formed_and_differ_on_file_systems_that_ignore_case() -> None:
    assert all(registry.ID_PATTERN.match(case_id) for case_id in CASES)
    assert len({case.stem.lower() for case in CASES.values()}) == len(CASES)


def test_a_duplicate_id_is_refused() -> None:
    taken = next(iter(CASES))
    with pytest.raises(ValueError, match=re.escape(f"duplicate case id: '{taken}'")):
        registry.add(taken, lambda k: None)


@pytest.mark.parametrize("case_id", ["no_family", "a/b/c", "a/with space", "A/b", "a/../b", "a/"])
def test_a_malformed_id_is_refused(case_id: str) -> None:
    with pytest.raises(ValueError, match="malformed case id"):
        registry.add(case_id, lambda k: None)


def test_what_no_cpu_can_run_has_a_reference() -> None:
    assert all(case.reference for case in CASES.values() if "cudnn" in case.tags)


def test_the_family_is_a_tag() -> None:
    assert all(case_id.split("/")[0] in case.tags for case_id, case in CASES.items())


def test_every_domain_is_known() -> None:
    named = {domain.partition(":")[0] for case in CASES.values() for domain in case.domains}
    assert named <= set(inputs.DOMAINS)


def test_a_blank_entry_has_the_schema_of_the_index() -> None:
    entry = next(iter(CASES.values())).blank_entry()
    assert set(entry) == set(ENTRY_TYPES)
    assert all(isinstance(entry[name], kind) for name, kind in ENTRY_TYPES.items())
    json.dumps(entry, allow_nan=False)


def test_specs_are_made_afresh_for_every_build() -> None:
    k = SimpleNamespace(layers=SimpleNamespace(Dense=lambda *args, **kwargs: [args, kwargs]))
    args = {"layer": registry.layer("Dense", 4, use_bias=False), "sizes": [1, (2, 3)]}
    first, second = registry.resolve(k, args), registry.resolve(k, args)
    assert first == {"layer": [(4,), {"use_bias": False}], "sizes": [1, (2, 3)]}
    assert first["layer"] is not second["layer"]
    assert first["sizes"] is not args["sizes"]


def test_inputs_differ_by_row_and_follow_their_domain() -> None:
    rng = np.random.RandomState(0)
    tokens = inputs.make("ids:9", (4, 6), "int32", rng)
    assert tokens.max() < 9
    assert [int((row == 0).sum()) for row in tokens] == [0, 1, 2, 3]
    steps = inputs.make("masked", (4, 6, 3), "float32", rng)
    assert [int((~row.any(axis=-1)).sum()) for row in steps] == [0, 1, 2, 3]
    assert inputs.make("flags", (4, 6), "bool", rng)[:, 0].all()
    assert (inputs.make("onehot:5", (4, 6, 5), "float32", rng).sum(axis=-1) == 1).all()
    assert set(np.float32(inputs.KNEES)) <= set(inputs.make("wide", (4, 24), "float64", rng).ravel())


def test_free_dimensions_are_filled_in() -> None:
    case = registry.Case("a/b", None, domains=["normal", "ids:4"])
    arrays = inputs.make_all(case, [(None, None, 3), (2, 5)], ["float32", "int32"], np.random.RandomState(0))
    assert [array.shape for array in arrays] == [(inputs.ROWS, 7, 3), (2, 5)]


def test_a_missing_domain_is_an_error() -> None:
    case = registry.Case("a/b", None, domains=["normal"])
    with pytest.raises(ValueError, match="a/b: 1 domains for 2 inputs"):
        inputs.make_all(case, [(None, 3), (None, 3)], ["float32"] * 2, np.random.RandomState(0))


@pytest.mark.parametrize("name", ["bn/moving_variance:0", "bn/renorm_stddev:0", "bn_1/renorm_mean_weight:0"])
def test_variances_stay_positive(name: str) -> None:
    values = weights.sample(name, (100,), np.random.RandomState(0))
    assert values.min() >= 0.5
    assert values.max() <= 2.0


def test_class_names_are_found_inside_wrappers_but_initializers_are_not_layers() -> None:
    inner = {"class_name": "LSTM", "config": {"kernel_initializer": {"class_name": "Zeros", "config": {}}}}
    config = {"class_name": "Sequential", "config": [{"class_name": "Bidirectional", "config": {"layer": inner}}]}
    assert writer.class_names(config) == {"Sequential", "Bidirectional", "LSTM"}


def test_the_snapshot_of_configs_lists_distinct_values() -> None:
    table: dict[str, dict[str, list[object]]] = {}
    for units in (3, 4, 3):
        configs.collect({"layers": [{"class_name": "Dense", "config": {"units": units, "name": "d"}}]}, table)
    assert table == {"Dense": {"units": [3, 4], "name": ["d"]}}


def test_bytecode_stays_out_of_the_snapshot() -> None:
    code = "4wEAAAAAAAAAAQAAAAIAAABDAAAAcwgAAAB8AGQBFABTACkCTmcAAAAAAAAAQKkAKQHaAXhyAQAA\nAHIBAAAA\n"
    table: dict[str, dict[str, list[object]]] = {}
    configs.collect({"class_name": "Lambda", "config": {"function": [code, None, [2.5]]}}, table)
    assert table == {"Lambda": {"function": [["<bytecode>", None, [2.5]]]}}


def test_a_new_index_keeps_other_entries_and_deletes_what_no_case_owns(tmp_path: Path) -> None:
    kept, again = list(CASES)[:2]
    for name in ("kept.h5", "gone.h5", "foreign.h5"):
        (tmp_path / name).touch()
    old = [{"id": kept, "file": "kept.h5", "golden": None}, {"id": "gone/case", "file": "gone.h5", "golden": None}]
    (tmp_path / "index.json").write_text(json.dumps({"cases": old}))
    index = generate.merge_index(
        str(tmp_path), {"keras": "2.2.4"}, {again: {"id": again, "file": None, "golden": None}}
    )
    assert [entry["id"] for entry in index["cases"]] == [kept, again]
    assert index["schema"] == registry.INDEX_SCHEMA
    assert sorted(path.name for path in tmp_path.glob("*.h5")) == ["foreign.h5", "kept.h5"]


def test_list_prints_ids_and_tags(capsys: pytest.CaptureFixture[str]) -> None:
    generate.main(["--list", "--only", "core/dense-plain"])
    assert capsys.readouterr().out == "core/dense-plain core\n"


@pytest.mark.parametrize("path", sorted(ZOO.rglob("*.py")), ids=lambda path: path.name)
def test_the_generator_parses_as_python_3_6(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 6))
    allowed = {"zoo", "numpy", "h5py", "tensorflow", *sys.stdlib_module_names}
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        assert {name.split(".")[0] for name in names} <= allowed
