"""Settings of a run: one frozen struct per section, with defaults and bounds.

The same structs validate a recipe's TOML, ``--set`` on the command line, the dashboard's new-run form and a run's
``run.toml``. Image size and channels are not configured, because they come from the data.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Final, Literal

import msgspec
from msgspec import Meta

from core.sampling_names import Clip, SamplerName, Spacing

# Upper bounds are far above any use, and below values that overflow after the run was queued.
PositiveInt = Annotated[int, Meta(ge=1, le=10_000_000)]
NaturalInt = Annotated[int, Meta(ge=0, le=(1 << 32) - 1)]
PositiveFloat = Annotated[float, Meta(gt=0, le=1e6)]
UnitFloat = Annotated[float, Meta(ge=0, lt=1)]
Name = Annotated[str, Meta(min_length=1, max_length=200)]
LogSnr = Annotated[float, Meta(ge=-1000, le=1000)]
Monitored = Literal["heldout", "balanced_pass_rate", "area_distance"]
NameOrPath = Annotated[str, Meta(min_length=1, max_length=4096)]

PRESET_WIDTHS: Final = {"thesis": 64, "lean": 32}
"""Default channels of the finest level of each network."""
PRESET_WIDTH_DIVISORS: Final = {"thesis": 1, "lean": 16}
"""Numbers of which the width must be a multiple, for each network."""


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all sections: immutable, and rejects unknown keys."""

    LEGACY_BOOLEANS: ClassVar[Mapping[str, tuple[str, str]]] = {}
    """Keys that were booleans in older files, with the current names for false and true."""


class DataConfig(Section, frozen=True):
    """The training data of a run."""

    dataset: NameOrPath = "high"
    """A data recipe (`low`, `high`, `array`), the path of a recipe's TOML, or a folder of images."""
    count: PositiveInt | None = None
    """Training images; None takes the recipe's count."""
    heldout: PositiveInt = 1000
    """Held-out images whose loss is measured after each epoch (at most the recipe's count)."""
    centre: Literal["none", "mean", "grey"] = "none"
    """Subtract the mean of the training images from all images of the network: of each pixel, or of all pixels of
    a channel. Samples start from noise around what is left of it at the last timestep.
    """

    labels: bool = False
    """Train on the labels of the images too, so that samples of a class can be drawn; the data set must have labels."""

    size: Annotated[int, Meta(ge=1, le=4096)] | None = None
    """Pixels per side. This and the next keys change the data recipe, which a run names once it is queued; None takes
    the recipe's, of a folder the files' own size if all are squares of the same size of at most 64, else 32.
    """
    fit: Literal["crop", "pad", "squash", "tiles"] | None = None
    """Crop images of a folder to the square at their centre, pad them with `background`, squash them to a square, or
    cut them into tiles that share no pixels; None takes the recipe's, which is `crop` unless it says another.
    """
    tile: Annotated[int, Meta(ge=1, le=4096)] | None = None
    """For `fit = "tiles"`: pixels per side of a tile in the photograph; None is `size`."""
    background: Annotated[str, Meta(pattern="^(black|white|grey|#[0-9A-Fa-f]{6})$")] | None = None
    """Colour behind transparent images and around padded ones: `black`, `white`, `grey` or `#rrggbb`."""
    channels: Literal["grey", "colour"] | None = None
    """None is colour if any image has colour."""
    heldout_share: Annotated[float, Meta(gt=0, lt=1)] | None = None
    """Share of a folder's images that is held out; None takes the recipe's, which is 0.1 unless it says another."""
    heldout_by: Literal["image", "folder"] | None = None
    """Hold out single images, or all images of a folder together."""

    @property
    def title(self) -> str:
        """Name of the data set: the recipe's name, or the last part of a path."""
        return Path(self.dataset).name.removesuffix(".toml") or self.dataset


class ScheduleConfig(Section, frozen=True):
    """The noise schedule: the betas of the forward process."""

    name: Name = "linear"
    """`linear`, `sine`, `x^P` with any positive P, `cosine`, `sigmoid`, `flow`, `edm`, or `custom`."""
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
    """The prediction target of the network, and the variance of the reverse process."""

    prediction_type: Literal["epsilon", "sample", "v_prediction", "flow"] = "epsilon"
    """The noise, the image x0, v (Salimans & Ho 2022), or the velocity eps - x0 of rectified flow."""
    variance: Literal["beta", "beta_tilde"] = "beta"


