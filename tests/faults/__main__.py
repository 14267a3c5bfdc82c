"""Table of the fault harness: kind of fault, times tried, survived, lost."""

import argparse
import gc
import os
import re
import sys
import time
from pathlib import Path

# Before torch is imported, because a fork must find no threads, and two processes with two threads each are slow.
os.environ["OMP_NUM_THREADS"] = "1"
for _name in ("DDPM_DATA", "NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES"):
    os.environ.pop(_name, None)
os.environ["PYTHONPATH"] = str(Path(__file__).resolve().parents[2])  # for the subprocesses of trials

from tests.faults import (  # noqa: E402
    engines,
    inputs,
    kills,
    numerics,
    processes,
    pulls,
    readers,
    soak,
    storage,
    tiny,
    two_processes,
)
from tests.faults.lab import FAULTS, Totals, run_trials  # noqa: E402

__all__ = [
    "engines",
    "inputs",
    "kills",
    "numerics",
    "processes",
    "pulls",
    "readers",
    "soak",
    "storage",
    "two_processes",
]  # imported because they register their faults


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--short", action="store_true", help="a few of each kind, in seconds")
    parser.add_argument("--only", default="", metavar="REGEX", help="kinds whose name matches")
    parser.add_argument("--times", type=int, help="trials of each kind")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    began = time.monotonic()
    chosen = [fault for fault in FAULTS if re.search(options.only, fault.kind)]
    tiny.prepare()
    gc.freeze()  # so that forks share memory that is never collected
    width = max(len(fault.kind) for fault in chosen)
    print(f"{'kind of fault':<{width}}  tried  survived  lost", flush=True)
    results = []
    for fault in chosen:
        times = options.times or (fault.short if options.short else fault.times)
        if times == 0:
            continue
        totals = run_trials(fault, times=times, seed=options.seed)
        results.append(totals)
        print(_row(totals, width), flush=True)
        if totals.figures:
            print(f"    {totals.figures}", flush=True)
        if totals.message:
            print(totals.message, file=sys.stderr, flush=True)
    everything = Totals("all", sum(t.tried for t in results), sum(t.survived for t in results))
    print(_row(everything, width))
    print(f"seed {options.seed}, {time.monotonic() - began:.0f} s")
    return 1 if everything.lost or not everything.tried else 0


def _row(totals: Totals, width: int) -> str:
    if totals.skipped and not totals.tried:
        return f"{totals.kind:<{width}}  not possible here: {totals.skipped}"
    return f"{totals.kind:<{width}}  {totals.tried:5}  {totals.survived:8}  {totals.lost:4}"


if __name__ == "__main__":
    sys.exit(main())
