"""``python -m tests.slurm``: all tests on a real Slurm, with those that wait for time limits and dead nodes."""

import sys

import pytest

if __name__ == "__main__":
    sys.exit(pytest.main(["tests/slurm", "-m", "slurm", "-v", "--durations=0", *sys.argv[1:]]))
