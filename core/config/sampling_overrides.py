"""Sampling settings that replace a run's own for one call."""

from dataclasses import asdict, dataclass

import msgspec

from core.config.schema import RunConfig
from core.errors import UserError
from core.sampling_names import SAMPLERS_WITH_ETA, StartName


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingOverrides:
    """Settings with the names and meanings of `SampleConfig`; None keeps the run's own.

    Attributes:
        levels_of: name of a noise schedule whose levels are taken, with the run's other settings of the schedule and
            as many calls, spaced likewise.
        start: distribution of the starting state, see `core.evaluation.starts`; None is ``noise``. It is no setting of
            runs.
    """

    sampler: str | None = None
    steps: int | None = None
    eta: float | None = None
    spacing: str | None = None
    levels: tuple[float, ...] | None = None
    levels_of: str | None = None
    clip: str | None = None
    guidance: float | None = None
    guidance_interval: tuple[float, float] | None = None
    start: StartName | None = None

    def apply_to(self, config: RunConfig) -> RunConfig:
        """Return a run's configuration with the overrides applied.

        Raises:
            UserError: `eta` is given for a sampler that takes none; levels together with another choice of the
                timesteps; or a schedule that cannot be made.
        """
        spaced = self.steps is not None or self.spacing is not None
        if self.levels is not None and (spaced or self.levels_of):
            raise UserError(
                "levels: each is a network call; expected no steps, spacing or levels-of beside them"
            )
        overrides = {name: value for name, value in asdict(self).items() if value is not None}
        for name in ("levels_of", "start"):
            overrides.pop(name, None)
        if spaced or self.levels_of:
            overrides["levels"] = None
        sample = msgspec.structs.replace(config.sample, **overrides)
        if self.eta is not None and sample.sampler not in SAMPLERS_WITH_ETA:
            raise UserError(
                f"eta {self.eta:g}: the sampler {sample.sampler} takes none; "
                f"expected one of {', '.join(SAMPLERS_WITH_ETA)}"
            )
        if self.levels_of:
            from core.config.sampling_levels import schedule_levels  # numpy is not needed otherwise

            schedule = msgspec.structs.replace(
                config.schedule, name=self.levels_of, file=None, zero_terminal_snr=False
            )
            levels = schedule_levels(schedule, sample.steps, sample.spacing)
            sample = msgspec.structs.replace(sample, levels=levels)
        return msgspec.structs.replace(config, sample=sample)
