"""A limit on what a C library may allocate for the moment of one call."""

from __future__ import annotations

import mmap
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_STATISTICS = Path("/proc/self/statm")


def address_space() -> int:
    """The bytes of address space that the process has; 0 without ``/proc``."""
    if not _STATISTICS.exists():
        return 0
    return int(_STATISTICS.read_text().split()[0]) * mmap.PAGESIZE


@contextmanager
def memory_limited(headroom_bytes: int) -> Iterator[None]:
    """Let the process grow by ``headroom_bytes`` inside of the block, and no further.

    The limit is that of the whole process, so the block has to be short. Without ``/proc`` (not Linux)
    there is no limit.
    """
    in_use = address_space()
    if not in_use:
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    wanted = in_use + headroom_bytes
    limits = [limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_AS, (min([wanted, *limits]), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
