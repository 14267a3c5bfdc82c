"""The queue: runs wait in their folders, and one runner for each runs folder starts workers for them.

The queue has no list besides the runs themselves, so no two records can disagree. The protocol:

1. A run can be started exactly while its `status.json` has the state ``queued`` and the engine ``local``. Only its
   worker changes that.
2. A worker takes the run's lock and holds it until it ends. It reads the status again, and only from ``queued``
   changes it to ``starting`` with its own pid (`RunDirectory.claim`). Of two workers of one run, one ends without
   a trace, so starting one too many is harmless. A runner does that when its predecessor died right after a start.
3. After kill -9 of a runner its workers continue, because each has a session of its own. Runs that were not
   claimed are still ``queued``. The same holds for a worker killed before its claim. After the claim the run is
   live with a dead pid; readers call that ``crashed``, and the user resumes it. No state lives in memory only.
4. A worker may end with an error before it touches the status, for example because of a failed import. It would be
   started without end. So its runner takes the lock and, if the status file is unchanged, writes ``failed`` with
   the end of `worker.log`. A worker that ended so without an error lost a race; it is retried three times.
5. There is one runner: it holds an flock on `.queue.lock`, whose content is its identity
   (`core.launch.runner_lock`). Before it leaves it erases the identity, then polls once more. `ensure_runner`,
   called after enqueueing, starts a new runner unless it reads the identity of a live one. If it reads one, that
   runner's last poll is still to come and finds the run. If not, the new runner, which waits for the lock, finds
   it. So no run falls between two runners.
6. `enqueue` holds `.enqueue.lock`, and a runner starts nothing meanwhile. So the runner divides the cores among all
   runs of a group instead of giving them to the first. The lock ends with its holder.
7. Live workers that a runner finds by their status, without having started them, occupy slots like its own.
"""

import argparse
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from core.config.launch import LaunchConfig
from core.config.schema import RunConfig
from core.data.check import check_trainable
from core.data.overrides import with_data_recipe
from core.errors import EXIT_OK, EXIT_USAGE, UserError, os_error_text
from core.files.environment import require_memory_for_torch
from core.files.outputs import open_output
from core.files.sanitize import sanitize
from core.launch.devices import make_plan
from core.launch.engines.settings import launch_provenance
from core.launch.provenance import current_provenance, with_absolute_paths
from core.launch.runner import Runner
from core.launch.runner_lock import hold_enqueue_lock, hold_runner_lock, read_runner, runner_is_alive
from core.launch.subprocess_env import WORKER_MODULE, child_environment, module_command
from core.runs.creation import create_runs
from core.runs.directory import RunDirectory
from core.runs.process import is_alive, may_hold_lock, names_folder, send_signal
from core.runs.store import RunStore

_LOG_LIMIT: Final = 1 << 20
_REPLACE_WAIT: Final = 5.0
_REQUESTS: Final[set[tuple[Path, str, int | None]]] = set()
"""The arguments with which this process has called `ensure_runner`."""


def enqueue(
    root: Path | str,
    configs: Iterable[RunConfig],
    *,
    group: str,
    provenance: Mapping[str, str] | None = None,
    tags: tuple[str, ...] = (),
    launch: LaunchConfig | None = None,
) -> list[RunDirectory]:
    """Create queued runs, all or none; `core.launch.engines.start` then has them started.

    Args:
        root: the runs folder; created if missing.
        configs: one for each run, in the order in which the runs start; stored `with_absolute_paths`.
        group: the name that the runs share; see `core.runs.make_group`. One that is taken gets a number.
        provenance: added to `current_provenance`.
        tags: the user's own labels.
        launch: the engine that starts them; this machine's queue unless given.

    Raises:
        UserError: the folder cannot be written, or the runs could not be trained: see `check_trainable`.
    """
    root, configs = Path(root), list(configs)
    check_trainable(configs)
    configs = [with_data_recipe(config) for config in configs]
    launch = launch or LaunchConfig()
    everything = {**current_provenance(), **launch_provenance(launch), **(provenance or {})}
    with hold_enqueue_lock(root, for_runner=launch.engine == "local"):
        return create_runs(
            root,
            [with_absolute_paths(config) for config in configs],
            group=RunStore(root).unused_group(group),
            provenance=everything,
            tags=tags,
            engine=launch.engine,
        )


def ensure_runner(
    root: Path | str, device: str = "auto", slots: int | None = None, *, worker_module: str = WORKER_MODULE
) -> bool:
    """Ensure that a queue runner serves this folder, in a detached process that outlives this one.

    An existing runner is kept unless it uses another device or number of slots than requested. Then a new runner
    takes over its workers, which are not disturbed. A process replaces a runner only once for each request; the
    same request again only ensures that there is a runner. So two processes with different requests for one folder
    do not replace each other's runner without end, and the latest request wins.

    Args:
        root: the runs folder; created if missing.
        device: see `core.launch.devices.make_plan`.
        slots: see `core.launch.devices.make_plan`.
        worker_module: module to start instead of the training worker, for tests.

    Returns:
        Whether a new runner was started.

    Raises:
        UserError: no such device here, too little memory is allowed for torch, or the folder cannot be written.
    """
    root = Path(root).absolute()
    is_specific = device != "auto" or slots is not None
    if is_specific:
        make_plan(device, slots)
    request = (root, device, slots)
    is_repeated = request in _REQUESTS
    _REQUESTS.add(request)
    existing = read_runner(root)
    if existing is not None and runner_is_alive(root, existing):
        if not is_specific or is_repeated or (existing.device, existing.slots) == (device, slots):
            return False
        lock = root / ".queue.lock"
        sent = send_signal(
            existing.identity,
            signal.SIGTERM,
            proof=lambda pid: names_folder(pid, root) and may_hold_lock(pid, lock),
        )
        deadline = time.monotonic() + _REPLACE_WAIT
        while sent and is_alive(existing.identity) and time.monotonic() < deadline:
            time.sleep(0.01)
    require_memory_for_torch()
    options = ["--device", device, "--worker-module", worker_module]
    options += ["--slots", str(slots)] if slots is not None else []
    try:
        root.mkdir(parents=True, exist_ok=True)
        log = root / ".queue.log"
        with open_output(log, append=True) as output:
            if output.tell() > _LOG_LIMIT:
                output.truncate(0)
            # The shell forks and exits, so the runner is no child of this process and leaves it no zombie to reap.
            subprocess.run(
                ["/bin/sh", "-c", '"$@" &', "sh", *module_command("core.launch.queue", str(root), *options)],
                check=True,
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=child_environment(),
            )
    except (OSError, subprocess.CalledProcessError) as error:
        reason = os_error_text(error) if isinstance(error, OSError) else str(error)
        raise UserError(f"{root}: cannot start a queue runner ({sanitize(reason)})") from error
    return True


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the queue runner: ``python -m core.launch.queue RUNS [--device D] [--slots N]``.

    Returns when nothing is queued or live, immediately if there is another runner, and at SIGTERM. Its workers keep
    running.
    """
    parser = argparse.ArgumentParser(prog="python -m core.launch.queue", description=main.__doc__)
    parser.add_argument("runs", type=Path)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--slots", type=int)
    parser.add_argument("--worker-module", default=WORKER_MODULE, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    try:
        plan = make_plan(options.device, options.slots)
        with hold_runner_lock(options.runs, device=options.device, slots=options.slots) as lock:
            if lock is not None:
                Runner(options.runs, plan, lock, worker_module=options.worker_module).run()
    except (UserError, OSError) as error:
        print(f"error: {sanitize(str(error))}", file=sys.stderr)
        return EXIT_USAGE
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
