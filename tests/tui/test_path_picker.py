"""The path picker, driven by keys, with unusual files and folders."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from textual.pilot import Pilot
from textual.widgets import Input, Static

from tests.support.tui_pilot import Driven, dashboard, make_app, ready
from tui.commands import PICKER
from tui.dialogs import path_picker
from tui.dialogs.path_picker import DATASET, IMAGE, PickerRequest, PickerScreen, nearest_folder
from tui.screens.new_run.screen import NewRunScreen
from tui.screens.schedules.screen import SchedulesScreen
from tui.widgets.key_hints import keys_by_command

NOT_ASKED = Path("not asked")


def image(path: Path, value: int = 200) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (50, 40), (value, 0, 0)).save(path)
    return path


def holiday(root: Path) -> Path:
    """A folder with three images, a folder in it, and entries that are not listed."""
    folder = root / "holiday"
    for name in ("b.png", "A.jpg", "sub/c.png", ".hidden/d.png", ".secret.png"):
        image(folder / name)
    (folder / "notes.txt").write_text("hello")
    (folder / "set.toml").write_text("")
    return folder


class Asked:
    """A picker on the screen, and its answer."""

    def __init__(self, driven: Driven, request: PickerRequest, start: Path | None) -> None:
        self.driven, self.answer = driven, NOT_ASKED
        self.screen = PickerScreen(request, start)
        driven.app.push_screen(self.screen, self._decided)

    def _decided(self, path: Path | None) -> None:
        self.answer = path  # type: ignore[assignment]  # None is an answer too

    @property
    def names(self) -> list[str]:
        """The lines of the tree."""
        files = self.screen.file_tree
        nodes = (files.get_node_at_line(line) for line in range(files.last_line + 1))
        return [str(node.label) for node in nodes if node is not None]

    @property
    def path(self) -> str:
        return self.screen.query_one(Input).value

    @property
    def message(self) -> str:
        return str(self.screen.query_one("#message", Static).content)


async def ask(driven: Driven, request: PickerRequest, start: Path | None, *, lines: int = 2) -> Asked:
    """A picker whose first folder has been read."""
    asked = Asked(driven, request, start)
    await driven.until(lambda: driven.app.screen is asked.screen and asked.screen.is_mounted)
    await driven.until(lambda: len(asked.names) >= lines)
    await driven.pilot.pause()
    return asked


async def test_folders_come_first_and_hidden_ones_and_texts_are_left_out(tmp_path: Path) -> None:
    folder = holiday(tmp_path)
    async with dashboard(tmp_path / "runs") as driven:
        asked = await ask(driven, IMAGE, folder)
        assert asked.names == ["holiday", "sub", "A.jpg", "b.png"]
        await driven.press("escape")
        assert asked.answer is None
        asked = await ask(driven, DATASET, folder)
        assert asked.names == ["holiday", "sub", "A.jpg", "b.png", "set.toml"]


async def test_an_image_is_selected_by_keys(tmp_path: Path) -> None:
    folder = holiday(tmp_path)
    async with dashboard(tmp_path / "runs") as driven:
        asked = await ask(driven, IMAGE, folder)
        assert asked.path == str(folder)
        await driven.press("down", "right")
        await driven.until(lambda: "c.png" in asked.names)
        await driven.press("right")
        assert asked.path == str(folder / "sub" / "c.png")
        await driven.press("left")
        assert asked.path == str(folder / "sub")
        await driven.press("left")
        assert "c.png" not in asked.names
        await driven.press("left", "end")
        assert asked.path == str(folder / "b.png")
        await driven.press("home", "pagedown", "k", "j", "enter")
        assert asked.answer == folder / "b.png"


async def test_a_folder_is_chosen_if_requested_and_opened_otherwise(tmp_path: Path) -> None:
    folder = holiday(tmp_path)
    async with dashboard(tmp_path / "runs") as driven:
        asked = await ask(driven, IMAGE, folder)
        await driven.press("down", "enter")
        await driven.until(lambda: asked.names == ["sub", "c.png"])
        assert asked.answer is NOT_ASKED
        await driven.press("backspace")
        await driven.until(lambda: asked.names == ["holiday", "sub", "A.jpg", "b.png"])
        await driven.press("escape")
        asked = await ask(driven, DATASET, folder)
        await driven.press("end", "k", "enter")
        assert (
            asked.message
            == "expected a folder of images, a zip, tar, .npy, .npz, IDX, parquet or arrow file of images, "
            "or a recipe's .toml"
        )
        await driven.press("home", "down", "enter")
        assert asked.answer == folder / "sub"


async def test_a_recipe_can_be_chosen_in_place_of_a_folder(tmp_path: Path) -> None:
    folder = holiday(tmp_path)
    async with dashboard(tmp_path / "runs") as driven:
        asked = await ask(driven, DATASET, folder)
        await driven.press("end", "enter")
        assert asked.answer == folder / "set.toml"


async def test_a_path_is_typed_and_its_errors_are_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = holiday(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    async with dashboard(tmp_path / "runs") as driven:
        asked = await ask(driven, IMAGE, folder)
        field = asked.screen.query_one(Input)
        await driven.press("tab")
        assert field.has_focus
        await driven.press("q", "enter")
        assert asked.message == "no such file or folder"
        await driven.press("backspace")
        assert asked.message == ""
        field.value = "~nobody-of-this-name/a.png"
        await driven.press("enter")
        assert "home" in asked.message
        field.value = "~/holiday/sub"
        await driven.press("enter")
        await driven.until(lambda: asked.names == ["sub", "c.png"])
        assert not field.has_focus
        await driven.press("tab", "tab")
        assert not field.has_focus
        await driven.press("tab")
        field.value = "~/holiday/notes.txt"
        await driven.press("enter")
        assert asked.answer == folder / "notes.txt"


async def test_the_home_folder_is_one_key_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = holiday(tmp_path)
    monkeypatch.setenv("HOME", str(folder))
    async with dashboard(tmp_path / "runs") as driven:
        asked = await ask(driven, IMAGE, tmp_path)
        await driven.press("tilde")
        await driven.until(lambda: asked.names == ["holiday", "sub", "A.jpg", "b.png"])


async def test_circular_and_broken_links_are_handled(tmp_path: Path) -> None:
    folder = holiday(tmp_path)
    (folder / "around").symlink_to(folder)
    (folder / "itself").symlink_to("itself")
    (folder / "gone.png").symlink_to("nowhere.png")
    os.mkfifo(folder / "pipe.png")
    async with dashboard(tmp_path / "runs") as driven:
        asked = await ask(driven, IMAGE, folder)
        assert asked.names == ["holiday", "around", "sub", "A.jpg", "b.png", "gone.png", "pipe.png"]
        await driven.press("down")
        for depth in range(2, 5):
            await driven.press("right")
            await driven.until(lambda depth=depth: asked.names.count("A.jpg") == depth)
            await driven.press("right")
        await driven.press("end", "enter")
        assert asked.message == "not a file"
        await driven.press("up", "enter")
        assert asked.message == "no such file or folder"


async def test_names_with_control_characters_are_shown_sanitized_and_rejected(tmp_path: Path) -> None:
    folder = tmp_path / "strange"
    folder.mkdir()
    (folder / "[bold]a[").mkdir()
    for name in (b"b\x1b[31mred.png", b"c\xff.png", b"d\nnew.png"):
        Path(os.fsdecode(bytes(folder) + b"/" + name)).touch()
    async with dashboard(tmp_path / "runs") as driven:
        asked = await ask(driven, IMAGE, folder)
        assert asked.names[1:] == ["[bold]a[", "bred.png", "c?.png", "d new.png"]
        assert "\x1b[31m" not in driven.text()
        for line in (2, 3, 4):
            await driven.press("home", *["down"] * line, "enter")
            assert asked.message == "its name cannot be displayed; rename it"
        await driven.press("tab", "enter")
        assert asked.message == "its name cannot be displayed; rename it"


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read everything")
async def test_a_folder_that_may_not_be_read_is_shown_empty(tmp_path: Path) -> None:
    folder = holiday(tmp_path)
    (folder / "sub").chmod(0)
    async with dashboard(tmp_path / "runs") as driven:
        asked = await ask(driven, IMAGE, folder)
        await driven.press("down", "right", "right")
        assert asked.names == ["holiday", "sub", "A.jpg", "b.png"]
    (folder / "sub").chmod(0o700)


async def test_a_very_large_folder_lists_the_first_entries_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(path_picker, "MAX_LISTED", 3)
    for number in range(9):
        (tmp_path / f"{number}.png").touch()
    async with dashboard(tmp_path / "runs") as driven:
        asked = await ask(driven, IMAGE, tmp_path, lines=4)
        assert asked.names[1:] == ["0.png", "1.png", "2.png"]
        await driven.press("down")
        assert asked.message == "only the first 3 entries of a folder are listed"


async def test_a_click_chooses_an_image_and_opens_a_folder(tmp_path: Path) -> None:
    folder = holiday(tmp_path)
    async with dashboard(tmp_path / "runs") as driven:
        asked = await ask(driven, IMAGE, folder)
        await driven.pilot.click("FileTree", offset=(6, 1))
        await driven.until(lambda: "c.png" in asked.names)
        await driven.pilot.click("FileTree", offset=(6, 2))
        await driven.until(lambda: asked.answer == folder / "sub" / "c.png")


def test_it_starts_at_the_nearest_existing_folder(tmp_path: Path) -> None:
    assert nearest_folder(tmp_path / "a" / "b.png") == tmp_path
    assert nearest_folder(image(tmp_path / "c.png")) == tmp_path
    assert nearest_folder(None) == Path.cwd()
    assert nearest_folder(Path("~nobody-of-this-name")) == Path("/")
    assert nearest_folder(Path("a\0b")) == Path.cwd()


async def test_every_key_of_it_is_a_command(tmp_path: Path) -> None:
    async with dashboard(tmp_path) as driven:
        await ask(driven, IMAGE, holiday(tmp_path))
        assert {command.id for command in PICKER} <= set(keys_by_command(driven.app.screen))


# Where it is used


async def test_a_image_is_chosen_for_the_schedules(tmp_path: Path) -> None:
    mine = image(tmp_path / "pictures" / "mine.png")
    async with dashboard(tmp_path / "runs", (120, 40)) as driven:
        await driven.press("s")
        await driven.until(lambda: isinstance(driven.app.screen, SchedulesScreen))
        screen = driven.app.screen
        assert isinstance(screen, SchedulesScreen)
        await driven.until(lambda: screen.explorer.images is not None)
        screen.query_one("#image", Input).value = str(mine.parent)
        await driven.press("o")
        await driven.until(lambda: isinstance(driven.app.screen, PickerScreen))
        await driven.press("escape")
        assert screen.query_one("#image", Input).value == str(mine.parent)
        await driven.press("e", "ctrl+o")
        await driven.until(lambda: "mine.png" in driven.text())
        await driven.press("down", "enter")
        await driven.until(lambda: np.shape(screen.explorer.images) == (1, 32, 32, 3))
        assert driven.app.screen is screen
        assert screen.query_one("#image", Input).value == str(mine)
        assert (screen.explorer.images[..., 0] == 200).all()


async def test_a_folder_is_chosen_for_a_new_run(tmp_path: Path) -> None:
    folder = holiday(tmp_path)
    async with dashboard(tmp_path / "runs", (120, 40)) as driven:
        await driven.press("n")
        await driven.until(lambda: isinstance(driven.app.screen, NewRunScreen))
        form = driven.app.screen
        assert isinstance(form, NewRunScreen)
        field = form.query_one("#data-dataset", Input)
        field.value = str(folder)
        await driven.press("ctrl+o")
        await driven.until(lambda: "A.jpg" in driven.text())
        await driven.press("down", "enter")
        await driven.until(lambda: driven.app.screen is form)
        assert field.value == str(folder / "sub")
        assert {config.data.dataset for config in form.configs} == {str(folder / "sub")}
        await driven.press("f2")
        await driven.until(lambda: isinstance(driven.app.screen, PickerScreen))
        await driven.press("escape")
        assert field.value == str(folder / "sub")


async def test_no_size_of_terminal_breaks_it(tmp_path: Path) -> None:
    async with dashboard(tmp_path, (80, 24)) as driven:
        asked = await ask(driven, IMAGE, holiday(tmp_path))
        for size in ((20, 5), (1, 1), (250, 70), (80, 24)):
            await driven.pilot.resize_terminal(*size)
            await driven.press("down", "pagedown", "home", "tab", "tab")
        await driven.press("escape")
        assert asked.answer is None


@pytest.fixture
def _truecolor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLORTERM", "truecolor")


def picking(start: Path) -> Callable[[Pilot[Any]], Any]:
    async def until_drawn(pilot: Pilot[Any]) -> None:
        await ready(pilot)
        screen = PickerScreen(IMAGE, start)
        await pilot.app.push_screen(screen)
        while screen.file_tree.last_line < 3:
            await pilot.pause(0.01)
        await pilot.press("down")
        await pilot.pause()
        screen.query_one(Input).value = "/home/me/holiday/sub"
        await pilot.pause()

    return until_drawn


@pytest.mark.usefixtures("_truecolor")
@pytest.mark.parametrize("size", [(80, 24), (120, 36), (160, 50)], ids=lambda size: f"{size[0]}x{size[1]}")
def test_it_looks_as_it_did(
    snap_compare: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    monkeypatch.chdir(tmp_path)  # the board behind it says where its runs are
    app = make_app(Path("runs"))
    assert snap_compare(app, terminal_size=size, run_before=picking(holiday(tmp_path)))
