"""Noise schedules: the betas of the forward process in float64 numpy, and the signal that they leave of an image.

``T`` timesteps are numbered 1..T as in Ho et al. 2020; arrays hold timestep t at index t - 1. Below,
u = (t - 1) / (T - 1) runs from 0 to 1 (u = 0 when T = 1).
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from core.errors import UserError, did_you_mean
from core.files.untrusted import open_regular, read_npy
from core.noise_paths import edm_betas, flow_betas

Array = NDArray[np.float64]
Level = Literal["good", "doubtful", "bad"]

SCHEDULE_NAMES: Final = ("linear", "sine", "x^1.5", "x^2", "x^10")
"""The five schedules compared in the thesis."""
ALL_NAMES: Final = (*SCHEDULE_NAMES, "cosine", "sigmoid", "flow", "edm", "custom")
"""Every built-in name; ``x^P`` works for any other positive P too."""

TRIANGLES_MEAN_SQUARE: Final = 0.96
"""E[x_0^2] of triangle images in [-1, 1]: 0.96 for `low` and `high`, with grey edges; 1 for `array`."""

GOOD_AMPLITUDE: Final = 0.05
DOUBTFUL_AMPLITUDE: Final = 0.30

SMALLEST_ALPHA_BAR: Final = float(np.finfo(np.float32).tiny)
"""The abar_T below which sqrt(abar_T) x0 vanishes beside the noise even in float32, and eps does not determine x0."""

_MAX_COSINE_BETA = 0.999
_COSINE_OFFSET = 0.008
_SIGMOID_RANGE = 6.0
_MAX_PERIODS = 1e6
_TEXT_LIMIT = 1 << 24


@dataclass(frozen=True)
class Diagnosis:
    """A verdict, in plain words, on starting to sample from N(0, I) with a network trained on this schedule.

    Attributes:
        ok: no more than 5% of the image's amplitude, sqrt(abar_T), is left at the last step.
        level: ``good`` (at most 5%), ``doubtful`` (at most 30%) or ``bad``.
        text: one sentence, which begins with the level.
    """

    ok: bool
    level: Level
    text: str


@dataclass(frozen=True, eq=False)
class Schedule:
    """The betas of a forward process q(x_t | x_{t-1}) = N(sqrt(1 - beta_t) x_{t-1}, beta_t I).

    Args:
        name: its name, used in error messages.
        betas: [T], each in (0, 1]; only the last may be 1, which makes abar_T zero. Kept as a read-only copy.

    Raises:
        UserError: no betas, one that is not finite or out of bounds, or a 1 before the last step.
    """

    name: str
    betas: Array

    def __post_init__(self) -> None:
        betas = np.array(self.betas, dtype=np.float64)
        _check_betas(betas, source=f"schedule {self.name}")
        betas.flags.writeable = False
        object.__setattr__(self, "betas", betas)

    @property
    def timesteps(self) -> int:
        """T, the number of noising steps."""
        return len(self.betas)

    @cached_property
    def alphas(self) -> Array:
        """alpha_t = 1 - beta_t, [T]."""
        return 1.0 - self.betas

    @cached_property
    def log_alphas_cumprod(self) -> Array:
        """ln abar_t, [T]; finite where abar_t itself underflows, -inf only where a beta is 1."""
        with np.errstate(divide="ignore"):
            return np.cumsum(np.log1p(-self.betas), dtype=np.float64)

    @cached_property
    def alphas_cumprod(self) -> Array:
        """abar_t, [T], the product of alpha_1..alpha_t: the share of the image's power left in x_t."""
        abar: Array = np.exp(self.log_alphas_cumprod)
        return abar

    @cached_property
    def one_minus_alphas_cumprod(self) -> Array:
        """1 - abar_t without cancellation at small t, [T]."""
        return -np.expm1(self.log_alphas_cumprod)

    @cached_property
    def snr(self) -> Array:
        """Signal-to-noise ratio abar_t / (1 - abar_t), [T]."""
        return self.alphas_cumprod / self.one_minus_alphas_cumprod

    @cached_property
    def log_snr(self) -> Array:
        """ln of the signal-to-noise ratio, [T]; -inf where it is zero."""
        return self.log_alphas_cumprod - np.log(self.one_minus_alphas_cumprod)

    @property
    def terminal_alpha_bar(self) -> float:
        """abar_T: 0 when the last step is pure noise."""
        return float(self.alphas_cumprod[-1])

    @property
    def ends_in_pure_noise(self) -> bool:
        """True if so little of the image is left at the last step that no estimate of the noise leads back to it."""
        return self.terminal_alpha_bar < SMALLEST_ALPHA_BAR

    @property
    def terminal_snr(self) -> float:
        """The signal-to-noise ratio of the last step."""
        return float(self.snr[-1])

    def prior_bits_per_dim(self, mean_square: float | Array = TRIANGLES_MEAN_SQUARE) -> float:
        """Compute L_T = KL(q(x_T | x_0) || N(0, I)) in bits a dimension, exact given the data's mean square.

        Args:
            mean_square: E[x_0^2] over data in [-1, 1]. An array is averaged, which is exact because L_T is linear
                in it.

        Reference: Ho et al. 2020, eq. 5, first term.
        """
        abar = self.terminal_alpha_bar
        nats = 0.5 * (abar * float(np.mean(mean_square)) - abar - math.log(self.one_minus_alphas_cumprod[-1]))
        return max(nats, 0.0) / math.log(2.0)

    def rescaled_to_zero_terminal_snr(self) -> "Schedule":
        """Shift and scale the schedule in sqrt(abar) so that abar_1 stays and abar_T becomes exactly 0.

        With T = 1 abar_1 cannot stay, and the single beta becomes 1.

        Raises:
            UserError: the betas are so small that abar_1 equals abar_T in float64.

        Reference: Lin et al. 2023, Algorithm 1.
        """
        roots = np.exp(0.5 * self.log_alphas_cumprod)
        first, last = roots[0], roots[-1]
        if self.timesteps == 1:
            return Schedule(self.name, np.ones(1))
        if not first > last:
            raise UserError(
                f"schedule {self.name}: its betas (at most {self.betas.max():.3g}) add no noise that could "
                "be rescaled; use larger betas"
            )
        betas = self.betas.copy()
        if last > 0.0:
            # Only ratios of the roots matter for these betas, so the scale that would restore abar_1 cancels.
            roots = roots - last
            betas[1:] = 1.0 - (roots[1:] / roots[:-1]) ** 2
        betas[-1] = 1.0
        return Schedule(self.name, betas)

    def diagnosis(self) -> Diagnosis:
        """Evaluate the schedule by the share of the image's amplitude, sqrt(abar_T), left at the last step.

        The network is never trained with less of the image than that, but sampling starts from N(0, I), which has none.
        """
        amplitude = math.sqrt(self.terminal_alpha_bar)
        if amplitude == 0.0:
            return Diagnosis(True, "good", "good: the last step is pure noise (nothing of the image is left)")
        left = _percent(amplitude)
        if amplitude <= GOOD_AMPLITUDE:
            return Diagnosis(
                True, "good", f"good: the last step is noise ({left} of the image's amplitude left)"
            )
        level: Level = "doubtful" if amplitude <= DOUBTFUL_AMPLITUDE else "bad"
        text = (
            f"{level}: {left} of the image's amplitude is left at the last step; sampling starts from "
            "N(0, I), which training never saw; use zero_terminal_snr (with v_prediction or sample) or more "
            "timesteps"
        )
        return Diagnosis(False, level, text)


