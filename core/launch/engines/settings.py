"""Settings of the engine: the user's `launch.toml`, the recipe's `[launch]` and the command line, later ones first."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from core.config.launch import ENGINE_NAMES, LaunchConfig
from core.config.load import decode, read_toml
from core.config.tables import merge
from core.errors import UserError, did_you_mean
from core.runs.copies import is_copy
from core.runs.directory import RunDirectory, RunFile

FILE_NAME: Final = "launch.toml"
PROVENANCE_KEY: Final = "launch"
"""Key of a run's provenance that has the settings with which it was queued, as JSON; the local engine has none."""


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    launch: LaunchConfig = LaunchConfig()


def user_file() -> Path:
    """Return the path of the user's file, beside the dashboard's keys; it may not exist."""
    from platformdirs import user_config_path  # only those who queue runs need it

    return user_config_path("ddpm-tui", appauthor=False) / FILE_NAME


def launch_settings(
    recipe: Mapping[str, Any], engine: str | None = None, *, file: Path | None = None
) -> LaunchConfig:
    """Return the settings for runs that are about to be queued.

    Args:
        recipe: the recipe's `[launch]`, with the command line's ``--set launch...`` in it.
        engine: of the command line; None takes that of the settings.
        file: the user's file; `user_file` unless given.

    Raises:
        UserError: an unknown engine or setting, with the name of its file.
    """
    if engine is not None and engine not in ENGINE_NAMES:
        hint = did_you_mean(engine, ENGINE_NAMES) or f"expected one of {', '.join(ENGINE_NAMES)}"
        raise UserError(f"--launch {engine}: no such engine; {hint}")
    path = file or user_file()
    own = read_toml(path) if path.exists() else {}
    decode(own, _File, source=str(path))
    table = merge(own.get("launch", {}), recipe)
    if engine is not None:
        table = merge(table, {"engine": engine})
    return decode({"launch": table}, _File, source="[launch]").launch


def launch_provenance(config: LaunchConfig) -> dict[str, str]:
    """Return the entry of a run's provenance from which `stored_settings` reads the settings again."""
    if config.engine == "local":
        return {}
    return {PROVENANCE_KEY: msgspec.json.encode(config).decode()}


def stored_settings(file: RunFile, engine: str) -> LaunchConfig:
    """Return the settings with which a run was queued; those of the user's file if it has none for its engine."""
    text = file.provenance.get(PROVENANCE_KEY)
    if text:
        try:
            config = msgspec.json.decode(text, type=LaunchConfig)
        except msgspec.MsgspecError:
            pass
        else:
            if config.engine == engine:
                return config
    return launch_settings({}, engine)


def clone_settings(run: RunDirectory) -> LaunchConfig:
    """Return the settings for a clone of a run: its own, but the local queue's for a copy of another host's run.

    Raises:
        UserError: the run is unreadable.
    """
    if is_copy(run.path):
        return LaunchConfig()
    try:
        engine = run.read_status().engine
    except UserError:  # damaged; a clone needs only the settings
        return LaunchConfig()
    return stored_settings(run.read(), engine) if engine in ENGINE_NAMES else LaunchConfig()
