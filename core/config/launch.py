"""Settings of where runs are trained: the engine, and what it is asked for. They do not affect a run's results."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from core.config.schema import PositiveInt, Section

EngineName = Literal["local", "slurm", "ray"]
ENGINE_NAMES: tuple[EngineName, ...] = ("local", "slurm", "ray")

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


class RayConfig(Section, frozen=True):
    """Request for Ray. All nodes must see the runs folder under the same path."""

    address: _Word = ""
    """Address of the cluster, as in ``10.0.0.1:6379``; an empty text takes that of this machine or of RAY_ADDRESS."""
    gpus_per_run: Annotated[float, Meta(ge=0, le=64)] = 0.0
    """GPUs of a run, or its share of one: with 0.25, four runs train on a GPU at once. 0 trains on the CPU."""
    cpus_per_run: Annotated[float, Meta(gt=0, le=1024)] = 1.0
    """CPUs of a run, as many as its threads; a part of one only lets more runs share a CPU."""
    max_retries: _Count = 20
    """Times that a run goes on in another worker after its node has died, or its worker was ended."""

    def __post_init__(self) -> None:
        if self.gpus_per_run > 1 and self.gpus_per_run % 1:
            raise ValueError(
                f"gpus_per_run is {self.gpus_per_run:g}; expected a part of one GPU, or a whole number of them"
            )


class LaunchConfig(Section, frozen=True):
    """The engine that starts runs, and the settings of each."""

    engine: EngineName = "local"
    slurm: SlurmConfig = SlurmConfig()
    ray: RayConfig = RayConfig()
