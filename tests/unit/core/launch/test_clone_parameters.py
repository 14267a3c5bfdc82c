"""Clones that take other noise levels or another loss weight than their run."""

from pathlib import Path

from core.config.schema import RunConfig, TrainConfig
from core.launch import control
from core.runs import RunDirectory


def test_a_clone_with_other_noise_levels_or_another_weight_takes_their_parameters(tmp_path: Path) -> None:
    train = TrainConfig(noise_levels="laplace", noise_mean=1.0, loss_weight="sigmoid", sigmoid_bias=-3.0)
    old = RunDirectory.create(tmp_path, RunConfig(train=train), group="g")
    levels = control.clone(tmp_path, old, ["train.noise_levels=cosine"]).read().config.train
    assert (levels.noise_mean, levels.sigmoid_bias) == (None, -3.0)
    weight = control.clone(tmp_path, old, ["train.loss_weight=elbo"]).read().config.train
    assert (weight.noise_mean, weight.sigmoid_bias) == (1.0, None)
