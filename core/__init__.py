"""Diffusion models on small pictures: the science, the training, the runs on disk, the command line."""

__version__ = "0.1.0"
