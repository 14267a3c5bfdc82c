"""Benchmarks: ``python -m bench``. Not part of what is installed; how to read them is in docs/speed.md."""
