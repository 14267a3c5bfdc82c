"""Networks by name."""

from torch import nn

from core.diffusion.models.lean_unet import LEAN_WIDTH, LeanUNet
from core.diffusion.models.thesis_unet import THESIS_WIDTHS, ThesisUNet, doubling_widths
from core.errors import UserError


def build_network(
    preset: str,
    *,
    channels: int,
    width: int | None = None,
    size: int | None = None,
    seamless: bool = False,
    classes: int = 0,
) -> nn.Module:
    """Build a network with fresh weights, drawn from torch's global generator.

    Args:
        preset: ``thesis`` or ``lean``.
        channels: C of the images.
        width: channels of the finest level; None is the preset's own.
        size: H = W of the images that the levels of `lean` are planned for; None takes the same levels for all.
        seamless: end `lean` with a convolution over pixels.
        classes: classes that the network is told; 0 for images without labels.

    Raises:
        UserError: an unknown preset, or a width that it does not support.
    """
    if preset == "thesis":
        return ThesisUNet(channels, THESIS_WIDTHS if width is None else doubling_widths(width), classes)
    if preset == "lean":
        return LeanUNet(
            channels, LEAN_WIDTH if width is None else width, size=size, seamless=seamless, classes=classes
        )
    raise UserError(f"unknown network {preset!r}; expected thesis or lean")
