"""Checks of settings that are each valid but do not go together: a worker would refuse the run that was queued."""

import math
from typing import Final

import msgspec

from core.config.schema import PRESET_WIDTH_DIVISORS, RunConfig
from core.errors import UserError
from core.noise_levels import DEFAULT_PARAMETERS, check_range
from core.schedules import Schedule, make_schedule

_MAX_WIDTH: Final = 8192
"""Channels of the finest level with which the weights of the smallest network already have over 100 GB."""


def check_consistent(config: RunConfig) -> None:
    """Refuse settings that no worker can train with. Images are not looked at.

    Raises:
        UserError: an unsupported width; guidance without labels; a schedule that cannot be made, or from whose last
            step the network cannot predict; noise levels outside the schedule's range, or a parameter of others than
            those chosen; more sampling steps than timesteps; or a monitored metric that is not measured.
    """
    _check_width(config)
    schedule = make_schedule(**msgspec.structs.asdict(config.schedule))
    _check_prediction(config, schedule)
    _check_noise_levels(config, schedule)
    check_guidance(config)
    if config.train.monitor != "heldout" and not config.sample.evaluate_count:
        raise UserError(
            f"train.monitor = {config.train.monitor}: no samples are evaluated; set sample.evaluate_count to their "
            "number, such as 64, or train.monitor to heldout"
        )
    steps = config.sample.steps
    if any(math.isnan(level) for level in config.sample.levels or ()):
        raise UserError("sample.levels: expected log SNRs, got nan")
    if config.sample.levels is None and steps is not None and steps > schedule.timesteps:
        raise UserError(
            f"sample.steps = {steps} is more than the schedule's {schedule.timesteps} timesteps; "
            f"expected at most {schedule.timesteps}"
        )


def check_guidance(config: RunConfig, *, autoguided: bool = False) -> None:
    """Refuse guidance of a network that does not know labels, or knows only images with labels.

    Args:
        config: of the run.
        autoguided: another network guides, which needs no labels.

    Raises:
        UserError: see above; or an interval whose ends are exchanged.
    """
    sample, guided = config.sample, config.sample.guidance != 1.0 and not autoguided
    if guided and not config.data.labels:
        raise UserError(f"sample.guidance = {sample.guidance:g}: needs data.labels = true; leave it at 1")
    if guided and not config.train.label_dropout:
        raise UserError(
            f"sample.guidance = {sample.guidance:g}: needs train.label_dropout above 0, such as 0.1, because guidance "
            "compares predictions with and without labels"
        )
    if sample.guidance_interval is not None and not sample.guidance_interval[0] < sample.guidance_interval[1]:
        low, high = sample.guidance_interval
        raise UserError(f"sample.guidance_interval = {low:g}, {high:g}: expected the lower log SNR first")


def _check_width(config: RunConfig) -> None:
    preset = config.model.preset
    width, step = config.resolved().model.width, PRESET_WIDTH_DIVISORS[preset]
    if width is not None and width % step:
        larger = -(-width // step) * step
        raise UserError(
            f"model.width = {width}: the {preset} network takes a multiple of {step}, such as {larger}"
        )
    if width is not None and width > _MAX_WIDTH:
        raise UserError(f"model.width = {width}: no machine has the memory; expected at most {_MAX_WIDTH}")


def _check_prediction(config: RunConfig, schedule: Schedule) -> None:
    if config.diffusion.prediction_type == "epsilon" and schedule.ends_in_pure_noise:
        raise UserError(
            f"diffusion.prediction_type = epsilon: the last step of schedule {schedule.name} is pure noise "
            f"(abar_T = {schedule.terminal_alpha_bar:.3g}), from which the image cannot be found; set it to "
            "v_prediction or sample"
        )


def _check_noise_levels(config: RunConfig, schedule: Schedule) -> None:
    train = config.train
    for key, value in (("noise_mean", train.noise_mean), ("noise_scale", train.noise_scale)):
        if value is not None and train.noise_levels not in DEFAULT_PARAMETERS:
            raise UserError(
                f"train.{key} = {value:g}: has no effect with train.noise_levels = {train.noise_levels}; leave it out, "
                f"or set noise_levels to one of {', '.join(DEFAULT_PARAMETERS)}"
            )
    if train.sigmoid_bias is not None and train.loss_weight != "sigmoid":
        raise UserError(
            f"train.sigmoid_bias = {train.sigmoid_bias:g}: has no effect with train.loss_weight = {train.loss_weight}; "
            "leave it out, or set loss_weight to sigmoid"
        )
    check_range(schedule, train.noise_levels, train.noise_mean, train.noise_scale)
