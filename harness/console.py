"""Standard output and standard error: what strangers wrote is seen there and cannot act, and what cannot be written is told."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterable
from typing import Any

import rich.console
from rich.console import ConsoleOptions, RenderableType
from rich.markup import escape
from rich.segment import Segment

from harness.artifact.text import visible
from harness.errors import HarnessError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def plain(text: object) -> str:
    """Text for one line of :class:`Console`: no markup, no control characters, no line of its own."""
    return escape(visible(str(text)))


def quoted(text: object) -> str:
    """Text that may have lines: every further one stands behind a bar, so that none can pass for a line of the harness."""
    return escape("\n    │ ".join(map(visible, str(text).split("\n"))))


class Console(rich.console.Console):
    """Passes no control character of a text on: only those that rich makes itself reach the terminal.

    This is the last barrier, behind :func:`plain`, which keeps newlines out as well. Nobody reading standard output ends
    nothing: what is left is dropped. Standard error that cannot be written is given up.

    Raises:
        HarnessError: no-space or output-lost, from ``print``, where standard output cannot be written.
    """

    def __init__(self, *, stderr: bool = False, **options: Any) -> None:
        super().__init__(stderr=stderr, emoji=False, **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """See :class:`rich.console.Console`."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(visible(segment.text, lines=True), segment.style)

    def print(self, *objects: Any, **options: Any) -> None:
        """See :class:`rich.console.Console`."""
        try:
            super().print(*objects, **options)
        except OSError as error:
            self._lost(error)

    def on_broken_pipe(self) -> None:
        """See :class:`rich.console.Console`, which would end the program."""
        self._lost(BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE)))

    def _lost(self, error: OSError) -> None:
        stream = sys.stderr if self.stderr else sys.stdout
        if self.stderr:
            _give_up(stream)
        else:
            lost(error)


def say(text: str) -> None:
    """Write ``text`` and a newline to standard output as it is, for programs. Raises as :class:`Console`."""
    try:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
    except OSError as error:
        lost(error)


def lost(error: OSError) -> None:
    """What follows from standard output that cannot be written: nothing where nobody reads it, else an error.

    Raises:
        HarnessError: no-space or output-lost.
    """
    _give_up(sys.stdout)
    if error.errno == errno.EPIPE:
        return
    code = "no-space" if error.errno in _FULL else "output-lost"
    raise HarnessError(
        code,
        f"Standard output cannot be written: {error.strerror}.",
        remedy="Free space where standard output goes, or send it elsewhere, then run again.",
    ) from error


def _give_up(stream: Any) -> None:
    """What the stream still holds, and all that follows, goes nowhere, so that it does not fail again at the end."""
    try:
        number = stream.fileno()
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, number)
        os.close(nowhere)
    except (OSError, ValueError):
        return  # no file of the system stands behind it
