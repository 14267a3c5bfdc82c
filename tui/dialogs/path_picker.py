"""A picture or a folder of pictures, chosen in a tree of files or typed as a path."""

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

from core.files.sanitize import sanitize
from tui.commands import PICKER, bindings
from tui.widgets.images.render_mode import on_keymap_changed
from tui.widgets.key_bar import KeyBar
from tui.widgets.key_hints import screen_hints

SUFFIXES: Final = frozenset(
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
    )
)
"""Of the files that are listed as pictures; any file may be typed, what is in it is found out by reading it."""
RECIPE: Final = ".toml"
MOST_LISTED: Final = 1000
"""Files and folders of one folder; more would take long, and nobody would walk through them."""


@dataclass(frozen=True, slots=True)
class PickerRequest:
    """What can be chosen: a picture, or a folder of pictures or the recipe of some."""

    title: str
    folders: bool

    def lists(self, path: Path) -> bool:
        """Whether a file is worth listing: pictures always are, because they say what is in a folder."""
        ending = path.suffix.lower()
        return ending in SUFFIXES or (self.folders and ending == RECIPE)

    def problem(self, path: Path) -> str:
        """Why a path cannot be taken; empty when it can be."""
        try:
            if not path.exists():
                return "no such file or folder"
            fits = path.is_file() and not self.folders
            if self.folders:
                fits = path.is_dir() or (path.is_file() and path.suffix.lower() == RECIPE)
        except OSError as error:
            return f"cannot be read ({error.strerror or error})"
        if not fits:
            return "expected a folder of pictures, or a recipe's .toml" if self.folders else "not a file"
        return "" if sanitize(str(path)) == str(path) else "its name cannot be written; rename it"


IMAGE: Final = PickerRequest("choose a picture", folders=False)
DATASET: Final = PickerRequest("choose a folder of pictures, or a recipe's .toml", folders=True)


class FileTree(DirectoryTree, inherit_bindings=False):
    """Folders and what is worth listing in them, without hidden ones; a folder is read when it is opened.

    A link that leads back up is a folder like any other: it is read once for each time that somebody opens it.
    """

    ICON_NODE = "▸ "
    ICON_NODE_EXPANDED = "▾ "
    ICON_FILE = "  "

    def __init__(self, path: Path, wanted: PickerRequest) -> None:
        super().__init__(path)
        self.wanted = wanted
        self.guide_depth = 2
        self.cut_short = False

    def filter_paths(self, paths: Iterable[Path]) -> Iterable[Path]:
        listed = (
            path
            for path in paths
            if not path.name.startswith(".") and (_is_dir(path) or self.wanted.lists(path))
        )
        found = heapq.nsmallest(
            MOST_LISTED + 1, listed, key=lambda path: (not _is_dir(path), path.name.lower())
        )
        self.cut_short |= len(found) > MOST_LISTED
        return found[:MOST_LISTED]

    def process_label(self, label: TextType) -> Text:
        return Text(sanitize(str(label)) or "/")

    @property
    def under_cursor(self) -> Path:
        """The file or folder under the cursor; the folder at the top where there is none."""
        node = self.cursor_node or self.root
        return Path(node.data.path) if node.data is not None else Path(self.path)


class PickerScreen(ModalScreen[Path | None]):
    """Asks for a path; escape answers None.

    Args:
        wanted: what can be chosen.
        start: a path to start at, or near which to start.
    """

    CSS_PATH = "path_picker.tcss"
    AUTO_FOCUS = "FileTree"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(PICKER)]

    def __init__(self, wanted: PickerRequest, start: Path | None = None) -> None:
        super().__init__()
        self.wanted = wanted
        self.start = nearest_folder(start)
        self._filled: tuple[str, Path] = ("", self.start)

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Static(self.wanted.title, id="title", markup=False)
            yield FileTree(self.start, self.wanted)
            yield Input(compact=True, id="path", max_length=4000)
            yield Static("", id="said", markup=False)
            yield KeyBar(id="keys")

    def on_mount(self) -> None:
        self.query_one(FileTree).cursor_line = 0
        on_keymap_changed(self, self._say_keys)
        self._say_keys()

    def _say_keys(self) -> None:
        words = {
            "picker.choose": "choose",
            "picker.up": "move",
            "picker.open": "open",
            "picker.out": "folder above",
            "picker.type": "type a path",
            "picker.cancel": "leave it",
        }
        self.query_one(KeyBar).show(screen_hints(self, PICKER, words))

    @property
    def files(self) -> FileTree:
        """The tree of files."""
        return self.query_one(FileTree)

    @on(Tree.NodeHighlighted)
    def fill_in(self) -> None:
        """The path under the cursor stands in the field, to be taken or edited."""
        path = self.files.under_cursor
        self._filled = (sanitize(str(path)), path)
        field = self.query_one(Input)
        field.value = self._filled[0]
        field.cursor_position = len(field.value)
        self._say(f"only the first {MOST_LISTED:,} of a folder are listed" if self.files.cut_short else "")

    @on(Input.Changed)
    def clear_problem(self, event: Input.Changed) -> None:
        if event.value != self._filled[0]:
            self._say("")

    @on(Input.Submitted)
    def take_typed(self, event: Input.Submitted) -> None:
        text, path = self._filled
        try:
            self._take(path if event.value == text else Path(event.value.strip()).expanduser())
        except RuntimeError as error:  # the home of nobody
            self._say(str(error), wrong=True)

    @on(DirectoryTree.FileSelected)
    def take_clicked(self, event: DirectoryTree.FileSelected) -> None:
        self._take(event.path)

    def action_choose(self) -> None:
        self._take(self.files.under_cursor)

    def action_cursor(self, how: str) -> None:
        """One of the tree's own ways to move."""
        getattr(self.files, f"action_{how}")()

    def action_open(self) -> None:
        """Open a folder; in one that is open go on to what is in it."""
        node = self.files.cursor_node
        if node is None or not node.allow_expand:
            return
        if node.is_expanded:
            self.files.action_cursor_down()
        else:
            node.expand()

    def action_shut(self) -> None:
        """Shut a folder; from what is in it go to the folder, and from the first one out of it."""
        node = self.files.cursor_node
        if node is None or node is self.files.root:
            self.action_out()
        elif node.is_expanded:
            node.collapse()
        elif node.parent is not None:
            self.files.move_cursor(node.parent)

    def action_out(self) -> None:
        """Show the folder that holds the one at the top."""
        self._enter(Path(self.files.path).expanduser().absolute().parent)

    def action_home(self) -> None:
        self._enter(nearest_folder(Path.home()))

    def action_type(self) -> None:
        """Go to the field, or back to the tree."""
        field = self.query_one(Input)
        self.set_focus(self.files if field.has_focus else field)

    def action_cancel(self) -> None:
        self.dismiss(None)

    def _take(self, path: Path) -> None:
        """Answer with a path, or say why it cannot be taken; a folder that nobody asked for is gone into."""
        if not self.wanted.folders and _is_dir(path):
            self._enter(path)
        elif problem := self.wanted.problem(path):
            self._say(problem, wrong=True)
        else:
            self.dismiss(path.absolute())

    def _enter(self, folder: Path) -> None:
        self.files.cut_short = False
        self.files.path = folder
        self.files.cursor_line = 0
        self.set_focus(self.files)
        self.fill_in()

    def _say(self, text: str, *, wrong: bool = False) -> None:
        self.query_one("#said", Static).update(
            Content.styled(text, "$text-error" if wrong else "$text-muted")
        )


def nearest_folder(path: Path | None) -> Path:
    """The folder to start in: the path itself, else the nearest above it that is there, else the current one."""
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
