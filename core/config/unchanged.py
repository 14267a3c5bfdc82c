"""Checks that a configuration still fits what a run was trained with, before the run is resumed or sampled."""

from pathlib import Path
from typing import Any

from core.config.schema import RunConfig
from core.config.trained_with import TrainedWith, fixed_settings
from core.errors import UserError
from core.files.sanitize import sanitize
from core.files.untrusted import file_digest


def config_betas_digest(config: RunConfig) -> str:
    """Return the hash of the file of betas that a configuration names; empty if it names none.

    Raises:
        UserError: the file cannot be read.
    """
    file = config.schedule.file
    if config.schedule.name != "custom" or not file:
        return ""
    try:
        return file_digest(Path(file))
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror or error})") from error


def check_unchanged(trained_with: TrainedWith, config: RunConfig, *, run_id: str) -> None:
    """Refuse a configuration that does not fit a checkpoint that was trained with other settings or betas.

    Args:
        trained_with: the record of the checkpoint.
        config: the run's configuration now.
        run_id: name of the run, for the error message.

    Raises:
        UserError: a setting or the file of betas has changed, or the file cannot be read.
    """
    now = fixed_settings(config)
    for key, before in trained_with.settings.items():
        if key in now and now[key] != before:
            raise UserError(
                f"{run_id}: run.toml says {key} = {_value_text(now[key])}, but its checkpoint was trained with "
                f"{_value_text(before)}: set it back, or train a new run: core runs clone {run_id}"
            )
    check_betas(trained_with, config, run_id=run_id)


def check_betas(trained_with: TrainedWith, config: RunConfig, *, run_id: str) -> None:
    """Refuse a file of betas that is not the one that a checkpoint was trained with.

    Raises:
        UserError: the file has changed, or cannot be read.
    """
    if trained_with.betas and config_betas_digest(config) != trained_with.betas:
        raise UserError(
            f"{run_id}: {config.schedule.file} has other betas than its checkpoint was trained with: put the old "
            f"file back, or train a new run: core runs clone {run_id}"
        )


def _value_text(value: Any) -> str:
    return "none" if value is None else sanitize(str(value))[:60]
