"""Files on their way into a container and out of it, as tar streams: what goes in is the model's own, what comes out is not trusted."""

from __future__ import annotations

import os
import shutil
import stat
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

from harness.errors import HarnessError

#: nobody in every image that is likely to be a base
USER = 65532
CHUNK = 1 << 20
#: of what a container leaves: files and folders together
_MEMBERS = 100_000
#: of folders in each other, on either way
_DEPTH = 64


def pack(archive: tarfile.TarFile, path: Path, name: str, writable: bool, *, within: bool = False) -> None:
    """Add a tree, links resolved; below ``in`` it is read-only for the worker. ``within``: see :func:`tree`."""
    for file, inner in tree(path, name, within):
        member = archive.gettarinfo(file, inner)
        below = inner.removeprefix(name).strip("/").split("/")[0]
        mine = writable and below != "in"
        member.uid = member.gid = USER if mine else 0
        member.uname = member.gname = ""
        member.mode = (0o755 if member.isdir() else 0o644) if mine else (0o555 if member.isdir() else 0o444)
        if member.isreg():
            with file.open("rb") as source:
                archive.addfile(member, source)
        else:
            archive.addfile(member)


def tree(
    path: Path, name: str, within: bool, given: Path | None = None, above: tuple[Path, ...] = ()
) -> Iterator[tuple[Path, str]]:
    """Every folder and regular file of a tree, with its name in the archive.

    Links in a job's folder are ours, and lead to what the user gave (``given``). ``within``: links in that are followed
    to its own parts only, so that a folder from somewhere else takes no other file of this machine along.

    Raises:
        HarnessError: source-unreadable for links that lead elsewhere or round and round, and for devices, pipes and sockets.
    """
    real = path.resolve()
    if path.is_symlink():
        given = given or real
        if within and not real.is_relative_to(given):
            raise _not_taken(path, f"is a link that leads out of the model's folder, to {str(real)!r}")
    try:
        kind = path.stat().st_mode
    except FileNotFoundError:
        return  # a link to nothing is nothing in the container too
    except OSError as error:
        raise _not_taken(path, f"cannot be read ({error.strerror})") from error
    if path.name == "__pycache__" and given is None:
        return
    if stat.S_ISDIR(kind):
        if real in above or len(above) >= _DEPTH:
            raise _not_taken(path, "is a folder that leads round and round, or too deep")
        yield path, name
        for child in sorted(path.iterdir()):
            yield from tree(child, f"{name}/{child.name}", within, given, (*above, real))
    elif stat.S_ISREG(kind):
        yield path, name
    else:
        raise _not_taken(path, "is neither a file nor a folder")


def _not_taken(path: Path, why: str) -> HarnessError:
    return HarnessError(
        "source-unreadable",
        f"{str(path)!r} {why}: it is not copied into the container.",
        remedy="Take it out of the model's folder, or put a copy of the file there.",
    )


def unpack(stream: Iterator[bytes], folder: Path, limit: int) -> None:
    """Write the regular files of a tar stream of unknown honesty below ``folder``.

    Raises:
        HarnessError: worker-protocol for anything that is neither file nor folder, leaves ``folder``, or is too much.
    """
    with tempfile.TemporaryDirectory(dir=folder, prefix=".fetch-") as staging:
        left, count = limit, 0
        try:
            with tarfile.open(fileobj=cast("IO[bytes]", _Stream(stream)), mode="r|") as archive:
                for member in archive:
                    left, count = left - member.size, count + 1
                    if why := _why_not(member, left, count, limit):
                        raise HarnessError("worker-protocol", f"The container's {member.name!r} is refused: {why}.")
                    _take(archive, member, Path(staging, member.name))
        except (tarfile.TarError, ValueError, FileExistsError, NotADirectoryError, IsADirectoryError) as error:
            raise HarnessError(
                "worker-protocol", f"What the container gave is no whole archive of its results: {error}."
            ) from error
        for _ in stream:
            pass  # the padding at the end: what is left unread keeps the connection open
        for made in Path(staging).iterdir():
            final = folder / made.name
            if final.is_dir():
                shutil.rmtree(final)
            os.replace(made, final)


def _why_not(member: tarfile.TarInfo, left: int, count: int, limit: int) -> str | None:
    """Why a member of an archive is not taken, or None."""
    path = Path(member.name)
    if not (member.isreg() or member.isdir()) or ".." in path.parts or path.is_absolute():
        return "only files and folders are taken"
    if left < 0:
        return f"it would not fit into {limit / 1e9:.1f} GB"
    if count > _MEMBERS:
        return f"it left more than {_MEMBERS:,} files"
    if len(path.parts) > _DEPTH:
        return f"it left more than {_DEPTH} folders in each other"
    return None


def _take(archive: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    if member.isdir():
        target.mkdir(parents=True, exist_ok=True)
        return
    source = archive.extractfile(member)
    assert source is not None
    with target.open("xb") as sink:
        shutil.copyfileobj(source, sink, CHUNK)


class _Stream:
    """Chunks as the file that ``tarfile`` wants to read."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self.chunks, self.rest = chunks, b""

    def read(self, size: int = -1) -> bytes:
        while size < 0 or len(self.rest) < size:
            more = next(self.chunks, b"")
            if not more:
                break
            self.rest += more
        data, self.rest = (self.rest, b"") if size < 0 else (self.rest[:size], self.rest[size:])
        return data
