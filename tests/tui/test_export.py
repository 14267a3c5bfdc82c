"""The key that exports, on each screen."""

import threading
from pathlib import Path

import pytest
from PIL import Image

from tests.support.fake_groups import comparison, three_runs
from tests.support.tui_pilot import Driven, dashboard, make_app
from tui.export.item import ExportItem
from tui.export.screenshot import Screenshot, screen_svg
from tui.screens.board.screen import Board


async def exported(driven: Driven, root: Path, name: str, *, key: str = "E") -> set[str]:
    """Press the key, wait for the notification of the files, and return their names."""
    await driven.press(key)
    await driven.until(lambda: any(f"{root / name}" in said for said in driven.notifications()))
    return {path.name for path in (root / name).iterdir()}


async def test_the_board_exports_its_screen_and_its_wall(tmp_path: Path) -> None:
    comparison(tmp_path / "runs", "failed", clean=True)
    root = tmp_path / "exports"
    async with dashboard(tmp_path / "runs", size=(100, 30), exports=root) as driven:
        files = await exported(driven, root, "board-1")
        assert files == {"screen.svg", "screen.png", "wall.png", "wall.gif"}
        with Image.open(root / "board-1" / "screen.png") as image:
            assert image.size == (1200, 720)
        assert "<svg" in (root / "board-1" / "screen.svg").read_text(encoding="utf-8")
        assert await exported(driven, root, "board-2") == files


async def test_a_comparison_exports_its_table_too(tmp_path: Path) -> None:
    comparison(tmp_path / "runs", "failed", clean=True)
    root = tmp_path / "exports"
    async with dashboard(tmp_path / "runs", exports=root) as driven:
        await driven.press("c")
        files = await exported(driven, root, "compare-1")
        assert files == {"screen.svg", "screen.png", "wall.png", "wall.gif", "table.csv"}


async def test_the_reverse_process_is_exported_as_strips_and_as_an_animation(tmp_path: Path) -> None:
    three_runs(tmp_path / "runs")
    root = tmp_path / "exports"
    async with dashboard(tmp_path / "runs", exports=root) as driven:
        await driven.press("d")
        files = await exported(driven, root, "denoise-1")
        assert files == {"screen.svg", "screen.png", "denoise.png", "denoise.gif"}
        with Image.open(root / "denoise-1" / "denoise.gif") as image:
            assert image.n_frames == 10


@pytest.mark.parametrize(("key", "name", "opens"), [("f4", "schedules", ("s", "e")), ("E", "log", ("l",))])
async def test_any_other_screen_exports_its_screen(
    tmp_path: Path, key: str, name: str, opens: tuple[str, ...]
) -> None:
    comparison(tmp_path / "runs", "stopped", clean=True)
    root = tmp_path / "exports"
    async with dashboard(tmp_path / "runs", exports=root) as driven:
        await driven.press(*opens)
        assert await exported(driven, root, f"{name}-1", key=key) == {"screen.svg", "screen.png"}


async def test_an_empty_board_exports_its_screen(tmp_path: Path) -> None:
    root = tmp_path / "exports"
    async with dashboard(tmp_path / "runs", exports=root) as driven:
        assert await exported(driven, root, "board-1") == {"screen.svg", "screen.png"}


async def test_a_folder_that_cannot_be_written_is_a_notice(tmp_path: Path) -> None:
    comparison(tmp_path / "runs", "stopped", clean=True)
    root = tmp_path / "file"
    root.write_text("", encoding="utf-8")
    async with dashboard(tmp_path / "runs", exports=root) as driven:
        await driven.press("f4")
        await driven.until(lambda: any("nothing exported" in said for said in driven.notifications()))


async def test_keys_work_while_an_export_is_being_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    comparison(tmp_path / "runs", "stopped", clean=True)
    begun, goes_on = threading.Event(), threading.Event()

    def slow() -> bytes:
        begun.set()
        assert goes_on.wait(60)
        return b"done"

    monkeypatch.setattr(Board, "exports", lambda self: [ExportItem("slow.txt", slow)])
    root = tmp_path / "exports"
    async with dashboard(tmp_path / "runs", exports=root) as driven:
        try:
            await driven.press("E")
            await driven.until(begun.is_set)
            await driven.press("3")
            assert driven.board.selection.row == 2
            assert list(root.glob("board*")) == []
            await driven.press("E")
            await driven.until(lambda: any("still being written" in said for said in driven.notifications()))
        finally:
            goes_on.set()
        await driven.until(lambda: (root / "board-1" / "slow.txt").exists())


async def test_the_svg_is_the_one_that_textual_takes(tmp_path: Path) -> None:
    comparison(tmp_path, "stopped", clean=True)
    app = make_app(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        assert screen_svg(Screenshot.capture(app)).decode() == app.export_screenshot()


async def test_a_notice_is_not_in_the_image_of_the_screen(tmp_path: Path) -> None:
    comparison(tmp_path / "runs", "stopped", clean=True)
    root = tmp_path / "exports"
    app = make_app(tmp_path / "runs", exports=root)
    async with app.run_test(size=(100, 30), notifications=True) as pilot:
        driven = Driven(app, pilot, app.control)
        app.notify("a notice that was")
        await driven.until(lambda: "notice that was" in driven.text())
        await exported(driven, root, "board-1")
        assert "that&#160;was" not in (root / "board-1" / "screen.svg").read_text(encoding="utf-8")