class ModelConfig(Section, frozen=True):
    """The network."""

    preset: Literal["thesis", "lean"] = "lean"
    """`thesis`: the thesis's U-Net, 62.7 M parameters. `lean`: can be trained on triangles on a laptop's CPU."""
    width: PositiveInt | None = None
    """Channels of the finest level; None takes the preset's default (`PRESET_WIDTHS`)."""
    layout: Literal["fixed", "by_size"] = "fixed"
    """Levels of the lean network: the same for all images, or planned for their size. With `by_size`, maps of more than
    256 positions have no attention, and there is a level more from 96 pixels on. Up to 64 pixels both are the same.
    """
    seamless: bool = False
    """End the lean network with a convolution over pixels, so that samples show no grid of its 2x2 patches."""


class TrainConfig(Section, frozen=True):
    """Training of the network."""

    epochs: PositiveInt = 100
    max_steps: NaturalInt = 0
    """Steps after which training ends, if the epochs have not ended before; 0 sets no limit."""
    max_minutes: Annotated[float, Meta(ge=0, le=1e6)] = 0.0
    """Minutes of training, over all attempts. A first part of them is measured, and fixes the number of steps that will
    fit; 0 sets no limit.
    """
    batch_size: PositiveInt = 128
    optimizer: Literal["adam", "adamw", "muon"] = "adam"
    """`muon` orthogonalises the updates of weight matrices and kernels, and uses AdamW for other parameters."""
    learning_rate: PositiveFloat = 1e-3
    warmup_steps: NaturalInt = 0
    cooldown: Annotated[float, Meta(ge=0, le=1)] = 0.0
    """Final share of the training in which the learning rate falls linearly to zero; 0 keeps it constant."""
    ema_decay: UnitFloat = 0.0
    """Decay of the exponential moving average of the weights; 0 switches it off."""
    stratified_timesteps: bool = False
    """Draw one timestep from each of batch_size equal strata, instead of all independently."""
    noise_levels: Literal["uniform", "cosine", "logit_normal", "laplace", "log_normal"] = "uniform"
    """Draw timesteps uniformly, or so that any schedule has the same noise levels as often: those of the cosine
    schedule, logit-normal times of rectified flow (Esser et al. 2024), a Laplace distribution of log SNR (Hang & Gu
    2024), or a normal one of ln sigma, where sigma = sqrt((1 - abar) / abar) (Karras et al. 2022).
    """
    noise_mean: Annotated[float, Meta(ge=-100, le=100)] | None = None
    """Mean of the last three noise levels; None takes the paper's: 0, 0, and -1.2, which is P_mean."""
    noise_scale: Annotated[float, Meta(ge=0.001, le=100)] | None = None
    """Standard deviation, or b of Laplace; None takes the paper's: 1, 0.5, and 1.2, which is P_std."""
    loss_weight: Literal["none", "min_snr", "elbo", "edm", "sigmoid"] = "none"
    """Weight errors alike at all timesteps; errors of the predicted x0 by min(SNR, 5) (Hang et al. 2023) or by SNR + 4
    (`edm`, Karras et al. 2022); or errors of the predicted noise by 1 (`elbo`) or sigmoid(bias - log SNR) in an
    integral over log SNR, whatever the schedule and `noise_levels` (Kingma & Gao 2023).
    """
    sigmoid_bias: Annotated[float, Meta(ge=-100, le=100)] | None = None
    """Log SNR at which the weight of `sigmoid` is a half; None takes the paper's 2."""
    augment: Literal["none", "flips", "dihedral", "auto"] = "none"
    """Symmetries applied to the parts of a batch in turn: none, mirror images, or all eight of the square. `auto` takes
    those of the data set, all eight for triangles and none for a folder, and is replaced by them when a run is queued.
    """
    label_dropout: UnitFloat = 0.1
    """With `data.labels`: share of labels that are left out, so that samples can be guided (Ho & Salimans 2022)."""
    precision: Literal["auto", "fp32", "tf32", "bf16"] = "fp32"
    """`fp32` is exact on every device. `tf32` rounds the inputs of convolutions to 10 bits on NVIDIA's GPUs, and is
    `fp32` elsewhere. `auto` is `bf16` where that is faster, else `fp32`.
    """
    compile: bool = False
    """Compile the training step with torch.compile if a compiler is found; on a GPU as CUDA graphs."""
    checkpoint_seconds: PositiveFloat = 60.0
    """Time from one checkpoint to the next; one is also written after the first epoch, at a stop and at the end."""
    monitor: Monitored = "heldout"
    """Metric that names the best epoch: the held-out loss, or one of `sample.evaluate_count` samples."""
    keep_best: bool = False
    """Keep the weights of the best epoch in `checkpoints/best.safetensors`, averaged if there is an average."""
    stop_on_plateau: NaturalInt = 0
    """End the training after so many epochs without a better one; 0 never does."""
    seed: NaturalInt = 0


