"""Configuration of a run: frozen typed structs, read from TOML and validated in one place."""

from core.config.load import apply_overrides, decode, encode_toml, read_toml
from core.config.sampling_overrides import SamplingOverrides
from core.config.schema import (
    DataConfig,
    DiffusionConfig,
    ModelConfig,
    RunConfig,
    SampleConfig,
    ScheduleConfig,
    TrainConfig,
)
from core.config.tables import flatten

__all__ = [
    "DataConfig",
    "DiffusionConfig",
    "ModelConfig",
    "RunConfig",
    "SampleConfig",
    "SamplingOverrides",
    "ScheduleConfig",
    "TrainConfig",
    "apply_overrides",
    "decode",
    "encode_toml",
    "flatten",
    "read_toml",
]
