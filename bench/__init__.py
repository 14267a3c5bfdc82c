"""Benchmarks: ``python -m bench``. Not part of the installed packages; docs/speed.md explains how to read them."""
