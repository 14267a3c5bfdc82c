"""Trainings in subprocesses, from start to end: ``python -m MODULE FILE``, with the settings in FILE as JSON."""

import subprocess
from pathlib import Path
from typing import Protocol

import msgspec

from core.errors import UserError
from core.launch.subprocess_env import module_command, worker_environment


class SubprocessTraining(Protocol):
    """Settings of such a training: OpenMP threads of all its processes together, and its output folder."""

    @property
    def threads(self) -> int: ...
    @property
    def out(self) -> str: ...


def train_in_subprocess(module: str, settings: SubprocessTraining, *, processes: int = 1) -> Path:
    """Run a training to its end, and return its output folder.

    Args:
        module: the module whose `main` reads the file and trains.
        settings: a msgspec struct.
        processes: number of processes that train together, under torchrun.

    Raises:
        UserError: the training ended by itself.
    """
    folder = Path(settings.out)
    file = folder / "settings.json"
    file.write_bytes(msgspec.json.encode(settings))
    ended = subprocess.run(
        module_command(module, str(file), processes=processes),
        env=worker_environment(settings.threads, processes=processes),
        check=False,
    )
    if ended.returncode:
        raise UserError(f"a training process ended by itself, with {ended.returncode}; see above")
    return folder
