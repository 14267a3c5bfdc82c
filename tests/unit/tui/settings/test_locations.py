"""Folders of settings and keys: the platform's own, and files of earlier versions in other folders."""

from pathlib import Path

import platformdirs
import pytest
from platformdirs.macos import MacOS

from tui.settings import locations
from tui.settings.locations import keys_path, state_dir
from tui.settings.schema import Settings
from tui.settings.store import read_settings

linux = pytest.mark.skipif(
    platformdirs.PlatformDirs is MacOS, reason="XDG folders are the defaults elsewhere"
)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for variable in ("XDG_CONFIG_HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def mac(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home folder of a user of macOS, who has used an earlier version."""
    monkeypatch.setattr(locations, "user_state_path", lambda *a, **k: MacOS(*a, **k).user_state_path)
    monkeypatch.setattr(locations, "user_config_path", lambda *a, **k: MacOS(*a, **k).user_config_path)
    old = home / ".local/state/ddpm-tui"
    old.mkdir(parents=True)
    (old / "settings.toml").write_text("zoom = 2\n", encoding="utf-8")
    (old / "folders").write_text("/images\n", encoding="utf-8")
    (home / ".config/ddpm-tui").mkdir(parents=True)
    return home


@linux
def test_settings_are_in_the_folder_for_state(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert state_dir() == home / ".local/state/ddpm-tui"
    monkeypatch.setenv("XDG_STATE_HOME", "/x")
    assert state_dir() == Path("/x/ddpm-tui")


@linux
def test_keys_toml_is_in_the_folder_for_configuration(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert keys_path() == home / ".config/ddpm-tui/keys.toml"
    monkeypatch.setenv("XDG_CONFIG_HOME", "/x")
    assert keys_path() == Path("/x/ddpm-tui/keys.toml")


def test_files_of_an_earlier_version_on_macos_are_carried_over_once(mac: Path) -> None:
    support = mac / "Library/Application Support/ddpm-tui"
    assert state_dir() == support
    assert read_settings(support) == (Settings(zoom=2), ())
    assert (support / "folders").read_text(encoding="utf-8") == "/images\n"
    assert list((mac / ".local/state/ddpm-tui").iterdir()) == []
    (mac / ".local/state/ddpm-tui/settings.toml").write_text("zoom = 1\n", encoding="utf-8")
    state_dir()
    assert read_settings(support) == (Settings(zoom=2), ())


def test_a_link_to_keys_elsewhere_stays_one_on_macos(mac: Path) -> None:
    (mac / "dotfiles.toml").write_text('"run.stop" = "s"\n', encoding="utf-8")
    (mac / ".config/ddpm-tui/keys.toml").symlink_to("../../dotfiles.toml")
    assert keys_path().is_symlink()
    assert keys_path().resolve() == (mac / "dotfiles.toml").resolve()
    assert list((mac / ".config/ddpm-tui").iterdir()) == []


def test_folders_that_the_user_has_set_are_used_on_macos_and_nothing_moves(
    mac: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(mac / "mine"))
    state_dir()
    assert (mac / ".local/state/ddpm-tui/settings.toml").exists()


def test_a_folder_that_cannot_be_made_costs_the_old_files_only(mac: Path) -> None:
    (mac / "Library").write_text("no folder", encoding="utf-8")
    state_dir()
    assert (mac / ".local/state/ddpm-tui/settings.toml").exists()
