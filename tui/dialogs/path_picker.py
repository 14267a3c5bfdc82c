"""A dialog to choose an image or a folder of images, in a tree of files or by typing a path."""

import heapq
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

from rich.text import Text, TextType
from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import DirectoryTree, Input, Static, Tree

from core.data.folder import FOREIGN_SUFFIXES
from core.data.recipe import FILES_OF_IMAGES, is_file_of_images
from core.files.sanitize import sanitize
from tui.commands import PICKER, bindings
from tui.widgets.images.render_mode import on_keymap_changed
from tui.widgets.key_bar import KeyBar
from tui.widgets.key_hints import screen_hints

IMAGE_SUFFIXES: Final = frozenset(
    (
        ".png",
        ".jpg",
        ".jpeg",
        ".webp",
        ".gif",
        ".bmp",
        ".tif",
        ".tiff",
        ".ppm",
        ".pgm",
        ".pbm",
        ".tga",
        ".ico",
        *FOREIGN_SUFFIXES,
    )
)
"""Suffixes of files that are listed as images; any file may be typed, because reading it shows whether it is one."""
RECIPE_SUFFIX: Final = ".toml"
MAX_LISTED: Final = 1000
"""The maximum number of entries listed per folder, because more would take long and be of no use in a list."""


@dataclass(frozen=True, slots=True)
class PickerRequest:
    """The kind of path to choose: an image, or a folder of images or a dataset recipe."""

    title: str
    folders: bool

    def is_listed(self, path: Path) -> bool:
        """Return whether a file is listed; images are always, because they show the contents of a folder."""
        suffix = path.suffix.lower()
        return suffix in IMAGE_SUFFIXES or (
            self.folders and (suffix == RECIPE_SUFFIX or is_file_of_images(path))
        )

    def problem(self, path: Path) -> str:
        """The reason why a path cannot be chosen; empty if it can."""
        try:
            if not path.exists():
                return "no such file or folder"
            fits = path.is_file() and not self.folders
            if self.folders:
                is_recipe = path.is_file() and path.suffix.lower() == RECIPE_SUFFIX
                fits = path.is_dir() or is_recipe or is_file_of_images(path)
        except OSError as error:
            return f"cannot be read ({error.strerror or error})"
        if not fits:
            wanted = f"expected a folder of images, {FILES_OF_IMAGES}, or a recipe's .toml"
            return wanted if self.folders else "not a file"
        return "" if sanitize(str(path)) == str(path) else "its name cannot be displayed; rename it"


IMAGE: Final = PickerRequest("choose an image", folders=False)
DATASET: Final = PickerRequest("choose a folder of images, or a recipe's .toml", folders=True)


class FileTree(DirectoryTree, inherit_bindings=False):
    """A tree of folders and listed files, without hidden ones; a folder is read when it is expanded.

    A link to a parent folder is a folder like any other, and is read once each time that it is expanded.
    """

    ICON_NODE = "▸ "
    ICON_NODE_EXPANDED = "▾ "
    ICON_FILE = "  "

    def __init__(self, path: Path, request: PickerRequest) -> None:
        super().__init__(path)
        self.request = request
        self.guide_depth = 2
        self.is_truncated = False

    def filter_paths(self, paths: Iterable[Path]) -> Iterable[Path]:
        listed = (
            path
            for path in paths
            if not path.name.startswith(".") and (_is_dir(path) or self.request.is_listed(path))
        )
        found = heapq.nsmallest(
            MAX_LISTED + 1, listed, key=lambda path: (not _is_dir(path), path.name.lower())
        )
        self.is_truncated |= len(found) > MAX_LISTED
        return found[:MAX_LISTED]

    def process_label(self, label: TextType) -> Text:
        return Text(sanitize(str(label)) or "/")

    @property
    def cursor_path(self) -> Path:
        """The file or folder under the cursor; the root folder if there is none."""
        node = self.cursor_node or self.root
        return Path(node.data.path) if node.data is not None else Path(self.path)


