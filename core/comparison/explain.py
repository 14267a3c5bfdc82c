"""Explanation of a comparison: for each run an ordered list of causes, in words that stand on numbers; torch-free."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

import msgspec
import numpy as np

from core.comparison.causes import (
    Decomposition,
    Distances,
    Part,
    decompose,
    distances,
    estimate,
    is_above_zero,
    ranked,
)
from core.config import RunConfig, flatten
from core.runs import EpochRecord
from core.runs.interventions import Interventions
from core.runs.noise_errors import Range, memorised, noise_error_curve, worse_than_linear
from core.schedules import Schedule, make_schedule
from core.statistics.estimate import Estimate
from core.statistics.noise_error import NoiseErrorCurve

CauseName = Literal["start", "steps", "added_noise", "network", "copying"]

_COPY_Z: Final = 3.0
"""Standard errors above held-out images from which on near copies are a cause."""
_STILL_FALLING: Final = 0.03
"""Fall of the held-out loss in the last epoch, relative to the loss, from which on training ended too early."""
_MEMORISED: Final = 1.25
"""Ratio of the noise errors of held-out and training images from which on a network memorises."""
_NEARLY_ALL: Final = 0.95
"""Share of what is explained from which on a part is nearly all of it."""
_ALL: Final = 1.0
_SETTINGS_SHOWN: Final = 3
_NOT_CAUSES: Final = ("recipe", "schedule.", "sample.", "train.seed", "train.checkpoint_seconds")
"""Beginnings of settings that do not change what a network learns beyond its schedule."""


@dataclass(frozen=True, eq=False)
class Subject:
    """A run to explain.

    Attributes:
        label: short name.
        config: its configuration.
        epochs: its epochs.
        interventions: its samples in several variants.
    """

    label: str
    config: RunConfig
    epochs: tuple[EpochRecord, ...]
    interventions: Interventions


@dataclass(frozen=True)
class Cause:
    """One cause.

    Attributes:
        name: what it is.
        effect: what it adds to the distance; None for copying, which no distance shows.
        share: its share of what is explained, above 1 where other parts take away from it; None where it is no part
            of a sum.
        text: the cause in words.
        numbers: the numbers in the text, by name.
    """

    name: CauseName
    effect: Estimate | None
    share: float | None
    text: str
    numbers: dict[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True)
class RunExplanation:
    """Explanation of one run.

    Attributes:
        label: the run.
        versus: the run that it is compared with; empty for real images.
        distance: share of the real images' kinds that the samples miss.
        variants: distance by way of sampling.
        decomposition: its distance, or the difference, in parts.
        causes: most important first.
        text: the first sentence.
    """

    label: str
    versus: str
    distance: Estimate
    variants: dict[str, float]
    decomposition: Decomposition
    causes: tuple[Cause, ...]
    text: str


@dataclass(frozen=True)
class Explanation:
    """Explanation of several runs, best first; `real` is the distance that chance leaves to as many real images."""

    runs: tuple[RunExplanation, ...]
    real: Estimate


def explain(subjects: Sequence[Subject]) -> Explanation:
    """Explain runs on the same data: the best by its distance from real images, the others by that from the best.

    Args:
        subjects: at least one run; all with as many samples.
    """
    measured = [(subject, distances(subject.interventions)) for subject in subjects]
    measured.sort(key=lambda pair: float(pair[1].variants["own"][0]))
    best = measured[0]
    explained = [_explain_run(best, None, tests=1)]
    explained += [_explain_run(pair, best, tests=len(measured) - 1) for pair in measured[1:]]
    return Explanation(tuple(explained), estimate(best[1].real))


def _explain_run(
    run: tuple[Subject, Distances], best: tuple[Subject, Distances] | None, *, tests: int
) -> RunExplanation:
    subject, measured = run
    decomposition = decompose(measured, best[1] if best else None, tests=tests)
    causes = [_copying(subject)]
    noise = _added_noise(subject, measured) if decomposition.is_distinguishable else None
    if decomposition.is_distinguishable:
        for part in ranked(decomposition):
            if part == "steps" and noise is not None:
                causes.append(noise)
            causes.append(_part(part, run, best, decomposition))
        if noise is not None and noise not in causes:
            causes.append(noise)
    found = tuple(cause for cause in causes if cause is not None)
    versus = best[0].label if best else ""
    return RunExplanation(
        subject.label,
        versus,
        estimate(measured.variants["own"]),
        {way: float(values[0]) for way, values in measured.variants.items()},
        decomposition,
        found,
        _headline(subject.label, versus, measured, decomposition),
    )


def _headline(label: str, versus: str, measured: Distances, decomposition: Decomposition) -> str:
    total, own = decomposition.total, float(measured.variants["own"][0])
    if not decomposition.is_distinguishable:
        other = versus or "real images"
        return f"{label}: not distinguishable from {other} (difference {_interval(total)})."
    if versus:
        return (
            f"{label}: misses {own:.0%} of the kinds of real images, {_interval(total)} more than {versus}."
        )
    return f"{label}: misses {own:.0%} of the kinds of real images; as many real images miss {measured.real[0]:.0%}."


def _part(
    part: Part,
    run: tuple[Subject, Distances],
    best: tuple[Subject, Distances] | None,
    decomposition: Decomposition,
) -> Cause:
    subject, measured = run
    effect, share = decomposition.parts[part], decomposition.shares.get(part)
    numbers: dict[str, float | None] = {"distance": float(measured.variants["own"][0])}
    if part == "start":
        text = _start_text(subject, measured, numbers)
    elif part == "steps":
        text = _steps_text(subject, measured, numbers)
    else:
        text = _network_text(run, best, numbers)
    return Cause(part, effect, share, f"{_head(part, decomposition)}. {text}", numbers)


_PART_WORDS: Final[dict[Part, str]] = {
    "start": "the start of sampling",
    "steps": "the steps of sampling",
    "network": "the network",
}


def _head(part: Part, decomposition: Decomposition) -> str:
    """Say how much a part is of the whole; as an amount where several are more than all of it."""
    words, shares = _PART_WORDS[part], decomposition.shares
    if part not in shares:
        return words
    named = ranked(decomposition)
    if len(named) > 1 and sum(shares[each] for each in named) > 1 / _NEARLY_ALL:
        verb = "add" if part == "steps" else "adds"
        return f"{words[0].upper()}{words[1:]} {verb} {decomposition.parts[part].value:.2f}"
    share = round(shares[part], 2)
    if share < _NEARLY_ALL:
        return f"{share:.0%} of the difference is {words}"
    return f"{'All' if share >= _ALL else 'Nearly all'} of the difference is {words}"


def _start_text(subject: Subject, measured: Distances, numbers: dict[str, float | None]) -> str:
    amplitude = float(np.sqrt(_schedule(subject.config).terminal_alpha_bar))
    own, images = (float(measured.variants[way][0]) for way in ("own", "images"))
    numbers |= {"terminal_amplitude": amplitude, "images": images}
    text = (
        f"{amplitude:.0%} of the image's amplitude is left at the last timestep, and sampling starts without it. "
        f"From real noised images it misses {images:.0%} instead of {own:.0%}"
    )
    advice = " schedule.zero_terminal_snr trains without this fault."
    if "gaussian" in measured.variants:
        gaussian = float(measured.variants["gaussian"][0])
        numbers["gaussian"] = gaussian
        if is_above_zero(estimate(measured.variants["own"] - measured.variants["gaussian"])):
            return f"{text}, from a Gaussian with their mean and covariance {gaussian:.0%} (--start gaussian).{advice}"
        text += ", and a Gaussian with their mean and covariance does not help"
    return f"{text}.{advice}"


def _steps_text(subject: Subject, measured: Distances, numbers: dict[str, float | None]) -> str:
    interventions = subject.interventions
    own, finer = (float(measured.variants[way][0]) for way in ("own", "finer"))
    numbers |= {
        "finer": finer,
        "calls": float(interventions.steps),
        "finer_calls": float(interventions.finer_steps),
    }
    return (
        f"{interventions.steps} network calls are too few for {interventions.sampler}: "
        f"with {interventions.finer_steps} it misses {finer:.0%} instead of {own:.0%}."
    )


def _added_noise(subject: Subject, measured: Distances) -> Cause | None:
    """Return the noise that the sampler adds as a cause, if samples without it are clearly better."""
    if "quiet" not in measured.variants:
        return None
    effect = measured.variants["own"] - measured.variants["quiet"]
    found = estimate(effect)
    if not is_above_zero(found):
        return None
    own, quiet = (float(measured.variants[way][0]) for way in ("own", "quiet"))
    calls, sampler = subject.interventions.steps, subject.interventions.sampler
    text = (
        f"The noise that {sampler} adds has the wrong variance for {calls} calls: without it, with as many calls, "
        f"samples miss {quiet:.0%} instead of {own:.0%}."
    )
    if sampler == "ddpm" and subject.config.diffusion.variance == "beta":
        text += ' diffusion.variance = "beta_tilde" adds less.'
    return Cause("added_noise", found, None, text, {"distance": own, "quiet": quiet})


def _copying(subject: Subject) -> Cause | None:
    """Return copying as a cause, if samples are clearly nearer to training images than held-out images are."""
    interventions = subject.interventions
    ranges = memorised(interventions)
    held, train = noise_error_curve(interventions), noise_error_curve(interventions, "train")
    ratio = _largest_ratio(held, train) if held is not None and train is not None and ranges else 1.0
    copies, z = interventions.copies, interventions.copy_z
    is_copying = copies is not None and z is not None and -z > _COPY_Z
    if not is_copying and ratio < _MEMORISED:
        return None
    parts = []
    numbers: dict[str, float | None] = {"copies": copies, "copy_z": z, "memorised_ratio": ratio}
    if is_copying:
        parts.append(
            f"Samples are nearer to training images than new images are (z = {z:.1f}); {copies:.0%} are near copies."
        )
    if ranges and ratio >= _MEMORISED:
        low, high = ranges[0][0], ranges[-1][1]
        numbers |= {"memorised_from": low, "memorised_to": high}
        parts.append(
            f"It memorises: at log SNR {low:.0f} to {high:.0f} the noise error of held-out images is up to {ratio:.1f} "
            "times that of training images. More images or less training help."
        )
    return Cause("copying", None, None, " ".join(parts), numbers)


def _largest_ratio(upper: NoiseErrorCurve, lower: NoiseErrorCurve) -> float:
    return float(np.max(upper.error / lower.at(upper.log_snr)))


def _network_text(
    run: tuple[Subject, Distances],
    best: tuple[Subject, Distances] | None,
    numbers: dict[str, float | None],
) -> str:
    subject, measured = run
    both = float(measured.variants["images+finer"][0])
    finer = subject.interventions.finer_steps
    numbers["images_and_finer"] = both
    texts = [f"Even from real noised images and with {finer} calls it misses {both:.0%}."]
    if best is not None:
        texts += _against(subject, best[0], numbers)
    if ranges := worse_than_linear(subject.interventions):
        numbers["worse_than_linear_below"] = ranges[0][1]
        texts.append(f"It is worse than a linear denoiser at log SNR below {ranges[0][1]:.1f}.")
    if (fall := _last_fall(subject.epochs)) is not None and fall > _STILL_FALLING:
        numbers["last_fall"] = fall
        texts.append(
            f"Its held-out loss still fell by {fall:.0%} in the last epoch: it was trained too little."
        )
    return " ".join(texts)


def _against(subject: Subject, best: Subject, numbers: dict[str, float | None]) -> list[str]:
    """Say where two networks differ, and which settings may be why."""
    own, other = noise_error_curve(subject.interventions), noise_error_curve(best.interventions)
    texts = []
    if own is not None and other is not None:
        found = _clearly_above(own, other)
        if found is None:
            texts.append(f"Its noise error does not differ from that of {best.label} beyond noise.")
        else:
            (low, high), ratio = found
            numbers |= {"worse_from": low, "worse_to": high, "worse_ratio": ratio}
            texts.append(
                f"At log SNR {low:.1f} to {high:.1f} its noise error is up to {ratio:.1f} times that of {best.label}."
            )
    settings, others = _settings(subject.config), _settings(best.config)
    different = [
        f"{key} = {settings[key]} here, {others.get(key)} there"
        for key in settings
        if settings[key] != others.get(key) and not key.startswith(_NOT_CAUSES)
    ]
    if different:
        texts.append(f"Settings that differ: {'; '.join(different[:_SETTINGS_SHOWN])}.")
    return texts


def _clearly_above(curve: NoiseErrorCurve, other: NoiseErrorCurve) -> tuple[Range, float] | None:
    """Return where a curve's interval lies above the other's, and the largest ratio there; None if nowhere."""
    inside = (curve.log_snr >= other.log_snr[0]) & (curve.log_snr <= other.log_snr[-1])
    high = NoiseErrorCurve(other.log_snr, other.high, other.high, other.high).at(curve.log_snr)
    above = inside & (curve.low > high)
    if not above.any():
        return None
    levels = curve.log_snr[above]
    ratio = float(np.max(curve.error[above] / other.at(levels)))
    return (float(levels[0]), float(levels[-1])), ratio


def _last_fall(epochs: Sequence[EpochRecord]) -> float | None:
    """Return how far the held-out loss fell in the last epoch, relative to it; None if it is unknown."""
    if len(epochs) < 2:
        return None
    before, last = epochs[-2].heldout, epochs[-1].heldout
    return (before - last) / last if np.isfinite([before, last]).all() and last > 0 else None


def _interval(value: Estimate) -> str:
    return f"{value.value:.2f} [{value.low:.2f}, {value.high:.2f}]"


def _schedule(config: RunConfig) -> Schedule:
    return make_schedule(**msgspec.structs.asdict(config.schedule))


def _settings(config: RunConfig) -> dict[str, object]:
    return flatten(msgspec.to_builtins(config.resolved()))
