"""Training of our recipe for a given time, in processes of its own.

``python -m bench.harness.timed_training FILE``: FILE holds `TimedSettings` as JSON. On a device such as cpu+cpu,
torchrun starts a process for each part, and all train one network. The time excludes the start of processes. The number
of epochs is chosen halfway, from the speed until then.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from bench.harness.subprocess_training import train_in_subprocess
from core.config import RunConfig

_WARM_UP_SECONDS: Final = 1.0
_PLAN_AFTER_SHARE: Final = 0.5
"""Share of the time after which the number of epochs is chosen; no recipe cools down so early."""
_PLANNED_SHARE: Final = 0.99
"""Share of the time that a training is planned for, so that it ends within the time."""


class TimedSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of one training.

    Attributes:
        config: the recipe, resolved; its epochs are replaced by as many as fit.
        seconds: of training.
        device: one, or several joined by ``+``, each with a process of its own.
        threads: of all processes together.
        out: the folder for the weights and the outcome.
    """

    config: RunConfig
    seconds: float
    device: str
    threads: int
    out: str


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """Number of epochs, and the seconds that they took."""

    epochs: int
    seconds: float


def train_for_seconds(settings: TimedSettings) -> tuple[Outcome, Path]:
    """Train in subprocesses. Return the outcome, and the file of the (EMA) weights, written by `torch.save`.

    Raises:
        UserError: the training ended by itself.
    """
    folder = train_in_subprocess(
        "bench.harness.timed_training", settings, processes=settings.device.count("+") + 1
    )
    outcome = msgspec.json.decode((folder / "outcome.json").read_bytes(), type=Outcome)
    return outcome, folder / "weights.pt"


def main() -> None:
    """Train in this process, alone or as one of several."""
    settings = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=TimedSettings)
    import torch  # the environment sets its number of threads

    from bench.harness.workloads import ENDLESS, synchronise, with_settings
    from core.data import load_dataset
    from core.training.budget import Budget
    from core.training.distributed import init_distributed
    from core.training.loop import Trainer
    from core.training.malloc import disable_trim

    disable_trim()
    config, out = settings.config, Path(settings.out)
    with init_distributed(settings.device) as process_group:
        torch.set_num_threads(max(1, settings.threads // process_group.world_size))
        images = load_dataset(config.data.dataset, count=config.data.count)

        unended = with_settings(config, train={"epochs": ENDLESS}).resolved()
        warm_up = Trainer(unended, images, process_group.device, process_group)
        for _ in warm_up.reports(deadline_passed(min(_WARM_UP_SECONDS, settings.seconds / 8))):
            pass
        start = time.perf_counter()
        trainer = Trainer(unended, images, process_group.device, process_group)
        for _ in trainer.reports(deadline_passed(_PLAN_AFTER_SHARE * settings.seconds)):
            pass
        fitting = _PLANNED_SHARE * trainer.step / _PLAN_AFTER_SHARE / trainer.batches_per_epoch
        (epochs,) = process_group.all_reduce_max(
            max(trainer.epoch + 1, int(fitting)) if process_group.rank == 0 else 0
        )
        trainer.config = with_settings(config, train={"epochs": epochs}).resolved()
        trainer.budget = Budget(trainer.config.train, trainer.batches_per_epoch)
        for _ in trainer.reports():
            pass
        synchronise(process_group.device)
        passed = time.perf_counter() - start
        if process_group.rank == 0:
            with trainer.eval_mode():
                torch.save(trainer.model.state_dict(), out / "weights.pt")
            outcome = Outcome(epochs=epochs, seconds=passed)
            (out / "outcome.json").write_bytes(msgspec.json.encode(outcome))


def deadline_passed(seconds: float) -> Callable[[], bool]:
    """A function that returns whether that many seconds have passed since this call."""
    end = time.perf_counter() + seconds
    return lambda: time.perf_counter() >= end


if __name__ == "__main__":
    main()