def make_schedule(
    name: str,
    *,
    timesteps: int = 1000,
    beta_start: float = 1e-4,
    beta_end: float = 0.02,
    periods: float = 0.5,
    file: str | None = None,
    zero_terminal_snr: bool = False,
) -> Schedule:
    """Make a schedule by its name; the keywords are those of the configuration's ``[schedule]``.

    Args:
        name: ``linear``, ``sine``, ``x^P`` with any positive P, ``cosine``, ``sigmoid``, ``flow``,
            ``edm`` or ``custom``.
        timesteps: T. For ``custom`` it must be the number of betas in the file.
        beta_start: beta_1 (only of the first four; ``sigmoid`` stays 0.25% of the range short of both ends).
        beta_end: beta_T, likewise.
        periods: periods of ``sine``; 0.5 rises once.
        file: the betas of ``custom``: ``.npy``, or text in which betas are separated by spaces, commas or lines and
            ``#`` begins a comment.
        zero_terminal_snr: rescale so that the last step is pure noise.

    Raises:
        UserError: an unknown name, a number out of bounds, or a file that cannot be read as betas.
    """
    if timesteps < 1:
        raise UserError(f"schedule {name}: expected timesteps of at least 1, got {timesteps}")
    for key, value in (("beta_start", beta_start), ("beta_end", beta_end)):
        if not 0.0 < value < 1.0:
            raise UserError(f"schedule {name}: expected {key} between 0 and 1, got {value}")
    if not 0.0 < periods <= _MAX_PERIODS:
        raise UserError(f"schedule {name}: expected a positive number of periods up to 1e6, got {periods}")
    power = parse_power(name)
    between: Callable[[Array], Array] | None = None  # the shape, from 0 to 1, between beta_start and beta_end
    if power is not None:
        between = lambda u: u**power  # noqa: E731
    elif name == "linear":
        between = lambda u: u  # noqa: E731
    elif name == "sine":
        between = lambda u: (1.0 - np.cos(2.0 * np.pi * periods * u)) / 2.0  # noqa: E731
    elif name == "sigmoid":
        between = _sigmoid

    if between is not None:
        betas = beta_start + (beta_end - beta_start) * between(_unit_interval(timesteps))
    elif name == "cosine":
        betas = _cosine_betas(timesteps)
    elif name == "flow":
        betas = flow_betas(timesteps)
    elif name == "edm":
        betas = edm_betas(timesteps)
    elif name == "custom":
        betas = _custom_betas(file, timesteps)
    else:
        hint = f"{did_you_mean(name, ALL_NAMES)} ".lstrip()
        raise UserError(
            f"unknown schedule {name!r}; {hint}(expected one of {', '.join(ALL_NAMES)}, or x^P with a positive P)"
        )
    schedule = Schedule(name, betas)
    schedule = schedule.rescaled_to_zero_terminal_snr() if zero_terminal_snr else schedule
    lost = np.flatnonzero(1.0 - schedule.betas == 1.0)
    if lost.size:
        source, hint = (
            (file, "") if power is None and name == "custom" else (f"schedule {name}", " (raise beta_start)")
        )
        raise UserError(
            f"{source}: beta number {lost[0] + 1} is {schedule.betas[lost[0]]:g}, so small that it adds no noise at "
            f"all; expected at least 1.2e-16{hint}"
        )
    return schedule


