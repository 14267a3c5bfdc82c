"""Selecting runs by name, for commands that take several."""

import os
from collections.abc import Sequence

from core.cli.output import note
from core.errors import UserError
from core.runs import RunInfo, RunStore


def select_runs(store: RunStore, selectors: Sequence[str], *, everything: bool) -> list[RunInfo]:
    """Return the named runs, each once, in the order named.

    Args:
        store: the runs folder.
        selectors: each a group, the path of another folder of runs, or anything that `RunStore.find` accepts. None
            at all selects the newest group.
        everything: select all runs of the folder instead.

    Raises:
        UserError: a selector matches no run or several, or a named run cannot be read.
    """
    if everything and selectors:
        raise UserError("give either runs or --all, not both")
    scan = store.scan()
    groups: dict[str, list[RunInfo]] = {}
    for info in scan.infos:
        groups.setdefault(info.file.group, []).append(info)
    chosen: list[RunInfo] = []
    if everything:
        chosen = list(scan.infos)
    elif not selectors and scan.infos:
        chosen = groups[scan.infos[-1].file.group]
    for selector in selectors:
        chosen += groups.get(selector) or _runs_in_folder(selector) or [store.info(store.find(selector))]
    if everything or not selectors:
        for problem in scan.problems:
            note(f"{problem.id}: {problem.text}")
    if not chosen:
        raise UserError(f"{store.root}: there are no runs here; start one with core train, or give --runs")
    # A run may be named by its id and by its path.
    return list({info.directory.path.resolve(): info for info in chosen}.values())


def _runs_in_folder(selector: str) -> list[RunInfo]:
    """Return the runs in the folder at this path; none if it is not a folder, or is itself a run."""
    if not selector or not os.path.isdir(selector):
        return []
    scan = RunStore(selector).scan()
    if scan.infos:
        for problem in scan.problems:
            note(f"{problem.id}: {problem.text}")
    return list(scan.infos)
