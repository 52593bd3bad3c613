"""The files that make one TF1 checkpoint: found from any of them, and checked to be there."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from harness.artifact.text import shown
from harness.errors import HarnessError

_SHARD = re.compile(r"(.+)\.data-(\d{5})-of-(\d{5})", re.DOTALL)
#: TensorFlow writes a line for each checkpoint that it keeps, the latest first
_POINTER_BYTES = 1 << 16
_LATEST = re.compile(r'^[ \t]*model_checkpoint_path[ \t]*:[ \t]*"((?:[^"\\]|\\.)*)"', re.MULTILINE)
_WEIGHTS_ONLY = (
    "Put the `.meta` file that was written with it beside it. Without one, build the model's graph in its own script, "
    "restore the checkpoint there and save it again: `tf.train.Saver().save(session, PREFIX)` writes the `.meta` too."
)


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A checkpoint: ``prefix`` as TensorFlow names it, and its meta graph."""

    prefix: Path
    meta: Path


def checkpoint_files(prefix: Path) -> list[Path]:
    """The files of one checkpoint, in order of their names; of the first format too. Nothing else of their folder."""
    own = re.compile(re.escape(prefix.name) + r"(\.index|\.meta|(\.data)?-\d{5}-of-\d{5})?", re.DOTALL)
    return sorted(path for path in prefix.parent.iterdir() if own.fullmatch(path.name))


def find_checkpoint(path: Path) -> Checkpoint:
    """The checkpoint that a prefix, one of its files, or a folder of checkpoints means.

    Raises:
        HarnessError: source-incomplete (data files are missing), source-weights-only (there is no meta graph),
            source-not-recognised (a folder without a latest checkpoint).
    """
    prefix = _latest(path) if path.is_dir() or path.name == "checkpoint" else _prefix(path)
    _check_shards(prefix)
    meta = prefix.with_name(prefix.name + ".meta")
    if not meta.is_file():
        message = (
            f'The checkpoint "{shown(prefix.name)}" has no "{shown(meta.name)}": it holds variables without a graph.'
        )
        raise HarnessError("source-weights-only", message, remedy=_WEIGHTS_ONLY)
    return Checkpoint(prefix=prefix, meta=meta)


def _prefix(path: Path) -> Path:
    match = _SHARD.fullmatch(path.name)
    if match:
        return path.with_name(match[1])
    if path.suffix in (".index", ".meta") and path.is_file():
        return path.with_suffix("")
    return path


def _latest(path: Path) -> Path:
    folder = path if path.is_dir() else path.parent
    pointer = folder / "checkpoint"
    if pointer.is_file():
        with pointer.open("rb") as stream:
            match = _LATEST.search(stream.read(_POINTER_BYTES).decode("utf-8", "replace"))
        if match:
            name = Path(match[1]).name  # written where the model was trained; here its files lie beside it
            return folder / name
    prefixes = sorted({_prefix(entry) for entry in folder.iterdir() if entry.suffix == ".index"})
    if len(prefixes) == 1:
        return prefixes[0]
    raise HarnessError(
        "source-not-recognised",
        f'The folder "{shown(folder.name)}" holds {len(prefixes)} checkpoints, and no file `checkpoint` says which is the latest.',
        details=[f"checkpoint: {shown(prefix.name)}" for prefix in prefixes[:20]],
        remedy="Name one of them by its prefix, such as FOLDER/model.ckpt-1000.",
    )


def _check_shards(prefix: Path) -> None:
    if prefix.is_file():
        return  # a V1 checkpoint is one file, or several of the prefix's name with numbers
    shards = [m for entry in prefix.parent.iterdir() if (m := _SHARD.fullmatch(entry.name)) and m[1] == prefix.name]
    lost = []
    if shards:
        count, have = int(shards[0][3]), {int(m[2]) for m in shards}
        lost = [f"{prefix.name}.data-{n:05d}-of-{count:05d}" for n in range(count) if n not in have]
    elif not any(entry.name.startswith(f"{prefix.name}-") for entry in prefix.parent.iterdir()):
        lost = [f"{prefix.name}.data-00000-of-00001"]
    if not prefix.with_name(prefix.name + ".index").is_file() and shards:
        lost.append(f"{prefix.name}.index")
    if lost:
        message = f'{len(lost)} files of the checkpoint "{shown(prefix.name)}" are missing.'
        raise HarnessError("source-incomplete", message, details=[f"missing: {shown(name)}" for name in lost])
