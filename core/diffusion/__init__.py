"""Denoising diffusion: the Gaussian process, its variational bound, the samplers and the networks; imports torch."""