def matched_terminal(schedule: Schedule, target_alpha_bar: float) -> Schedule:
    """Scale all betas by one factor so that abar_T is the target, for example another schedule's.

    This keeps the shape of the betas, but `Schedule.rescaled_to_zero_terminal_snr` bends it.

    Args:
        schedule: the schedule to scale.
        target_alpha_bar: the abar_T to reach, in (0, 1).

    Raises:
        UserError: the target is not in (0, 1).
    """
    if not 0.0 < target_alpha_bar < 1.0:
        raise UserError(
            f"schedule {schedule.name}: expected a target abar_T between 0 and 1, got {target_alpha_bar}; "
            "use zero_terminal_snr to reach 0"
        )
    goal = math.log(target_alpha_bar)
    low, high = 0.0, 1.0 / float(schedule.betas.max())
    # ln abar_T falls strictly from 0 to -inf as the factor goes from low to high, so bisection always converges.
    for _ in range(200):
        factor = 0.5 * (low + high)
        with np.errstate(divide="ignore"):
            reached = float(np.sum(np.log1p(-np.minimum(factor * schedule.betas, 1.0))))
        low, high = (factor, high) if reached > goal else (low, factor)
    return Schedule(schedule.name, low * schedule.betas)


def parse_power(name: str) -> float | None:
    """Parse the P of a name ``x^P``; None for a name that does not begin with ``x^``.

    Raises:
        UserError: no positive number follows ``x^``.
    """
    if not name.startswith("x^"):
        return None
    try:
        power = float(name[2:])
    except ValueError:
        power = math.nan
    if not 0.0 < power < math.inf:
        raise UserError(f"schedule {name}: expected x^P with a positive number P, such as x^1.5")
    return power


