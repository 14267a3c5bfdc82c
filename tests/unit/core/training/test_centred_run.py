"""Training on centred data: the centre, resuming, and what is sampled."""

import msgspec
import numpy as np
import torch

from core.config.load import encode_toml
from core.evaluation.metrics.likelihood import likelihood
from core.evaluation.sampling import draw_samples
from core.runs import RunDirectory
from core.training.checkpoint import load_model, read_checkpoint
from core.training.inputs import load_images
from tests.support.tiny_runs import make_tiny_set, new_tiny_run, train_here


def centred_run(home, epochs):
    run = new_tiny_run(home, epochs=epochs, ema_decay=0.9)
    file = run.read()
    config = msgspec.structs.replace(
        file.config, data=msgspec.structs.replace(file.config.data, centre="mean")
    )
    run.write_run_file(msgspec.structs.replace(file, config=config))
    assert 'centre = "mean"' in encode_toml(run.read())
    return run


def test_a_centred_run_resumes_bit_for_bit_and_keeps_the_mean_with_its_weights(tmp_path, monkeypatch):
    monkeypatch.setenv("DDPM_DATA", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    make_tiny_set(tmp_path)
    whole, parted = centred_run(tmp_path, 2), centred_run(tmp_path, 1)
    assert train_here(whole) == train_here(parted) == 0
    file = parted.read()
    train = msgspec.structs.replace(file.config.train, epochs=2)
    parted.write_run_file(
        msgspec.structs.replace(file, config=msgspec.structs.replace(file.config, train=train))
    )
    assert train_here(parted) == 0
    tensors = [read_checkpoint(run)[0] for run in (whole, parted)]
    assert tensors[0].keys() == tensors[1].keys()
    assert all(torch.equal(tensors[0][name], tensors[1][name]) for name in tensors[0])
    images = load_images(whole)
    mean = images.train.astype(np.float64).mean(0) / 127.5 - 1
    np.testing.assert_allclose(tensors[0]["model.centre"][0], mean, atol=1e-6)
    loaded = load_model(RunDirectory(whole.path))
    samples = draw_samples(loaded, 3)
    assert samples.shape == (3, 1, 8, 8)
    # The prior is that of centred data, whose squares are smaller.
    bound = likelihood(loaded, images.heldout, terms=2)
    loaded.model.centre.zero_()
    assert (
        bound.metrics["prior_bits"].value
        < likelihood(loaded, images.heldout, terms=2).metrics["prior_bits"].value
    )
