"""Settings: kept between two visits, and refused in a line where they are wrong."""

from dataclasses import replace
from pathlib import Path

import pytest
from tui_pilot import dashboard

from tui.preferences import Settings
from tui.settings_file import read_settings, write_settings


def test_settings_are_kept_and_nothing_else_is_left_behind(tmp_path: Path) -> None:
    theme = tmp_path / "ddpm-tui" / "theme"
    assert read_settings(theme) == read_settings(None) == (Settings(), ())
    chosen = Settings(pictures="256", zoom=2, bell=False, refresh=1.0)
    assert write_settings(theme, Settings(), chosen) == ""
    assert read_settings(theme) == (chosen, ())
    assert [path.name for path in theme.parent.iterdir()] == ["settings.toml"]
    assert "cannot be written" in write_settings(Path("/proc/nowhere/theme"), Settings(), chosen)


def test_only_what_changed_is_written(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text("# mine\nzoom = 2\nspeed = 3  # of a later version\nbell = 'loud'\n", encoding="utf-8")
    settings, _ = read_settings(tmp_path / "theme")
    assert write_settings(tmp_path / "theme", settings, replace(settings, zoom=1, refresh=0.5)) == ""
    assert file.read_text(encoding="utf-8") == (
        "# mine\nzoom = 1\nspeed = 3  # of a later version\nbell = 'loud'\nrefresh = 0.5\n"
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("pictrues = 'auto'", "unknown key pictrues = auto; did you mean pictures?"),
        ("zoom = 3", "zoom = 3: expected 1 or 2"),
        ("bell = 1", "bell = 1: expected true or false"),
        ("refresh = 0.0", "refresh = 0.0: expected seconds, from 0.1 to 10"),
        ("refresh = true", "refresh = true: expected seconds"),
        ("pictures = 'vga'", "pictures = 'vga': expected auto, truecolor, 256, 16 or ascii"),
        ("zoom =", "not valid TOML"),
    ],
)
def test_what_is_wrong_in_the_file_is_named_in_a_line_and_the_rest_counts(
    tmp_path: Path, text: str, said: str
) -> None:
    file = tmp_path / "settings.toml"
    file.write_text(f"{text}\n" + ("" if text == "zoom =" else "[zoom2]\n"), encoding="utf-8")
    settings, troubles = read_settings(tmp_path / "theme")
    assert settings == Settings()
    assert len(troubles) == (1 if text == "zoom =" else 2)
    assert troubles[0].startswith(str(file))
    assert said in troubles[0]


async def test_zoom_is_remembered(tmp_path: Path) -> None:
    theme = tmp_path / "state" / "theme"
    async with dashboard(tmp_path / "runs", remember=theme) as driven:
        await driven.press("Z")
    assert read_settings(theme)[0].zoom == 2
