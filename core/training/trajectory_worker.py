"""``python -m core.training.trajectory_worker RUN... --sampler S --steps K``: computes and keeps `core.runs.trajectory`.

It starts from the noises of a run's own pictures, so what it ends in are these pictures where it walks as the run does.
Run after run, because torch takes more memory than the network. It ends with 0 when all walks are kept, and with 2 when
one could not be, which that walk's progress then explains.
"""

import argparse
import contextlib
import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Final

import torch
from safetensors.numpy import save_file

from core.diffusion.samplers.base import SamplerOptions
from core.diffusion.samplers.registry import run_sampler
from core.errors import EXIT_OK, EXIT_USAGE, UserError
from core.files.atomic import atomic_path
from core.imaging import to_channels_last, to_pixels
from core.runs import RunDirectory
from core.runs.process import ProcessIdentity
from core.runs.trajectory import (
    Progress,
    TrajectorySpec,
    clear_trajectory_progress,
    write_trajectory_progress,
)
from core.sampling_names import SAMPLERS_WITH_ETA
from core.training.checkpoint import LoadedModel, load_model
from core.training.sample_sheets import sampler_generator, starting_noises
from core.training.worker import explain

NICENESS: Final = 10
"""Whoever looks can wait a little; the training beside it should not have to."""
_SECONDS: Final = 0.25


def compute(
    run: RunDirectory,
    loaded: LoadedModel,
    spec: TrajectorySpec,
    report: Callable[[int], None] = lambda done: None,
) -> None:
    """Walk from the run's starting noises to pictures, and keep all states with the run.

    Args:
        run: where to.
        loaded: its network.
        walk: how.
        report: called with the calls of the network that are done.

    Raises:
        UserError: no such sampler, too many steps, or the run is gone.
    """
    sample = loaded.config.sample
    noise = starting_noises(sample, loaded.shape)
    own = spec == TrajectorySpec(sample.sampler, sample.steps or loaded.diffusion.timesteps)
    if not own or (spec.sampler in SAMPLERS_WITH_ETA and sample.eta == 0.0):
        # The noise on the way is that of the run's own pictures only where it is drawn for all of them.
        noise = noise[: sample.reverse_count]
    options = SamplerOptions(steps=spec.steps, eta=sample.eta, spacing=sample.spacing, clip=sample.clip)
    states, predicted, timesteps = [], [], []
    for state in run_sampler(
        spec.sampler,
        loaded.model,
        loaded.diffusion,
        noise.to(loaded.device),
        options,
        generator=sampler_generator(sample),
    ):
        states.append(_tiles(state.xt, sample.reverse_count))
        if state.x0 is not None:
            predicted.append(_tiles(state.x0, sample.reverse_count))
        timesteps.append(state.timestep + 1)
        report(state.index)
    predicted.append(states[-1])
    if not run.run_file.exists():
        raise UserError(f"{run.id}: the run was removed meanwhile")
    notes = {
        "epoch": str(loaded.position.epoch),
        "sampler": spec.sampler,
        "steps": str(spec.steps),
        "timesteps": json.dumps(timesteps),
    }
    tensors = {"xt": torch.stack(states).numpy(), "x0": torch.stack(predicted).numpy()}
    spec.path(run).parent.mkdir(exist_ok=True)
    with atomic_path(spec.path(run)) as temporary:
        save_file(tensors, temporary, metadata=notes)


def _tiles(images: torch.Tensor, count: int) -> torch.Tensor:
    return torch.from_numpy(to_channels_last(to_pixels(images[:count].cpu().numpy())))


def main(arguments: list[str] | None = None) -> int:
    """The command line; see the module."""
    parser = argparse.ArgumentParser(prog="python -m core.training.trajectory_worker", description=__doc__)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--sampler", required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(arguments)
    spec = TrajectorySpec(options.sampler, options.steps)
    torch.set_num_threads(options.threads)
    with contextlib.suppress(OSError):
        os.nice(NICENESS)
    done = [_keep(RunDirectory(path), spec, options.device) for path in options.runs]
    return EXIT_OK if all(done) else EXIT_USAGE


def _keep(run: RunDirectory, spec: TrajectorySpec, device: str) -> bool:
    """Compute and keep one walk, and say how far it is; whether it is kept."""
    me, spoken = ProcessIdentity.current(), 0.0

    def say(done: int, error: str = "") -> None:
        write_trajectory_progress(run, spec, Progress(identity=me, done=done, total=spec.steps, error=error))

    def report(done: int) -> None:
        nonlocal spoken
        if time.monotonic() - spoken >= _SECONDS:
            spoken = time.monotonic()
            say(done)

    try:
        compute(run, load_model(run, device), spec, report)
    except Exception as error:  # whatever it was, whoever waits for the walk must hear of it
        traceback.print_exc()
        say(0, explain(error))
        return False
    clear_trajectory_progress(run, spec)
    return True


if __name__ == "__main__":
    sys.exit(main())
