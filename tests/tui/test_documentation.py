"""docs/dashboard.md lists every command with its keys."""

import pytest

from tests.support import ROOT
from tui.commands import ALL, NUMBERS, REPLAY, Command

TEXT = (ROOT / "docs" / "dashboard.md").read_text(encoding="utf-8")
SIGNS = {
    "left_square_bracket": "[",
    "right_square_bracket": "]",
    "question_mark": "?",
    "slash": "/",
    "left_parenthesis": "(",
    "right_parenthesis": ")",
    "left_curly_bracket": "{",
    "right_curly_bracket": "}",
    "colon": ":",
    "comma": ",",
    "full_stop": ".",
    "less_than_sign": "<",
    "greater_than_sign": ">",
    "plus": "+",
    "minus": "-",
    "equals_sign": "=",
    "tilde": "~",
    "escape": "esc",
}


def row(command: Command) -> str:
    """A command's line in the table of its screen."""
    keys = " ".join(f"`{SIGNS.get(key, key)}`" for key in command.keys.split(","))
    return f"| {keys} | {command.text} | `{command.id}` |"


DIGITS = {command for numbers in NUMBERS for command in numbers}


@pytest.mark.parametrize("command", [one for one in ALL if one not in DIGITS], ids=lambda command: command.id)
def test_each_command_is_in_the_documentation_with_its_keys(command: Command) -> None:
    assert row(command) in TEXT.splitlines()


@pytest.mark.parametrize("numbers", NUMBERS, ids=lambda numbers: numbers[0].id)
def test_digits_are_in_the_documentation_as_one_line(numbers: tuple[Command, ...]) -> None:
    first, last = numbers[0], numbers[-1]
    assert f"| `{first.keys}` to `{last.keys}` | {NUMBERS[numbers]} | `{first.id}` to `{last.id}` |" in TEXT


def test_the_documentation_names_no_command_that_does_not_exist() -> None:
    named = {
        line.split("`")[-2] for line in TEXT.splitlines() if line.startswith("| `") and line.endswith("` |")
    }
    assert named == {command.id for command in ALL if command not in DIGITS or command.keys == "9"}


def test_no_screen_has_another_use_for_the_keys_that_export_and_replay() -> None:
    same_everywhere = [*REPLAY, *(command for command in ALL if command.id == "app.export")]
    keys = [key for command in same_everywhere for key in command.keys.split(",")]
    others = {key for command in ALL if command not in same_everywhere for key in command.keys.split(",")}
    assert len(set(keys)) == len(keys)
    assert not set(keys) & others
