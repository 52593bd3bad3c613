"""The text form of protocol buffers, parsed into dicts of lists: enough to look at a graph."""

from __future__ import annotations

import re
from typing import Any

_TOKEN = re.compile(
    r"""\s+|\#[^\n]*|(?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|(?P<word>[A-Za-z_][\w./-]*|\[[\w./]+\])"""
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
    tokens = _tokens(source)
    value, _ = _message(tokens, 0, None, 0)
    return value


def _tokens(source: str) -> list[tuple[str, str]]:
    found, position = [], 0
    while position < len(source):
        match = _TOKEN.match(source, position)
        if match is None:
            raise ValueError(f"unexpected text at character {position}")
        position = match.end()
        if match.lastgroup:
            found.append((match.lastgroup, match[match.lastgroup]))
    return found


def _message(tokens: list[tuple[str, str]], at: int, end: str | None, depth: int) -> tuple[dict[str, list[Any]], int]:
    if depth > DEPTH:
        raise ValueError("messages are nested too deep")
    out: dict[str, list[Any]] = {}
    while at < len(tokens):
        kind, text = tokens[at]
        at += 1
        if text == end:
            return out, at
        if text in (";", ","):
            continue
        if kind != "word":
            raise ValueError(f"expected a field, found {text[:40]!r}")
        values, at = _values(tokens, at, depth)
        out.setdefault(text, []).extend(values)
    if end is not None:
        raise ValueError("a message without an end")
    return out, at


def _values(tokens: list[tuple[str, str]], at: int, depth: int) -> tuple[list[Any], int]:
    if at < len(tokens) and tokens[at][1] == ":":
        at += 1
    if at >= len(tokens):
        raise ValueError("a field without a value")
    kind, text = tokens[at]
    if text in ("{", "<"):
        value, at = _message(tokens, at + 1, "}" if text == "{" else ">", depth + 1)
        return [value], at
    if kind == "text":
        parts = []
        while at < len(tokens) and tokens[at][0] == "text":
            parts.append(_ESCAPE.sub(_unescape, tokens[at][1][1:-1]))
            at += 1
        return ["".join(parts)], at
    if kind in ("word", "number"):
        return [text], at + 1
    raise ValueError(f"expected a value, found {text!r}")


def _unescape(match: re.Match[str]) -> str:
    octal, hexadecimal, named = match.groups()
    if octal:
        return chr(int(octal, 8))
    return chr(int(hexadecimal, 16)) if hexadecimal else _NAMED.get(named, named)
