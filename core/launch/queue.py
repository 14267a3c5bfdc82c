"""The queue: runs wait in their folders, and one runner for each runs folder starts workers for them.

There is no list of what is queued but the runs themselves, so nothing can be lost or disagree. The protocol:

1. A run is startable exactly while its `status.json` says ``queued``. Nobody marks a run before its worker
has it. 2. A worker takes the run's lock, which it holds for life, reads the status again, and only from
   ``queued`` goes on to ``starting``, with its own pid (`RunDirectory.claim`). Of two workers of one run, one
   ends without a trace. So it is harmless to start one too many, and that is what a runner does that cannot
   know of a predecessor's last one.
3. Kill -9 a runner anywhere: its workers go on in sessions of their own; runs that were not claimed still say
   ``queued``. Kill a worker before it claimed: still ``queued``. After: live with a dead pid, which readers
   call ``crashed`` and a person resumes. No state needs the memory of a process that is gone.
4. A worker that ended with an error without having touched the status it was started on (it could not be
   imported, say) would be started for ever. Its runner takes the lock and, if the status is still that very
   file, writes ``failed`` with the end of `worker.log`. Without an error it lost a race: it is tried again,
   three times.
5. One runner: an flock on `.queue.lock`, whose content names the runner (`core.launch.runner_lock`). Before
   it leaves it erases its name, then looks once more. `ensure_runner`, called after queueing, starts a new
   one unless it reads the name of a live one: if it does, the look comes later and finds the run; if not, the
   new one, which waits for the lock, finds it. So no run falls between two runners.
6. `enqueue` holds `.enqueue.lock` and a runner looks away meanwhile, so it shares the cores among all of a
   group and not with the first alone. The lock ends with its holder.
7. Live workers that a runner did not start, but finds by their status, occupy slots like its own.
"""

import argparse
import contextlib
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from core.config.schema import RunConfig
from core.errors import EXIT_OK, EXIT_USAGE, UserError
from core.launch.devices import make_plan
from core.launch.provenance import provenance_of_this_process, with_absolute_path
from core.launch.runner import Runner
from core.launch.runner_lock import enqueueing, hold_runner_lock, read_runner
from core.launch.subprocess_env import WORKER_MODULE, environment_for_children
from core.runs.directory import RunDirectory
from core.runs.process import is_alive, send_signal

_LOG_LIMIT: Final = 1 << 20
_REPLACE_WAIT: Final = 5.0
_WISHES: Final[set[tuple[Path, str, int | None]]] = set()
"""What this process has asked `ensure_runner` for."""


def enqueue(
    root: Path | str,
    configs: Iterable[RunConfig],
    *,
    group: str,
    provenance: Mapping[str, str] | None = None,
    tags: tuple[str, ...] = (),
) -> list[RunDirectory]:
    """Make queued runs, all or none; `ensure_runner` then has them started.

    Args:
        root: the runs folder; made when missing.
        configs: one a run, in the order in which they shall start; kept `with_absolute_path`.
        group: the name that they share; see `core.runs.make_group`.
        provenance: more than what is recorded of this process anyway.
        tags: a person's own labels.

    Raises:
        UserError: the folder cannot be written.
    """
    root = Path(root)
    everything = {**provenance_of_this_process(), **(provenance or {})}
    made: list[RunDirectory] = []
    with enqueueing(root):
        try:
            for config in configs:
                run = RunDirectory.create(
                    root, with_absolute_path(config), group=group, provenance=everything, tags=tags
                )
                made.append(run)
        except BaseException:
            for run in made:
                with contextlib.suppress(UserError):
                    shutil.rmtree(run.move_to_trash(), ignore_errors=True)
            raise
    return made


def ensure_runner(
    root: Path | str, device: str = "auto", slots: int | None = None, *, worker_module: str = WORKER_MODULE
) -> bool:
    """Have a queue runner for this folder, detached from this process, which it outlives.

    A runner that is there already is kept, unless a device or a number of slots is asked for that it does not
    use: then a new one takes over its workers, which notice nothing. A process has its way once with each
    wish, and asking again only sees to it that there is a runner: so two that watch the same folder with
    different wishes do not replace each other's for ever, and the one that came last decides.

    Args:
        root: the runs folder; made when missing.
        device: see `core.launch.devices.make_plan`.
        slots: likewise.
        worker_module: what to start instead of the training worker, for tests.

    Returns:
        Whether a new one was started.

    Raises:
        UserError: no such device here, or the folder cannot be written.
    """
    root = Path(root).absolute()
    asked = device != "auto" or slots is not None
    if asked:
        make_plan(device, slots)
    wish = (root, device, slots)
    had_its_way = wish in _WISHES
    _WISHES.add(wish)
    there = read_runner(root)
    if there is not None and is_alive(there.identity):
        if not asked or had_its_way or (there.device, there.slots) == (device, slots):
            return False
        send_signal(there.identity, signal.SIGTERM)
        deadline = time.monotonic() + _REPLACE_WAIT
        while is_alive(there.identity) and time.monotonic() < deadline:
            time.sleep(0.01)
    command = [sys.executable, "-P", "-m", "core.launch.queue", str(root), "--device", device]
    command += ["--slots", str(slots)] if slots is not None else []
    command += ["--worker-module", worker_module]
    try:
        root.mkdir(parents=True, exist_ok=True)
        log = root / ".queue.log"
        mode = "wb" if log.exists() and log.stat().st_size > _LOG_LIMIT else "ab"
        with log.open(mode) as output:
            # The shell forks and leaves, so the runner is nobody's child here: no zombie to bury.
            subprocess.run(
                ["/bin/sh", "-c", '"$@" &', "sh", *command],
                check=True,
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environment_for_children(),
            )
    except (OSError, subprocess.CalledProcessError) as error:
        raise UserError(f"{root}: cannot start a queue runner ({error})") from error
    return True


def main(arguments: Sequence[str] | None = None) -> int:
    """The runner itself: ``python -m core.launch.queue RUNS [--device D] [--slots N]``.

    Returns when nothing is queued or live any more, at once when another runner is there, and at SIGTERM,
    which leaves the workers alone.
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
        print(f"error: {error}", file=sys.stderr)
        return EXIT_USAGE
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
