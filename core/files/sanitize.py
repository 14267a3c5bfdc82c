"""Removal of control characters from text that was read from disk, and shortening, so that a terminal can show it."""

import re
from typing import Final

# CSI, OSC, DCS, PM, APC and SOS sequences, and two-character escapes. An unterminated string sequence ends with its
# line.
_ESCAPES: Final = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]?"
    r"|\x1b\][^\x07\x1b\r\n]*(?:\x07|\x1b\\)?"
    r"|\x1b[PX^_][^\x1b\r\n]*(?:\x1b\\)?"
    r"|\x1b[ -/]*[0-~]?"
)
_SPACES: Final = re.compile(r"\r\n|[\t\n\v\f\r\x85\u2028\u2029]")
_LINE_ENDS: Final = re.compile(r"\r\n|[\v\f\r\x85\u2028\u2029]")
# C0, DEL, C1, bidirectional marks, and zero-width or otherwise invisible characters.
_CONTROLS: Final = re.compile(
    r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    r"\U000e0000-\U000e007f]"
)
_SURROGATES: Final = re.compile(r"[\ud800-\udfff]")

LINE_LIMIT: Final = 500
"""Characters of one line of a message. A longer one lacks its middle."""
_OMISSION: Final = " ... "


def sanitize(text: str, *, lines: bool = False, limit: int | None = None) -> str:
    r"""Remove escape sequences, control characters and bidirectional marks from text.

    The result can be printed whatever a run's files or a folder's name contain: it moves no cursor, changes no
    colour or title, and encodes as UTF-8.

    Args:
        text: any text.
        lines: keep line ends (as ``\n``) and turn tabs into four spaces, for a log; otherwise each becomes
            one space.
        limit: characters of the result, which keeps the beginning and the end of a longer text; 0 keeps all. By
            default, `LINE_LIMIT` for one line, and 0 with `lines`.

    >>> sanitize("\x1b[31mred\x1b[0m\nnext\x07")
    'red next'
    """
    most = limit if limit is not None else 0 if lines else LINE_LIMIT
    if text.isprintable():  # the usual case, many times faster
        return _shorten(text, most)
    text = _ESCAPES.sub("", text)
    text = _LINE_ENDS.sub("\n", text).replace("\t", "    ") if lines else _SPACES.sub(" ", text)
    text = _SURROGATES.sub("?", _CONTROLS.sub("", text))
    return _shorten(text, most)


def _shorten(text: str, limit: int) -> str:
    """Replace the middle of a text by an omission mark, so that it has at most so many characters."""
    if not 0 < limit < len(text):
        return text
    kept = max(0, limit - len(_OMISSION))
    end = kept // 3
    return f"{text[: kept - end]}{_OMISSION}{text[len(text) - end :]}"[:limit]
