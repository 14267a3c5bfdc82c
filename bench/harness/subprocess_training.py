"""A training in processes of its own, from start to end: ``python -m MODULE FILE``, its settings in FILE as JSON."""

import subprocess
from pathlib import Path
from typing import Protocol

import msgspec

from core.errors import UserError
from core.launch.subprocess_env import module_command, worker_environment


class SubprocessTraining(Protocol):
    """Settings of such a training: OpenMP threads of all its processes together, and the folder that it writes into."""

    @property
    def threads(self) -> int: ...
    @property
    def out(self) -> str: ...


def train_in_subprocess(module: str, settings: SubprocessTraining, *, processes: int = 1) -> Path:
    """Run it to its end; the folder that it wrote into.

    Args:
        module: whose `main` reads the file and trains.
        settings: a msgspec struct.
        processes: that train together, under torchrun.

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
