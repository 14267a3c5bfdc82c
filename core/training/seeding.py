"""Seeds of single training steps, from which all random numbers of a step follow.

A step's timesteps and noise are a function of (seed, step). So no generator's state is stored, and a training can be
resumed at any step and on any kind of device.
"""

from typing import Final

_BITS_32: Final = (1 << 32) - 1
_BITS_64: Final = (1 << 64) - 1


def step_seed(seed: int, step: int) -> int:
    """Return the seed of a training step's generator.

    PyTorch's generator on a CPU uses only the low 32 bits of a seed, those on GPUs all 64. Therefore the low half alone
    differs between any two of 2^32 consecutive steps of a training: it is a bijection of the step.

    Args:
        seed: of the training.
        step: number of steps before this one.

    Returns:
        0 <= seed < 2^64, mixed by the finalizers of SplitMix64 (Steele et al. 2014) and MurmurHash3 (Appleby 2011).
    """
    mixed = _mix_64(seed)
    return (_mix_64(mixed ^ step) & ~_BITS_32) | _mix_32(mixed + step)


def _mix_64(value: int) -> int:
    value = (value + 0x9E3779B97F4A7C15) & _BITS_64
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _BITS_64
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _BITS_64
    return value ^ (value >> 31)


def _mix_32(value: int) -> int:
    value &= _BITS_32
    value = ((value ^ (value >> 16)) * 0x85EBCA6B) & _BITS_32
    value = ((value ^ (value >> 13)) * 0xC2B2AE35) & _BITS_32
    return value ^ (value >> 16)
