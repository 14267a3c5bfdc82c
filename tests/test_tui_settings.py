"""Settings: kept between two visits, and refused in a line where they are wrong."""

from pathlib import Path

import pytest
from tui_pilot import dashboard

from core.errors import UserError
from tui.preferences import Settings
from tui.settings_file import read_settings, write_settings


def test_settings_are_kept_whole_and_nothing_else_is_left_behind(tmp_path: Path) -> None:
    theme = tmp_path / "ddpm-tui" / "theme"
    assert read_settings(theme) == read_settings(None) == Settings()
    chosen = Settings(pictures="256", zoom=2, bell=False, refresh=1.0)
    assert write_settings(theme, chosen) == ""
    assert read_settings(theme) == chosen
    assert [path.name for path in theme.parent.iterdir()] == ["settings.toml"]
    assert "cannot be written" in write_settings(Path("/proc/nowhere/theme"), chosen)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("pictrues = 'auto'", "unknown key pictrues = auto; did you mean pictures?"),
        ("zoom = 3", "zoom = 3: "),
        ("refresh = 0.0", "refresh = 0.0: "),
        ("zoom =", "not valid TOML"),
    ],
)
def test_what_is_wrong_in_the_file_is_named_in_a_line(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "settings.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as caught:
        read_settings(tmp_path / "theme")
    assert str(caught.value).startswith(str(file))
    assert said in str(caught.value)


async def test_zoom_is_remembered(tmp_path: Path) -> None:
    theme = tmp_path / "state" / "theme"
    async with dashboard(tmp_path / "runs", remember=theme) as driven:
        await driven.press("Z")
    assert read_settings(theme).zoom == 2
