"""An architecture and a weights file are found, named and matched without TensorFlow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import bad_files
import h5py
import pytest
from click.testing import CliRunner

from harness.artifact import find_sources
from harness.cli import cli
from harness.errors import HarnessError
from harness.plan import make_plan

LIST = {"class_name": "Sequential", "config": [bad_files.DENSE], "keras_version": "2.1.2", "backend": "tensorflow"}
YAML = "backend: tensorflow\nclass_name: Sequential\nconfig:\n- class_name: Dense\nkeras_version: 2.2.0\n"


def architecture(path: Path, config: Any = LIST) -> Path:
    path.write_text(json.dumps(config))
    return path


def weights(path: Path, **attributes: str) -> Path:
    with h5py.File(path, "w") as file:
        bad_files.weights(file)
        file.attrs.update(attributes)
    return path


def refused(*arguments: Path, **options: Path) -> HarnessError:
    with pytest.raises(HarnessError) as caught:
        find_sources(*arguments, **options)
    return caught.value


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    return architecture(tmp_path / "arch.json"), weights(tmp_path / "weights.h5")


def test_both_ways_of_naming_a_pair_make_the_same_plan(pair: tuple[Path, Path]) -> None:
    plans = [make_plan(pair[0], weights=pair[1]), make_plan(pair[1], architecture=pair[0])]
    for made in plans:
        assert (made.source, made.weights, made.reader, made.note) == (*pair, "read_keras_arch", None)
        assert made.source_env.name == "keras2.1"
        assert made.steps[0].startswith(
            "read arch.json (a Keras architecture in JSON) with the weights weights.h5 in keras2.1"
        )


def test_a_plan_as_data_names_the_weights(pair: tuple[Path, Path]) -> None:
    made = CliRunner().invoke(cli, ["plan", str(pair[0]), "--weights", str(pair[1]), "--json"])
    assert json.loads(made.output)["weights"] == str(pair[1])


@pytest.mark.parametrize("index", [0, 1, 2])
def test_the_only_partner_is_found_and_said(pair: tuple[Path, Path], tmp_path: Path, index: int) -> None:
    found = find_sources([*pair, tmp_path][index])
    assert found.weights is not None
    assert (found.model.path, found.weights.path) == pair
    assert (
        found.note
        == [
            'the weights of "arch.json" were found beside it: "weights.h5" is the only file in the folder that fits',
            'the architecture of "weights.h5" was found beside it: "arch.json" is the only file in the folder that fits',
            '"arch.json" and "weights.h5" are the only architecture and weights in the folder that fit each other',
        ][index]
    )


def test_inspect_says_what_was_found_beside(pair: tuple[Path, Path]) -> None:
    shown = CliRunner().invoke(cli, ["inspect", str(pair[0]), "--json"])
    migration = json.loads(shown.output)["migration"]
    assert migration["possible"]
    assert '"weights.h5" is the only file' in migration["note"]


def test_a_file_with_layers_of_other_names_is_no_partner(pair: tuple[Path, Path], tmp_path: Path) -> None:
    other = {**bad_files.DENSE, "config": {**bad_files.DENSE["config"], "name": "dense_9"}}
    architecture(tmp_path / "other.json", {"class_name": "Sequential", "config": [other]})
    assert find_sources(pair[1]).model.path == pair[0]
    assert refused(tmp_path / "other.json").code == "source-architecture-only"


def test_several_partners_are_listed_instead_of_guessed(pair: tuple[Path, Path], tmp_path: Path) -> None:
    weights(tmp_path / "later.h5")
    error = refused(pair[0])
    assert error.code == "source-architecture-only"
    assert error.message.endswith("2 pairs of architecture and weights in its folder would fit.")
    assert error.details == ('fits: "arch.json" with "later.h5"', 'fits: "arch.json" with "weights.h5"')
    assert error.remedy == "Say which belongs to it with `--weights`."


def test_a_folder_that_takes_long_is_not_searched_to_its_end(
    pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.artifact.pairing.SEARCH_SECONDS", -1)
    error = refused(pair[0])
    assert error.code == "source-architecture-only"
    assert error.message.endswith("Its folder was searched for -1 s, and not to the end.")
    assert "--weights" in error.remedy
    assert find_sources(*pair).weights is not None


def test_a_file_alone_names_the_option_for_the_other(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "w").mkdir()
    assert "`--weights WEIGHTS.h5`" in refused(architecture(tmp_path / "a" / "arch.json")).remedy
    error = refused(weights(tmp_path / "w" / "weights.h5"))
    assert error.code == "source-weights-only"
    assert "`--architecture ARCH.json`" in error.remedy


def test_what_is_no_partner_is_refused_with_what_it_is(pair: tuple[Path, Path], tmp_path: Path) -> None:
    whole = bad_files.keras_h5(tmp_path / "whole.h5")
    error = refused(pair[0], weights=whole)
    assert error.message == (
        '--weights is "whole.h5", a whole Keras model in HDF5; expected a Keras weights file in HDF5, '
        "as `model.save_weights(...)` writes it."
    )
    assert error.remedy == "Migrate it alone, without the option: it holds both."
    assert refused(pair[1], architecture=whole).message.startswith('--architecture is "whole.h5"')
    assert refused(*pair, architecture=pair[0]).code == "usage"


def test_the_weights_tell_version_and_backend_where_the_architecture_does_not(tmp_path: Path) -> None:
    model = architecture(tmp_path / "arch.json", {"class_name": "Sequential", "config": [bad_files.DENSE]})
    found = find_sources(model, weights(tmp_path / "w.h5", keras_version="2.3.1", backend="theano"))
    assert (found.keras_version, found.backend) == ("2.3.1", "theano")
    assert make_plan(model, weights=tmp_path / "w.h5").source_env.name == "keras2.3"


def test_a_yaml_architecture_tells_its_version_without_being_parsed(tmp_path: Path) -> None:
    (tmp_path / "arch.yaml").write_text(YAML)
    made = make_plan(tmp_path / "arch.yaml", weights=weights(tmp_path / "weights.h5"))
    assert (made.source_env.name, made.reader) == ("keras2.2", "read_keras_arch")
    assert find_sources(tmp_path).weights is not None
