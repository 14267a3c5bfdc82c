"""Restoration of degraded images by a trained run, and the baselines that it is compared with."""
