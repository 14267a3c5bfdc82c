"""``python -m core.training.trajectory_worker RUN... --sampler S --steps K`` computes trajectories of runs.

A trajectory (`core.runs.trajectory`) starts from the initial noise of a run's own samples. So with the run's sampler
and steps it ends in these samples. One process computes all runs in turn, because torch takes more memory than a
network. The exit code is 0 if all trajectories were written, else 2; the progress file of one that failed holds the
reason.
"""

import argparse
import json
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Final

import torch
from safetensors.numpy import save_file

from core.config.sampling_levels import sampling_calls
from core.diffusion.models.centred import starting_state
from core.diffusion.samplers.base import SamplerOptions, timesteps_for
from core.diffusion.samplers.registry import run_sampler
from core.errors import EXIT_OK, EXIT_USAGE, UserError
from core.files.atomic import atomic_path
from core.files.outputs import make_folder
from core.files.utf8 import utf8_path
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
from core.training.failures import failure_text
from core.training.sample_sheets import initial_noise, sampler_generator

_REPORT_SECONDS: Final = 0.25


def compute_trajectory(
    run: RunDirectory,
    loaded: LoadedModel,
    spec: TrajectorySpec,
    report: Callable[[int], None] = lambda done: None,
) -> None:
    """Sample from the run's initial noise, and store all states with the run.

    Args:
        run: the run to write to.
        loaded: its network.
        spec: sampler and number of steps.
        report: called with the number of network calls done.

    Raises:
        UserError: unknown sampler, too many steps, or the run is gone.
    """
    sample = loaded.config.sample
    noise = initial_noise(sample, loaded.shape)
    is_own_sampler = spec == TrajectorySpec(sample.sampler, sampling_calls(loaded.config))
    if not is_own_sampler or (spec.sampler in SAMPLERS_WITH_ETA and sample.eta == 0.0):
        # Added noise equals that of the run's own samples only if it is drawn for all of them; else fewer images do.
        noise = noise[: sample.reverse_count]
    options = SamplerOptions(
        steps=spec.steps,
        eta=sample.eta,
        spacing=sample.spacing,
        levels=sample.levels if spec.steps == sampling_calls(loaded.config) else None,
        clip=sample.clip,
    )
    states, predicted, timesteps = [], [], []
    for state in run_sampler(
        spec.sampler,
        loaded.model,
        loaded.diffusion,
        starting_state(loaded.model, noise.to(loaded.device), timesteps_for(loaded.diffusion, options)[0]),
        options,
        generator=sampler_generator(sample, loaded.device),
    ):
        states.append(_to_tiles(state.xt, sample.reverse_count))
        if state.x0 is not None:
            predicted.append(_to_tiles(state.x0, sample.reverse_count))
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
    make_folder(spec.path(run).parent)
    with atomic_path(spec.path(run)) as temporary, utf8_path(temporary) as named:
        save_file(tensors, named, metadata=notes)


def _to_tiles(images: torch.Tensor, count: int) -> torch.Tensor:
    return torch.from_numpy(to_channels_last(to_pixels(images[:count].cpu().numpy())))


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; see the module."""
    parser = argparse.ArgumentParser(prog="python -m core.training.trajectory_worker", description=__doc__)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--sampler", required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(arguments)
    spec = TrajectorySpec(options.sampler, options.steps)
    torch.set_num_threads(options.threads)
    done = [_compute_and_report(RunDirectory(path), spec, options.device) for path in options.runs]
    return EXIT_OK if all(done) else EXIT_USAGE


def _compute_and_report(run: RunDirectory, spec: TrajectorySpec, device: str) -> bool:
    """Compute one trajectory and report its progress; return whether it was written."""
    identity, last_report = ProcessIdentity.current(), 0.0

    def write(done: int, error: str = "") -> None:
        write_trajectory_progress(
            run, spec, Progress(identity=identity, done=done, total=spec.steps, error=error)
        )

    def report(done: int) -> None:
        nonlocal last_report
        if time.monotonic() - last_report >= _REPORT_SECONDS:
            last_report = time.monotonic()
            write(done)

    try:
        compute_trajectory(run, load_model(run, device), spec, report)
    except Exception as error:  # any failure must reach the reader of the progress file
        traceback.print_exc()
        write(0, failure_text(error))
        return False
    clear_trajectory_progress(run, spec)
    return True


if __name__ == "__main__":
    sys.exit(main())
