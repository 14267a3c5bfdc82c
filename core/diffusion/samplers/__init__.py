"""Samplers of the reverse process: each algorithm is one function in one file, to be read beside its paper."""
