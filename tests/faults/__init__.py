"""Fault harness: it breaks runs on purpose, in every way that can happen overnight, and checks that they recover.

``python -m tests.faults`` breaks them about a thousand times and prints a table; ``--short`` tries a few of each kind.
torch is imported once and each trial is a fork, so a trial takes one second instead of four.
"""
