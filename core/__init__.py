"""Diffusion models on small images: diffusion, training, runs on disk, and the command line."""

__version__ = "0.1.0"
