"""What a person supplies for layers whose code the file does not hold: Python files and arguments."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.errors import HarnessError

#: where the jobs find the files with classes and functions; the second stands beside a model that needs it
OBJECTS = "custom_objects.py"
TARGET_OBJECTS = "target_objects.py"


@dataclass(frozen=True, kw_only=True)
class Supplied:
    """Code and arguments from outside of the model file.

    Attributes:
        custom_objects: Python file with classes and functions for the source environment, or None.
        arguments: constructor arguments that were not saved, by name of layer or class.
        arguments_file: where they come from, or None.
        target_objects: Python file with classes and functions for the target environment, or None.
    """

    custom_objects: Path | None = None
    arguments: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    arguments_file: Path | None = None
    target_objects: Path | None = None

    @classmethod
    def read(
        cls, custom_objects: Path | None, layer_arguments: Path | None, target_objects: Path | None = None
    ) -> Supplied:
        """Check that the files are there and read the arguments.

        Raises:
            HarnessError: custom-objects-invalid.
        """
        for path in (custom_objects, layer_arguments, target_objects):
            if path is not None and not path.is_file():
                raise HarnessError("custom-objects-invalid", f"There is no file {path}.")
        arguments = _arguments(layer_arguments) if layer_arguments else {}
        return cls(
            custom_objects=custom_objects,
            arguments=arguments,
            arguments_file=layer_arguments,
            target_objects=target_objects,
        )

    @property
    def files(self) -> list[Path]:
        """The files that are read."""
        return [path for path in (self.custom_objects, self.arguments_file, self.target_objects) if path]

    def add_to(self, op: dict[str, Any], files: dict[str, Path]) -> None:
        """Give an operation that reads a model what is supplied for it."""
        if self.custom_objects:
            files[OBJECTS] = self.custom_objects
            op["custom_objects"] = f"in/{OBJECTS}"
        self._add_arguments(op)

    def add_to_target(self, op: dict[str, Any], files: dict[str, Path]) -> None:
        """Give an operation that builds or loads a model what is supplied for it."""
        if self.target_objects:
            files[TARGET_OBJECTS] = self.target_objects
            op["objects"] = f"in/{TARGET_OBJECTS}"
            self._add_arguments(op)

    def _add_arguments(self, op: dict[str, Any]) -> None:
        if self.arguments:
            op["layer_arguments"] = {key: dict(value) for key, value in self.arguments.items()}


def _arguments(path: Path) -> dict[str, dict[str, Any]]:
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise HarnessError("custom-objects-invalid", f"{path} cannot be read as TOML: {error}.") from error
    wrong = [key for key, value in values.items() if not isinstance(value, dict)]
    if wrong:
        details = [f"{key} stands outside of any table" for key in wrong]
        raise HarnessError("custom-objects-invalid", f"{path} holds no table for each layer.", details=details)
    return values
