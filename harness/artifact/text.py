"""Text that comes from a file and goes to a person: bounded, without control characters."""

from __future__ import annotations

SHOWN_CHARACTERS = 80


def shown(text: str, limit: int = SHOWN_CHARACTERS) -> str:
    """Return ``text`` fit for a message: no control characters, at most ``limit`` characters.

    A name inside a model file can carry terminal escape sequences; a message must not pass them on.
    """
    clean = visible(text[: limit + 1])
    return clean if len(clean) <= limit else clean[: limit - 1] + "…"


def visible(text: str, *, lines: bool = False) -> str:
    """Return ``text`` with a question mark for every character that acts instead of being seen.

    Those are control characters, lone surrogates, what reverses the direction of writing, and separators of lines and paragraphs.
    ``lines`` keeps newlines and tabs, where text is meant to have lines.
    """
    if text.isprintable():
        return text
    kept = "\n\t" if lines else ""
    return "".join(c if c.isprintable() or c in kept else "?" for c in text)


def plural(count: int, noun: str) -> str:
    """Return ``"1 layer"``, ``"2 layers"``, ``"1,200 layers"``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
