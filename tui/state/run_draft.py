"""Model of the new-run form: fields, validation of their texts, and the configurations that they make."""

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Any, Final, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

from core.config import RunConfig
from core.config.load import apply_overrides, decode
from core.config.tables import set_key
from core.data.augmentation import without_own_augment
from core.data.check import check_settings
from core.data.recipe import find_data_recipe
from core.errors import UserError
from core.recipes import load_recipe
from core.schedules import ALL_NAMES, Schedule
from tui.state.formatting import build_schedule, setting_text

MAX_TIMESTEPS: Final = 100_000
"""The form's limit, because more would make it slow to respond; a recipe may have more."""
NAMED_SCHEDULES: Final = tuple(name for name in ALL_NAMES if name != "custom")


@dataclass(frozen=True, slots=True)
class Field:
    """A setting in the form: its dotted key, its label, and a short hint."""

    key: str
    label: str
    hint: str = ""

    @property
    def choices(self) -> tuple[str, ...]:
        """The values to choose from, of which the empty text is None; empty if any text can be typed."""
        kind, may_be_none = _field_type(self.key)
        if kind is bool:
            return ("false", "true")
        return ("",) * may_be_none + get_args(kind) if get_origin(kind) is Literal else ()


FIELDS: Final = (
    Field("data.dataset", "dataset", "low, high, array, a folder or file, a .toml"),
    Field("schedule.timesteps", "timesteps T"),
    Field("schedule.zero_terminal_snr", "zero terminal SNR", "the last step is pure noise"),
    Field("diffusion.prediction_type", "network predicts"),
    Field("model.preset", "network", "lean: a laptop's CPU; thesis: a GPU"),
    Field("train.epochs", "epochs"),
    Field("train.batch_size", "batch size"),
    Field("train.learning_rate", "learning rate"),
    Field("train.augment", "augmentation", "auto: none; for triangles dihedral"),
    Field("train.seed", "seed", "of weights, data order and noise"),
    Field("data.labels", "class labels", "samples of a class can be drawn"),
    Field("data.size", "image size", "pixels; empty: as the dataset"),
    Field("data.fit", "fit images", "how images become squares"),
    Field("data.channels", "image channels", "colour if any image has colour"),
    Field("data.background", "background", "black, white, grey or #rrggbb"),
    Field("data.heldout_share", "held-out share", "such as 0.2; empty: 0.1"),
)


@dataclass(frozen=True)
class RunDraft:
    """Initial state of a form: the configurations of a recipe or of a cloned run, and its schedules.

    Args:
        variants: configurations, at least one; more if a recipe's grid has axes besides the schedule's name.
        schedules: the names of the schedules that are selected at first.
        offered: the names of all schedules that can be selected.
    """

    variants: tuple[RunConfig, ...]
    schedules: tuple[str, ...]
    offered: tuple[str, ...]

    @classmethod
    def from_recipe(cls, name: str) -> "RunDraft":
        """Start from a recipe.

        Raises:
            UserError: the recipe does not exist or is not valid.
        """
        return cls.from_configs(load_recipe(name).configs)

    @classmethod
    def from_configs(cls, configs: Sequence[RunConfig]) -> "RunDraft":
        """Start from configurations, at least one, that may differ in their schedules."""
        configs = [without_own_augment(config).unresolved() for config in configs]
        schedules = tuple(dict.fromkeys(config.schedule.name for config in configs))
        variants = tuple(dict.fromkeys(_with_schedule(config, schedules[0]) for config in configs))
        return cls(
            variants,
            schedules,
            (*NAMED_SCHEDULES, *(name for name in schedules if name not in NAMED_SCHEDULES)),
        )

    @property
    def recipe(self) -> str:
        return self.variants[0].recipe

    def initial_values(self) -> dict[str, str]:
        """The initial texts of the form, by key."""
        table = msgspec.to_builtins(self.variants[0])
        values = {}
        for field in FIELDS:
            section, name = field.key.split(".")
            value = table[section][name]
            values[field.key] = "" if value is None and _field_type(field.key)[1] else setting_text(value)
        return values

    def build(self, values: Mapping[str, str], schedules: Sequence[str]) -> list[RunConfig]:
        """The configurations that the form describes; schedules vary fastest.

        Args:
            values: the texts of the form, by key.
            schedules: the names of the selected schedules.

        Raises:
            UserError: no schedule is selected, or a value is wrong; the message names its key.
        """
        if not schedules:
            raise UserError("choose at least one schedule")
        initial = self.initial_values()
        changed = {key: value for key, value in values.items() if value != initial[key]}
        for key, value in changed.items():
            if message := field_error(key, value):
                raise UserError(f"{key} = {value}: {message}")
        configs = []
        for variant, schedule in itertools.product(self.variants, schedules):
            table = msgspec.to_builtins(_with_schedule(variant, schedule))
            for key, value in changed.items():
                set_key(table, key, parse_value(key, value), source="new run")
            config = _clamp_sampling_steps(decode(table, RunConfig, source="new run"))
            if message := config_error(config):
                raise UserError(message)
            configs.append(config)
        return list(dict.fromkeys(configs))


