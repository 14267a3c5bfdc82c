"""The lean network: a small residual U-Net that can be trained on triangles with a laptop's CPU.

Images are first folded into patches of 2x2, so the finest level has a quarter of the pixels. Three levels of w, 2w and
2w channels, at 1/2, 1/4 and 1/8 of the image's size, hold residual blocks. The two coarser levels hold attention too,
because the hard part of a triangle is its coarse structure: three corners, straight sides, one piece. Linear maps over
pixels are written as 1x1 convolutions, which keep channels_last memory and on a CPU in float32 can beat a matrix
product.

Attention costs the square of a map's positions, so larger images need a layout of their own (`lean_plan`): attention
only where a map has at most 256 positions, and a level more from 96 pixels on. Up to 64x64 both layouts are the same.

The head computes the four pixels of a patch by four filters that share no weight, and their errors differ: samples show
a faint grid of patches. A seamless network ends with a convolution over pixels instead, which sees the noised image too
and treats every pixel alike.

Letters: N images, C channels, H x W pixels, D channels of a feature map, E numbers of a time embedding.
"""

from typing import Final, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.diffusion.models.label_embedding import LabelEmbedding
from core.diffusion.models.padding import crop_padding, pad_to_multiple
from core.diffusion.models.thesis_unet import SinusoidalEmbedding
from core.errors import UserError

LEAN_WIDTH: Final = 32
"""Channels of the finest level."""

_EMBEDDING: Final = 128
_HEAD_CHANNELS: Final = 32
_MAX_ATTENDED: Final = 256
"""Positions of the largest map with attention, where its cost follows the size of the image."""
_DEEPER_FROM: Final = 96
"""Side from which on there is a level more; from twice that on there are two more, and so on."""
_PIXEL_CHANNELS: Final = 8
"""Channels of a seamless network at the size of the image."""


class LeanPlan(NamedTuple):
    """Levels for a size of images: the number of added ones, and whether the map at each halving is attended.

    `attended` counts from 2, the level at 1/4 of the size; the last is the coarsest.
    """

    added: int
    attended: tuple[bool, ...]


def lean_plan(size: int | None) -> LeanPlan:
    """Plan the levels of the lean network for images of `size` x `size`; None is the layout that fits every size.

    >>> lean_plan(64), lean_plan(128)
    (LeanPlan(added=0, attended=(True, True)), LeanPlan(added=1, attended=(False, True, True)))
    """
    if size is None:
        return LeanPlan(0, (True, True))
    added = 0
    while size >= _DEEPER_FROM << added:
        added += 1
    padded = size + -size % (8 << added)
    return LeanPlan(
        added, tuple((padded >> halvings) ** 2 <= _MAX_ATTENDED for halvings in range(2, 4 + added))
    )


