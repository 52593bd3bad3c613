"""Every error the harness can end with: a stable code, an exit status, what it means and what to do.

``docs/errors.md`` is generated from :data:`CATALOGUE`. Raise :class:`HarnessError` with one of its
codes; the message says what happened, to which thing, expected against found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum


class Exit(IntEnum):
    """Exit status of the command line."""

    VERIFIED = 0
    DIVERGED = 1
    USAGE = 2
    REFUSED = 3
    ENVIRONMENT = 4
    WORKER = 5
    INTERNAL = 70
    INTERRUPTED = 130


@dataclass(frozen=True, kw_only=True)
class ErrorKind:
    """One row of the catalogue."""

    code: str
    exit_status: Exit
    means: str
    remedy: str


def _kind(code: str, exit_status: Exit, means: str, remedy: str) -> tuple[str, ErrorKind]:
    return code, ErrorKind(code=code, exit_status=exit_status, means=means, remedy=remedy)


# A row is a line.
# fmt: off
CATALOGUE: dict[str, ErrorKind] = dict(
    [
        # Usage: the call itself is off; nothing was started.
        _kind("usage", Exit.USAGE, "The command line could not be understood.", "See `--help`; each command has examples."),
        _kind("source-missing", Exit.USAGE, "There is no file or folder at the given path.", "Check the path."),
        _kind("source-unreadable", Exit.USAGE, "The file exists but may not be read.", "Check the file's permissions."),
        _kind("output-occupied", Exit.USAGE, "The output path holds something that the harness did not write.", "Choose another `--out`, or move what is there."),
        _kind("output-unwritable", Exit.USAGE, "The output folder cannot be created or written.", "Check permissions of the parent folder, or choose another `--out`."),
        _kind("samples-invalid", Exit.USAGE, "The samples given with `--inputs` do not fit the model's inputs.", "Give one array per model input, keyed by input name, all with the same number of rows."),
        _kind("mapping-invalid", Exit.USAGE, "The mapping file cannot be read, or says something that is not understood.", "Correct the lines named below."),
        _kind("expected-invalid", Exit.USAGE, "The outputs given with `--expected` do not fit the model.", "Give one array per output, keyed by its name or `output:NAME`, and the inputs that belong to them with `--inputs` or as `input:NAME`."),
        # Refused: the input is understood (or recognised as something else) and will not be migrated.
        _kind("source-empty", Exit.REFUSED, "The file has no content.", "Copy the file again from where it was saved."),
        _kind("source-truncated", Exit.REFUSED, "The file starts like the format it claims, but its end is missing or its structure is damaged.", "Copy the file again and compare its size and checksum with the original."),
        _kind("source-not-recognised", Exit.REFUSED, "The content is no model format that the harness knows.", "Use `inspect` to see what was found; whole-model HDF5 files are read today."),
        _kind("source-is-directory", Exit.REFUSED, "The path is a folder, and not a kind of model folder that can be read yet.", "Name the model file inside it."),
        _kind("source-weights-only", Exit.REFUSED, "The file holds weights without an architecture.", "Name the architecture that belongs to it with `--architecture ARCH.json`, the script that builds the model with `load-weights WEIGHTS.h5 --builder FILE.py:function`, or supply the whole-model file."),
        _kind("source-architecture-only", Exit.REFUSED, "The file holds an architecture without weights.", "Name the weights file that belongs to it with `--weights WEIGHTS.h5`."),
        _kind("source-unsupported-format", Exit.REFUSED, "The format is recognised, but no reader exists for it yet.", "See `docs/support.md` for what is read today."),
        _kind("source-wrong-era", Exit.REFUSED, "The file was written by another TensorFlow generation than the chosen source environment reads.", "Leave `--from` at `auto`, or name the environment of the writing version."),
        _kind("source-not-loadable", Exit.REFUSED, "The source TensorFlow itself cannot load the file.", "Read the reason below; a file that its own TensorFlow cannot load has to be repaired there first."),
        _kind("layer-unsupported", Exit.REFUSED, "The model uses layers or arguments without an exact equivalent in the target.", "Each is named below with the reason and a way forward."),
        _kind("code-missing", Exit.REFUSED, "The model is made of code that its file does not hold, or that no Python here can read.", "Put the classes and functions into a Python file and give it with `--custom-objects FILE.py`; they are found by name, the function of a Lambda by the name of its layer."),
        _kind("custom-objects-invalid", Exit.USAGE, "What was supplied for layers made of code cannot be used.", "Correct the file; the reason is given above."),
        _kind("model-unsupported", Exit.REFUSED, "The model's structure cannot be carried over.", "The reason is given below."),
        _kind("weights-mismatch", Exit.REFUSED, "Source and target weights do not correspond one to one.", "All missing, unused and mis-shaped weights are listed below."),
        _kind("weights-missing", Exit.REFUSED, "The model has weights for which the source holds no array.", "Supply them, name them in a mapping, or say with `--on-missing` what they are to hold."),
        _kind("weights-unused", Exit.REFUSED, "The source holds arrays that have no place in the model.", "Name them in a mapping, leave them out with `--exclude`, or allow it with `--on-unused report`."),
        _kind("weights-ambiguous", Exit.REFUSED, "Several arrays fit the same place, and nothing tells which is right.", "Write the proposal to a file with `--write-mapping mapping.toml`, correct it, and give it with `--mapping`."),
        _kind("pickle-refused", Exit.REFUSED, "The pickle holds more than arrays, numbers, text and plain containers; nothing of it was run.", "Write the arrays with `numpy.savez` where the pickle was made."),
        _kind("builder-failed", Exit.REFUSED, "The script that builds the model failed, or built something that is no model.", "Read the traceback below; it is the script's own."),
        _kind("code-not-allowed", Exit.REFUSED, "A report of unknown origin names files with code.", "Read the files named below; if you trust them, run again with `--allow-code`."),
        _kind("proof-missing", Exit.REFUSED, "There is nothing to compare the outputs with.", "Give `--source-builder`, or outputs that are known to be right with `--expected`; `--proof weights` is content with equal weights."),
        _kind("model-not-loadable", Exit.REFUSED, "The target TensorFlow cannot load the model to be verified.", "Check that it is a `.keras` file or a SavedModel folder of that TensorFlow."),
        _kind("probes-impossible", Exit.REFUSED, "No probe input could be made that the source model accepts, so nothing could be proved.", "Give real samples with `--inputs samples.npz`."),
        _kind("proof-insufficient", Exit.REFUSED, "Everything that was compared agrees, but the probes would notice changes in fewer weights than `--require-proven` asks for.", "Give samples with `--inputs samples.npz` that use the weights below, or ask for less; `report.json` has the whole list."),
        _kind("source-incomplete", Exit.REFUSED, "Files that belong to the model are missing.", "Copy the whole folder, or all files of the checkpoint, from where it was saved."),
        _kind("signature-unknown", Exit.USAGE, "The model has no signature of that name.", "Choose from the signatures listed below with `--signature`."),
        _kind("tags-unknown", Exit.USAGE, "The SavedModel has no graph with those tags.", "Choose from the tag sets listed below with `--tags`; `--tags \"\"` means the graph without tags."),
        _kind("tensor-unknown", Exit.USAGE, "A tensor that was named is not in the graph.", "See `inspect` for inputs and outputs that were found, and name others with `--input-tensor` and `--output-tensor`."),
        _kind("outputs-unknown", Exit.REFUSED, "No tensor of the graph stands out as its output.", "Name the outputs with `--output-tensor NAME`, and the inputs with `--input-tensor NAME` if they are no placeholders."),
        _kind("placeholder-unfed", Exit.REFUSED, "The outputs need placeholders that are no inputs.", "Make each an input with `--input-tensor NAME`, or give it a value with `--fix-tensor NAME=VALUE`."),
        _kind("ops-unknown", Exit.REFUSED, "The graph uses operations that the source TensorFlow does not have.", "They come from a library of custom operations; export the model without them."),
        _kind("ops-unsupported", Exit.REFUSED, "The graph uses operations that have no counterpart in the target.", "Each is named below. Name tensors before or behind them with `--input-tensor` and `--output-tensor` to leave them out."),
        _kind("outputs-random", Exit.REFUSED, "The outputs differ from call to call, so nothing can be proved.", "Make the random tensor an input with `--input-tensor NAME`, or fix the placeholder that switches it on with `--fix-tensor NAME=VALUE`."),
        _kind("variables-missing", Exit.REFUSED, "Variables of the graph have no value in the file.", "Use the checkpoint that was saved with this graph."),
        _kind("table-uninitialized", Exit.REFUSED, "A lookup table of the graph has no content in the file.", "Frozen graphs lose their tables' initialisers: migrate the SavedModel or the checkpoint that it was frozen from."),
        _kind("bundle-invalid", Exit.REFUSED, "The bundle breaks a rule of its format.", "Export it again; a bundle is never repaired silently."),
        _kind("bundle-unsupported", Exit.REFUSED, "The bundle needs a newer reader.", "Upgrade the harness."),
        _kind("bundle-corrupt", Exit.REFUSED, "An array's checksum differs from the one in the manifest.", "Copy or export the bundle again."),
        _kind("pair-unsupported", Exit.REFUSED, "No translation exists between the two environments.", "`envs list` shows the pairs that are tested."),
        # Environments.
        _kind("environment-unknown", Exit.USAGE, "There is no environment of that name.", "`envs list` shows all of them."),
        _kind("environment-invalid", Exit.INTERNAL, "An environment file breaks its own rules.", "Correct the file named below."),
        _kind("environment-no-interpreter", Exit.ENVIRONMENT, "The machine has no Python interpreter of the version that the environment needs.", "Install that Python (pyenv, your distribution), or allow the harness to fetch one with `envs create NAME --fetch-python`."),
        _kind("environment-build-failed", Exit.ENVIRONMENT, "The packages of the environment could not be installed.", "Read the installer's output below; most often the network or an index is not reachable."),
        _kind("environment-unhealthy", Exit.ENVIRONMENT, "The environment exists but does not work.", "`envs remove NAME`, then run again: it is rebuilt."),
        _kind("environment-backend-missing", Exit.ENVIRONMENT, "The backend that was asked for is not there.", "Use another one: `--backend venv` needs an interpreter, `--backend docker` an engine."),
        # Worker.
        _kind("worker-crashed", Exit.WORKER, "The process inside the environment died.", "The job folder was kept: replay it alone with the command below."),
        _kind("worker-timeout", Exit.WORKER, "The process inside the environment exceeded its time limit and was ended.", "Raise `--timeout`, or look at the last step below."),
        _kind("worker-bug", Exit.WORKER, "The program inside the environment failed unexpectedly.", "Please report it with the traceback in the job folder."),
        _kind("worker-protocol", Exit.WORKER, "Host and worker do not understand each other.", "Host and worker must come from the same checkout."),
        _kind("memory-exhausted", Exit.WORKER, "The memory that a worker may use was not enough.", "Give it more with `--memory`, or run on a machine that has more."),
        _kind("output-lost", Exit.WORKER, "The file system failed or became read-only after the run had begun.", "Look at the file system of the output folder (read-only, network, hardware), then run again."),
        _kind("no-space", Exit.WORKER, "The disk is full.", "Free space in the output folder's file system, then run again."),
        # The harness itself.
        _kind("interrupted", Exit.INTERRUPTED, "Stopped by the user.", "Run again; nothing half-written was left."),
        _kind("internal", Exit.INTERNAL, "A bug in the harness.", "Please report it with the traceback."),
    ]
)
# fmt: on


class HarnessError(Exception):
    """An expected end other than a verdict.

    Attributes:
        kind: the catalogue row; ``kind.exit_status`` is the process's exit status.
        message: what happened, to which thing, expected and found. One or two sentences.
        details: one line per finding, all of them, not the first only.
        remedy: what to do; the catalogue's remedy unless a better one is known.
    """

    def __init__(self, code: str, message: str, *, details: Sequence[str] = (), remedy: str | None = None) -> None:
        super().__init__(message)
        self.kind = CATALOGUE[code]
        self.message = message
        self.details = tuple(details)
        self.remedy = remedy or self.kind.remedy

    @property
    def code(self) -> str:
        """The stable code, a key of :data:`CATALOGUE`."""
        return self.kind.code

    def __str__(self) -> str:
        lines = [self.message, *(f"  - {detail}" for detail in self.details), f"What to do: {self.remedy}"]
        return "\n".join(lines)
