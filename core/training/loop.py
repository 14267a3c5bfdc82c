"""The training loop: a generator of frozen reports. Ho et al. 2020, Algorithm 1.

The caller owns logging, sampling and checkpoints. All randomness is a function of the seed and the position. So on a
CPU, training resumed from `Trainer.state_dict` equals uninterrupted training bit for bit. No step waits for its own
loss: losses stay on the device and are flushed in bulk (see `core.training.distributed`).
"""

import contextlib
import math
from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
import torch
from torch import Tensor

from core.config.schema import RunConfig
from core.data import ImageSet
from core.data.augmentation import own_augment
from core.errors import UserError
from core.runs import RunDirectory
from core.training.augmentation import augment, scale
from core.training.budget import Budget
from core.training.captured_step import find_capture
from core.training.captured_training import CapturedTraining
from core.training.checkpoint import Position, Seeding, load_model_weights, make_diffusion
from core.training.compiler import compile_options, compile_problem
from core.training.device_images import DeviceImages
from core.training.distributed import SingleProcess
from core.training.ema import Ema
from core.training.label_dropout import TrainingLabels
from core.training.loss_weighting import config_loss_weights
from core.training.network import build_run_network
from core.training.noise_error import NoiseErrorRecorder, NoiseErrorSums
from core.training.optimizers import load_optimizer_state_dict, make_optimizers, optimizer_state_dict
from core.training.precision import (
    Precision,
    bf16_is_fast,
    has_bf16,
    memory_format,
    resolve_precision,
    set_up_device,
)
from core.training.reports import EpochReport as EpochReport
from core.training.reports import NonFiniteLossError as NonFiniteLossError
from core.training.reports import StepsReport as StepsReport
from core.training.reports import check_losses
from core.training.seeding import step_seed
from core.training.timestep_sampler import TimestepSampler

_HELDOUT_BATCH: Final = 250


