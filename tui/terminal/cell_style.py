"""How cells of a terminal look, in as few bytes as it takes to say so."""

from functools import lru_cache
from typing import Final, NamedTuple


class CellStyle(NamedTuple):
    """How a cell looks, as parts of an SGR sequence: attributes, colour and ground; empty where plain."""

    attributes: str
    foreground: str
    background: str


PLAIN: Final = CellStyle("", "", "")
Row = tuple[list[str], list[CellStyle]]
"""Characters and looks, a cell each; no character where nothing was written, or a wide one goes on."""

_VISIBLE_ON_BLANK: Final = frozenset({"4", "7", "9", "21", "53"})
"""Attributes by which even a space shows the colour of its text: underlined, reversed, struck through."""
_GREY_RAMP: Final = {8 + 10 * step: f"5;{232 + step}" for step in range(24)} | {255: "5;231"}
_MAX_GREY_ERROR: Final = 5
"""Of 255: how far a grey may be from one of the terminal's own, whose name is half as long. Nobody sees it."""


@lru_cache(maxsize=1 << 16)
def style_of(style: str) -> CellStyle:
    """The look after an SGR sequence from a plain one, greys by their shorter names."""
    words = iter(style.split(";"))
    attributes: list[str] = []
    colors = {"3": "", "4": ""}
    for word in words:
        if word in ("", "0"):
            attributes, colors = [], {"3": "", "4": ""}
        elif word in ("38", "48"):
            kind = next(words, "")
            rest = [next(words, "") for _ in range(3 if kind == "2" else 1)]
            colors[word[0]] = f"{word};{_short_color(kind, rest)}"
        elif len(word) >= 2 and word[:-1] in ("3", "4", "9", "10"):
            place = "3" if word[:-1] in ("3", "9") else "4"
            colors[place] = "" if word[-1] == "9" and len(word) == 2 and word[0] in "34" else word
        else:
            attributes.append(word)
    return CellStyle(";".join(attributes), colors["3"], colors["4"])


def _short_color(kind: str, rest: list[str]) -> str:
    if kind == "2" and rest[0] == rest[1] == rest[2] and rest[0].isdigit():
        level = int(rest[0])
        near = min(_GREY_RAMP, key=lambda grey: abs(grey - level))
        if abs(near - level) <= _MAX_GREY_ERROR:
            return _GREY_RAMP[near]
    return ";".join([kind, *rest])


@lru_cache(maxsize=1 << 12)
def for_blank(look: CellStyle) -> CellStyle:
    """How a space looks: without a colour that nobody sees."""
    inked = _VISIBLE_ON_BLANK.intersection(look.attributes.split(";"))
    return look if inked else CellStyle("", "", look.background)


def sgr_delta(before: CellStyle | None, after: CellStyle) -> str:
    """The SGR sequence from one look to another."""
    if before is None or before.attributes != after.attributes:
        return f"\x1b[{';'.join(part for part in ('0', *after) if part)}m"
    words = []
    if before.foreground != after.foreground:
        words.append(after.foreground or "39")
    if before.background != after.background:
        words.append(after.background or "49")
    return f"\x1b[{';'.join(words)}m"
