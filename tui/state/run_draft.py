"""Runs as they are being set up: what a form's texts mean, what is wrong with them, and what they make."""

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args, get_origin, get_type_hints

import msgspec

from core.config import RunConfig
from core.config.load import apply_overrides, decode
from core.config.tables import set_key
from core.data.recipe import find_data_recipe
from core.errors import UserError
from core.recipes import load_recipe
from core.schedules import ALL_NAMES, Schedule
from tui.state.formatting import schedule_of, setting_text

MOST_TIMESTEPS: Final = 100_000
"""More would make the form slow to answer; a recipe may have them."""
NAMED: Final = tuple(name for name in ALL_NAMES if name != "custom")


@dataclass(frozen=True, slots=True)
class Field:
    """One setting of the form: its dotted key, what it is called there, and a word of explanation."""

    key: str
    label: str
    hint: str = ""

    @property
    def choices(self) -> tuple[str, ...]:
        """What can be chosen; empty where anything can be typed."""
        kind = _kind(self.key)
        if kind is bool:
            return ("false", "true")
        return get_args(kind) if get_origin(kind) is Literal else ()


FIELDS: Final = (
    Field("data.dataset", "dataset", "low, high, array, a folder, a .toml"),
    Field("schedule.timesteps", "timesteps T"),
    Field("schedule.zero_terminal_snr", "zero terminal SNR", "the last step is pure noise"),
    Field("diffusion.prediction_type", "network predicts"),
    Field("model.preset", "network", "lean: a laptop's CPU; thesis: a GPU"),
    Field("train.epochs", "epochs"),
    Field("train.batch_size", "batch size"),
    Field("train.learning_rate", "learning rate"),
    Field("train.seed", "seed", "of weights, data order and noise"),
)


@dataclass(frozen=True)
class RunDraft:
    """Where a form starts: the configurations of a recipe, or of a run that is cloned, apart from schedules.

    Args:
        variants: at least one; more where a recipe's grid has other axes than the schedule's name.
        schedules: the names that are chosen at first.
        offered: all names that can be chosen.
    """

    variants: tuple[RunConfig, ...]
    schedules: tuple[str, ...]
    offered: tuple[str, ...]

    @classmethod
    def from_recipe(cls, name: str) -> "RunDraft":
        """Start from a recipe.

        Raises:
            UserError: there is no such recipe, or it is not valid.
        """
        return cls.from_configs(load_recipe(name).configs)

    @classmethod
    def from_configs(cls, configs: Sequence[RunConfig]) -> "RunDraft":
        """Start from configurations, at least one, that may differ in their schedules."""
        configs = [config.unresolved() for config in configs]
        schedules = tuple(dict.fromkeys(config.schedule.name for config in configs))
        variants = tuple(dict.fromkeys(_with_schedule(config, schedules[0]) for config in configs))
        return cls(variants, schedules, (*NAMED, *(name for name in schedules if name not in NAMED)))

    @property
    def recipe(self) -> str:
        return self.variants[0].recipe

    def values(self) -> dict[str, str]:
        """What the form says at first, by key."""
        table = msgspec.to_builtins(self.variants[0])
        found = {}
        for field in FIELDS:
            section, name = field.key.split(".")
            found[field.key] = setting_text(table[section][name])
        return found

    def build(self, values: Mapping[str, str], schedules: Sequence[str]) -> list[RunConfig]:
        """The runs that the form asks for, schedules fastest.

        Args:
            values: what the form says, by key.
            schedules: the names that are chosen.

        Raises:
            UserError: no schedule is chosen, or a value is wrong; the message names its key.
        """
        if not schedules:
            raise UserError("choose at least one schedule")
        started = self.values()
        changed = {key: value for key, value in values.items() if value != started[key]}
        for key, value in changed.items():
            if message := error_of(key, value):
                raise UserError(f"{key} = {value}: {message}")
        configs = []
        for variant, schedule in itertools.product(self.variants, schedules):
            table = msgspec.to_builtins(_with_schedule(variant, schedule))
            for key, value in changed.items():
                set_key(table, key, parsed(key, value), source="new run")
            config = _steps_within(decode(table, RunConfig, source="new run"))
            if message := conflict(config):
                raise UserError(message)
            configs.append(config)
        return list(dict.fromkeys(configs))


def error_of(key: str, value: str) -> str:
    """What is wrong with one value, by itself; empty when nothing is."""
    if not value.strip():
        return "expected a value"
    table: dict[str, Any] = {}
    set_key(table, key, parsed(key, value), source="")
    try:
        config = decode(table, RunConfig, source="")
        if key == "data.dataset":
            find_data_recipe(config.data.dataset)
    except UserError as error:
        message = str(error)
        return _plainly(message.rpartition(": ")[2] if message.startswith(f": {key} = ") else message)
    if config.schedule.timesteps > MOST_TIMESTEPS:
        return f"expected at most {MOST_TIMESTEPS:,}"
    return ""


def conflict(config: RunConfig) -> str:
    """What is wrong with values that are each right by themselves; empty when nothing is."""
    schedule = schedule_of(config.schedule)
    if schedule is None:
        return f"schedule {config.schedule.name} cannot be made with {config.schedule.timesteps} timesteps"
    if config.diffusion.prediction_type == "epsilon" and schedule.terminal_alpha_bar < 1e-37:
        return "epsilon says nothing of the picture where the last step is pure noise: take v_prediction"
    return ""


def preview(draft: RunDraft, values: Mapping[str, str], schedule: str) -> Schedule | None:
    """A schedule as it would be with these values; None while they are wrong."""
    keys = ("schedule.timesteps", "schedule.zero_terminal_snr")
    if any(error_of(key, values[key]) for key in keys):
        return None
    table = msgspec.to_builtins(_with_schedule(draft.variants[0], schedule))
    for key in keys:
        set_key(table, key, parsed(key, values[key]), source="")
    return schedule_of(decode(table, RunConfig, source="new run").schedule)


def _plainly(message: str) -> str:
    """The decoder's words without the names of Python's types.

    >>> _plainly("expected `int` >= 1"), _plainly("expected `float`, got `str`")
    ('expected a whole number >= 1', 'expected a number')
    """
    message = re.sub(r", got `\w+`$", "", message)
    return message.replace("`int`", "a whole number").replace("`float`", "a number")


def parsed(key: str, value: str) -> Any:
    """A text as the value that TOML would make of it; texts stay texts where a text is wanted."""
    value = value.strip()
    kind = _kind(key)
    if get_origin(kind) is Literal or kind is str:
        return value
    try:
        section, name = key.split(".")
        return apply_overrides({}, [f"{key}={value}"])[section][name]
    except UserError:
        return value


def _kind(key: str) -> Any:
    section, name = key.split(".")
    return get_type_hints(get_type_hints(RunConfig)[section])[name]


def _with_schedule(config: RunConfig, name: str) -> RunConfig:
    return msgspec.structs.replace(config, schedule=msgspec.structs.replace(config.schedule, name=name))


def _steps_within(config: RunConfig) -> RunConfig:
    """Fewer sampling steps where there are fewer timesteps: the form has no field in which to mend them."""
    steps = config.sample.steps
    if steps is None or steps <= config.schedule.timesteps:
        return config
    sample = msgspec.structs.replace(config.sample, steps=config.schedule.timesteps)
    return msgspec.structs.replace(config, sample=sample)