class Trainer:
    """Network, optimizers and position of one training.

    The generator is seeded before each step, see `core.training.seeding`. Only a training that an older version began
    on this kind of device keeps drawing from one stream, whose state is in its checkpoints.

    Args:
        config: the run's configuration.
        images: training and held-out images, uint8 [N, C, H, W].
        device: device of this process.
        process_group: the processes of the training, each with a trainer of its own; None for this process alone.

    Raises:
        UserError: the network does not support this image size, or not several processes.
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
        self.augment = own_augment(images.recipe) if train.augment == "auto" else train.augment
        self._images = DeviceImages(images.train, device)
        self.images = self._images.tensor
        self.class_names = images.classes if config.data.labels else ()
        self.labels = TrainingLabels.from_images(config, images, device)
        self.heldout = torch.from_numpy(np.array(images.heldout[: config.data.heldout])).to(device)
        self.diffusion = make_diffusion(config).to(device)
        self.precision = self._choose_precision()
        set_up_device(device, self.precision)
        torch.manual_seed(train.seed)
        shape = (self.channels, self.size, self.size)
        classes = self.labels.classes if self.labels else 0
        model = build_run_network(config, self.diffusion, shape, self.images, classes=classes).to(
            device=device,
            memory_format=memory_format(device),  # type: ignore[call-overload]
        )
        self.model = self.process_group.sync_batchnorm(model)
        self._forward: Callable[..., Tensor] = self.process_group.wrap_ddp(self.model)
        self.compile_problem = compile_problem(device.type) if train.compile else ""
        compiles = train.compile and not self.compile_problem
        if compiles:
            self._forward = torch.compile(self._forward, **compile_options(device.type))
        self._cuda_graphs = compiles and device.type == "cuda"
        self.ema = Ema(self.model, train.ema_decay) if train.ema_decay else None
        self.optimizers = make_optimizers(
            self.model, train.optimizer, train.learning_rate, bf16=self.bf16 and device.type == "cuda"
        )
        self.generator = torch.Generator(device)
        self._seeding: Seeding = "step"
        self.timestep_sampler = TimestepSampler.from_config(train, self.diffusion.schedule, device)
        self.loss_weights = config_loss_weights(train, self.diffusion, device)
        self.batches_per_epoch = math.ceil(len(self.images) / train.batch_size)
        self.budget = Budget(train, self.batches_per_epoch)
        self.epoch = self.batch = self.step = 0
        self.epoch_losses: list[float] = []
        self.noise_errors, self.noise_error_sums = (
            NoiseErrorRecorder(self.diffusion, device),
            NoiseErrorSums(),
        )
        capture = None if compiles else find_capture(device, self.process_group.world_size)
        self.captured = CapturedTraining(self, capture) if capture else None

    @property
    def bf16(self) -> bool:
        """True if the network computes in bfloat16 while it trains."""
        return self.precision == "bf16"

    @property
    def total_steps(self) -> int:
        """Steps of the whole training; see `core.training.budget`."""
        return self.budget.total_steps

    def reports(self, stop: Callable[[], bool] = lambda: False) -> Iterator[StepsReport | EpochReport]:
        """Train to the end of the budget, or until `stop` returns True; end between two steps, with losses flushed.

        An epoch that the budget ends has a report too.

        Args:
            stop: called before each step and each batch of held-out images. Several processes all end at the same step,
                soon after it returned True in one of them.

        Raises:
            NonFiniteLossError: the loss became NaN or infinite; progress since the last checkpoint is lost.
        """
        while self.epoch < self.budget.final_epoch:
            order = self._epoch_order()
            if self.captured:
                self.captured.start_epoch(order)
            pending: list[Tensor] = []
            self.process_group.start_window()
            while self.batch < self.batches_per_epoch and self.step < self.total_steps:
                if self.process_group.should_stop(stop):
                    return
                pending.append(self._train_step(order))
                is_last = self.batch == self.batches_per_epoch or self.step == self.total_steps
                if is_last or self.process_group.should_flush(stop):
                    report = self._flush(pending)
                    if self.budget.plan(self.step, self.epoch, self.process_group) and self.captured:
                        self.captured.start_epoch(order)  # because the learning rates have changed
                    yield report
                    pending = []
                    self.process_group.start_window()
            yield self._finish_epoch(stop)

    @contextlib.contextmanager
    def eval_mode(self) -> Iterator[None]:
        """Put the network into eval mode, without gradients and with the averaged weights if there are any."""
        with torch.no_grad(), self.ema.applied() if self.ema else contextlib.nullcontext():
            self.model.eval()
            try:
                yield
            finally:
                self.model.train()

    def heldout_loss(self, on_batch: Callable[[], object] = lambda: None) -> float:
        """Return the loss on the held-out images, always at the same noise and timesteps.

        The timesteps are distributed as in training, so both losses can be compared.

        Args:
            on_batch: called before each batch, for example to write a heartbeat, because all batches may take long.
        """
        generator = torch.Generator(self.device).manual_seed(self.config.train.seed + 1)
        total = torch.zeros((), device=self.device)
        count = len(self.heldout)
        timesteps = self.timestep_sampler.evenly_spaced(count)
        with self.eval_mode():
            for start in range(0, count, _HELDOUT_BATCH):
                on_batch()
                x0 = scale(self.heldout[start : start + _HELDOUT_BATCH])
                t = timesteps[start : start + len(x0)]
                eps = torch.randn(x0.shape, generator=generator, device=self.device)
                batch_size = len(x0)
                shard, weight = self.process_group.shard(batch_size)
                x0, t, eps = x0[shard], t[shard], eps[shard]
                labels = (self.labels.heldout[start : start + batch_size][shard],) if self.labels else ()
                output = self.model(self.diffusion.q_sample(x0, t, eps), t, *labels)
                total += self.diffusion.loss(output, x0, eps, t).mean() * (weight * batch_size)
        return self.process_group.all_reduce_sum(total) / count

    def state_dict(self) -> dict[str, Tensor]:
        """Return the tensors that resuming needs, together with `position`."""
        state = {f"model.{name}": value for name, value in self.model.state_dict().items()}
        if self.ema:
            state |= {f"ema.{name}": value for name, value in self.ema.weights.items()}
        state |= optimizer_state_dict(self.optimizers)
        return state if self._seeding == "step" else {**state, "rng": self.generator.get_state()}

    def position(self, *, elapsed: float, metrics_offset: int) -> Position:
        """Return the position of the training; all losses must be flushed."""
        alone_on_cpu = self.device.type == "cpu" and self.process_group.world_size == 1
        return Position(
            epoch=self.epoch,
            batch=self.batch,
            step=self.step,
            losses=list(self.epoch_losses),
            noise_error_sums=self.noise_error_sums.state() if self.batch else [],
            elapsed=elapsed,
            metrics_offset=metrics_offset,
            channels=self.channels,
            size=self.size,
            threads=torch.get_num_threads() if alone_on_cpu else 0,
            precision=self.precision,
            seeding=self._seeding,
            planned_steps=self.budget.planned_steps,
            planned_minutes=self.budget.planned_minutes,
        )

    def restore(self, tensors: dict[str, Tensor], position: Position, run: RunDirectory) -> None:
        """Resume from a `state_dict` and its `position`; from CPU to CPU in the same precision if possible.

        Args:
            tensors: the state.
            position: the position at which the state was taken.
            run: the run of the checkpoint, for the error message.

        Raises:
            UserError: the state belongs to another training.
        """
        load_model_weights(self.model, tensors, "model.", run)
        try:
            if self.ema:
                for name, value in self.ema.weights.items():
                    value.copy_(tensors[f"ema.{name}"])
            load_optimizer_state_dict(self.optimizers, tensors)
            self._restore_generator(tensors, position)
        except (KeyError, IndexError, ValueError, TypeError, RuntimeError) as error:
            raise UserError(
                f"{run.checkpoint}: holds the state of another training than run.toml names"
            ) from error
        self.budget.restore(position.planned_steps, position.planned_minutes)
        if position.step > self.total_steps or position.batch > self.batches_per_epoch:
            raise UserError(
                f"{run.checkpoint}: was written after {position.step} steps, but there are {self.total_steps} in all: "
                "expected the images and the batch size that it was trained with"
            )
        self.epoch, self.batch, self.step = position.epoch, position.batch, position.step
        self.epoch_losses = list(position.losses)
        self.noise_error_sums = NoiseErrorSums(position.noise_error_sums)
        if self.captured:
            self.captured.reset()
        # With precision "auto" a new measurement could choose another precision than before.
        is_auto = self.config.train.precision == "auto"
        trained_on = position.trained_with.device if position.trained_with else ""
        is_cpu = self.device.type == "cpu" and trained_on in ("", "cpu")
        if is_auto and position.precision and is_cpu and has_bf16(self.device):
            self.precision = "bf16" if position.precision == "bf16" else "fp32"

    def _restore_generator(self, tensors: dict[str, Tensor], position: Position) -> None:
        """Restore the generator of a training that an older version began; on another kind of device seed each step.

        The size of a generator's state differs between kinds of devices: 5,056 bytes on a CPU, 16 on CUDA.
        """
        self._seeding = position.seeding
        if self._seeding == "stream":
            if tensors["rng"].shape == self.generator.get_state().shape:
                self.generator.set_state(tensors["rng"])
                self.captured = None  # because a captured step is a function of the seed and the step
            else:
                self._seeding = "step"

    def weights_are_finite(self) -> bool:
        """Return whether no weight is NaN or infinite."""
        # The largest absolute value is NaN if any is, and all are fetched together.
        largest = torch._foreach_norm([p.detach() for p in self.model.parameters()], math.inf)
        return bool(torch.stack(largest).isfinite().all())

    def learning_rate(self, ahead: int = 0) -> float:
        """Return the learning rate of the next step, or of one `ahead`."""
        return self.budget.learning_rate(self.step + ahead)

    def _choose_precision(self) -> Precision:
        wanted = self.config.train.precision
        # All processes must use the same precision.
        is_fast = wanted == "auto" and not any(
            self.process_group.all_reduce_max(not bf16_is_fast(self.device))
        )
        return resolve_precision(wanted, self.device, bf16_is_fast=is_fast)

    def _epoch_order(self) -> Tensor:
        """Return the permutation of the training images in the current epoch, int64 [N]."""
        generator = torch.Generator().manual_seed(self.config.train.seed * 1_000_003 + self.epoch)
        return torch.randperm(len(self.images), generator=generator).to(self.device)

    def seed_step(self) -> None:
        """Seed the generator for the next step."""
        self.generator.manual_seed(step_seed(self.config.train.seed, self.step))

    def _next_batch(self, order: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return images x0 and noise eps, [B, C, H, W], and timesteps t, [B]."""
        if self._seeding == "step":
            self.seed_step()
        size = self.config.train.batch_size
        x0 = scale(self._images.batch(order[self.batch * size : (self.batch + 1) * size]))
        x0 = augment(x0, self.augment, self.step)
        t = self.timestep_sampler.sample(len(x0), self.generator)
        eps = torch.randn(x0.shape, generator=self.generator, device=self.device)
        return x0, t, eps

    def _train_step(self, order: Tensor) -> Tensor:
        """Update the weights once; return the record of this process's images, which stays on the device."""
        if self.captured:
            record = self.captured.train_step()
            self.step += 1
            self.batch += 1
            return record
        # Every process draws the whole batch, so all processes draw the same.
        x0, t, eps = self._next_batch(order)
        whole, start = len(x0), self.batch * self.config.train.batch_size
        labels = self.labels.draw(order[start : start + whole], self.generator) if self.labels else None
        shard, weight = self.process_group.shard(whole)
        x0, t, eps = x0[shard], t[shard], eps[shard]
        labels = None if labels is None else labels[shard]
        rate = self.learning_rate()
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
        record = self.update(x0, t, eps, weight, round(len(x0) / (weight * whole)), labels)
        self.step += 1
        self.batch += 1
        if self.ema:
            self.ema.update(self.step)
        return record

    def update(
        self,
        x0: Tensor,
        t: Tensor,
        eps: Tensor,
        weight: float = 1.0,
        copies: int = 1,
        labels: Tensor | None = None,
    ) -> Tensor:
        """Update the weights once, without the average of the weights.

        Args:
            x0: this process's images, [B, C, H, W].
            t: their timesteps, [B].
            eps: their noise, like x0.
            weight: weight of these images in the batch.
            copies: number of processes that compute these images.
            labels: their labels, [B]; None without.

        Returns:
            Loss and noise-prediction errors, see `core.training.noise_error`; of several processes they add up.
        """
        xt = self.diffusion.q_sample(x0, t, eps)
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        if self._cuda_graphs:
            torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            output = self._forward(xt, t) if labels is None else self._forward(xt, t, labels)
        losses = self.diffusion.loss(output, x0, eps, t)
        loss = losses.mean()  # reported without weights, so that runs can be compared
        weighted = loss if self.loss_weights is None else (self.loss_weights[t] * losses).mean()
        if self.process_group.world_size > 1:
            # Reported losses are summed over the processes, but gradients are averaged.
            loss, weighted = loss * weight, weighted * (weight * self.process_group.world_size)
        weighted.backward()  # type: ignore[no-untyped-call]
        for optimizer in self.optimizers:
            optimizer.step()
        return self.noise_errors.record(loss, losses, t, copies)

    def _flush(self, pending: list[Tensor]) -> StepsReport:
        """Fetch the records of the steps since the last flush."""
        records = self.process_group.flush(pending)
        losses: list[float] = records[:, 0].tolist()
        first = self.step - len(losses) + 1
        check_losses(losses, first)
        self.epoch_losses += losses
        self.noise_error_sums.add(records[:, 1:])
        return StepsReport(self.epoch + 1, first, losses)

    def _finish_epoch(self, on_batch: Callable[[], object]) -> EpochReport:
        losses, rate, noise_error = self.epoch_losses, self.learning_rate(), self.noise_error_sums.bins()
        self.epoch, self.batch, self.epoch_losses = self.epoch + 1, 0, []
        self.noise_error_sums = NoiseErrorSums()
        mean, heldout = math.fsum(losses) / len(losses), self.heldout_loss(on_batch)
        return EpochReport(self.epoch, self.step, mean, min(losses), max(losses), heldout, rate, noise_error)
