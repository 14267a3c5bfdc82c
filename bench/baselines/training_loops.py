"""Peers' training loops, as they ship them or print them in their tutorials. They yield the number of images per step.

Each trains the network that it is given, ours or its own. Other work of a peer, such as samples and checkpoints, is
switched off as far as its options allow.
"""

import contextlib
import io
import itertools
import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import torch
from PIL import Image
from torch import Tensor, nn

from bench.harness.workloads import data_loader
from core.data import ImageSet
from core.errors import UserError

PACKAGES: Final = ("denoising-diffusion-pytorch", "diffusers", "smalldiffusion", "accelerate")
TIMESTEPS: Final = 1000


def require_peers(device: torch.device) -> None:
    """Make the peers importable, quiet, and set to the device.

    Raises:
        UserError: one is not installed.
    """
    os.environ["HF_HUB_OFFLINE"] = "1"
    if device.type == "cpu":
        os.environ["ACCELERATE_USE_CPU"] = "true"
    warnings.filterwarnings("ignore", module=r"torch\.utils\.data")
    try:
        _import_torchvision()
        import accelerate  # noqa: F401
        import denoising_diffusion_pytorch  # noqa: F401
        import diffusers  # noqa: F401
        import smalldiffusion  # noqa: F401
    except ImportError as error:
        raise UserError(
            f"{error.name} is not installed, and the peers need it: pip install -e '.[bench]'"
        ) from error


def _import_torchvision() -> None:
    try:
        import torchvision
    except RuntimeError:
        # Its compiled part belongs to another build of torch. Peers use only its transforms, which are Python, but the
        # import fails unless these two operators are declared.
        for name in ("nms", "qnms"):
            torch.library.define(
                f"torchvision::{name}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
            )
        import torchvision  # noqa: F401


def denoising_diffusion_pytorch_loop(
    model: nn.Module, images: ImageSet, batch: int, device: torch.device, *, folder: Path
) -> Iterator[int]:
    """`denoising_diffusion_pytorch.Trainer`, with the defaults of its README.

    Args:
        folder: an empty one, because the trainer reads images from files.
    """
    from denoising_diffusion_pytorch import GaussianDiffusion

    diffusion = GaussianDiffusion(model, image_size=images.size, timesteps=TIMESTEPS).to(device)
    trainer = denoising_diffusion_pytorch_trainer(diffusion, images, batch, folder)
    for step in itertools.count(1):
        trainer.train_num_steps = step
        trainer.train()
        yield batch


def denoising_diffusion_pytorch_trainer(
    diffusion: nn.Module, images: ImageSet, batch: int, folder: Path
) -> Any:
    """Its trainer, on image files in `folder`, without sampling or evaluation during training."""
    from denoising_diffusion_pytorch import Trainer

    files = folder / "images"
    files.mkdir(parents=True)
    for number, image in enumerate(images.train):
        pixels = image[0] if len(image) == 1 else image.transpose(1, 2, 0)
        Image.fromarray(pixels).save(files / f"{number:06}.png")
    return Trainer(
        diffusion,
        str(files),
        train_batch_size=batch,
        save_and_sample_every=1 << 40,
        calculate_fid=False,
        results_folder=str(folder / "results"),
    )


def diffusers_loop(model: nn.Module, images: ImageSet, batch: int, device: torch.device) -> Iterator[int]:
    """The loop of diffusers' tutorial "Train a diffusion model", in fp32."""
    from accelerate import Accelerator
    from diffusers import DDPMScheduler
    from diffusers.optimization import get_cosine_schedule_with_warmup

    scheduler = DDPMScheduler(num_train_timesteps=TIMESTEPS)
    accelerator = Accelerator(mixed_precision="no", gradient_accumulation_steps=1)
    optimizer: Any = torch.optim.AdamW(model.parameters(), lr=1e-4)
    rates = get_cosine_schedule_with_warmup(optimizer, num_warmup_steps=500, num_training_steps=1 << 40)
    model, optimizer, batches, rates = accelerator.prepare(
        model, optimizer, data_loader(images, batch), rates
    )
    for _ in itertools.count():
        for clean in batches:
            noise = torch.randn(clean.shape, device=clean.device)
            t = torch.randint(0, TIMESTEPS, (len(clean),), device=clean.device, dtype=torch.int64)
            noisy = scheduler.add_noise(clean, noise, t)
            with accelerator.accumulate(model):
                predicted = model(noisy, t)
                loss = nn.functional.mse_loss(predicted, noise)
                accelerator.backward(loss)
                if accelerator.sync_gradients:
                    accelerator.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                rates.step()
                optimizer.zero_grad()
            loss.detach().item()  # for its progress bar
            yield len(clean)


