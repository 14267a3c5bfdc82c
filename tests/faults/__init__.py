"""The fault harness: runs are broken on purpose, in every way that a night can bring, and must come back whole.

``python -m tests.faults`` breaks them some thousand times and prints a table; ``--short`` does a little of each. torch
is imported once and each trial is a fork, so a trial costs a second instead of four.
"""
