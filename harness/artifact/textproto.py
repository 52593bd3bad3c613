"""The text form of protocol buffers, parsed into dicts of lists: enough to look at a graph."""

from __future__ import annotations

import re
from typing import Any

_TOKEN = re.compile(
    r"""\s+|\#[^\n]*|(?P<text>"[^"\\]*(?:\\.[^"\\]*)*"|'[^'\\]*(?:\\.[^'\\]*)*')|(?P<word>[A-Za-z_][\w./-]*|\[[\w./]+\])"""
    r"""|(?P<number>[-+]?[\d.][\w.+-]*)|(?P<sign>[{}<>:;,\[\]-])"""
)
_ESCAPE = re.compile(r"\\(?:([0-7]{1,3})|x([0-9a-fA-F]{1,2})|(.))", re.DOTALL)
_NAMED = {"n": "\n", "t": "\t", "r": "\r"}
_START = re.compile(
    rb"(?:\s|#[^\n]*\n)*(node|meta_info_def|graph_def|saved_model_schema_version|versions|library)\s*[:{]"
)
#: messages inside of messages, at most
DEPTH = 64


def looks_like(head: bytes) -> bool:
    """Whether a file begins like a graph in text form."""
    return bool(_START.match(head))


def parse(source: str) -> dict[str, list[Any]]:
    """Field → values, in order; messages are dicts again, everything else is text.

    Raises:
        ValueError: the text is no protocol buffer, or nested deeper than ``DEPTH``.
    """
    return _message(_Tokens(source), None, 0)


class _Tokens:
    """The tokens of a text, one at a time: all of them at once would take forty times the text."""

    def __init__(self, source: str) -> None:
        self._source, self._position = source, 0
        self.kind: str | None = None
        self.text = ""
        self.advance()

    def advance(self) -> None:
        """Go to the next token; its kind is None at the end."""
        while self._position < len(self._source):
            match = _TOKEN.match(self._source, self._position)
            if match is None:
                raise ValueError(f"unexpected text at character {self._position}")
            self._position = match.end()
            if match.lastgroup:
                self.kind, self.text = match.lastgroup, match[match.lastgroup]
                return
        self.kind, self.text = None, ""


def _message(tokens: _Tokens, end: str | None, depth: int) -> dict[str, list[Any]]:
    """The fields up to ``end``, which is passed."""
    if depth > DEPTH:
        raise ValueError("messages are nested too deep")
    out: dict[str, list[Any]] = {}
    while tokens.kind:
        kind, text = tokens.kind, tokens.text
        tokens.advance()
        if text == end:
            return out
        if text in (";", ","):
            continue
        if kind != "word":
            raise ValueError(f"expected a field, found {text[:40]!r}")
        out.setdefault(text, []).append(_value(tokens, depth))
    if end is not None:
        raise ValueError("a message without an end")
    return out


def _value(tokens: _Tokens, depth: int) -> Any:
    if tokens.text == ":" and tokens.kind == "sign":
        tokens.advance()
    kind, text = tokens.kind, tokens.text
    if kind == "text":
        parts = []
        while tokens.kind == "text":
            parts.append(_ESCAPE.sub(_unescape, tokens.text[1:-1]))
            tokens.advance()
        return "".join(parts)
    tokens.advance()
    if text in ("{", "<"):
        return _message(tokens, "}" if text == "{" else ">", depth + 1)
    if kind in ("word", "number"):
        return text
    raise ValueError(f"expected a value, found {text!r}" if kind else "a field without a value")


def _unescape(match: re.Match[str]) -> str:
    octal, hexadecimal, named = match.groups()
    if octal:
        return chr(int(octal, 8))
    return chr(int(hexadecimal, 16)) if hexadecimal else _NAMED.get(named, named)
