"""The network and the diffusion process of a run's configuration; a network on centred data if it says so."""

import msgspec
import torch
from torch import Tensor, nn

from core.config.schema import RunConfig
from core.diffusion.gaussian import GaussianDiffusion
from core.diffusion.models.centred import CentredNetwork
from core.diffusion.models.registry import build_network
from core.errors import UserError
from core.runs import RunDirectory
from core.schedules import make_schedule


def build_run_network(
    config: RunConfig,
    diffusion: GaussianDiffusion,
    shape: tuple[int, int, int],
    images: Tensor | None = None,
    *,
    classes: int = 0,
) -> nn.Module:
    """Build a run's network with fresh weights, drawn from torch's global generator.

    Args:
        config: configuration of the run.
        diffusion: its process.
        shape: [C, H, W] of the images.
        images: training images, uint8 [N, C, H, W], whose mean the data are centred by; None for a network whose
            weights, and with them the mean, will be loaded.
        classes: classes of the images; 0 without labels.

    Raises:
        UserError: an unsupported width.
    """
    model = config.model
    network = build_network(
        model.preset,
        channels=shape[0],
        width=model.width,
        size=shape[1] if model.layout == "by_size" else None,
        seamless=model.seamless,
        classes=classes,
    )
    if config.data.centre == "none":
        return network
    centre = torch.zeros(shape)
    if images is not None:
        # Integers, so that the sum is exact in any order.
        sums = torch.stack([part.sum(0, dtype=torch.int64) for part in torch.split(images.cpu(), 1024)]).sum(
            0
        )
        mean = sums.double() / len(images)
        if config.data.centre == "grey":
            mean = mean.mean((1, 2), keepdim=True).expand(shape)
        centre = (mean / 127.5 - 1).float()
    return CentredNetwork(network, diffusion, centre)


def make_diffusion(config: RunConfig) -> GaussianDiffusion:
    """Return the diffusion process of a run's configuration."""
    schedule = make_schedule(**msgspec.structs.asdict(config.schedule))
    return GaussianDiffusion(
        schedule, prediction_type=config.diffusion.prediction_type, variance=config.diffusion.variance
    )


def load_model_weights(model: nn.Module, tensors: dict[str, Tensor], prefix: str, run: RunDirectory) -> None:
    """Copy the tensors named ``prefix + name`` into the network.

    Raises:
        UserError: the tensors belong to another network.
    """
    state = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise UserError(
            f"{run.checkpoint}: holds the weights of another network than run.toml names"
        ) from error
