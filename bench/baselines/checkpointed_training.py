"""Training of a peer's pipeline that samples at given times, in a process of its own.

``python -m bench.baselines.checkpointed_training FILE``: FILE holds `CheckpointedSettings` as JSON. The times include
neither the start of the process nor sampling.
"""

import json
import sys
import time
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from bench.harness.subprocess_training import train_in_subprocess

PEER_PIPELINES: Final = ("denoising-diffusion-pytorch, own net", "diffusers, own net")
IMAGE_PIPELINES: Final = (*PEER_PIPELINES, "smalldiffusion, own net")
"""Those that are compared on any images."""


class CheckpointedSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of one training.

    Attributes:
        name: one of `IMAGE_PIPELINES`.
        dataset: the name of the data set.
        times: seconds of training after which to sample, rising.
        count: number of samples each time.
        device: the device.
        threads: number of OpenMP threads.
        out: the folder for samples and times.
    """

    name: str
    dataset: str
    times: list[float]
    count: int
    device: str
    threads: int
    out: str


class Checkpoint(NamedTuple):
    """Samples after some seconds of training: the seconds asked for, those trained, and images in [0, 1]."""

    seconds: float
    trained: float
    images: NDArray[np.float32]


def train_with_checkpoints(settings: CheckpointedSettings) -> list[Checkpoint]:
    """Train in a process of its own, and sample at each of the times.

    Raises:
        UserError: the training ended by itself.
    """
    folder = train_in_subprocess("bench.baselines.checkpointed_training", settings)
    trained = json.loads((folder / "trained.json").read_text())
    return [
        Checkpoint(seconds, passed, np.load(folder / f"{index}.npy"))
        for index, (seconds, passed) in enumerate(zip(settings.times, trained, strict=True))
    ]


def main() -> None:
    """Train in this process."""
    settings = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=CheckpointedSettings)
    import torch  # the environment sets its number of threads

    from bench.baselines import training_loops
    from bench.baselines.full_pipelines import (
        denoising_diffusion_pytorch_pipeline,
        diffusers_pipeline,
        smalldiffusion_pipeline,
    )
    from bench.harness.report import log_progress
    from bench.harness.workloads import synchronise
    from core.data import load_dataset

    torch.set_num_threads(settings.threads)
    torch.manual_seed(0)
    device, out = torch.device(settings.device), Path(settings.out)
    training_loops.require_peers(device)
    images = load_dataset(settings.dataset)
    if settings.name == PEER_PIPELINES[0]:
        steps, draw = denoising_diffusion_pytorch_pipeline(images, device, out / "peer")
    elif settings.name == PEER_PIPELINES[1]:
        steps, draw = diffusers_pipeline(images, device)
    else:
        steps, draw = smalldiffusion_pipeline(images, device)
    steps = training_loops.without_output(steps)
    passed, seen, trained = 0.0, 0, []
    for index, seconds in enumerate(settings.times):
        start = time.perf_counter()
        while passed + time.perf_counter() - start < seconds:
            seen += next(steps)
        synchronise(device)
        passed += time.perf_counter() - start
        trained.append(passed)
        log_progress(f"{settings.name}: {seen} images in {passed:.0f} s")
        np.save(out / f"{index}.npy", draw(settings.count))
    (out / "trained.json").write_text(json.dumps(trained))


if __name__ == "__main__":
    main()
