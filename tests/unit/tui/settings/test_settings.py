"""Settings files: kept between sessions, with one line for each mistake."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.tui_pilot import dashboard
from tui.settings.schema import Settings
from tui.settings.store import load_settings, read_settings, write_settings


def test_settings_are_kept_and_nothing_else_is_left_behind(tmp_path: Path) -> None:
    state = tmp_path / "ddpm-tui"
    assert read_settings(state) == read_settings(None) == (Settings(), ())
    chosen = Settings(theme="light", pictures="256", zoom=2, bell=False, refresh=2.0)
    assert write_settings(state, Settings(), chosen) == ""
    assert read_settings(state) == (chosen, ())
    assert [path.name for path in state.iterdir()] == ["settings.toml"]
    assert "cannot be written" in write_settings(Path("/proc/nowhere"), Settings(), chosen)


def test_only_what_changed_is_written(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text("# mine\nzoom = 2\nspeed = 3  # of a later version\nbell = 'loud'\n", encoding="utf-8")
    settings, _ = read_settings(tmp_path)
    assert write_settings(tmp_path, settings, replace(settings, zoom=1, refresh=0.5)) == ""
    assert file.read_text(encoding="utf-8") == (
        "# mine\nzoom = 1\nspeed = 3  # of a later version\nbell = 'loud'\nrefresh = 0.5\n"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("pictrues = 'auto'", "unknown key pictrues = auto; did you mean pictures?"),
        ("zoom = 3", "zoom = 3: expected 1 or 2"),
        ("bell = 1", "bell = 1: expected true or false"),
        ("refresh = 0.0", "refresh = 0.0: expected seconds, from 0.1 to 10"),
        ("refresh = true", "refresh = true: expected seconds"),
        ("pictures = 'vga'", "pictures = 'vga': expected auto, kitty, truecolor, 256, 16 or ascii"),
        ("theme = 'pink'", "theme = 'pink': expected dark, light, colour-blind or monochrome"),
        ("zoom =", "not valid TOML"),
    ],
)
def test_what_is_wrong_in_the_file_is_named_in_a_line_and_the_rest_counts(
    tmp_path: Path, text: str, message: str
) -> None:
    file = tmp_path / "settings.toml"
    file.write_text(f"{text}\n" + ("" if text == "zoom =" else "[zoom2]\n"), encoding="utf-8")
    settings, problems = read_settings(tmp_path)
    assert settings == Settings()
    assert len(problems) == (1 if text == "zoom =" else 2)
    assert problems[0].startswith(str(file))
    assert message in problems[0]


async def test_zoom_is_remembered(tmp_path: Path) -> None:
    state = tmp_path / "state"
    async with dashboard(tmp_path / "runs", remember=state) as driven:
        await driven.press("Z")
    assert read_settings(state)[0].zoom == 2


def test_the_theme_of_an_old_file_is_taken_over_once(tmp_path: Path) -> None:
    (tmp_path / "theme").write_text("ddpm-monochrome\n", encoding="utf-8")
    (tmp_path / "settings.toml").write_text("zoom = 2\n", encoding="utf-8")
    assert load_settings(tmp_path) == (Settings(theme="monochrome", zoom=2), ())
    assert (tmp_path / "settings.toml").read_text(encoding="utf-8") == 'zoom = 2\ntheme = "monochrome"\n'
    assert not (tmp_path / "theme").exists()
    (tmp_path / "theme").write_text("ddpm-light\n", encoding="utf-8")
    assert load_settings(tmp_path)[0].theme == "monochrome"
    assert not (tmp_path / "theme").exists()


@pytest.mark.parametrize("content", [b"ddpm-pink\n", b"\xff\xfe", b"", b"\x1b[31m" * 999, None])
def test_an_old_theme_file_that_is_broken_gives_one_line(tmp_path: Path, content: bytes | None) -> None:
    theme = tmp_path / "theme"
    if content is None:
        os.mkfifo(theme)
    else:
        theme.write_bytes(content)
    settings, (message,) = load_settings(tmp_path)
    assert settings == Settings()
    assert message.startswith(str(theme))
    assert message.isprintable()
    assert len(message) < len(str(theme)) + 200
    assert theme.exists()
    assert not (tmp_path / "settings.toml").exists()


def test_settings_that_are_no_toml_are_named_once_and_an_old_theme_waits_for_them(tmp_path: Path) -> None:
    (tmp_path / "theme").write_text("ddpm-light\n", encoding="utf-8")
    (tmp_path / "settings.toml").write_text("zoom =", encoding="utf-8")
    settings, problems = load_settings(tmp_path)
    assert settings == Settings()
    assert len(problems) == 1
    (tmp_path / "settings.toml").write_text("zoom = 2\n", encoding="utf-8")
    assert load_settings(tmp_path)[0] == Settings(theme="light", zoom=2)
