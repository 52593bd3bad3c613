"""Text that comes from a file and goes to a person: bounded, without control characters."""

from __future__ import annotations

SHOWN_CHARACTERS = 80


def shown(text: str, limit: int = SHOWN_CHARACTERS) -> str:
    """Return ``text`` fit for a message: no control characters, at most ``limit`` characters.

    A name inside a model file can carry terminal escape sequences; a message must not pass them on.
    """
    clean = "".join(character if character.isprintable() else "?" for character in text[: limit + 1])
    return clean if len(clean) <= limit else clean[: limit - 1] + "…"


def plural(count: int, noun: str) -> str:
    """Return ``"1 layer"``, ``"2 layers"``, ``"1,200 layers"``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
