"""Commands: each has an action that exists where its keys are bound, and an id that is used once."""

import inspect

import pytest
from textual.actions import parse

from tui.app.dashboard import Dashboard
from tui.commands import ALL, SECTIONS, Command
from tui.dialogs.path_picker import PickerScreen
from tui.replay.app import ReplayDashboard
from tui.screens.board.screen import Board
from tui.screens.compare.screen import CompareScreen
from tui.screens.datasets.screen import DatasetsScreen
from tui.screens.denoise.screen import DenoiseScreen
from tui.screens.log.screen import LogScreen
from tui.screens.new_run.screen import NewRunScreen
from tui.screens.restore.screen import RestoreScreen
from tui.screens.schedules.screen import SchedulesScreen
from tui.screens.settings.screen import SettingsScreen

OWNERS: dict[str, type] = {
    "everywhere": Dashboard,
    "board": Board,
    "compare": CompareScreen,
    "denoise": DenoiseScreen,
    "restore": RestoreScreen,
    "schedules": SchedulesScreen,
    "datasets": DatasetsScreen,
    "new run": NewRunScreen,
    "files": PickerScreen,
    "log": LogScreen,
    "settings": SettingsScreen,
    "replay": ReplayDashboard,
    "tour": Dashboard,
}


def test_every_section_has_a_screen_or_an_app() -> None:
    assert OWNERS.keys() == SECTIONS.keys()


@pytest.mark.parametrize(
    ("section", "command"),
    [
        pytest.param(section, command, id=command.id)
        for section, those in SECTIONS.items()
        for command in those
    ],
)
def test_the_action_of_a_command_exists_and_takes_its_parameters(section: str, command: Command) -> None:
    namespace, name, parameters = parse(command.action)
    owner = Dashboard if namespace == "app" else OWNERS[section]
    method = getattr(owner, f"action_{name}", None)
    assert method is not None, f"{owner.__name__} has no action_{name}"
    inspect.signature(method).bind(None, *parameters)


def test_ids_are_unique() -> None:
    ids = [command.id for command in ALL]
    assert len(set(ids)) == len(ids)
