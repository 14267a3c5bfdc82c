"""Denoising diffusion: the Gaussian process, its bound, the samplers and the networks. Imports torch."""
