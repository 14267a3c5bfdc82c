"""Restoration of degraded images with an unconditional network: operators, and one function for each method."""
