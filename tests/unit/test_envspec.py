"""Promises of the environment files and their loader."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import parse_wheel_filename

from harness.backends.venvcheck import locked_versions
from harness.envspec import (
    WITHOUT_WHEEL,
    EnvSpec,
    choose_source,
    envs_folder,
    for_bytecode,
    get_spec,
    load_pairs,
    load_specs,
    reads_keras_version,
)
from harness.errors import Exit, HarnessError
from harness.locking import FILES

NAMES = list(load_specs())

#: What writers put into the attribute keras_version, and the environment that reads it best.
CHOICES = {
    "1.2.1": "keras2.2",
    "2.0.5": "keras2.1",
    "2.1.6": "keras2.1",
    "2.2.4": "keras2.2",
    "2.3.1": "keras2.3",
    "2.1.6-tf": "tf1.12",
    "2.2.4-tf": "tf1.15",
    "2.3.0-tf": "tf2.3",
    "2.4.0": "tf2.3",
    "2.5.0": "tf2.15",
    "2.10.0": "tf2.15",
    "2.15.0": "tf2.15",
    "2.18.0": "tf_keras2.21",
    "3.0.5": "tf2.21",
    "3.15.1": "tf2.21",
    None: "keras2.2",
}


def copy_of(tmp_path: Path, name: str = "tf1.15") -> Path:
    """A folder with one valid environment, to be broken in one place."""
    (tmp_path / "locks").mkdir()
    shutil.copy(envs_folder() / f"{name}.toml", tmp_path)
    shutil.copy(envs_folder() / "locks" / f"{name}.txt", tmp_path / "locks")
    return tmp_path / f"{name}.toml"


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def defects(folder: Path) -> tuple[str, ...]:
    with pytest.raises(HarnessError) as caught:
        load_specs(folder)
    assert caught.value.code == "environment-invalid"
    return caught.value.details


def test_the_environments_come_in_the_order_of_their_versions() -> None:
    assert NAMES == [
        *("tf1.12", "tf1.13", "tf1.14", "tf1.15", "tf2.3", "tf2.15", "tf2.21"),
        *("keras2.1", "keras2.2", "keras2.3", "tf_keras2.21"),
    ]


@pytest.mark.parametrize("name", NAMES)
def test_every_pin_is_locked_with_hashes_and_no_trace_of_a_machine(specs: dict[str, EnvSpec], name: str) -> None:
    text = specs[name].lock_text()
    locked = locked_versions(text)
    for pin in specs[name].pins:
        distribution, version = pin.requirement.split("==")
        assert str(locked[distribution.replace("_", "-").lower()]) == version
    assert not re.search(r"://|--index|--find-links|@ |#", text)
    assert all("--hash=sha256:" in block for block in re.split(r"\n(?=\S)", text.strip()))


@pytest.mark.parametrize("name", NAMES)
def test_every_locked_distribution_is_a_wheel_or_one_of_a_few(specs: dict[str, EnvSpec], name: str) -> None:
    """Building from source runs the distribution's own code, and whatever tools there are."""
    spec = specs[name]
    files = json.loads((spec.lock_path.parent / FILES).read_text())[spec.installed_as]
    blocks = {block.split()[0]: block for block in re.split(r"\n(?=\S)", spec.lock_text().strip())}
    assert sorted(map(canonical, files)) == sorted(map(canonical, blocks))
    hashes = {canonical(entry): re.findall(r"sha256:(\w{64})", block) for entry, block in blocks.items()}
    for entry, file in files.items():
        assert file["sha256"] in hashes[canonical(entry)], entry
        if entry not in WITHOUT_WHEEL:
            assert parse_wheel_filename(file["file"])[3] & wheels_for(spec.python), file["file"]
    assert {entry.partition("==")[0] for entry in WITHOUT_WHEEL & set(files)} == set(spec.built)


def canonical(entry: str) -> str:
    return entry.replace("_", "-").lower()


def wheels_for(python: str) -> set[Tag]:
    """What a Python on Linux x86-64 installs."""
    version = tuple(map(int, python.split(".")))
    cpython = f"cp{python.replace('.', '')}"
    platforms = ["linux_x86_64", *(f"manylinux{old}_x86_64" for old in ("1", "2010", "2014"))]
    platforms += [f"manylinux_2_{minor}_x86_64" for minor in range(5, 29)]
    abi = f"{cpython}m" if version < (3, 8) else cpython
    return {*cpython_tags(version, [abi], platforms), *compatible_tags(version, cpython, platforms)}


