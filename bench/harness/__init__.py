"""Measurement: interleaved trials, environment, workloads and reports."""