def _unit_interval(timesteps: int) -> Array:
    return np.arange(timesteps, dtype=np.float64) / max(timesteps - 1, 1)


def _sigmoid(u: Array) -> Array:
    """The logistic function over [-6, 6]: GeoDiff's schedule, which diffusers calls ``sigmoid``."""
    return 1.0 / (1.0 + np.exp(-_SIGMOID_RANGE * (2.0 * u - 1.0)))


def _cosine_betas(timesteps: int) -> Array:
    """Nichol & Dhariwal 2021, eq. 17: abar follows a squared cosine, betas are clipped at 0.999."""
    share = np.arange(timesteps + 1, dtype=np.float64) / timesteps
    abar = np.cos((share + _COSINE_OFFSET) / (1.0 + _COSINE_OFFSET) * np.pi / 2.0) ** 2
    betas: Array = np.minimum(1.0 - abar[1:] / abar[:-1], _MAX_COSINE_BETA)
    return betas


def _custom_betas(file: str | None, timesteps: int) -> Array:
    if not file:
        raise UserError("schedule custom: needs a file of betas; set schedule.file")
    path = Path(file)
    betas = _load_npy(path) if path.suffix == ".npy" else _load_text(path)
    _check_betas(betas, source=str(path))
    if len(betas) != timesteps:
        raise UserError(
            f"{path}: has {len(betas)} betas but schedule.timesteps is {timesteps}; "
            f"set schedule.timesteps = {len(betas)}"
        )
    return betas


def _load_npy(path: Path) -> Array:
    try:
        array = read_npy(path)
        if array.dtype.kind not in "fiu":
            raise UserError(f"not a .npy file of numbers ({array.dtype})")
        betas: Array = np.array(array, dtype=np.float64)
        return betas
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from error
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def _load_text(path: Path) -> Array:
    try:
        with open_regular(path) as file:
            data = file.read(_TEXT_LIMIT + 1)
        if len(data) > _TEXT_LIMIT:
            raise UserError(f"{path}: more than {_TEXT_LIMIT:,} bytes; expected a list of betas")
        lines = data.decode("utf-8").splitlines()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not a text file; expected betas as text, or a file named .npy") from error
    betas: list[float] = []
    for number, line in enumerate(lines, start=1):
        for word in re.split(r"[\s,]+", line.partition("#")[0]):
            if not word:
                continue
            try:
                betas.append(float(word))
            except ValueError as error:
                raise UserError(f"{path}: line {number}: expected a number, got {word!r}") from error
    return np.array(betas, dtype=np.float64)


def _check_betas(betas: Array, *, source: str) -> None:
    if betas.ndim != 1 or betas.size == 0:
        raise UserError(f"{source}: expected a list of betas, got an array of shape {betas.shape}")
    wrong = np.flatnonzero(~((betas > 0.0) & (betas <= 1.0)))
    if wrong.size:
        raise UserError(
            f"{source}: beta number {wrong[0] + 1} of {betas.size} is {betas[wrong[0]]:g}; "
            "expected a number above 0 and at most 1"
        )
    early = np.flatnonzero(betas[:-1] == 1.0)
    if early.size:
        raise UserError(
            f"{source}: beta number {early[0] + 1} of {betas.size} is 1, which leaves nothing to noise; "
            "only the last beta may be 1"
        )


def _percent(share: float) -> str:
    return f"{100.0 * share:.2g}%"