def test_what_builds_from_source_is_locked_and_part_of_the_key(
    specs: dict[str, EnvSpec], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    built, wheels = specs["tf1.15"], specs["tf2.21"]
    assert (built.built, wheels.built) == (("gast",), ())
    assert built.sources == ("--only-binary", ":all:", "--no-binary", "gast")
    assert wheels.sources == ("--only-binary", ":all:")
    before = built.key, wheels.key
    text = built.tools_path.read_text()
    assert set(locked_versions(text)) == {"setuptools", "wheel"}
    assert all("--hash=sha256:" in block for block in re.split(r"\n(?=[a-z])", text.strip())[1:])
    (tmp_path / "build.txt").write_text(text.replace("59.6.0", "59.5.0"))
    monkeypatch.setattr(EnvSpec, "tools_path", tmp_path / "build.txt")
    assert built.key != before[0]
    assert wheels.key == before[1]


@pytest.mark.parametrize("name", NAMES)
def test_nothing_that_is_omitted_is_locked(specs: dict[str, EnvSpec], name: str) -> None:
    assert not set(specs[name].omits) & set(locked_versions(specs[name].lock_text()))


@pytest.mark.parametrize(("keras_version", "name"), CHOICES.items())
def test_a_file_is_read_by_the_environment_of_its_writer(
    specs: dict[str, EnvSpec], keras_version: str | None, name: str
) -> None:
    assert choose_source(specs, keras_version, "tensorflow").name == name
    assert reads_keras_version(specs[name], keras_version)


@pytest.mark.parametrize("keras_version", CHOICES)
def test_the_choice_is_unambiguous(specs: dict[str, EnvSpec], keras_version: str | None) -> None:
    assert len([name for name in specs if chosen_alone(specs[name], keras_version)]) == 1


def chosen_alone(spec: EnvSpec, keras_version: str | None) -> bool:
    try:
        return choose_source({spec.name: spec}, keras_version, None) is spec
    except HarnessError:
        return False


def test_the_suffix_of_tf_keras_is_part_of_the_version(specs: dict[str, EnvSpec]) -> None:
    assert reads_keras_version(specs["keras2.2"], "2.2.4")
    assert not reads_keras_version(specs["keras2.2"], "2.2.4-tf")


def test_an_unknown_keras_version_is_refused_with_what_each_environment_reads(specs: dict[str, EnvSpec]) -> None:
    with pytest.raises(HarnessError) as caught:
        choose_source(specs, "4.0.0", "tensorflow")
    assert caught.value.kind.exit_status is Exit.REFUSED
    assert caught.value.message == "No environment is the reader for files with keras_version = '4.0.0'."
    assert "tf2.21 reads 3.*" in caught.value.details


def test_a_version_that_is_read_only_on_request_names_the_environments(specs: dict[str, EnvSpec]) -> None:
    only = {name: specs[name] for name in ("tf1.15", "keras2.3")}
    with pytest.raises(HarnessError) as caught:
        choose_source(only, "2.2.4", "tensorflow")
    assert caught.value.remedy == "Name one that can read it: `--from tf1.15`, `--from keras2.3`."


def test_theano_weights_are_read_where_their_kernels_are_flipped(specs: dict[str, EnvSpec]) -> None:
    assert choose_source(specs, "2.1.6", "theano").name == "keras2.1"


def test_a_backend_that_the_reader_does_not_convert_is_refused(specs: dict[str, EnvSpec]) -> None:
    with pytest.raises(
        HarnessError, match=r"with the backend 'mxnet'; keras2\.1, which reads this version, understands"
    ):
        choose_source(specs, "2.1.6", "mxnet")


def test_an_unknown_name_is_answered_with_those_that_exist(specs: dict[str, EnvSpec]) -> None:
    with pytest.raises(HarnessError, match=r"no environment 'tf0\.1'; there are tf1\.12, tf1\.13"):
        get_spec(specs, "tf0.1")


def test_pairs_name_environments_that_can_play_their_part(specs: dict[str, EnvSpec]) -> None:
    for pair in load_pairs():
        assert "source" in specs[pair.source].roles
        assert "target" in specs[pair.target].roles
        assert pair.note


@pytest.mark.parametrize(
    ("old", "new", "defect"),
    [
        ('python = "3.7"', "", "python: missing key"),
        ('python = "3.7"', 'python = "3.7"\npyhton = "3.7"', "pyhton: unknown key"),
        ('python = "3.7"', "python = 3.7", "python: expected text like '3.7', found 3.7"),
        ('name = "tf1.15"', 'name = "tf1.16"', "name: is 'tf1.16', but the file is called tf1.15.toml"),
        ('roles = ["source", "target"]', "roles = []", "roles: expected a non-empty list, found []"),
        ('roles = ["source", "target"]', 'roles = ["sauce"]', "roles[0]: expected one of source, target, found 'sauce'"),
        ("h5py==2.10.0", "h5py<3", "pins[2].requirement: expected an exact requirement like 'numpy==1.18.5', found 'h5py<3'"),
        ("h5py==2.10.0", "six==1.16.0", "pins: h5py is not pinned; the worker imports it"),
        ("tensorflow==1.15.5", "tensorflow==1.15.4", "pins: expected tensorflow==1.15.5 or tensorflow-cpu==1.15.5, because tensorflow = '1.15.5'"),
        ('chosen_for = ["2.2.*-tf"', 'chosen_for = ["2.9.*"', "reads.chosen_for: '2.9.*' is not in reads.readable"),
        ("KERAS_BACKEND", "PYTHONPATH", "variables.PYTHONPATH: is set by the harness itself"),
        ("[container]", "[container]\nregistry = 'x'", "container.registry: unknown key"),
    ],
)  # fmt: skip
def test_a_defect_is_named_with_its_key(tmp_path: Path, old: str, new: str, defect: str) -> None:
    edit(copy_of(tmp_path), old, new)
    assert defects(tmp_path) == (f"tf1.15.toml: {defect}",)


def test_all_defects_of_all_files_are_listed_at_once(tmp_path: Path) -> None:
    path = copy_of(tmp_path)
    edit(path, 'python = "3.7"', "")
    edit(path, 'dialect = "tf1.15"', 'dialect = "x"')
    (tmp_path / "tf9.9.toml").write_text("name = ")
    found = defects(tmp_path)
    assert [line.split(":")[0:2] for line in found[:2]] == [["tf1.15.toml", " python"], ["tf1.15.toml", " dialect"]]
    assert found[2].startswith("tf9.9.toml: cannot be read as TOML: ")


def test_a_folder_without_environments_is_an_error(tmp_path: Path) -> None:
    assert defects(tmp_path) == ("the folder holds no environment file (*.toml)",)


def test_the_key_follows_what_is_installed(tmp_path: Path) -> None:
    path = copy_of(tmp_path)
    before = load_specs(tmp_path)["tf1.15"].key
    assert re.fullmatch("[0-9a-f]{16}", before)
    edit(path, "# TensorFlow 1.15", "# Another comment")
    edit(path, 'TF_CPP_MIN_LOG_LEVEL = "2"', 'TF_CPP_MIN_LOG_LEVEL = "1"')
    assert load_specs(tmp_path)["tf1.15"].key == before
    with (tmp_path / "locks" / "tf1.15.txt").open("a") as lock:
        lock.write("six==1.16.0\n")
    assert load_specs(tmp_path)["tf1.15"].key != before


def test_a_missing_lock_file_says_how_to_make_it(tmp_path: Path) -> None:
    copy_of(tmp_path)
    (tmp_path / "locks" / "tf1.15.txt").unlink()
    with pytest.raises(HarnessError) as caught:
        _ = load_specs(tmp_path)["tf1.15"].key
    assert caught.value.remedy == "Generate it with `nox -s lock -- tf1.15` and commit it."


def test_a_pair_with_another_key_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "pairs.toml").write_text('[[pairs]]\nsource = "tf1.15"\nsink = "tf2.21"\nnote = "x"\n')
    with pytest.raises(HarnessError, match="pairs.toml is not usable"):
        load_pairs(tmp_path)


@pytest.mark.parametrize(
    ("python", "name"),
    [
        (((3, 6), (3, 7)), "keras2.1"),
        (((3, 7), (3, 7)), "keras2.2"),  # methods are called by an instruction that came with 3.7
        (((3, 8), (3, 10)), "keras2.1"),  # no reader has such a Python: the worker says what it cannot read
    ],
)
def test_bytecode_chooses_a_reader_whose_python_runs_it(
    python: tuple[tuple[int, int], tuple[int, int]], name: str
) -> None:
    specs = load_specs()
    chosen = choose_source(specs, "2.1.6", "tensorflow")
    assert chosen.name == "keras2.1"
    assert for_bytecode(specs, chosen, "2.1.6", [python]).name == name