class LeanUNet(nn.Module):
    """A residual U-Net over 2x2 patches with attention at its coarser levels.

    Args:
        channels: C of the images.
        width: D of the finest level; a multiple of 16.
        classes: classes of the images; 0 builds no embedding of labels.
        size: H = W of the images that the levels are planned for (`lean_plan`); None takes the same for all.
        seamless: end with convolutions over pixels, so that samples show no grid of patches.

    Raises:
        UserError: width is not a multiple of 16.
    """

    def __init__(
        self,
        channels: int = 1,
        width: int = LEAN_WIDTH,
        *,
        size: int | None = None,
        seamless: bool = False,
        classes: int = 0,
    ) -> None:
        super().__init__()
        if width % 16:
            raise UserError(
                f"model.width = {width}: the lean network takes a multiple of 16, such as {LEAN_WIDTH}"
            )
        embedding = 4 * width
        fine, middle, coarse = width, 2 * width, 2 * width
        plan = lean_plan(size)
        self.divisor = 8 << plan.added
        """H and W are padded to multiples of this."""
        self.channels = channels
        self.embed = nn.Sequential(
            SinusoidalEmbedding(_EMBEDDING), nn.Linear(_EMBEDDING, embedding), nn.SiLU()
        )
        self.stem = nn.Conv2d(4 * channels, fine, 3, padding=1)
        self.down_fine = _Level(fine, embedding, blocks=1, attention=False)
        self.to_middle = nn.Conv2d(fine, middle, 2, stride=2)
        self.down_middle = _Level(middle, embedding, blocks=1, attention=plan.attended[0])
        self.to_coarse = nn.Conv2d(middle, coarse, 2, stride=2)
        self.bottom = _Level(coarse, embedding, blocks=2, attention=plan.attended[-1])
        self.from_coarse = nn.Conv2d(coarse, middle, 1)
        self.up_middle = _Level(middle, embedding, blocks=1, attention=plan.attended[0])
        self.from_middle = nn.Conv2d(middle, fine, 1)
        self.up_fine = _Level(fine, embedding, blocks=2, attention=False)
        self.head = nn.Conv2d(fine, 4 * (_PIXEL_CHANNELS if seamless else channels), 3, padding=1)
        added = [_AddedLevel(middle, embedding, attention=attended) for attended in plan.attended[1:-1]]
        self.added = nn.ModuleList(added)
        self.pixels = nn.Conv2d(_PIXEL_CHANNELS + channels, channels, 3, padding=1) if seamless else None
        with torch.no_grad():  # the output starts at zero
            self.head.weight[: 4 * channels] = 0
            _bias(self.head)[: 4 * channels] = 0
        if self.pixels is not None:
            nn.init.dirac_(self.pixels.weight)
            nn.init.zeros_(_bias(self.pixels))
        self.label_embedding = LabelEmbedding(classes, embedding) if classes else None

    def forward(self, x: Tensor, t: Tensor, labels: Tensor | None = None) -> Tensor:
        """Predict noise, image or v, whichever it was trained for, from noised images.

        Args:
            x: [N, C, H, W], of any size; see `core.diffusion.models.padding`.
            t: int64 [N], timesteps from 0.
            labels: int64 [N], see `core.diffusion.models.label_embedding`; only of a network with classes.

        Returns:
            [N, C, H, W], in x's dtype.
        """
        padded = pad_to_multiple(x, self.divisor)
        e = self.embed(t)
        if self.label_embedding is not None:
            e = self.label_embedding(e, labels)
        h = F.pixel_unshuffle(padded, 2)
        if (
            padded.device.type == "cpu"
        ):  # on CUDA a convolution with channels_last weights converts its input itself
            h = h.contiguous(memory_format=torch.channels_last)
        h = self.stem(h)
        fine = self.down_fine(h, e)
        middle = self.down_middle(self.to_middle(fine), e)
        h, skips = middle, []
        for level in self.added:
            assert isinstance(level, _AddedLevel)
            h = level.down(level.enter(h), e)
            skips.append((level, h))
        h = self.from_coarse(self.bottom(self.to_coarse(h), e))
        for level, skip in reversed(skips):
            h = level.leave(level.up(skip + _double(h), e))
        h = self.up_middle(middle + _double(h), e)
        h = self.up_fine(fine + _double(self.from_middle(h)), e)
        with torch.autocast(
            x.device.type, enabled=False
        ):  # because the last map decides the images' precision
            h = F.pixel_shuffle(self.head(F.silu(_normalise(h.to(self.head.weight.dtype)))), 2)
            if self.pixels is not None:
                h = self.pixels(torch.cat([h, padded.to(h.dtype)], dim=1))
        return crop_padding(h, *x.shape[-2:]).to(x.dtype)


class _AddedLevel(nn.Module):
    """A level between the middle and the coarsest one, its way in and its way out."""

    def __init__(self, channels: int, embedding: int, *, attention: bool) -> None:
        super().__init__()
        self.enter = nn.Conv2d(channels, channels, 2, stride=2)
        self.down = _Level(channels, embedding, blocks=1, attention=attention)
        self.up = _Level(channels, embedding, blocks=1, attention=attention)
        self.leave = nn.Conv2d(channels, channels, 1)


