"""Styles of terminal cells as SGR parameters, and the shortest sequences between them."""

from functools import lru_cache
from typing import Final, NamedTuple


class CellStyle(NamedTuple):
    """Style of a cell as parts of an SGR sequence: attributes, foreground and background; empty by default."""

    attributes: str
    foreground: str
    background: str


PLAIN: Final = CellStyle("", "", "")
Row = tuple[list[str], list[CellStyle]]
"""Characters and styles by cell; the character is empty where nothing was written or a wide one continues."""

_VISIBLE_ON_BLANK: Final = frozenset({"4", "7", "9", "21", "53"})
"""Attributes that show the foreground even on a blank: underline, reverse, strike through."""
_GREY_RAMP: Final = {8 + 10 * step: f"5;{232 + step}" for step in range(24)} | {255: "5;231"}
_MAX_GREY_ERROR: Final = 5
"""Largest difference, of 255, at which a grey becomes one of the terminal's own: half the bytes, and not visible."""


@lru_cache(maxsize=1 << 16)
def style_of(style: str) -> CellStyle:
    """Parse the parameters of an SGR sequence that follows a reset; greys get their shorter codes."""
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
            target = "3" if word[:-1] in ("3", "9") else "4"
            colors[target] = "" if word[-1] == "9" and len(word) == 2 and word[0] in "34" else word
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
def for_blank(style: CellStyle) -> CellStyle:
    """Style of a blank: without its foreground, unless that is visible."""
    visible = _VISIBLE_ON_BLANK.intersection(style.attributes.split(";"))
    return style if visible else CellStyle("", "", style.background)


def sgr_delta(before: CellStyle | None, after: CellStyle) -> str:
    """The SGR sequence from one style to another; a full one where the first is None."""
    if before is None or before.attributes != after.attributes:
        return f"\x1b[{';'.join(part for part in ('0', *after) if part)}m"
    words = []
    if before.foreground != after.foreground:
        words.append(after.foreground or "39")
    if before.background != after.background:
        words.append(after.background or "49")
    return f"\x1b[{';'.join(words)}m"
