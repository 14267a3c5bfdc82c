"""Replay of runs that have ended, as if they were live."""
