"""The top line of a screen with several views: what it is, what it shows, and the views to choose from."""

from collections.abc import Sequence

from textual.content import Content
from textual.widgets import Static


def title_and_tabs(
    title: str, told: str, tabs: Sequence[tuple[str, str]], chosen: str, width: int
) -> Content:
    """The top line in `width` cells.

    Args:
        title: of the screen.
        told: what it shows; cut off where there is no room.
        tabs: key, which may be empty, and name of each view; a click on one does what its key does.
        chosen: the name of the one that is seen.
        width: cells.
    """
    left = Content.assemble((f" {title}  ", "bold $text-primary"), (told, "bold"))
    shown = [
        Content.styled(
            f" {key} {name} " if key else f" {name} ",
            f"{'bold reverse' if name == chosen else '$text-muted'} @click=screen.view('{name}')",
        )
        for key, name in tabs
    ]
    right = Content.assemble(*shown, " ")
    left = left.truncate(max(0, width - right.cell_length - 1), ellipsis=True)
    return Content.assemble(left, " " * max(0, width - left.cell_length - right.cell_length), right)


def update_static(widget: Static, content: Content) -> None:
    """Update a text only when it says something else, and lay the screen out anew only when its size may differ."""
    before = widget.content
    if not isinstance(before, Content):
        widget.update(content)
    elif not before.is_same(content):
        widget.update(content, layout=not _has_same_layout(before, content, widget.size.width))


def _has_same_layout(before: Content, after: Content, width: int) -> bool:
    """Whether two texts take the same cells: lines of the same widths, none of which is wrapped."""
    lines, old = after.split(), before.split()
    return len(lines) == len(old) and all(
        line.cell_length == was.cell_length <= width for line, was in zip(lines, old, strict=True)
    )
