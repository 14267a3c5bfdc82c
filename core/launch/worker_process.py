"""Start of a worker's process, with its log, environment and working directory."""

import os
import signal
import subprocess
from datetime import UTC, datetime

from core.files.outputs import open_output
from core.launch.devices import Slot
from core.launch.subprocess_env import WORKER_MODULE, log_lines, module_command, worker_environment
from core.runs.directory import RunDirectory, RunFile


def start_worker(
    run: RunDirectory,
    file: RunFile,
    slot: Slot,
    *options: str,
    module: str = WORKER_MODULE,
    own_session: bool = True,
) -> tuple["subprocess.Popen[bytes]", int]:
    """Start a worker on a slot, with its output in the run's log.

    Args:
        run: the run.
        file: its `run.toml`, which names the folders that the worker uses.
        slot: devices and threads.
        options: further words of the worker's command line.
        module: module to start instead of the training worker, for tests.
        own_session: let the worker outlive this process and its terminal.

    Returns:
        The process, and the byte of the log at which its output begins.

    Raises:
        OSError: the log cannot be written, or the process not started.
    """
    command = module_command(
        module,
        str(run.path),
        *("--device", slot.device, "--threads", str(slot.threads // slot.processes)),
        *options,
        processes=slot.processes,
    )
    environment = worker_environment(slot.threads, processes=slot.processes) | {"PYTHONUNBUFFERED": "1"}
    if data := file.provenance.get("data_dir"):
        environment["DDPM_DATA"] = data
    folder = file.provenance.get("directory", "")
    with open_output(run.log, append=True) as log:
        threads = f"{slot.threads} thread" + "s" * (slot.threads != 1)
        log.write(f"--- {timestamp()} worker on {slot.device}, {threads}\n".encode())
        log.flush()
        start = log.tell()
        process = subprocess.Popen(
            command,
            start_new_session=own_session,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=folder if os.path.isdir(folder) else None,
            env=environment,
        )
    return process, start


def exit_text(run: RunDirectory, log_start: int, code: int) -> str:
    """Return the way in which a worker ended, with its error or else its last line of output.

    Args:
        run: its run.
        log_start: byte of the log at which its output begins.
        code: its exit code; a negative one is that of a signal.
    """
    ended = f"was killed by {signal_name(-code)}" if code < 0 else f"ended with code {code}"
    lines = log_lines(run.log, log_start) or ["it wrote nothing"]
    # torchrun writes many lines of its own after a worker's error.
    last = next((line for line in reversed(lines) if line.startswith("error: ")), lines[-1])
    return f"the worker {ended} before it began: {last}"


def signal_name(number: int) -> str:
    """Return the name of a signal, such as ``SIGTERM``."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def timestamp() -> str:
    """Return the time, as logs have it: ISO 8601, UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
