"""Centred data: a network that sees images less a fixed image, their mean, in a process on the images themselves.

Diffusion of x0 - c has the states xt - alpha_t c. All samplers and the bound are linear in the states, so they stay as
they are if the network takes away alpha_t c from its input and its output is that for the image itself. Only the start
differs: N(0, I) for the centred data is N(alpha_T c, I) for the images. Letters as in `core.diffusion.gaussian`, with
alpha_t = sqrt(abar_t) and sigma_t = sqrt(1 - abar_t).
"""

import torch
from torch import Tensor, nn

from core.diffusion.gaussian import GaussianDiffusion


class CentredNetwork(nn.Module):
    """A network of centred images as a network of the images.

    Args:
        network: of (xt, t) or of (xt, t, labels), to be trained on centred images.
        diffusion: the process.
        centre: c, [C, H, W], in [-1, 1]; kept with the weights.
    """

    def __init__(self, network: nn.Module, diffusion: GaussianDiffusion, centre: Tensor) -> None:
        super().__init__()
        self.network = network
        self.prediction_type = diffusion.prediction_type
        pairs = [diffusion.alpha_sigma(t) for t in range(diffusion.timesteps)]
        alphas, sigmas = torch.tensor(pairs, dtype=torch.float64).float().T.contiguous()
        self.centre: Tensor
        self.alphas: Tensor
        self.sigmas: Tensor
        self.register_buffer("centre", centre[None].float())
        self.register_buffer("alphas", alphas.clone(), persistent=False)
        self.register_buffer("sigmas", sigmas.clone(), persistent=False)

    def forward(self, xt: Tensor, t: Tensor, *labels: Tensor | None) -> Tensor:
        """Compute the output for images xt [N, C, H, W] at timesteps t [N], of labels [N] if given; like xt."""
        output: Tensor = self.network(xt - self.alphas[t].view(-1, 1, 1, 1) * self.centre, t, *labels)
        if self.prediction_type == "v_prediction":  # v = alpha_t eps - sigma_t x0
            return output - self.sigmas[t].view(-1, 1, 1, 1) * self.centre
        return output + self.centre if self.prediction_type == "sample" else output


def starting_state(model: object, noise: Tensor, t: int) -> Tensor:
    """Return the state at timestep t where sampling starts: the noise [N, C, H, W], around alpha_t c if centred."""
    if not isinstance(model, CentredNetwork):
        return noise
    return noise + (model.alphas[t] * model.centre).to(noise.device)
