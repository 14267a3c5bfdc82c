"""The batch script of an array of jobs: plain sbatch, so that a user can read it and a site's administrator too."""

import shlex
from pathlib import Path
from typing import Final

from core.config.launch import SlurmConfig
from core.files.sanitize import sanitize
from core.launch.subprocess_env import GPU_ORDER, WORKER_MODULE, child_environment, python_command

RUNS_FILE: Final = "runs.txt"
SCRIPT_FILE: Final = "job.sh"
TASK_MODULE: Final = "core.launch.engines.slurm_task"
_EXPORTED: Final = ("PYTHONPATH", "PYTHONSAFEPATH", "DDPM_DATA", GPU_ORDER[0])


def batch_script(
    config: SlurmConfig, *, name: str, jobs: int, root: Path, folder: str, worker_module: str = WORKER_MODULE
) -> str:
    """Return the script of an array.

    Args:
        config: what is asked of Slurm.
        name: of the jobs.
        jobs: number of jobs in the array, counted from 0.
        root: the runs folder.
        folder: folder of the submission inside it, which has the list of runs.
        worker_module: module to start instead of the training worker, for tests.
    """
    at_once = f"%{config.array_parallelism}" if config.array_parallelism else ""
    options: dict[str, object] = {
        "job-name": "".join(one if one.isalnum() or one in "-_." else "-" for one in sanitize(name))[:60],
        "array": f"0-{jobs - 1}{at_once}",
        "output": "task-%a.log",
        "open-mode": "append",
        "requeue": True,
        "signal": f"B:TERM@{config.signal_delay_s}",
        "time": config.timeout_min,
        "nodes": 1,
        "ntasks": 1,
        "cpus-per-task": config.cpus_per_task,
        "mem": f"{round(config.mem_gb * 1024)}M" if config.mem_gb else None,
        "gpus-per-node": config.gpus_per_node or None,
        "partition": config.partition or None,
        "account": config.account or None,
        "qos": config.qos or None,
        **{key.replace("_", "-").lstrip("-"): value for key, value in config.additional_parameters.items()},
    }
    lines = ["#!/bin/bash", *(_directive(key, value) for key, value in options.items() if _is_given(value))]
    environment = child_environment()
    exports = [f"export {name}={shlex.quote(environment[name])}" for name in _EXPORTED if name in environment]
    task = python_command("-m", TASK_MODULE, str(root / folder))
    task += ["--cpus", str(config.cpus_per_task), "--gpus", str(config.gpus_per_node)]
    task += ["--runs-per-job", str(config.runs_per_job), "--max-requeues", str(config.max_requeues)]
    task += ["--worker-module", worker_module] if worker_module != WORKER_MODULE else []
    return "\n".join([*lines, "", *config.setup, *exports, f"exec {shlex.join(task)}", ""])


def _is_given(value: object) -> bool:
    return value is not None and value is not False


def _directive(key: str, value: object) -> str:
    if value is True:
        return f"#SBATCH --{key}"
    text = str(value)
    quoted = f'"{text}"' if any(one in text for one in " \t;#") else text
    return f"#SBATCH --{key}={quoted}"
