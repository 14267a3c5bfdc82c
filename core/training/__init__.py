"""Training: the loop as a generator of reports, its state in one file, and the worker that writes a run."""
