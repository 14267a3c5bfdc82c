"""A checkpoint: weights, their mean, optimizer, generator and position in ONE safetensors file, never a torn pair.

Tensors are named ``model.*``, ``ema.*``, ``optimizer.I.P.KEY`` (optimizer I, parameter P) and ``rng``; the header holds
the `Position` as JSON. Nothing is pickled, so a checkpoint from a stranger can be opened.
"""

from dataclasses import dataclass
from typing import Any, Final

import msgspec
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from core.config.schema import RunConfig
from core.diffusion.gaussian import GaussianDiffusion
from core.diffusion.networks import build_network
from core.errors import UserError
from core.runs import RunDirectory, atomic_path
from core.schedules import make_schedule

FORMAT_VERSION: Final = 1


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """Where a training stands.

    `epoch` epochs are complete, and `batch` batches of the next; `losses` are those batches' losses. `elapsed` is in
    seconds; `metrics_offset` in bytes of `metrics.jsonl`.
    """

    format_version: int = FORMAT_VERSION
    epoch: int
    batch: int
    step: int
    losses: list[float]
    elapsed: float
    metrics_offset: int
    channels: int
    size: int


def make_diffusion(config: RunConfig) -> GaussianDiffusion:
    """The process that a run's configuration names."""
    schedule = make_schedule(**msgspec.structs.asdict(config.schedule))
    return GaussianDiffusion(
        schedule, prediction_type=config.diffusion.prediction_type, variance=config.diffusion.variance
    )


def save_checkpoint(run: RunDirectory, tensors: dict[str, Tensor], position: Position) -> None:
    """Replace the run's checkpoint as a whole; the caller is the run's writer."""
    run.checkpoint.parent.mkdir(exist_ok=True)
    header = {"ddpm-tui": msgspec.json.encode(position).decode()}
    with atomic_path(run.checkpoint) as temporary:
        save_file(
            {name: value.detach().contiguous() for name, value in tensors.items()}, temporary, metadata=header
        )


def read_checkpoint(
    run: RunDirectory, prefix: str | tuple[str, ...] = ""
) -> tuple[dict[str, Tensor], Position]:
    """The tensors whose names begin with `prefix`, or one of several, on the CPU, and the position.

    Raises:
        UserError: there is none, or it is damaged.
    """
    if not run.checkpoint.exists():
        raise UserError(f"{run.id}: has no checkpoint yet; train it for at least one epoch")
    try:
        with safe_open(run.checkpoint, framework="pt") as file:
            position = msgspec.json.decode((file.metadata() or {})["ddpm-tui"], type=Position)
            names = [name for name in file.keys() if name.startswith(prefix)]  # noqa: SIM118 (not a dict)
            return {name: file.get_tensor(name) for name in names}, position
    except (SafetensorError, OSError, KeyError, msgspec.DecodeError) as error:
        raise UserError(f"{run.checkpoint}: not a checkpoint that can be read ({error})") from error


def load_weights(model: nn.Module, tensors: dict[str, Tensor], prefix: str, run: RunDirectory) -> None:
    """Copy the tensors named ``prefix + name`` into the network.

    Raises:
        UserError: they are of another network.
    """
    cut = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
    try:
        model.load_state_dict(cut)
    except RuntimeError as error:
        raise UserError(
            f"{run.checkpoint}: holds the weights of another network than run.toml names"
        ) from error


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A trained network, ready to sample: in eval mode, with the mean of its weights where the run keeps one."""

    model: nn.Module
    diffusion: GaussianDiffusion
    config: RunConfig
    position: Position

    @property
    def shape(self) -> tuple[int, int, int]:
        """[C, H, W] of its pictures."""
        return self.position.channels, self.position.size, self.position.size


def load_model(run: RunDirectory, device: str | torch.device = "cpu") -> LoadedModel:
    """The network of a run as of its last checkpoint.

    Raises:
        UserError: the run has no checkpoint, or one that cannot be read.
    """
    config = run.read().config
    # One read: a live run may replace the file, and weights must not come from two epochs.
    tensors, position = read_checkpoint(run, ("model.", "ema."))
    model = build_network(config.model.preset, channels=position.channels, width=config.model.width)
    load_weights(model, tensors, "model.", run)
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for name, value in tensors.items():
            if name.startswith("ema."):
                parameters[name.removeprefix("ema.")].copy_(value)
    model.eval().to(device)
    return LoadedModel(model, make_diffusion(config), config, position)


def optimizer_tensors(optimizers: list[torch.optim.Optimizer]) -> dict[str, Tensor]:
    """The optimizers' states as named tensors."""
    found: dict[str, Tensor] = {}
    for index, optimizer in enumerate(optimizers):
        for number, state in optimizer.state_dict()["state"].items():
            for key, value in state.items():
                found[f"optimizer.{index}.{number}.{key}"] = torch.as_tensor(value)
    return found


def load_optimizers(optimizers: list[torch.optim.Optimizer], tensors: dict[str, Tensor]) -> None:
    """Bring back what `optimizer_tensors` gave."""
    states: list[dict[int, dict[str, Any]]] = [{} for _ in optimizers]
    for name, value in tensors.items():
        if name.startswith("optimizer."):
            _, index, number, key = name.split(".", 3)
            states[int(index)].setdefault(int(number), {})[key] = value
    for optimizer, state in zip(optimizers, states, strict=True):
        optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
