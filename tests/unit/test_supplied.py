"""What a person supplies for layers made of code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.errors import HarnessError
from harness.supplied import Supplied


def test_files_and_arguments_go_to_the_reader(tmp_path: Path) -> None:
    (tmp_path / "layers.py").write_text("")
    (tmp_path / "arguments.toml").write_text('["anchors 4"]\nscale = 0.5\n')
    supplied = Supplied.read(tmp_path / "layers.py", tmp_path / "arguments.toml")
    op: dict[str, Any] = {}
    files: dict[str, Path] = {}
    supplied.add_to(op, files)
    assert op == {"custom_objects": "in/custom_objects.py", "layer_arguments": {"anchors 4": {"scale": 0.5}}}
    assert files == {"custom_objects.py": tmp_path / "layers.py"}
    assert supplied.files == [tmp_path / "layers.py", tmp_path / "arguments.toml"]


@pytest.mark.parametrize(
    ("content", "message"), [("scale = 1\n", "holds no table for each layer"), ("[a\n", "cannot be read as TOML")]
)
def test_arguments_of_another_form_are_refused(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "arguments.toml").write_text(content)
    with pytest.raises(HarnessError, match=message) as caught:
        Supplied.read(None, tmp_path / "arguments.toml")
    assert caught.value.code == "custom-objects-invalid"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match="There is no file"):
        Supplied.read(tmp_path / "nowhere.py", None)
