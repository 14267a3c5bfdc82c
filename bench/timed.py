"""A training of our recipe that is as long as a time allows, in processes of its own: ``python -m bench.timed FILE``.

FILE holds `Settings` as JSON. On a device such as cpu+cpu, torchrun starts a process for each; they train one network.
Starting them is no part of the time, nor is measuring how fast they are, which settles how many epochs fit.
"""

import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import msgspec

from core.config import RunConfig
from core.errors import UserError
from core.launch.children import command_line, environment_for_training

_PROBE_SECONDS: Final = 8.0
_NEARLY: Final = 0.97
"""The share of the time that a training is planned for, so that it ends within it."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What is trained, where, for how long, and where the weights and the outcome go.

    Attributes:
        config: the recipe, resolved; its epochs are replaced by as many as fit.
        seconds: of training.
        device: one, or several joined by ``+``, each with a process of its own.
        threads: of all processes together.
        out: a folder.
    """

    config: RunConfig
    seconds: float
    device: str
    threads: int
    out: str


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it: how many epochs there were, and the seconds that they took."""

    epochs: int
    seconds: float


def train_for(settings: Settings) -> tuple[Outcome, Path]:
    """Train in processes of its own; the outcome, and the file of the (mean) weights, by `torch.save`.

    Raises:
        UserError: the training ended by itself.
    """
    folder = Path(settings.out)
    (folder / "settings.json").write_bytes(msgspec.json.encode(settings))
    processes = settings.device.count("+") + 1
    ended = subprocess.run(
        command_line("bench.timed", str(folder / "settings.json"), processes=processes),
        # As workers have it: a thread that spins while it waits takes the core of another process.
        env=environment_for_training(settings.threads, processes=processes) | {"OMP_WAIT_POLICY": "PASSIVE"},
        check=False,
    )
    if ended.returncode:
        raise UserError(f"a training process ended by itself, with {ended.returncode}; see above")
    outcome = msgspec.json.decode((folder / "outcome.json").read_bytes(), type=Outcome)
    return outcome, folder / "weights.pt"


def main() -> None:
    """One process of it."""
    settings = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Settings)
    import torch  # its threads are settled by the environment

    from bench.training import endless, synchronise, with_settings
    from core.data import load_dataset
    from core.training.distributed import gathered
    from core.training.loop import Trainer

    config, out = settings.config, Path(settings.out)
    with gathered(settings.device) as team:
        torch.set_num_threads(max(1, settings.threads // team.size))
        pictures = load_dataset(config.data.dataset, count=config.data.count)

        def trained(config: RunConfig, seconds: float = float("inf")) -> tuple[Trainer, float]:
            trainer = Trainer(config, pictures, team.device, team)
            start = time.perf_counter()
            for _ in trainer.reports(lambda: time.perf_counter() - start >= seconds):
                pass
            synchronise(team.device)
            return trainer, time.perf_counter() - start

        forever = endless(config, batch=config.train.batch_size)
        trained(forever, min(1.0, settings.seconds / 8))  # a warm-up
        probe, passed = trained(forever, min(_PROBE_SECONDS, settings.seconds / 4))
        fitting = _NEARLY * settings.seconds * probe.step / passed / probe.batches
        (epochs,) = team.agree(max(1, int(fitting)) if team.rank == 0 else 0)
        trainer, passed = trained(with_settings(config, train={"epochs": epochs}).resolved())
        if team.rank == 0:
            with trainer.evaluating():
                torch.save(trainer.model.state_dict(), out / "weights.pt")
            outcome = Outcome(epochs=epochs, seconds=passed)
            (out / "outcome.json").write_bytes(msgspec.json.encode(outcome))


if __name__ == "__main__":
    main()