class SampleConfig(Section, frozen=True):
    """Samples that a run draws during training."""

    LEGACY_BOOLEANS = {"clip": ("none", "static")}

    every: PositiveInt = 1
    """Epochs between two sheets of samples; the last epoch always has a sheet."""
    count: PositiveInt = 16
    sampler: SamplerName = "ddpm"
    """`dpm++` is DPM-Solver++(2M), `unipc` is UniPC with a corrector; both are of second order, for few network calls.
    `churn` is unipc up to a log SNR of 0.4, and beyond it dpm++ with added noise.
    """
    steps: PositiveInt | None = None
    """Network calls per image; None visits all timesteps."""
    eta: Annotated[float, Meta(ge=0, le=2)] = 0.0
    """For ddim, dpm++ and churn only: 0 is deterministic, 1 adds the noise of the ancestral sampler, 2 adds more."""
    spacing: Spacing = "uniform"
    """Timesteps that are visited: in equal steps of t, of log SNR, of sigma^(1/7), of phi^(2/3) where phi is the angle
    of the cosine schedule, or of ln(0.03 - ln(abar)).
    """
    levels: Annotated[tuple[LogSnr, ...], Meta(min_length=1, max_length=10_000)] | None = None
    """Log SNRs at which the network is called, at the nearest timesteps of the run, instead of `steps` and `spacing`.
    Sampling starts at the noisiest of them.
    """
    clip: Clip = "static"
    """Thresholding of the predicted x0: none, as in the thesis; clipping to [-1, 1], as in the code of Ho et al.; or
    scaling by a high quantile of its values (Saharia et al. 2022). Older files have `true` for `static`, `false` for
    `none`.
    """
    guidance: Annotated[float, Meta(ge=0, le=100)] = 1.0
    """With `data.labels`: weight w of eps_u + w (eps_c - eps_u), where eps_c is predicted with the label and eps_u
    without. 1 is no guidance; more gives images that are more typical of their class, at two network calls a step.
    """
    guidance_interval: tuple[LogSnr, LogSnr] | None = None
    """Log SNRs, lowest and highest, between which samples are guided (Kynkäänniemi et al. 2024); None is all."""
    seed: NaturalInt = 0
    """Seed of the starting noise, which is the same for all epochs and schedules."""
    evaluate_count: Annotated[int, Meta(ge=0, le=10_000)] = 0
    """Triangles that are drawn and evaluated by shape at each epoch with a sheet; 0 evaluates none."""
    reverse_every: PositiveInt = 10
    """Epochs between two strips of the reverse process; the last epoch always has a strip."""
    reverse_count: PositiveInt = 5
    reverse_states: Annotated[int, Meta(ge=2)] = 10
    """Images in a strip, from x_T to x_0."""


class RunConfig(Section, frozen=True):
    """All settings that affect the results of a run; saved resolved in its `run.toml`."""

    recipe: Name = "custom"
    data: DataConfig = DataConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    diffusion: DiffusionConfig = DiffusionConfig()
    model: ModelConfig = ModelConfig()
    train: TrainConfig = TrainConfig()
    sample: SampleConfig = SampleConfig()

    def resolved(self) -> "RunConfig":
        """Return the configuration with the preset's default width filled in.

        Because the width is saved, a run can be resumed and sampled after a later version changes the default.
        """
        if self.model.width is not None:
            return self
        return self._with_width(PRESET_WIDTHS[self.model.preset])

    def unresolved(self) -> "RunConfig":
        """Return the configuration with the width set to None if it is the preset's default.

        A run that is set up from this one with another preset then gets the width of that preset.
        """
        return self if self.model.width != PRESET_WIDTHS[self.model.preset] else self._with_width(None)

    def _with_width(self, width: int | None) -> "RunConfig":
        return msgspec.structs.replace(self, model=msgspec.structs.replace(self.model, width=width))
