"""The engine Ray: each run is a task of a Ray cluster, retried when its node dies. Ray is the extra ``ray``.

The tasks belong to a detached actor in the cluster, one for each runs folder (`core.launch.engines.ray_dispatcher`). It
outlives the command that submitted them, and writes what it knows into the runs folder. So looking jobs up needs no Ray
and no connection. The runs folder must be visible at all nodes under the same path.
"""

import importlib.util
import secrets
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from core.config.launch import RayConfig
from core.errors import UserError
from core.files.sanitize import sanitize
from core.files.untrusted import open_regular
from core.launch.engines.base import Job, JobState
from core.launch.subprocess_env import child_environment, module_command
from core.runs.directory import RunDirectory

FILE_NAME: Final = ".ray.json"
"""File in a runs folder that its dispatcher replaces every few seconds."""
BEAT_TIMEOUT: Final = 90.0
"""Seconds without a beat after which a dispatcher is considered gone, with all its jobs."""

_SUBMIT_SECONDS: Final = 180.0
_SIZE_LIMIT: Final = 1 << 26


class _JobFile(msgspec.Struct, frozen=True):
    state: str
    reason: str = ""


class _DispatcherFile(msgspec.Struct, frozen=True):
    beat: float
    jobs: dict[str, _JobFile]


class RayEngine:
    """Starts runs as tasks of a Ray cluster.

    Args:
        root: the runs folder.
        config: the cluster, and the resources of each run.
    """

    name = "ray"

    def __init__(self, root: Path, config: RayConfig) -> None:
        self._root, self._config = root, config

    def submit(self, runs: Sequence[RunDirectory]) -> list[str]:
        """Submit a task for each run, from another process, because Ray changes the process that imports it.

        Raises:
            UserError: Ray is not installed, or there is no cluster.
        """
        if importlib.util.find_spec("ray") is None:
            raise UserError(
                "the engine ray needs Ray, which is not installed here: pip install 'ddpm-tui[ray]'"
            )
        batch = secrets.token_hex(4)
        ids = [f"{batch}_{index}" for index in range(len(runs))]
        environment = child_environment()
        kept = ("PYTHONPATH", "PYTHONSAFEPATH")
        request = {
            "root": str(self._root),
            "file": str(self._root / FILE_NAME),
            "address": self._config.address or "auto",
            "environment": {name: environment[name] for name in kept if name in environment},
            "jobs": {
                job: {
                    "run": str(run.path.absolute()),
                    "cpus": self._config.cpus_per_run,
                    "gpus": self._config.gpus_per_run,
                    "max_retries": self._config.max_retries,
                }
                for job, run in zip(ids, runs, strict=True)
            },
        }
        command = module_command("core.launch.engines.ray_dispatcher")
        try:
            done = subprocess.run(
                command,
                input=msgspec.json.encode(request),
                capture_output=True,
                timeout=_SUBMIT_SECONDS,
                env=environment,
            )
        except subprocess.TimeoutExpired:
            raise UserError(
                f"ray: no answer from {self._where()} in {_SUBMIT_SECONDS:.0f} seconds; try: ray status"
            ) from None
        except OSError as error:
            raise UserError(f"ray: cannot be started ({error.strerror or error})") from error
        if done.returncode:
            lines = [
                *done.stdout.decode(errors="replace").splitlines(),
                *done.stderr.decode(errors="replace").splitlines(),
            ]
            errors = [line for line in lines if line.startswith("error: ")] or lines or ["it wrote nothing"]
            raise UserError(f"ray: {sanitize(errors[0].removeprefix('error: '), limit=300)}")
        return ids

    def states(self, ids: Iterable[str]) -> Mapping[str, Job]:
        """Look jobs up in the file of the dispatcher. All are unknown if that has ended."""
        try:
            with open_regular(self._root / FILE_NAME) as file:
                found = msgspec.json.decode(file.read(_SIZE_LIMIT), type=_DispatcherFile)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return {}
        if abs(time.time() - found.beat) > BEAT_TIMEOUT:
            return {}
        return {
            job: Job(
                job,
                JobState.RUNNING if known.state == "running" else JobState.PENDING,
                sanitize(known.reason, limit=100),
            )
            for job in ids
            if (known := found.jobs.get(job)) is not None
        }

    def stop(self, ids: Iterable[str]) -> None:
        """Do nothing, because the runs are marked already: by the state ``stopped``, or by the file `control`.

        A task looks at its run before it starts a worker. Ray's own cancel did not stop one that waits for a process.
        """

    def requeue(self, ids: Iterable[str]) -> None:
        """Refuse."""
        raise UserError("ray cannot requeue a run; stop it, then resume it")

    def _where(self) -> str:
        return self._config.address or "the Ray cluster"