class _Level(nn.Module):
    """Residual blocks of one resolution, each followed by attention if `attention` is set."""

    def __init__(self, channels: int, embedding: int, *, blocks: int, attention: bool) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(_Block(channels, embedding) for _ in range(blocks))
        self.attentions = nn.ModuleList(_Attention(channels) for _ in range(blocks if attention else 0))

    def forward(self, x: Tensor, e: Tensor) -> Tensor:
        for index, block in enumerate(self.blocks):
            x = block(x, e)
            if self.attentions:
                x = self.attentions[index](x)
        return x


class _Block(nn.Module):
    """x + conv(silu(conv(silu(scale(e) norm(x) + shift(e))))), the last convolution starting at zero."""

    def __init__(self, channels: int, embedding: int) -> None:
        super().__init__()
        self.modulate = nn.Linear(embedding, 2 * channels)
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.modulate.weight)
        nn.init.zeros_(self.modulate.bias)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(_bias(self.second))

    def forward(self, x: Tensor, e: Tensor) -> Tensor:
        scale, shift = self.modulate(e)[:, :, None, None].chunk(2, dim=1)
        h = torch.addcmul(shift, _normalise(x), 1 + scale)
        change: Tensor = self.second(F.silu(self.first(F.silu(h))))
        return x + change


class _Attention(nn.Module):
    """Self-attention over all pixels of a map; the output projection starts at zero."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.heads = channels // _HEAD_CHANNELS
        self.position = nn.Parameter(torch.zeros(channels, 16, 16))
        self.query_key_value = nn.Conv2d(channels, 3 * channels, 1)
        self.project = nn.Conv2d(channels, channels, 1)
        nn.init.zeros_(self.project.weight)
        nn.init.zeros_(_bias(self.project))

    def forward(self, x: Tensor) -> Tensor:
        n, d, height, width = x.shape
        position = F.interpolate(self.position[None], (height, width), mode="area")
        qkv = self.query_key_value(_normalise(x) + position.to(x.dtype))
        # [N, 3D, H, W] in channels_last memory is [N, H W, 3, heads, D / heads] without a copy.
        qkv = qkv.permute(0, 2, 3, 1).reshape(n, height * width, 3, self.heads, d // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        h = _attend(query, key, value)
        h = h.transpose(1, 2).reshape(n, height, width, d).permute(0, 3, 1, 2)
        change: Tensor = self.project(h)
        return x + change


def _attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Compute attention; query, key, value and the result are [N, heads, H W, D / heads].

    It is written out on a CPU in bfloat16, where torch's own kernel is several times slower for maps as small as these.
    For such maps that kernel saves no memory either.
    """
    if query.device.type != "cpu" or query.dtype != torch.bfloat16:
        return F.scaled_dot_product_attention(query, key, value)
    scores: Tensor = (query * query.shape[-1] ** -0.5) @ key.mT
    return torch.softmax(scores, dim=-1) @ value


def _normalise(x: Tensor) -> Tensor:
    """Apply layer norm over the channels of each pixel, in channels_last memory throughout and in the dtype of x.

    On a GPU autocast would compute it in float32, and with it all that follows up to the next convolution. The kernel
    sums in float32 anyway.
    """
    rows = x.permute(0, 2, 3, 1)
    if x.device.type == "cpu":
        normal = F.layer_norm(rows, (x.shape[1],))
    else:
        with torch.autocast(x.device.type, enabled=False):
            normal = F.layer_norm(rows, (x.shape[1],))
    return normal.permute(0, 3, 1, 2)


def _double(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="nearest")


def _bias(layer: nn.Conv2d) -> Tensor:
    assert layer.bias is not None
    return layer.bias