def field_error(key: str, value: str) -> str:
    """The error in one value by itself; empty if it is valid."""
    if not value.strip():
        return "" if _field_type(key)[1] else "expected a value"
    table: dict[str, Any] = {}
    set_key(table, key, parse_value(key, value), source="")
    try:
        config = decode(table, RunConfig, source="")
        if key == "data.dataset":
            find_data_recipe(config.data.dataset)
    except UserError as error:
        message = str(error)
        if "matching regex" in message:
            return f"expected {next(field.hint for field in FIELDS if field.key == key)}"
        return _without_type_names(
            message.rpartition(": ")[2] if message.startswith(f": {key} = ") else message
        )
    if config.schedule.timesteps > MAX_TIMESTEPS:
        return f"expected at most {MAX_TIMESTEPS:,}"
    return ""


def config_error(config: RunConfig) -> str:
    """The error in a combination of values that are each valid; empty if they go together."""
    schedule = build_schedule(config.schedule)
    if schedule is None:
        return f"schedule {config.schedule.name} cannot be made with {config.schedule.timesteps} timesteps"
    if config.diffusion.prediction_type == "epsilon" and schedule.ends_in_pure_noise:
        return "epsilon says nothing about the image if the last step is pure noise: use v_prediction"
    try:
        check_settings(config)
    except UserError as error:
        return str(error)
    return ""


def preview_schedule(draft: RunDraft, values: Mapping[str, str], schedule: str) -> Schedule | None:
    """The schedule that these values make; None while one of them is wrong."""
    keys = ("schedule.timesteps", "schedule.zero_terminal_snr")
    if any(field_error(key, values[key]) for key in keys):
        return None
    table = msgspec.to_builtins(_with_schedule(draft.variants[0], schedule))
    for key in keys:
        set_key(table, key, parse_value(key, values[key]), source="")
    return build_schedule(decode(table, RunConfig, source="new run").schedule)


def _without_type_names(message: str) -> str:
    """The decoder's message without the names of Python's types.

    >>> _without_type_names("expected `int` >= 1"), _without_type_names("expected `float | null`, got `str`")
    ('expected a whole number >= 1', 'expected a number')
    """
    message = re.sub(r", got `\w+`$", "", message).replace(" | null`", "`")
    return message.replace("`int`", "a whole number").replace("`float`", "a number")


def parse_value(key: str, value: str) -> Any:
    """Parse a text as a TOML value; a text that the setting expects as a string stays a string.

    The empty text is None where the setting may be None.
    """
    value = value.strip()
    kind, may_be_none = _field_type(key)
    if not value and may_be_none:
        return None
    if get_origin(kind) is Literal or kind is str:
        return value
    try:
        section, name = key.split(".")
        return apply_overrides({}, [f"{key}={value}"])[section][name]
    except UserError:
        return value


def _field_type(key: str) -> tuple[Any, bool]:
    """Return the type of a setting without None, and whether it may be None."""
    section, name = key.split(".")
    kind = get_type_hints(get_type_hints(RunConfig)[section])[name]
    if get_origin(kind) is not UnionType and get_origin(kind) is not Union:
        return kind, False
    types = [one for one in get_args(kind) if one is not NoneType]
    return types[0] if len(types) == 1 else kind, len(types) < len(get_args(kind))


def _with_schedule(config: RunConfig, name: str) -> RunConfig:
    return msgspec.structs.replace(config, schedule=msgspec.structs.replace(config.schedule, name=name))


def _clamp_sampling_steps(config: RunConfig) -> RunConfig:
    """Limit sampling steps to the timesteps, because the form has no field to edit the steps."""
    steps = config.sample.steps
    if steps is None or steps <= config.schedule.timesteps:
        return config
    sample = msgspec.structs.replace(config.sample, steps=config.schedule.timesteps)
    return msgspec.structs.replace(config, sample=sample)
