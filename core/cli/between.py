"""`core sample --between`: the images between two seeds or two images, by interpolation of their noises."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from core.cli.progress import progress_bar
from core.cli.user_image import check_file, read_user_image
from core.config import SamplingOverrides
from core.errors import UserError
from core.files.sanitize import sanitize

if TYPE_CHECKING:
    from torch import Tensor

    from core.training.checkpoint import LoadedModel

DEFAULT_STEPS = 50


def check_between(ends: tuple[str, str], count: int, sampling: SamplingOverrides) -> None:
    """Refuse what cannot be interpolated, before torch is imported.

    Raises:
        UserError: an end is neither a seed nor a file, or the options ask for more than DDIM without noise.
    """
    for end in ends:
        if not _is_seed(end):
            check_file(Path(end))
        elif int(end) >= 2**63:
            raise UserError(f"--between {end}: expected a seed from 0 to {2**63 - 1}, or an image")
    if count < 2:
        raise UserError(f"--count {count}: expected at least 2 images, the ends of --between")
    if sampling.sampler not in (None, "ddim") or sampling.eta or sampling.start not in (None, "noise"):
        raise UserError(
            "--between draws by ddim without noise, so that equal noises give equal images; leave out --sampler, "
            "--eta and --start"
        )


def _is_seed(end: str) -> bool:
    return end.isascii() and end.isdigit()


def label_between(
    asked: str | None, labels: "NDArray[np.int64] | None", guidance: float | None
) -> "NDArray[np.int64] | None":
    """Return the classes of a strip's images, which must be one class; None draws without labels.

    Args:
        asked: the option --label.
        labels: the classes that samples would take in turn, [count].
        guidance: the option --guidance, unless another network guides.

    Raises:
        UserError: there are several classes, or guidance without a class.
    """
    if asked is None:
        if labels is not None and guidance not in (None, 1.0):
            raise UserError(f"--guidance {guidance:g}: guides to a class; with --between give --label too")
        return None
    if labels is not None and len(np.unique(labels)) > 1:
        raise UserError(f"--label {asked}: expected one class, of which all images of --between are")
    return labels


def deterministic(sampling: SamplingOverrides, timesteps: int) -> SamplingOverrides:
    """Return the settings with DDIM without noise, uniformly spaced in `DEFAULT_STEPS` steps unless they say more."""
    if sampling.levels is None and sampling.levels_of is None:
        steps = sampling.steps or min(DEFAULT_STEPS, timesteps)
        sampling = replace(sampling, steps=steps, spacing=sampling.spacing or "uniform")
    return replace(sampling, sampler="ddim", eta=0.0)


def draw_between(
    loaded: "LoadedModel",
    ends: tuple[str, str],
    count: int,
    *,
    labels: NDArray[np.int64] | None = None,
    weak: "LoadedModel | None" = None,
) -> NDArray[np.float32]:
    """Draw images from noises between those of two ends: float32 [count, C, H, W] around [-1, 1].

    Args:
        loaded: the run, as of a checkpoint, with `deterministic` settings.
        ends: seeds, whose starting noise is that of `core sample`, or images, whose noise is found by DDIM.
        count: number of images, with the ends.
        labels: their class, [count], of which images are encoded too; None draws without labels.
        weak: worse network that guides this one (autoguidance).

    Raises:
        UserError: an image cannot be read, or there are too many steps.
    """
    import torch

    from core.diffusion.interpolation import encode_ddim, slerp
    from core.diffusion.models.centred import starting_state
    from core.diffusion.samplers.base import SamplerOptions, timesteps_for
    from core.diffusion.samplers.ddim import sample_ddim
    from core.evaluation.preprocess import to_x0
    from core.evaluation.sampling import make_predictor

    model, diffusion = loaded.model, loaded.diffusion
    own = loaded.config.sample
    options = SamplerOptions(steps=own.steps, spacing=own.spacing, levels=own.levels, clip=own.clip)
    visited = timesteps_for(diffusion, options)
    predictor = make_predictor(loaded, labels, weak)
    encoder = make_predictor(loaded, None if labels is None else labels[:1], weak)
    centre = starting_state(model, torch.zeros((1, *loaded.shape), device=loaded.device), visited[0])

    def noise_for(end: str) -> "Tensor":
        if _is_seed(end):
            generator = torch.Generator().manual_seed(int(end))
            return torch.randn((1, *loaded.shape), generator=generator).to(loaded.device)[0]
        x0 = to_x0(loaded, read_user_image(Path(end), loaded.shape, loaded.config.data.dataset))
        xt = x0
        with progress_bar(f"encoding {sanitize(Path(end).name)}", "network calls") as report:
            for state in encode_ddim(encoder, diffusion, x0, options):
                report(state.index, len(visited))
                xt = state.xt
        return (xt - centre)[0]

    noises = slerp(noise_for(ends[0]), noise_for(ends[1]), np.linspace(0.0, 1.0, count).tolist()) + centre
    generator = torch.Generator(loaded.device)  # not drawn from
    final = noises
    with progress_bar("sampling", "network calls") as report:
        for state in sample_ddim(predictor, diffusion, noises, options, generator=generator):
            report(state.index, len(visited))
            final = state.xt
    values: NDArray[np.float32] = final.float().cpu().numpy()
    return values
