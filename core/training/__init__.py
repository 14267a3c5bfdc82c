"""Training: the loop as a generator of reports, checkpoints in one file, and the worker that writes a run."""
