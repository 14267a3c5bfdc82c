"""Interface of the current version, compared with that before the restructuring: options, files, settings, keys."""

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final
from unittest.mock import patch

import click
import msgspec

from core.cli.main import cli
from core.config.schema import RunConfig
from core.data.recipe import DataRecipe
from core.errors import UserError
from core.recipes.load import RecipeFile
from core.runs.directory import RunFile
from core.runs.metrics import EpochRecord
from core.runs.overlay import Overlay
from core.runs.results import Evaluation
from core.runs.status import Status
from core.runs.trajectory import Progress
from core.training.checkpoint import Position
from tests.support.before_house import Json, flattened
from tui.__main__ import _parser as dashboard_options
from tui.commands import ALL, SECTIONS
from tui.settings.keymap import keys_of_command, read_keymap, save_keys
from tui.settings.locations import keys_path, state_dir
from tui.settings.schema import read_folders
from tui.settings.store import read_settings, write_settings
from tui.settings.toml_edit import set_value

STORED: Final = {
    "recipe.toml": RecipeFile,
    "data recipe.toml": DataRecipe,
    "run.toml": RunFile,
    "status.json": Status,
    "metrics.jsonl, an epoch": EpochRecord,
    "checkpoint, its position": Position,
    "evaluation.json": Evaluation,
    "overlay.json": Overlay,
    "trajectory.json": Progress,
}
"""The types of everything that is stored in files, by a name of the file."""


# Commands, options and settings


def options_of(command: click.Command, context: click.Context, name: str) -> dict[str, Json]:
    """Describe the parameters of a command and its subcommands, by the full name of the command."""
    found: dict[str, Json] = {name: {_parameter_name(one): _parameter(one) for one in command.params}}
    if isinstance(command, click.Group):
        for inner in command.list_commands(context):
            child = command.get_command(context, inner)
            assert child is not None
            inside_it = click.Context(child, info_name=inner, parent=context)
            found |= options_of(child, inside_it, f"{name} {inner}")
    return found


PARAMETER_DEFAULTS: Final = {
    "metavar": None,
    "required": False,
    "nargs": 1,
    "multiple": False,
    "type": "text",
    "flag": False,
}
"""Values that are left out of a parameter's description."""


def _parameter_name(parameter: click.Parameter) -> str:
    """Return the name by which users know a parameter."""
    return (
        " ".join(sorted(parameter.opts))
        if isinstance(parameter, click.Option)
        else parameter.human_readable_name
    )


def _parameter(parameter: click.Parameter) -> Json:
    kind, default = parameter.type, parameter.default
    found: Json = {
        "metavar": parameter.metavar,
        "required": parameter.required,
        "nargs": parameter.nargs,
        "multiple": parameter.multiple,
        "type": kind.name,
        "flag": isinstance(parameter, click.Option) and parameter.is_flag,
    }
    found = {key: value for key, value in found.items() if value != PARAMETER_DEFAULTS[key]}
    if isinstance(default, str | int | float | bool | Path) and not isinstance(default, type):
        found["default"] = str(default)
    if isinstance(kind, click.Choice):
        found["choices"] = [str(one) for one in kind.choices]
    if isinstance(kind, click.IntRange | click.FloatRange):
        found["range"] = [kind.min, kind.max]
    return found


def core_options() -> dict[str, Json]:
    """Describe all options of ``core``."""
    return options_of(cli, click.Context(cli, info_name="core"), "core")


def help_texts() -> dict[str, str]:
    """Return the ``--help`` text of each command, 100 columns wide."""
    found = {"ddpm-tui": dashboard_options().format_help()}

    def ask(command: click.Command, context: click.Context, name: str) -> None:
        found[name] = command.get_help(context)
        if isinstance(command, click.Group):
            for inner in command.list_commands(context):
                child = command.get_command(context, inner)
                assert child is not None
                ask(child, _context(child, inner, context), f"{name} {inner}")

    ask(cli, _context(cli, "core"), "core")
    return found


def _context(command: click.Command, name: str, parent: click.Context | None = None) -> click.Context:
    settings = {"terminal_width": 100, **(command.context_settings if parent is None else {})}
    return click.Context(command, info_name=name, parent=parent, **settings)


def dashboard_arguments() -> dict[str, Json]:
    """Describe all options of ``ddpm-tui``: metavar, number of values, choices and default."""
    return {
        " ".join(sorted(action.option_strings)) or str(action.metavar): [
            action.metavar,
            action.nargs,
            None if action.choices is None else list(action.choices),
            None if action.default is None else str(action.default),
        ]
        for action in dashboard_options()._actions
    }


def commands() -> dict[str, Json]:
    """Commands of the dashboard: by screen and id, the keys. Actions are internal and may be renamed."""
    found: dict[str, Json] = {}
    for section, those in SECTIONS.items():
        for one in those:
            found.setdefault(section, {})[one.id] = one.keys
    return found


