"""Commands on a machine whose `nvidia-smi` lists a GPU that this torch, built for CPUs only, cannot compute on."""

import json
import os
from pathlib import Path

import pytest
import torch

from tests.support.queueing import cleaned

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="this torch can compute on GPUs")

RECIPE = """
[data]
dataset = "tiny"
[schedule]
timesteps = 20
[model]
width = 16
[train]
epochs = 1
batch_size = 15
[sample]
count = 2
steps = 2
reverse_count = 1
"""
DATA = 'name = "tiny"\ncount = 15\nheldout = 4\nsize = 8\nstorage = "array"\n'
PROBLEM = "Torch cannot compute on cuda:0 (Tesla T4): torch "


@pytest.fixture
def surroundings(tmp_path: Path) -> dict[str, str]:
    """Variables that lead to an `nvidia-smi` with one GPU, and to a cache and data of this test's own."""
    program = tmp_path / "bin" / "nvidia-smi"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho '0, GPU-3e1a, Tesla T4, 15360, 15095, 535.104.05, [N/A]'\n")
    program.chmod(0o755)
    path = os.pathsep.join([str(program.parent), os.environ["PATH"]])
    (tmp_path / "tiny.toml").write_text(DATA)
    (tmp_path / "recipe.toml").write_text(RECIPE)
    return {
        "PATH": path,
        "DDPM_DATA": str(tmp_path),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "CUDA_VISIBLE_DEVICES": "0",
    }


def test_training_falls_back_to_the_cpu_with_a_note_and_the_gpu_is_tried_once(core, tmp_path, surroundings):
    with cleaned(tmp_path):
        done = core("train", "recipe.toml", env=surroundings)
    assert done.returncode == 0, done.stderr
    assert f"{PROBLEM}{torch.__version__} is built for CPUs only" in done.stderr
    assert "Used instead: cpu." in done.stderr
    (kept,) = (tmp_path / "cache" / "ddpm-tui").iterdir()
    status = json.loads(next(tmp_path.glob("runs/*/status.json")).read_text())
    assert (status["state"], status["device"]) == ("finished", "cpu")
    assert PROBLEM in (tmp_path / "runs" / ".queue.log").read_text()
    # The runner read the result, and so does the next command.
    kept.write_text(json.dumps({"problems": ["it is too old"], "time": 0}))
    refused = core("train", "recipe.toml", "--device", "cuda", env=surroundings)
    assert refused.returncode == 2
    assert len(refused.stderr.splitlines()) == 1
    assert "Torch cannot compute on cuda:0 (Tesla T4): it is too old" in refused.stderr
    assert "use --device cpu" in refused.stderr


def test_the_doctor_names_a_gpu_that_torch_cannot_compute_on(core, surroundings):
    done = core("doctor", env=surroundings)
    assert done.returncode == 2
    assert PROBLEM in done.stdout
    assert done.stderr.startswith(f"error: {PROBLEM}")
    assert core("doctor", "--device", "cpu", env=surroundings).returncode == 0
    assert json.loads(core("doctor", "--json", env=surroundings).stdout)["uses"]["devices"] == ["cpu"]
