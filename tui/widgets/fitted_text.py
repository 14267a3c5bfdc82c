"""Text in a given room: what does not fit is marked with an ellipsis."""

from collections.abc import Sequence

from textual.content import Content

ELLIPSIS = "…"


def fitted_lines(text: Content, width: int, height: int) -> list[Content]:
    """Wrap a text to at most so many lines; one that is cut ends in an ellipsis."""
    return cut_lines(list(text.wrap(max(1, width))), width, height)


def cut_lines(lines: Sequence[Content], width: int, height: int) -> list[Content]:
    """The first of some lines, the last one with an ellipsis if there are more than fit."""
    if len(lines) <= height:
        return list(lines)
    kept = list(lines[: max(0, height)])
    if kept:
        last = kept[-1].rstrip()
        if last.cell_length >= width:
            last = last.truncate(max(0, width - 1))
        kept[-1] = last + ELLIPSIS
    return kept
