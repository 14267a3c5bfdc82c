"""The training loop: a generator of frozen reports. Ho et al. 2020, Algorithm 1.

The caller owns logging, pictures and checkpoints. All randomness is a function of the seed and the position, so a
training continued from `Trainer.tensors` is, on a CPU, the uninterrupted one bit for bit. No step waits for the device:
losses stay on it and are fetched in bulk.
"""

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn

from core.config.schema import RunConfig
from core.data import ImageSet
from core.diffusion.models.registry import build_network
from core.errors import UserError
from core.runs import RunDirectory
from core.training.augmentation import augment
from core.training.checkpoint import (
    Position,
    load_model_weights,
    load_optimizer_state_dict,
    make_diffusion,
    optimizer_state_dict,
)
from core.training.compiler import compile_options, find_compiler
from core.training.distributed import SingleProcess
from core.training.ema import Ema
from core.training.loss_weighting import loss_weights
from core.training.muon import Muon
from core.training.precision import bf16_is_fast, has_bf16
from core.training.timestep_sampler import TimestepSampler

_HELDOUT_BATCH: Final = 250
_EDGE_LAYERS: Final = ("stem", "head")


@dataclass(frozen=True)
class StepsReport:
    """The losses of consecutive steps; the first is step `first_step` of the whole training, counted from 1."""

    epoch: int
    first_step: int
    losses: list[float]


@dataclass(frozen=True)
class EpochReport:
    """The end of an epoch: mean, minimum and maximum of its batch losses, and the loss on the held-out pictures."""

    epoch: int
    step: int
    mean: float
    min: float
    max: float
    heldout: float
    learning_rate: float


class NonFiniteLossError(UserError):
    """The loss became NaN or infinite."""


