"""Benchmarks, a command of python -m bench each."""
