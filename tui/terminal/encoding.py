"""Terminals of any encoding."""

import codecs
import sys
from typing import Final

ASCII_SUBSTITUTES: Final = str.maketrans(
    {
        **dict.fromkeys("▀▄█▇▆▅▃▐▌▓▒", "#"),
        **dict.fromkeys("░▁▂·⋅∙…", "."),
        **dict.fromkeys("─━═╌┄┈▔", "-"),
        **dict.fromkeys("│┃║┆┊▏▎▕", "|"),
        **dict.fromkeys("┌┐└┘├┤┬┴┼╭╮╯╰╷╵╶╴", "+"),
        **dict.fromkeys("●◉■", "*"),
        **dict.fromkeys("○◌□", "o"),
        **dict.fromkeys("→▶▸›", ">"),
        **dict.fromkeys("←◀◂‹", "<"),
        **dict.fromkeys("↑▲▴", "^"),
        **dict.fromkeys("↓▼▾", "v"),
        "✔": "v",
        "✖": "x",
        "–": "-",
        "—": "-",
        "×": "x",
    }
)
"""What stands for signs that an encoding does not have, a letter each, so that everything keeps its place."""


def allow_any_encoding() -> None:
    """Let Textual write to a terminal of any encoding: what that has no sign for becomes a letter."""
    codecs.register_error("ddpm-signs", _to_ascii)
    if sys.__stderr__ is not None and hasattr(sys.__stderr__, "reconfigure"):
        sys.__stderr__.reconfigure(errors="ddpm-signs")


def _to_ascii(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)  # stderr is only written to
    found = error.object[error.start : error.end].translate(ASCII_SUBSTITUTES)
    letters = (one if one.isascii() else "." if "\u2800" <= one <= "\u28ff" else "?" for one in found)
    return "".join(letters), error.end
