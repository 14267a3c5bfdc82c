"""Contenders that our training is compared with, and their processes."""
