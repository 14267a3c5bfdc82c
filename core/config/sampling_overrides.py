"""How pictures are drawn with a run, where somebody asks for another way than its own."""

from dataclasses import asdict, dataclass

import msgspec

from core.config.schema import RunConfig
from core.errors import UserError
from core.sampling_names import SAMPLERS_WITH_ETA


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingOverrides:
    """What is asked for, by the names and meanings of `SampleConfig`; None leaves it to the run."""

    sampler: str | None = None
    steps: int | None = None
    eta: float | None = None
    spacing: str | None = None
    clip: str | None = None

    def apply_to(self, config: RunConfig) -> RunConfig:
        """A run's configuration with what is asked for in the place of its own.

        Raises:
            UserError: an eta for a sampler that takes none.
        """
        asked = {name: value for name, value in asdict(self).items() if value is not None}
        sample = msgspec.structs.replace(config.sample, **asked)
        if self.eta is not None and sample.sampler not in SAMPLERS_WITH_ETA:
            raise UserError(
                f"eta {self.eta:g}: the sampler {sample.sampler} takes none; expected one of {', '.join(SAMPLERS_WITH_ETA)}"
            )
        return msgspec.structs.replace(config, sample=sample)
