"""What can be configured: one frozen struct a section, its defaults, its bounds.

The same structs check a recipe's TOML, ``--set`` on the command line, the dashboard's new-run form and the
``run.toml`` that a run keeps. Picture size and channels are not configured here: they come from the data.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Final, Literal

import msgspec
from msgspec import Meta

from core.sampling_names import Clip, SamplerName, Spacing

# Upper bounds far above what anybody needs, and below what overflows somewhere after the run was queued.
PositiveInt = Annotated[int, Meta(ge=1, le=10_000_000)]
NaturalInt = Annotated[int, Meta(ge=0, le=(1 << 32) - 1)]
PositiveFloat = Annotated[float, Meta(gt=0, le=1e6)]
UnitFloat = Annotated[float, Meta(ge=0, lt=1)]
Name = Annotated[str, Meta(min_length=1, max_length=200)]
NameOrPath = Annotated[str, Meta(min_length=1, max_length=4096)]

PRESET_WIDTHS: Final = {"thesis": 64, "lean": 32}
"""Channels of the finest level of each network, where none are asked for."""


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all sections: immutable, and an unknown key is an error."""

    LEGACY_BOOLEANS: ClassVar[Mapping[str, tuple[str, str]]] = {}
    """Keys that were true or false once, and what false and true are called now."""


class DataConfig(Section, frozen=True):
    """Which pictures a run learns."""

    dataset: NameOrPath = "high"
    """A data recipe (`low`, `high`, `array`), the path of a recipe's TOML, or a folder of pictures."""
    count: PositiveInt | None = None
    """Training pictures; None takes the recipe's own number."""
    heldout: PositiveInt = 1000
    """Held-out pictures that are scored after each epoch (at most as many as the recipe has)."""

    @property
    def title(self) -> str:
        """What to call the pictures: the recipe's name, or the last part of a path."""
        return Path(self.dataset).name.removesuffix(".toml") or self.dataset


class ScheduleConfig(Section, frozen=True):
    """The noise schedule: betas of the forward process."""

    name: Name = "linear"
    """`linear`, `sine`, `x^P` with any positive P, `cosine`, `sigmoid`, or `custom`."""
    timesteps: PositiveInt = 1000
    beta_start: Annotated[float, Meta(gt=0, lt=1)] = 1e-4
    beta_end: Annotated[float, Meta(gt=0, lt=1)] = 0.02
    periods: PositiveFloat = 0.5
    """Periods of the sine schedule; 0.5 rises once from beta_start to beta_end."""
    file: str | None = None
    """For `custom`: a text or .npy file of T betas."""
    zero_terminal_snr: bool = False
    """Rescale so that the last step is pure noise (Lin et al. 2023)."""


class DiffusionConfig(Section, frozen=True):
    """What the network predicts, and the variance of the reverse process."""

    prediction_type: Literal["epsilon", "sample", "v_prediction"] = "epsilon"
    variance: Literal["beta", "beta_tilde"] = "beta"


class ModelConfig(Section, frozen=True):
    """The network."""

    preset: Literal["thesis", "lean"] = "lean"
    """`thesis`: the thesis's U-Net, 62.7 M parameters. `lean`: learns triangles on a laptop's CPU."""
    width: PositiveInt | None = None
    """Channels of the finest level; None takes the preset's own (`PRESET_WIDTHS`)."""