def file_schema(kind: type) -> dict[str, Json]:
    """Return the keys of a file with types, bounds and defaults, by dotted name and without names of classes."""
    schema = msgspec.json.schema(kind)
    return dict(_leaves(schema, schema.get("$defs", {}), ""))


def without_new_values(found: Json, wanted: Json) -> Json:
    """Remove the values of settings that old files have not, because a setting may take more values than it did.

    One of them may be None, which then stands for the old default.
    """
    if isinstance(found, Mapping) and isinstance(wanted, Mapping):
        if "anyOf" in found and "type" in wanted and found.get("default") is None:
            (kind,) = [one for one in found["anyOf"] if one != {"type": "null"}]
            return {**kind, "default": wanted["default"]}
        return {
            key: [one for one in value if one in wanted[key]]
            if key == "enum" and key in wanted
            else without_new_values(value, wanted.get(key))
            for key, value in found.items()
        }
    return found


def file_schemas() -> dict[str, Json]:
    """Return the schemas of all files, with the settings of a run, which two files contain, only once."""
    found = {name: file_schema(kind) for name, kind in STORED.items()}
    found["settings of a run"] = file_schema(RunConfig)
    settings = found["settings of a run"]
    for name, prefix in (("recipe.toml", ""), ("run.toml", "config.")):
        for key, value in settings.items():
            assert found[name].pop(prefix + key) == value, f"{name}: {prefix}{key}"
    return found


def _leaves(schema: Json, named: Json, path: str) -> Iterator[tuple[str, Json]]:
    if "$ref" in schema:
        yield from _leaves(named[schema["$ref"].rpartition("/")[2]], named, path)
        return
    if "properties" in schema:
        for key, inner in schema["properties"].items():
            yield from _leaves(inner, named, f"{path}.{key}" if path else key)
        return
    yield path, _without_prose(schema, named)


def _without_prose(schema: Json, named: Json) -> Json:
    if isinstance(schema, list):
        return [_without_prose(one, named) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _without_prose(named[schema["$ref"].rpartition("/")[2]], named)
    kept = {key: value for key, value in schema.items() if key not in ("title", "description", "$defs")}
    return {key: _without_prose(value, named) for key, value in kept.items()}


def defaults() -> dict[str, Json]:
    """Return each setting of a run with its default."""
    return flattened(msgspec.to_builtins(RunConfig()))


# Settings and keys of the user


def settings_paths(house: Path) -> tuple[Path, Path]:
    """Return the folder of the settings and the file of the keys."""
    home = {"XDG_STATE_HOME": str(house / "home/state"), "XDG_CONFIG_HOME": str(house / "home/config")}
    with patch.dict(os.environ, home):
        return state_dir(), keys_path()


def default_settings_paths() -> list[str]:
    """Return both paths when no other folders are configured."""
    with patch.dict(os.environ, {"HOME": "/home/me"}, clear=True):
        return [str(state_dir()), str(keys_path())]


def user_settings(house: Path) -> Json:
    """Return settings, keys, folders, and the problems in the files."""
    state, keys = settings_paths(house)
    settings, problems = read_settings(state)
    keymap = read_keymap(keys)
    return {
        "places": default_settings_paths(),
        "settings": {
            name: getattr(settings, name) for name in ("theme", "pictures", "zoom", "bell", "refresh")
        },
        "troubles": [one.replace(str(house), "HOUSE") for one in problems],
        "folders": read_folders(state),
        "keymap": keymap,
        "keys": {
            command.id: list(keys_of_command(command, keymap)) for command in ALL if command.id in keymap
        },
    }


def change_settings(house: Path) -> tuple[bytes, bytes]:
    """Change settings and keys as the dashboard does, and return the content of both files."""
    state, keys = settings_paths(house)
    before, _ = read_settings(state)
    after = replace(before, theme="light", pictures="kitty", zoom=1, refresh=2.0)
    assert write_settings(state, before, after) == ""
    set_value(state / "settings.toml", "bell", None)
    changes: dict[str, Iterable[str] | None] = {
        "run.stop": ["x", "escape"],
        "board.schedules": ["S"],
        "compare.left": None,
        "denoise.play": ["space"],
        "denoise.faster": ["plus", "f9"],
        "app.help": ["f1"],
    }
    assert save_keys(keys, changes) == ""  # type: ignore[arg-type]  # lists
    return (state / "settings.toml").read_bytes(), keys.read_bytes()


def keys_file_error(house: Path, text: str) -> str:
    """Return the error for other keys, which is shown before the dashboard starts."""
    _, keys = settings_paths(house)
    keys.write_text(text, encoding="utf-8")
    try:
        read_keymap(keys)
    except UserError as error:
        return str(error).replace(str(house), "HOUSE")
    return ""
