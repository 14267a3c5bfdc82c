"""From queued runs to worker processes: which devices there are, who gets which, and how runs are controlled.

Torch-free: torch is only ever imported by the workers that this package starts.
"""
