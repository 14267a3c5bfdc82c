"""Sampling settings that replace a run's own for one call."""

from dataclasses import asdict, dataclass

import msgspec

from core.config.schema import RunConfig
from core.errors import UserError
from core.sampling_names import SAMPLERS_WITH_ETA


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingOverrides:
    """Settings with the names and meanings of `SampleConfig`; None keeps the run's own."""

    sampler: str | None = None
    steps: int | None = None
    eta: float | None = None
    spacing: str | None = None
    clip: str | None = None

    def apply_to(self, config: RunConfig) -> RunConfig:
        """Return a run's configuration with the overrides applied.

        Raises:
            UserError: `eta` is given for a sampler that takes none.
        """
        overrides = {name: value for name, value in asdict(self).items() if value is not None}
        sample = msgspec.structs.replace(config.sample, **overrides)
        if self.eta is not None and sample.sampler not in SAMPLERS_WITH_ETA:
            raise UserError(
                f"eta {self.eta:g}: the sampler {sample.sampler} takes none; "
                f"expected one of {', '.join(SAMPLERS_WITH_ETA)}"
            )
        return msgspec.structs.replace(config, sample=sample)
