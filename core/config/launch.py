"""Settings of where runs are trained: the engine, and what it is asked for. They do not affect a run's results."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from core.config.schema import PositiveInt, Section

EngineName = Literal["local", "slurm"]
ENGINE_NAMES: tuple[EngineName, ...] = ("local", "slurm")

_Line = Annotated[str, Meta(max_length=4096, pattern=r"^[^\n\r\x00]*$")]
_Word = Annotated[str, Meta(max_length=200, pattern=r"^[^\s\x00]*$")]
_Count = Annotated[int, Meta(ge=0, le=1_000_000)]


class SlurmConfig(Section, frozen=True):
    """Request for Slurm. The names are those of submitit where it has them; an empty text or 0 asks for nothing."""

    partition: _Word = ""
    account: _Word = ""
    qos: _Word = ""
    timeout_min: PositiveInt = 240
    """Minutes after which Slurm ends a job; the run then goes on in the next one."""
    gpus_per_node: _Count = 0
    """GPUs of a job; 0 trains on the CPU."""
    cpus_per_task: PositiveInt = 1
    mem_gb: Annotated[float, Meta(ge=0, le=1e6)] = 0.0
    array_parallelism: _Count = 0
    """Jobs of an array that run at once; 0 leaves it to Slurm."""
    signal_delay_s: Annotated[int, Meta(ge=10, le=65_535)] = 120
    """Seconds before the time limit at which workers are told to write their checkpoints. Slurm looks about once a
    minute, so less than 60 may be too late."""
    max_requeues: _Count = 20
    """Times that a job is put back into the queue after a time limit."""
    runs_per_job: PositiveInt = 1
    """Runs that share a job: as many side by side as it has CPUs, the others after them."""
    setup: tuple[_Line, ...] = ()
    """Lines of shell that each job runs first, such as ``module load cuda``."""
    additional_parameters: dict[_Word, _Line | int | float | bool] = msgspec.field(default_factory=dict)
    """Further options of sbatch: ``{constraint = "a100"}`` is ``--constraint=a100``."""


class LaunchConfig(Section, frozen=True):
    """The engine that starts runs, and the settings of each."""

    engine: EngineName = "local"
    slurm: SlurmConfig = SlurmConfig()
