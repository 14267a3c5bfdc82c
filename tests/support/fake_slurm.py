"""sbatch, squeue, scancel and scontrol of a Slurm that never starts anything, as a program of four names.

Its state is the folder `FAKE_SLURM`: a line ``ID|STATE|REASON`` for each job in `jobs`, the words of each call in
`calls`, in `refuse` the words with which sbatch refuses, if that file exists, and in `max_array` another MaxArraySize.
"""

import os
import re
import sys
from pathlib import Path

PROGRAMS = ("sbatch", "squeue", "scancel", "scontrol")
MAX_ARRAY_SIZE = 11


def install(folder: Path) -> Path:
    """Make the programs in a folder, for `PATH`, and return the folder of their state."""
    home = folder / "slurm"
    (folder / "bin").mkdir(parents=True)
    home.mkdir()
    for name in PROGRAMS:
        program = folder / "bin" / name
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "{__file__}" {name} "$@"\n')
        program.chmod(0o755)
    return home


def main(name: str, words: list[str]) -> int:
    home = Path(os.environ["FAKE_SLURM"])
    with (home / "calls").open("a") as calls:
        calls.write(" ".join([name, *words]) + "\n")
    file = home / "jobs"
    code = 0
    jobs = [line.split("|") for line in file.read_text().splitlines()] if file.exists() else []
    if name == "sbatch":
        if (home / "refuse").exists():
            print((home / "refuse").read_text(), file=sys.stderr)
            return 1
        script = Path(words[-1]).read_text()
        last = int(re.search(r"--array=0-(\d+)", script)[1])  # type: ignore[index]
        array = 1 + max((int(job[0].partition("_")[0]) for job in jobs), default=4710)
        jobs += [[f"{array}_{index}", "PENDING", "Priority"] for index in range(last + 1)]
        print(array)
    elif name == "squeue":
        wanted = words[-1].split(",")
        for job in jobs:
            if job[0].partition("_")[0] in wanted:
                print("|".join(job))
    elif name == "scancel":
        names = [word for word in words if not word.startswith("-")]
        state = next(word.partition("=")[2] for word in words if word.startswith("--state="))
        hit = {job[0] for job in jobs if job[0] in names and job[1] == state}
        if not any(word.startswith("--signal") for word in words):
            jobs = [job for job in jobs if job[0] not in hit]
        if missing := set(names) - hit:
            print(
                f"scancel: error: Kill job error on job id {min(missing)}: Invalid job id specified",
                file=sys.stderr,
            )
            code = 1
    elif words == ["show", "config"]:
        other = home / "max_array"
        print(f"MaxArraySize            = {other.read_text() if other.exists() else MAX_ARRAY_SIZE}")
    elif words[0] == "requeue" and words[1] not in {job[0] for job in jobs}:
        print("slurm_update error: Invalid job id specified", file=sys.stderr)
        code = 1
    file.write_text("".join("|".join(job) + "\n" for job in jobs))
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