class TrainConfig(Section, frozen=True):
    """How the network is trained."""

    epochs: PositiveInt = 100
    batch_size: PositiveInt = 128
    optimizer: Literal["adam", "adamw", "muon"] = "adam"
    """`muon` orthogonalises the updates of weight matrices and kernels, and uses AdamW for the rest."""
    learning_rate: PositiveFloat = 1e-3
    warmup_steps: NaturalInt = 0
    cooldown: Annotated[float, Meta(ge=0, le=1)] = 0.0
    """The last share of the training over which the learning rate falls linearly to zero; 0 keeps it constant."""
    ema_decay: UnitFloat = 0.0
    """Decay of the exponential moving average of the weights; 0 switches it off."""
    stratified_timesteps: bool = False
    """Draw one timestep from each of batch_size equal strata, instead of each independently."""
    noise_levels: Literal["uniform", "cosine"] = "uniform"
    """Timesteps are drawn uniformly, or to look at noise levels as often as the cosine schedule does, under any."""
    loss_weight: Literal["none", "min_snr"] = "none"
    """Errors count alike at all timesteps, or by min(SNR, 5) as errors of the foreseen picture (Hang et al. 2023)."""
    augment: Literal["none", "flips", "dihedral"] = "none"
    """Symmetries that the parts of a batch take in turn: none, mirror images, or all eight of the square."""
    precision: Literal["auto", "fp32", "bf16"] = "fp32"
    compile: bool = False
    """Compile the training step with torch.compile where a compiler is found; on a GPU as CUDA graphs."""
    checkpoint_seconds: PositiveFloat = 60.0
    """A checkpoint is written at each epoch's end and at least this often in between."""
    seed: NaturalInt = 0


class SampleConfig(Section, frozen=True):
    """Which pictures the run draws as it learns."""

    LEGACY_BOOLEANS = {"clip": ("none", "static")}

    every: PositiveInt = 1
    """Epochs between two sheets of samples; the last epoch always has one."""
    count: PositiveInt = 16
    sampler: SamplerName = "ddpm"
    """`dpm++` is DPM-Solver++(2M), of second order, for few network calls; so is `unipc`, UniPC with a corrector.
    `churn` is unipc up to a log SNR of 0.4, and dpm++ that adds noise from there on.
    """
    steps: PositiveInt | None = None
    """Network calls a picture; None walks through all timesteps."""
    eta: Annotated[float, Meta(ge=0, le=2)] = 0.0
    """ddim, dpm++ and churn only: 0 is deterministic, 1 adds as much noise as the ancestral sampler, 2 more."""
    spacing: Spacing = "uniform"
    """Which timesteps are visited: equal numbers of them, or equal steps of log SNR, of sigma^(1/7), of phi^(2/3), phi
    being the angle of the cosine schedule, or of ln(0.03 - ln(abar)).
    """
    clip: Clip = "static"
    """What is done to each foreseen picture: nothing, as in the thesis; clipped to [-1, 1], as the code of Ho et al.
    does; or scaled by a high quantile of itself (Saharia et al. 2022). `true` and `false` of old are `static`, `none`.
    """
    seed: NaturalInt = 0
    """Seed of the starting noises, the same for each epoch and each schedule."""
    reverse_every: PositiveInt = 10
    """Epochs between two strips of the reverse process; the last epoch always has one."""
    reverse_count: PositiveInt = 5
    reverse_states: Annotated[int, Meta(ge=2)] = 10
    """Pictures in a strip, from x_T to x_0."""


class RunConfig(Section, frozen=True):
    """Everything that decides what a run computes; saved resolved in its `run.toml`."""

    recipe: Name = "custom"
    data: DataConfig = DataConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    diffusion: DiffusionConfig = DiffusionConfig()
    model: ModelConfig = ModelConfig()
    train: TrainConfig = TrainConfig()
    sample: SampleConfig = SampleConfig()

    def resolved(self) -> "RunConfig":
        """The same, with what was left to the network's preset written out.

        So a run keeps its network, and can be resumed and sampled, when a later version prefers another width.
        """
        if self.model.width is not None:
            return self
        return self._with_width(PRESET_WIDTHS[self.model.preset])

    def unresolved(self) -> "RunConfig":
        """The same, with the network's width left to its preset again where it is the preset's own.

        So a run that is set up from another one, with another network, gets that network's width.
        """
        return self if self.model.width != PRESET_WIDTHS[self.model.preset] else self._with_width(None)

    def _with_width(self, width: int | None) -> "RunConfig":
        return msgspec.structs.replace(self, model=msgspec.structs.replace(self.model, width=width))
