"""Title bar: the top line of a screen with several views, with title, subtitle and tabs."""

from collections.abc import Sequence

from textual.content import Content
from textual.widgets import Static


def title_and_tabs(
    title: str, subtitle: str, tabs: Sequence[tuple[str, str]], chosen: str, width: int
) -> Content:
    """The top line in `width` cells.

    Args:
        title: the title of the screen.
        subtitle: its content; truncated if it does not fit.
        tabs: key, which may be empty, and name of each view; a click runs the action of the key.
        chosen: the name of the current view.
        width: cells.
    """
    left = Content.assemble((f" {title}  ", "bold $text-primary"), (subtitle, "bold"))
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
    """Update a text only if it differs, and lay the screen out again only if its size may differ."""
    before = widget.content
    if not isinstance(before, Content):
        widget.update(content)
    elif not before.is_same(content):
        widget.update(content, layout=not _has_same_layout(before, content, widget.size.width))


def _has_same_layout(before: Content, after: Content, width: int) -> bool:
    """Return whether two texts cover the same cells: lines of equal widths, none of them wrapped."""
    lines, old = after.split(), before.split()
    return len(lines) == len(old) and all(
        line.cell_length == was.cell_length <= width for line, was in zip(lines, old, strict=True)
    )
