"""Output to terminals of any encoding: characters that an encoding lacks become ASCII."""

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
"""ASCII substitutes of characters that an encoding lacks, one for one, so that columns stay aligned."""


def allow_any_encoding(encoding: str | None = None) -> None:
    """Let Textual write to a terminal of any encoding, with ASCII in place of what the encoding lacks.

    Args:
        encoding: the terminal's encoding; None is that of the stream.
    """
    codecs.register_error("ddpm-signs", _to_ascii)
    if sys.__stderr__ is not None and hasattr(sys.__stderr__, "reconfigure"):
        sys.__stderr__.reconfigure(encoding=encoding, errors="ddpm-signs")


def _to_ascii(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)  # stderr is only written to
    text = error.object[error.start : error.end].translate(ASCII_SUBSTITUTES)
    letters = (char if char.isascii() else "." if "\u2800" <= char <= "\u28ff" else "?" for char in text)
    return "".join(letters), error.end
