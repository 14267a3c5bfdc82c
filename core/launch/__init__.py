"""Devices and slots, the queue and its runner, background jobs, and stopping, resuming, cloning and removing runs.

Torch-free: only the processes that this package starts import torch.
"""
