"""Several tasks of one network at once, because its small maps keep few cores of a CPU busy."""

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Final, TypeVar

import torch

from core.evaluation.metrics import Progress

Result = TypeVar("Result")

MAX_TASKS: Final = 4
"""Tasks that compute at once, so that the memory of their networks' maps stays small."""


class _StoppedError(Exception):
    """Another task has failed, or the user has interrupted the work."""


def run_together(
    tasks: Mapping[str, Callable[[Progress], Result]],
    work: Mapping[str, int],
    *,
    device: torch.device,
    progress: Progress,
) -> dict[str, Result]:
    """Run independent tasks, on a CPU several at once with their shares of torch's threads.

    Args:
        tasks: by name; each is called with a progress of its own, and stops there if another task has failed.
        work: amount of work of each, in the unit of `progress`. Those with the most begin first.
        device: device of the network; on other devices than a CPU one task runs at a time.
        progress: called with the work done and in all, by one thread at a time.

    Returns:
        Results by name.

    Raises:
        Exception: the first of a task.
    """
    lock, stop = threading.Lock(), threading.Event()
    done, total = dict.fromkeys(tasks, 0), sum(work[name] for name in tasks)

    def run(name: str) -> Result:
        def report(part: int, whole: int) -> None:
            if stop.is_set():
                raise _StoppedError
            with lock:
                done[name] = work[name] * part // whole
                progress(sum(done.values()), total)

        return tasks[name](report)

    threads = torch.get_num_threads()
    at_once = min(threads, MAX_TASKS, len(tasks)) if device.type == "cpu" else 1
    own = threads // at_once
    torch.set_num_threads(own)
    try:
        with ThreadPoolExecutor(at_once, initializer=torch.set_num_threads, initargs=(own,)) as executor:
            futures = {
                executor.submit(run, name): name for name in sorted(tasks, key=lambda each: -work[each])
            }
            try:
                found = {futures[future]: future.result() for future in as_completed(futures)}
            except BaseException:
                stop.set()
                executor.shutdown(wait=False, cancel_futures=True)
                raise
    finally:
        torch.set_num_threads(threads)
    return {name: found[name] for name in tasks}