class Trainer:
    """One training: network, optimizers, generator and position.

    Args:
        config: what to train.
        pictures: what to learn.
        device: where.
        process_group: the processes that train it, each with a trainer of its own; None is this one alone.

    Raises:
        UserError: the network does not take pictures of this size, or not several processes.
    """

    def __init__(
        self,
        config: RunConfig,
        images: ImageSet,
        device: torch.device,
        process_group: SingleProcess | None = None,
    ) -> None:
        train = config.train
        self.config, self.device, self.process_group = config, device, process_group or SingleProcess()
        self.channels, self.size = images.channels, images.size
        self.images = torch.from_numpy(np.array(images.train)).to(device)
        self.heldout = torch.from_numpy(np.array(images.heldout[: config.data.heldout])).to(device)
        self.diffusion = make_diffusion(config).to(device)
        torch.manual_seed(train.seed)
        model = build_network(config.model.preset, channels=self.channels, width=config.model.width).to(
            device=device,
            memory_format=torch.channels_last,  # type: ignore[call-overload]
        )
        self.model = self.process_group.sync_batchnorm(model)
        self._forward: Callable[..., Tensor] = self.process_group.wrap_ddp(self.model)
        compiles = train.compile and (device.type != "cpu" or find_compiler() is not None)
        if compiles:
            self._forward = torch.compile(self._forward, **compile_options(device.type))
        self._cuda_graphs = compiles and device.type == "cuda"
        self.ema = Ema(self.model, train.ema_decay) if train.ema_decay else None
        self.optimizers = _make_optimizers(self.model, train.optimizer, train.learning_rate)
        self.generator = torch.Generator(device).manual_seed(train.seed)
        self.timestep_sampler = TimestepSampler(
            self.diffusion.schedule,
            train.noise_levels,
            stratified=train.stratified_timesteps,
            device=device,
        )
        weights = loss_weights(self.diffusion, train.loss_weight)
        self.loss_weights = None if weights is None else weights.to(device)
        self.bf16 = train.precision == "bf16" or (
            # Where several processes train, none may take another one than the rest.
            train.precision == "auto" and not self.process_group.all_reduce_max(not bf16_is_fast(device))[0]
        )
        self.batches_per_epoch = math.ceil(len(self.images) / train.batch_size)
        self.total_steps = self.batches_per_epoch * train.epochs
        self.epoch = self.batch = self.step = 0
        self.epoch_losses: list[float] = []

    def reports(self, stop: Callable[[], bool] = lambda: False) -> Iterator[StepsReport | EpochReport]:
        """Train to the end of the last epoch, or until `stop` says so; ends between two steps, with all drained.

        `stop` is asked before each step and each batch of held-out pictures. Of several processes all end at the same
        step, soon after one of them wants to.

        Raises:
            NonFiniteLossError: the loss became NaN or infinite; what was learnt since the last checkpoint is lost.
        """
        while self.epoch < self.config.train.epochs:
            order = self._epoch_order()
            pending: list[Tensor] = []
            self.process_group.start_window()
            while self.batch < self.batches_per_epoch:
                if self.process_group.should_stop(stop):
                    return
                pending.append(self._train_step(order))
                if self.batch == self.batches_per_epoch or self.process_group.should_flush(stop):
                    yield self._flush(pending)
                    pending = []
                    self.process_group.start_window()
            yield self._finish_epoch(stop)

    @contextlib.contextmanager
    def eval_mode(self) -> Iterator[None]:
        """The network as it samples: in eval mode, with the mean weights where there are any, without gradients."""
        with torch.no_grad(), self.ema.applied() if self.ema else contextlib.nullcontext():
            self.model.eval()
            try:
                yield
            finally:
                self.model.train()

    def heldout_loss(self, tick: Callable[[], object] = lambda: None) -> float:
        """The loss of the held-out pictures, at noise levels as training draws them, always the same, as noises are.

        Args:
            tick: called before each batch of them, which may take long: a sign of life.
        """
        generator = torch.Generator(self.device).manual_seed(self.config.train.seed + 1)
        total = torch.zeros((), device=self.device)
        count = len(self.heldout)
        timesteps = self.timestep_sampler.evenly_spaced(count)
        with self.eval_mode():
            for start in range(0, count, _HELDOUT_BATCH):
                tick()
                x0 = _scale(self.heldout[start : start + _HELDOUT_BATCH])
                t = timesteps[start : start + len(x0)]
                eps = torch.randn(x0.shape, generator=generator, device=self.device)
                mine, weight = self.process_group.shard(len(x0))
                whole, x0, t, eps = len(x0), x0[mine], t[mine], eps[mine]
                output = self.model(self.diffusion.q_sample(x0, t, eps), t)
                total += self.diffusion.loss(output, x0, eps, t).mean() * (weight * whole)
        return self.process_group.all_reduce_sum(total) / count

    def state_dict(self) -> dict[str, Tensor]:
        """All that a continuation needs, by name; with `position`."""
        found = {f"model.{name}": value for name, value in self.model.state_dict().items()}
        if self.ema:
            found |= {f"ema.{name}": value for name, value in self.ema.weights.items()}
        return {**found, **optimizer_state_dict(self.optimizers), "rng": self.generator.get_state()}

    def position(self, *, elapsed: float, metrics_offset: int) -> Position:
        """Where the training stands; everything must be drained."""
        return Position(
            epoch=self.epoch,
            batch=self.batch,
            step=self.step,
            losses=list(self.epoch_losses),
            elapsed=elapsed,
            metrics_offset=metrics_offset,
            channels=self.channels,
            size=self.size,
            threads=torch.get_num_threads()
            if self.device.type == "cpu" and self.process_group.world_size == 1
            else 0,
            precision="bf16" if self.bf16 else "fp32",
        )

    def restore(self, tensors: dict[str, Tensor], position: Position, run: RunDirectory) -> None:
        """Go on from what `tensors` and `position` gave; on a CPU in the precision of before, if it can.

        Raises:
            UserError: they are of another training.
        """
        load_model_weights(self.model, tensors, "model.", run)
        try:
            if self.ema:
                for name, value in self.ema.weights.items():
                    value.copy_(tensors[f"ema.{name}"])
            load_optimizer_state_dict(self.optimizers, tensors)
            self.generator.set_state(tensors["rng"])
        except (KeyError, IndexError, ValueError, TypeError, RuntimeError) as error:
            raise UserError(
                f"{run.checkpoint}: holds the state of another training than run.toml names"
            ) from error
        self.epoch, self.batch, self.step = position.epoch, position.batch, position.step
        self.epoch_losses = list(position.losses)
        if (
            self.config.train.precision == "auto"
            and position.precision
            and self.device.type == "cpu"
            and has_bf16(self.device)
        ):
            self.bf16 = (
                position.precision == "bf16"
            )  # a measurement may come out otherwise than it did before

    def weights_are_finite(self) -> bool:
        """Whether no weight is NaN or infinite."""
        return all(bool(torch.isfinite(p).all()) for p in self.model.parameters())

    def learning_rate(self) -> float:
        """The rate of the next step: a linear warm-up, then constant, then a linear cool-down to zero."""
        train = self.config.train
        rise = min(1.0, (self.step + 1) / train.warmup_steps) if train.warmup_steps else 1.0
        left = 1 - self.step / self.total_steps
        fall = min(1.0, left / train.cooldown) if train.cooldown else 1.0
        return train.learning_rate * rise * fall

    def _epoch_order(self) -> Tensor:
        generator = torch.Generator().manual_seed(self.config.train.seed * 1_000_003 + self.epoch)
        return torch.randperm(len(self.images), generator=generator).to(self.device)

    def _train_step(self, order: Tensor) -> Tensor:
        size = self.config.train.batch_size
        x0 = _scale(self.images[order[self.batch * size : (self.batch + 1) * size]])
        x0 = augment(x0, self.config.train.augment, self.step)
        t = self.timestep_sampler.sample(len(x0), self.generator)
        eps = torch.randn(x0.shape, generator=self.generator, device=self.device)
        # Every process has drawn the whole batch's, so that its generator stays where the others' are.
        mine, weight = self.process_group.shard(len(x0))
        x0, t, eps = x0[mine], t[mine], eps[mine]
        xt = self.diffusion.q_sample(x0, t, eps)
        rate = self.learning_rate()
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
            for group in optimizer.param_groups:
                group["lr"] = rate
        if self._cuda_graphs:
            torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            output = self._forward(xt, t)
        losses = self.diffusion.loss(output, x0, eps, t)
        loss = losses.mean()  # reported as it is, so that trainings can be compared
        weighted = loss if self.loss_weights is None else (self.loss_weights[t] * losses).mean()
        if (
            self.process_group.world_size > 1
        ):  # what is reported is summed over the processes, while gradients are averaged
            loss, weighted = loss * weight, weighted * (weight * self.process_group.world_size)
        weighted.backward()  # type: ignore[no-untyped-call]
        for optimizer in self.optimizers:
            optimizer.step()
        self.step += 1
        self.batch += 1
        if self.ema:
            self.ema.update(self.step)
        return loss.detach()

    def _flush(self, pending: list[Tensor]) -> StepsReport:
        losses = self.process_group.flush(pending)
        first = self.step - len(losses) + 1
        for number, loss in enumerate(losses, start=first):
            if not math.isfinite(loss):
                raise NonFiniteLossError(
                    f"the loss became {loss} at step {number}; a lower train.learning_rate or precision fp32 may help"
                )
        self.epoch_losses += losses
        return StepsReport(self.epoch + 1, first, losses)

    def _finish_epoch(self, tick: Callable[[], object]) -> EpochReport:
        losses, rate = self.epoch_losses, self.learning_rate()
        self.epoch, self.batch, self.epoch_losses = self.epoch + 1, 0, []
        mean = math.fsum(losses) / len(losses)
        return EpochReport(
            self.epoch, self.step, mean, min(losses), max(losses), self.heldout_loss(tick), rate
        )


def _make_optimizers(model: nn.Module, name: str, rate: float) -> list[torch.optim.Optimizer]:
    named = list(model.named_parameters())
    everything = [p for _, p in named]
    # One kernel does all of a parameter's step; not on every kind of device.
    fused = True if all(p.device.type in ("cuda", "cpu") for p in everything) else None
    if name == "adam":
        return [torch.optim.Adam(everything, lr=rate, fused=fused)]
    if name == "adamw":
        return [torch.optim.AdamW(everything, lr=rate, fused=fused)]
    kernels = [p for path, p in named if p.ndim == 4 and path.split(".")[0] not in _EDGE_LAYERS]
    taken = {id(p) for p in kernels}
    rest = [p for p in everything if id(p) not in taken]
    return [
        Muon(kernels, lr=rate, weight_decay=0.01),
        torch.optim.AdamW(rest, lr=rate, betas=(0.9, 0.99), weight_decay=0.01, fused=fused),
    ]


def _scale(pixels: Tensor) -> Tensor:
    """uint8 to float32 in [-1, 1]."""
    return pixels.float() / 127.5 - 1