def smalldiffusion_loop(
    model: nn.Module, images: ImageSet, batch: int, device: torch.device
) -> Iterator[int]:
    """`smalldiffusion.training_loop`, with v-prediction and scaled inputs, both its own."""
    from smalldiffusion import ModelMixin, PredV, Scaled, ScheduleDDPM, training_loop

    schedule = ScheduleDDPM(TIMESTEPS)
    sigmas = torch.as_tensor(schedule.sigmas, device=device)

    class Wrapped(nn.Module, ModelMixin):  # type: ignore[misc]  # it has no types
        """A network of timesteps as one of sigmas."""

        def __init__(self) -> None:
            super().__init__()
            self.network = model

        def forward(self, x: Tensor, sigma: Tensor, cond: Tensor | None = None) -> Tensor:
            predicted: Tensor = self.network(x, torch.searchsorted(sigmas, sigma.flatten()))
            return predicted

    wrapped = PredV(Scaled(Wrapped))()
    for _ in training_loop(data_loader(images, batch), wrapped, schedule, epochs=1 << 40):
        yield batch


def without_output(steps: Iterator[int]) -> Iterator[int]:
    """The same steps, without their progress bars."""
    while True:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            done = next(steps)
        yield done


class WithSelfCondition(nn.Module):
    """A network with the attributes and the third argument that `denoising_diffusion_pytorch` expects."""

    self_condition = False

    def __init__(self, network: nn.Module, channels: int) -> None:
        super().__init__()
        self.network = network
        self.channels = self.out_dim = channels

    def forward(self, x: Tensor, time: Tensor, x_self_cond: Tensor | None = None) -> Tensor:
        """[N, C, H, W] and [N] to [N, C, H, W]; `x_self_cond` is ignored."""
        predicted: Tensor = self.network(x, time)
        return predicted


class FirstOfTuple(nn.Module):
    """A network of diffusers that returns a tensor instead of a tuple."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """[N, C, H, W] and [N] to [N, C, H, W]."""
        predicted: Tensor = self.network(x, t, return_dict=False)[0]
        return predicted


def denoising_diffusion_pytorch_unet(parameters: int, channels: int) -> nn.Module:
    """The peer's own U-Net with three levels, as near to this number of parameters as its width allows."""
    from denoising_diffusion_pytorch import Unet

    return nearest_size(
        lambda width: Unet(dim=width, dim_mults=(1, 2, 4), channels=channels), range(8, 257, 8), parameters
    )


def diffusers_unet(parameters: int, channels: int, size: int) -> nn.Module:
    """The peer's own U-Net with three levels, attention in the coarser two, as near as its width allows."""
    from diffusers import UNet2DModel

    def build(width: int) -> nn.Module:
        made: nn.Module = UNet2DModel(
            sample_size=size,
            in_channels=channels,
            out_channels=channels,
            layers_per_block=1,
            block_out_channels=(width, 2 * width, 2 * width),
            down_block_types=("DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"),
            up_block_types=("AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
            norm_num_groups=8,
        )
        return made

    return FirstOfTuple(nearest_size(build, range(8, 513, 8), parameters))


def nearest_size(build: Callable[[int], nn.Module], widths: range, parameters: int) -> nn.Module:
    """The network of the width with the nearest number of parameters, which must grow with the width."""
    low, high = 0, len(widths) - 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (
            (middle, high) if _count_without_memory(build, widths[middle]) <= parameters else (low, middle)
        )
    best = min(
        (widths[low], widths[high]), key=lambda width: abs(_count_without_memory(build, width) - parameters)
    )
    return build(best)


def _count_without_memory(build: Callable[[int], nn.Module], width: int) -> int:
    with torch.device("meta"):
        return count_parameters(build(width))


def count_parameters(model: nn.Module) -> int:
    """The number of parameters of a network."""
    return sum(p.numel() for p in model.parameters())
