"""Definitions of all metrics: titles, better directions, and the groups that are measured together."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal


@dataclass(frozen=True)
class Metric:
    """Meaning of a metric.

    Attributes:
        title: short name for the header of a column.
        better: the better direction; None if neither is.
        text: description in one sentence.
        share: True if it is a share from 0 to 1, which can be shown in percent.
    """

    title: str
    better: Literal["higher", "lower"] | None
    text: str
    share: bool = False


METRICS: Final[dict[str, Metric]] = {
    "balanced_pass_rate": Metric(
        "balanced pass",
        "higher",
        "Share of samples that are triangles, each decile of real area weighing alike.",
        True,
    ),
    "pass_rate": Metric("pass", "higher", "Share of samples that are triangles, as they come.", True),
    "area_distance": Metric(
        "area TV",
        "lower",
        "Total variation between the areas of samples and held-out images, in deciles.",
        True,
    ),
    "near_empty": Metric("near empty", None, "Share of samples with under three pixels of ink.", True),
    "label_accuracy": Metric(
        "label", "higher", "Share of samples whose fitted triangle is of the kind that was asked for.", True
    ),
    "soft_iou": Metric("soft IoU", "higher", "Median overlap with the best-fitting filled triangle.", True),
    "residual": Metric(
        "residual", "lower", "Median RMS difference from the best-fitting triangle, in grey of 0 to 1."
    ),
    "grey_pass_rate": Metric(
        "grey pass",
        "higher",
        "Share of samples no greyer, off the edges, than 95% of held-out images.",
        True,
    ),
    "haze": Metric("haze", "lower", "Mean grey of the background away from the triangle, from 0 to 1."),
    "stray_grey": Metric(
        "stray grey", "lower", "Share of pixels that are grey though away from the fitted edge.", True
    ),
    "kid": Metric(
        "KID",
        "lower",
        "Kernel distance from held-out images, by features of fixed random convolutions; about 0 for real ones.",
    ),
    "frechet": Metric(
        "Fréchet",
        "lower",
        "Fréchet distance by the same features; compare it with that of as many real images.",
    ),
    "feature_precision": Metric(
        "precision",
        None,
        "Share of samples among held-out images, by the same features; washing out can raise it.",
        True,
    ),
    "feature_recall": Metric(
        "recall",
        None,
        "Share of held-out images among samples, by the same features; unusual samples raise it.",
        True,
    ),
    "feature_density": Metric(
        "feat. density",
        None,
        "How many neighbourhoods of held-out images a sample falls into; washing out can raise it.",
    ),
    "feature_coverage": Metric(
        "feat. coverage",
        "higher",
        "Share of neighbourhoods of held-out images with a sample in them, by the same features.",
        True,
    ),
    "brightness": Metric("brightness", None, "Mean of all pixels, from 0 to 1."),
    "contrast": Metric("contrast", None, "Mean standard deviation of an image's greys, from 0 to 1."),
    "sharpness": Metric("sharpness", None, "Mean root mean square difference of neighbouring greys."),
    "saturation": Metric("saturation", None, "Mean of the largest minus the smallest channel of a pixel."),
    "mean_red": Metric("red", None, "Mean of the red channel, from 0 to 1."),
    "mean_green": Metric("green", None, "Mean of the green channel."),
    "mean_blue": Metric("blue", None, "Mean of the blue channel."),
    "area_ks": Metric(
        "area KS", "lower", "Two-sample Kolmogorov-Smirnov distance of the triangles' areas.", True
    ),
    "angle_ks": Metric("angle KS", "lower", "The same of their smallest angles.", True),
    "centroid_distance": Metric("centroid", "lower", "Energy distance of their centroids, in pixels."),
    "orientation_ks": Metric(
        "orientation", "lower", "Kuiper distance of the directions of their longest sides.", True
    ),
    "density": Metric(
        "density", "higher", "How many real neighbourhoods a sample falls into (Naeem et al. 2020)."
    ),
    "coverage": Metric(
        "coverage", "higher", "Share of real neighbourhoods with a sample in them (same source).", True
    ),
    "mmd": Metric("MMD", "lower", "Unbiased squared maximum mean discrepancy on pixels."),
    "sliced_wasserstein": Metric("sliced W", "lower", "Sliced Wasserstein-2 distance on pixels."),
    "copy_z": Metric(
        "copying z",
        None,
        "Below about -3: samples are closer to the training data than held-out images are.",
    ),
    "copies": Metric(
        "copies",
        "lower",
        "Share of samples three times nearer to one training image than to the next; real images have some too.",
        True,
    ),
    "bits_per_dim": Metric(
        "bits/dim", "lower", "The variational bound on held-out images, in bits per dimension."
    ),
    "prior_bits": Metric("L_T", "lower", "Its prior term: what the forward process leaves of the image."),
    "middle_bits": Metric("L_t-1", "lower", "The sum of its middle terms."),
    "decoder_bits": Metric("L_0", "lower", "Its decoder term."),
    "network_bits": Metric(
        "network",
        "lower",
        "Part of L_t-1 with infinitely many steps, from the noise errors, in bits per dimension.",
    ),
    "step_bits": Metric(
        "steps", "lower", "What finitely many steps add to it, with the posterior's variance."
    ),
    "variance_bits": Metric("variance", "lower", "What the run's variance adds to that."),
    "memorised_bits": Metric(
        "memorised", "lower", "How much lower the network's part is on training than on held-out images."
    ),
    "linear_log_snr": Metric(
        "worse to",
        None,
        "Highest log SNR at which the network is worse than a linear denoiser; none if nowhere.",
    ),
    "reconstruction_psnr": Metric(
        "PSNR", "higher", "Of held-out images noised half way and denoised, in decibels."
    ),
    "reconstruction_iou": Metric("rec. IoU", "higher", "Overlap of the same with the originals.", True),
    "reconstruction_vertex": Metric("corners", "lower", "Error of their corners, in pixels."),
    "restore_half": Metric("half", "higher", "PSNR of images whose right half was missing, in decibels."),
    "restore_box": Metric("box", "higher", "The same of a box in the middle."),
    "restore_noise": Metric("noise", "higher", "PSNR of denoised images, in decibels."),
    "restore_down": Metric("x2 down", "higher", "PSNR of images that were half as large, in decibels."),
    "restore_blur": Metric("blur", "higher", "PSNR of images that were blurred, in decibels."),
    "restore_jpeg": Metric("JPEG", "higher", "PSNR of images that were JPEG of quality 10, in decibels."),
}
"""All metrics, the headline metric first."""


GROUPS: Final[dict[str, tuple[str, ...]]] = {
    "shape": (
        *("balanced_pass_rate", "pass_rate", "area_distance", "near_empty"),
        *("soft_iou", "residual"),
    ),
    "labels": ("label_accuracy",),
    "grey": ("grey_pass_rate", "haze", "stray_grey"),
    "features": (
        *("kid", "frechet", "feature_precision", "feature_recall", "feature_density", "feature_coverage"),
    ),
    "appearance": (
        *("brightness", "contrast", "sharpness", "saturation", "mean_red", "mean_green", "mean_blue"),
    ),
    "distribution": (
        *("area_ks", "angle_ks", "centroid_distance", "orientation_ks"),
        *("density", "coverage", "mmd", "sliced_wasserstein"),
    ),
    "novelty": ("copy_z", "copies"),
    "likelihood": ("bits_per_dim", "prior_bits", "middle_bits", "decoder_bits"),
    "noise": ("network_bits", "step_bits", "variance_bits", "memorised_bits", "linear_log_snr"),
    "reconstruction": ("reconstruction_psnr", "reconstruction_iou", "reconstruction_vertex"),
    "restoration": (
        *("restore_half", "restore_box", "restore_noise"),
        *("restore_down", "restore_blur", "restore_jpeg"),
    ),
}
"""Names of `METRICS` by subject, in their order."""
OPTIONAL_GROUPS: Final = ("restoration",)
"""Groups that take minutes and are measured only if they are named."""
DEFAULT_GROUPS: Final = tuple(group for group in GROUPS if group not in OPTIONAL_GROUPS)

GENERAL_GROUPS: Final = ("features", "appearance")
"""Groups of images of any kind, which are not measured of triangles unless they are named."""
TRIANGLE_GROUPS: Final = ("shape", "labels", "grey")
"""Groups of triangles alone."""
_OF_TRIANGLES: Final = frozenset({*GROUPS["shape"], *GROUPS["grey"], *GROUPS["distribution"][:4]})
_DIRECTED_FOR_TRIANGLES: Final = frozenset({"density", "coverage"})


def better_direction(name: str, measured: Iterable[str]) -> Literal["higher", "lower"] | None:
    """Return the better direction of a metric among others that were measured of the same data.

    Blurred general images have a higher density of pixels than real ones, and hardly a lower coverage. So these two
    have a direction only where triangles were measured.

    Args:
        name: any name; one that `METRICS` lacks has no direction.
        measured: names of the measured metrics.
    """
    if name in _DIRECTED_FOR_TRIANGLES and _OF_TRIANGLES.isdisjoint(measured):
        return None
    return METRICS[name].better if name in METRICS else None