class PickerScreen(ModalScreen[Path | None]):
    """Asks for a path; escape answers None.

    Args:
        request: the kind of path to choose.
        start: the path to start at; if it does not exist, the nearest folder above it.
    """

    CSS_PATH = "path_picker.tcss"
    AUTO_FOCUS = "FileTree"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(PICKER)]

    def __init__(self, request: PickerRequest, start: Path | None = None) -> None:
        super().__init__()
        self.request = request
        self.start = nearest_folder(start)
        self._prefilled: tuple[str, Path] = ("", self.start)

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Static(self.request.title, id="title", markup=False)
            yield FileTree(self.start, self.request)
            yield Input(compact=True, id="path", max_length=4000)
            yield Static("", id="message", markup=False)
            yield KeyBar(id="keys")

    def on_mount(self) -> None:
        self.query_one(FileTree).cursor_line = 0
        on_keymap_changed(self, self._show_keys)
        self._show_keys()

    def _show_keys(self) -> None:
        words = {
            "picker.choose": "choose",
            "picker.up": "move",
            "picker.open": "open",
            "picker.out": "folder above",
            "picker.type": "type a path",
            "picker.cancel": "cancel",
        }
        self.query_one(KeyBar).show(screen_hints(self, PICKER, words))

    @property
    def file_tree(self) -> FileTree:
        """The tree of files."""
        return self.query_one(FileTree)

    @on(Tree.NodeHighlighted)
    def show_cursor_path(self) -> None:
        """Fill the field with the path under the cursor."""
        path = self.file_tree.cursor_path
        self._prefilled = (sanitize(str(path)), path)
        field = self.query_one(Input)
        field.value = self._prefilled[0]
        field.cursor_position = len(field.value)
        self._show_message(
            f"only the first {MAX_LISTED:,} entries of a folder are listed"
            if self.file_tree.is_truncated
            else ""
        )

    @on(Input.Changed)
    def clear_problem(self, event: Input.Changed) -> None:
        if event.value != self._prefilled[0]:
            self._show_message("")

    @on(Input.Submitted)
    def submit_typed(self, event: Input.Submitted) -> None:
        text, path = self._prefilled
        try:
            self._submit(path if event.value == text else Path(event.value.strip()).expanduser())
        except RuntimeError as error:  # the home folder of an unknown user
            self._show_message(str(error), wrong=True)

    @on(DirectoryTree.FileSelected)
    def submit_clicked(self, event: DirectoryTree.FileSelected) -> None:
        self._submit(event.path)

    def action_choose(self) -> None:
        self._submit(self.file_tree.cursor_path)

    def action_cursor(self, action: str) -> None:
        """Run one of the tree's own cursor actions."""
        getattr(self.file_tree, f"action_{action}")()

    def action_open(self) -> None:
        """Expand a folder; if it is expanded, go to its first entry."""
        node = self.file_tree.cursor_node
        if node is None or not node.allow_expand:
            return
        if node.is_expanded:
            self.file_tree.action_cursor_down()
        else:
            node.expand()

    def action_shut(self) -> None:
        """Collapse a folder; from another entry go to its folder, and from the root folder to the one above."""
        node = self.file_tree.cursor_node
        if node is None or node is self.file_tree.root:
            self.action_out()
        elif node.is_expanded:
            node.collapse()
        elif node.parent is not None:
            self.file_tree.move_cursor(node.parent)

    def action_out(self) -> None:
        """Show the parent of the root folder."""
        self._open_folder(Path(self.file_tree.path).expanduser().absolute().parent)

    def action_home(self) -> None:
        self._open_folder(nearest_folder(Path.home()))

    def action_type(self) -> None:
        """Focus the field, or the tree if the field has focus."""
        field = self.query_one(Input)
        self.set_focus(self.file_tree if field.has_focus else field)

    def action_cancel(self) -> None:
        self.dismiss(None)

    def _submit(self, path: Path) -> None:
        """Answer with a path, or show why it cannot be chosen; if an image is requested, open a folder."""
        if not self.request.folders and _is_dir(path):
            self._open_folder(path)
        elif problem := self.request.problem(path):
            self._show_message(problem, wrong=True)
        else:
            self.dismiss(path.absolute())

    def _open_folder(self, folder: Path) -> None:
        self.file_tree.is_truncated = False
        self.file_tree.path = folder
        self.file_tree.cursor_line = 0
        self.set_focus(self.file_tree)
        self.show_cursor_path()

    def _show_message(self, text: str, *, wrong: bool = False) -> None:
        self.query_one("#message", Static).update(
            Content.styled(text, "$text-error" if wrong else "$text-muted")
        )


def nearest_folder(path: Path | None) -> Path:
    """The nearest existing folder: the path itself or one above it; for None the current folder."""
    try:
        start = (path or Path()).expanduser().absolute()
        return next(one for one in (start, *start.parents) if _is_dir(one))
    except (OSError, RuntimeError, StopIteration, ValueError):
        return Path("/")


def _is_dir(path: Path) -> bool:
    """Return whether a path is a folder; False where that cannot be read."""
    try:
        return path.is_dir()
    except OSError:
        return False
