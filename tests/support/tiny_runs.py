"""Trainings of a second, in this process."""

import signal
from pathlib import Path
from typing import Any

import msgspec
import torch

from core.config import DataConfig, ModelConfig, RunConfig, SampleConfig, ScheduleConfig, TrainConfig
from core.data import load_dataset
from core.runs import RunDirectory, State
from core.training.distributed import SingleProcess
from core.training.worker import run_main

_SET = 'name = "tiny"\ncount = 16\nheldout = 4\nsize = 8\nstorage = "array"\n'


def make_tiny_set(home: Path) -> None:
    """Make the images of the runs; `DDPM_DATA` must name the folder."""
    (home / "tiny.toml").write_text(_SET)
    load_dataset("tiny", data_dir=home, workers=1)


def new_tiny_run(home: Path, every: int = 1, **train: Any) -> RunDirectory:
    """Queue a run of three epochs of two steps, with a sheet and a strip every so many epochs."""
    config = RunConfig(
        data=DataConfig(dataset="tiny", count=16, heldout=4),
        schedule=ScheduleConfig(timesteps=10),
        model=ModelConfig(preset="lean", width=16),
        train=TrainConfig(**{"epochs": 3, "batch_size": 8} | train),
        sample=SampleConfig(
            every=every,
            count=1,
            sampler="ddim",
            steps=1,
            reverse_every=every,
            reverse_count=1,
            reverse_states=2,
        ),
    )
    return RunDirectory.create(home / "runs", config, group="g")


def train_here(run: RunDirectory) -> int:
    """Train a run that has ended, or is queued, in this process on one thread, and return the exit code."""
    with run.lock():
        if run.read_status().state is not State.QUEUED:
            run.write_status(msgspec.structs.replace(run.read_status(), state=State.QUEUED))
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return run_main(run, SingleProcess(), 1, [])
    finally:
        torch.set_num_threads(threads)
        for number, handler in handlers.items():
            signal.signal(number, handler)
