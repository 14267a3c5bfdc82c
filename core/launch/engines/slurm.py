"""The engine `slurm`: arrays of jobs by plain sbatch.

A submission is a folder below ``.slurm`` in the runs folder: the batch script, the list of its runs, the logs of its
jobs and the id of its array. Job ``4711_12`` trains the runs of line 13, or with ``runs_per_job`` of several lines,
through `core.launch.engines.slurm_task`. The runs folder must be on a file system that all nodes share.
"""

import secrets
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from core.config.launch import SlurmConfig
from core.errors import UserError
from core.files.atomic import atomic_write
from core.launch.engines import slurm_commands as slurm
from core.launch.engines.base import Job
from core.launch.engines.slurm_script import RUNS_FILE, SCRIPT_FILE, batch_script
from core.launch.subprocess_env import WORKER_MODULE
from core.runs.directory import RunDirectory

SUBMISSIONS: Final = ".slurm"
"""Folder of the submissions, inside a runs folder."""


class SlurmEngine:
    """Submits the runs of a folder to Slurm.

    Args:
        root: the runs folder, absolute.
        config: what is asked of Slurm.
    """

    name = "slurm"

    def __init__(self, root: Path, config: SlurmConfig) -> None:
        self._root, self._config = root, config

    def script(self, name: str, count: int) -> str:
        """Return the script that `submit` would submit for so many runs; for more than an array may have, the first."""
        folder = f"{SUBMISSIONS}/NAME"
        return batch_script(self._config, name=name, jobs=self._jobs(count), root=self._root, folder=folder)

    def submit(self, runs: Sequence[RunDirectory]) -> list[str]:
        """Submit an array, or several where `MaxArraySize` is smaller; all or none."""
        ids: list[str] = []
        try:
            size = slurm.max_array_size() * self._config.runs_per_job
            for start in range(0, len(runs), size):
                ids += self._submit_array(runs[start : start + size])
        except BaseException as error:
            try:
                slurm.cancel_jobs(ids)
            except slurm.SlurmError as other:
                arrays = " ".join(dict.fromkeys(name.partition("_")[0] for name in ids))
                raise UserError(
                    f"{error}; cancel what was submitted by: scancel {arrays} ({other})"
                ) from error
            raise
        return ids

    def states(self, ids: Iterable[str]) -> Mapping[str, Job]:
        """Look jobs up with one squeue."""
        return slurm.find_jobs(list(ids), timeout=10.0)

    def stop(self, ids: Iterable[str]) -> None:
        """Cancel what waits, and send a SIGTERM to the script of what runs."""
        slurm.cancel_jobs(list(ids))

    def requeue(self, ids: Iterable[str]) -> None:
        """Have Slurm end and queue jobs again."""
        for name in ids:
            slurm.requeue_job(name)

    def _jobs(self, runs: int) -> int:
        return -(-runs // self._config.runs_per_job)

    def _submit_array(self, runs: Sequence[RunDirectory]) -> list[str]:
        name = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
        folder = self._root / SUBMISSIONS / name
        jobs = self._jobs(len(runs))
        script = batch_script(
            self._config,
            name=runs[0].read().group,
            jobs=jobs,
            root=self._root,
            folder=f"{SUBMISSIONS}/{name}",
            worker_module=WORKER_MODULE,
        )
        try:
            folder.mkdir(parents=True)
            atomic_write(folder / RUNS_FILE, "".join(f"{run.id}\n" for run in runs))
            atomic_write(folder / SCRIPT_FILE, script)
            array = slurm.submit_script(folder / SCRIPT_FILE)
            atomic_write(folder / "array", f"{array}\n")
        except OSError as error:
            raise UserError(f"{folder}: cannot be written ({error.strerror or error})") from error
        return [f"{array}_{index // self._config.runs_per_job}" for index in range(len(runs))]
